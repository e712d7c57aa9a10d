//! Whose turn it is to look after something that many nodes keep: nobody coordinates, nothing is sent, and with equal
//! views exactly one node finds that it is its own.
//!
//! ```text
//! start    first 8 bytes of derive["palimpsest 1 duty"](name), modulo the length of a turn: not all begin at once
//! turn     (wall clock + start) / length
//! on duty  of the living wardens the one with the least derive["palimpsest 1 duty"](name ‖ turn u64 ‖ node id)
//! ```
//!
//! Views differ a little and clocks do, too. Then two nodes do the same work, or none does it for one turn: the first
//! costs some packets, the second some time, and the next turn has another node. So whoever is on duty begins only while
//! enough of its turn is left ([`Watch::may_begin`]).

use crate::crypto;
use crate::ids::{NodeId, RecordAddress};
use crate::labels;
use crate::select::{NodeTable, candidates};
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// Something that is looked after in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watch {
    name: [u8; 32],
    seconds: u64,
    start: u64,
}

impl Watch {
    /// Turns of `seconds` for what is called `name` (a record address, a root address, a locator). A length of zero counts
    /// as one second.
    pub fn new(name: &[u8; 32], seconds: u64) -> Watch {
        let seconds = seconds.max(1);
        let hash = crypto::derive(labels::DUTY, name);
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Watch { name: *name, seconds, start: u64::from_le_bytes(first) % seconds }
    }

    /// The number of the turn at that time.
    pub fn turn(&self, wall: Timestamp) -> u64 {
        wall.plus(self.start).0 / self.seconds
    }

    /// When the turn ends, and the next one begins.
    pub fn turn_ends(&self, wall: Timestamp) -> Timestamp {
        Timestamp(((self.turn(wall) + 1) * self.seconds).saturating_sub(self.start))
    }

    /// Whether enough of the turn is left to begin: half of it.
    pub fn may_begin(&self, wall: Timestamp) -> bool {
        2 * (wall.plus(self.start).0 % self.seconds) < self.seconds
    }

    /// Who of `wardens` is on duty at that time; `None` if there are none.
    pub fn on_duty<'a>(&self, wall: Timestamp, wardens: impl IntoIterator<Item = &'a NodeId>) -> Option<NodeId> {
        let turn = self.turn(wall).to_le_bytes();
        let rank = |id: &NodeId| crypto::derive(labels::DUTY, &[&self.name[..], &turn, &id.0].concat());
        wardens.into_iter().min_by_key(|id| (rank(id), **id)).copied()
    }
}

/// The nodes that keep records at any of the addresses and that the table does not call lost; all of them if it calls all
/// lost.
pub fn wardens(table: &NodeTable, addresses: &[RecordAddress]) -> BTreeSet<NodeId> {
    let all: BTreeSet<NodeId> = addresses.iter().flat_map(|address| candidates(table, &address.position())).collect();
    let lives = |id: &&NodeId| table.get(id).is_some_and(|entry| entry.health().lost.is_none());
    let living: BTreeSet<NodeId> = all.iter().filter(lives).copied().collect();
    if living.is_empty() { all } else { living }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::{network, table_of};
    use crate::time::Moment;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn ids(count: u8) -> Vec<NodeId> {
        (0..count).map(|i| NodeId([i; 32])).collect()
    }

    proptest! {
        /// Whoever asks, in whatever order it knows the wardens, hears the same name.
        #[test]
        fn equal_views_name_one_node(name: [u8; 32], seconds in 1..100_000u64, at in 0..u64::from(u32::MAX), count in 1..30u8,
                                     turn in 0..30usize) {
            let watch = Watch::new(&name, seconds);
            let mut nodes = ids(count);
            let chosen = watch.on_duty(Timestamp(at), &nodes).unwrap();
            prop_assert!(nodes.contains(&chosen));
            nodes.rotate_left(turn % usize::from(count));
            prop_assert_eq!(watch.on_duty(Timestamp(at), &nodes), Some(chosen));
            // Others coming or going change nothing, unless they are the ones.
            let fewer: Vec<NodeId> = nodes.iter().filter(|id| **id == chosen || id.0[0] % 2 == 0).copied().collect();
            prop_assert_eq!(watch.on_duty(Timestamp(at), &fewer), Some(chosen));
        }

        #[test]
        fn turns_follow_each_other(name: [u8; 32], seconds in 1..100_000u64, at in 200_000..u64::from(u32::MAX)) {
            let watch = Watch::new(&name, seconds);
            let (at, turn) = (Timestamp(at), watch.turn(Timestamp(at)));
            let end = watch.turn_ends(at);
            prop_assert!(end > at && end.0 - at.0 <= seconds);
            prop_assert_eq!((watch.turn(end.minus(1)), watch.turn(end)), (turn, turn + 1));
            prop_assert!(watch.may_begin(end));
            prop_assert!(seconds < 3 || !watch.may_begin(end.minus(1)));
        }
    }

    /// 20 nodes over 10,000 turns: 500 each on average, with a deviation of 22.
    #[test]
    fn each_has_its_share_over_time() {
        let nodes = ids(20);
        let watch = Watch::new(&[7; 32], 60);
        let mut turns: BTreeMap<NodeId, u32> = BTreeMap::new();
        for turn in 0..10_000 {
            *turns.entry(watch.on_duty(NOW.plus(60 * turn), &nodes).unwrap()).or_default() += 1;
        }
        assert_eq!(turns.len(), 20);
        assert!(turns.values().all(|&turns| (350..650).contains(&turns)), "{turns:?}");
    }

    #[test]
    fn turns_of_different_things_begin_at_different_times() {
        let starts: BTreeSet<u64> = (0..=255).map(|name| Watch::new(&[name; 32], 3600).turn_ends(NOW).0).collect();
        assert!(starts.len() > 200, "{}", starts.len());
    }

    #[test]
    fn with_half_of_the_wardens_dead_there_is_still_somebody() {
        let nodes = network(60);
        let mut table = table_of(&nodes);
        let addresses = [1, 2, 3].map(|byte| RecordAddress([byte; 32]));
        let all = wardens(&table, &addresses);
        assert!((20..=60).contains(&all.len()), "{}", all.len());
        let later = Moment(Duration::from_secs(60));
        for (i, node) in nodes.iter().enumerate() {
            if i % 2 == 0 {
                table.mark_lost(&node.id, later);
            }
        }
        let living = wardens(&table, &addresses);
        assert!(!living.is_empty() && living.len() < all.len() && living.is_subset(&all));
        assert!(living.iter().all(|id| table.get(id).unwrap().health().lost.is_none()));
        // Should everybody count as lost, the view is wrong, and not everybody dead.
        nodes.iter().for_each(|node| _ = table.mark_lost(&node.id, later));
        assert_eq!(wardens(&table, &addresses), all);
        assert_eq!(Watch::new(&[0; 32], 60).on_duty(NOW, &BTreeSet::new()), None);
    }
}
