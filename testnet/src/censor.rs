//! What a censor who has a link can do with it: find the holders (that cannot be hidden from who may fetch), and reckon what
//! taking the places of what it wants to hide would cost. Readers and publisher it does not find so: what it is answered
//! (descriptors, shards, whether something is there) has no field that names anybody. What relays and holders see of them is
//! another question, and another command's.

use palimpsest_client::coding::Descriptor;
use palimpsest_client::{Capability, Client, Error, Progress};
use palimpsest_proto::ids::{NodeId, Position};
use palimpsest_proto::params::{CANDIDATES, NODE_PUZZLE_BITS, REGION_NODES_MAX};
use serde::Serialize;
use std::collections::BTreeSet;

/// Stripes looked at, at most: what holds for the first few holds for all.
const STRIPES_MAX: usize = 64;
/// Keys that one core makes and tries in a second: 1,000 in 15 ms.
const KEYS_A_SECOND: f64 = 1_024.0 / 0.015;

/// What a link gave away, and what it did not.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nodes of the network that hold shards.
    pub nodes: usize,
    /// Stripes looked at, the root's own among them.
    pub stripes: usize,
    /// Shards of these stripes.
    pub shards: usize,
    /// Those whose holder was found.
    pub found: usize,
    /// Those that belong with the censor's own guard, whom its client asks for nothing. Another client has another guard.
    pub unasked: usize,
    /// Nodes that have at least one of them.
    pub holders: usize,
    /// To hide the root's record: all of its places.
    pub record: Cost,
    /// To hide the content: of the stripe for which that is cheapest, so many places that too few shards are left.
    pub stripe: Cost,
}

/// What it costs to be all whom a reader asks at some places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Places to take.
    pub places: usize,
    /// Nodes to run: enough at each place that nobody else is asked.
    pub nodes: usize,
    /// Ids to draw, each of which has cost its work.
    pub ids: f64,
    /// Seconds of one core for that.
    pub core_seconds: f64,
}

/// Uses a link as a censor would.
///
/// # Errors
/// Those of finding what the link names.
pub async fn censor(client: &Client, link: &Capability) -> Result<Report, Error> {
    let held = client.holders(link, STRIPES_MAX, &Progress::new()).await?;
    let nodes: BTreeSet<NodeId> = client.known_holders().await?.into_iter().collect();
    let places: Vec<Position> = nodes.iter().map(NodeId::position).collect();
    let named: BTreeSet<NodeId> =
        held.iter().flat_map(|stripe| stripe.found.holders.iter().flatten().copied()).collect();
    let record = held.first().map_or(Cost::NONE, |root| {
        let addresses = root.descriptor.root_address().record_addresses();
        cost(&places, addresses.iter().map(|address| address.position()), addresses.len())
    });
    let of_stripe = |descriptor: &Descriptor| {
        let (k, n) = (descriptor.geometry().k(), descriptor.geometry().n());
        cost(&places, descriptor.locators().iter().map(|locator| locator.position()), n + 1 - k)
    };
    let stripes = held.iter().map(|stripe| of_stripe(&stripe.descriptor));
    let stripe = stripes.min_by(|a, b| a.ids.total_cmp(&b.ids)).unwrap_or(Cost::NONE);
    Ok(Report {
        nodes: nodes.len(),
        stripes: held.len(),
        shards: held.iter().map(|stripe| stripe.descriptor.locators().len()).sum(),
        found: held.iter().map(|stripe| stripe.found.present()).sum(),
        unasked: held
            .iter()
            .map(|stripe| stripe.found.holders.len() - stripe.found.present() - stripe.found.missing().len())
            .sum(),
        holders: named.len(),
        record,
        stripe,
    })
}

impl Cost {
    const NONE: Self = Self { places: 0, nodes: 0, ids: 0.0, core_seconds: 0.0 };
}

/// What it costs to take `wanted` of the places, the cheapest. Whoever asks there asks the nearest [`CANDIDATES`], and where
/// they are too near to be true [`REGION_NODES_MAX`] more: all of these must be nearer than the nearest honest node. Ids are
/// drawn at random, and one drawing serves all places.
fn cost(nodes: &[Position], places: impl Iterator<Item = Position>, wanted: usize) -> Cost {
    let each = CANDIDATES + REGION_NODES_MAX;
    let nearest = |place: &Position| nodes.iter().map(|node| share(&node.distance(place))).fold(1.0, f64::min);
    let mut chances: Vec<f64> = places.map(|place| nearest(&place)).collect();
    chances.sort_by(|a, b| b.total_cmp(a));
    let Some(least) = wanted.checked_sub(1).and_then(|last| chances.get(last)) else { return Cost::NONE };
    let ids = each as f64 / least;
    let core_seconds = ids * f64::from(1_u32 << NODE_PUZZLE_BITS) / KEYS_A_SECOND;
    Cost { places: wanted, nodes: wanted * each, ids, core_seconds }
}

/// The share of the keyspace that is nearer than this.
fn share(distance: &[u8; 32]) -> f64 {
    let first = distance.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    first as f64 / 2_f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(first: u8) -> Position {
        Position(std::array::from_fn(|i| if i == 0 { first } else { 0 }))
    }

    #[test]
    fn the_cheapest_places_are_taken_and_the_dearest_of_them_decides() {
        let nodes = [at(0), at(64)];
        // Distances of a half, an eighth and a sixteenth of the keyspace.
        let places = || [at(128), at(32), at(64 + 16)].into_iter();
        let each = (CANDIDATES + REGION_NODES_MAX) as f64;
        assert_eq!(cost(&nodes, places(), 1).ids, 2.0 * each);
        let two = cost(&nodes, places(), 2);
        assert_eq!((two.ids, two.places, two.nodes), (8.0 * each, 2, 2 * (CANDIDATES + REGION_NODES_MAX)));
        assert_eq!(cost(&nodes, places(), 3).ids, 16.0 * each);
        assert_eq!((cost(&nodes, places(), 0), cost(&nodes, places(), 4)), (Cost::NONE, Cost::NONE));
    }
}
