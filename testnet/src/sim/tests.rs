//! The whole, small: what a continuous integration has time for. The figures of networks of 10,000 nodes are made by command.

use super::{Options, Part, Report, measure};

fn tell(parts: &[Part], nodes: usize, seed: u64, trials: usize) -> Report {
    let options = Options::new(parts.to_vec(), nodes, seed, trials);
    let report = measure(&options).unwrap_or_else(|error| panic!("{error}; replay: {options}"));
    println!("{}", report.lines().join("\n"));
    report
}

/// Fails with the seed and the command that shows it again.
fn must_keep(report: &Report) {
    report.verdict().unwrap_or_else(|broken| panic!("{broken}"));
}

#[test]
fn the_same_seed_tells_the_same_story_and_another_another() {
    let story = |seed| tell(&Part::ALL, 300, seed, 20);
    let (one, other) = (story(7), story(8));
    assert_eq!(serde_json::to_string(&story(7)).unwrap(), serde_json::to_string(&one).unwrap());
    assert_ne!((&one.lookups, &one.load), (&other.lookups, &other.load));
    assert_ne!((&one.movement, &one.sync), (&other.movement, &other.sync));
    assert_ne!((&one.durability, &one.adversaries), (&other.durability, &other.adversaries));
}

#[test]
fn ten_thousand_nodes_find_each_other() {
    must_keep(&tell(&[Part::Lookups], 10_000, 1, 2_000));
}

#[test]
fn a_join_and_a_leave_move_their_part() {
    must_keep(&tell(&[Part::Movement], 10_000, 1, 3_000));
}

#[test]
fn holders_are_loaded_evenly() {
    must_keep(&tell(&[Part::Load], 500, 1, 100));
}

/// A season, so that there is much to repair where nodes live a month, and something where they live half a year.
#[test]
fn stripes_are_repaired_and_none_is_lost_or_out_of_reach() {
    let options = Options { years: Some(0.3), ..Options::new(vec![Part::Durability], 150, 1, 1) };
    let report = measure(&options).unwrap();
    println!("{}", report.lines().join("\n"));
    assert_eq!(report.bounds.len(), 12);
    must_keep(&report);
    // A time in which nothing breaks shows nothing.
    let hour = measure(&Options { years: Some(0.001), ..options }).unwrap();
    assert!(hour.verdict().unwrap_err().contains("repairs in"));
}

#[test]
fn liars_and_ground_ids_do_not_keep_a_reader_from_its_stripe() {
    must_keep(&tell(&[Part::Adversaries], 600, 1, 50));
}

#[test]
fn a_broken_bound_names_the_seed_and_the_command() {
    let mut report = tell(&[Part::Movement], 300, 5, 10);
    report.bounds.iter_mut().for_each(|bound| bound.kept = false);
    let broken = report.verdict().unwrap_err();
    assert!(broken.contains("seed 5") && broken.contains("pal-testnet simulate --parts movement --nodes 300 --seed 5"));
}
