//! At the start: which slots are free, and an index that agrees with the slot files.
//!
//! The cells say what is held. What the index knows too was on the disk before the index learned of it. What it does
//! not know was written shortly before a crash, or the index is lost: there the content is hashed, and what does not
//! fit was never acknowledged, or is rotten; its slot is free.

use super::cell::{Cell, Entry};
use super::error::{Doing, StoreError};
use super::files::{Kind, Slot, SlotFiles};
use super::index::{Broken, Entries, Index};
use super::slots::Slots;
use palimpsest_proto::crypto;
use palimpsest_proto::params::LEASE_SECONDS_DEFAULT;
use palimpsest_proto::time::Timestamp;

/// Names looked through at once.
const RANGE_NAMES: usize = 1024;

/// Why loading stopped.
enum Stopped {
    Index,
    Store(StoreError),
}

impl From<Broken> for Stopped {
    fn from(Broken: Broken) -> Stopped {
        Stopped::Index
    }
}

impl From<StoreError> for Stopped {
    fn from(error: StoreError) -> Stopped {
        Stopped::Store(error)
    }
}

/// What loading found.
#[derive(Debug, Default)]
struct Found {
    held: u64,
    /// Contents hashed, since the index did not know of them.
    checked: u64,
    /// Of these, the ones that did not fit.
    dropped: u64,
}

/// Reads all cells, and makes the index agree with them; it does already if the store was closed well.
pub(super) fn load(
    files: &[SlotFiles; 2],
    index: &Index,
    now: Timestamp,
    was_closed_well: bool,
) -> Result<[Slots; 2], StoreError> {
    for files in files {
        for number in files.list()? {
            files.mend(number)?;
        }
    }
    if let Some(count) = index.closed_with()
        && was_closed_well
    {
        let slots = [trust(&files[0])?, trust(&files[1])?];
        if slots[0].held() + slots[1].held() == count {
            return Ok(slots);
        }
    }
    // A broken index is replaced by one in memory, which does not break.
    loop {
        let loaded = load_kind(&files[0], index, now).and_then(|shards| {
            let records = load_kind(&files[1], index, now)?;
            index.flush()?;
            Ok([shards, records])
        });
        match loaded {
            Ok(slots) => return Ok(slots),
            Err(Stopped::Store(error)) => return Err(error),
            Err(Stopped::Index) => index.replace(Entries::default()),
        }
    }
}

/// The slots as the cells have them.
fn trust(files: &SlotFiles) -> Result<Slots, StoreError> {
    let mut slots = Slots::default();
    for number in files.list()? {
        slots.add_file(number);
        for (slot, cell) in files.cells(number).doing("reading a slot file")? {
            match cell {
                Cell::Free => {}
                Cell::Held(entry) => slots.hold(slot, entry.lease),
                Cell::Bad | Cell::Unreadable => slots.spoil(slot),
            }
        }
    }
    Ok(slots)
}

/// All names that the cells have: an index for want of a better one. Contents are not hashed; every read does that.
pub(super) fn names(files: &[SlotFiles; 2]) -> Entries {
    let mut entries = Entries::default();
    for files in files {
        for number in files.list().unwrap_or_default() {
            for (slot, cell) in files.cells(number).unwrap_or_default() {
                if let Cell::Held(entry) = cell {
                    entries[files.kind() as usize].insert(entry.key, slot);
                }
            }
        }
    }
    entries
}

fn load_kind(files: &SlotFiles, index: &Index, now: Timestamp) -> Result<Slots, Stopped> {
    let mut slots = Slots::default();
    let mut found = Found::default();
    for number in files.list()? {
        slots.add_file(number);
        for (slot, cell) in files.cells(number).doing("reading a slot file")? {
            match cell {
                Cell::Free => {}
                Cell::Bad => slots.spoil(slot),
                Cell::Held(entry) => {
                    if confirm(files, index, slot, &entry, &mut slots, &mut found)? {
                        slots.hold(slot, entry.lease);
                        found.held += 1;
                    }
                }
                Cell::Unreadable => match mended(files, index, slot, now)? {
                    Some(entry) => {
                        slots.hold(slot, entry.lease);
                        found.held += 1;
                    }
                    None => {
                        files.write_cell(slot, &Cell::Free).doing("mending a cell")?;
                        found.dropped += 1;
                    }
                },
            }
        }
    }
    sweep(files, index, found.held)?;
    let kind = files.kind();
    tracing::info!(
        ?kind,
        held = found.held,
        checked = found.checked,
        dropped = found.dropped,
        "slot files looked through"
    );
    Ok(slots)
}

/// Whether the slot holds what its cell says; the index knows it then.
fn confirm(
    files: &SlotFiles,
    index: &Index,
    slot: Slot,
    entry: &Entry,
    slots: &mut Slots,
    found: &mut Found,
) -> Result<bool, Stopped> {
    let known = index.get(files.kind(), &entry.key)?;
    if known == Some(slot) {
        return Ok(true);
    }
    found.checked += 1;
    if !files.read(slot, entry.len as usize).is_ok_and(|content| entry.fits(&content)) {
        found.dropped += 1;
        files.write_cell(slot, &Cell::Free).doing("freeing a slot")?;
        return Ok(false);
    }
    if let Some(other) = known
        && let Ok(Cell::Held(rival)) = files.cell(other)
        && rival.key == entry.key
    {
        // A record was about to be replaced. Nobody was told that it had been, unless its old slot failed to be freed:
        // then the new one's lease is the longer one. The index may be older than the rival: the new one may be torn.
        let is_whole = files.read(other, rival.len as usize).is_ok_and(|content| rival.fits(&content));
        let loser = if is_whole && rival.lease >= entry.lease { slot } else { other };
        files.write_cell(loser, &Cell::Free).doing("freeing a slot")?;
        if loser == slot {
            return Ok(false);
        }
        // Files are gone through in order, so the rival is counted if it lies before this slot.
        if other < slot {
            slots.free(other);
            found.held -= 1;
        }
    }
    index.insert(files.kind(), &entry.key, slot)?;
    Ok(true)
}

/// What a slot with a damaged cell holds, if it is a shard that the index knows to lie there; the lease is lost, and the
/// default one takes its place.
fn mended(files: &SlotFiles, index: &Index, slot: Slot, now: Timestamp) -> Result<Option<Entry>, Stopped> {
    let Ok(content) = files.read(slot, files.kind().content_bytes_max()) else { return Ok(None) };
    let key = crypto::hash(&content);
    if files.kind() != Kind::Shards || index.get(Kind::Shards, &key)? != Some(slot) {
        return Ok(None);
    }
    let entry = Entry::of(key, now.plus(LEASE_SECONDS_DEFAULT), &content);
    files.write_cell(slot, &Cell::Held(entry)).doing("mending a cell")?;
    Ok(Some(entry))
}

/// Removes names whose slots hold something else, if there are more names than held slots.
fn sweep(files: &SlotFiles, index: &Index, held: u64) -> Result<(), Stopped> {
    let (mut names, mut stale) = (0, Vec::new());
    let mut after = None;
    loop {
        let range = index.range(files.kind(), after.as_ref(), RANGE_NAMES)?;
        let Some((last, _)) = range.last() else { break };
        after = Some(*last);
        names += range.len() as u64;
    }
    if names == held {
        return Ok(());
    }
    after = None;
    loop {
        let range = index.range(files.kind(), after.as_ref(), RANGE_NAMES)?;
        let Some((last, _)) = range.last() else { break };
        after = Some(*last);
        stale.extend(
            range
                .into_iter()
                .filter(|(key, slot)| !matches!(files.cell(*slot), Ok(Cell::Held(entry)) if entry.key == *key)),
        );
        for (key, slot) in stale.drain(..) {
            index.remove(files.kind(), &key, slot)?;
        }
    }
    Ok(())
}
