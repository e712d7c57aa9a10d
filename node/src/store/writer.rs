//! The one thread that changes anything. It takes all that waits, up to a batch, and makes it durable with one sync per
//! touched file; while it does, the next batch gathers. With nothing to do it sleeps in the queue.
//!
//! ```text
//! put ──► queue (QUEUE_COMMANDS_MAX) ──► plan: find slots, write contents and cells      writer/plan.rs
//!                                        commit: sync files, tell the index, answer      here
//! ```
//!
//! An acknowledgement rests on the slot files alone. The index is flushed now and then, so that a start after a crash
//! has little to look through.

mod leases;
mod plan;

use super::cell::{Cell, Entry as Held, Key};
use super::clock::LeaseClock;
use super::error::StoreError;
use super::files::{Kind, Slot, SlotFiles};
use super::index::Broken;
use super::lock::Lock;
use super::quota::{Quota, Tally};
use super::slots::Slots;
use super::{Dice, Put, Shared, notes, rebuild};
use bytes::Bytes;
use palimpsest_proto::time::Timestamp;
use plan::Batch;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::{mpsc, oneshot};

/// Commands that wait at most: two batches, 8 MiB of shards.
pub(super) const QUEUE_COMMANDS_MAX: usize = 128;
/// Commands of one batch: about a slot file's worth, where a longer batch gains little.
const BATCH_COMMANDS_MAX: usize = 64;
/// Changes after which the index is flushed: 64 MiB of shards to be looked through after a crash at most.
const INDEX_CHANGES_MAX: u32 = 1024;

/// Seconds between two notes of the time: what a crash takes back of it.
const KEEP_TIME_SECONDS: u64 = 3600;

/// What is said of a content or a lease whose sync failed.
const SYNC_FAILED: StoreError = StoreError::Disk { doing: "syncing a slot file", kind: std::io::ErrorKind::Other };

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Store, or renew.
    Put { kind: Kind, entry: Held, content: Bytes, reply: oneshot::Sender<Result<Put, StoreError>> },
    /// Prolong the leases of shards.
    Renew { keys: Vec<Key>, lease: Timestamp, reply: oneshot::Sender<Result<u32, StoreError>> },
    /// End a lease, if it is the one that was seen.
    Release { kind: Kind, key: Key, seen: Timestamp, reply: oneshot::Sender<Result<bool, StoreError>> },
    /// What was read at the slot was not what the index said.
    Distrust { kind: Kind, key: Key, slot: Slot },
    /// The index failed a reader.
    ReplaceIndex,
    /// End, after all that was asked before.
    Close,
}

/// The writer's state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) slots: [Slots; 2],
    pub(super) quota: Quota,
    pub(super) index_bytes: u64,
    pub(super) index_changes: u32,
    pub(super) clock: LeaseClock,
    /// When the store's time is to be kept again.
    pub(super) keep_time_at: Timestamp,
    pub(super) dice: Dice,
    /// Whether the log says already that the disk is full or read-only.
    pub(super) disk_told: bool,
    pub(super) dir: PathBuf,
    /// Dropped last.
    pub(super) lock: Lock,
}

impl Writer {
    /// Serves commands until the store is closed or nobody has a handle.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>, ended: oneshot::Sender<()>) {
        let mut waiting = Vec::new();
        let mut open = true;
        while open && commands.blocking_recv_many(&mut waiting, BATCH_COMMANDS_MAX) > 0 {
            let shared = self.shared.clone();
            open = shared.cpu.on(|| self.serve(waiting.drain(..)));
            waiting.shrink_to(0);
        }
        commands.close();
        // Dropping what still waits answers it with `Closed`.
        drop(commands);
        if self.shared.index.close(self.slots[0].held() + self.slots[1].held()) {
            notes::leave_clean(&self.dir);
        }
        notes::keep_time(&self.dir, self.clock.look());
        drop(self.lock);
        let _ = ended.send(());
    }

    /// Serves a batch; says whether to go on.
    fn serve(&mut self, commands: impl Iterator<Item = Command>) -> bool {
        let mut batch = Batch::default();
        let mut open = true;
        for command in commands {
            match command {
                // What comes behind the end is dropped, which answers it with `Closed`.
                _ if !open => {}
                Command::Put { kind, entry, content, reply } => match self.plan(&mut batch, kind, entry, &content) {
                    Ok(planned) => batch.planned.push((planned, reply)),
                    Err(error) => {
                        let _ = reply.send(Err(error));
                    }
                },
                Command::Renew { keys, lease, reply } => {
                    let renewal = self.plan_renewal(&mut batch, &keys, lease);
                    batch.renewals.push((renewal, reply));
                }
                Command::Release { kind, key, seen, reply } => {
                    let _ = reply.send(self.release(&batch, kind, &key, seen));
                }
                Command::Distrust { kind, key, slot } => self.distrust(kind, &key, slot),
                Command::ReplaceIndex => self.replace_index(),
                Command::Close => open = false,
            }
        }
        self.commit(batch);
        self.look_at_clock();
        open
    }

    /// Follows the clock, and once an hour keeps the time for the next start, and looks whether more has expired of a
    /// store that is over its quota.
    fn look_at_clock(&mut self) {
        let time = self.clock.look();
        if time >= self.keep_time_at {
            notes::keep_time(&self.dir, time);
            self.keep_time_at = time.plus(KEEP_TIME_SECONDS);
            self.shrink();
        }
    }

    /// Makes a batch durable, and answers.
    fn commit(&mut self, batch: Batch) {
        let mut failed = self.sync(&batch.touched);
        for kind in Kind::ALL {
            if batch.created.iter().any(|(k, _)| *k == kind) && self.files(kind).sync_dir().is_err() {
                failed.extend(batch.created.iter().filter(|(k, _)| *k == kind));
            }
        }
        let is_durable = |kind: Kind, slot: Slot| !failed.contains(&(kind, slot.file()));
        let mut replaced = Batch::default();
        for (planned, _) in &batch.planned {
            if !is_durable(planned.kind, planned.slot) {
                // A renewal's cell stays: its shard was acknowledged before, and may well be there.
                if planned.put == Put::New && self.files(planned.kind).write_cell(planned.slot, &Cell::Free).is_ok() {
                    self.slots[planned.kind as usize].free(planned.slot);
                }
                continue;
            }
            if planned.put == Put::New {
                self.note(planned.kind, &planned.key, planned.slot);
            }
            if let Some(old) = planned.replaces {
                // The old record goes when the new one is safe. Should it stay, its lease ends first, and so it loses
                // against the new one at the next start.
                if self.clear(&mut replaced, planned.kind, old).is_err() {
                    self.slots[planned.kind as usize].spoil(old);
                }
            }
        }
        self.sync(&replaced.touched);
        self.flush_index_if_due();
        self.publish_usage();
        for (planned, reply) in batch.planned {
            let durable = is_durable(planned.kind, planned.slot);
            let _ = reply.send(if durable { Ok(planned.put) } else { Err(SYNC_FAILED) });
        }
        for (renewal, reply) in batch.renewals {
            let _ = reply.send(renewal.result(|slot| is_durable(Kind::Shards, slot)));
        }
    }

    /// Syncs the files; returns those that failed, which are not written to any more: whether the disk has what the
    /// page cache shows is unknown from then on (Rebello et al., ATC 2020).
    fn sync(&mut self, touched: &plan::Touched) -> BTreeSet<(Kind, u32)> {
        let mut failed = BTreeSet::new();
        for ((kind, number), file) in touched {
            // The kernel tells of a failure once: syncing again would seem to do.
            if self.slots[*kind as usize].is_retired(*number) {
                failed.insert((*kind, *number));
                continue;
            }
            if let Err(error) = self.files(*kind).sync(*number, file) {
                tracing::error!(?kind, %error, "a slot file failed to sync, and is not written to any more");
                self.slots[*kind as usize].retire(*number);
                failed.insert((*kind, *number));
            }
        }
        failed
    }

    /// Looks whether a slot lost what it held, as a reader says, and takes it out of use if so.
    fn distrust(&mut self, kind: Kind, key: &Key, slot: Slot) {
        let Ok(cell) = self.files(kind).cell(slot) else { return };
        let held = match cell {
            Cell::Held(entry) if entry.key == *key => Some(entry),
            _ => None,
        };
        if let Some(entry) = held {
            let content = self.files(kind).read(slot, entry.len as usize);
            if content.is_ok_and(|content| entry.fits(&content)) {
                return;
            }
            tracing::warn!(?kind, "what a slot held is rotten; the slot is out of use");
            self.quarantine(kind, slot);
        }
        self.forget(kind, key, slot);
    }

    /// Takes a slot out of use whose content is rotten.
    fn quarantine(&mut self, kind: Kind, slot: Slot) {
        let mut marked = Batch::default();
        if marked.touch(self.files(kind), slot.file()).is_ok() {
            // If the mark is not kept, the next read finds the damage again.
            let _ = self.files(kind).write_cell(slot, &Cell::Bad);
            self.sync(&marked.touched);
        }
        self.slots[kind as usize].spoil(slot);
    }

    /// Frees a slot: its cell is cleared, which lasts once the touched files are synced.
    fn clear(&mut self, batch: &mut Batch, kind: Kind, slot: Slot) -> std::io::Result<()> {
        batch.touch(self.shared.files(kind), slot.file())?;
        self.files(kind).write_cell(slot, &Cell::Free)?;
        self.slots[kind as usize].free(slot);
        Ok(())
    }

    /// Tells the index.
    fn note(&mut self, kind: Kind, key: &Key, slot: Slot) {
        self.index_changes += 1;
        if self.shared.index.insert(kind, key, slot).is_err() {
            self.replace_index();
        }
    }

    /// Has the index forget a name that lay at `slot`.
    fn forget(&mut self, kind: Kind, key: &Key, slot: Slot) {
        self.index_changes += 1;
        if self.shared.index.remove(kind, key, slot).is_err() {
            self.replace_index();
        }
    }

    fn flush_index_if_due(&mut self) {
        if self.index_changes < INDEX_CHANGES_MAX {
            return;
        }
        self.index_changes = 0;
        if self.shared.index.flush() == Err(Broken) {
            self.replace_index();
        }
        self.index_bytes = self.shared.index.disk_bytes();
    }

    /// Makes an index in memory from the cells, since sled failed.
    fn replace_index(&mut self) {
        if self.shared.index.is_in_memory() {
            return;
        }
        tracing::warn!("the index failed, and is kept in memory until the next start");
        self.shared.index.replace(rebuild::names(&self.shared.files));
        self.index_bytes = self.shared.index.disk_bytes();
    }

    /// Makes the folder smaller if it is over its quota, as after the quota was lowered: what expired goes, and then the
    /// files that hold nothing. What is wanted stays.
    pub(super) fn shrink(&mut self) {
        for kind in Kind::ALL {
            if self.tally().bytes() > self.quota.bytes() {
                self.evict(&BTreeSet::new(), kind);
            }
            for number in self.slots[kind as usize].empty_files() {
                if self.tally().bytes() > self.quota.bytes() && self.files(kind).remove(number).is_ok() {
                    self.slots[kind as usize].remove_file(number);
                }
            }
        }
    }

    fn files(&self, kind: Kind) -> &SlotFiles {
        self.shared.files(kind)
    }

    fn tally(&self) -> Tally {
        Tally { files: [self.slots[0].files(), self.slots[1].files()], index_bytes: self.index_bytes }
    }

    /// Lets everyone see how full the store is.
    pub(super) fn publish_usage(&self) {
        let usage = &self.shared.usage;
        usage.used_bytes.store(self.tally().bytes(), Relaxed);
        usage.shards.store(self.slots[0].held(), Relaxed);
        usage.records.store(self.slots[1].held(), Relaxed);
        usage.rotten.store(self.slots[0].bad() + self.slots[1].bad(), Relaxed);
    }
}
