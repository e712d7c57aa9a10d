//! Made-up nodes for tests.

use crate::crypto::NodeKey;
use crate::record::{NodeDescriptor, Roles, SignedNodeDescriptor};
use crate::secret::Secret;
use crate::select::NodeTable;
use crate::time::{Moment, Timestamp};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::sync::Mutex;

pub(crate) const WALL: Timestamp = Timestamp(1_800_000_000);

/// The seed of a key whose id has cost its work, the same for the same number. Searched once for all tests.
pub(crate) fn worked_seed(number: u16) -> Secret {
    static FOUND: Mutex<BTreeMap<u16, [u8; 32]>> = Mutex::new(BTreeMap::new());
    let known = FOUND.lock().unwrap().get(&number).copied();
    let seed = known.unwrap_or_else(|| *NodeKey::search(&mut StdRng::seed_from_u64(number.into())).0.expose());
    FOUND.lock().unwrap().insert(number, seed);
    Secret::new(seed)
}

/// A node that relays and holds. Its id has cost no work: tests make thousands of them, and none verifies them.
pub(crate) fn node_at(number: u16, ip: [u8; 4], roles: Roles) -> SignedNodeDescriptor {
    node_with(number, ip, roles, 0)
}

/// A loopback node of which so many per cent are taken. The fuller, the newer its descriptor.
pub(crate) fn filled(number: u16, fill: u8) -> SignedNodeDescriptor {
    node_with(number, [127, 0, 0, 1], Roles::ALL, fill)
}

fn node_with(number: u16, ip: [u8; 4], roles: Roles, fill: u8) -> SignedNodeDescriptor {
    let mut seed = [0; 32];
    seed[..2].copy_from_slice(&number.to_le_bytes());
    let key = NodeKey::from_seed(&Secret::new(seed));
    let address = [&[4], &ip[..], &[6, 0, 80]].concat();
    let descriptor = NodeDescriptor {
        id: key.id(),
        seq: WALL.0 * 1000 + u64::from(fill),
        onion: [1; 32],
        addresses: vec![address.into()],
        valid_until: WALL.plus(86_400),
        roles,
        fill,
    };
    descriptor.sign(&key).unwrap()
}

/// `count` loopback nodes.
pub(crate) fn network(count: u16) -> Vec<SignedNodeDescriptor> {
    (0..count).map(|number| node_at(number, [127, 0, 0, 1], Roles::ALL)).collect()
}

/// A table of them, of whose health nothing is known.
pub(crate) fn table_of(nodes: &[SignedNodeDescriptor]) -> NodeTable {
    let mut table = NodeTable::new();
    nodes.iter().for_each(|node| _ = table.insert(node.clone(), Moment::default()));
    table
}
