//! What lies where in a network of honest stores, so that tests can choose the nodes that shall die by what they hold: placement
//! is a matter of random ids, and a given node may have anything or nothing.

use palimpsest_node::Node;
use palimpsest_proto::coding::check_record;
use palimpsest_proto::ids::{Locator, RecordAddress, RootAddress};
use palimpsest_proto::params::CANDIDATES;
use palimpsest_testnet::memory::Network;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, BTreeSet};

/// Shards beyond those needed that a stripe shall keep when nodes die: who repairs it may miss some.
const SPARE: usize = 4;
/// Nodes that shall keep a record of each stripe when others are emptied: one may be the guard of who asks for it.
const COPIES: usize = 2;
/// Choices of nodes that are tried.
const CHOICES: u64 = 10_000;

/// A stripe, as its record tells.
pub(crate) struct Stripe {
    pub(crate) addresses: BTreeSet<RecordAddress>,
    locators: BTreeSet<Locator>,
    k: usize,
}

impl Stripe {
    /// Whether none of these is an address of the stripe's.
    pub(crate) fn is_news_to(&self, known: &BTreeSet<RecordAddress>) -> bool {
        self.addresses.is_disjoint(known)
    }
}

/// The shards that a node holds and would not give up first.
pub(crate) fn leased(node: &Node) -> BTreeSet<Locator> {
    let now = palimpsest_client::clock::timestamp();
    let mut all = BTreeSet::new();
    let mut after = None;
    loop {
        let some = node.store().shards_after(after, 1024).unwrap();
        all.extend(some.iter().filter(|(_, lease)| *lease > now).map(|(locator, _)| *locator));
        match some.last() {
            Some((last, _)) => after = Some(*last),
            None => return all,
        }
    }
}

/// The shards that anybody holds.
pub(crate) fn held(network: &Network) -> BTreeSet<Locator> {
    network.running().flat_map(leased).collect()
}

/// The addresses of the records that a node keeps.
fn kept(node: &Node) -> BTreeSet<RecordAddress> {
    let listed = node.store().records_after(None, 4096).unwrap();
    listed.into_iter().map(|(address, _)| address).collect()
}

/// The addresses of all records that anybody keeps.
pub(crate) fn addresses(network: &Network) -> BTreeSet<RecordAddress> {
    network.running().flat_map(kept).collect()
}

/// How many copies there are of these stripes' records, under all their addresses.
pub(crate) fn records(network: &Network, of: &[Stripe]) -> usize {
    let wanted: BTreeSet<RecordAddress> = of.iter().flat_map(|stripe| stripe.addresses.iter().copied()).collect();
    network.running().map(|node| kept(node).intersection(&wanted).count()).sum()
}

/// The nodes that should have a record, nearest first, and whether they have it.
pub(crate) fn keepers(network: &Network, address: RecordAddress) -> Vec<(usize, bool)> {
    let place = address.position();
    let nodes = network.numbers().filter_map(|index| Some((index, network.node(index)?)));
    let mut near: Vec<_> = nodes.map(|(index, node)| (node.id().position().distance(&place), index, node)).collect();
    near.sort_by_key(|(distance, ..)| *distance);
    near.truncate(CANDIDATES);
    near.into_iter().map(|(_, index, node)| (index, kept(node).contains(&address))).collect()
}

/// The stripes of which anybody has the record.
pub(crate) async fn stripes(network: &Network) -> Vec<Stripe> {
    let mut found: BTreeMap<RootAddress, Stripe> = BTreeMap::new();
    for node in network.running() {
        for address in kept(node) {
            let Some(record) = node.store().get_record(address).await.unwrap() else { continue };
            let descriptor = check_record(address, record).unwrap();
            found.entry(descriptor.root_address()).or_insert_with(|| Stripe {
                addresses: descriptor.root_address().record_addresses().into(),
                locators: descriptor.locators().iter().copied().collect(),
                k: descriptor.geometry().k(),
            });
        }
    }
    found.into_values().collect()
}

/// So many nodes, any of those that hold something, without which each stripe can just be rebuilt, and of the shards that are
/// there now less than seven tenths are left.
pub(crate) fn doomed(network: &Network, count: usize, stripes: &[Stripe]) -> Vec<usize> {
    let wanted: BTreeSet<Locator> = stripes.iter().flat_map(|stripe| stripe.locators.iter().copied()).collect();
    let holds: BTreeMap<usize, BTreeSet<Locator>> = network
        .numbers()
        .map(|index| (index, leased(network.node(index).unwrap()).intersection(&wanted).copied().collect()))
        .collect();
    let all = holds.values().flatten().collect::<BTreeSet<_>>().len();
    let mut order: Vec<usize> = holds.keys().copied().filter(|index| !holds[index].is_empty()).collect();
    for choice in 0..CHOICES {
        order.shuffle(&mut StdRng::seed_from_u64(choice));
        let doomed = &order[..count];
        let survivors = holds.iter().filter(|(index, _)| !doomed.contains(index));
        let left: BTreeSet<&Locator> = survivors.flat_map(|(_, locators)| locators).collect();
        let rebuilds =
            |stripe: &Stripe| stripe.locators.iter().filter(|l| left.contains(l)).count() >= stripe.k + SPARE;
        if left.len() * 10 < all * 7 && stripes.iter().all(rebuilds) {
            return doomed.to_vec();
        }
    }
    panic!("no half of the nodes can die");
}

/// So many nodes, those that have most as far as this may be, without which each of the stripes has its record still.
pub(crate) fn spare(network: &Network, count: usize, stripes: &[Stripe]) -> Vec<usize> {
    let mut order: Vec<usize> = network.numbers().collect();
    order.sort_by_key(|&index| std::cmp::Reverse(leased(network.node(index).unwrap()).len()));
    let kept: BTreeMap<usize, BTreeSet<RecordAddress>> =
        order.iter().map(|&index| (index, kept(network.node(index).unwrap()))).collect();
    let mut chosen: Vec<usize> = Vec::new();
    for &index in &order {
        let goes = |other: &usize| *other == index || chosen.contains(other);
        let stays = |stripe: &Stripe| {
            let left =
                kept.iter().filter(|(other, addresses)| !goes(other) && !addresses.is_disjoint(&stripe.addresses));
            left.count() >= COPIES
        };
        if chosen.len() < count && stripes.iter().all(stays) {
            chosen.push(index);
        }
    }
    assert_eq!(chosen.len(), count, "there are others that may go");
    chosen
}
