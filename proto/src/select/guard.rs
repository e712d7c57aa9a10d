//! The guard: the one relay that sees a client's address. A client keeps it for months, since every new guard is
//! another chance to meet a bad one; with parallel requests "the guard is bad" is "linked", so one risks less than
//! three.
//!
//! After Tor's guard-spec, shortened: a *sample* of relays is drawn once and kept on disk. The first of it that answers
//! is the guard. If it is down the next takes over, and the first is tried again after a while, so that knocking a
//! guard down for an hour does not make a client change it for good. Nodes outside of the sample are never used, so
//! that an attacker who knocks down guards moves the client only within the sample.

use crate::ids::NodeId;
use crate::select::{NodeTable, below};
use crate::time::{Moment, Timestamp};
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;
use rand_core::CryptoRng;
use std::time::Duration;

const VERSION: u8 = 1;
/// Guards in the sample at most, and the share of the network's relays that it may be (guard-spec: 60 and 20 %).
const SAMPLE_MAX: usize = 20;
const SAMPLE_SHARE: usize = 5;
/// Guards in the sample at least, where there are as many relays: with half of them dead, one in 4000 clients has none
/// left.
const SAMPLE_MIN: usize = 12;
/// Seconds for which a guard is kept.
const LIFETIME_SECONDS: u64 = 120 * 86_400;
/// When a guard that did not answer is tried again.
const RETRY: Duration = Duration::from_secs(600);
/// Draws of a relay for the sample that may hit one already in it.
const DRAWS_MAX: usize = 256;

/// What is known of a guard, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It never answered.
    Drawn = 0,
    /// It has answered: it comes before those that have not.
    Confirmed = 1,
    /// It was caught keeping its client from most of the network: it comes after all others.
    FoundOut = 2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Guard {
    id: NodeId,
    added: Timestamp,
    standing: Standing,
    failed: Option<Moment>,
}

/// A client's sample of guards, in the order of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuardList {
    guards: Vec<Guard>,
}

impl GuardList {
    /// An empty sample.
    pub fn new() -> GuardList {
        GuardList::default()
    }

    /// Drops guards that have served their time, and draws new ones where the sample is short of usable ones. Returns
    /// whether it changed (then keep it on disk).
    ///
    /// As long as nobody of the sample ever answered, those that were tried in vain give way to others: they have seen nothing, and
    /// on a first run liars may have named so many nodes that nobody is that the whole sample is of these.
    pub fn refill(&mut self, rng: &mut impl CryptoRng, table: &NodeTable, own: Option<NodeId>, now: Timestamp) -> bool {
        let before = self.guards.len();
        self.guards.retain(|guard| guard.added.plus(LIFETIME_SECONDS) > now);
        let mut changed = self.guards.len() != before;
        let relays = table.relays();
        let wanted = (relays.len() / SAMPLE_SHARE).clamp(SAMPLE_MIN, SAMPLE_MAX);
        let nobody_answered = self.guards.iter().all(|guard| guard.standing == Standing::Drawn);
        let is_usable = |guard: &Guard| is_relay(table, &guard.id) && !(nobody_answered && guard.failed.is_some());
        for _ in 0..DRAWS_MAX {
            let usable = self.guards.iter().filter(|guard| is_usable(guard)).count();
            if usable >= wanted {
                break;
            }
            let Some(&id) = below(rng, relays.len()).and_then(|place| relays.get(place)) else { break };
            if Some(id) == own || self.guards.iter().any(|guard| guard.id == id) {
                continue;
            }
            if self.guards.len() >= SAMPLE_MAX {
                // Room is made only by those that cannot be used, the unconfirmed and the older first.
                let gone = self.guards.iter().enumerate().filter(|(_, guard)| !is_usable(guard));
                match gone
                    .min_by_key(|(_, guard)| (guard.standing == Standing::Confirmed, guard.added))
                    .map(|(place, _)| place)
                {
                    Some(place) => _ = self.guards.remove(place),
                    None => break,
                }
            }
            self.guards.push(Guard { id, added: now, standing: Standing::Drawn, failed: None });
            changed = true;
        }
        changed
    }

    /// The guard to use, none of `tried`: the first usable one that has not failed of late; if all have, the one whose
    /// failure is longest ago. One that was found out only if there is no other.
    pub fn choose(&self, table: &NodeTable, now: Moment, tried: &[NodeId]) -> Option<NodeId> {
        let usable = || self.guards.iter().filter(|guard| is_relay(table, &guard.id) && !tried.contains(&guard.id));
        let trusted = || usable().filter(|guard| guard.standing != Standing::FoundOut);
        trusted()
            .find(|guard| guard.failed.is_none_or(|at| now.since(at) >= RETRY))
            .or_else(|| trusted().min_by_key(|guard| guard.failed))
            .or_else(|| usable().next())
            .map(|guard| guard.id)
    }

    /// Whether any of the sample is in the table: if a network that answers knows none of them, it is another one, or all of
    /// them have left.
    pub fn any_in(&self, table: &NodeTable) -> bool {
        self.guards.iter().any(|guard| is_relay(table, &guard.id))
    }

    /// The guard answered. Returns whether that is news to keep on disk: it is confirmed now, and goes before all that
    /// are not.
    pub fn reached(&mut self, id: &NodeId) -> bool {
        let Some(place) = self.guards.iter().position(|guard| guard.id == *id) else {
            return false;
        };
        self.guards[place].failed = None;
        if self.guards[place].standing != Standing::Drawn {
            return false;
        }
        let mut guard = self.guards.remove(place);
        guard.standing = Standing::Confirmed;
        let behind = self.guards.iter().filter(|guard| guard.standing == Standing::Confirmed).count();
        self.guards.insert(behind, guard);
        true
    }

    /// The guard could not be reached, or answers nothing.
    pub fn failed(&mut self, id: &NodeId, now: Moment) {
        if let Some(guard) = self.guards.iter_mut().find(|guard| guard.id == *id) {
            guard.failed = Some(now);
        }
    }

    /// The guard was caught keeping its client from most of the network: as long as it is in the sample, all others are tried before it.
    pub fn demote(&mut self, id: &NodeId) {
        if let Some(place) = self.guards.iter().position(|guard| guard.id == *id) {
            let guard = self.guards.remove(place);
            self.guards.push(Guard { standing: Standing::FoundOut, ..guard });
        }
    }

    /// Whether a node is in the sample.
    pub fn contains(&self, id: &NodeId) -> bool {
        self.guards.iter().any(|guard| guard.id == *id)
    }

    /// Whether a node is in the sample and was once the guard, or was asked for a second opinion: only such a one may have passed on
    /// anything for the client. Others were drawn, and at most lost a race against a quicker one.
    pub fn has_answered(&self, id: &NodeId) -> bool {
        self.guards.iter().any(|guard| guard.id == *id && guard.standing != Standing::Drawn)
    }

    /// How many are in the sample.
    pub fn len(&self) -> usize {
        self.guards.len()
    }

    /// Whether the sample is empty.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty()
    }

    /// For the disk: who the guards are, since when, and what is known of them. Not their failures, which another start sees anew.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        w.u8(VERSION).u8(self.guards.len() as u8);
        for guard in &self.guards {
            w.raw(&guard.id.0).u64(guard.added.0).u8(guard.standing as u8);
        }
        w.into_vec()
    }

    /// Reads what [`GuardList::encode`] made.
    pub fn decode(bytes: Bytes) -> Result<GuardList, WireError> {
        let mut r = Reader::new(bytes);
        if r.u8("version")? != VERSION {
            return Err(WireError::Invalid("version"));
        }
        let count = usize::from(r.u8("guards")?);
        if count > SAMPLE_MAX {
            return Err(WireError::TooLong("guards"));
        }
        let mut guards: Vec<Guard> = Vec::with_capacity(count);
        for _ in 0..count {
            let id = NodeId(r.array("guard")?);
            let added = Timestamp(r.u64("date")?);
            let standing = match r.u8("standing")? {
                0 => Standing::Drawn,
                1 => Standing::Confirmed,
                2 => Standing::FoundOut,
                _ => return Err(WireError::Invalid("standing")),
            };
            if guards.iter().any(|guard| guard.id == id) {
                return Err(WireError::Invalid("guard"));
            }
            guards.push(Guard { id, added, standing, failed: None });
        }
        r.finish()?;
        Ok(GuardList { guards })
    }
}

fn is_relay(table: &NodeTable, id: &NodeId) -> bool {
    table.get(id).is_some_and(|entry| entry.signed().roles.relays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::{WALL, network, table_of};
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn moment(seconds: u64) -> Moment {
        Moment(Duration::from_secs(seconds))
    }

    fn sampled(count: u16) -> (NodeTable, GuardList) {
        let table = table_of(&network(count));
        let mut guards = GuardList::new();
        assert!(guards.refill(&mut StdRng::seed_from_u64(3), &table, None, WALL));
        (table, guards)
    }

    #[test]
    fn the_sample_is_a_small_part_of_the_network() {
        assert_eq!([2, 10, 40, 80, 200].map(|count| sampled(count).1.len()), [2, 10, 12, 16, 20]);
    }

    #[test]
    fn we_are_not_our_own_guard() {
        let nodes = network(2);
        let mut guards = GuardList::new();
        guards.refill(&mut StdRng::seed_from_u64(3), &table_of(&nodes), Some(nodes[0].id), WALL);
        assert_eq!(guards.choose(&table_of(&nodes), moment(0), &[]), Some(nodes[1].id));
        assert_eq!(guards.len(), 1);
    }

    #[test]
    fn the_guard_stays_and_comes_back() {
        let (table, mut guards) = sampled(40);
        let first = guards.choose(&table, moment(1000), &[]).unwrap();
        assert!(guards.contains(&first) && !guards.contains(&NodeId([0xee; 32])));
        assert!(guards.reached(&first) && !guards.reached(&first));
        guards.failed(&first, moment(1000));
        let second = guards.choose(&table, moment(1001), &[]).unwrap();
        assert_ne!(first, second);
        assert!(!guards.has_answered(&second) && guards.contains(&second), "drawn, and not asked");
        assert!(guards.reached(&second) && guards.has_answered(&second));
        assert_eq!(guards.choose(&table, moment(1599), &[]), Some(second));
        assert_eq!(guards.choose(&table, moment(1600), &[]), Some(first));
        let read = GuardList::decode(guards.encode().into()).unwrap();
        assert_eq!(read.choose(&table, moment(0), &[]), Some(first), "kept over a restart");
        assert!(read.has_answered(&first));
        assert!(!guards.refill(&mut StdRng::seed_from_u64(4), &table, None, WALL.plus(86_400)));
    }

    #[test]
    fn a_guard_that_is_demoted_comes_last_though_it_answers_after_a_restart() {
        let (table, mut guards) = sampled(40);
        let first = guards.choose(&table, moment(0), &[]).unwrap();
        guards.reached(&first);
        guards.demote(&first);
        assert!(!guards.reached(&first) && guards.has_answered(&first));
        let mut read = GuardList::decode(guards.encode().into()).unwrap();
        let mut tried = Vec::new();
        while let Some(next) = read.choose(&table, moment(0), &tried) {
            read.failed(&next, moment(0));
            tried.push(next);
        }
        assert_eq!((tried.len(), tried.last()), (12, Some(&first)));
        // Though all others failed and it did not.
        assert_eq!(read.choose(&table, moment(1), &[]), Some(tried[0]));
    }

    #[test]
    fn if_all_fail_the_longest_ago_is_tried() {
        let (table, mut guards) = sampled(10);
        let order: Vec<NodeId> = guards.guards.iter().map(|guard| guard.id).collect();
        for (i, id) in order.iter().rev().enumerate() {
            guards.failed(id, moment(1000 + i as u64));
        }
        assert_eq!(guards.choose(&table, moment(1100), &[]), order.last().copied());
    }

    #[test]
    fn guards_are_replaced_when_their_time_is_over_or_they_left() {
        let (table, mut guards) = sampled(40);
        let first = guards.choose(&table, moment(0), &[]).unwrap();
        let mut smaller = table_of(&network(40)[..0]);
        assert_eq!(guards.choose(&smaller, moment(0), &[]), None);
        network(40).into_iter().filter(|n| n.id != first).for_each(|n| _ = smaller.insert(n, moment(0)));
        assert_ne!(guards.choose(&smaller, moment(0), &[]), Some(first));
        assert!(guards.refill(&mut StdRng::seed_from_u64(5), &table, None, WALL.plus(LIFETIME_SECONDS)));
        assert!(guards.guards.iter().all(|guard| guard.added == WALL.plus(LIFETIME_SECONDS)));
    }

    #[test]
    fn a_sample_of_the_vanished_is_renewed_within_its_bound() {
        let (_, mut guards) = sampled(200);
        let others = network(400).split_off(200);
        assert!(!guards.any_in(&table_of(&others)));
        assert!(guards.refill(&mut StdRng::seed_from_u64(6), &table_of(&others), None, WALL.plus(1)));
        assert!(guards.any_in(&table_of(&others)));
        assert_eq!(guards.len(), SAMPLE_MAX);
        assert!(guards.choose(&table_of(&others), moment(0), &[]).is_some());
    }

    #[test]
    fn a_sample_of_which_nobody_ever_answered_gives_way() {
        let (table, mut guards) = sampled(84);
        let mut rng = StdRng::seed_from_u64(7);
        let mut all: Vec<NodeId> = Vec::new();
        for round in 0..20 {
            let mut tried = Vec::new();
            while let Some(next) = guards.choose(&table, moment(round), &tried) {
                guards.failed(&next, moment(round));
                tried.push(next);
            }
            assert!(guards.len() <= SAMPLE_MAX);
            all.extend(tried);
            guards.refill(&mut rng, &table, None, WALL.plus(round));
        }
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 60, "{}", all.len());
        // Once somebody has answered, the sample stays as it is, whoever else does not.
        let known = guards.choose(&table, moment(100), &[]).unwrap();
        guards.reached(&known);
        let before: Vec<NodeId> = guards.guards.iter().map(|guard| guard.id).collect();
        before.iter().for_each(|id| guards.failed(id, moment(101)));
        assert!(!guards.refill(&mut rng, &table, None, WALL.plus(102)));
        assert!(before.iter().all(|id| guards.contains(id)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_refused_or_canonical(bytes: Vec<u8>) {
            if let Ok(guards) = GuardList::decode(bytes.clone().into()) {
                prop_assert_eq!(guards.encode(), bytes);
            }
        }
    }
}
