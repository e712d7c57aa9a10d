//! What moves when a node joins or leaves: every shard of the network lies where `proto`'s placement puts it, and each holder asks
//! `proto`'s [`Giver`] who should have it now, as the daemon's handover does.

use super::world::{World, dice, locators, node, some_of};
use super::{Bound, Goal, SimError};
use palimpsest_proto::flow::Giver;
use palimpsest_proto::ids::{Locator, NodeId, Position};
use palimpsest_proto::select::place;
use serde::Serialize;
use std::collections::BTreeSet;

/// Shards whose holders are asked anew after a leave, though nothing of theirs changed.
const BYSTANDERS: usize = 200;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Movement {
    /// Nodes when it began.
    pub nodes: usize,
    /// Shards in the network, and of how many a stripe is made.
    pub shards: usize,
    /// See `shards`.
    pub stripe: usize,
    /// Nodes that joined, one after the other; nodes that left.
    pub events: usize,
    /// Shards that moved at a join, on average, in units of 1/n of all shards.
    pub join: f64,
    /// The part of these that went elsewhere than to who joined: their holders are no candidates any more.
    pub join_astray: f64,
    /// Shards that moved when a node drained, on average, in units of 1/n of all shards.
    pub leave: f64,
    /// Shards of others that moved although they had nothing to do with who left: none, if the rules hold.
    pub leave_astray: usize,
}

struct Kept {
    locator: Locator,
    position: Position,
    holder: NodeId,
    /// How far the holder is from it.
    distance: [u8; 32],
}

/// `events` joins to a network of `nodes` with `stripes` stripes of `(k, n)`, then as many leaves.
pub(super) fn measure(
    nodes: usize,
    seed: u64,
    stripes: usize,
    (k, n): (usize, usize),
    events: usize,
) -> Result<Movement, SimError> {
    let mut world = World::new(seed, nodes)?;
    let mut chance = dice(seed, "movement", nodes as u64);
    let mut kept = Vec::with_capacity(stripes * n);
    for _ in 0..stripes {
        let locators = locators(&mut chance, n);
        let placement = place(&world.table, &locators, k);
        for (shard, locator) in locators.into_iter().enumerate() {
            if let Some(holder) = placement.candidates(shard).first().copied() {
                let position = locator.position();
                kept.push(Kept { locator, position, holder, distance: holder.position().distance(&position) });
            }
        }
    }
    let total = kept.len() as f64;
    let (mut joined, mut astray) = (0.0, 0);
    let mut moved = 0;
    for number in 0..events as u64 {
        let newcomer = node(seed, nodes as u64 + number, 0)?;
        let (id, at) = (newcomer.id, newcomer.id.position());
        world.add(newcomer);
        let newcomers = BTreeSet::from([id]);
        let mut of_this = 0;
        // Only where it is nearer than the holder can anything have changed: it overtakes it, or pushes it out of the nearest.
        for shard in kept.iter_mut().filter(|shard| at.distance(&shard.position) < shard.distance) {
            let giver = Giver { own: shard.holder, drains: false, newcomers: &newcomers };
            if let Some(to) = giver.receivers(&world.table, &shard.locator, |_| true).first() {
                astray += usize::from(*to != id);
                of_this += 1;
                shard.holder = *to;
                shard.distance = to.position().distance(&shard.position);
            }
        }
        moved += of_this;
        joined += f64::from(of_this) * world.ids.len() as f64 / total;
    }
    let join_astray = astray as f64 / f64::from(moved).max(1.0);
    let nobody = BTreeSet::new();
    let (mut left, mut leave_astray) = (0.0, 0);
    let leavers: Vec<NodeId> =
        some_of(&mut chance, events, world.ids.len()).into_iter().map(|number| world.ids[number]).collect();
    for leaver in &leavers {
        let drains = |shard: &&Kept| {
            let giver = Giver { own: *leaver, drains: true, newcomers: &nobody };
            shard.holder == *leaver && !giver.receivers(&world.table, &shard.locator, |_| true).is_empty()
        };
        left += kept.iter().filter(drains).count() as f64 * world.ids.len() as f64 / total;
    }
    for number in some_of(&mut chance, BYSTANDERS, kept.len()) {
        let shard = &kept[number];
        let gone = |id: &NodeId| !leavers.contains(id);
        let giver = Giver { own: shard.holder, drains: false, newcomers: &nobody };
        leave_astray += usize::from(!giver.receivers(&world.table, &shard.locator, gone).is_empty());
    }
    let per_event = |sum: f64| sum / events as f64;
    Ok(Movement {
        nodes,
        shards: kept.len(),
        stripe: n,
        events,
        join: per_event(joined),
        join_astray,
        leave: per_event(left),
        leave_astray,
    })
}

/// The bounds of the issue.
pub(super) fn bounds(movement: &Movement) -> Vec<Bound> {
    let off = |share: f64| (share - 1.0).abs();
    let what = |event: &str| format!("shards moved at a {event}, {} nodes: off 1/n by", movement.nodes);
    vec![
        Bound::at_most(Goal::Moved, what("join"), off(movement.join), 0.1),
        Bound::at_most(Goal::Moved, what("leave"), off(movement.leave), 0.1),
        Bound::at_most(
            Goal::Stays,
            "shards moved that had nothing to do with a leave".to_owned(),
            movement.leave_astray as f64,
            0.0,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_network_moves_its_part() {
        let movement = measure(400, 3, 200, (8, 20), 150).unwrap();
        assert!((0.8..1.2).contains(&movement.join), "{movement:?}");
        assert!((0.8..1.2).contains(&movement.leave), "{movement:?}");
        assert!(movement.join_astray < 0.05 && movement.leave_astray == 0, "{movement:?}");
    }
}
