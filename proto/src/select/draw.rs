//! Drawing by chance, from whatever the driver has for chance.

use rand_core::Rng;

/// A number below `count`; none below zero. (The bias, at most count / 2⁶⁴, is far below what anyone could see.)
pub(crate) fn below(rng: &mut impl Rng, count: usize) -> Option<usize> {
    (count > 0).then(|| ((u128::from(rng.next_u64()) * count as u128) >> 64) as usize)
}

/// `count` of these, or all if there are no more, each as likely as any other; in no particular order.
/// (Reservoir sampling: Vitter, ACM TOMS 11(1), 1985, algorithm R.)
pub(crate) fn sample<T>(rng: &mut impl Rng, all: impl Iterator<Item = T>, count: usize) -> Vec<T> {
    let mut drawn = Vec::with_capacity(count.min(all.size_hint().1.unwrap_or(count)));
    for (number, one) in all.enumerate() {
        if drawn.len() < count {
            drawn.push(one);
        } else if let Some(place) = below(rng, number + 1).and_then(|place| drawn.get_mut(place)) {
            *place = one;
        }
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn each_is_as_likely_as_any_other() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut times = [0; 20];
        for _ in 0..10_000 {
            let drawn = sample(&mut rng, 0..20, 4);
            assert_eq!(drawn.len(), 4);
            drawn.into_iter().for_each(|one: usize| times[one] += 1);
        }
        // 2,000 each on average; a deviation is 40.
        assert!(times.iter().all(|&times| (1_800..2_200).contains(&times)), "{times:?}");
        assert_eq!(sample(&mut rng, 0..3, 4), [0, 1, 2]);
        assert!(sample(&mut rng, 0..3, 0).is_empty() && below(&mut rng, 0).is_none());
    }
}
