//! Places for the table exchanges that peers begin with us: so many for each peer, and so many for all.
//!
//! Keys of strangers cost nothing, and an exchange that is begun and not ended holds its place for seconds. So when all
//! places of strangers are taken, the oldest gives way to whoever comes: a slow one is in nobody's way, and an honest one is
//! over long before it is the oldest.

use palimpsest_proto::flow::Budget;
use palimpsest_proto::time::Moment;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::net::clock::moment;

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

/// Exchanges that peers may have under way with us, all together.
pub(in crate::net) struct Exchanges {
    total: Arc<Semaphore>,
    /// Those of strangers, the oldest first, and by what each is told to give way. One that is over has cancelled its own.
    strangers: Mutex<VecDeque<(Moment, CancellationToken)>>,
}

/// What one peer may still begin.
pub(super) struct OfPeer {
    places: Arc<Semaphore>,
    /// In exchanges, not bytes.
    saved: Budget,
}

/// The place of one exchange; others have it when this is dropped.
pub(super) struct Place {
    _permits: [OwnedSemaphorePermit; 2],
    given_up: CancellationToken,
    _end: DropGuard,
}

impl Exchanges {
    pub(in crate::net) fn new() -> Exchanges {
        Exchanges { total: Arc::new(Semaphore::new(TOTAL_MAX)), strangers: Mutex::default() }
    }

    /// A stranger's place, the oldest one's if all are taken; none if that one began a moment ago.
    fn admit_stranger(&self, given_up: &CancellationToken, now: Moment) -> Option<()> {
        let mut strangers = self.strangers.lock().unwrap_or_else(PoisonError::into_inner);
        strangers.retain(|(_, one)| !one.is_cancelled());
        if strangers.len() >= STRANGERS_MAX {
            let (_, oldest) = strangers.pop_front_if(|(begun, _)| now.since(*begun) >= SURE)?;
            oldest.cancel();
        }
        strangers.push_back((now, given_up.clone()));
        Some(())
    }
}

impl OfPeer {
    pub(super) fn new() -> OfPeer {
        OfPeer { places: Arc::new(Semaphore::new(OF_PEER_MAX)), saved: Budget::new(A_SECOND, SAVED_MAX, moment()) }
    }

    /// A place for one exchange more, if this peer and all together have any left.
    pub(super) fn begin(&mut self, all: &Exchanges, stranger: bool, now: Moment) -> Option<Place> {
        if self.saved.ready_at(now) > now {
            return None;
        }
        let permit = |semaphore: &Arc<Semaphore>| semaphore.clone().try_acquire_owned().ok();
        let permits = [permit(&self.places)?, permit(&all.total)?];
        let given_up = CancellationToken::new();
        if stranger {
            all.admit_stranger(&given_up, now)?;
        }
        self.saved.spend(1, now);
        Some(Place { _permits: permits, _end: given_up.clone().drop_guard(), given_up })
    }
}

impl Place {
    /// Sees the exchange through; `None` if its place was given to another meanwhile.
    pub(super) async fn run<T>(self, exchange: impl Future<Output = T>) -> Option<T> {
        self.given_up.run_until_cancelled(exchange).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(all: &Exchanges, stranger: bool, now: Moment) -> Option<Place> {
        OfPeer::new().begin(all, stranger, now)
    }

    #[test]
    fn a_peer_has_so_many_exchanges_at_once_and_saved_up() {
        let (all, mut peer, now) = (Exchanges::new(), OfPeer::new(), moment());
        let two: Vec<_> = (0..OF_PEER_MAX).map(|_| peer.begin(&all, false, now).unwrap()).collect();
        assert!(peer.begin(&all, false, now).is_none());
        drop(two);
        let begun = (0..10_000).take_while(|_| peer.begin(&all, false, now).is_some()).count() as u64;
        assert!((SAVED_MAX - 2..10_000).contains(&begun), "{begun}");
        assert!(begin(&all, false, now).is_some());
    }

    #[test]
    fn strangers_leave_room_for_the_exchanges_of_nodes() {
        let (all, now) = (Exchanges::new(), moment());
        let strangers: Vec<_> = std::iter::from_fn(|| begin(&all, true, now)).take(TOTAL_MAX).collect();
        assert_eq!(strangers.len(), STRANGERS_MAX);
        let nodes: Vec<_> = std::iter::from_fn(|| begin(&all, false, now)).take(TOTAL_MAX).collect();
        assert_eq!(nodes.len(), TOTAL_MAX - STRANGERS_MAX);
        drop(strangers);
        assert!(begin(&all, true, now).is_some());
    }

    #[tokio::test]
    async fn the_oldest_stranger_gives_way_and_no_node_does() {
        let (all, now) = (Exchanges::new(), moment());
        let node = begin(&all, false, now).unwrap();
        let oldest = begin(&all, true, now).unwrap();
        let others: Vec<_> = (1..STRANGERS_MAX).map(|_| begin(&all, true, now + SURE / 2).unwrap()).collect();
        assert!(begin(&all, true, now + SURE / 2).is_none(), "all of them have only begun");
        let newcomer = begin(&all, true, now + SURE).unwrap();
        assert_eq!(oldest.run(std::future::pending::<()>()).await, None);
        assert!(begin(&all, true, now + SURE).is_none());
        let lives = |place: &Place| !place.given_up.is_cancelled();
        assert!(lives(&node) && lives(&newcomer) && others.iter().all(lives));
        // Who ends by itself gives up nobody else's place.
        drop(others);
        assert!(begin(&all, true, now + SURE).is_some() && lives(&newcomer));
    }
}
