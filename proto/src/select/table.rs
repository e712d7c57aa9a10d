//! The node table: every known node's signed descriptor, and what was heard of its health. Bounded; drivers put it
//! behind one lock.
//!
//! Three indices over one map: holders by position (placement), relays by number (path choice draws one in constant
//! time), networks by size (who gives way when the table is full). Digests over 256 buckets let two tables find their
//! differences by exchanging two kilobytes.

use crate::crypto;
use crate::ids::{NodeId, Position};
use crate::params::{NODE_DESCRIPTOR_BYTES_MAX, TABLE_NODES_MAX};
use crate::record::SignedNodeDescriptor;
use crate::select::Network;
use crate::time::{Moment, Timestamp};
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Version of the encoded table (a cache on disk).
const VERSION: u8 = 1;
/// Buckets of the digests: the first byte of a node's position.
pub const BUCKETS: usize = 256;

/// What became of an inserted descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// A node not known before.
    New,
    /// It replaced an older descriptor.
    Newer,
    /// Known already.
    Same,
    /// The table has a newer one.
    Older,
    /// No room: the node's network has the most nodes in a full table.
    Full,
}

/// What was seen or heard of a node, weak evidence of whether it lives: others may lie about it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// When it was last known to live: a connection, or the signing of its descriptor.
    pub seen: Option<Moment>,
    /// Since when it is believed lost.
    pub lost: Option<Moment>,
    /// Whether the table's owner was ever connected to it: that alone shows that there is such a node, and not just a key.
    pub met: bool,
}

/// One node of the table.
#[derive(Clone, Debug)]
pub struct Entry {
    signed: SignedNodeDescriptor,
    position: Position,
    network: Option<Network>,
    health: Health,
    /// Its place in `NodeTable::relays`, if it relays.
    relay: Option<usize>,
}

impl Entry {
    /// What the node says of itself.
    pub fn signed(&self) -> &SignedNodeDescriptor {
        &self.signed
    }
    /// Its place in the keyspace.
    pub fn position(&self) -> &Position {
        &self.position
    }
    /// The network in which it is, if its addresses tell.
    pub fn network(&self) -> Option<Network> {
        self.network
    }
    /// What was seen or heard of it.
    pub fn health(&self) -> Health {
        self.health
    }
}

/// All known nodes.
#[derive(Clone, Debug)]
pub struct NodeTable {
    nodes: BTreeMap<NodeId, Entry>,
    holders: BTreeMap<Position, NodeId>,
    relays: Vec<NodeId>,
    networks: BTreeMap<Option<Network>, BTreeSet<NodeId>>,
    /// Nodes that were never met.
    strangers: BTreeSet<NodeId>,
    /// Nodes that are believed lost.
    lost: BTreeSet<NodeId>,
    /// How many of a network's nodes relay.
    relaying: BTreeMap<Network, usize>,
    digests: Box<[u64; BUCKETS]>,
    nodes_max: usize,
}

impl Default for NodeTable {
    fn default() -> NodeTable {
        NodeTable::new()
    }
}

impl NodeTable {
    /// An empty table for [`TABLE_NODES_MAX`] nodes.
    pub fn new() -> NodeTable {
        NodeTable::with_limit(TABLE_NODES_MAX)
    }

    /// An empty table for at most `nodes_max` nodes.
    pub fn with_limit(nodes_max: usize) -> NodeTable {
        NodeTable {
            nodes: BTreeMap::new(),
            holders: BTreeMap::new(),
            relays: Vec::new(),
            networks: BTreeMap::new(),
            strangers: BTreeSet::new(),
            lost: BTreeSet::new(),
            relaying: BTreeMap::new(),
            digests: Box::new([0; BUCKETS]),
            nodes_max,
        }
    }

    /// How many nodes are known.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether no node is known.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many of them store shards.
    pub fn holder_count(&self) -> usize {
        self.holders.len()
    }

    /// Those that relay, in no particular order: draw by index.
    pub fn relays(&self) -> &[NodeId] {
        &self.relays
    }

    /// How many nodes of that network relay.
    pub(crate) fn relays_in(&self, network: &Network) -> usize {
        self.relaying.get(network).copied().unwrap_or(0)
    }

    /// One node.
    pub fn get(&self, id: &NodeId) -> Option<&Entry> {
        self.nodes.get(id)
    }

    /// All nodes, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&NodeId, &Entry)> {
        self.nodes.iter()
    }

    /// The holders in a range of positions, ascending.
    pub(crate) fn holders_in(&self, range: RangeInclusive<Position>) -> impl Iterator<Item = (&Position, &NodeId)> {
        self.holders.range(range)
    }

    /// Takes a checked descriptor. A newer one replaces an older one of the same node; a descriptor signed after a node
    /// was lost shows that it came back.
    pub fn insert(&mut self, signed: SignedNodeDescriptor, now: Moment) -> Inserted {
        let id = signed.id;
        // A signature from before the driver's clock began tells nothing on that clock.
        let signed_at = now.0.checked_sub(signed.age()).map(Moment);
        let (inserted, mut health) = match self.nodes.get(&id) {
            Some(known) if known.signed.seq == signed.seq => return Inserted::Same,
            Some(known) if known.signed.seq > signed.seq => return Inserted::Older,
            Some(known) => (Inserted::Newer, known.health),
            None => (Inserted::New, Health::default()),
        };
        let network = Network::of(&signed);
        if inserted == Inserted::New && self.nodes.len() >= self.nodes_max && !self.make_room(network) {
            return Inserted::Full;
        }
        self.remove(&id);
        if signed_at > health.seen {
            health.seen = signed_at;
        }
        if signed_at > health.lost {
            health.lost = None;
        }
        let position = id.position();
        self.digests[usize::from(position.0[0])] ^= fingerprint(&signed);
        self.networks.entry(network).or_default().insert(id);
        if !health.met {
            self.strangers.insert(id);
        }
        if health.lost.is_some() {
            self.lost.insert(id);
        }
        if signed.roles.holds {
            self.holders.insert(position, id);
        }
        let relay = signed.roles.relays.then_some(self.relays.len());
        if relay.is_some() {
            self.relays.push(id);
            network.into_iter().for_each(|network| *self.relaying.entry(network).or_default() += 1);
        }
        self.nodes.insert(id, Entry { signed, position, network, health, relay });
        inserted
    }

    /// In a full table the network with the most nodes gives way to others, so that whoever fills one network with
    /// nodes crowds out nobody else.
    fn make_room(&mut self, newcomer: Option<Network>) -> bool {
        let Some((&largest, members)) = self.networks.iter().max_by_key(|(_, members)| members.len()) else {
            return false;
        };
        if largest == newcomer {
            return false;
        }
        let stalest = members
            .iter()
            .filter_map(|id| self.nodes.get(id))
            .min_by_key(|entry| (entry.health.lost.is_none(), entry.signed.seq, entry.signed.id))
            .map(|entry| entry.signed.id);
        stalest.is_some_and(|id| self.remove(&id))
    }

    fn remove(&mut self, id: &NodeId) -> bool {
        let Some(entry) = self.nodes.remove(id) else {
            return false;
        };
        self.strangers.remove(id);
        self.lost.remove(id);
        self.digests[usize::from(entry.position.0[0])] ^= fingerprint(&entry.signed);
        self.holders.remove(&entry.position);
        if let Some(members) = self.networks.get_mut(&entry.network) {
            members.remove(id);
            if members.is_empty() {
                self.networks.remove(&entry.network);
            }
        }
        if let Some(place) = entry.relay {
            self.relays.swap_remove(place);
            if let Some(network) = entry.network
                && let Some(count) = self.relaying.get_mut(&network)
            {
                *count -= 1;
                if *count == 0 {
                    self.relaying.remove(&network);
                }
            }
            if let Some(moved) = self.relays.get(place).and_then(|id| self.nodes.get_mut(id)) {
                moved.relay = Some(place);
            }
        }
        true
    }

    /// Forgets nodes whose descriptors are no longer valid. Returns how many.
    pub fn expire(&mut self, now: Timestamp) -> usize {
        let expired: Vec<NodeId> =
            self.nodes.iter().filter(|(_, entry)| entry.signed.valid_until <= now).map(|(id, _)| *id).collect();
        expired.iter().filter(|id| self.remove(id)).count()
    }

    /// The node lives: we are connected to it. Ends a lost mark.
    pub fn mark_seen(&mut self, id: &NodeId, now: Moment) {
        if let Some(entry) = self.nodes.get_mut(id) {
            entry.health = Health { seen: entry.health.seen.max(Some(now)), lost: None, met: true };
            self.strangers.remove(id);
            self.lost.remove(id);
        }
    }

    /// The nodes that were never met.
    pub fn strangers(&self) -> &BTreeSet<NodeId> {
        &self.strangers
    }

    /// Forgets a node if it was never met. Returns whether it was so.
    pub fn remove_stranger(&mut self, id: &NodeId) -> bool {
        self.strangers.contains(id) && self.remove(id)
    }

    /// Takes a word on who is lost that stands above what the table says.
    pub fn set_lost(&mut self, id: &NodeId, when: Option<Moment>) {
        if let Some(entry) = self.nodes.get_mut(id) {
            entry.health.lost = when;
            match when {
                Some(_) => self.lost.insert(*id),
                None => self.lost.remove(id),
            };
        }
    }

    /// The node was found lost at `when` (a closed connection, a failed dial, or another node's word, with its age
    /// taken off). Ignored if it was seen at that time or later. Returns whether that is news.
    pub fn mark_lost(&mut self, id: &NodeId, when: Moment) -> bool {
        match self.nodes.get_mut(id) {
            Some(entry) if entry.health.seen < Some(when) => {
                let news = entry.health.lost.is_none();
                entry.health.lost = entry.health.lost.max(Some(when));
                self.lost.insert(*id);
                news
            }
            _ => false,
        }
    }

    /// The nodes believed lost, and since when.
    pub fn lost(&self) -> impl Iterator<Item = (&NodeId, Moment)> {
        self.lost.iter().filter_map(|id| Some((id, self.nodes.get(id)?.health.lost?)))
    }

    /// One number per bucket, equal in two tables if they hold the same descriptors there.
    pub fn digests(&self) -> &[u64; BUCKETS] {
        &self.digests
    }

    /// The buckets in which `theirs` differs.
    pub fn differing(&self, theirs: &[u64; BUCKETS]) -> Vec<u8> {
        (0..=u8::MAX).filter(|&b| self.digests[usize::from(b)] != theirs[usize::from(b)]).collect()
    }

    /// The descriptors in the given buckets, bucket by bucket, at most `count_max` of them. Where buckets may be cut
    /// off, pass them in random order, so that another part comes next time.
    pub fn in_buckets(&self, buckets: &[u8], count_max: usize) -> Vec<Bytes> {
        let mut by_bucket: BTreeMap<u8, Vec<&Bytes>> = buckets.iter().map(|&b| (b, Vec::new())).collect();
        for entry in self.nodes.values() {
            if let Some(bucket) = by_bucket.get_mut(&entry.position.0[0]) {
                bucket.push(entry.signed.encoded());
            }
        }
        buckets.iter().filter_map(|b| by_bucket.remove(b)).flatten().take(count_max).cloned().collect()
    }

    /// All descriptors, for a cache on disk. Health is not kept: it is soon stale.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(8 + self.nodes.values().map(|e| 4 + e.signed.encoded().len()).sum::<usize>());
        w.u8(VERSION).u32(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        for entry in self.nodes.values() {
            w.bytes(entry.signed.encoded());
        }
        w.into_vec()
    }

    /// Reads what [`NodeTable::encode`] made. Each descriptor is verified again; those no longer valid are left out.
    pub fn decode(bytes: Bytes, wall: Timestamp, now: Moment) -> Result<NodeTable, WireError> {
        let mut r = Reader::new(bytes);
        if r.u8("version")? != VERSION {
            return Err(WireError::Invalid("version"));
        }
        let count = r.u32("nodes")?;
        if count as usize > TABLE_NODES_MAX {
            return Err(WireError::TooLong("nodes"));
        }
        let mut table = NodeTable::new();
        for _ in 0..count {
            let one = r.bytes("node descriptor", NODE_DESCRIPTOR_BYTES_MAX)?;
            if let Ok(signed) = SignedNodeDescriptor::decode(one).and_then(|unverified| unverified.verify(wall)) {
                table.insert(signed, now);
            }
        }
        r.finish()?;
        Ok(table)
    }
}

/// A descriptor's share in its bucket's digest.
fn fingerprint(signed: &SignedNodeDescriptor) -> u64 {
    let mut named = [0; 40];
    named[..32].copy_from_slice(&signed.id.0);
    named[32..].copy_from_slice(&signed.seq.to_le_bytes());
    let hash = crypto::hash(&named);
    u64::from_le_bytes([hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]])
}

#[cfg(test)]
mod tests;
