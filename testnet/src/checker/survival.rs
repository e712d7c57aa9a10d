//! Survival: what was published is fetched, exactly, and never anything else.

use super::Verdict;
use crate::process::Fraction;
use crate::scenario::{End, Kind, Promises, Story};

pub(super) fn judge(promises: &Promises, story: &Story) -> Vec<Verdict> {
    let wrong = story.deeds.iter().filter(|deed| deed.end == End::WrongBytes).count();
    let fetches = story.deeds.iter().filter(|deed| deed.kind == Kind::Fetch).count();
    vec![
        share(story, Kind::Publish, "publishes that succeed", promises.published),
        share(story, Kind::Fetch, "fetches that bring the file", promises.fetched),
        Verdict {
            oracle: "survival",
            promise: "no wrong byte is handed out".to_owned(),
            seen: format!("{wrong} of {fetches} fetches"),
            kept: (fetches > 0).then_some(wrong == 0),
        },
    ]
}

fn share(story: &Story, kind: Kind, what: &str, promised: Fraction) -> Verdict {
    let all: Vec<&End> = story.deeds.iter().filter(|deed| deed.kind == kind).map(|deed| &deed.end).collect();
    let good = all.iter().filter(|end| ***end == End::Good).count();
    let failure = all.iter().find_map(|end| if let End::Failed(why) = end { Some(format!("; {why}")) } else { None });
    Verdict {
        oracle: "survival",
        promise: format!("{what}: at least {promised}"),
        seen: format!("{good} of {}{}", all.len(), failure.unwrap_or_default()),
        // A promise of nine tenths of seven is one of seven.
        kept: (!all.is_empty()).then_some(good as f64 >= promised.share() * all.len() as f64 - 1e-9),
    }
}
