use super::*;
use crate::crypto;
use crate::flow::sim::{Manners, World};
use crate::ids::RecordAddress;
use crate::select::candidates;
use std::collections::BTreeSet;

fn addresses(world: &World, seed: u8) -> Vec<Vec<NodeId>> {
    (0..3).map(|i| candidates(&world.table, &RecordAddress(crypto::hash(&[seed, i])).position())).collect()
}

#[test]
fn found_at_once_in_a_healthy_network() {
    let mut world = World::new(40, 1);
    let mut hunt = RecordHunt::new(addresses(&world, 1));
    let took = world.run(&mut [&mut hunt], |_, _, _| true);
    assert_eq!(hunt.verdict(), Some(HuntVerdict::Found));
    assert!(world.requests <= 4 && took < Duration::from_millis(30), "{} {took:?}", world.requests);
}

#[test]
fn found_though_half_are_dead_or_hung() {
    let mut total = Duration::ZERO;
    for seed in 0..30 {
        let mut world = World::new(40, seed);
        world.spoil(20, Manners::Dead);
        let mut hunt = RecordHunt::new(addresses(&world, seed as u8));
        let took = world.run(&mut [&mut hunt], |_, _, _| true);
        assert_eq!(hunt.verdict(), Some(HuntVerdict::Found));
        total += took;
        assert!(took < Duration::from_secs(4), "seed {seed}: {took:?}");
    }
    println!("{:?} on average", total / 30);
    assert!(total < 30 * Duration::from_millis(800), "{total:?}");
}

#[test]
fn found_among_liars() {
    for seed in 0..10 {
        let mut world = World::new(40, seed);
        world.spoil(15, Manners::Garbage);
        world.spoil(20, Manners::Denies);
        let mut hunt = RecordHunt::new(addresses(&world, seed as u8));
        let took = world.run(&mut [&mut hunt], |_, _, _| true);
        assert_eq!(hunt.verdict(), Some(HuntVerdict::Found));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }
}

#[test]
fn absent_needs_the_word_of_most() {
    let mut world = World::new(40, 2);
    let mut hunt = RecordHunt::new(addresses(&world, 2));
    let took = world.run(&mut [&mut hunt], |_, _, _| false);
    assert_eq!(hunt.verdict(), Some(HuntVerdict::Absent { said: 60, asked: 60 }));
    assert!(took < Duration::from_millis(300), "{took:?}");

    let mut world = World::new(40, 3);
    world.spoil(20, Manners::Dead);
    let mut hunt = RecordHunt::new(addresses(&world, 2));
    let took = world.run(&mut [&mut hunt], |_, _, _| false);
    assert!(
        matches!(hunt.verdict(), Some(HuntVerdict::Unreachable { said: 10.., asked: 50.. })),
        "{:?}",
        hunt.verdict()
    );
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[test]
fn nobody_known_is_unreachable() {
    let verdict = RecordHunt::new(vec![vec![]; 3]).verdict();
    assert_eq!(verdict, Some(HuntVerdict::Unreachable { said: 0, asked: 0 }));
}

#[test]
fn one_record_is_spread_to_all_its_holders() {
    let mut world = World::new(40, 4);
    world.spoil(10, Manners::Dead);
    let places = addresses(&world, 4);
    let mut spread = crate::flow::RecordSpread::new(places.clone(), crate::params::CANDIDATES);
    world.run(&mut [&mut spread], |_, _, _| true);
    for (candidates, stored) in places.iter().zip(spread.stored()) {
        let living = candidates.iter().filter(|id| world.manners[*id] == Manners::Honest).collect::<BTreeSet<_>>();
        assert_eq!(*stored, living.len());
    }
    assert!(world.requests < 120, "{}", world.requests);
}
