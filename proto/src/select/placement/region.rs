//! Where somebody has ground ids next to a place, and who was there before.
//!
//! Ids lie evenly in the keyspace, as hashes do: of N nodes, the 20 nearest to a place lie within 20/N of it. Who wants to
//! be all of them must be nearer than the nearest honest node, which is within 1/N. So where the twentieth is much nearer
//! than it should be, ids were ground, and whoever looks for something asks all nodes of the region in which the twenty
//! would lie. What was there before the attacker is among them, and the attacker would have to outnumber a region instead of
//! outbidding twenty nodes. (Distances of the nearest: Cholez, Chrisment and Festor 2010; region queries: Sridhar et al.,
//! NDSS 2024.)

use super::{candidates, neighbourhood};
use crate::ids::{NodeId, Position};
use crate::params::{CANDIDATES, REGION_NODES_MAX};
use crate::select::NodeTable;

/// The twentieth is suspiciously near within this part of the distance at which it should be. In a network of honest nodes
/// that happens at one place in 290 (20 of a Poisson process where 10 are due), and costs a few requests more.
const DENSE_PART: f64 = 0.5;
/// The region has room for so many times [`CANDIDATES`] at least; less than twice that.
const REGION_FACTOR: usize = 2;

/// The candidates of a place, and behind them the region around it if ids were ground next to it: nearest first.
pub fn with_region(table: &NodeTable, position: &Position) -> Vec<NodeId> {
    let mut all = candidates(table, position);
    all.extend(region(table, position, &all));
    all
}

/// All of the region around a place but its candidates, nearest first; nobody unless ids were ground next to it.
pub(super) fn region(table: &NodeTable, position: &Position, near: &[NodeId]) -> Vec<NodeId> {
    let holders = table.holder_count();
    let Some(last) = near.last().filter(|_| near.len() == CANDIDATES && holders > CANDIDATES) else {
        return Vec::new();
    };
    let due = CANDIDATES as f64 / holders as f64;
    if share(&last.position().distance(position)) >= DENSE_PART * due {
        return Vec::new();
    }
    let bits = (holders / (REGION_FACTOR * CANDIDATES)).checked_ilog2().unwrap_or(0);
    let mut far: Vec<([u8; 32], NodeId)> = table
        .holders_in(neighbourhood(position, bits))
        .map(|(place, id)| (place.distance(position), *id))
        .filter(|(_, id)| !near.contains(id))
        .collect();
    far.sort_unstable();
    far.truncate(REGION_NODES_MAX);
    far.into_iter().map(|(_, id)| id).collect()
}

/// The share of the keyspace that is nearer than this.
fn share(distance: &[u8; 32]) -> f64 {
    let first = distance.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    first as f64 / 2_f64.powi(64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ids::Locator;
    use crate::select::testing::{network, table_of};
    use crate::select::whereabouts;

    fn place(number: u64) -> Locator {
        Locator(std::array::from_fn(|i| number.to_be_bytes()[i % 8]))
    }

    #[test]
    fn honest_neighbourhoods_have_no_region_but_one_in_hundreds() {
        let table = table_of(&network(1_000));
        let asked =
            (0..2_000).filter(|number| with_region(&table, &place(*number).position()).len() > CANDIDATES).count();
        // 0.35 % of 2,000 are 7.
        assert!((1..=20).contains(&asked), "{asked}");
        assert!((0..50).all(|number| region(&table_of(&network(20)), &place(number).position(), &[]).is_empty()));
    }

    /// The nodes nearest to a place of a network ten times as large are those whom a censor would have ground.
    #[test]
    fn who_was_there_before_the_ground_ids_is_in_the_region() {
        let all = network(10_000);
        let (honest, pool) = all.split_at(500);
        for number in 0..20 {
            let locator = place(number);
            let position = locator.position();
            let before: BTreeSet<NodeId> = candidates(&table_of(honest), &position).into_iter().collect();
            let ground: BTreeSet<NodeId> = candidates(&table_of(pool), &position).into_iter().collect();
            let joined: Vec<_> =
                honest.iter().chain(pool.iter().filter(|node| ground.contains(&node.id))).cloned().collect();
            let table = table_of(&joined);
            let region = whereabouts(&table, &locator).diversions;
            let asked: BTreeSet<NodeId> = candidates(&table, &position).into_iter().chain(region.clone()).collect();
            assert!(ground.is_subset(&asked) && before.is_subset(&asked), "{number}");
            assert!(region.len() <= REGION_NODES_MAX && with_region(&table, &position).len() == asked.len());
        }
    }
}
