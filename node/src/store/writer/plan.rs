//! Where the contents of a batch go, and writing them there; nothing is durable yet.

use super::leases::Renewal;
use super::{Cell, Held, Key, Kind, Put, Slot, SlotFiles, StoreError, Writer};
use crate::store::error::Doing;
use crate::store::slots::NO_LEASES;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Slots freed at once when space is short: few enough not to keep the batch waiting, enough to do so seldom.
const EVICT_SLOTS_MAX: u64 = 256;

/// Files written to, and the handles that wrote.
pub(super) type Touched = BTreeMap<(Kind, u32), Arc<File>>;

/// A batch in the making.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) touched: Touched,
    /// Files made for it.
    pub(super) created: BTreeSet<(Kind, u32)>,
    pub(super) planned: Vec<(Planned, oneshot::Sender<Result<Put, StoreError>>)>,
    pub(super) renewals: Vec<(Renewal, oneshot::Sender<Result<u32, StoreError>>)>,
    /// Where its contents lie: the index does not know yet.
    placed: HashMap<(Kind, Key), Slot>,
    /// Slots that it still needs as they are, whatever their leases.
    needed: BTreeSet<(Kind, Slot)>,
}

/// A content that is written, and awaits its sync.
pub(super) struct Planned {
    pub(super) kind: Kind,
    pub(super) key: Key,
    pub(super) slot: Slot,
    pub(super) put: Put,
    /// Where the record lies that this one takes the place of.
    pub(super) replaces: Option<Slot>,
}

impl Batch {
    /// Notes that the file will have to be synced.
    pub(super) fn touch(&mut self, files: &SlotFiles, number: u32) -> io::Result<()> {
        if let Entry::Vacant(vacant) = self.touched.entry((files.kind(), number)) {
            vacant.insert(files.file(number)?);
        }
        Ok(())
    }
}

impl Writer {
    /// Writes a content, or only its lease if it is there already.
    pub(super) fn plan(
        &mut self,
        batch: &mut Batch,
        kind: Kind,
        entry: Held,
        content: &[u8],
    ) -> Result<Planned, StoreError> {
        let key = entry.key;
        let Some(slot) = self.find(batch, kind, &key) else {
            let slot = self.write_new(batch, kind, entry, content)?;
            return Ok(Planned { kind, key, slot, put: Put::New, replaces: None });
        };
        match self.files(kind).cell(slot).doing("reading a slot file")? {
            Cell::Held(old) if old.key == key => {
                // Read in full: renewing what is rotten would acknowledge what is lost.
                let there = self.files(kind).read(slot, old.len as usize);
                let is_same = there.as_ref().is_ok_and(|there| there == content);
                if is_same && !self.slots[kind as usize].is_retired(slot.file()) {
                    self.prolong(batch, kind, slot, old, entry.lease)?;
                    return Ok(Planned { kind, key, slot, put: Put::Renewed, replaces: None });
                }
                if there.is_ok_and(|there| old.fits(&there)) {
                    // A record with a new content, or a place that the disk did not keep. Of two cells with one name,
                    // as a crash may leave them, the one with the longer lease counts.
                    batch.needed.insert((kind, slot));
                    let lease = entry.lease.max(if is_same { old.lease } else { old.lease.plus(1) });
                    let new = self.write_new(batch, kind, Held { lease, ..entry }, content)?;
                    return Ok(Planned { kind, key, slot: new, put: Put::New, replaces: Some(slot) });
                }
                tracing::warn!(?kind, "what a slot held is rotten, and was stored anew");
                self.quarantine(kind, slot);
                self.forget(kind, &key, slot);
            }
            // The index was behind.
            _ => {}
        }
        let slot = self.write_new(batch, kind, entry, content)?;
        Ok(Planned { kind, key, slot, put: Put::New, replaces: None })
    }

    pub(super) fn find(&mut self, batch: &Batch, kind: Kind, key: &Key) -> Option<Slot> {
        if let Some(slot) = batch.placed.get(&(kind, *key)) {
            return Some(*slot);
        }
        self.shared.index.get(kind, key).unwrap_or_else(|_| {
            self.replace_index();
            // One in memory does not fail.
            self.shared.index.get(kind, key).unwrap_or(None)
        })
    }

    fn write_new(&mut self, batch: &mut Batch, kind: Kind, entry: Held, content: &[u8]) -> Result<Slot, StoreError> {
        let slot = self.slot(batch, kind)?;
        let files = self.shared.files(kind);
        batch.touch(files, slot.file()).doing("opening a slot file")?;
        // Content first: a process killed in between leaves a free slot.
        let written = files.write(slot, content).and_then(|()| files.write_cell(slot, &Cell::Held(entry)));
        let written = written.doing("writing a slot");
        if let Err(error) = written {
            let _ = files.write_cell(slot, &Cell::Free);
            if matches!(error, StoreError::Disk { .. }) {
                // Else every content to come would be lost to the same bad place.
                tracing::error!(?kind, %error, "a slot file failed to be written, and is not written to any more");
                self.slots[kind as usize].retire(slot.file());
            }
            return Err(error);
        }
        self.slots[kind as usize].hold(slot, entry.lease);
        batch.placed.insert((kind, entry.key), slot);
        batch.needed.insert((kind, slot));
        Ok(slot)
    }

    /// A free slot: one there is, or one in a new file, or one whose lease is over.
    fn slot(&mut self, batch: &mut Batch, kind: Kind) -> Result<Slot, StoreError> {
        if !self.quota.allows_name(&self.tally()) {
            // The quota was lowered, or the index is large: a free slot does not help, fewer names do.
            self.evict(&batch.needed, kind);
            return Err(StoreError::QuotaReached);
        }
        if let Some(slot) = self.slots[kind as usize].any_free((self.dice)()) {
            return Ok(slot);
        }
        let added = if self.quota.allows_file(kind, &self.tally()) {
            self.add_file(batch, kind)
        } else {
            Err(StoreError::QuotaReached)
        };
        self.tell_disk(&added);
        if matches!(added, Err(StoreError::QuotaReached | StoreError::DiskFull)) {
            self.evict(&batch.needed, kind);
        }
        match self.slots[kind as usize].any_free((self.dice)()) {
            Some(slot) => Ok(slot),
            None => Err(added.err().unwrap_or(StoreError::QuotaReached)),
        }
    }

    /// Says once in the log that the disk, and not the quota, keeps the store from growing; again only after it has grown.
    fn tell_disk(&mut self, added: &Result<(), StoreError>) {
        match added {
            Ok(()) => self.disk_told = false,
            Err(error @ (StoreError::DiskFull | StoreError::ReadOnly)) if !self.disk_told => {
                tracing::warn!(%error, "the store cannot grow to its quota");
                self.disk_told = true;
            }
            Err(_) => {}
        }
    }

    fn add_file(&mut self, batch: &mut Batch, kind: Kind) -> Result<(), StoreError> {
        let number = self.slots[kind as usize].next_file();
        self.files(kind).create(number)?;
        self.slots[kind as usize].add_file(number);
        batch.created.insert((kind, number));
        Ok(())
    }

    /// Frees slots whose leases are over. They are free only when that is durable: else power loss could bring back a
    /// cell whose content is another's.
    pub(super) fn evict(&mut self, needed: &BTreeSet<(Kind, Slot)>, kind: Kind) {
        let running = self.clock.running();
        let mut evicted = Vec::new();
        let mut freed = Batch::default();
        for number in self.slots[kind as usize].files_expired(&running) {
            if evicted.len() as u64 >= EVICT_SLOTS_MAX {
                break;
            }
            let Ok(cells) = self.files(kind).cells(number) else { continue };
            if freed.touch(self.shared.files(kind), number).is_err() {
                continue;
            }
            let mut leases = NO_LEASES;
            for (slot, cell) in cells {
                let Cell::Held(entry) = cell else { continue };
                let is_over = !running.contains(&entry.lease) && !needed.contains(&(kind, slot));
                if is_over && self.files(kind).write_cell(slot, &Cell::Free).is_ok() {
                    evicted.push((entry.key, slot));
                } else {
                    leases = (leases.0.min(entry.lease), leases.1.max(entry.lease));
                }
            }
            self.slots[kind as usize].set_leases(number, leases);
        }
        let failed = self.sync(&freed.touched);
        for (key, slot) in evicted {
            self.forget(kind, &key, slot);
            if !failed.contains(&(kind, slot.file())) {
                self.slots[kind as usize].free(slot);
            }
        }
    }
}
