//! Whether the node hands over all that it keeps before it leaves for good, and how much is left. While it does, it takes nothing
//! new. There is no way back but a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// Before the first round that began after draining did.
const UNKNOWN: u64 = u64::MAX;

/// What is handed over by one work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Shards.
    Shards,
    /// Records.
    Records,
}

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub struct Draining(Arc<State>);

struct State {
    on: watch::Sender<bool>,
    left: [AtomicU64; 2],
}

impl Default for Draining {
    fn default() -> Draining {
        Draining(Arc::new(State {
            on: watch::Sender::new(false),
            left: [AtomicU64::new(UNKNOWN), AtomicU64::new(UNKNOWN)],
        }))
    }
}

impl Draining {
    /// Begins to drain.
    pub fn start(&self) {
        self.0.on.send_replace(true);
    }

    /// Whether the node drains.
    pub fn is_on(&self) -> bool {
        *self.0.on.borrow()
    }

    /// Tells of the beginning, once.
    pub fn begun(&self) -> watch::Receiver<bool> {
        self.0.on.subscribe()
    }

    /// A work has gone through all of its part since draining began; so many are left, since nobody took them.
    pub fn ended(&self, part: Part, left: u64) {
        self.0.left[part as usize].store(left, Ordering::SeqCst);
    }

    /// How many of a part are left; `None` until that is known.
    pub fn left(&self, part: Part) -> Option<u64> {
        Some(self.0.left[part as usize].load(Ordering::SeqCst)).filter(|left| *left != UNKNOWN)
    }

    /// Whether all is handed over.
    pub fn is_done(&self) -> bool {
        [Part::Shards, Part::Records].into_iter().all(|part| self.left(part) == Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_done_when_both_parts_have_nothing_left() {
        let draining = Draining::default();
        let mut begun = draining.begun();
        assert!(!draining.is_on() && !draining.is_done());
        draining.start();
        begun.changed().await.unwrap();
        assert!(draining.is_on() && draining.left(Part::Shards).is_none());
        draining.ended(Part::Shards, 0);
        assert!(!draining.is_done());
        draining.ended(Part::Records, 3);
        assert_eq!((draining.is_done(), draining.left(Part::Records)), (false, Some(3)));
        draining.ended(Part::Records, 0);
        assert!(draining.is_done());
    }
}
