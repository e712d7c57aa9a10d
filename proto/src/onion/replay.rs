//! The replay filter: the tags of all packets that one onion key has opened. Exact, bounded, and never emptied: a full one
//! refuses, and its key is replaced.

use super::Dropped;
use crate::params::REPLAY_TAGS_MAX;
use std::collections::HashSet;

/// Tags at which the key is to be rotated before its day: the rest is for the time that the rotation takes.
const TAGS_AT_ROTATION: usize = REPLAY_TAGS_MAX / 8 * 7;

/// Eight bytes of a tag are plenty: tags are outputs of a hash over a secret of ours, so a sender can find two equal ones
/// of their own at most, and only harms themselves. The set's hasher has a random state, so that senders cannot aim at one
/// bucket. It grows as it fills.
#[derive(Default)]
pub(super) struct ReplayFilter {
    seen: HashSet<u64>,
}

impl ReplayFilter {
    /// Remembers the tag; refuses one that it knows.
    pub(super) fn admit(&mut self, tag: u64) -> Result<(), Dropped> {
        self.admit_below(tag, REPLAY_TAGS_MAX)
    }

    fn admit_below(&mut self, tag: u64, max: usize) -> Result<(), Dropped> {
        if self.seen.len() >= max {
            // What is known is still called by its name.
            return Err(if self.seen.contains(&tag) { Dropped::Replayed } else { Dropped::FilterFull });
        }
        if self.seen.insert(tag) { Ok(()) } else { Err(Dropped::Replayed) }
    }

    /// Whether it is time for a new key.
    pub(super) fn nearly_full(&self) -> bool {
        self.seen.len() >= TAGS_AT_ROTATION
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_filter_refuses_and_forgets_nothing() {
        let mut filter = ReplayFilter::default();
        for tag in 0..4 {
            assert_eq!(filter.admit_below(tag, 4), Ok(()));
            assert_eq!(filter.admit_below(tag, 4), Err(Dropped::Replayed));
        }
        assert_eq!(filter.admit_below(4, 4), Err(Dropped::FilterFull));
        for tag in 0..4 {
            assert_eq!(filter.admit_below(tag, 4), Err(Dropped::Replayed));
        }
    }

    #[test]
    fn rotation_is_asked_for_before_it_is_full() {
        let mut filter = ReplayFilter::default();
        for tag in 0..TAGS_AT_ROTATION as u64 {
            assert!(!filter.nearly_full());
            filter.admit(tag).unwrap();
        }
        assert!(filter.nearly_full());
        assert_eq!(filter.admit(u64::MAX), Ok(()));
    }
}
