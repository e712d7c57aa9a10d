//! Laws of the model, and its two halves against each other. All dice are seeded: a test that passes once always does.

use super::*;
use palimpsest_proto::coding::{Survive, geometry, loss};
use palimpsest_proto::params::PACK_BYTES_MAX;
use rand::SeedableRng;
use rand::rngs::StdRng;

const WORLD: World = World { life_days: 90.0, nodes: 1_000 };
/// So long that no node ends within what is looked at.
const STABLE: World = World { life_days: 1e12, nodes: 1_000 };

fn of(k: u8, n: u8) -> Geometry {
    Geometry::new(k, n).unwrap()
}

/// Six deviations around what is expected of `tries` with `chance`, one more, and what the model itself strays (a part).
fn near(seen: u64, tries: f64, chance: f64, stray: f64) -> bool {
    let expected = tries * chance;
    (seen as f64 - expected).abs() <= 6.0 * (expected * (1.0 - chance)).sqrt() + 1.0 + stray * expected
}

#[test]
fn no_failures_no_loss() {
    let policy = Policy::new(0.7, Some(24));
    let exact = durability(of(32, 113), policy, STABLE, &[0.0]);
    assert!(exact.loss_per_year < 1e-100 && exact.repairs_per_year < 1e-6, "{exact:?}");
    assert_eq!(exact.bursts_when_whole, [(0.0, 0.0)]);
    let seen = simulate(of(32, 113), policy, STABLE, None, 100, 1);
    assert_eq!((seen.lost, seen.repairs, seen.moved), (0, 0, 0));
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = |seed| simulate(of(16, 40), Policy::new(0.7, None), WORLD, Some(0.5), 20, seed);
    assert_eq!(tell(5), tell(5));
    assert_ne!(tell(5), tell(6));
}

#[test]
fn without_repair_a_burst_costs_what_coding_says() {
    // Nodes never end but in bursts, so that each burst meets a stripe that is whole.
    let policy = Policy::new(0.0, Some(0));
    for (k, n, part) in [(32, 60, 0.5), (16, 40, 0.5), (8, 14, 0.3), (32, 113, 0.7)] {
        let mut loads = vec![0; STABLE.nodes];
        loads[..usize::from(n)].fill(1);
        let chance = loss(k.into(), &loads, STABLE.dead(part));
        let mut dice = StdRng::seed_from_u64(11);
        let tries = 4_000;
        let mut left = || usize::from(n) - life::strike(&mut dice, n.into(), STABLE, part);
        let lost = (0..tries).filter(|_| left() < usize::from(k)).count() as u64;
        assert!(near(lost, f64::from(tries), chance, 0.0), "{k}-of-{n} at {part}: {lost} of {tries}, not {chance}");
        let exact = durability(of(k, n), policy, STABLE, &[part]);
        assert!((exact.bursts[0].1 - chance).abs() <= 1e-9 * chance, "{exact:?}");
        assert_eq!(exact.bursts_when_whole, [(part, chance)]);
    }
}

#[test]
fn the_geometry_keeps_its_promise_while_the_stripe_is_whole() {
    for survive in [Survive::Tenth, Survive::Third, Survive::Half] {
        let geometry = geometry(PACK_BYTES_MAX, survive, 64);
        let exact = durability(geometry, Policy::new(0.7, Some(24)), WORLD, &[survive.fraction()]);
        assert!(64.0 * exact.bursts_when_whole[0].1 <= 1e-6, "{survive}: {exact:?}");
    }
}

#[test]
fn the_chain_and_the_dice_tell_the_same() {
    // Lives so short and codes so weak that losses are seen.
    for (k, n, life_days, low, patience, seed) in [
        (8, 14, 4.0, 0.7, None, 1),
        (8, 14, 4.0, 0.7, Some(24), 2),
        (32, 60, 30.0, 0.7, None, 3),
        (32, 113, 30.0, 0.7, Some(24), 4),
        (32, 113, 90.0, 0.8, None, 5),
        (16, 40, 10.0, 0.5, None, 6),
    ] {
        let (world, policy) = (World { life_days, nodes: 500 }, Policy::new(low, patience));
        let geometry = of(k, n);
        let exact = durability(geometry, policy, world, &[0.5]);
        let seen = simulate(geometry, policy, world, None, 1_000, seed);
        let told = format!("{geometry} {policy}: {exact:?} {seen:?}");
        let close = |seen: f64, exact: f64| (seen / exact - 1.0).abs() < 0.06;
        assert!(close(seen.repairs as f64 / seen.years, exact.repairs_per_year), "{told}");
        assert!(close(seen.moved as f64 / seen.years / geometry.n() as f64, exact.traffic_per_year), "{told}");
        assert!(close(seen.shard_hours / seen.years / YEAR_HOURS / geometry.n() as f64, exact.left), "{told}");
        // Losses are counted, also the second one in a year.
        let per_hour = -(-exact.loss_per_year).ln_1p() / YEAR_HOURS;
        assert!(near(seen.lost, seen.years * YEAR_HOURS, per_hour, 0.06), "{told}");

        let seen = simulate(geometry, policy, world, Some(0.5), 1_000, seed);
        assert!(near(seen.lost_in_bursts, seen.bursts as f64, exact.bursts[0].1, 0.06), "{exact:?} {seen:?}");
    }
}

#[test]
fn the_earlier_the_repair_the_rarer_the_loss() {
    let world = World { life_days: 30.0, nodes: 1_000 };
    let with = |low, patience| durability(of(32, 113), Policy::new(low, patience), world, &[0.3, 0.5]);
    let row =
        [with(0.5, None), with(0.6, None), with(0.7, None), with(0.8, None), with(0.9, None), with(0.9, Some(24))];
    for pair in row.windows(2) {
        let [lazy, eager] = pair else { panic!("windows of two") };
        assert!(eager.loss_per_year < lazy.loss_per_year || lazy.loss_per_year < 1e-25, "{pair:?}");
        assert!(eager.bursts.iter().zip(&lazy.bursts).all(|(eager, lazy)| eager.1 < lazy.1), "{pair:?}");
        // It has its price.
        assert!(eager.traffic_per_year > lazy.traffic_per_year && eager.left > lazy.left, "{pair:?}");
    }
    // Later notice, more loss.
    let late = Policy { detection_hours: 96, ..Policy::new(0.5, None) };
    let late = durability(of(32, 113), late, world, &[]);
    assert!(late.loss_per_year > row[0].loss_per_year);
}

#[test]
fn a_file_is_lost_with_any_of_its_stripes() {
    assert!((any_of(1, 0.25) - 0.25).abs() < 1e-12);
    assert!((any_of(2, 0.25) - 0.4375).abs() < 1e-12);
    assert!((any_of(1_000_000, 1e-20) / 1e-14 - 1.0).abs() < 1e-9);
    assert_eq!((any_of(5, 0.0), any_of(5, 1.0)), (0.0, 1.0));
}

#[test]
fn the_low_mark_is_a_part_of_all() {
    let low = |part, n| Policy::new(part, None).low_count(of(2, n));
    assert_eq!((low(0.7, 10), low(0.7, 113), low(1.0, 10), low(0.0, 10)), (7, 79, 9, 0));
}
