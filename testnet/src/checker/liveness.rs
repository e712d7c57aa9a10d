//! Liveness: whatever is asked for ends in time, with what was asked for or with the reason; and as soon as was promised.

use super::Verdict;
use crate::scenario::{End, Kind, Promises, Story, percentile};

pub(super) fn judge(promises: &Promises, story: &Story) -> Vec<Verdict> {
    let late = story.deeds.iter().filter(|deed| deed.end == End::TimedOut).count();
    let slowest = story.deeds.iter().map(|deed| deed.took).max().unwrap_or_default();
    let mut verdicts = vec![Verdict {
        oracle: "liveness",
        promise: "all ends before its deadline".to_owned(),
        seen: format!("{late} of {} did not; the slowest took {:.1} s", story.deeds.len(), slowest.as_secs_f64()),
        kept: (!story.deeds.is_empty()).then_some(late == 0),
    }];
    let promised = [
        (Kind::Publish, "publishes", 50, promises.publish_p50_s),
        (Kind::Fetch, "fetches", 50, promises.fetch_p50_s),
        (Kind::Fetch, "fetches", 95, promises.fetch_p95_s),
    ];
    verdicts.extend(promised.into_iter().filter_map(|(kind, what, percent, seconds)| {
        let seconds = seconds?;
        let took = story.times(kind, None);
        let within = percentile(&took, percent);
        Some(Verdict {
            oracle: "liveness",
            promise: format!("{percent} % of {what} within {seconds} s"),
            seen: format!("{:.2} s, {} of them", within.unwrap_or_default().as_secs_f64(), took.len()),
            kept: within.map(|within| within.as_secs_f64() <= seconds),
        })
    }));
    verdicts
}
