//! Percentiles, the same way everywhere.

/// The least of some values, given in ascending order, that `percent` of 100 of them do not exceed (the nearest rank): of 50
/// values the 99th percentile is the greatest. None of no values.
#[must_use]
pub fn nearest_rank<T>(ascending: &[T], percent: usize) -> Option<&T> {
    let rank = (percent * ascending.len()).div_ceil(100).max(1);
    ascending.get(rank - 1)
}

#[cfg(test)]
mod tests {
    use super::nearest_rank;

    #[test]
    fn a_percentile_is_not_exceeded_by_that_many() {
        let values: Vec<usize> = (1..=50).collect();
        let at = |percent| nearest_rank(&values, percent).copied();
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(50), at(98), at(99), at(100)].map(Option::unwrap),
            [1, 1, 1, 2, 25, 49, 50, 50]
        );
        assert_eq!(nearest_rank(&[1, 2, 3], 50), Some(&2));
        assert_eq!(nearest_rank(&[1, 2, 3, 4], 50), Some(&2));
        assert_eq!(nearest_rank::<u8>(&[], 50), None);
    }
}
