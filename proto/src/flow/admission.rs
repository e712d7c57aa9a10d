//! Who may begin an exchange of tables with a node: so many for each peer, and so many for all.
//!
//! Keys of strangers cost nothing, and an exchange that is begun and not ended holds its place for seconds. So when all
//! places of strangers are taken, the oldest gives way to whoever comes: a slow one is in nobody's way, and an honest one is
//! over long before it is the oldest.

use crate::flow::Budget;
use crate::time::Moment;
use std::collections::VecDeque;
use std::time::Duration;

/// Table exchanges that one peer may have under way with us.
const OF_PEER_MAX: usize = 2;
/// Table exchanges that one peer may begin with us in a second, in the long run: gossip is never faster.
const A_SECOND: u64 = 2;
/// Those that it may have saved up: a client takes a table of the largest size in 64, one after the other.
const SAVED_MAX: u64 = 96;
/// Table exchanges under way with us over all peers.
const TOTAL_MAX: usize = 64;
/// Of these, those of peers that are not in the table: clients, newcomers, and whoever makes up keys. They cannot keep the
/// nodes from each other's news.
const STRANGERS_MAX: usize = 48;
/// A stranger's exchange has its place for so long at least: an honest one near by is over by then, so that even a flood of
/// new ones leaves some room.
const SURE: Duration = Duration::from_millis(500);

/// Exchanges that all peers together have under way with a node.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    under_way: usize,
    /// Those of strangers that were not told to give way, the oldest first.
    strangers: VecDeque<(Moment, u64)>,
    begun: u64,
}

/// What one peer may still begin.
#[derive(Clone, Debug)]
pub struct Allowance {
    under_way: usize,
    /// In exchanges, not bytes.
    saved: Budget,
}

/// An exchange that may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// Its number.
    pub number: u64,
    /// The number of another one, which gives way: its driver breaks it off.
    pub gives_way: Option<u64>,
}

impl Allowance {
    /// Of a peer that has just connected.
    pub fn new(now: Moment) -> Allowance {
        Allowance { under_way: 0, saved: Budget::new(A_SECOND, SAVED_MAX, now) }
    }
}

impl Admission {
    /// A place for one exchange more, if this peer and all together have any left; to a stranger the oldest stranger's if all of
    /// these are taken, but if that one began a moment ago. Each that is admitted is reported as ended once, also if it gave way.
    pub fn begin(&mut self, peer: &mut Allowance, stranger: bool, now: Moment) -> Option<Admitted> {
        if peer.saved.ready_at(now) > now || peer.under_way >= OF_PEER_MAX || self.under_way >= TOTAL_MAX {
            return None;
        }
        let mut gives_way = None;
        if stranger {
            if self.strangers.len() >= STRANGERS_MAX {
                let (_, oldest) = self.strangers.pop_front_if(|(begun, _)| now.since(*begun) >= SURE)?;
                gives_way = Some(oldest);
            }
            self.strangers.push_back((now, self.begun));
        }
        peer.saved.spend(1, now);
        peer.under_way += 1;
        self.under_way += 1;
        let number = self.begun;
        self.begun += 1;
        Some(Admitted { number, gives_way })
    }

    /// An exchange of this peer is over.
    pub fn end(&mut self, peer: &mut Allowance, number: u64) {
        peer.under_way = peer.under_way.saturating_sub(1);
        self.under_way = self.under_way.saturating_sub(1);
        self.strangers.retain(|(_, one)| *one != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Moment = Moment(Duration::from_secs(1_000));

    fn begin(all: &mut Admission, stranger: bool, now: Moment) -> Option<Admitted> {
        all.begin(&mut Allowance::new(now), stranger, now)
    }

    #[test]
    fn a_peer_has_so_many_exchanges_at_once_and_saved_up() {
        let (mut all, mut peer) = (Admission::default(), Allowance::new(NOW));
        let two: Vec<_> = (0..OF_PEER_MAX).map(|_| all.begin(&mut peer, false, NOW).unwrap()).collect();
        assert_eq!(all.begin(&mut peer, false, NOW), None);
        two.iter().for_each(|one| all.end(&mut peer, one.number));
        let mut begun = two.len() as u64;
        while let Some(one) = all.begin(&mut peer, false, NOW) {
            all.end(&mut peer, one.number);
            begun += 1;
        }
        assert!((SAVED_MAX..SAVED_MAX + 2).contains(&begun), "{begun}");
        assert!(begin(&mut all, false, NOW).is_some());
        assert!(all.begin(&mut peer, false, NOW + Duration::from_secs(1)).is_some());
    }

    #[test]
    fn strangers_leave_room_for_the_exchanges_of_nodes() {
        let mut all = Admission::default();
        let strangers = std::iter::from_fn(|| begin(&mut all, true, NOW)).take(TOTAL_MAX).count();
        assert_eq!(strangers, STRANGERS_MAX);
        let nodes = std::iter::from_fn(|| begin(&mut all, false, NOW)).take(TOTAL_MAX).count();
        assert_eq!(nodes, TOTAL_MAX - STRANGERS_MAX);
    }

    #[test]
    fn the_oldest_stranger_gives_way_and_no_node_does() {
        let mut all = Admission::default();
        begin(&mut all, false, NOW).unwrap();
        let oldest = begin(&mut all, true, NOW).unwrap();
        let mut peer = Allowance::new(NOW);
        let second = all.begin(&mut peer, true, NOW + SURE / 2).unwrap();
        (2..STRANGERS_MAX).for_each(|_| _ = begin(&mut all, true, NOW + SURE / 2).unwrap());
        assert_eq!(begin(&mut all, true, NOW + SURE / 2), None, "all of them have only begun");
        let newcomer = begin(&mut all, true, NOW + SURE).unwrap();
        assert_eq!(newcomer.gives_way, Some(oldest.number));
        assert_eq!(begin(&mut all, true, NOW + SURE), None);
        // Who ends by itself leaves a place, and takes nobody else's with it.
        all.end(&mut peer, second.number);
        assert_eq!(begin(&mut all, true, NOW + SURE).unwrap().gives_way, None);
    }

    proptest! {
        /// Whatever begins, ends and is told to give way: bounds hold, and an empty house has room.
        #[test]
        fn bounds_hold(steps in prop::collection::vec((0..80usize, any::<bool>(), any::<bool>(), 0..700u64), 0..400)) {
            let mut all = Admission::default();
            let mut peers: Vec<(Allowance, Vec<u64>)> = (0..80).map(|_| (Allowance::new(NOW), Vec::new())).collect();
            let mut now = NOW;
            for (which, ends, stranger, wait) in steps {
                now = now + Duration::from_millis(wait);
                let (peer, under_way) = &mut peers[which];
                if ends {
                    under_way.pop().into_iter().for_each(|number| all.end(peer, number));
                } else if let Some(admitted) = all.begin(peer, stranger, now) {
                    under_way.push(admitted.number);
                    if let Some(gone) = admitted.gives_way {
                        let (peer, of) = peers.iter_mut().find(|(_, of)| of.contains(&gone)).unwrap();
                        of.retain(|one| *one != gone);
                        all.end(peer, gone);
                    }
                }
                let total: usize = peers.iter().map(|(_, of)| of.len()).sum();
                prop_assert_eq!(total, all.under_way);
                prop_assert!(total <= TOTAL_MAX && all.strangers.len() <= STRANGERS_MAX);
                prop_assert!(peers.iter().all(|(peer, of)| peer.under_way == of.len() && of.len() <= OF_PEER_MAX));
            }
            for (peer, of) in &mut peers {
                of.drain(..).for_each(|number| all.end(peer, number));
            }
            prop_assert!(all.under_way == 0 && all.strangers.is_empty());
        }
    }
}
