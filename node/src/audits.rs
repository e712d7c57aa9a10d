//! When this node audited stripes last, for those who ask: kept in memory, written by the warden, read by the holder's service.

use palimpsest_proto::ids::RootAddress;
use palimpsest_proto::message::AUDIT_AGE_HOURS_MAX;
use palimpsest_proto::time::Moment;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stripes of which it is remembered: as many as a warden's round has. 6 MiB.
const AUDITS_MAX: usize = 1 << 16;

/// See the module's description. Cheap to clone: all clones share what is remembered.
#[derive(Clone, Debug, Default)]
pub struct Audits(Arc<Mutex<HashMap<RootAddress, Moment>>>);

impl Audits {
    /// Remembers an audit; where there is no room, the oldest is forgotten.
    pub fn note(&self, root: RootAddress, now: Moment) {
        self.note_of(AUDITS_MAX, root, now);
    }

    fn note_of(&self, most: usize, root: RootAddress, now: Moment) {
        let mut audits = self.lock();
        if audits.len() >= most
            && !audits.contains_key(&root)
            && let Some(oldest) = audits.iter().min_by_key(|(_, at)| **at).map(|(root, _)| *root)
        {
            audits.remove(&oldest);
        }
        audits.insert(root, now);
    }

    /// How many full hours ago each was audited; `None` where no audit is remembered.
    pub fn ages(&self, roots: &[RootAddress], now: Moment) -> Vec<Option<u8>> {
        let audits = self.lock();
        let hours = |at: &Moment| u8::try_from(now.since(*at).as_secs() / 3_600).unwrap_or(AUDIT_AGE_HOURS_MAX);
        roots.iter().map(|root| audits.get(root).map(|at| hours(at).min(AUDIT_AGE_HOURS_MAX))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RootAddress, Moment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn hours(hours: u64) -> Moment {
        Moment(Duration::from_secs(3_600 * hours))
    }

    #[test]
    fn ages_are_full_hours_and_end_somewhere() {
        let (audits, root) = (Audits::default(), |byte| RootAddress([byte; 32]));
        audits.note(root(1), hours(0));
        audits.note(root(2), hours(8));
        let ages = |now| audits.ages(&[root(2), root(1), root(3)], now);
        assert_eq!(ages(hours(8)), [Some(0), Some(8), None]);
        assert_eq!(ages(hours(9) + Duration::from_secs(3_599)), [Some(1), Some(9), None]);
        assert_eq!(ages(hours(10_000)), [Some(AUDIT_AGE_HOURS_MAX), Some(AUDIT_AGE_HOURS_MAX), None]);
        audits.note(root(1), hours(10));
        assert_eq!(ages(hours(10)), [Some(2), Some(0), None]);
    }

    #[test]
    fn the_oldest_gives_way() {
        let (audits, root) = (Audits::default(), |byte| RootAddress([byte; 32]));
        for (byte, at) in [(1, 0), (2, 1), (1, 2), (3, 3)] {
            audits.note_of(2, root(byte), hours(at));
        }
        assert_eq!(audits.ages(&[1, 2, 3].map(root), hours(3)), [Some(1), None, Some(0)]);
    }
}
