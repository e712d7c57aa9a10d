//! Where a stripe's shards belong.
//!
//! The publisher places by its table, a reader looks by its own; both must come to the same order although their tables
//! differ by a few nodes. So everything here depends on the locators and on *which* holders are known, never on how
//! they fare: a node that is lost keeps its place until its descriptor expires.
//!
//! Consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2018): shards in the order of their numbers,
//! each to the nearest holder that is below its cap. The cap is 1.25 times the mean load, so that a node more or less
//! moves few shards. Were it rounded up, one node more could change the cap of *all* nodes at once; instead each node
//! rounds by its own fraction of a bit, drawn from its position, and a small change of the mean changes few caps.

use crate::ids::{Locator, NodeId, Position};
use crate::params::CANDIDATES;
use crate::select::NodeTable;
use std::collections::BTreeMap;

mod diversion;
mod region;

pub use diversion::{Whereabouts, diversions, whereabouts};
pub use region::with_region;

/// The cap on a node's load, relative to the mean load.
const LOAD_CAP: f64 = 1.25;

/// The [`CANDIDATES`] holders nearest to `position`, nearest first; fewer in a small network. Lost ones are among them.
pub fn candidates(table: &NodeTable, position: &Position) -> Vec<NodeId> {
    nearest(table, position, CANDIDATES)
}

/// The [`candidates`], and beyond them as many of the nearest holders as it takes for half as many to live as far as `lives`
/// knows, three times as many in all at most: what is put there is with the candidates of those whose tables are without the dead.
pub fn living_candidates(table: &NodeTable, position: &Position, lives: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
    let mut near = nearest(table, position, 3 * CANDIDATES);
    let last = near.iter().enumerate().filter(|(_, id)| lives(id)).nth(CANDIDATES / 2 - 1);
    let enough = last.map_or(near.len(), |(place, _)| place + 1);
    near.truncate(enough.max(CANDIDATES));
    near
}

fn nearest(table: &NodeTable, position: &Position, count: usize) -> Vec<NodeId> {
    // Nodes that share `bits` leading bits with the position are a range of the sorted positions, and nearer than all
    // others. So we look for the longest prefix that enough nodes share, beginning where nodes should thin out.
    let enough = |bits: u32| table.holders_in(neighbourhood(position, bits)).take(count).count() == count;
    let mut bits = (table.holder_count() / count).checked_ilog2().unwrap_or(0);
    if enough(bits) {
        while bits < 255 && enough(bits + 1) {
            bits += 1;
        }
    } else {
        while bits > 0 && !enough(bits) {
            bits -= 1;
        }
    }
    let mut near: Vec<([u8; 32], NodeId)> =
        table.holders_in(neighbourhood(position, bits)).map(|(place, id)| (place.distance(position), *id)).collect();
    near.sort_unstable();
    near.truncate(count);
    near.into_iter().map(|(_, id)| id).collect()
}

/// The positions that share `bits` leading bits with `position`.
fn neighbourhood(position: &Position, bits: u32) -> std::ops::RangeInclusive<Position> {
    let (mut low, mut high) = (*position, *position);
    for (i, (l, h)) in low.0.iter_mut().zip(&mut high.0).enumerate() {
        let fixed = bits.saturating_sub(8 * i as u32).min(8);
        let free = 0xffu8.checked_shr(fixed).unwrap_or(0);
        *l &= !free;
        *h |= free;
    }
    low..=high
}

/// What one node bears of a stripe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    load: u32,
    cap: u32,
}

/// Where a stripe's shards belong, and where else they may be.
#[derive(Clone, Debug)]
pub struct Placement {
    candidates: Vec<Vec<NodeId>>,
    shares: BTreeMap<NodeId, Share>,
    hard_cap: u32,
}

impl Placement {
    /// Where shard `index` may be, likeliest first: where it belongs, then the other candidates, nearest first.
    pub fn candidates(&self, index: usize) -> &[NodeId] {
        self.candidates.get(index).map_or(&[], Vec::as_slice)
    }

    /// How many shards were placed.
    pub fn shards(&self) -> usize {
        self.candidates.len()
    }

    /// How many shards each node bears.
    pub fn loads(&self) -> impl Iterator<Item = (&NodeId, u32)> {
        self.shares.iter().map(|(id, share)| (id, share.load))
    }

    /// How many shards of the stripe a node should bear at most, while there is another choice.
    pub fn cap(&self, node: &NodeId) -> u32 {
        self.shares.get(node).map_or(0, |share| share.cap)
    }

    /// How many shards of the stripe a node may bear at most: less than rebuild it. `u32::MAX` if there are too few
    /// nodes for that.
    pub fn hard_cap(&self) -> u32 {
        self.hard_cap
    }
}

/// Places a stripe's shards, of which any `k` rebuild it.
pub fn place(table: &NodeTable, locators: &[Locator], k: usize) -> Placement {
    let holders = table.holder_count().max(1);
    let mean_cap = (LOAD_CAP * locators.len() as f64 / holders as f64).max(1.0);
    let below_k = k.saturating_sub(1).max(1);
    let hard_cap = if holders * below_k >= locators.len() { below_k as u32 } else { u32::MAX };
    let salt = locators.first().map_or(0, |locator| tail(&locator.0));
    // Rounds up for as many of the nodes as the cap's fraction says; another set of them for each stripe.
    let cap_of = |id: &NodeId| {
        let up = (tail(&id.position().0) ^ salt) as f64 / u32::MAX as f64;
        ((mean_cap + up) as u32).clamp(1, hard_cap)
    };

    let mut shares: BTreeMap<NodeId, Share> = BTreeMap::new();
    let mut near: Vec<Vec<NodeId>> = Vec::with_capacity(locators.len());
    let mut home: Vec<Option<NodeId>> = Vec::with_capacity(locators.len());
    for locator in locators {
        let candidates = candidates(table, &locator.position());
        for id in &candidates {
            shares.entry(*id).or_insert_with(|| Share { load: 0, cap: cap_of(id) });
        }
        let chosen = candidates
            .iter()
            .find(|id| shares.get(id).is_some_and(|s| s.load < s.cap))
            .or_else(|| candidates.iter().min_by_key(|id| shares.get(id).map(|s| s.load)))
            .copied();
        if let Some(share) = chosen.and_then(|id| shares.get_mut(&id)) {
            share.load += 1;
        }
        near.push(candidates);
        home.push(chosen);
    }
    for (candidates, home) in near.iter_mut().zip(home) {
        // The sort is stable: the others stay in the order of distance. (Setting those back that are at their caps was
        // tried: where tables differ, the true holder is often one of them.)
        candidates.sort_by_key(|id| Some(*id) != home);
    }
    Placement { candidates: near, shares, hard_cap }
}

/// Four bytes of a hash that no ordering by distance looks at.
fn tail(bytes: &[u8; 32]) -> u32 {
    u32::from_le_bytes([bytes[28], bytes[29], bytes[30], bytes[31]])
}

#[cfg(test)]
mod tests;
