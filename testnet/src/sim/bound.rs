//! Figures that were asked for, and what a sample shows of them.

use super::Goal;
use crate::anonymity::chance::shown;
use serde::Serialize;
use std::fmt;

/// One figure that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Bound {
    /// What it is about.
    pub goal: Goal,
    /// Of what.
    pub what: String,
    /// The figure.
    pub measured: f64,
    /// Its bound.
    pub bound: f64,
    /// Whether the bound is the least that is wanted; else it is the most.
    pub is_least: bool,
    /// Whether what was measured is within it.
    pub kept: bool,
    /// Where the figure is a share: of how many trials.
    pub n: Option<usize>,
    /// The least true share that so many trials show, with 95 %: were it less, as good a run would come by chance less often than once in
    /// twenty times. Below the bound: it is kept, and not shown; the trials are too few.
    pub shows: Option<f64>,
}

impl Bound {
    /// A figure that shall not be less.
    pub(super) fn at_least(goal: Goal, what: String, measured: f64, bound: f64) -> Bound {
        Bound { goal, what, measured, bound, is_least: true, kept: measured >= bound, n: None, shows: None }
    }

    /// A figure that shall not be more.
    pub(super) fn at_most(goal: Goal, what: String, measured: f64, bound: f64) -> Bound {
        Bound { goal, what, measured, bound, is_least: false, kept: measured <= bound, n: None, shows: None }
    }

    /// A share of `n` trials that shall not be less.
    pub(super) fn share(goal: Goal, what: String, share: f64, n: usize, bound: f64) -> Bound {
        let hits = (share * n as f64).round() as u64;
        Bound { n: Some(n), shows: Some(shown(hits, n as u64)), ..Bound::at_least(goal, what, share, bound) }
    }

    /// Of a share that is kept in fewer trials than it takes to show it: how many they are, and what they do show.
    #[must_use]
    pub fn few(&self) -> Option<(usize, f64)> {
        self.n.zip(self.shows).filter(|(_, shows)| self.kept && *shows < self.bound)
    }

    /// "kept", "not kept", or, of a share that is kept in fewer trials than it takes to show it, also what they do show.
    #[must_use]
    pub fn verdict(&self) -> String {
        match (self.kept, self.few()) {
            (false, _) => "not kept".to_owned(),
            (true, Some((n, shows))) => kept_by_few(n, shows),
            (true, None) => "kept".to_owned(),
        }
    }
}

/// What so few trials show of a share that is kept; rounded down: no more than they do.
pub(crate) fn kept_by_few(n: usize, shows: f64) -> String {
    format!("kept (n = {n}: shows ≥ {} %)", (shows * 1e3).floor() / 10.0)
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Bound { what, measured, bound, .. } = self;
        let (verdict, side) = (self.verdict(), if self.is_least { "≥" } else { "≤" });
        write!(f, "{verdict:8}  {what}: {measured:.4} ({side} {bound:.4})")
    }
}

#[cfg(test)]
mod tests {
    use super::{Bound, Goal};

    #[test]
    fn few_trials_keep_a_bound_and_do_not_show_it() {
        let of = |share, n| Bound::share(Goal::AmongLiars, "fetches".to_owned(), share, n, 0.999);
        assert_eq!(of(1.0, 50).verdict(), "kept (n = 50: shows ≥ 94.1 %)");
        assert_eq!(of(1.0, 2_900).verdict(), "kept (n = 2900: shows ≥ 99.8 %)");
        // Three by what the bound leaves: from there on none that fails is enough.
        assert_eq!(of(1.0, 3_000).verdict(), "kept");
        assert_eq!(of(0.9995, 4_000).verdict(), "kept (n = 4000: shows ≥ 99.8 %)");
        assert_eq!(of(0.98, 50).verdict(), "not kept");
        let json = serde_json::to_value(of(1.0, 50)).unwrap();
        assert_eq!(json["n"], 50);
        assert!((json["shows"].as_f64().unwrap() - 0.05_f64.powf(1.0 / 50.0)).abs() < 1e-9);
        assert!(of(1.0, 50).to_string().contains("n = 50: shows ≥ 94.1 %"));
        assert_eq!(Bound::at_most(Goal::Hops, "hops".to_owned(), 1.0, 1.0).verdict(), "kept");
    }
}
