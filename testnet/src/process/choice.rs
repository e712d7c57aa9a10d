//! Which nodes a blow hits: a share of all, chosen by a seed and nothing else, so that a run can be told again.

use std::fmt;
use std::str::FromStr;

use crate::sample::SplitMix64;

/// A share of the nodes, from none to all.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fraction(f64);

/// Why a text is no [`Fraction`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fraction is a number from 0 to 1, such as 0.5, or a percentage, such as 50%")]
pub struct NotAFraction;

impl Fraction {
    /// Half of the nodes.
    pub const HALF: Self = Self(0.5);

    /// The share `value`, if it lies within 0 and 1.
    ///
    /// # Errors
    /// [`NotAFraction`] otherwise.
    pub fn new(value: f64) -> Result<Self, NotAFraction> {
        if (0.0..=1.0).contains(&value) { Ok(Self(value)) } else { Err(NotAFraction) }
    }

    /// The share, 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        self.0
    }

    /// How many of `all` this share is, rounded to the nearest, a half upwards.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and `all`")]
    pub fn of(self, all: usize) -> usize {
        ((all as f64 * self.0).round() as usize).min(all)
    }
}

impl FromStr for Fraction {
    type Err = NotAFraction;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (number, unit) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent, 100.0));
        Self::new(number.trim().parse::<f64>().map_err(|_| NotAFraction)? / unit)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0 * 100.0)
    }
}

/// The chosen among nodes `0..all`, ascending. The same seed with a larger fraction chooses these and more, and with
/// the same fraction the same: so that what was stopped can be continued.
#[must_use]
pub fn choose(all: u32, fraction: Fraction, seed: u64) -> Vec<u32> {
    // Each node draws a number of its own; the lowest are chosen.
    let mut drawn: Vec<(u64, u32)> = (0..all)
        .map(|index| {
            let start = SplitMix64::new(seed).next_u64();
            (SplitMix64::new(start ^ u64::from(index)).next_u64(), index)
        })
        .collect();
    drawn.sort_unstable();
    let mut chosen: Vec<u32> = drawn.iter().take(fraction.of(all as usize)).map(|&(_, index)| index).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Fraction, NotAFraction, choose};

    #[test]
    fn fractions_are_numbers_or_percentages() {
        assert_eq!("0.5".parse(), Ok(Fraction::HALF));
        assert_eq!("50%".parse(), Ok(Fraction::HALF));
        assert_eq!("1".parse(), Ok(Fraction(1.0)));
        assert_eq!("0%".parse(), Ok(Fraction(0.0)));
        for bad in ["", "%", "1.01", "101%", "-0.1", "NaN", "inf", "half", "0,5"] {
            assert_eq!(bad.parse::<Fraction>(), Err(NotAFraction), "{bad}");
        }
    }

    #[test]
    fn the_choice_of_a_seed_never_changes() {
        assert_eq!(choose(10, Fraction::HALF, 1), [0, 6, 7, 8, 9]);
    }

    #[test]
    fn every_node_is_hit_by_some_seed() {
        let hits = (0..64).flat_map(|seed| choose(40, Fraction::HALF, seed)).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(hits.len(), 40);
    }

    proptest! {
        #[test]
        fn as_many_as_asked_each_once_and_nested(all in 0_u32..200, small in 0.0..=1.0_f64, large in 0.0..=1.0_f64, seed in any::<u64>()) {
            let (small, large) = (Fraction(small.min(large)), Fraction(small.max(large)));
            let (few, many) = (choose(all, small, seed), choose(all, large, seed));
            assert_eq!(few.len(), small.of(all as usize));
            assert!(few.windows(2).all(|pair| pair[0] < pair[1]) && few.iter().all(|&index| index < all));
            assert!(few.iter().all(|index| many.contains(index)));
        }
    }
}
