//! A simulated node's, or client's, table and what it makes of what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use palimpsest_proto::flow::{Admission, Allowance, GossipPace};
use palimpsest_proto::ids::{NodeId, NodePrefix};
use palimpsest_proto::record::SignedNodeDescriptor;
use palimpsest_proto::select::{Heed, Inserted, NodeTable, Presence};
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;

use super::wall;

pub(super) struct Peer {
    id: NodeId,
    /// Whether it runs; whether it takes part in anything; and whether it was cut off from the others.
    pub(super) runs: bool,
    pub(super) up: bool,
    pub(super) cut_off: bool,
    /// How often it started or came back.
    pub(super) life: u32,
    pub(super) table: NodeTable,
    pub(super) presence: Presence,
    pub(super) pace: GossipPace,
    /// When it exchanges tables next.
    pub(super) next: Moment,
    /// Whom it is dialling for the first time, and to whom it is connected.
    pub(super) meeting: BTreeSet<NodeId>,
    pub(super) connected: BTreeSet<usize>,
    /// Exchanges that others have under way with it, and what each may still begin.
    pub(super) admission: Admission,
    pub(super) allowances: BTreeMap<NodeId, Allowance>,
}

/// What a merge did.
#[derive(Default)]
pub(super) struct Merged {
    pub(super) learnt: u64,
    /// Nodes believed lost that may be back.
    pub(super) returned: Vec<NodeId>,
}

impl Peer {
    /// A node that has just started, and knows nobody but itself.
    pub(super) fn new(says: SignedNodeDescriptor, now: Moment) -> Peer {
        let mut table = NodeTable::new();
        let id = says.id;
        table.insert(says, now);
        Peer::with(id, true, table, now)
    }

    /// A client with this table.
    pub(super) fn client(id: NodeId, table: NodeTable) -> Peer {
        Peer::with(id, false, table, Moment::default())
    }

    fn with(id: NodeId, dials: bool, table: NodeTable, now: Moment) -> Peer {
        Peer {
            id,
            runs: true,
            up: true,
            cut_off: false,
            life: 0,
            table,
            presence: Presence::new(id, dials),
            pace: GossipPace::new(now),
            next: now,
            meeting: BTreeSet::new(),
            connected: BTreeSet::new(),
            admission: Admission::default(),
            allowances: BTreeMap::new(),
        }
    }

    pub(super) fn id(&self) -> NodeId {
        self.id
    }

    /// Starts again with the table that it kept on disk: whom it met, and who was lost, it does not know any more.
    pub(super) fn restart(&mut self, says: SignedNodeDescriptor, now: Moment) {
        let mut peer = Peer { life: self.life + 1, ..Peer::new(says, now) };
        for (_, entry) in self.table.iter().filter(|(id, _)| **id != self.id) {
            peer.table.insert(entry.signed().clone(), now);
        }
        *self = peer;
    }

    /// Says something else of itself.
    pub(super) fn announce(&mut self, says: SignedNodeDescriptor, now: Moment) {
        self.table.insert(says, now);
    }

    /// It is connected to that node.
    pub(super) fn see(&mut self, number: usize, id: &NodeId, now: Moment) {
        self.connected.insert(number);
        self.presence.seen(&mut self.table, id, now);
    }

    /// Checks descriptors and takes those that are new. (That they name an address is for the drivers to see to, and all do.)
    pub(super) fn merge(&mut self, dice: &mut StdRng, descriptors: &[Bytes], now: Moment) -> Merged {
        let mut merged = Merged::default();
        for bytes in descriptors {
            let Ok(unverified) = SignedNodeDescriptor::decode(bytes.clone()) else { continue };
            if !self.presence.is_wanted(&self.table, unverified.claimed(), now) {
                continue;
            }
            let Ok(signed) = unverified.verify(wall(now)) else { continue };
            let id = signed.id;
            let taken = self.presence.take(dice, &mut self.table, signed, now);
            merged.learnt += u64::from(matches!(taken.inserted, Inserted::New | Inserted::Newer));
            merged.returned.extend(taken.may_be_back.then_some(id));
        }
        merged
    }

    /// Takes another one's word on who is lost; how much of it was news.
    pub(super) fn hear(
        &mut self,
        lost: &[(NodePrefix, Duration)],
        heed: Heed,
        connected: impl Fn(&NodeId) -> bool,
        now: Moment,
    ) -> u64 {
        Presence::hear(&self.table, &self.id, lost, heed, connected, now).apply(&mut self.table)
    }
}
