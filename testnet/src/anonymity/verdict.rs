//! Whether what is promised holds; and where it is known not to.

use serde::Serialize;

use super::About;
use super::affinity::Clue;
use super::chance::Rate;
use super::crowd::Batch;

/// A bound that is known not to hold: how files were published, by which clue their shards are told, and why.
struct KnownMiss {
    batch: Batch,
    clue: Clue,
    why: &'static str,
}

/// No order of what a client sends hides that it is the only one.
const NOBODY_ELSE: &str = "nobody else is there, so that time tells all";

/// All of them. Whatever else is broken is new.
const KNOWN_MISSES: [KnownMiss; 3] = [
    KnownMiss { batch: Batch::Alone, clue: Clue::StoredTogether, why: NOBODY_ELSE },
    KnownMiss { batch: Batch::Alone, clue: Clue::FetchedTogether, why: NOBODY_ELSE },
    KnownMiss { batch: Batch::Alone, clue: Clue::AlwaysFetchedTogether, why: NOBODY_ELSE },
];

/// Why a clue is known to tell more of these files than it should; none if it is not.
fn known_miss(batch: Batch, clue: Clue) -> Option<&'static str> {
    KNOWN_MISSES.iter().find(|miss| (miss.batch, miss.clue) == (batch, clue)).map(|miss| miss.why)
}

/// Whether a bound holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What is bounded.
    pub about: About,
    /// The coalition's part of the nodes; none where all look on.
    pub coalition: Option<f64>,
    /// What is bounded, in words.
    pub what: String,
    /// What was measured.
    pub seen: f64,
    /// The most that is promised.
    pub bound: f64,
    /// Whether it holds, or is broken by no more than chance may.
    pub kept: bool,
    /// Why it is known not to hold; none if nobody knew, or if it holds.
    pub known: Option<&'static str>,
}

impl Verdict {
    fn new(about: About, coalition: Option<f64>, (seen, bound): (f64, f64), kept: bool) -> Self {
        let with = coalition.map_or_else(String::new, |part| format!(", c = {part}"));
        let what = match about {
            About::Linked { requests } => format!("linked after {requests} requests{with}"),
            About::LinkedAmong { nodes } => format!("linked in the network of {nodes} nodes{with}"),
            About::Guards(seating) => format!("bad among guards drawn{with}, {seating}"),
            About::Relays(seating) => format!("bad among relays drawn{with}, {seating}"),
            About::Sights => "sights of a client beside its guard's".to_owned(),
            About::OneFile { clue, batch } => {
                format!("shards of one file told by \"{}\"{with}, files {}", clue.name(), batch.name())
            }
        };
        let known = match about {
            About::OneFile { clue, batch } if !kept => known_miss(batch, clue),
            _ => None,
        };
        Self { about, coalition, what, seen, bound, kept, known }
    }

    /// A share, which is above its bound only if that is no chance.
    pub(super) fn rate(about: About, coalition: f64, rate: Rate, bound: f64) -> Self {
        Self::new(about, Some(coalition), (rate.share, bound), !rate.is_above(bound))
    }

    /// A figure.
    pub(super) fn at_most(about: About, coalition: Option<f64>, seen: f64, bound: f64) -> Self {
        Self::new(about, coalition, (seen, bound), seen <= bound)
    }

    /// "kept", "not kept", or "not kept (known: why)".
    #[must_use]
    pub fn words(&self) -> String {
        match (self.kept, self.known) {
            (true, _) => "kept".to_owned(),
            (false, None) => "not kept".to_owned(),
            (false, Some(why)) => format!("not kept (known: {why})"),
        }
    }
}

/// What verdicts come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All bounds hold.
    Kept,
    /// Some do not, all of which are known not to.
    KnownMisses,
    /// One does not of which that was not known.
    NewMisses,
}

impl Outcome {
    /// The worst of all verdicts.
    #[must_use]
    pub fn of(verdicts: &[Verdict]) -> Self {
        let one = |verdict: &Verdict| match (verdict.kept, verdict.known) {
            (true, _) => Self::Kept,
            (false, Some(_)) => Self::KnownMisses,
            (false, None) => Self::NewMisses,
        };
        verdicts.iter().map(one).max().unwrap_or(Self::Kept)
    }

    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Kept => "all bounds hold",
            Self::KnownMisses => "not all bounds hold; those that do not are known not to",
            Self::NewMisses => "NEW: a bound does not hold that did",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{About, Batch, Clue, Outcome, Verdict};

    fn seen(batch: Batch, clue: Clue, seen: f64) -> Verdict {
        Verdict::at_most(About::OneFile { clue, batch }, Some(0.1), seen, 0.55)
    }

    #[test]
    fn what_is_known_is_told_and_is_never_called_kept() {
        let kept = seen(Batch::AtOnce, Clue::StoredTogether, 0.53);
        let known = seen(Batch::Alone, Clue::StoredTogether, 0.99);
        let new = seen(Batch::AtOnce, Clue::StoredTogether, 0.66);
        let of = |verdicts: &[&Verdict]| Outcome::of(&verdicts.iter().map(|one| (*one).clone()).collect::<Vec<_>>());
        assert_eq!(of(&[&kept]), Outcome::Kept);
        assert_eq!(of(&[&kept, &known]), Outcome::KnownMisses);
        assert_eq!(of(&[&new, &kept, &known]), Outcome::NewMisses);
        assert!(!known.kept && known.words().starts_with("not kept (known: nobody else"));
        assert_eq!((kept.words().as_str(), new.words().as_str()), ("kept", "not kept"));
        // Only what takes a clock, and only where nobody else is there.
        assert!(seen(Batch::Alone, Clue::SamePlace, 0.6).known.is_none());
        assert!(seen(Batch::Spread, Clue::FetchedTogether, 0.6).known.is_none());
        assert!(seen(Batch::Alone, Clue::StoredTogether, 0.5).known.is_none(), "it holds");
    }

    #[test]
    fn programs_read_which_it_is() {
        let known = seen(Batch::Alone, Clue::FetchedTogether, 1.0);
        let json = serde_json::to_value(&known).unwrap();
        assert!(json["kept"] == false && json["known"].is_string());
        assert_eq!(serde_json::to_value(Outcome::of(&[known])).unwrap(), "known_misses");
    }
}
