//! Made-up nodes: real keys, real signed descriptors, in `proto`'s own table. Their ids have cost no work, since nobody verifies
//! them here; everything else of them is what a daemon would announce.

use super::SimError;
use palimpsest_proto::crypto::{self, NodeKey};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::params::NODE_VALID_SECONDS_MAX;
use palimpsest_proto::record::{NodeDescriptor, Roles, SignedNodeDescriptor};
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::NodeTable;
use palimpsest_proto::time::{Moment, Timestamp};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

/// The wall clock when a story begins.
pub(crate) const WALL: Timestamp = Timestamp(1_800_000_000);
/// Networks (/16) over which honest nodes are spread evenly: so many that two of twenty neighbours seldom share one.
const NETWORKS: u16 = 4_096;
/// `/udp/4646/quic-v1` in front of which the address stands, and `/tcp/4646`: a daemon announces both.
const TCP_PORT: [u8; 3] = [6, 0x12, 0x26];
const UDP_QUIC_PORT: [u8; 6] = [0x91, 0x02, 0x12, 0x26, 0xcd, 0x03];

/// Where chance comes from: each part, and each cell of a part, has numbers of its own, so that one more trial here changes
/// nothing there.
pub(crate) fn dice(seed: u64, what: &str, cell: u64) -> StdRng {
    let material = [&seed.to_le_bytes()[..], &cell.to_le_bytes(), what.as_bytes()].concat();
    StdRng::from_seed(crypto::hash(&material))
}

/// The key of node `number`.
pub(crate) fn key(seed: u64, number: u64) -> NodeKey {
    let material = [b"node".as_slice(), &seed.to_le_bytes(), &number.to_le_bytes()].concat();
    NodeKey::from_seed(&Secret::new(crypto::hash(&material)))
}

/// What the node announces that has this key: in this network (/16), filled to so many per cent, for the `news`-th time; it is
/// valid for a week.
pub(crate) fn announce(key: &NodeKey, network: u16, fill: u8, news: u64) -> Result<SignedNodeDescriptor, SimError> {
    announce_until(key, network, fill, news, WALL.plus(NODE_VALID_SECONDS_MAX))
}

/// The same, valid until then: the table forgets it at that time.
pub(super) fn announce_until(
    key: &NodeKey,
    network: u16,
    fill: u8,
    news: u64,
    valid_until: Timestamp,
) -> Result<SignedNodeDescriptor, SimError> {
    let id = key.id();
    let [a, b] = network.to_be_bytes();
    let ip = [4, 11 + a, b, id.0[0], id.0[1] | 1];
    let address = |port: &[u8]| [&ip[..], port].concat().into();
    let descriptor = NodeDescriptor {
        id,
        seq: WALL.0 * 1000 + news,
        onion: crypto::hash(&id.0),
        addresses: vec![address(&TCP_PORT), address(&UDP_QUIC_PORT)],
        valid_until,
        roles: Roles::ALL,
        fill,
    };
    descriptor.sign(key).map_err(|error| SimError::Node(error.to_string()))
}

/// The network of node `number`.
pub(crate) fn network_of(number: u64) -> u16 {
    // Odd, and so a permutation: neighbours in number are not neighbours in address.
    (number.wrapping_mul(40_503) % u64::from(NETWORKS)) as u16
}

/// Node `number`, an honest one.
pub(super) fn node(seed: u64, number: u64, fill: u8) -> Result<SignedNodeDescriptor, SimError> {
    announce(&key(seed, number), network_of(number), fill, u64::from(fill))
}

/// A network of which every node knows every other: one table stands for all.
pub(super) struct World {
    pub(super) table: NodeTable,
    pub(super) ids: Vec<NodeId>,
}

impl World {
    /// `count` honest, empty nodes, numbered from zero.
    pub(super) fn new(seed: u64, count: usize) -> Result<World, SimError> {
        let mut world = World { table: NodeTable::new(), ids: Vec::with_capacity(count) };
        for number in 0..count as u64 {
            world.add(node(seed, number, 0)?);
        }
        Ok(world)
    }

    /// One more.
    pub(super) fn add(&mut self, node: SignedNodeDescriptor) {
        self.ids.push(node.id);
        self.table.insert(node, Moment::default());
    }

    /// One less; nobody has met anybody here, so that nobody remembers it.
    pub(super) fn remove(&mut self, id: &NodeId) {
        self.table.remove_stranger(id);
        self.ids.retain(|other| other != id);
    }
}

/// A stripe's locators.
pub(super) fn locators(dice: &mut StdRng, count: usize) -> Vec<Locator> {
    let mut one = || {
        let mut bytes = [0; 32];
        dice.fill_bytes(&mut bytes);
        Locator(bytes)
    };
    (0..count).map(|_| one()).collect()
}

/// `count` different numbers below `below`, in the order of drawing.
pub(super) fn some_of(dice: &mut StdRng, count: usize, below: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..below).collect();
    let count = count.min(below);
    for place in 0..count {
        let other = dice.random_range(place..below);
        all.swap(place, other);
    }
    all.truncate(count);
    all
}
