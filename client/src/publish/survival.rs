//! What of a file is left when nodes vanish, and where its holders are.

use palimpsest_proto::coding;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::NodeTable;
use std::collections::{BTreeMap, BTreeSet};

/// The fractions for which survival is computed.
pub(crate) const FRACTIONS: [f64; 3] = [0.1, 0.3, 0.5];

/// How many networks the nodes are in; those whose network cannot be told count as one.
pub(crate) fn networks(table: &NodeTable, nodes: &BTreeSet<NodeId>) -> usize {
    nodes
        .iter()
        .filter_map(|id| table.get(id))
        .map(palimpsest_proto::select::Entry::network)
        .collect::<BTreeSet<_>>()
        .len()
}

/// Whether a node is a holder that is not known to be lost.
pub(super) fn lives(table: &NodeTable, id: &NodeId) -> bool {
    table.get(id).is_some_and(|node| node.signed().roles.holds && node.health().lost.is_none())
}

/// Holders that are not known to be lost.
pub(crate) fn living_holders(table: &NodeTable) -> usize {
    table.iter().filter(|(id, _)| lives(table, id)).count()
}

/// The probability that any stripe is lost, for each of [`FRACTIONS`] of the `nodes` that live lost at once. Stripes are
/// taken as independent: their shards lie at unrelated places.
pub(crate) fn survival(loads: &BTreeMap<(usize, Vec<u32>), u64>, nodes: usize) -> [(f64, f64); 3] {
    FRACTIONS.map(|fraction| {
        let dead = (fraction * nodes as f64).ceil() as usize;
        // ln of the probability that none is lost: a sum stays exact where a product of numbers near 1 would not.
        let none_lost: f64 = loads
            .iter()
            .map(|((k, loads), &times)| {
                let mut all = loads.clone();
                all.resize(nodes.max(loads.len()), 0);
                (-coding::loss(*k, &all, dead)).ln_1p() * times as f64
            })
            .sum();
        (fraction, -none_lost.exp_m1())
    })
}
