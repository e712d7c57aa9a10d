//! How many of several things happen that have each their own chance.

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

/// The mean and the central 95 % of how many of independent events happen (the Poisson binomial distribution, computed in
/// full). Time and memory: the square of their number, and their number.
pub fn interval(chances: &[f64]) -> Interval {
    let mut likely = vec![0.0; chances.len() + 1];
    likely[0] = 1.0;
    for (seen, chance) in chances.iter().enumerate() {
        for count in (0..=seen).rev() {
            let here = likely[count];
            likely[count + 1] += here * chance;
            likely[count] = here * (1.0 - chance);
        }
    }
    let tail = |counts: &mut dyn Iterator<Item = usize>| {
        let mut sum = 0.0;
        counts
            .take_while(|&count| {
                sum += likely[count];
                sum <= 0.025
            })
            .count()
    };
    let low = tail(&mut (0..likely.len()));
    let high = chances.len() - tail(&mut (0..likely.len()).rev());
    Interval { mean: chances.iter().sum(), low, high }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_things_leave_no_choice() {
        assert_eq!(interval(&[1.0; 7]), Interval { mean: 7.0, low: 7, high: 7 });
        assert_eq!(interval(&[0.0; 7]), Interval { mean: 0.0, low: 0, high: 0 });
        assert_eq!(interval(&[]), Interval { mean: 0.0, low: 0, high: 0 });
    }

    /// Tables of the binomial distribution: of 100 fair coins 40 to 60 show heads.
    #[test]
    fn equal_chances_are_binomial() {
        let coins = interval(&[0.5; 100]);
        assert_eq!((coins.low, coins.high), (40, 60));
        let rare = interval(&[0.01; 100]);
        assert_eq!((rare.low, rare.high), (0, 3));
    }
}
