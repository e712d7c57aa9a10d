//! The account of what is placed.

use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::ids::{Locator, NodeId};
use std::collections::{BTreeMap, BTreeSet};

/// Where the shards of the finished stripes lie, as far as survival and proof need it.
#[derive(Default)]
pub(super) struct Placed {
    pub(super) stripes: u64,
    pub(super) shards: u64,
    pub(super) resumed: u64,
    /// For each kind of stripe seen (k, and how many nodes hold how many shards): how often.
    pub(super) loads: BTreeMap<(usize, Vec<u32>), u64>,
    pub(super) holders: BTreeSet<NodeId>,
    /// A uniform sample of what was placed (reservoir).
    pub(super) sample: Vec<(Locator, NodeId)>,
    pub(super) seen: u64,
    pub(super) short: u64,
    /// Stripes that no warden would take.
    pub(super) unwarded: u64,
}

impl Placed {
    /// Takes it into the account who has a stripe's shards.
    pub(super) fn note_loads(&mut self, descriptor: &Descriptor, holders: &[Option<NodeId>]) {
        let mut loads: BTreeMap<NodeId, u32> = BTreeMap::new();
        holders.iter().flatten().for_each(|holder| *loads.entry(*holder).or_default() += 1);
        self.holders.extend(loads.keys());
        let mut counts: Vec<u32> = loads.into_values().collect();
        counts.sort_unstable();
        *self.loads.entry((descriptor.geometry().k(), counts)).or_default() += 1;
    }

    /// The same for all stripes, since holders have changed.
    pub(super) fn recount<'s>(&mut self, stripes: impl Iterator<Item = (&'s Descriptor, &'s [Option<NodeId>])>) {
        self.loads.clear();
        self.holders.clear();
        stripes.for_each(|(descriptor, holders)| self.note_loads(descriptor, holders));
    }
}
