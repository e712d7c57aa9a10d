//! Look-ups: who are the nodes nearest to a place?
//!
//! Palimpsest asks nobody. Its nodes and clients know all nodes (up to [`TABLE_NODES_MAX`]), compute the candidates themselves, and send
//! the request to them: one hop. What can go wrong is the table: with nobody but liars to begin with, it holds nobody but
//! liars. Kademlia is there for walks to random places only, yet its look-ups are what the literature has figures of, and what
//! larger networks would need: both are measured, and both are judged.

use super::kademlia::{Found, Overlay};
use super::world::{World, dice, locators, some_of};
use super::{Bound, Goal, SimError};
use palimpsest_proto::ids::{NodeId, Position};
use palimpsest_proto::params::{CANDIDATES, EXCHANGE_DESCRIPTORS_MAX, TABLE_NODES_MAX};
use palimpsest_proto::record::SignedNodeDescriptor;
use palimpsest_proto::select::{NodeTable, candidates, place};
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use serde::Serialize;
use std::collections::BTreeSet;

/// Parts of the nodes that die at once, and that lie.
const DEAD: [f64; 6] = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5];
const LIARS: [f64; 5] = [0.0, 0.1, 0.2, 0.3, 0.4];
/// The part of look-ups that shall succeed, by the part of liars.
const BOUNDS: [(f64, f64); 2] = [(0.2, 0.99), (0.4, 0.95)];
/// Addresses that a newcomer is given to begin with, and how many of them we recommend (`docs/operations.md`): those are judged.
const BOOTSTRAP: [usize; 3] = [1, 3, 5];
const RECOMMENDED: usize = 5;
/// Networks so many times as large as a table may be.
const LARGER: [f64; 5] = [1.0, 1.5, 2.0, 3.0, 4.0];
/// A table's limit when larger networks are looked at: what matters is the ratio.
const SMALL_TABLE: usize = 2_048;
/// What a figure of Kademlia is called.
const MODEL: &str = "Kademlia (a model; not used today)";
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
    /// Addresses that the newcomer began with: nodes drawn among those that live, all of which it asked.
    pub bootstrap: usize,
    /// Look-ups, each by another newcomer.
    pub lookups: usize,
    /// The part of them that found the 20 nearest, of whom at least one lives.
    pub success: f64,
    /// The part of the 20 nearest that was found, on average.
    pub found: f64,
    /// Requests in a row until the nearest node was asked, on average, where the newcomer's table is whole; one more than there are
    /// candidates if it is none of them.
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
    let places: Vec<_> = world.ids.iter().map(|id| (id.position(), *id)).collect();
    let mut table = Vec::new();
    for liars in LIARS {
        for bootstrap in BOOTSTRAP {
            table.push(by_table(&world, &places, seed, 0.0, liars, bootstrap, lookups)?);
        }
    }
    for &dead in &DEAD[1..] {
        table.push(by_table(&world, &places, seed, dead, 0.0, 1, lookups)?);
    }
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
    for (liars, least) in BOUNDS {
        let percent = 100.0 * liars;
        let of = |bootstrap| lookups.table.iter().find(|cell| cell.liars == liars && cell.bootstrap == bootstrap);
        if let (Some(cell), Some(fewer)) = (of(RECOMMENDED), of(3)) {
            let (nodes, success) = (cell.nodes, 100.0 * fewer.success);
            let what = format!(
                "look-ups by the table, {RECOMMENDED} bootstrap nodes, {nodes} nodes, {percent:.0} % adversarial (with 3, not judged: \
                 {success:.1} %)"
            );
            bounds.push(Bound::share(Goal::Found, what, cell.success, cell.lookups, least));
        }
        if let Some(cell) = lookups.kademlia.iter().find(|cell| cell.liars == liars) {
            let what = format!("look-ups by {MODEL}, {} nodes, {percent:.0} % adversarial", cell.nodes);
            bounds.push(Bound::share(Goal::FoundByKademlia, what, cell.success, cell.lookups, least));
        }
    }
    let hops = lookups.table.iter().map(|cell| cell.hops).fold(0.0, f64::max);
    bounds.push(Bound::at_most(
        Goal::Hops,
        "hops where the table is whole, mean of the worst cell".to_owned(),
        hops,
        1.0,
    ));
    let hops = lookups.kademlia.iter().map(|cell| cell.hops).fold(0.0, f64::max);
    bounds.push(Bound::at_most(
        Goal::Hops,
        format!("hops by {MODEL}, {nodes} nodes, mean of the worst cell"),
        hops,
        half_log,
    ));
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

/// `table` takes what it lacks of `partner`'s, by `proto`'s digests and buckets, in as many exchanges as it takes.
fn take_all(table: &mut NodeTable, partner: &NodeTable) -> Result<(), SimError> {
    loop {
        let before = table.len();
        for bytes in partner.in_buckets(&partner.differing(table.digests()), EXCHANGE_DESCRIPTORS_MAX) {
            let told = SignedNodeDescriptor::decode(bytes).map_err(|error| SimError::Node(error.to_string()))?;
            // Who signed it was looked at when it came into the partner's table; here nobody forges.
            if let Some(entry) = partner.get(&told.claimed().0) {
                table.insert(entry.signed().clone(), Moment::default());
            }
        }
        if table.len() == before {
            return Ok(());
        }
    }
}

/// Nodes, and where they are.
type Places = [(Position, NodeId)];

/// The nodes nearest to a place, nearest first, found by looking at all of them.
fn truly_nearest(places: &Places, target: &Position) -> Vec<NodeId> {
    let mut all: Vec<_> = places.iter().map(|(position, id)| (position.distance(target), *id)).collect();
    let count = CANDIDATES.min(all.len());
    if count < all.len() {
        all.select_nth_unstable(count);
    }
    all.truncate(count);
    all.sort_unstable();
    all.into_iter().map(|(_, id)| id).collect()
}

/// Newcomers who ask all of their bootstrap nodes, as `client::session` and `client::net` do, and take what these tell; then each looks
/// for a place. Whom a client compares with beside them is named by them: if all are liars, another one.
fn by_table(
    world: &World,
    places: &Places,
    seed: u64,
    dead: f64,
    liars: f64,
    bootstrap: usize,
    lookups: usize,
) -> Result<TableCell, SimError> {
    let nodes = world.ids.len();
    let cell = (dead * 1e3) as u64 ^ ((liars * 1e3) as u64) << 16 ^ (bootstrap as u64) << 32;
    let mut chance = dice(seed, "look-ups by table", cell);
    let order = some_of(&mut chance, nodes, nodes);
    let (liar_count, dead_count) = ((liars * nodes as f64) as usize, (dead * nodes as f64) as usize);
    let gone: BTreeSet<NodeId> =
        order[liar_count..liar_count + dead_count].iter().map(|&number| world.ids[number]).collect();
    // Who is told by liars only has one table, whichever they are, and who is told by an honest node too has the other.
    let mut of_liars = NodeTable::new();
    take_all(&mut of_liars, &told_by_liars(world, &order[..liar_count]))?;
    let mut whole = of_liars.clone();
    take_all(&mut whole, &world.table)?;
    let (mut success, mut found, mut asked) = (0, 0, 0);
    let (mut hops, mut with_whole) = (0, 0);
    for _ in 0..lookups {
        // The dead come behind the liars in the order; they tell nothing.
        let told_by = some_of(&mut chance, bootstrap, nodes - dead_count);
        let is_whole = told_by.iter().any(|&place| place >= liar_count);
        let target = somewhere(&mut chance);
        let near = candidates(if is_whole { &whole } else { &of_liars }, &target);
        let nearest = truly_nearest(places, &target);
        let lives = near.iter().position(|id| !gone.contains(id));
        asked += lives.map_or(near.len(), |place| place + 1);
        success += usize::from(lives.is_some() && near == nearest);
        found += near.iter().filter(|id| nearest.contains(id)).count();
        if is_whole {
            let place = near.iter().position(|id| nearest.first() == Some(id));
            hops += place.unwrap_or(CANDIDATES) + 1;
            with_whole += 1;
        }
    }
    let share = |count: usize| count as f64 / lookups as f64;
    Ok(TableCell {
        nodes,
        dead,
        liars,
        bootstrap,
        lookups,
        success: share(success),
        found: share(found) / CANDIDATES.min(nodes) as f64,
        hops: hops as f64 / f64::from(with_whole).max(1.0),
        asked: share(asked),
    })
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

    /// One honest partner makes a table whole that was made of lies, and a liar takes nothing out of it.
    #[test]
    fn one_honest_partner_makes_the_table_whole() {
        let world = World::new(5, 3_000).unwrap();
        let lies = told_by_liars(&world, &(0..1_000).collect::<Vec<_>>());
        let mut table = NodeTable::new();
        for (partner, known) in [(&lies, 1_000), (&world.table, 3_000), (&lies, 3_000)] {
            take_all(&mut table, partner).unwrap();
            assert_eq!(table.len(), known);
        }
        assert_eq!(table.digests(), world.table.digests());
    }

    /// Who is told by liars only finds some of the nearest, and never all; the more bootstrap nodes, the seldomer that is.
    #[test]
    fn newcomers_are_lost_as_often_as_all_who_tell_them_are_liars() {
        let world = World::new(6, 500).unwrap();
        let places: Vec<_> = world.ids.iter().map(|id| (id.position(), *id)).collect();
        let cell = |bootstrap| by_table(&world, &places, 6, 0.0, 0.4, bootstrap, 1_000).unwrap();
        for (bootstrap, lost) in [(1, 0.4), (3, 0.064), (5, 0.010)] {
            let TableCell { success, found, hops, .. } = cell(bootstrap);
            // Four standard deviations.
            let chance = 4.0 * f64::sqrt(lost * (1.0 - lost) / 1_000.0);
            assert!((1.0 - success - lost).abs() < chance, "{bootstrap}: {success}");
            assert!(success < found && found < 1.0 && hops == 1.0, "{bootstrap}: {found}, {hops}");
        }
    }

    #[test]
    fn tables_that_share_half_of_their_nodes_share_half_of_the_homes() {
        let cell = by_samples(2.0, 1, 10).unwrap();
        assert!((0.4..0.6).contains(&cell.shards), "{cell:?}");
    }
}
