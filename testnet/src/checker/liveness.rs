//! Liveness: whatever is asked for ends in time, with what was asked for or with the reason.

use super::Verdict;
use crate::scenario::{End, Story};

pub(super) fn judge(story: &Story) -> Verdict {
    let late = story.deeds.iter().filter(|deed| deed.end == End::TimedOut).count();
    let slowest = story.deeds.iter().map(|deed| deed.took).max().unwrap_or_default();
    Verdict {
        oracle: "liveness",
        promise: "all ends before its deadline".to_owned(),
        seen: format!("{late} of {} did not; the slowest took {:.1} s", story.deeds.len(), slowest.as_secs_f64()),
        kept: (!story.deeds.is_empty()).then_some(late == 0),
    }
}
