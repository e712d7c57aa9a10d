//! Exact bounds for what was counted: an oracle that judges a share by its bound shall not call it broken by mere chance.

use serde::Serialize;

/// What is left to chance when a bound is called broken: once in so many.
const DOUBT: f64 = 1e-3;
/// Halvings of an interval's search: beyond what a double tells apart.
const HALVINGS: usize = 60;

/// So many of so many, with the interval that holds the true share with 95 % (Clopper and Pearson 1934).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rate {
    /// How often it happened.
    pub hits: u64,
    /// How often it could have.
    pub trials: u64,
    /// The share of the two.
    pub share: f64,
    /// The least true share that is believed.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Rate {
    /// The share of `hits` among independent `trials`; nought of nought is nought, and may be anything.
    #[must_use]
    pub fn of(hits: u64, trials: u64) -> Self {
        let share = if trials == 0 { 0.0 } else { hits as f64 / trials as f64 };
        let low = if hits == 0 { 0.0 } else { solve(|chance| tail(trials, hits, chance) < 0.025) };
        let high = if hits >= trials { 1.0 } else { solve(|chance| 1.0 - tail(trials, hits + 1, chance) > 0.025) };
        Self { hits, trials, share, low, high }
    }

    /// Whether the true share is above `bound`, but for one chance in a thousand.
    #[must_use]
    pub fn is_above(&self, bound: f64) -> bool {
        self.is_above_but_for(bound, DOUBT)
    }

    /// Whether the true share is above `bound`, but for so small a chance: for who judges so often that one in a thousand comes about.
    #[must_use]
    pub fn is_above_but_for(&self, bound: f64, doubt: f64) -> bool {
        self.share > bound && tail(self.trials, self.hits, bound) < doubt
    }
}

/// The least true share that `hits` of `trials` show with 95 %, where nobody asks how great it may be (Clopper and Pearson, one-sided):
/// of as many trials that all succeeded, all but three by their number.
#[must_use]
pub fn shown(hits: u64, trials: u64) -> f64 {
    if hits == 0 { 0.0 } else { solve(|chance| tail(trials, hits, chance) < 0.05) }
}

/// The greatest number between 0 and 1 up to which `below` holds.
fn solve(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        *(if below(middle) { &mut low } else { &mut high }) = middle;
    }
    low
}

/// The chance of `hits` or more in `trials` that succeed with `chance` each.
#[must_use]
pub fn tail(trials: u64, hits: u64, chance: f64) -> f64 {
    if hits == 0 || chance >= 1.0 {
        return if hits <= trials { 1.0 } else { 0.0 };
    }
    if hits > trials || chance <= 0.0 {
        return 0.0;
    }
    // In logarithms: single terms are as small as 1e-1000.
    let choose: f64 = (1..=hits).map(|i| ((trials - hits + i) as f64 / i as f64).ln()).sum();
    let (log_yes, log_no) = (chance.ln(), (-chance).ln_1p());
    let mut term = choose + hits as f64 * log_yes + (trials - hits) as f64 * log_no;
    let (mut most, mut sum) = (term, 1.0);
    for x in hits..trials {
        term += ((trials - x) as f64 / (x + 1) as f64).ln() + log_yes - log_no;
        if term > most {
            sum = sum * (most - term).exp() + 1.0;
            most = term;
        } else {
            sum += (term - most).exp();
        }
    }
    (most.exp() * sum).min(1.0)
}

/// The chance that a number drawn from `alike` is above one drawn from `unlike`, half for a tie: the area under the curve that
/// shows what a guess by such numbers is worth (Mann and Whitney 1947). One half is no better than a coin. None if either is empty.
#[must_use]
pub fn area(alike: &[f64], unlike: &[f64]) -> Option<f64> {
    if alike.is_empty() || unlike.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, bool)> =
        alike.iter().map(|&score| (score, true)).chain(unlike.iter().map(|&score| (score, false))).collect();
    all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut sum) = (0.0, 0.0);
    for tied in all.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let yes = tied.iter().filter(|(_, alike)| *alike).count() as f64;
        let no = tied.len() as f64 - yes;
        sum += yes * (below + no / 2.0);
        below += no;
    }
    Some(sum / (alike.len() as f64 * unlike.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::{Rate, area, shown, tail};

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-3
    }

    #[test]
    fn tails_are_those_of_the_binomial() {
        assert!(near(tail(10, 0, 0.3), 1.0) && near(tail(10, 1, 0.5), 1.0 - 0.5_f64.powi(10)));
        assert!(near(tail(10, 5, 0.5), 0.623) && near(tail(100, 20, 0.1), 0.00198));
        assert_eq!((tail(10, 11, 0.5), tail(10, 1, 0.0), tail(10, 10, 1.0)), (0.0, 0.0, 1.0));
        // Far below what a double holds: no nonsense.
        assert!(tail(100_000, 90_000, 0.01) < 1e-300 && near(tail(100_000, 10, 0.9), 1.0));
    }

    #[test]
    fn intervals_are_those_of_the_tables() {
        let rate = Rate::of(5, 100);
        assert!(near(rate.share, 0.05) && near(rate.low, 0.0164) && near(rate.high, 0.1128), "{rate:?}");
        let (none, all, unknown) = (Rate::of(0, 20), Rate::of(20, 20), Rate::of(0, 0));
        assert!(near(none.high, 0.1684) && none.low == 0.0 && near(all.low, 0.8316) && all.high == 1.0);
        assert!(unknown.low == 0.0 && unknown.high == 1.0 && !unknown.is_above(0.0));
    }

    #[test]
    fn of_trials_that_all_succeed_all_but_three_by_their_number_are_shown() {
        assert!([300_u64, 3_000].iter().all(|&trials| near(shown(trials, trials), 1.0 - 3.0 / trials as f64)));
        assert!(near(shown(50, 50), 0.9418) && near(shown(95, 100), 0.8977));
        assert_eq!((shown(0, 10), shown(0, 0)), (0.0, 0.0));
    }

    #[test]
    fn a_bound_is_broken_by_more_than_chance() {
        assert!(!Rate::of(12, 100).is_above(0.1) && !Rate::of(20, 100).is_above(0.1));
        assert!(Rate::of(21, 100).is_above(0.1) && Rate::of(1, 100).is_above(0.0));
        let all = |count| Rate::of(count, count).is_above_but_for(0.2, 1e-6);
        assert!(!all(8) && all(9));
    }

    #[test]
    fn areas_are_the_share_of_pairs_in_order() {
        assert_eq!(area(&[3.0, 4.0], &[1.0, 2.0]), Some(1.0));
        assert_eq!(area(&[1.0, 2.0], &[3.0, 4.0]), Some(0.0));
        assert_eq!(area(&[1.0, 1.0], &[1.0]), Some(0.5));
        assert_eq!(area(&[2.0, 0.0], &[1.0]), Some(0.5));
        assert_eq!(area(&[], &[1.0]), None);
    }
}
