//! The node table as the network uses it: the only file here that touches its lock, which is never held across an await.

use super::not_found::NotFound;
use super::{SharedTable, TableLiar, Told, Transport, clock};
use bytes::Bytes;
use libp2p::Multiaddr;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::params::TABLE_NODES_MAX;
use palimpsest_proto::record::SignedNodeDescriptor;
use palimpsest_proto::select::{BUCKETS, Entry, Inserted, NodeTable};
use palimpsest_proto::time::Moment;
use rand::seq::{IteratorRandom, SliceRandom};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// One in so many gossip partners is a node believed lost, so that one who comes back is found.
const LOST_PARTNERS: u32 = 8;
/// Descriptors checked between two chances for other tasks: some 4 ms of signatures.
const CHECKED_AT_ONCE: usize = 64;
/// Nodes of a server's table that it never met: half of the table at most, so that nodes that nobody is push out nobody who was met.
/// When there are more, any of them goes.
const STRANGERS_MAX: usize = TABLE_NODES_MAX / 2;
/// Lost nodes named in one message at most.
pub(super) const LOST_MAX: usize = 4_096;
/// Somebody was met so lately: then who is not found is not there, and it is not our own line that is down.
const MET_LATELY: Duration = Duration::from_secs(60);
/// Strangers drawn to find one that we can dial.
const STRANGERS_LOOKED_AT: usize = 8;

/// A node's id shortened: enough to find it in a table that holds it.
pub(super) type Prefix = [u8; 8];

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

/// Whose word on who is lost is taken, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// It is weak evidence: what was seen or signed later counts more. How nodes hear each other.
    Weighed,
    /// It is all that counts: who is not named is not lost. How a client hears its guard, which sees for it.
    Believed,
    /// It is nothing. How a client hears those with whom it compares tables.
    Ignored,
}

/// See the module.
pub(super) struct Directory {
    table: SharedTable,
    /// Nodes marked lost whose loss is not verified. Choosers avoid them like lost ones; others are not told.
    suspects: Mutex<HashSet<NodeId>>,
    /// Who was not found where it should be. Locked after the table.
    not_found: Mutex<NotFound>,
    /// When somebody was met last.
    met: Mutex<Option<Moment>>,
    local: NodeId,
    /// Whether this node finds out by itself who is there. A client does not: its dials would tell whom it knows.
    verifies: bool,
    transport: Transport,
    wall: clock::Wall,
}

impl Directory {
    pub(super) fn new(
        table: SharedTable,
        local: NodeId,
        verifies: bool,
        transport: Transport,
        wall: clock::Wall,
    ) -> Directory {
        Directory {
            table,
            suspects: Mutex::default(),
            not_found: Mutex::default(),
            met: Mutex::default(),
            local,
            verifies,
            transport,
            wall,
        }
    }

    // A panic elsewhere while the lock was held leaves a table that is still a table.
    fn read(&self) -> RwLockReadGuard<'_, NodeTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, NodeTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
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

    fn suspects(&self) -> MutexGuard<'_, HashSet<NodeId>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_found(&self) -> MutexGuard<'_, NotFound> {
        self.not_found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node lives.
    pub(super) fn mark_seen(&self, id: &NodeId) {
        let now = clock::moment();
        *self.met.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.suspects().remove(id);
        self.write().mark_seen(id, now);
        self.not_found().found(id);
    }

    /// A node that was never met and may be dialled now, chosen at random; none that is one of `meeting`.
    pub(super) fn stranger(&self, meeting: &HashSet<NodeId>) -> Option<(NodeId, Vec<Multiaddr>)> {
        let now = clock::moment();
        let table = self.read();
        let not_found = self.not_found();
        let wanted = |id: &&NodeId| **id != self.local && !meeting.contains(*id) && !not_found.is_paused(id, now);
        // Of some the addresses are of another transport; all of them are not read for that.
        let some = table.strangers().iter().filter(wanted).sample(&mut rand::rng(), STRANGERS_LOOKED_AT);
        some.into_iter().find_map(|id| {
            let addresses = self.dialable(table.get(id)?);
            (!addresses.is_empty()).then_some((*id, addresses))
        })
    }

    /// The node may be gone. Says whether it is a node of the table.
    pub(super) fn suspect(&self, id: &NodeId) -> bool {
        let mut table = self.write();
        let known = table.get(id).is_some();
        if known && table.mark_lost(id, clock::moment()) {
            drop(table);
            self.suspects().insert(*id);
        }
        known
    }

    /// The node is gone; says whether that is news for others.
    pub(super) fn mark_lost(&self, id: &NodeId) -> bool {
        let suspected = self.suspects().remove(id);
        self.write().mark_lost(id, clock::moment()) || suspected
    }

    /// Nobody was found who is this node, at any of its addresses; says whether that is news for others. Who was never met is
    /// forgotten, unless nobody at all was met lately.
    pub(super) fn unreachable(&self, id: &NodeId) -> bool {
        if !self.verifies {
            return self.mark_lost(id);
        }
        let now = clock::moment();
        let met = *self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = self.write();
        let is_new = self.not_found().failed(*id, now);
        if met.is_some_and(|met| now.since(met) < MET_LATELY) && table.remove_stranger(id) {
            drop(table);
            self.suspects().remove(id);
            return is_new;
        }
        drop(table);
        self.mark_lost(id)
    }

    /// Forgets who is no longer valid.
    pub(super) fn expire(&self) {
        self.write().expire(self.wall.now());
        let table = self.read();
        self.suspects().retain(|id| table.get(id).is_some());
    }

    /// A node to exchange tables with.
    pub(super) fn partner(&self) -> Option<NodeId> {
        let mut rng = rand::rng();
        let want_lost = rand::random_ratio(1, LOST_PARTNERS);
        let table = self.read();
        let others = || table.iter().filter(|(id, _)| **id != self.local);
        let chosen = others().filter(|(_, entry)| entry.health().lost.is_some() == want_lost).choose(&mut rng);
        chosen.or_else(|| others().choose(&mut rng)).map(|(id, _)| *id)
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
                    let (id, seq) = unverified.claimed();
                    if id == self.local || !self.is_wanted(&id, seq) {
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
                for signed in checked {
                    let (id, now) = (signed.id, clock::moment());
                    let lost = table.get(&id).and_then(|entry| entry.health().lost);
                    if self.verifies && table.get(&id).is_none() {
                        self.make_room(&mut table);
                    }
                    let inserted = table.insert(signed, now);
                    merged.learnt += u64::from(matches!(inserted, Inserted::New | Inserted::Newer));
                    if self.verifies && lost.is_some() && inserted == Inserted::Newer {
                        table.set_lost(&id, lost);
                        merged.returned.extend((!self.not_found().is_paused(&id, now)).then_some(id));
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        merged
    }

    /// Takes out strangers while there are too many for one more.
    fn make_room(&self, table: &mut NodeTable) {
        while table.strangers().len() >= STRANGERS_MAX
            && let Some(any) = table.strangers().iter().choose(&mut rand::rng()).copied()
        {
            table.remove_stranger(&any);
            self.suspects().remove(&any);
        }
    }

    /// Whether a descriptor is news of somebody who may be there.
    fn is_wanted(&self, id: &NodeId, seq: u64) -> bool {
        let table = self.read();
        match table.get(id) {
            Some(known) => known.signed().seq < seq,
            None => !self.verifies || !self.not_found().is_paused(id, clock::moment()),
        }
    }

    /// Whether there is a place at which it can be found out that there is such a node, by us or by others.
    fn is_somewhere(&self, signed: &SignedNodeDescriptor) -> bool {
        let all = signed.addresses.iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok());
        all.into_iter().any(|address| self.transport.dials(&address) || Transport::All.dials(&address))
    }

    /// Whom we believe lost, and for how long: the freshest first, and after them those whom we never met.
    pub(super) fn lost(&self, count_max: usize) -> Vec<(Prefix, Duration)> {
        let now = clock::moment();
        let table = self.read();
        let suspects = self.suspects();
        let not_found = self.not_found();
        let known = table.lost().filter(|(id, _)| !suspects.contains(id)).map(|(id, since)| (false, id, since));
        let unknown = not_found.paused(now).filter(|(id, _)| table.get(id).is_none());
        let unknown = unknown.map(|(id, since)| (true, id, since));
        let mut lost: Vec<(bool, Prefix, Duration)> =
            known.chain(unknown).map(|(unknown, id, since)| (unknown, prefix(id), now.since(since))).collect();
        lost.sort_unstable_by_key(|(unknown, _, age)| (*unknown, *age));
        lost.truncate(count_max);
        lost.into_iter().map(|(_, prefix, age)| (prefix, age)).collect()
    }

    /// What a liar tells in our place.
    pub(super) fn told_by(&self, liar: &TableLiar) -> Told {
        liar.0(self.local, &self.read())
    }

    /// Takes another node's word on who is lost. Who is connected lives, whatever it says. Returns how much of it was news.
    pub(super) fn hear_lost(
        &self,
        lost: &[(Prefix, Duration)],
        heed: Heed,
        connected: impl Fn(&NodeId) -> bool,
    ) -> u64 {
        match heed {
            Heed::Weighed => self.weigh_lost(lost, connected),
            Heed::Believed => self.believe_lost(lost, connected),
            Heed::Ignored => 0,
        }
    }

    /// However fresh a descriptor is: whoever has made a node up signs for it as often as he likes. Who is not named is not lost, unless
    /// there was no room to name more.
    fn believe_lost(&self, lost: &[(Prefix, Duration)], connected: impl Fn(&NodeId) -> bool) -> u64 {
        let now = clock::moment();
        let named: HashSet<Prefix> = lost.iter().map(|(prefix, _)| *prefix).collect();
        let mut table = self.write();
        let is_lost = |id: &NodeId| named.contains(&prefix(id)) && !connected(id);
        let changed: Vec<(NodeId, bool)> = table
            .iter()
            .map(|(id, entry)| (*id, entry.health().lost.is_some(), is_lost(id)))
            .filter(|(_, was, is)| was != is && (*is || lost.len() < LOST_MAX))
            .map(|(id, _, is)| (id, is))
            .collect();
        for (id, is) in &changed {
            table.set_lost(id, is.then_some(now));
        }
        changed.iter().map(|(_, is)| u64::from(*is)).sum()
    }

    fn weigh_lost(&self, lost: &[(Prefix, Duration)], connected: impl Fn(&NodeId) -> bool) -> u64 {
        if lost.is_empty() {
            return 0;
        }
        let now = clock::moment();
        let ages: HashMap<Prefix, Duration> = lost.iter().copied().collect();
        let table = self.read();
        let named: Vec<(NodeId, Moment)> = table
            .iter()
            .filter_map(|(id, _)| Some((*id, now - *ages.get(&prefix(id))?)))
            .filter(|(id, _)| *id != self.local && !connected(id))
            .collect();
        drop(table);
        let mut table = self.write();
        named.iter().map(|(id, when)| u64::from(table.mark_lost(id, *when))).sum()
    }
}

fn prefix(id: &NodeId) -> Prefix {
    let [a, b, c, d, e, f, g, h, ..] = id.0;
    [a, b, c, d, e, f, g, h]
}
