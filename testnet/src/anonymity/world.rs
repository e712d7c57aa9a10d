//! A made-up network for the model: node tables as clients have them, of which some part is the coalition's.

use std::collections::HashMap;

use bytes::Bytes;
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::params::DATA_SHARDS_MAX;
use palimpsest_proto::record::{NodeDescriptor, RecordError, Roles};
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::{NodeTable, place};
use palimpsest_proto::time::{Moment, Timestamp};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// When the model plays.
pub(super) const WALL: Timestamp = Timestamp(1_800_000_000);
/// Honest nodes in one address prefix, unless told otherwise.
const NODES_A_PREFIX: usize = 8;
/// Stripes of which clients fetch; the shards of one need not be placed anew for each client.
const STRIPES: usize = 40;
/// Shards of a stripe that survives the loss of half of the nodes.
const STRIPE_SHARDS: usize = 204;
/// An adversary that grinds ids has all of them in this part of the keyspace.
const GROUND_PART: u8 = 16;

/// Where a coalition's nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seats {
    /// Among the others, by chance.
    Scattered,
    /// All in one address prefix, with ids ground into one sixteenth of the keyspace.
    Ground,
    /// Each in an address prefix of its own.
    Apart,
}

/// A network as every client knows it.
pub(super) struct World {
    pub(super) table: NodeTable,
    /// The number of each node; those of the coalition come first.
    pub(super) numbers: HashMap<NodeId, usize>,
    /// For stripes picked by chance, who is asked first for each of as many shards as it takes.
    pub(super) stripes: Vec<Vec<NodeId>>,
}

impl World {
    /// `bad` of `nodes` sit as `seats` says, the others in `prefixes` address prefixes by turns.
    pub(super) fn new(nodes: usize, bad: usize, seats: Seats, prefixes: usize, seed: u64) -> Result<Self, RecordError> {
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut table, mut numbers) = (NodeTable::new(), HashMap::new());
        for number in 0..nodes {
            let own = number < bad;
            let prefix = match seats {
                Seats::Ground if own => prefixes,
                Seats::Apart if own => prefixes + number,
                _ => number % prefixes,
            };
            let key = loop {
                let mut seed = [0; 32];
                rng.fill_bytes(&mut seed);
                let key = NodeKey::from_seed(&Secret::new(seed));
                if !own || seats != Seats::Ground || key.id().position().0[0] < u8::MAX / GROUND_PART {
                    break key;
                }
            };
            // 11.0.0.0 and what follows: far from loopback for as many prefixes as a table has nodes.
            let address =
                vec![4, 11 + (prefix >> 8) as u8, prefix as u8, (number >> 8) as u8, number as u8, 6, 0x12, 0x26];
            let descriptor = NodeDescriptor {
                id: key.id(),
                seq: WALL.0 * 1000,
                onion: [1; 32],
                addresses: vec![Bytes::from(address)],
                valid_until: WALL.plus(86_400),
                roles: Roles::ALL,
                fill: 0,
            };
            table.insert(descriptor.sign(&key)?, Moment::default());
            numbers.insert(key.id(), number);
        }
        let stripes = (0..STRIPES).map(|_| stripe(&table, &mut rng)).collect();
        Ok(Self { table, numbers, stripes })
    }

    /// Prefixes for so many nodes, as they are spread in the world.
    pub(super) fn prefixes_of(nodes: usize) -> usize {
        (nodes / NODES_A_PREFIX).max(1)
    }
}

/// Who is asked first for the shards that a fetch of some stripe needs.
fn stripe(table: &NodeTable, rng: &mut StdRng) -> Vec<NodeId> {
    let mut locators = [Locator([0; 32]); STRIPE_SHARDS];
    locators.iter_mut().for_each(|locator| rng.fill_bytes(&mut locator.0));
    let placement = place(table, &locators, DATA_SHARDS_MAX);
    // Any k of the shards: which, a reader's luck decides.
    let mut shards: Vec<usize> = (0..STRIPE_SHARDS).collect();
    shards.shuffle(rng);
    shards.iter().filter_map(|&shard| placement.candidates(shard).first()).take(DATA_SHARDS_MAX).copied().collect()
}
