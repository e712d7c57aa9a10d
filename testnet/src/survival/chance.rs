//! How many of several files survive, where they share their dead nodes and so are not independent of each other.

use serde::Serialize;

/// How many standard errors two true means may seem to lie apart: more would come by chance once in two million times.
const ERRORS: f64 = 5.0;
/// Draws of which what happens but once may happen in none: it then changes the true mean, and not what was drawn (once in twenty
/// times where it happens three times in as many draws on average).
const UNSEEN: f64 = 3.0;

/// What one has to expect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// On average, by the formula.
    pub mean: f64,
    /// The same by dice.
    pub drawn: f64,
    /// How far these two may lie apart if both are right.
    pub tolerance: f64,
    /// The least number that is not among the 2.5 % of smallest outcomes.
    pub low: usize,
    /// The greatest that is not among the 2.5 % of greatest.
    pub high: usize,
    /// The least outcome that any draw had.
    pub least: usize,
    /// The greatest.
    pub greatest: usize,
}

impl Interval {
    /// Whether this many is no surprise. Where all is right it is one, all the same, in up to one of twenty cases.
    pub fn contains(&self, count: usize) -> bool {
        (self.low..=self.high).contains(&count)
    }

    /// Whether this many happened in any draw: if it did not, luck is no excuse.
    pub fn is_possible(&self, count: usize) -> bool {
        (self.least..=self.greatest).contains(&count)
    }

    /// Whether formula and dice tell the same.
    pub fn is_consistent(&self) -> bool {
        (self.mean - self.drawn).abs() <= self.tolerance
    }
}

/// The central 95 % of many equally likely outcomes, of which there is at least one and none is above `most`.
pub fn interval(mean: f64, most: usize, mut outcomes: Vec<usize>) -> Interval {
    outcomes.sort_unstable();
    let beside = outcomes.len() / 40;
    let at = |place: usize| outcomes.get(place).copied().unwrap_or(0);
    let count = outcomes.len() as f64;
    let drawn = outcomes.iter().sum::<usize>() as f64 / count;
    let variance = outcomes.iter().map(|&outcome| (outcome as f64 - drawn).powi(2)).sum::<f64>() / count;
    let tolerance = ERRORS * (variance / count).sqrt() + UNSEEN / count * most as f64;
    let last = outcomes.len().saturating_sub(1);
    Interval { mean, drawn, tolerance, low: at(beside), high: at(last - beside), least: at(0), greatest: at(last) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_forty_is_left_out_at_each_end() {
        let outcomes: Vec<usize> = (0..1_000).rev().collect();
        let law = interval(499.5, 1_000, outcomes);
        assert_eq!((law.low, law.high, law.drawn), (25, 974, 499.5));
        assert!(law.is_possible(0) && law.is_possible(999) && !law.is_possible(1_000));
        let certain = interval(7.0, 10, vec![7; 1_000]);
        assert!(certain.contains(7) && !certain.contains(6) && !certain.contains(8));
    }

    #[test]
    fn a_formula_that_says_something_else_than_the_dice_is_found_out() {
        let outcomes: Vec<usize> = (0..1_000).map(|draw| 40 + draw % 21).collect();
        let of = |mean| interval(mean, 100, outcomes.clone());
        // 50 on average, with a deviation of 6: 5 × 6 / √1,000 = 0.96, and 0.3.
        assert!((of(50.0).tolerance - 1.26).abs() < 0.01, "{:?}", of(50.0));
        assert!([49.0, 50.0, 51.0].into_iter().all(|mean| of(mean).is_consistent()));
        assert!([48.5, 51.5, 100.0].into_iter().all(|mean| !of(mean).is_consistent()));
        // Always the same was drawn: what happens more seldom than a few times in a thousand may be true all the same.
        let certain = |mean| interval(mean, 100, vec![100; 1_000]).is_consistent();
        assert!(certain(99.8) && !certain(99.6));
    }
}
