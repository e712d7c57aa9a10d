//! How evenly nodes bear what they keep, and what they serve.
//!
//! Filling: stripes are published by `proto`'s [`Scatter`], with refusals and diversions, into equal nodes that announce their fill in
//! steps of five per cent as daemons do. Serving: strangers fetch stripes of which some are asked for far more often than others
//! (Zipf), each by a reader of its own.

use super::reader::{Beside, Manners, Meets, read};
use super::world::{announce, dice, key, locators, network_of};
use super::{Bound, Goal, SimError};
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::flow::{Scatter, ScatterOutcome, Send};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::select::{NodeTable, diversions, place};
use palimpsest_proto::time::Moment;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;
use std::collections::HashMap;

/// Levels of fill at which loads are looked at, in per cent of the whole.
const LEVELS: [u32; 5] = [10, 25, 50, 75, 95];
/// Steps in which nodes announce their fill, in per cent.
const STEP: u32 = 5;
/// Shards published at most, in multiples of all room: beyond that nothing finds a place any more, however long one publishes.
const PUBLISHED_MAX: f64 = 2.0;
/// The part of the shards published up to 95 % that shall be placed. A node that is nearly full refuses some, and the sample of its
/// diversions is bounded.
const PLACED_LEAST: f64 = 0.95;
/// The exponent of demand: the i-th most wanted stripe is asked for i to the minus so often. Web and IPFS gateways show 0.7 to 1.
const ZIPF: f64 = 1.0;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// Nodes, and shards for which each has room.
    pub nodes: usize,
    /// See `nodes`.
    pub room: u32,
    /// Loads at some levels of fill.
    pub fills: Vec<Fill>,
    /// Stripes of the network when demand was measured, and fetches of one stripe each.
    pub stripes: usize,
    /// See `stripes`.
    pub fetches: usize,
    /// Requests served by the busiest holder, relative to the mean over all holders: all stripes wanted alike.
    pub served_uniform: f64,
    /// The same if stripes are wanted by Zipf's law.
    pub served_zipf: f64,
    /// The part of the fetches that asked for the most wanted stripe.
    pub hottest: f64,
}

/// Loads at one level of fill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fill {
    /// Per cent of the whole that is taken.
    pub percent: u32,
    /// The fullest node's shards, relative to the mean.
    pub max_by_mean: f64,
    /// The emptiest node's shards, relative to the mean.
    pub min_by_mean: f64,
    /// The part of the shards published since the last level that was placed.
    pub placed: f64,
    /// Shards sent for each that was placed.
    pub sent: f64,
}

struct Disk {
    key: NodeKey,
    network: u16,
    held: u32,
    said: u32,
}

struct Crowd {
    table: NodeTable,
    disks: HashMap<NodeId, Disk>,
    room: u32,
    held: u64,
    wanted: u64,
    sent: u64,
    /// Locators, and who took each of them.
    published: Vec<(Vec<Locator>, Vec<Option<NodeId>>)>,
}

impl Crowd {
    fn new(nodes: usize, room: u32, seed: u64) -> Result<Crowd, SimError> {
        let (mut table, mut disks) = (NodeTable::new(), HashMap::new());
        for number in 0..nodes as u64 {
            let (key, network) = (key(seed, number), network_of(number));
            table.insert(announce(&key, network, 0, 0)?, Moment::default());
            disks.insert(key.id(), Disk { key, network, held: 0, said: 0 });
        }
        Ok(Crowd { table, disks, room, held: 0, wanted: 0, sent: 0, published: Vec::new() })
    }

    /// One stripe, by somebody who has not published before.
    fn publish(&mut self, chance: &mut StdRng, (k, n): (usize, usize)) -> Result<(), SimError> {
        let locators = locators(chance, n);
        let mut scatter = Scatter::new(&place(&self.table, &locators, k), &[]);
        let far = |shard: usize| diversions(&self.table, &locators[shard]);
        self.wanted += n as u64;
        while let Some(Send { shard, node, .. }) = scatter.poll(Moment::default(), |_| 1.0, far) {
            let Some(disk) = self.disks.get_mut(&node) else { continue };
            let outcome = if disk.held < self.room { ScatterOutcome::Stored } else { ScatterOutcome::Full };
            disk.held += u32::from(outcome == ScatterOutcome::Stored);
            self.sent += 1;
            scatter.handle(Moment::default(), shard, &node, outcome);
        }
        let stored = scatter.stored().to_vec();
        for id in stored.iter().flatten() {
            self.held += 1;
            let Some(disk) = self.disks.get_mut(id) else { continue };
            let fill = 100 * disk.held / self.room / STEP * STEP;
            if fill != std::mem::replace(&mut disk.said, fill) {
                let said = announce(&disk.key, disk.network, fill as u8, fill.into())?;
                self.table.insert(said, Moment::default());
            }
        }
        self.published.push((locators, stored));
        Ok(())
    }

    /// Shards for which there is room in all.
    fn room(&self) -> f64 {
        self.disks.len() as f64 * f64::from(self.room)
    }

    fn fill(&self) -> f64 {
        self.held as f64 / self.room()
    }

    fn look(&self, percent: u32, before: (u64, u64, u64)) -> Fill {
        let mean = self.held as f64 / self.disks.len() as f64;
        let held = || self.disks.values().map(|disk| disk.held);
        let of_mean = |held: Option<u32>| f64::from(held.unwrap_or(0)) / mean;
        let placed = (self.held - before.0) as f64;
        Fill {
            percent,
            max_by_mean: of_mean(held().max()),
            min_by_mean: of_mean(held().min()),
            placed: placed / (self.wanted - before.1) as f64,
            sent: (self.sent - before.2) as f64 / placed,
        }
    }
}

/// Fills `nodes` nodes with room for `room` shards each, and lets `fetches` strangers fetch, when a tenth is taken.
pub(super) fn measure(
    nodes: usize,
    seed: u64,
    room: u32,
    stripe: (usize, usize),
    fetches: usize,
) -> Result<Load, SimError> {
    let mut crowd = Crowd::new(nodes, room, seed)?;
    let mut chance = dice(seed, "load", nodes as u64);
    let mut fills = Vec::new();
    let mut served = None;
    for percent in LEVELS {
        let before = (crowd.held, crowd.wanted, crowd.sent);
        while crowd.fill() < f64::from(percent) / 100.0 {
            if crowd.wanted as f64 > PUBLISHED_MAX * crowd.room() {
                return Err(SimError::NoRoom(percent));
            }
            crowd.publish(&mut chance, stripe)?;
        }
        fills.push(crowd.look(percent, before));
        if served.is_none() {
            let uniform = demand(&crowd, seed, stripe.0, 0.0, fetches)?;
            served = Some((crowd.published.len(), uniform, demand(&crowd, seed, stripe.0, ZIPF, fetches)?));
        }
        // Who keeps what is of no more use; only that it is kept.
        crowd.published.clear();
    }
    let (stripes, (served_uniform, _), (served_zipf, hottest)) = served.unwrap_or_default();
    Ok(Load { nodes, room, fills, stripes, fetches, served_uniform, served_zipf, hottest })
}

/// The busiest holder's requests relative to the mean, and the most wanted stripe's part.
fn demand(crowd: &Crowd, seed: u64, k: usize, exponent: f64, fetches: usize) -> Result<(f64, f64), SimError> {
    let mut chance = dice(seed, "demand", (exponent * 1e3) as u64);
    let mut sum = 0.0;
    let up_to: Vec<f64> = (1..=crowd.published.len())
        .map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        })
        .collect();
    let mut served: HashMap<NodeId, u64> = HashMap::new();
    for _ in 0..fetches {
        let drawn = chance.random::<f64>() * sum;
        let wanted = up_to.partition_point(|until| *until < drawn).min(up_to.len() - 1);
        let (locators, stored) = &crowd.published[wanted];
        let has = |shard: usize, node: &NodeId| stored[shard] == Some(*node);
        let mut serve = |node: &NodeId| *served.entry(*node).or_default() += 1;
        let mut meets = Meets { manners: &|_| Manners::Honest, has: &has, served: &mut serve };
        read(&crowd.table, &mut chance, k, locators, Beside::Whereabouts, &mut meets)?;
    }
    let most = served.values().copied().max().unwrap_or(0) as f64;
    let mean = served.values().sum::<u64>() as f64 / crowd.disks.len() as f64;
    Ok((most / mean.max(f64::MIN_POSITIVE), 1.0 / sum))
}

/// The bounds of the issue.
pub(super) fn bounds(load: &Load) -> Vec<Bound> {
    let full = load.fills.iter().filter(|fill| fill.percent == 95);
    let what =
        |fill: &Fill| format!("load of the fullest node by the mean, {} nodes, {} % full", load.nodes, fill.percent);
    let worst = load.fills.iter().map(|fill| fill.placed).fold(1.0, f64::min);
    let placed = format!("new shards placed until {} % are taken, {} nodes", LEVELS[LEVELS.len() - 1], load.nodes);
    full.map(|fill| Bound::at_most(Goal::Load, what(fill), fill.max_by_mean, 1.5))
        .chain([Bound::at_least(Goal::Placed, placed, worst, PLACED_LEAST)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_fill_up_evenly_and_the_wanted_are_busy() {
        let load = measure(60, 4, 60, (4, 16), 60).unwrap();
        let last = load.fills.last().unwrap();
        assert!(last.percent == 95 && last.max_by_mean <= 1.06 && last.placed > 0.9, "{load:?}");
        assert!(load.fills[0].max_by_mean > last.max_by_mean, "{load:?}");
        assert!(load.served_zipf > load.served_uniform, "{load:?}");
    }
}
