//! How many of several files survive, where they share their dead nodes and so are not independent of each other.

use serde::Serialize;

/// What one has to expect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// On average.
    pub mean: f64,
    /// The least number that is not among the 2.5 % of smallest outcomes.
    pub low: usize,
    /// The greatest that is not among the 2.5 % of greatest.
    pub high: usize,
}

impl Interval {
    /// Whether this many is no surprise.
    pub fn contains(&self, count: usize) -> bool {
        (self.low..=self.high).contains(&count)
    }
}

/// The central 95 % of many equally likely outcomes, of which there is at least one.
pub fn interval(mean: f64, mut outcomes: Vec<usize>) -> Interval {
    outcomes.sort_unstable();
    let beside = outcomes.len() / 40;
    let at = |place: usize| outcomes.get(place).copied().unwrap_or(0);
    Interval { mean, low: at(beside), high: at((outcomes.len() - beside).saturating_sub(1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_forty_is_left_out_at_each_end() {
        let outcomes: Vec<usize> = (0..1_000).rev().collect();
        assert_eq!(interval(499.5, outcomes), Interval { mean: 499.5, low: 25, high: 974 });
        let certain = interval(7.0, vec![7; 1_000]);
        assert!(certain.contains(7) && !certain.contains(6) && !certain.contains(8));
    }
}
