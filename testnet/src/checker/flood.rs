//! Flood: nodes that fill ask for stamps, and what was there before the rubbish stays.

use super::Verdict;
use crate::scenario::{Flooded, Held, Story};

/// One in so many shards that were there may be missing: who counts them asks the nodes, and a busy one may not have answered.
const UNSEEN: usize = 100;

pub(super) fn judge(story: &Story) -> Option<Verdict> {
    let Flooded { rubbish, before, after } = story.flood?;
    let asked = story.accounts.iter().filter(|account| account.paid + account.unpaid > 0).count();
    let [paid, unpaid] =
        [story.accounts.iter().map(|one| one.paid).sum::<u64>(), story.accounts.iter().map(|one| one.unpaid).sum()];
    let (gone, is_gone) = match (before, after) {
        (Held::Shards(before), Held::Shards(after)) => {
            let gone = before.saturating_sub(after);
            (format!("{gone} of {before} shards gone"), Some(gone * UNSEEN > before))
        }
        (Held::Uncounted, Held::Uncounted) => ("shards not counted".to_owned(), Some(false)),
        _ => ("shards could not be counted".to_owned(), None),
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
        kept: is_gone.filter(|_| !story.accounts.is_empty()).map(|is_gone| asked > 0 && !is_gone),
    })
}
