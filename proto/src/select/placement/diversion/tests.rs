use super::*;
use crate::params::CANDIDATES;
use crate::record::Roles;
use crate::select::testing::{filled, network, node_at, table_of};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A locator by its number.
fn locator(number: u64) -> Locator {
    Locator(crypto::hash(&number.to_le_bytes()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn diversions_are_few_distinct_and_no_candidates(count in 0..200u16, bytes: [u8; 32]) {
        let (table, locator) = (table_of(&network(count)), Locator(bytes));
        let (near, far) = (candidates(&table, &locator.position()), diversions(&table, &locator));
        let all: BTreeSet<&NodeId> = near.iter().chain(&far).collect();
        prop_assert_eq!(all.len(), near.len() + far.len());
        prop_assert_eq!(far.len(), DIVERSIONS.min(usize::from(count).saturating_sub(CANDIDATES)));
    }

    /// Publisher, reader, warden and repairer have their tables from different hands, and some see their neighbours as lost.
    #[test]
    fn all_who_know_the_same_nodes_come_to_the_same(count in 1..120u16, bytes: [u8; 32], turn in 0..120usize) {
        let (mut nodes, locator) = (network(count), Locator(bytes));
        let one = table_of(&nodes);
        nodes.rotate_left(turn % usize::from(count));
        let mut other = table_of(&nodes);
        other.mark_lost(&nodes[0].id, crate::time::Moment(std::time::Duration::from_secs(1 << 40)));
        prop_assert_eq!(diversions(&one, &locator), diversions(&other, &locator));
        prop_assert_eq!(whereabouts(&one, &locator), whereabouts(&other, &locator));
    }

    /// A node that comes or goes takes or leaves its own place, and moves at most one candidate here or back.
    #[test]
    fn one_node_more_leaves_the_order_of_the_others(count in 30..150u16, bytes: [u8; 32]) {
        let nodes = network(count + 1);
        let locator = Locator(bytes);
        let (less, more) = (diversions(&table_of(&nodes[1..]), &locator), diversions(&table_of(&nodes), &locator));
        let common: Vec<&NodeId> = less.iter().filter(|id| more.contains(id)).collect();
        prop_assert_eq!(more.iter().filter(|id| less.contains(id)).collect::<Vec<_>>(), common.clone());
        prop_assert!(common.len() + 2 >= less.len());
    }
}

#[test]
fn every_node_is_as_likely_as_any_other() {
    let table = table_of(&network(200));
    let mut first: BTreeMap<NodeId, u32> = BTreeMap::new();
    for number in 0..20_000 {
        *first.entry(diversions(&table, &locator(number))[0]).or_default() += 1;
    }
    // 100 each on average, with a deviation of 10; of distances the luckiest has five times the mean.
    assert_eq!(first.len(), 200);
    assert!(first.values().all(|&times| (50..160).contains(&times)), "{:?}", first.values());
}

#[test]
fn where_there_is_room_nobody_is_asked_beside_the_candidates() {
    let mut nodes = network(60);
    let locator = locator(1);
    let near = candidates(&table_of(&nodes), &locator.position());
    let mut fill = |count: usize, fill: u8| {
        let wanted: BTreeSet<NodeId> = near[..count].iter().copied().collect();
        nodes.iter_mut().enumerate().filter(|(_, node)| wanted.contains(&node.id)).for_each(|(number, node)| {
            *node = filled(number as u16, fill);
        });
        whereabouts(&table_of(&nodes), &locator)
    };
    assert_eq!(fill(CANDIDATES, 74), Whereabouts::default());
    assert_eq!(fill(4, 100), Whereabouts::default());
    let first = fill(5, 75);
    assert_eq!((first.diversions.len(), first.likeliest), (DIVERSIONS, Some(near[0])));
    assert_eq!(fill(5, 100).likeliest, Some(near[5]));
    let far = fill(CANDIDATES, 100);
    assert_eq!(far.likeliest, Some(far.diversions[0]));
}

#[test]
fn who_only_relays_takes_nothing() {
    let mut nodes = network(40);
    nodes.push(node_at(40, [127, 0, 0, 1], Roles { holds: false, ..Roles::ALL }));
    let far = diversions(&table_of(&nodes), &locator(2));
    assert_eq!(far.len(), 20);
    assert!(!far.contains(&nodes[40].id));
    assert_eq!(diversions(&NodeTable::new(), &locator(2)), []);
    assert_eq!(whereabouts(&NodeTable::new(), &locator(2)), Whereabouts::default());
}

/// Another implementation may be tested against the same file.
#[test]
fn ranks_are_as_specified() {
    let bytes = |hex: &str| std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
    let mut salt = Salt::of(&locator(0));
    let (mut before, mut ranked) = (0, 0);
    for line in include_str!("../../../../tests/vectors/diversion.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.split_once('=').unwrap() {
            ("locator", hex) => (salt, before) = (Salt::of(&Locator(bytes(hex))), 0),
            ("salt", words) => assert_eq!(format!("{:016x} {:016x}", salt.0, salt.1), words),
            ("node", line) => {
                let (id, rank) = line.split_once(" rank=").unwrap();
                let found = salt.rank(&NodeId(bytes(id)).position());
                assert_eq!(format!("{found:016x}"), rank);
                assert!(found > before);
                (before, ranked) = (found, ranked + 1);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ranked, 10);
}
