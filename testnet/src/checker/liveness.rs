//! Liveness: whatever is asked for ends in time, with what was asked for or with the reason; and as soon as was promised.

use super::Verdict;
use crate::scenario::{End, Kind, Promises, Story};

pub(super) fn judge(promises: &Promises, story: &Story) -> Vec<Verdict> {
    let late = story.deeds.iter().filter(|deed| deed.end == End::TimedOut).count();
    let slowest = story.deeds.iter().map(|deed| deed.took).max().unwrap_or_default();
    let mut verdicts = vec![Verdict {
        oracle: "liveness",
        promise: "all ends before its deadline".to_owned(),
        seen: format!("{late} of {} did not; the slowest took {:.1} s", story.deeds.len(), slowest.as_secs_f64()),
        kept: (!story.deeds.is_empty()).then_some(late == 0),
    }];
    let times = story.times();
    let of = |kind| times.iter().find(|one| one.kind == kind);
    let (publish, fetch) = (of(Kind::Publish), of(Kind::Fetch));
    let promised = [
        ("publishes: the middle one", promises.publish_p50_s, publish.map(|one| one.p50_s)),
        ("fetches: the middle one", promises.fetch_p50_s, fetch.map(|one| one.p50_s)),
        ("fetches: 19 of 20", promises.fetch_p95_s, fetch.map(|one| one.p95_s)),
    ];
    verdicts.extend(promised.into_iter().filter_map(|(what, promised, took)| {
        let promised = promised?;
        Some(Verdict {
            oracle: "liveness",
            promise: format!("{what} within {promised} s"),
            seen: took.map_or_else(|| "there were none".to_owned(), |took| format!("{took:.2} s")),
            kept: took.map(|took| took <= promised),
        })
    }));
    verdicts
}
