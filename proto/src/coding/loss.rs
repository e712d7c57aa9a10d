//! The exact chance that a stripe is lost, given where its shards lie.

/// The probability that fewer than `k` shards of a stripe are left when `dead` of `loads.len()` nodes die at once, all
/// sets of that many nodes being equally likely; `loads[i]` shards of the stripe lie on node `i`.
///
/// Exact up to rounding, and precise for tiny probabilities too: only products and sums of positive numbers. The time
/// grows with (nodes that hold a shard)² × shards, whatever the number of other nodes.
pub fn loss(k: usize, loads: &[u32], dead: usize) -> f64 {
    let nodes = loads.len();
    let dead = dead.min(nodes);
    let total: usize = loads.iter().map(|&load| load as usize).sum();
    let Some(spare) = total.checked_sub(k) else { return 1.0 };

    // alive[j][s]: the probability that, of the holders looked at so far, j are dead and s ≤ spare shards are lost. The
    // nodes that hold nothing need no look: given j dead of i seen, the next one is dead with (dead - j) / (nodes - i).
    let holders = loads.iter().map(|&load| load as usize).filter(|&load| load > 0);
    let dead_seen_max = dead.min(loads.iter().filter(|&&load| load > 0).count());
    let mut alive = vec![vec![0.0; spare + 1]; dead_seen_max + 1];
    alive[0][0] = 1.0;
    let mut lost = 0.0;
    for (seen, load) in holders.enumerate() {
        for j in (0..=dead_seen_max.min(seen)).rev() {
            let dies = (dead - j) as f64 / (nodes - seen) as f64;
            for s in (0..=spare).rev() {
                let p = alive[j][s];
                if p == 0.0 {
                    continue;
                }
                alive[j][s] = p * (1.0 - dies).max(0.0);
                if dies == 0.0 {
                    continue;
                }
                if s + load > spare {
                    lost += p * dies;
                } else if let Some(next) = alive.get_mut(j + 1) {
                    next[s + load] += p * dies;
                }
            }
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word for word.
    fn by_counting(k: usize, loads: &[u32], dead: usize) -> f64 {
        let (mut sets, mut bad) = (0u32, 0u32);
        for set in 0u32..1 << loads.len() {
            if set.count_ones() as usize == dead {
                let left: u32 =
                    loads.iter().enumerate().filter(|(i, _)| set & (1 << i) == 0).map(|(_, load)| load).sum();
                sets += 1;
                bad += u32::from((left as usize) < k);
            }
        }
        f64::from(bad) / f64::from(sets)
    }

    proptest! {
        #[test]
        fn is_what_counting_all_sets_gives(
            loads in proptest::collection::vec(0u32..5, 1..11), dead in 0usize..11, k in 1usize..12,
        ) {
            let dead = dead.min(loads.len());
            let (fast, slow) = (loss(k, &loads, dead), by_counting(k, &loads, dead));
            prop_assert!((fast - slow).abs() < 1e-12, "{fast} is not {slow}");
        }
    }

    #[test]
    fn one_shard_per_node_comes_near_the_binomial_in_a_large_network() {
        let mut loads = vec![0; 10_000];
        loads[..113].fill(1);
        let lost = loss(32, &loads, 5_000);
        assert!((5e-7..1e-6).contains(&lost), "{lost}");
    }

    #[test]
    fn forty_nodes_survive_the_death_of_half_if_the_shards_lie_evenly() {
        let loads: Vec<u32> = (0..40).map(|i| if i < 113 % 40 { 3 } else { 2 }).collect();
        assert_eq!(loss(32, &loads, 20), 0.0);
        assert_eq!(loss(32, &loads, 40), 1.0);
    }

    #[test]
    fn the_ends_are_certain() {
        assert_eq!(loss(2, &[], 0), 1.0);
        assert_eq!(loss(2, &[1], 0), 1.0);
        assert_eq!(loss(2, &[1, 1], 0), 0.0);
        assert_eq!(loss(2, &[1, 1], 1), 1.0);
        assert_eq!(loss(2, &[3, 0, 0], 1), 1.0 / 3.0);
    }
}
