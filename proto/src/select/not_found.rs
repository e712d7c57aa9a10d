//! Who was not found where descriptors say. A descriptor proves that somebody has a key, not that there is a node: a key costs
//! [its work](crate::ids::NodeId::is_worked) once, and no machine. So servers dial whom they have never met, and what
//! comes of it is remembered here: a node that never answered is not taken back before a pause is over, and one that was lost is
//! not believed to be back before a dial has shown it, however often it signs anew.

use crate::ids::NodeId;
use crate::time::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// Nodes remembered at most (1 MB). When there are more, those are forgotten whose pause is over, and then any.
const NOT_FOUND_MAX: usize = 16_384;
/// For how long who was not found is not taken back; doubled by each further failure.
pub const NOT_FOUND_PAUSE_MIN: Duration = Duration::from_secs(10);
/// The longest pause: who comes back, or was behind a cut, is found after it at the latest.
const PAUSE_MAX: Duration = Duration::from_secs(600);
/// Nodes that were first not found within such a time of each other may have been lost by the same cut: who of them is found shows
/// that it may be over.
const TOGETHER: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
struct Failure {
    pause: Duration,
    at: Moment,
    /// When it was not found for the first time since it was found.
    first: Moment,
    /// Whether the pause is cut short.
    due: bool,
}

impl Failure {
    fn is_over(&self, now: Moment) -> bool {
        self.due || now.since(self.at) >= self.pause
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct NotFound(BTreeMap<NodeId, Failure>);

impl NotFound {
    /// A dial of the node failed; says whether it is the first one since it was found. While its pause lasts, further failures do
    /// not prolong it.
    pub(super) fn failed(&mut self, id: NodeId, now: Moment) -> bool {
        let (pause, first) = match self.0.get(&id) {
            Some(known) if !known.is_over(now) => return false,
            Some(known) => ((known.pause * 2).min(PAUSE_MAX), known.first),
            None => (NOT_FOUND_PAUSE_MIN, now),
        };
        if self.0.len() >= NOT_FOUND_MAX && !self.0.contains_key(&id) {
            self.make_room(now);
        }
        self.0.insert(id, Failure { pause, at: now, first, due: false }).is_none()
    }

    fn make_room(&mut self, now: Moment) {
        self.0.retain(|_, failure| !failure.is_over(now));
        if self.0.len() >= NOT_FOUND_MAX
            && let Some(any) = self.0.keys().next().copied()
        {
            self.0.remove(&any);
        }
    }

    /// The node was met. Those that were lost together with it are due, however long their pauses are.
    pub(super) fn found(&mut self, id: &NodeId) {
        let Some(found) = self.0.remove(id) else { return };
        for failure in self.0.values_mut() {
            let apart = failure.first.since(found.first).max(found.first.since(failure.first));
            if apart < TOGETHER && !failure.due {
                // With one more failure the pause is what it was.
                failure.pause /= 2;
                failure.due = true;
            }
        }
    }

    /// Whether it is too early to try the node again.
    pub(super) fn is_paused(&self, id: &NodeId, now: Moment) -> bool {
        self.0.get(id).is_some_and(|failure| !failure.is_over(now))
    }

    /// Who is not to be tried yet, and since when.
    pub(super) fn paused(&self, now: Moment) -> impl Iterator<Item = (&NodeId, Moment)> {
        self.0.iter().filter(move |(_, failure)| !failure.is_over(now)).map(|(id, failure)| (id, failure.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> NodeId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        NodeId(id)
    }

    const fn second(n: u64) -> Moment {
        Moment(Duration::from_secs(n))
    }

    #[test]
    fn pauses_double_until_the_node_is_found() {
        let mut not_found = NotFound::default();
        let mut now = second(0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert_eq!(not_found.failed(id(1), now), pauses.is_empty());
            let start = now;
            while not_found.is_paused(&id(1), now) {
                // Other dials of it fail meanwhile.
                not_found.failed(id(1), now);
                now = now + Duration::from_secs(1);
            }
            pauses.push(now.since(start).as_secs());
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 600, 600]);
        not_found.found(&id(1));
        not_found.failed(id(1), now);
        assert!(!not_found.is_paused(&id(1), now + NOT_FOUND_PAUSE_MIN));
    }

    #[test]
    fn those_lost_together_with_who_is_found_are_due() {
        let mut not_found = NotFound::default();
        for (number, first) in [(1, 0), (2, 59), (3, 60), (4, 200)] {
            not_found.failed(id(number), second(first));
            // So often that it is not tried again for minutes.
            (0..6).for_each(|failure| _ = not_found.failed(id(number), second(300 + failure * 350)));
        }
        let paused =
            |not_found: &NotFound| (1..5).filter(|n| not_found.is_paused(&id(*n), second(2_060))).collect::<Vec<_>>();
        assert_eq!(paused(&not_found), [1, 2, 3, 4]);
        not_found.found(&id(1));
        assert_eq!(paused(&not_found), [3, 4]);
        // If it is not found after all, its pause is what it was; and who was found was lost with nobody of them.
        let before = not_found.0[&id(3)].pause;
        assert!(!not_found.failed(id(2), second(2_060)) && not_found.0[&id(2)].pause == before);
        not_found.failed(id(1), second(2_060));
        not_found.found(&id(1));
        assert_eq!(paused(&not_found), [2, 3, 4]);
    }

    #[test]
    fn who_is_paused_is_named() {
        let mut not_found = NotFound::default();
        not_found.failed(id(1), second(0));
        not_found.failed(id(2), second(8));
        assert!(not_found.is_paused(&id(1), second(9)) && !not_found.is_paused(&id(3), second(9)));
        assert_eq!(not_found.paused(second(12)).collect::<Vec<_>>(), [(&id(2), second(8))]);
    }

    #[test]
    fn it_is_bounded() {
        let mut not_found = NotFound::default();
        (0..NOT_FOUND_MAX + 5).for_each(|number| _ = not_found.failed(id(number), second(0)));
        assert_eq!(not_found.0.len(), NOT_FOUND_MAX);
        assert!(not_found.is_paused(&id(NOT_FOUND_MAX + 4), second(1)));
        // Those whose pause is over go first.
        not_found.failed(id(NOT_FOUND_MAX + 9), second(3_600));
        assert_eq!(not_found.0.len(), 1);
    }
}
