//! How long publishes and fetches of a story took.

use std::time::Duration;

use serde::Serialize;

use super::{Deed, End, Kind, Story};
use crate::rank::nearest_rank;

/// How long deeds of one kind took, failed ones too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Times {
    /// What was done.
    pub kind: Kind,
    /// How many.
    pub count: usize,
    /// How many of them ended as they should.
    pub good: usize,
    /// Seconds that the middle one took.
    pub p50_s: f64,
    /// Seconds that the slowest but one of twenty took.
    pub p95_s: f64,
}

impl Times {
    /// Of those of one kind; none where there are none.
    fn of<'a>(kind: Kind, deeds: impl Iterator<Item = &'a Deed>) -> Option<Self> {
        let deeds: Vec<&Deed> = deeds.filter(|deed| deed.kind == kind).collect();
        let mut took: Vec<Duration> = deeds.iter().map(|deed| deed.took).collect();
        took.sort_unstable();
        let good = deeds.iter().filter(|deed| deed.end == End::Good).count();
        let (p50_s, p95_s) = (nearest_rank(&took, 50)?.as_secs_f64(), nearest_rank(&took, 95)?.as_secs_f64());
        Some(Self { kind, count: deeds.len(), good, p50_s, p95_s })
    }
}

impl Story {
    /// For each step with deeds, from 0: what was done, and how long it took.
    #[must_use]
    pub fn times_by_step(&self) -> Vec<(usize, Times)> {
        let steps = self.deeds.iter().map(|deed| deed.step + 1).max().unwrap_or_default();
        let of = |step, kind| Times::of(kind, self.deeds.iter().filter(|deed| deed.step == step));
        let each = (0..steps).flat_map(|step| Kind::ALL.map(|kind| Some((step, of(step, kind)?))));
        each.flatten().collect()
    }

    /// The same of all steps together, publishes first.
    #[must_use]
    pub fn times(&self) -> Vec<Times> {
        Kind::ALL.into_iter().filter_map(|kind| Times::of(kind, self.deeds.iter())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Deed, End, Kind, Story};

    #[test]
    fn times_are_those_of_the_middle_and_of_one_in_twenty() {
        let deed = |step, kind, seconds, end| Deed { step, kind, took: Duration::from_secs(seconds), end, asked: None };
        let mut deeds: Vec<Deed> = (1..=20).rev().map(|at| deed(2, Kind::Fetch, at, End::Good)).collect();
        deeds.push(deed(0, Kind::Publish, 7, End::TimedOut));
        deeds.push(deed(4, Kind::Fetch, 40, End::Good));
        let story = Story { deeds, ..Story::default() };
        let told = |(step, times): &(usize, super::Times)| (*step, times.count, times.good, times.p50_s, times.p95_s);
        let by_step: Vec<_> = story.times_by_step().iter().map(told).collect();
        assert_eq!(by_step, [(0, 1, 0, 7.0, 7.0), (2, 20, 20, 10.0, 19.0), (4, 1, 1, 40.0, 40.0)]);
        let in_all: Vec<_> = story.times().iter().map(|one| (one.kind, one.count, one.p50_s, one.p95_s)).collect();
        assert_eq!(in_all, [(Kind::Publish, 1, 7.0, 7.0), (Kind::Fetch, 21, 11.0, 20.0)]);
        assert!(Story::default().times().is_empty());
    }
}
