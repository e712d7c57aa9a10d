//! What of the stripes is left in a network in one process, read from the nodes' stores; and what an all-knowing repairer
//! would have moved where nodes die and others come.

use crate::memory::Network;
use crate::sample::SplitMix64;
use palimpsest_client::clock::timestamp;
use palimpsest_node::Node;
use palimpsest_node::store::StoreError;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::flow::RepairPolicy;
use palimpsest_proto::ids::{Locator, RecordAddress, RootAddress};
use palimpsest_proto::params::SHARD_BYTES;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Names asked of a store at once.
const LISTED: usize = 1_024;

/// The shards that a node holds and would not give up first.
///
/// # Errors
/// Those of reading the store.
pub fn leased(node: &Node) -> Result<Vec<Locator>, StoreError> {
    let now = timestamp();
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let some = node.store().shards_after(after, LISTED)?;
        all.extend(some.iter().filter(|(_, lease)| *lease > now).map(|(locator, _)| *locator));
        match some.last() {
            Some((last, _)) => after = Some(*last),
            None => return Ok(all),
        }
    }
}

/// The records that a node keeps.
fn records(node: &Node) -> Result<Vec<RecordAddress>, StoreError> {
    let mut all: Vec<RecordAddress> = Vec::new();
    loop {
        let some = node.store().records_after(all.last().copied(), LISTED)?;
        if some.is_empty() {
            return Ok(all);
        }
        all.extend(some.into_iter().map(|(address, _)| address));
    }
}

/// All stripes whose descriptors somebody keeps, and how many copies of its records each has.
///
/// # Errors
/// Those of reading the stores.
pub async fn stripes(network: &Network) -> Result<Vec<(Descriptor, usize)>, StoreError> {
    let mut roots: BTreeMap<RecordAddress, RootAddress> = BTreeMap::new();
    let mut all: BTreeMap<RootAddress, (Descriptor, usize)> = BTreeMap::new();
    for node in network.running() {
        for address in records(node)? {
            if let Some(stripe) = roots.get(&address).and_then(|root| all.get_mut(root)) {
                stripe.1 += 1;
                continue;
            }
            let Some(record) = node.store().get_record(address).await? else { continue };
            let Ok(descriptor) = Descriptor::decode(record) else { continue };
            let root = descriptor.root_address();
            roots.insert(address, root);
            all.entry(root).or_insert((descriptor, 0)).1 += 1;
        }
    }
    Ok(all.into_values().collect())
}

/// How many shards of each stripe anybody has.
///
/// # Errors
/// Those of reading the stores.
pub fn present(network: &Network, stripes: &[Descriptor]) -> Result<Vec<usize>, StoreError> {
    let mut held: HashSet<Locator> = HashSet::new();
    for node in network.running() {
        held.extend(leased(node)?);
    }
    Ok(stripes.iter().map(|stripe| stripe.locators().iter().filter(|l| held.contains(l)).count()).collect())
}

/// By which nodes, as numbers of the network, each shard of each stripe is held: the least number of several.
///
/// # Errors
/// Those of reading the stores.
pub fn holders(network: &Network, stripes: &[Descriptor]) -> Result<Vec<Vec<Option<usize>>>, StoreError> {
    let mut by_shard: BTreeMap<Locator, usize> = BTreeMap::new();
    for number in network.numbers() {
        if let Some(node) = network.node(number) {
            for locator in leased(node)? {
                by_shard.entry(locator).or_insert(number);
            }
        }
    }
    let of = |stripe: &Descriptor| stripe.locators().iter().map(|locator| by_shard.get(locator).copied()).collect();
    Ok(stripes.iter().map(of).collect())
}

/// A total of one of the nodes' works, of those that run.
pub fn total(network: &Network, work: &str, name: &str) -> u64 {
    network.running().map(|node| total_of(node, work, name)).sum()
}

/// A total of one of a node's works; 0 if there is no such work.
pub fn total_of(node: &Node, work: &str, name: &str) -> u64 {
    let status = node.status();
    let works = status["work"].as_array().map(Vec::as_slice).unwrap_or_default();
    works.iter().find(|one| one["name"] == work).and_then(|one| one["totals"][name].as_u64()).unwrap_or(0)
}

/// Bytes that repairing a stripe at once moves when so many of its shards are left: k and the missing ones if that is at or
/// below the threshold, and nothing if it is above it, or if nothing can be rebuilt.
pub fn repair_bytes(policy: &RepairPolicy, n: usize, k: usize, left: usize) -> u64 {
    if left > policy.threshold(n, k) || left < k { 0 } else { ((k + n - left) * SHARD_BYTES) as u64 }
}

/// What befalls a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The node with that number dies with its disk.
    Dies(usize),
    /// A fresh node with that number joins.
    Joins(usize),
}

/// Bytes that somebody moves who knows of each loss at once and repairs by the same policy without delay. What he rebuilds
/// goes to the nodes that have the fewest of the stripe's shards, and one that joins takes over from those that have the most
/// until it has its equal part: that is not counted as repair.
///
/// `holders`: who has each shard of a stripe at first. `nodes`: those there are at first.
pub fn all_knowing(
    policy: &RepairPolicy,
    k: usize,
    holders: &[Option<usize>],
    nodes: &BTreeSet<usize>,
    fates: &[Fate],
    dice: &mut SplitMix64,
) -> u64 {
    let n = holders.len();
    let mut holders = holders.to_vec();
    let mut nodes = nodes.clone();
    let mut moved = 0;
    for fate in fates {
        match *fate {
            Fate::Dies(dead) => {
                nodes.remove(&dead);
                holders.iter_mut().filter(|holder| **holder == Some(dead)).for_each(|holder| *holder = None);
                let bytes = repair_bytes(policy, n, k, holders.iter().flatten().count());
                if bytes > 0 {
                    moved += bytes;
                    for shard in 0..n {
                        if holders[shard].is_none() {
                            holders[shard] = by_load(&holders, &nodes, dice).first().copied();
                        }
                    }
                }
            }
            Fate::Joins(fresh) => {
                nodes.insert(fresh);
                let share = holders.iter().flatten().count() as f64 / nodes.len() as f64;
                // The part of a shard that is left over by chance.
                let chance = (share.fract() * 1e6) as u64;
                let share = share as usize + usize::from(dice.next_u64() % 1_000_000 < chance);
                for _ in 0..share {
                    let Some(most) = by_load(&holders, &nodes, dice).into_iter().rfind(|node| *node != fresh) else {
                        break;
                    };
                    if let Some(shard) = holders.iter().position(|holder| *holder == Some(most)) {
                        holders[shard] = Some(fresh);
                    }
                }
            }
        }
    }
    moved
}

/// The nodes, those with the fewest shards first, and equals in any order.
fn by_load(holders: &[Option<usize>], nodes: &BTreeSet<usize>, dice: &mut SplitMix64) -> Vec<usize> {
    let load = |node: usize| holders.iter().filter(|holder| **holder == Some(node)).count();
    let mut all: Vec<(usize, u64, usize)> = nodes.iter().map(|&node| (load(node), dice.next_u64(), node)).collect();
    all.sort_unstable();
    all.into_iter().map(|(_, _, node)| node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: u64 = SHARD_BYTES as u64;

    fn policy() -> RepairPolicy {
        RepairPolicy { low: 0.8, spare: 0.0, ..RepairPolicy::default() }
    }

    #[test]
    fn repairs_cost_k_and_what_is_missing_and_only_below_the_threshold() {
        let bytes = |left| repair_bytes(&policy(), 20, 4, left);
        assert_eq!([20, 17, 16, 4, 3, 0].map(bytes), [0, 0, (4 + 4) * SHARD, (4 + 16) * SHARD, 0, 0]);
    }

    #[test]
    fn the_all_knowing_repairs_as_late_as_the_policy_lets_him() {
        let holders: Vec<Option<usize>> = (0..20).map(|shard| Some(shard % 10)).collect();
        let nodes: BTreeSet<usize> = (0..10).collect();
        let bytes = |fates: &[Fate]| all_knowing(&policy(), 4, &holders, &nodes, fates, &mut SplitMix64::new(1));
        // Each node has two; four may be missing.
        assert_eq!(bytes(&[]), 0);
        assert_eq!(bytes(&[Fate::Dies(0)]), 0);
        assert_eq!(bytes(&[Fate::Dies(0), Fate::Dies(1)]), 8 * SHARD);
        // Eight are left, with two or three of the twenty each.
        let third = bytes(&[Fate::Dies(0), Fate::Dies(1), Fate::Dies(2)]);
        assert_eq!(third, 8 * SHARD);
        // A fresh one has its part, and no more: it is not loss.
        assert_eq!(bytes(&[Fate::Joins(10)]), 0);
        assert_eq!(bytes(&[Fate::Joins(10), Fate::Dies(10)]), 0);
        // Dead for good all of them, at the same time as it were: there comes a time when nobody can take anything.
        let all: Vec<Fate> = (0..10).map(Fate::Dies).collect();
        assert!(bytes(&all) > 8 * SHARD);
    }

    #[test]
    fn a_fresh_node_takes_from_those_that_have_most() {
        // One node has all: whoever joins takes its part, and its death is worth a repair then.
        let holders: Vec<Option<usize>> = vec![Some(0); 20];
        let fates = [Fate::Joins(1), Fate::Dies(1)];
        let moved = all_knowing(&policy(), 4, &holders, &BTreeSet::from([0]), &fates, &mut SplitMix64::new(1));
        assert_eq!(moved, (4 + 10) * SHARD);
    }
}
