//! Who should have a shard in its holder's place.
//!
//! ```text
//! the holder is             it hands over to
//! a candidate               candidates that came since and are nearer
//! one of the diversions     candidates that say that they have room
//! neither                   candidates, then diversions
//! where ids were ground     nobody: who came and is nearer came for that ([`crate::select::with_region`])
//! about to leave            candidates, then diversions
//! ```
//!
//! So a shard moves towards where it is looked for first, and never back: a candidate that is full keeps what it has, and
//! whom a shard was diverted to waits until there is room nearer to it.

use crate::ids::{Locator, NodeId};
use crate::params::CANDIDATES;
use crate::select::{NodeTable, diversions, with_region};
use std::collections::BTreeSet;

/// Nodes of each kind that are tried for one shard.
const TRIED: usize = 6;
/// Below this fill, in per cent, a node counts as having room for what was diverted. Some steps of an announcement below full, so
/// that not all who have something for it come for the last free slot.
const ROOM_BELOW: u8 = 90;

/// Who gives a shard away.
#[derive(Clone, Copy, Debug)]
pub struct Giver<'a> {
    /// The node that has it.
    pub own: NodeId,
    /// Whether it leaves for good.
    pub drains: bool,
    /// The holders that came since it looked last.
    pub newcomers: &'a BTreeSet<NodeId>,
}

impl Giver<'_> {
    /// Who should have the shard, the best first; nobody if it may stay. Only who `may_take` it is asked: likely lives, and
    /// has not just said that it is full.
    pub fn receivers(&self, table: &NodeTable, locator: &Locator, may_take: impl Fn(&NodeId) -> bool) -> Vec<NodeId> {
        let mut near = with_region(table, &locator.position());
        if !self.drains && near.len() > CANDIDATES && near.contains(&self.own) {
            return Vec::new();
        }
        near.truncate(CANDIDATES);
        let rank = near.iter().position(|id| *id == self.own).filter(|_| !self.drains);
        let open = |id: &NodeId| *id != self.own && may_take(id);
        if let Some(rank) = rank {
            near.truncate(rank);
            near.retain(|id| self.newcomers.contains(id) && open(id));
            near.truncate(TRIED);
            return near;
        }
        let mut far = diversions(table, locator);
        if !self.drains && far.contains(&self.own) {
            far.clear();
            near.retain(|id| table.get(id).is_some_and(|entry| entry.signed().fill < ROOM_BELOW));
        }
        let tried = |nodes: Vec<NodeId>| nodes.into_iter().filter(open).take(TRIED).collect::<Vec<NodeId>>();
        [tried(near), tried(far)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto;
    use crate::select::candidates;
    use crate::select::testing::{filled, network, table_of};
    use proptest::prelude::*;

    fn giver(own: NodeId, newcomers: &BTreeSet<NodeId>) -> Giver<'_> {
        Giver { own, drains: false, newcomers }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Whoever has it, whoever is full: from hand to hand it comes to rest, with somebody whom a reader asks.
        #[test]
        fn a_shard_comes_to_rest_where_it_is_looked_for(
            count in 1..120u16, bytes: [u8; 32], begin in 0..120usize, fills in prop::collection::vec(0..21u8, 120)
        ) {
            let nodes: Vec<_> = (0..count).map(|number| filled(number, 5 * fills[usize::from(number)])).collect();
            let (table, locator, nobody) = (table_of(&nodes), Locator(bytes), BTreeSet::new());
            let has_room = |id: &NodeId| table.get(id).unwrap().signed().fill < 100;
            let mut own = nodes[begin % nodes.len()].id;
            let mut moves = 0;
            while let Some(next) = giver(own, &nobody).receivers(&table, &locator, has_room).first() {
                own = *next;
                moves += 1;
                prop_assert!(moves <= 2);
            }
            let near = with_region(&table, &locator.position());
            let far = diversions(&table, &locator);
            prop_assert!(near.contains(&own) || far.contains(&own) || !near.iter().chain(&far).any(has_room));
        }
    }

    #[test]
    fn what_was_diverted_waits_for_room_near_by() {
        let locator = Locator(crypto::hash(b"a shard"));
        let full: Vec<_> = (0..100).map(|number| filled(number, 95)).collect();
        let (near, far) = (candidates(&table_of(&full), &locator.position()), diversions(&table_of(&full), &locator));
        let nobody = BTreeSet::new();
        let to = |of: usize, table: &NodeTable| giver(far[of], &nobody).receivers(table, &locator, |_| true);
        assert_eq!(to(3, &table_of(&full)), []);
        // The seventh has room, and says so.
        let nodes: Vec<_> =
            (0..100).map(|n| if full[usize::from(n)].id == near[6] { filled(n, 85) } else { filled(n, 95) }).collect();
        assert_eq!(to(3, &table_of(&nodes)), [near[6]]);
        // There it stays.
        assert_eq!(giver(near[6], &nobody).receivers(&table_of(&nodes), &locator, |_| true), []);
    }

    #[test]
    fn who_leaves_gives_to_the_nearest_and_then_to_others() {
        let (table, locator) = (table_of(&network(100)), Locator(crypto::hash(b"another")));
        let (near, far) = (candidates(&table, &locator.position()), diversions(&table, &locator));
        let nobody = BTreeSet::new();
        let leaving = Giver { drains: true, ..giver(near[0], &nobody) };
        let to = leaving.receivers(&table, &locator, |_| true);
        assert_eq!(to, [&near[1..7], &far[..6]].concat());
        // Where the nearest are full, the others take it.
        let full: BTreeSet<NodeId> = near.iter().copied().collect();
        assert_eq!(leaving.receivers(&table, &locator, |id| !full.contains(id)), far[..6]);
    }

    /// Nodes that came and are nearer than anybody can be by chance.
    #[test]
    fn who_came_to_eclipse_is_handed_nothing() {
        let locator = Locator(crypto::hash(b"hunted"));
        let all = network(6_000);
        let (honest, pool) = all.split_at(300);
        let ground = candidates(&table_of(pool), &locator.position());
        let came: BTreeSet<NodeId> = ground.iter().copied().collect();
        let (before, with) =
            (table_of(honest), honest.iter().chain(pool.iter().filter(|node| came.contains(&node.id))));
        let table = table_of(&with.cloned().collect::<Vec<_>>());
        for own in candidates(&before, &locator.position()) {
            assert_eq!(giver(own, &came).receivers(&table, &locator, |_| true), [], "as long as it stays");
            let leaving = Giver { drains: true, ..giver(own, &came) };
            assert_eq!(leaving.receivers(&table, &locator, |_| true)[0], ground[0]);
        }
    }

    #[test]
    fn a_newcomer_takes_over_what_it_is_nearer_to() {
        let (table, locator) = (table_of(&network(60)), Locator(crypto::hash(b"a third")));
        let near = candidates(&table, &locator.position());
        let came: BTreeSet<NodeId> = [near[2], near[9]].into();
        assert_eq!(giver(near[5], &came).receivers(&table, &locator, |_| true), [near[2]]);
        assert_eq!(giver(near[5], &came).receivers(&table, &locator, |id| *id != near[2]), []);
    }
}
