//! What it costs to be all whom a reader asks at some places, reckoned from where the nodes are.

use palimpsest_proto::ids::Position;
use palimpsest_proto::params::{CANDIDATES, NODE_PUZZLE_BITS, REGION_NODES_MAX};
use serde::Serialize;

/// Keys that one core makes and tries in a second: 1,000 in 15 ms.
const KEYS_A_SECOND: f64 = 1_024.0 / 0.015;

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

impl Cost {
    /// Of no place, or of more than there are.
    pub const NONE: Self = Self { places: 0, nodes: 0, ids: 0.0, core_seconds: 0.0 };
}

/// What it costs to take `wanted` of the places, the cheapest, among nodes at these positions. Whoever asks there asks the nearest
/// [`CANDIDATES`], and where they are too near to be true [`REGION_NODES_MAX`] more: all of these must be nearer than the nearest
/// honest node. Ids are drawn at random, and one drawing serves all places.
#[must_use]
pub fn cost(nodes: &[Position], places: &[Position], wanted: usize) -> Cost {
    let each = CANDIDATES + REGION_NODES_MAX;
    let nearest = |place: &Position| nodes.iter().map(|node| share(&node.distance(place))).fold(1.0, f64::min);
    let mut chances: Vec<f64> = places.iter().map(nearest).collect();
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
        let places = [at(128), at(32), at(64 + 16)];
        let each = (CANDIDATES + REGION_NODES_MAX) as f64;
        assert_eq!(cost(&nodes, &places, 1).ids, 2.0 * each);
        let two = cost(&nodes, &places, 2);
        assert_eq!((two.ids, two.places, two.nodes), (8.0 * each, 2, 2 * (CANDIDATES + REGION_NODES_MAX)));
        assert_eq!(cost(&nodes, &places, 3).ids, 16.0 * each);
        assert_eq!((cost(&nodes, &places, 0), cost(&nodes, &places, 4)), (Cost::NONE, Cost::NONE));
    }
}
