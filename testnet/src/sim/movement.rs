//! What moves when a node joins or leaves: every shard of the network lies where `proto`'s placement puts it, and each holder asks
//! `proto`'s [`Giver`] who should have it now, as the daemon's handover does.

use super::world::{World, dice, locators, node, some_of};
use super::{Bound, Goal, SimError};
use palimpsest_proto::flow::Giver;
use palimpsest_proto::ids::{Locator, NodeId, Position};
use palimpsest_proto::select::place;
use serde::Serialize;
use std::collections::BTreeSet;

/// Leaves after which all holders are asked anew, though nothing of theirs changed, and it is looked where readers would look first for
/// what moved.
const LOOKED_AFTER: usize = 10;

/// The part of what moves at a join that may go elsewhere than to who joined: its holder is then no candidate any more.
const ASTRAY_MOST: f64 = 0.05;

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
    /// Shards that moved when a node drained, on average, in units of 1/n of all shards. Then it is gone.
    pub leave: f64,
    /// Leaves after which more was looked at.
    pub looked_after: usize,
    /// Of these: the part of what moved that lies now where a reader looks first.
    pub leave_sought: f64,
    /// Of these: shards of others that moved although they had nothing to do with who left: none, if the rules hold.
    pub leave_astray: usize,
}

struct Kept {
    /// The stripe, and which of its shards it is.
    stripe: usize,
    shard: usize,
    locator: Locator,
    position: Position,
    holder: NodeId,
    /// How far the holder is from it.
    distance: [u8; 32],
}

impl Kept {
    fn give(&mut self, to: NodeId) {
        self.holder = to;
        self.distance = to.position().distance(&self.position);
    }
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
    let stripes: Vec<Vec<Locator>> = (0..stripes).map(|_| locators(&mut chance, n)).collect();
    let mut kept = Vec::with_capacity(stripes.len() * n);
    for (stripe, locators) in stripes.iter().enumerate() {
        let placement = place(&world.table, locators, k);
        for (shard, &locator) in locators.iter().enumerate() {
            if let Some(holder) = placement.candidates(shard).first().copied() {
                let position = locator.position();
                let distance = holder.position().distance(&position);
                kept.push(Kept { stripe, shard, locator, position, holder, distance });
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
                shard.give(*to);
            }
        }
        moved += of_this;
        joined += f64::from(of_this) * world.ids.len() as f64 / total;
    }
    let join_astray = astray as f64 / f64::from(moved).max(1.0);
    let nobody = BTreeSet::new();
    let (mut left, mut given, mut sought, mut leave_astray) = (0.0, 0, 0, 0);
    let leavers: Vec<NodeId> =
        some_of(&mut chance, events, world.ids.len()).into_iter().map(|number| world.ids[number]).collect();
    for (number, leaver) in leavers.iter().enumerate() {
        let mut moved = Vec::new();
        for (number, shard) in kept.iter_mut().enumerate().filter(|(_, shard)| shard.holder == *leaver) {
            let giver = Giver { own: *leaver, drains: true, newcomers: &nobody };
            if let Some(to) = giver.receivers(&world.table, &shard.locator, |_| true).first() {
                shard.give(*to);
                moved.push(number);
            }
        }
        left += moved.len() as f64 * world.ids.len() as f64 / total;
        world.remove(leaver);
        if number >= LOOKED_AFTER {
            continue;
        }
        given += moved.len();
        for shard in moved.iter().map(|number| &kept[*number]) {
            let placement = place(&world.table, &stripes[shard.stripe], k);
            sought += usize::from(placement.candidates(shard.shard).first() == Some(&shard.holder));
        }
        for shard in &kept {
            let giver = Giver { own: shard.holder, drains: false, newcomers: &nobody };
            leave_astray += usize::from(!giver.receivers(&world.table, &shard.locator, |_| true).is_empty());
        }
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
        looked_after: leavers.len().min(LOOKED_AFTER),
        leave_sought: sought as f64 / (given as f64).max(1.0),
        leave_astray,
    })
}

/// The bounds of the issue.
pub(super) fn bounds(movement: &Movement) -> Vec<Bound> {
    let off = |share: f64| (share - 1.0).abs();
    let elsewhere = "shards moved at a join, part of them elsewhere than to who joined".to_owned();
    let what = |event: &str| format!("shards moved at a {event}, {} nodes: off 1/n by", movement.nodes);
    vec![
        Bound::at_most(Goal::Moved, what("join"), off(movement.join), 0.1),
        Bound::at_most(Goal::Moved, what("leave"), off(movement.leave), 0.1),
        Bound::at_most(Goal::Stays, elsewhere, movement.join_astray, ASTRAY_MOST),
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
        // So few nodes have now and then a shard more than they should; then a reader looks elsewhere first.
        assert!(movement.leave_sought > 0.8 && movement.looked_after == LOOKED_AFTER, "{movement:?}");
    }
}
