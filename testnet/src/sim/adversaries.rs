//! Fetches of single stripes from networks in which holders lie, and from neighbourhoods that somebody made: with [`Gather`], paths,
//! guards and placement as clients have them.
//!
//! [`Gather`]: palimpsest_proto::flow::Gather

use super::kademlia::Overlay;
use super::lookups::FULL_STRIPE;
use super::reader::{Beside, Manners, Meets, Read, read};
use super::world::{World, announce, dice, key, locators, network_of, some_of};
use super::{Bound, Goal, SimError};
use crate::rank::nearest_rank;
use palimpsest_proto::coding::{Survive, geometry};
use palimpsest_proto::flow::Giver;
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::params::CANDIDATES;
use palimpsest_proto::select::{NodeTable, candidates, place, whereabouts};
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Parts of the holders that lie: the third is the issue's, and is tried most.
const LIARS: [f64; 5] = [0.1, 0.2, 0.3, 0.4, 0.5];
const ASKED_FOR: f64 = 0.3;
/// Ids near each locator: the second is the issue's.
const GROUND: [usize; 4] = [5, 20, 40, 60];
/// Ids that the adversary makes, for each node of the network, to choose the nearest from: so many that in nine places of ten the
/// 20 nearest are before the nearest honest node. With half as many enough shards of a stripe remain among the candidates.
const POOL: usize = 200;
/// Bytes of a small file: 2 data shards. And of one whose stripe is eclipsed: 16 of them, since each fetch from there asks for many
/// times as much as there is.
const SMALL_BYTES: usize = 100_000;
const ECLIPSED_BYTES: usize = 1_000_000;
/// Core seconds for one id that has cost its work (`NODE_PUZZLE_BITS`).
const ID_SECONDS: f64 = 0.015;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Adversaries {
    /// Honest nodes.
    pub nodes: usize,
    /// Fetches where holders lie.
    pub lying: Vec<LyingCell>,
    /// Fetches of stripes that were eclipsed.
    pub eclipsed: Vec<EclipseCell>,
    /// The part of neighbourhoods that look made, though nobody meddled.
    pub false_alarms: f64,
    /// Ids that the adversary made, and the core hours that they cost.
    pub ids_made: usize,
    /// See `ids_made`.
    pub core_hours: f64,
}

/// What fetches of single stripes came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fetches {
    /// Any `k` of `n` shards rebuild the stripe.
    pub k: usize,
    /// See `k`.
    pub n: usize,
    /// Fetches, each by somebody who has never fetched before.
    pub fetches: usize,
    /// The part of them that ended with the stripe.
    pub complete: f64,
    /// Requests of one fetch, on average.
    pub asked: f64,
    /// Seconds that half of the fetches took at most, and 99 %, at a round trip of 0.2 s through the onion.
    pub p50_seconds: f64,
    /// See `p50_seconds`.
    pub p99_seconds: f64,
}

/// Stripes in a network with lying holders.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LyingCell {
    /// The part of the nodes that lies; a third of these drops, a third answers with garbage, a third denies.
    pub liars: f64,
    /// What came of it.
    #[serde(flatten)]
    pub fetches: Fetches,
}

/// When the ground ids join.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// After the stripe was published; its holders still have it.
    Published,
    /// After handover, where every disk is full, so that nothing is kept that was given away.
    HandedOver,
    /// Before the stripe was published, so that they were given what belonged to them.
    BeforePublishing,
}

/// A stripe, next to each of whose locators somebody has put ids of his.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EclipseCell {
    /// Ids next to each locator.
    pub ids: usize,
    /// When they came.
    pub stage: Stage,
    /// Whether density is looked at: else readers ask the candidates only, and holders give to whoever is nearer.
    pub density: bool,
    /// The part of the locators whose neighbourhood looks made.
    pub noticed: f64,
    /// The part of the shards that an honest node still has.
    pub kept: f64,
    /// What came of it.
    #[serde(flatten)]
    pub fetches: Fetches,
}

/// `trials` fetches among liars, `from_eclipsed` from eclipsed neighbourhoods (each takes seconds of a core's time where nothing is
/// to be had), and fewer, or none, in cells that have no bound.
pub(super) fn measure(nodes: usize, seed: u64, trials: usize, from_eclipsed: usize) -> Result<Adversaries, SimError> {
    let world = World::new(seed, nodes)?;
    let (tenth, few) = ((trials / 10).max(1), trials / 500);
    let mut lying = Vec::new();
    for liars in LIARS {
        let count = if liars == ASKED_FOR { trials } else { tenth };
        lying.push(among_liars(&world, seed, liars, FULL_STRIPE, count)?);
    }
    let small = geometry(SMALL_BYTES, Survive::Half, 1);
    lying.push(among_liars(&world, seed, ASKED_FOR, (small.k(), small.n()), trials)?);
    let pool = Pool::new(seed, POOL * nodes);
    let after = GROUND.map(|ids| (ids, Stage::Published, true, if ids == CANDIDATES { from_eclipsed } else { few }));
    let others = [
        (CANDIDATES, Stage::HandedOver, true, from_eclipsed),
        (CANDIDATES, Stage::Published, false, few),
        (CANDIDATES, Stage::HandedOver, false, few),
        (CANDIDATES, Stage::BeforePublishing, true, few),
    ];
    let mut eclipsed = Vec::new();
    for (ids, stage, density, count) in after.into_iter().chain(others) {
        if count > 0 {
            eclipsed.push(eclipse(&world, &pool, seed, (ids, stage, density), count)?);
        }
    }
    let mut chance = dice(seed, "false alarms", 0);
    let looked = locators(&mut chance, 10_000);
    let alarms = looked.iter().filter(|locator| is_noticed(&world.table, locator)).count();
    Ok(Adversaries {
        nodes,
        lying,
        eclipsed,
        false_alarms: alarms as f64 / looked.len() as f64,
        ids_made: pool.places.len(),
        core_hours: pool.places.len() as f64 * ID_SECONDS / 3_600.0,
    })
}

/// The bounds of the issue.
pub(super) fn bounds(adversaries: &Adversaries) -> Vec<Bound> {
    let lying = adversaries.lying.iter().filter(|cell| cell.liars == ASKED_FOR).map(|cell| {
        let Fetches { k, n, complete, fetches, .. } = cell.fetches;
        Bound::share(
            Goal::AmongLiars,
            format!("fetches of {k} of {n} with 30 % lying holders"),
            complete,
            fetches,
            0.999,
        )
    });
    let made = adversaries.eclipsed.iter().filter(|cell| cell.ids == CANDIDATES && cell.density);
    let made = made.filter(|cell| cell.stage != Stage::BeforePublishing).map(|cell| {
        let what = format!("fetches with 20 ground ids at each locator ({:?})", cell.stage);
        Bound::share(Goal::AmongSybils, what, cell.fetches.complete, cell.fetches.fetches, 0.999)
    });
    lying.chain(made).collect()
}

fn eclipsed_stripe() -> (usize, usize) {
    let geometry = geometry(ECLIPSED_BYTES, Survive::Half, 1);
    (geometry.k(), geometry.n())
}

/// Whether a neighbourhood looks made. Nobody's disk is filled here, so that nothing else makes a reader look elsewhere.
fn is_noticed(table: &NodeTable, locator: &Locator) -> bool {
    !whereabouts(table, locator).diversions.is_empty()
}

fn sum_up(mut reads: Vec<Read>, k: usize, n: usize) -> Fetches {
    reads.sort_by_key(|read| read.took);
    let after = |percent| nearest_rank(&reads, percent).map_or(Duration::ZERO, |read| read.took).as_secs_f64();
    let (p50_seconds, p99_seconds) = (after(50), after(99));
    let count = reads.len() as f64;
    Fetches {
        k,
        n,
        fetches: reads.len(),
        complete: reads.iter().filter(|read| read.complete).count() as f64 / count,
        asked: reads.iter().map(|read| read.asked as f64).sum::<f64>() / count,
        p50_seconds,
        p99_seconds,
    }
}

/// The three ways to lie, in turn.
fn lie(number: usize) -> Manners {
    [Manners::Drops, Manners::Garbage, Manners::Denies][number % 3]
}

fn among_liars(
    world: &World,
    seed: u64,
    liars: f64,
    (k, n): (usize, usize),
    fetches: usize,
) -> Result<LyingCell, SimError> {
    let mut chance = dice(seed, "lying holders", (liars * 1e3) as u64 ^ (k as u64) << 32);
    let count = (liars * world.ids.len() as f64) as usize;
    let manners: HashMap<NodeId, Manners> = some_of(&mut chance, count, world.ids.len())
        .into_iter()
        .enumerate()
        .map(|(number, node)| (world.ids[node], lie(number)))
        .collect();
    let mut reads = Vec::with_capacity(fetches);
    for _ in 0..fetches {
        let locators = locators(&mut chance, n);
        let placement = place(&world.table, &locators, k);
        // Liars acknowledge as honest nodes do, so that every shard went to its home.
        let has = |shard: usize, node: &NodeId| placement.candidates(shard).first() == Some(node);
        let manners = |id: &NodeId| manners.get(id).copied().unwrap_or(Manners::Honest);
        let mut meets = Meets { manners: &manners, has: &has, served: &mut |_| {} };
        reads.push(read(&world.table, &mut chance, k, &locators, Beside::Whereabouts, &mut meets)?);
    }
    Ok(LyingCell { liars, fetches: sum_up(reads, k, n) })
}

/// Ids to choose from.
struct Pool {
    seed: u64,
    /// Where they are, ascending, and the numbers of their keys.
    places: Vec<u64>,
    numbers: Vec<u64>,
}

/// Numbers of keys from here on are the adversary's.
const ADVERSARY: u64 = 1 << 40;

impl Pool {
    fn new(seed: u64, count: usize) -> Pool {
        let place = |number: u64| {
            let position = key(seed, number).id().position();
            position.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
        };
        let mut all: Vec<(u64, u64)> =
            (ADVERSARY..ADVERSARY + count as u64).map(|number| (place(number), number)).collect();
        all.sort_unstable();
        let (places, numbers) = all.into_iter().unzip();
        Pool { seed, places, numbers }
    }

    /// The numbers of the `count` keys that are nearest to a locator.
    fn nearest(&self, locator: &Locator, count: usize) -> impl Iterator<Item = u64> {
        let position = locator.position();
        let target = position.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first));
        let near = Overlay::nearest_of(&self.places, target, count, |_| true);
        near.into_iter().filter_map(|place| Some(self.numbers[self.places.binary_search(&place).ok()?]))
    }
}

/// A stripe, its adversary's ids, and who honestly has what.
struct Eclipse {
    table: NodeTable,
    locators: Vec<Locator>,
    manners: HashMap<NodeId, Manners>,
    holders: Vec<Option<NodeId>>,
}

impl Eclipse {
    fn new(
        world: &World,
        pool: &Pool,
        chance: &mut StdRng,
        (ids, stage, density): (usize, Stage, bool),
    ) -> Result<Eclipse, SimError> {
        let (k, n) = eclipsed_stripe();
        let locators = locators(chance, n);
        let mut table = world.table.clone();
        let mut manners = HashMap::new();
        let numbers: BTreeSet<u64> = locators.iter().flat_map(|locator| pool.nearest(locator, ids)).collect();
        for number in numbers {
            let signed = announce(&key(pool.seed, number), network_of(number), 0, 0)?;
            manners.insert(signed.id, lie(number as usize));
            table.insert(signed, Moment::default());
        }
        let newcomers: BTreeSet<NodeId> = manners.keys().copied().collect();
        let placed_by = if stage == Stage::BeforePublishing { &table } else { &world.table };
        let placement = place(placed_by, &locators, k);
        let holders = (0..n)
            .map(|shard| {
                let holder = placement.candidates(shard).first().copied().filter(|id| !newcomers.contains(id))?;
                let giver = Giver { own: holder, drains: false, newcomers: &newcomers };
                let given = stage == Stage::HandedOver
                    && if density {
                        !giver.receivers(&table, &locators[shard], |_| true).is_empty()
                    } else {
                        // Whoever is nearer and new is given it; and if the holder is no candidate any more, whoever is.
                        let near = candidates(&table, &locators[shard].position());
                        near.iter().take_while(|id| **id != holder).any(|id| newcomers.contains(id))
                    };
                (!given).then_some(holder)
            })
            .collect();
        Ok(Eclipse { table, locators, manners, holders })
    }
}

fn eclipse(
    world: &World,
    pool: &Pool,
    seed: u64,
    what: (usize, Stage, bool),
    fetches: usize,
) -> Result<EclipseCell, SimError> {
    let (ids, stage, density) = what;
    let (k, n) = eclipsed_stripe();
    let mut chance = dice(seed, "ground ids", ids as u64 ^ (stage as u64) << 32 ^ u64::from(density) << 40);
    let (mut noticed, mut kept, mut reads) = (0, 0, Vec::with_capacity(fetches));
    // Each has a stripe of its own, with its own ids: what decides whether one comes to its end decides nothing for another.
    for _ in 0..fetches {
        let eclipse = Eclipse::new(world, pool, &mut chance, what)?;
        noticed += eclipse.locators.iter().filter(|locator| is_noticed(&eclipse.table, locator)).count();
        kept += eclipse.holders.iter().flatten().count();
        let has = |shard: usize, node: &NodeId| eclipse.holders[shard] == Some(*node);
        let manners = |id: &NodeId| eclipse.manners.get(id).copied().unwrap_or(Manners::Honest);
        let beside = if density { Beside::Whereabouts } else { Beside::Nowhere };
        let mut meets = Meets { manners: &manners, has: &has, served: &mut |_| {} };
        reads.push(read(&eclipse.table, &mut chance, k, &eclipse.locators, beside, &mut meets)?);
    }
    let share = |count: usize| count as f64 / (fetches * n) as f64;
    Ok(EclipseCell { ids, stage, density, noticed: share(noticed), kept: share(kept), fetches: sum_up(reads, k, n) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_fifty_fetches_the_slowest_is_the_99th_percentile() {
        let read = |seconds| Read { complete: true, asked: 1, took: Duration::from_secs(seconds) };
        let Fetches { p50_seconds, p99_seconds, .. } = sum_up((1..=50).map(read).collect(), 1, 2);
        assert_eq!((p50_seconds, p99_seconds), (25.0, 50.0));
    }

    /// Without the test of density the same ids cost the stripe: the measure can fail.
    #[test]
    fn twenty_ids_at_each_locator_take_a_stripe_only_if_nobody_looks_at_density() {
        let world = World::new(1, 600).unwrap();
        let pool = Pool::new(1, POOL * 600);
        let fetch = |density| eclipse(&world, &pool, 1, (CANDIDATES, Stage::HandedOver, density), 1).unwrap();
        let (with, without) = (fetch(true), fetch(false));
        assert!(with.fetches.complete == 1.0 && with.noticed > 0.95 && with.kept > 0.95, "{with:?}");
        assert!(without.fetches.complete == 0.0 && without.kept < 0.1, "{without:?}");
    }
}
