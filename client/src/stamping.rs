//! Paying holders: the stamps of asks that take space. The price follows from the fill that a holder says of itself, or from
//! what it asked for meanwhile. Cheap stamps are worked at once, dear ones on threads that may block.

use crate::clock::{Wall, moment};
use crate::session::lock;
use palimpsest_proto::fair::{Stamp, fill_of_price};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Ask, Due};
use palimpsest_proto::time::Moment;
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Stamps up to so many bits are worked where they are needed: some 0.3 ms.
const AT_ONCE_BITS: u8 = 12;
/// For how long a holder's own word about its fill holds; its descriptor follows within minutes.
const DEMAND_FOR: Duration = Duration::from_secs(600);
/// Holders of which such a word is remembered.
const DEMANDS_MAX: usize = 8_192;

/// See the module's description.
pub(crate) struct Stamping {
    /// One permit for each core: more threads would only slow each other down.
    workers: Semaphore,
    /// The fill, in per cent, that holders' refusals imply, and when they were heard.
    demands: Mutex<HashMap<NodeId, (u8, Moment)>>,
    wall: Wall,
}

impl Stamping {
    /// By whose clock leases are paid for.
    pub(crate) fn new(wall: Wall) -> Stamping {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Stamping { workers: Semaphore::new(cores), demands: Mutex::default(), wall }
    }

    /// What `holder`, which says that `fill` per cent of it are taken, will ask for.
    pub(crate) fn price(&self, due: &Due, holder: &NodeId, fill: u8) -> u8 {
        let now = moment();
        let demanded =
            lock(&self.demands).get(holder).filter(|(_, at)| now.since(*at) < DEMAND_FOR).map(|(fill, _)| *fill);
        due.price(demanded.unwrap_or(0).max(fill), self.wall.now())
    }

    /// Puts a stamp of `bits` into the ask. If none is found the ask stays as it is, and is refused.
    pub(crate) async fn stamp(&self, ask: &mut Ask, due: Due, bits: u8) {
        let start = rand::random();
        let stamp = if bits <= AT_ONCE_BITS {
            Stamp::work(&due.puzzle, bits, start)
        } else {
            let Ok(_permit) = self.workers.acquire().await else { return };
            let work = tokio::task::spawn_blocking(move || Stamp::work(&due.puzzle, bits, start));
            work.await.unwrap_or_default()
        };
        if let Some(stamp) = stamp {
            ask.set_stamp(stamp);
        }
    }

    /// `holder` took a stamp of `paid` bits for too little and wants `bits`: whether it will get them. Not if it was paid
    /// that much, nor if no fill is a reason for such a price.
    pub(crate) fn demanded(&self, due: &Due, holder: NodeId, paid: u8, bits: u8) -> bool {
        let Some(fill) = fill_of_price(bits, due.shards, self.wall.now(), due.lease_until).filter(|_| bits > paid)
        else {
            return false;
        };
        let now = moment();
        let mut demands = lock(&self.demands);
        if demands.len() >= DEMANDS_MAX {
            demands.retain(|_, (_, at)| now.since(*at) < DEMAND_FOR);
        }
        let known = demands.get(&holder).map_or(0, |(fill, _)| *fill);
        if demands.len() < DEMANDS_MAX || known > 0 {
            demands.insert(holder, (fill.max(known), now));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palimpsest_proto::fair::FULL_BITS;
    use palimpsest_proto::ids::Locator;

    const HOLDER: NodeId = NodeId([1; 32]);

    fn ask() -> Ask {
        Ask::Renew {
            lease_until: Wall::default().now().plus(86_400),
            stamp: Stamp::NONE,
            locators: vec![Locator([2; 32])],
        }
    }

    #[tokio::test]
    async fn stamps_are_worked_at_any_price() {
        let stamping = Stamping::new(Wall::default());
        for bits in [0, 5, AT_ONCE_BITS + 1] {
            let mut ask = ask();
            let due = ask.due(&HOLDER).unwrap();
            stamping.stamp(&mut ask, due, bits).await;
            assert_eq!(ask.due(&HOLDER).unwrap().stamp.verify(&due.puzzle, bits), Ok(()));
        }
    }

    #[test]
    fn a_holders_word_counts_until_it_asks_for_more_than_any_may() {
        let stamping = Stamping::new(Wall::default());
        let due = ask().due(&HOLDER).unwrap();
        assert_eq!(stamping.price(&due, &HOLDER, 0), 0);
        assert!(stamping.demanded(&due, HOLDER, 0, 8));
        assert_eq!(stamping.price(&due, &HOLDER, 0), 8);
        // Another answer, to an ask that left before: it tells nothing new and does no harm.
        assert!(stamping.demanded(&due, HOLDER, 0, 2));
        assert_eq!(stamping.price(&due, &HOLDER, 0), 8);
        assert_eq!(stamping.price(&due, &HOLDER, 95), FULL_BITS);
        assert!(!stamping.demanded(&due, HOLDER, 8, 8));
        assert!(!stamping.demanded(&due, HOLDER, 8, FULL_BITS + 1));
        assert_eq!(stamping.price(&due, &HOLDER, 0), 8);
        assert_eq!(stamping.price(&due, &NodeId([3; 32]), 0), 0);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let stamping = Stamping::new(Wall::default());
        let due = ask().due(&HOLDER).unwrap();
        for i in 0..=DEMANDS_MAX as u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&i.to_le_bytes());
            assert!(stamping.demanded(&due, NodeId(id), 0, 4));
        }
        assert_eq!(lock(&stamping.demands).len(), DEMANDS_MAX);
    }
}
