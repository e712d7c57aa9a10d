//! Look-ups: who are the nodes nearest to a place?
//!
//! Palimpsest asks nobody. Its nodes and clients know all nodes (up to [`TABLE_NODES_MAX`]), compute the candidates themselves, and send
//! the request to them: one hop. What can go wrong is the table: with nobody but liars to begin with, it holds nobody but
//! liars. Kademlia is there for walks to random places only, yet its look-ups are what the literature has figures of, and what
//! larger networks would need: both are measured.

use super::kademlia::{Found, Overlay};
use super::world::{World, dice, locators, some_of};
use super::{Bound, Goal, SimError};
use palimpsest_proto::ids::{NodeId, Position};
use palimpsest_proto::params::{CANDIDATES, TABLE_NODES_MAX};
use palimpsest_proto::select::{NodeTable, candidates, place};
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde::Serialize;

/// Parts of the nodes that die at once, and that lie.
const DEAD: [f64; 6] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5];
const LIARS: [f64; 5] = [0.0, 0.1, 0.2, 0.3, 0.4];
/// The part of look-ups that shall succeed, by the part of liars.
const BOUNDS: [(f64, f64); 2] = [(0.2, 0.99), (0.4, 0.95)];
/// Addresses that a newcomer is given to begin with.
const BOOTSTRAP: [usize; 3] = [1, 3, 5];
/// Networks so many times as large as a table may be.
const LARGER: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 4.0];
/// A table's limit when larger networks are looked at: what matters is the ratio.
const SMALL_TABLE: usize = 2_048;
/// A full stripe, as `--survive 50%` makes it of 100 MiB.
pub(super) const FULL_STRIPE: (usize, usize) = (64, 203);

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Lookups {
    /// By the table: what clients and nodes do.
    pub table: Vec<TableCell>,
    /// By Kademlia: a model of what larger networks would do.
    pub kademlia: Vec<KademliaCell>,
    /// Tables that are not whole.
    pub sampled: Vec<SampledCell>,
}

/// Look-ups in the node table of somebody who has just joined.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableCell {
    /// Nodes.
    pub nodes: usize,
    /// The part of them that died a moment ago, unnoticed.
    pub dead: f64,
    /// The part that lies about the table: names nobody but liars.
    pub liars: f64,
    /// Addresses that the newcomer began with, each a liar's with that chance.
    pub bootstrap: usize,
    /// Look-ups, each by another newcomer.
    pub lookups: usize,
    /// The part of them that found the 20 nearest, of whom at least one lives.
    pub success: f64,
    /// Questions until the candidates were known: none; the first hop is the request itself.
    pub hops: f64,
    /// Candidates that were asked until one lived.
    pub asked: f64,
}

/// Look-ups by Kademlia.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KademliaCell {
    /// Nodes.
    pub nodes: usize,
    /// The part of them that died a moment ago, unnoticed.
    pub dead: f64,
    /// The part of the living that answers with each other's ids.
    pub liars: f64,
    /// Look-ups, each by another node.
    pub lookups: usize,
    /// The part of them that found the nearest living, honest node.
    pub success: f64,
    /// The part of the 20 nearest living nodes that was found, on average.
    pub found: f64,
    /// Questions in a row to the nearest one, on average and at most.
    pub hops: f64,
    /// See `hops`.
    pub hops_max: u32,
    /// Questions in all, on average, and those that dead nodes did not answer.
    pub asked: f64,
    /// See `asked`.
    pub unanswered: f64,
}

/// Stripes in a network with more nodes than a table may have.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SampledCell {
    /// Nodes, in multiples of a table's limit.
    pub ratio: f64,
    /// Stripes published by one table and looked for by another.
    pub stripes: usize,
    /// The part of the shards whose home is among the reader's candidates.
    pub shards: f64,
    /// The part of the stripes of which enough shards are.
    pub success: f64,
}

/// Measures with `lookups` look-ups in each cell.
pub(super) fn measure(nodes: usize, seed: u64, lookups: usize) -> Result<Lookups, SimError> {
    let whole = nodes.min(TABLE_NODES_MAX);
    let world = World::new(seed, whole)?;
    let mut table = Vec::new();
    for liars in LIARS {
        for bootstrap in BOOTSTRAP {
            table.push(by_table(&world, seed, 0.0, liars, bootstrap, lookups));
        }
    }
    DEAD[1..].iter().for_each(|&dead| table.push(by_table(&world, seed, dead, 0.0, 1, lookups)));
    let mut kademlia: Vec<KademliaCell> =
        DEAD.iter().map(|&dead| by_kademlia(nodes, seed, dead, 0.0, lookups)).collect();
    kademlia.extend(LIARS[1..].iter().map(|&liars| by_kademlia(nodes, seed, 0.0, liars, lookups)));
    let sampled = LARGER.iter().map(|&ratio| by_samples(ratio, seed, (lookups / 10).max(1)));
    Ok(Lookups { table, kademlia, sampled: sampled.collect::<Result<_, _>>()? })
}

/// The bounds of the issue.
pub(super) fn bounds(lookups: &Lookups, nodes: usize) -> Vec<Bound> {
    let mut bounds = Vec::new();
    let half_log = 0.5 * (nodes as f64).log2();
    for cell in &lookups.kademlia {
        let Some((_, least)) = BOUNDS.into_iter().find(|(liars, _)| *liars == cell.liars) else { continue };
        let what = format!("Kademlia look-ups, {} nodes, {:.0} % adversarial", cell.nodes, 100.0 * cell.liars);
        bounds.push(Bound::at_least(Goal::Found, what, cell.success, least));
    }
    let hops = lookups.kademlia.iter().map(|cell| cell.hops).fold(0.0, f64::max);
    let what = format!("hops by Kademlia, {nodes} nodes, mean of the worst cell");
    bounds.push(Bound::at_most(Goal::Hops, what, hops, half_log));
    let hops = lookups.table.iter().map(|cell| cell.hops).fold(0.0, f64::max);
    bounds.push(Bound::at_most(Goal::Hops, "hops where the table is whole".to_owned(), hops, 1.0));
    bounds
}

/// The table of who has none but liars to learn from, made of what they tell: descriptors are signed, so that they can only leave
/// others out.
fn told_by_liars(world: &World, liars: &[usize]) -> NodeTable {
    let mut table = NodeTable::new();
    for &number in liars {
        if let Some(entry) = world.table.get(&world.ids[number]) {
            table.insert(entry.signed().clone(), Moment::default());
        }
    }
    table
}

fn by_table(world: &World, seed: u64, dead: f64, liars: f64, bootstrap: usize, lookups: usize) -> TableCell {
    let nodes = world.ids.len();
    let cell = (dead * 1e3) as u64 ^ ((liars * 1e3) as u64) << 16 ^ (bootstrap as u64) << 32;
    let mut chance = dice(seed, "look-ups by table", cell);
    let order = some_of(&mut chance, nodes, nodes);
    let (liar_count, dead_count) = ((liars * nodes as f64) as usize, (dead * nodes as f64) as usize);
    let lies = told_by_liars(world, &order[..liar_count]);
    let mut gone = vec![false; nodes];
    order[liar_count..liar_count + dead_count].iter().for_each(|&number| gone[number] = true);
    let gone: std::collections::BTreeSet<NodeId> =
        (0..nodes).filter(|n| gone[*n]).map(|number| world.ids[number]).collect();
    let (mut found, mut asked) = (0, 0);
    for _ in 0..lookups {
        // One honest partner is enough: tables are merged, and nobody can sign for others.
        let lost = (0..bootstrap).all(|_| chance.random_bool(liars));
        let target = somewhere(&mut chance);
        let near = candidates(if lost { &lies } else { &world.table }, &target);
        let lives = near.iter().position(|id| !gone.contains(id));
        asked += lives.map_or(near.len(), |place| place + 1);
        found += usize::from(lives.is_some() && near == candidates(&world.table, &target));
    }
    let share = |count: usize| count as f64 / lookups as f64;
    TableCell { nodes, dead, liars, bootstrap, lookups, success: share(found), hops: 1.0, asked: share(asked) }
}

fn by_kademlia(nodes: usize, seed: u64, dead: f64, liars: f64, lookups: usize) -> KademliaCell {
    let overlay = Overlay::new(seed, nodes, dead, liars);
    let cell = (dead * 1e3) as u64 ^ ((liars * 1e3) as u64) << 16;
    let mut chance = dice(seed, "look-ups by Kademlia", cell);
    let all: Vec<Found> =
        (0..lookups).map(|_| overlay.look_up(overlay.someone(&mut chance), chance.random())).collect();
    let found: Vec<&Found> = all.iter().filter(|found| found.nearest).collect();
    let mean = |sum: f64| sum / lookups as f64;
    KademliaCell {
        nodes,
        dead,
        liars,
        lookups,
        success: mean(found.len() as f64),
        found: mean(all.iter().map(|f| f.of_true as f64).sum()) / CANDIDATES as f64,
        hops: found.iter().map(|f| f64::from(f.hops)).sum::<f64>() / found.len().max(1) as f64,
        hops_max: found.iter().map(|f| f.hops).max().unwrap_or(0),
        asked: mean(all.iter().map(|f| f64::from(f.asked)).sum()),
        unanswered: mean(all.iter().map(|f| f64::from(f.unanswered)).sum()),
    }
}

/// Publisher and reader each know a part of the network, drawn evenly.
fn by_samples(ratio: f64, seed: u64, stripes: usize) -> Result<SampledCell, SimError> {
    let mut chance = dice(seed, "sampled tables", (ratio * 1e3) as u64);
    let nodes = (ratio * SMALL_TABLE as f64) as usize;
    let world = World::new(seed, nodes)?;
    let mut sample = || {
        let mut table = NodeTable::with_limit(SMALL_TABLE);
        for number in some_of(&mut chance, SMALL_TABLE, nodes) {
            if let Some(entry) = world.table.get(&world.ids[number]) {
                table.insert(entry.signed().clone(), Moment::default());
            }
        }
        table
    };
    let (publisher, reader) = (sample(), sample());
    let (k, n) = FULL_STRIPE;
    let (mut shards, mut found) = (0, 0);
    for _ in 0..stripes {
        let locators = locators(&mut chance, n);
        let placement = place(&publisher, &locators, k);
        let there = |shard: &usize| {
            let near = candidates(&reader, &locators[*shard].position());
            placement.candidates(*shard).first().is_some_and(|home| near.contains(home))
        };
        let there = (0..n).filter(there).count();
        shards += there;
        found += usize::from(there >= k);
    }
    let (shards, success) = (shards as f64 / (stripes * n) as f64, found as f64 / stripes as f64);
    Ok(SampledCell { ratio, stripes, shards, success })
}

/// A place, evenly drawn.
fn somewhere(chance: &mut StdRng) -> Position {
    let mut bytes = [0; 32];
    chance.fill_bytes(&mut bytes);
    Position(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use palimpsest_proto::record::SignedNodeDescriptor;

    /// What an exchange of tables does, with `proto`'s digests and buckets: one honest partner makes a table whole that was made
    /// of lies.
    #[test]
    fn one_honest_partner_makes_the_table_whole() {
        let world = World::new(5, 300).unwrap();
        let mut table = told_by_liars(&world, &(0..100).collect::<Vec<_>>());
        assert_eq!(table.len(), 100);
        while table.digests() != world.table.digests() {
            let buckets = world.table.differing(table.digests());
            for bytes in world.table.in_buckets(&buckets, 64) {
                let theirs = SignedNodeDescriptor::decode(bytes).unwrap().claimed().0;
                table.insert(world.table.get(&theirs).unwrap().signed().clone(), Moment::default());
            }
        }
        assert_eq!(table.len(), 300);
    }

    #[test]
    fn tables_that_share_half_of_their_nodes_share_half_of_the_homes() {
        let cell = by_samples(2.0, 1, 10).unwrap();
        assert!((0.4..0.6).contains(&cell.shards), "{cell:?}");
    }
}
