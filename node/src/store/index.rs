//! Locator or record address → slot. A help, not the truth: it can be made anew from the slot files at any time, and is
//! flushed now and then only. (On Linux sled 0.34 writes its log with `sync_file_range`, which power loss does not
//! respect; so nothing acknowledged may rest on it.)
//!
//! While sled cannot be used, as on a full disk, the index lies in memory.

use super::cell::Key;
use super::files::{Kind, Slot};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// Bytes that sled may keep in memory: the upper levels of its tree.
const CACHE_BYTES: u64 = 2 * 1024 * 1024;
/// Bytes of a piece of sled's log, and of each of its write buffers. Its default of 512 KiB is for busier databases.
const SEGMENT_BYTES: usize = 128 * 1024;
/// How often, and after which pause, opening is tried: an instance closed just now keeps its lock for a moment.
const OPEN_TRIES: u32 = 40;
const OPEN_PAUSE: Duration = Duration::from_millis(25);

/// The index cannot be used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The index of both kinds. Shared by the writer, which alone changes it, and the readers.
#[derive(Debug)]
pub(super) struct Index {
    dir: PathBuf,
    backing: RwLock<Backing>,
}

#[derive(Debug)]
enum Backing {
    Sled { db: sled::Db, trees: [sled::Tree; 2] },
    Memory(Mutex<Entries>),
    Closed,
}

/// Slots by name, to become an index.
pub(super) type Entries = [BTreeMap<Key, Slot>; 2];
/// Where a closed index says how many names it held.
const CLOSED_WITH: &str = "closed with";

impl Index {
    /// Opens the index in the store's folder; makes an empty one if there is none or it cannot be read; an empty one in
    /// memory if that fails too.
    pub(super) fn open(store_dir: &Path) -> Index {
        let dir = store_dir.join("index");
        let backing = open_sled(&dir)
            .or_else(|Broken| {
                tracing::warn!("the index cannot be read, and is made anew from the slot files");
                let _ = fs::remove_dir_all(&dir);
                open_sled(&dir)
            })
            .unwrap_or_else(|Broken| {
                tracing::warn!("the index cannot be written, and is kept in memory");
                Backing::Memory(Mutex::default())
            });
        Index { dir, backing: RwLock::new(backing) }
    }

    /// Where the name's content lies.
    pub(super) fn get(&self, kind: Kind, key: &Key) -> Result<Option<Slot>, Broken> {
        self.with(|backing| match backing {
            Backing::Sled { trees, .. } => guarded(|| trees[kind as usize].get(key))?.map(|v| slot(&v)).transpose(),
            Backing::Memory(entries) => Ok(lock(entries)[kind as usize].get(key).copied()),
            Backing::Closed => Err(Broken),
        })
    }

    /// Says where the name's content lies.
    pub(super) fn insert(&self, kind: Kind, key: &Key, slot: Slot) -> Result<(), Broken> {
        self.with(|backing| match backing {
            Backing::Sled { trees, .. } => {
                guarded(|| trees[kind as usize].insert(key, &slot.0.to_le_bytes())).map(|_| ())
            }
            Backing::Memory(entries) => {
                lock(entries)[kind as usize].insert(*key, slot);
                Ok(())
            }
            Backing::Closed => Err(Broken),
        })
    }

    /// Forgets a name, if what it names lies at `slot`.
    pub(super) fn remove(&self, kind: Kind, key: &Key, slot: Slot) -> Result<(), Broken> {
        if self.get(kind, key)? != Some(slot) {
            return Ok(());
        }
        self.with(|backing| match backing {
            Backing::Sled { trees, .. } => guarded(|| trees[kind as usize].remove(key)).map(|_| ()),
            Backing::Memory(entries) => {
                lock(entries)[kind as usize].remove(key);
                Ok(())
            }
            Backing::Closed => Err(Broken),
        })
    }

    /// At most `count` names behind `after`, ascending, with their slots.
    pub(super) fn range(&self, kind: Kind, after: Option<&Key>, count: usize) -> Result<Vec<(Key, Slot)>, Broken> {
        let from = after.map_or(Bound::Unbounded, |key| Bound::Excluded(*key));
        self.with(|backing| match backing {
            Backing::Sled { trees, .. } => guarded(|| {
                trees[kind as usize].range((from, Bound::Unbounded)).take(count).collect::<Result<Vec<_>, _>>()
            })?
            .into_iter()
            .map(|(key, value)| Ok((key.as_ref().try_into().map_err(|_| Broken)?, slot(&value)?)))
            .collect(),
            Backing::Memory(entries) => {
                let entries = lock(entries);
                let range = entries[kind as usize].range((from, Bound::Unbounded));
                Ok(range.take(count).map(|(key, slot)| (*key, *slot)).collect())
            }
            Backing::Closed => Err(Broken),
        })
    }

    /// Hands all changes over to the disk.
    pub(super) fn flush(&self) -> Result<(), Broken> {
        self.with(|backing| match backing {
            Backing::Sled { db, .. } => guarded(|| db.flush()).map(|_| ()),
            Backing::Memory(_) => Ok(()),
            Backing::Closed => Err(Broken),
        })
    }

    /// Puts `entries`, held in memory, in place of what there is, and removes sled's files.
    pub(super) fn replace(&self, entries: Entries) {
        let old = self.swap(Backing::Memory(Mutex::new(entries)));
        discard(old);
        let _ = fs::remove_dir_all(&self.dir);
    }

    /// Whether the index lies in memory, for want of a disk.
    pub(super) fn is_in_memory(&self) -> bool {
        self.with(|backing| matches!(backing, Backing::Memory(_)))
    }

    /// How many names the index held when it was closed, if it is complete. That this is true still is for the store's
    /// own note to say: sled's files may be as they were earlier, after power loss. Asked once, at the start.
    pub(super) fn closed_with(&self) -> Option<u64> {
        self.with(|backing| {
            let Backing::Sled { db, .. } = backing else { return None };
            let count = guarded(|| db.remove(CLOSED_WITH)).ok()??;
            Some(u64::from_le_bytes(count.as_ref().try_into().ok()?))
        })
    }

    /// Ends the use of the index, which holds `count` names, and lets go of its files. Says whether all of it is on the
    /// disk.
    pub(super) fn close(&self, count: u64) -> bool {
        let note = self.with(|backing| match backing {
            Backing::Sled { db, .. } => guarded(|| db.insert(CLOSED_WITH, &count.to_le_bytes())).map(|_| ()),
            Backing::Memory(_) | Backing::Closed => Err(Broken),
        });
        let is_flushed = note.and_then(|()| self.flush()).is_ok();
        discard(self.swap(Backing::Closed));
        let is_whole = is_flushed && sync_all_in(&self.dir).is_ok();
        if !is_whole {
            tracing::warn!("the index was not written in full; what is missing is looked up at the next start");
        }
        is_whole
    }

    /// Bytes that the index has on the disk.
    pub(super) fn disk_bytes(&self) -> u64 {
        disk_bytes(&self.dir)
    }

    fn swap(&self, backing: Backing) -> Backing {
        std::mem::replace(&mut *self.backing.write().unwrap_or_else(PoisonError::into_inner), backing)
    }

    fn with<T>(&self, read: impl FnOnce(&Backing) -> T) -> T {
        read(&self.backing.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn open_sled(dir: &Path) -> Result<Backing, Broken> {
    let config = sled::Config::new()
        .path(dir)
        .cache_capacity(CACHE_BYTES)
        .segment_size(SEGMENT_BYTES)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(None);
    let open = || {
        let db = config.open()?;
        let trees = [db.open_tree("shards")?, db.open_tree("records")?];
        Ok(Backing::Sled { db, trees })
    };
    for _ in 1..OPEN_TRIES {
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(OPEN_PAUSE);
            }
            Ok(Ok(backing)) => return Ok(backing),
            Ok(Err(_)) | Err(_) => return Err(Broken),
        }
    }
    guarded(open)
}

/// Does something with sled, whose way to say that its files are damaged may be a panic.
fn guarded<T>(action: impl FnOnce() -> sled::Result<T>) -> Result<T, Broken> {
    catch_unwind(AssertUnwindSafe(action)).map_err(|_| Broken)?.map_err(|_| Broken)
}

fn lock(entries: &Mutex<Entries>) -> MutexGuard<'_, Entries> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drops sled, which panics if its last sync fails.
fn discard(backing: Backing) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(backing)));
}

fn slot(value: &[u8]) -> Result<Slot, Broken> {
    Ok(Slot(u32::from_le_bytes(value.try_into().map_err(|_| Broken)?)))
}

/// Syncs the folder's files as power loss demands it, which sled does not.
fn sync_all_in(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.metadata()?.is_dir() {
            sync_all_in(&entry.path())?;
        } else {
            fs::File::open(entry.path())?.sync_all()?;
        }
    }
    fs::File::open(dir)?.sync_all()
}

/// Bytes that the folder's files take on the disk.
fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?, entry.path())))
        // The unit of `blocks` is 512 bytes whatever the disk's is.
        .map(|(metadata, path)| metadata.blocks() * 512 + if metadata.is_dir() { disk_bytes(&path) } else { 0 })
        .sum()
}
