//! A neighbourhood that somebody made.
//!
//! Whoever has a link knows its locators, and can search for node ids that are nearer to them than anybody else's: 20 for a
//! locator, and no honest node is among its candidates any more. But ids that are hashes lie evenly, everybody knows how many
//! there are, and so how near the 20th should be: where it is much nearer, somebody chose. (The density test of Sridhar,
//! Ascigil, Keizer and others, NDSS 2024; there the size of the network had to be guessed.)
//!
//! There, those who were candidates before keep what they have, and who looks for a shard looks behind the candidates, too. Where
//! nobody meddled, nothing changes.

use super::nearest;
use crate::ids::{NodeId, Position};
use crate::params::{CANDIDATES, DIVERSIONS};
use crate::select::NodeTable;

/// A neighbourhood is dense if its candidates lie where chance would put fewer than so many nodes. By chance alone 1 in 4,000 is
/// (that a Poisson variable of mean 8 reaches 20); and who keeps below it leaves 8 places of 20 to others.
const DENSE_BELOW: f64 = 8.0;

/// Where the candidates (`near`) of a position are denser than chance makes them: the [`DIVERSIONS`] holders behind them, nearest
/// first. Nobody elsewhere.
pub(crate) fn outer(table: &NodeTable, position: &Position, near: &[NodeId]) -> Vec<NodeId> {
    let Some(last) = near.get(CANDIDATES - 1) else { return Vec::new() };
    let distance = last.position().distance(position);
    let part = distance.iter().take(8).rev().fold(0.0, |part, byte| (part + f64::from(*byte)) / 256.0);
    if part * table.holder_count() as f64 >= DENSE_BELOW {
        return Vec::new();
    }
    nearest(table, position, CANDIDATES + DIVERSIONS).split_off(near.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto;
    use crate::ids::Locator;
    use crate::select::candidates;
    use crate::select::testing::{network, table_of};
    use std::collections::BTreeSet;

    fn position(number: u64) -> Position {
        Locator(crypto::hash(&number.to_le_bytes())).position()
    }

    #[test]
    fn chance_makes_no_neighbourhood_dense() {
        for count in [15, 20, 21, 60, 1_000] {
            let table = table_of(&network(count));
            let dense =
                |number: &u64| !outer(&table, &position(*number), &candidates(&table, &position(*number))).is_empty();
            let dense = (0..2_000).filter(dense).count();
            assert!(dense <= 20, "{dense} of 2000 among {count}");
        }
    }

    /// 5,000 ids of which somebody takes the 20 nearest to a place, in a network of 300.
    #[test]
    fn whom_ground_ids_push_out_is_still_known() {
        let nodes = network(5_300);
        let (honest, ground) = nodes.split_at(300);
        let table = table_of(honest);
        let mut alarms = 0;
        for number in 0..20 {
            let place = position(number);
            let before = candidates(&table, &place);
            let mut pool: Vec<_> = ground.iter().map(|node| (node.id.position().distance(&place), node)).collect();
            pool.sort_by_key(|(distance, _)| *distance);
            let mut attacked = table.clone();
            pool[..CANDIDATES].iter().for_each(|(_, node)| _ = attacked.insert((*node).clone(), Default::default()));
            let near = candidates(&attacked, &place);
            let behind: BTreeSet<NodeId> = outer(&attacked, &place, &near).into_iter().chain(near).collect();
            assert!(before.iter().take(12).all(|id| behind.contains(id)));
            // A few ids are no reason.
            let mut few = table.clone();
            pool[..3].iter().for_each(|(_, node)| _ = few.insert((*node).clone(), Default::default()));
            alarms += usize::from(!outer(&few, &place, &candidates(&few, &place)).is_empty());
        }
        assert!(alarms <= 4, "{alarms} of 20");
    }
}
