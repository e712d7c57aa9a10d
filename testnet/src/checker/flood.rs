//! Flood: nodes that fill ask for stamps, and what was there before the rubbish stays.

use super::Verdict;
use crate::scenario::{Flooded, Story};

/// One in so many shards that were there may be missing: who counts them asks the nodes, and a busy one may not have answered.
const UNSEEN: usize = 100;

pub(super) fn judge(story: &Story) -> Option<Verdict> {
    let Flooded { rubbish, before, after } = story.flood?;
    let asked = story.accounts.iter().filter(|account| account.paid + account.unpaid > 0).count();
    let [paid, unpaid] =
        [story.accounts.iter().map(|one| one.paid).sum::<u64>(), story.accounts.iter().map(|one| one.unpaid).sum()];
    let (gone, is_gone) = match before.zip(after) {
        Some((before, after)) => {
            let gone = before.saturating_sub(after);
            (format!("{gone} of {before} shards gone"), gone * UNSEEN > before)
        }
        None => ("shards not counted".to_owned(), false),
    };
    Some(Verdict {
        oracle: "flood",
        promise: "nodes ask for stamps, and nothing gives way".to_owned(),
        seen: format!(
            "{asked} of {} nodes asked, {paid} stamps paid, {unpaid} refused; {gone}; of the rubbish {} files placed, {} not",
            story.accounts.len(),
            rubbish.placed,
            rubbish.failed
        ),
        kept: (!story.accounts.is_empty()).then_some(asked > 0 && !is_gone),
    })
}
