//! Blindness: no node's disk has a piece of a file, or of a link.

use super::Verdict;
use crate::scenario::Story;

pub(super) fn judge(story: &Story) -> Verdict {
    let searched: Vec<&Vec<String>> = story.disks.iter().filter_map(|disk| disk.found.as_ref().ok()).collect();
    let found: Vec<&String> = searched.iter().flat_map(|found| found.iter()).collect();
    let first = found.first().map(|what| format!("; {what}")).unwrap_or_default();
    let all = !story.disks.is_empty() && searched.len() == story.disks.len();
    Verdict {
        oracle: "blindness",
        promise: "no disk has content or a link".to_owned(),
        seen: format!("{} finds on {} of {} disks{first}", found.len(), searched.len(), story.disks.len()),
        // A disk that could not be searched may hide something.
        kept: if found.is_empty() { all.then_some(true) } else { Some(false) },
    }
}
