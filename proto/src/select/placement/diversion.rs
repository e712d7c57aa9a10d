//! Where a shard goes when all of its candidates are full.
//!
//! The 20 nodes nearest to a position lie in one part of the keyspace, and parts with few nodes are full long before the
//! whole is. So the second choice has nothing to do with distance: every holder has a rank for every locator, by a hash,
//! and the first of them take what the nearest have no room for. Each is as likely as any other to have room, and a node
//! more or less moves nobody else's rank (highest random weight, Thaler and Ravishankar 1998).
//!
//! A publisher comes here only when the nearest have said that they are full. Who looks for a shard, since it may have
//! been diverted, does so only if nodes near it say in their descriptors that they fill: where there is room, nobody asks
//! anybody beside the candidates.

use super::candidates;
use super::region::region;
use crate::crypto;
use crate::ids::{Locator, NodeId, Position};
use crate::labels;
use crate::params::DIVERSIONS;
use crate::select::NodeTable;
use std::collections::BinaryHeap;

/// From this fill on, in per cent, a node counts as filling. Far below full: descriptors lag behind the disks.
const FILLING: u8 = 75;
/// A neighbourhood is crowded if one in so many of its nodes fills. They all do where shards are diverted; a few that deny it
/// shall not hide them.
const CROWDED_PART: usize = 4;

/// Who takes a shard that none of its candidates has room for, in the order in which they are asked: at most
/// [`DIVERSIONS`] holders, none of them a candidate. Looks at every holder of the table.
pub fn diversions(table: &NodeTable, locator: &Locator) -> Vec<NodeId> {
    beside(table, locator, &candidates(table, &locator.position()))
}

/// Where a shard may be that is not where it belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// [`diversions`] if the neighbourhood is crowded; before them, if ids were ground there, the region around it, nearest first.
    pub diversions: Vec<NodeId>,
    /// Who would take it today: of the candidates and then the diversions the first that is not full, by its own word.
    pub likeliest: Option<NodeId>,
}

/// Where a shard may be that is not where it belongs. Says nothing where there is room, and nobody has ground ids.
pub fn whereabouts(table: &NodeTable, locator: &Locator) -> Whereabouts {
    let near = candidates(table, &locator.position());
    let region = region(table, &locator.position(), &near);
    let fills = |id: &&NodeId| table.get(id).is_some_and(|entry| entry.signed().fill >= FILLING);
    if CROWDED_PART * near.iter().filter(fills).count() < near.len() {
        return Whereabouts { diversions: region, likeliest: None };
    }
    let mut diversions = beside(table, locator, &near);
    let takes =
        |id: &&NodeId| table.get(id).is_some_and(|node| node.signed().fill < 100 && node.health().lost.is_none());
    let likeliest = near.iter().chain(&diversions).find(takes).copied();
    diversions.retain(|id| !region.contains(id));
    Whereabouts { diversions: [region, diversions].concat(), likeliest }
}

fn beside(table: &NodeTable, locator: &Locator, near: &[NodeId]) -> Vec<NodeId> {
    let salt = Salt::of(locator);
    // The largest on top: the one that gives way.
    let mut first: BinaryHeap<(u64, NodeId)> = BinaryHeap::with_capacity(DIVERSIONS + 1);
    for (position, id) in table.holders_in(Position([0; 32])..=Position([0xff; 32])) {
        let ranked = (salt.rank(position), *id);
        if (first.len() == DIVERSIONS && first.peek().is_some_and(|last| *last < ranked)) || near.contains(id) {
            continue;
        }
        first.push(ranked);
        if first.len() > DIVERSIONS {
            first.pop();
        }
    }
    first.into_sorted_vec().into_iter().map(|(_, id)| id).collect()
}

/// What makes one locator's order of the nodes another than the next one's.
struct Salt(u64, u64);

impl Salt {
    fn of(locator: &Locator) -> Salt {
        let hash = crypto::derive(labels::DIVERSION, &locator.0);
        Salt(word(&hash, 0), word(&hash, 1))
    }

    /// The least comes first. Positions are hashes already, so that one multiplication is enough to mix: a hash for each
    /// node would cost a network of thousands a millisecond for each shard.
    fn rank(&self, position: &Position) -> u64 {
        let product = u128::from(word(&position.0, 0) ^ self.0) * u128::from(word(&position.0, 1) ^ self.1);
        (product >> 64) as u64 ^ product as u64
    }
}

/// The word number `index` of a hash, little-endian.
fn word(bytes: &[u8; 32], index: usize) -> u64 {
    (0..8).rev().fold(0, |word, i| word << 8 | u64::from(bytes[8 * index + i]))
}

#[cfg(test)]
mod tests;
