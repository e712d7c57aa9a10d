//! Bounds: no node takes more than its operator gave.

use super::Verdict;
use crate::scenario::Story;

pub(super) fn judge(story: &Story) -> Verdict {
    let over = story.accounts.iter().filter(|account| account.used > account.quota).count();
    let fullest = story.accounts.iter().map(|one| one.used as f64 / one.quota.max(1) as f64).fold(0.0, f64::max);
    let slow = story.ended_slow.map_or_else(String::new, |ended| format!("; {ended} streams of slow peers ended"));
    Verdict {
        oracle: "bounds",
        promise: "no node is over its quota".to_owned(),
        seen: format!("{over} of {} nodes; the fullest has {:.0} %{slow}", story.accounts.len(), fullest * 100.0),
        kept: (!story.accounts.is_empty()).then_some(over == 0),
    }
}
