//! Who is there: how nodes get into a table, whose word on them counts, and how they leave it.
//!
//! A descriptor proves that somebody has a key, not that there is a node. A server therefore dials whom it never met; who is not
//! found is taken out, and not taken back for a while. Who was met and is lost is dialled now and then, and at once when somebody
//! comes back who was lost together with it: so those whom a cut had parted find each other. A client dials nobody but its guard,
//! whose word it takes instead.
//!
//! ```text
//! descriptor ──► is_wanted ──► take ──► table ◄── seen           a connection: it lives
//!                                         │  ◄── suspect         one broke: a dial will tell
//! a dial that fails ──► unreachable ──────┘  ◄── hear ──► apply  others' word on who is lost
//! ```

use super::not_found::NotFound;
use super::{Inserted, NodeTable, below, sample};
use crate::ids::{NodeId, NodePrefix};
use crate::params::TABLE_NODES_MAX;
use crate::record::SignedNodeDescriptor;
use crate::time::{Moment, Timestamp};
use rand_core::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Lost nodes named in one message at most.
pub const LOST_MAX: usize = 4_096;
/// One in so many partners is a node believed lost, so that one who comes back is found.
const LOST_PARTNERS: usize = 8;
/// Nodes of a server's table that it never met: half of the table at most, so that nodes that nobody is push out nobody who was met.
/// When there are more, any of them goes.
const STRANGERS_MAX: usize = TABLE_NODES_MAX / 2;
/// Who is suspected was dialled by then, unless something kept us from it, as when the machine slept.
const VERIFIED_WITHIN: Duration = Duration::from_secs(10);
/// Somebody was met so lately: then who is not found is not there, and it is not our own line that is down.
const MET_LATELY: Duration = Duration::from_secs(60);

/// Whose word on who is lost is taken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heed {
    /// It is weak evidence: what was seen or signed later counts more. How nodes hear each other.
    Weighed,
    /// It is all that counts: who is not named is not lost. How a client hears its guard, which sees for it.
    Believed,
    /// It is nothing. How a client hears those with whom it compares tables.
    Ignored,
}

/// What became of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// In the table.
    pub inserted: Inserted,
    /// Its node was believed lost and signed anew: it may be back, and a dial will tell.
    pub may_be_back: bool,
}

/// Another one's word on who is lost, as far as it changes anything: made from a table that others may read meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hearsay {
    heed: Heed,
    /// Since when they are lost, or that they are not.
    named: Vec<(NodeId, Option<Moment>)>,
}

impl Hearsay {
    /// Marks the nodes. Returns how many are newly believed lost.
    pub fn apply(self, table: &mut NodeTable) -> u64 {
        let heed = self.heed;
        let mark = |(id, when): (NodeId, Option<Moment>)| match (heed, when) {
            (Heed::Weighed, Some(when)) => table.mark_lost(&id, when),
            _ => {
                table.set_lost(&id, when);
                when.is_some()
            }
        };
        self.named.into_iter().map(mark).map(u64::from).sum()
    }
}

/// See the module. Bounded: suspects are nodes of the table, and what is remembered of who was not found has a bound of its own.
#[derive(Clone, Debug)]
pub struct Presence {
    local: NodeId,
    /// Whether it finds out by itself who is there. A client does not: its dials would tell whom it knows.
    dials: bool,
    /// Nodes marked lost whose loss is not verified. Choosers avoid them like lost ones; others are not told.
    suspects: BTreeSet<NodeId>,
    not_found: NotFound,
    /// When somebody was met last.
    met: Option<Moment>,
}

impl Presence {
    /// Of a server, which `dials`, or of a client. Nobody was met yet.
    pub fn new(local: NodeId, dials: bool) -> Presence {
        Presence { local, dials, suspects: BTreeSet::new(), not_found: NotFound::default(), met: None }
    }

    /// The node lives: we are connected.
    pub fn seen(&mut self, table: &mut NodeTable, id: &NodeId, now: Moment) {
        self.met = Some(now);
        self.suspects.remove(id);
        table.mark_seen(id, now);
        self.not_found.found(id);
    }

    /// The node may be gone. Returns whether it is a node of the table; then a dial should tell.
    pub fn suspect(&mut self, table: &mut NodeTable, id: &NodeId, now: Moment) -> bool {
        let known = table.get(id).is_some();
        if known && table.mark_lost(id, now) {
            self.suspects.insert(*id);
        }
        known
    }

    /// The node is gone. Returns whether that is news for others.
    pub fn lost(&mut self, table: &mut NodeTable, id: &NodeId, now: Moment) -> bool {
        let suspected = self.suspects.remove(id);
        table.mark_lost(id, now) || suspected
    }

    /// Nobody was found who is this node, at any of its addresses. Returns whether that is news for others. Who was never met is
    /// forgotten, unless nobody at all was met lately.
    pub fn unreachable(&mut self, table: &mut NodeTable, id: &NodeId, now: Moment) -> bool {
        if !self.dials {
            return self.lost(table, id, now);
        }
        let is_new = self.not_found.failed(*id, now);
        if self.met.is_some_and(|met| now.since(met) < MET_LATELY) && table.remove_stranger(id) {
            self.suspects.remove(id);
            return is_new;
        }
        self.lost(table, id, now)
    }

    /// Forgets who is no longer valid.
    pub fn expire(&mut self, table: &mut NodeTable, wall: Timestamp) {
        table.expire(wall);
        self.suspects.retain(|id| table.get(id).is_some());
    }

    /// Whether a descriptor that claims this is news of somebody who may be there: then its signature is worth checking.
    pub fn is_wanted(&self, table: &NodeTable, (id, seq): (NodeId, u64), now: Moment) -> bool {
        match table.get(&id) {
            _ if id == self.local => false,
            Some(known) => known.signed().seq < seq,
            None => !self.dials || !self.not_found.is_paused(&id, now),
        }
    }

    /// Takes a descriptor that was checked. A server takes out strangers if there are too many for one more, and does not believe
    /// that a lost node is back because it signed: whoever has made it up signs as often as he likes.
    pub fn take(
        &mut self,
        rng: &mut impl Rng,
        table: &mut NodeTable,
        signed: SignedNodeDescriptor,
        now: Moment,
    ) -> Taken {
        let id = signed.id;
        let known = table.get(&id);
        let lost = known.and_then(|entry| entry.health().lost);
        if self.dials && known.is_none() {
            self.make_room(rng, table);
        }
        let inserted = table.insert(signed, now);
        let was_lost = self.dials && lost.is_some() && inserted == Inserted::Newer;
        if was_lost {
            table.set_lost(&id, lost);
        }
        Taken { inserted, may_be_back: was_lost && !self.not_found.is_paused(&id, now) }
    }

    fn make_room(&mut self, rng: &mut impl Rng, table: &mut NodeTable) {
        while table.strangers().len() >= STRANGERS_MAX
            && let Some(any) = below(rng, STRANGERS_MAX).and_then(|place| table.strangers().iter().nth(place)).copied()
        {
            table.remove_stranger(&any);
            self.suspects.remove(&any);
        }
    }

    /// Nodes that may be dialled now, drawn by chance, `count` at most; none that is one of `meeting`: all of them such as were never met,
    /// or all such as were met and are believed lost, where there are both the one as often as the other. (A dial of who is suspected is under way,
    /// unless it was suspected long ago.)
    pub fn to_meet(
        &self,
        rng: &mut impl Rng,
        table: &NodeTable,
        (meeting, count): (&BTreeSet<NodeId>, usize),
        now: Moment,
    ) -> Vec<NodeId> {
        let wanted = |id: &&NodeId| **id != self.local && !meeting.contains(*id) && !self.not_found.is_paused(id, now);
        let is_due =
            |(id, since): &(&NodeId, Moment)| !self.suspects.contains(*id) || now.since(*since) >= VERIFIED_WITHIN;
        // Strangers may be made up by the thousand, and must not take every turn from the lost: not by being called lost, either.
        let met = |id: &&NodeId| !table.strangers().contains(*id);
        let strangers_first = below(rng, 2) == Some(0);
        for strangers in [strangers_first, !strangers_first] {
            let some = if strangers {
                sample(rng, table.strangers().iter().filter(wanted).copied(), count)
            } else {
                sample(rng, table.lost().filter(is_due).map(|(id, _)| id).filter(met).filter(wanted).copied(), count)
            };
            if !some.is_empty() {
                return some;
            }
        }
        Vec::new()
    }

    /// A node to exchange tables with: mostly one that lives.
    pub fn partner(&self, rng: &mut impl Rng, table: &NodeTable) -> Option<NodeId> {
        let want_lost = below(rng, LOST_PARTNERS) == Some(0);
        let others = || table.iter().filter(|(id, _)| **id != self.local);
        let fitting = others().filter(|(_, entry)| entry.health().lost.is_some() == want_lost);
        let chosen = sample(rng, fitting.map(|(id, _)| *id), 1).pop();
        chosen.or_else(|| sample(rng, others().map(|(id, _)| *id), 1).pop())
    }

    /// Whom we believe lost, and for how long: the freshest first, and after them those whom we never met; at most [`LOST_MAX`].
    pub fn named_lost(&self, table: &NodeTable, now: Moment) -> Vec<(NodePrefix, Duration)> {
        let known = table.lost().filter(|(id, _)| !self.suspects.contains(id)).map(|(id, since)| (false, id, since));
        let unknown = self.not_found.paused(now).filter(|(id, _)| table.get(id).is_none());
        let unknown = unknown.map(|(id, since)| (true, id, since));
        let mut lost: Vec<(bool, NodePrefix, Duration)> =
            known.chain(unknown).map(|(unknown, id, since)| (unknown, id.prefix(), now.since(since))).collect();
        lost.sort_unstable_by_key(|(unknown, _, age)| (*unknown, *age));
        lost.truncate(LOST_MAX);
        lost.into_iter().map(|(_, prefix, age)| (prefix, age)).collect()
    }

    /// What another node's word on who is `lost` changes, to be applied. Who is connected lives, whatever it says; of `own` self it
    /// has no say.
    pub fn hear(
        table: &NodeTable,
        own: &NodeId,
        lost: &[(NodePrefix, Duration)],
        heed: Heed,
        connected: impl Fn(&NodeId) -> bool,
        now: Moment,
    ) -> Hearsay {
        let ages: BTreeMap<NodePrefix, Duration> = lost.iter().copied().collect();
        let named = match heed {
            Heed::Ignored => Vec::new(),
            Heed::Weighed => table
                .iter()
                .filter_map(|(id, _)| Some((*id, Some(now - *ages.get(&id.prefix())?))))
                .filter(|(id, _)| id != own && !connected(id))
                .collect(),
            // However fresh a descriptor is. Who is not named is not lost, unless there was no room to name more.
            Heed::Believed => table
                .iter()
                .map(|(id, entry)| {
                    (id, entry.health().lost.is_some(), ages.contains_key(&id.prefix()) && !connected(id))
                })
                .filter(|(_, was, is)| was != is && (*is || lost.len() < LOST_MAX))
                .map(|(id, _, is)| (*id, is.then_some(now)))
                .collect(),
        };
        Hearsay { heed, named }
    }
}

#[cfg(test)]
mod tests;
