//! The node table as the network uses it, with `proto`'s [`Presence`]: the only file here that touches their locks, which are never
//! held across an await.

use super::{SharedTable, TableLiar, Told, Transport, clock};
use bytes::Bytes;
use libp2p::Multiaddr;
use palimpsest_proto::ids::{NodeId, NodePrefix};
use palimpsest_proto::record::SignedNodeDescriptor;
use palimpsest_proto::select::{BUCKETS, Entry, Heed, Inserted, NodeTable, Presence};
use rand::seq::{IteratorRandom, SliceRandom};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// Descriptors checked between two chances for other tasks: some 4 ms of signatures.
const CHECKED_AT_ONCE: usize = 64;
/// Nodes drawn to find one that we can dial: of some the addresses are of another transport.
const LOOKED_AT: usize = 8;

/// What a merge did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Merged {
    /// New nodes and newer descriptors.
    pub(super) learnt: u64,
    /// Descriptors that were not valid.
    pub(super) refused: u64,
    /// Nodes believed lost who signed anew meanwhile: they may be back.
    pub(super) returned: Vec<NodeId>,
}

/// See the module.
pub(super) struct Directory {
    table: SharedTable,
    /// Locked after the table.
    presence: Mutex<Presence>,
    local: NodeId,
    transport: Transport,
    wall: clock::Wall,
}

impl Directory {
    pub(super) fn new(
        table: SharedTable,
        local: NodeId,
        dials: bool,
        transport: Transport,
        wall: clock::Wall,
    ) -> Directory {
        Directory { table, presence: Mutex::new(Presence::new(local, dials)), local, transport, wall }
    }

    // A panic elsewhere while a lock was held leaves a table that is still a table.
    fn read(&self) -> RwLockReadGuard<'_, NodeTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, NodeTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the node is in the table.
    pub(super) fn knows(&self, id: &NodeId) -> bool {
        self.read().get(id).is_some()
    }

    /// How many nodes other than ourselves are in the table.
    pub(super) fn others(&self) -> usize {
        let table = self.read();
        table.len() - usize::from(table.get(&self.local).is_some())
    }

    /// Where the node can be dialled.
    pub(super) fn addresses(&self, id: &NodeId) -> Vec<Multiaddr> {
        self.read().get(id).map(|entry| self.dialable(entry)).unwrap_or_default()
    }

    fn dialable(&self, entry: &Entry) -> Vec<Multiaddr> {
        let all = entry.signed().addresses.iter();
        all.filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok()).filter(|a| self.transport.dials(a)).collect()
    }

    /// [`Presence::seen`].
    pub(super) fn mark_seen(&self, id: &NodeId) {
        let mut table = self.write();
        self.presence().seen(&mut table, id, clock::moment());
    }

    /// A node that may be dialled now to see whether it is there ([`Presence::to_meet`]), chosen at random; none that is one of `meeting`.
    pub(super) fn to_meet(&self, meeting: &BTreeSet<NodeId>) -> Option<(NodeId, Vec<Multiaddr>)> {
        let table = self.read();
        let drawn = (meeting, LOOKED_AT);
        let some = self.presence().to_meet(&mut rand::rng(), &table, drawn, clock::moment());
        some.into_iter().find_map(|id| {
            let addresses = self.dialable(table.get(&id)?);
            (!addresses.is_empty()).then_some((id, addresses))
        })
    }

    /// [`Presence::suspect`].
    pub(super) fn suspect(&self, id: &NodeId) -> bool {
        let mut table = self.write();
        self.presence().suspect(&mut table, id, clock::moment())
    }

    /// [`Presence::lost`].
    pub(super) fn mark_lost(&self, id: &NodeId) -> bool {
        let mut table = self.write();
        self.presence().lost(&mut table, id, clock::moment())
    }

    /// [`Presence::unreachable`].
    pub(super) fn unreachable(&self, id: &NodeId) -> bool {
        let mut table = self.write();
        self.presence().unreachable(&mut table, id, clock::moment())
    }

    /// Forgets who is no longer valid.
    pub(super) fn expire(&self) {
        let mut table = self.write();
        self.presence().expire(&mut table, self.wall.now());
    }

    /// A node to exchange tables with.
    pub(super) fn partner(&self) -> Option<NodeId> {
        let table = self.read();
        self.presence().partner(&mut rand::rng(), &table)
    }

    /// Some nodes and their addresses, at most `count`, chosen at random.
    pub(super) fn sample(&self, count: usize) -> Vec<(NodeId, Vec<Multiaddr>)> {
        let table = self.read();
        let living = table.iter().filter(|(id, entry)| **id != self.local && entry.health().lost.is_none());
        let chosen = living.sample(&mut rand::rng(), count);
        chosen.into_iter().map(|(id, entry)| (*id, self.dialable(entry))).collect()
    }

    pub(super) fn digests(&self) -> [u64; BUCKETS] {
        *self.read().digests()
    }

    /// Descriptors in buckets that differ from `theirs`, at most `count_max`.
    pub(super) fn differing(&self, theirs: &[u64; BUCKETS], count_max: usize) -> Vec<Bytes> {
        let table = self.read();
        let mut buckets = table.differing(theirs);
        // Should they be cut off, then at another place each time.
        buckets.shuffle(&mut rand::rng());
        table.in_buckets(&buckets, count_max)
    }

    /// Checks descriptors and takes those that are new. Costs some 50 µs for each that is new, nothing for one known.
    pub(super) async fn merge(&self, descriptors: Vec<Bytes>) -> Merged {
        let mut merged = Merged::default();
        for some in descriptors.chunks(CHECKED_AT_ONCE) {
            let mut checked = Vec::with_capacity(some.len());
            for bytes in some {
                let verified = SignedNodeDescriptor::decode(bytes.clone()).and_then(|unverified| {
                    if !self.is_wanted(unverified.claimed()) {
                        return Ok(None);
                    }
                    unverified.verify(self.wall.now()).map(|signed| self.is_somewhere(&signed).then_some(signed))
                });
                match verified {
                    Ok(signed) => checked.extend(signed),
                    Err(_) => merged.refused += 1,
                }
            }
            if !checked.is_empty() {
                let mut table = self.write();
                let mut presence = self.presence();
                for signed in checked {
                    let id = signed.id;
                    let taken = presence.take(&mut rand::rng(), &mut table, signed, clock::moment());
                    merged.learnt += u64::from(matches!(taken.inserted, Inserted::New | Inserted::Newer));
                    merged.returned.extend(taken.may_be_back.then_some(id));
                }
            }
            tokio::task::yield_now().await;
        }
        merged
    }

    fn is_wanted(&self, claimed: (NodeId, u64)) -> bool {
        let table = self.read();
        self.presence().is_wanted(&table, claimed, clock::moment())
    }

    /// Whether there is a place at which it can be found out that there is such a node, by us or by others.
    fn is_somewhere(&self, signed: &SignedNodeDescriptor) -> bool {
        let all = signed.addresses.iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok());
        all.into_iter().any(|address| self.transport.dials(&address) || Transport::All.dials(&address))
    }

    /// [`Presence::named_lost`].
    pub(super) fn lost(&self) -> Vec<(NodePrefix, Duration)> {
        let table = self.read();
        self.presence().named_lost(&table, clock::moment())
    }

    /// What a liar tells in our place.
    pub(super) fn told_by(&self, liar: &TableLiar) -> Told {
        liar.0(self.local, &self.read())
    }

    /// Takes another node's word on who is lost. Who is connected lives, whatever it says. Returns how much of it was news.
    pub(super) fn hear_lost(
        &self,
        lost: &[(NodePrefix, Duration)],
        heed: Heed,
        connected: impl Fn(&NodeId) -> bool,
    ) -> u64 {
        let now = clock::moment();
        match heed {
            Heed::Ignored => 0,
            Heed::Weighed if lost.is_empty() => 0,
            Heed::Weighed => {
                let hearsay = Presence::hear(&self.read(), &self.local, lost, heed, connected, now);
                // What was seen in between counts more.
                hearsay.apply(&mut self.write())
            }
            Heed::Believed => {
                let mut table = self.write();
                Presence::hear(&table, &self.local, lost, heed, connected, now).apply(&mut table)
            }
        }
    }
}
