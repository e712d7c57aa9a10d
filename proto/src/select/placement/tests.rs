use super::*;
use crate::select::testing::{network, table_of};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn locators(seed: u64, count: usize) -> Vec<Locator> {
    (0..count).map(|i| Locator(crate::crypto::hash(&[seed.to_le_bytes(), (i as u64).to_le_bytes()].concat()))).collect()
}

fn loads(placement: &Placement) -> Vec<u32> {
    placement.loads().map(|(_, load)| load).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn candidates_are_the_nearest(count in 0..200u16, position: [u8; 32], shared in 0..32usize) {
        // Some positions are made to lie right beside a node.
        let nodes = network(count);
        let mut position = Position(position);
        if let Some(node) = nodes.first() {
            position.0[..shared].copy_from_slice(&node.id.position().0[..shared]);
        }
        let mut all: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
        all.sort_by_key(|id| id.position().distance(&position));
        all.truncate(CANDIDATES);
        prop_assert_eq!(candidates(&table_of(&nodes), &position), all);
    }

    #[test]
    fn every_shard_has_a_home_and_no_node_can_rebuild(count in 4..120u16, seed: u64) {
        let placement = place(&table_of(&network(count)), &locators(seed, 113), 32);
        prop_assert_eq!(loads(&placement).iter().sum::<u32>(), 113);
        prop_assert!(loads(&placement).iter().all(|&load| load < 32));
        for i in 0..113 {
            let distinct: BTreeSet<_> = placement.candidates(i).iter().collect();
            prop_assert_eq!(distinct.len(), CANDIDATES.min(count.into()));
        }
    }
}

#[test]
fn no_node_no_candidates() {
    let placement = place(&NodeTable::new(), &locators(1, 5), 2);
    assert_eq!(placement.shards(), 5);
    assert!((0..6).all(|i| placement.candidates(i).is_empty()));
}

#[test]
fn where_most_candidates_are_dead_more_are_taken() {
    let table = table_of(&network(100));
    let position = locators(1, 1)[0].position();
    let all = nearest(&table, &position, 100);
    let every = |n: usize| {
        let all = &all;
        living_candidates(&table, &position, move |id| all.iter().position(|other| other == id).unwrap() % n == n - 1)
    };
    assert_eq!((every(1), every(2)), (candidates(&table, &position), candidates(&table, &position)));
    // Every fourth one lives: 40, of which ten live, the last one among them.
    assert_eq!(every(4), all[..2 * CANDIDATES]);
    assert_eq!(every(50), all[..3 * CANDIDATES]);
}

#[test]
fn two_nodes_bear_what_they_must() {
    let placement = place(&table_of(&network(2)), &locators(1, 113), 32);
    assert_eq!(loads(&placement).iter().sum::<u32>(), 113);
    assert_eq!(placement.hard_cap(), u32::MAX);
}

#[test]
fn loads_are_even_on_forty_nodes() {
    let table = table_of(&network(40));
    for seed in 0..20 {
        let placement = place(&table, &locators(seed, 113), 32);
        assert!(loads(&placement).iter().all(|&load| load <= 4), "{:?}", loads(&placement));
    }
}

/// For tables of which one lacks some nodes of the other: the share of shards whose true holder the reader looks for
/// first, and among the first three.
fn agreement(publisher: &NodeTable, reader: &NodeTable) -> (f64, f64) {
    let (mut first, mut third, mut all) = (0, 0, 0);
    for seed in 0..20 {
        let locators = locators(seed, 113);
        let (placed, looked) = (place(publisher, &locators, 32), place(reader, &locators, 32));
        for i in 0..113 {
            let Some(rank) = looked.candidates(i).iter().position(|id| *id == placed.candidates(i)[0]) else {
                // The reader does not know the holder: not found by any order.
                continue;
            };
            all += 1;
            first += usize::from(rank == 0);
            third += usize::from(rank < 3);
        }
    }
    (first as f64 / all as f64, third as f64 / all as f64)
}

#[test]
fn tables_that_differ_a_little_agree_on_most() {
    for total in [34u16, 36, 40, 100, 300] {
        let all = network(total);
        for missing in [1usize, 2, 4] {
            let part = table_of(&all[missing..]);
            let whole = table_of(&all);
            let (lacks, extra) = (agreement(&whole, &part), agreement(&part, &whole));
            let (first, third) = if missing == 1 { (0.85, 0.9) } else { (0.7, 0.85) };
            assert!(lacks.0.min(extra.0) > first, "{total} nodes, {missing}: {lacks:?} {extra:?}");
            assert!(lacks.1.min(extra.1) > third, "{total} nodes, {missing}: {lacks:?} {extra:?}");
        }
    }
}

#[test]
fn lost_nodes_keep_their_places() {
    let all = network(40);
    let whole = table_of(&all);
    let mut half_lost = whole.clone();
    all[..20]
        .iter()
        .for_each(|n| _ = half_lost.mark_lost(&n.id, crate::time::Moment(std::time::Duration::from_secs(1 << 40))));
    assert_eq!(half_lost.lost().count(), 20);
    assert_eq!(agreement(&whole, &half_lost), (1.0, 1.0));
}
