//! Leases changed without their contents.

use super::plan::Batch;
use super::{Cell, Held, Key, Kind, Slot, StoreError, Writer};
use crate::store::error::Doing;
use palimpsest_proto::time::Timestamp;

/// The lease of what was given up: it is over by any clock.
const RELEASED: Timestamp = Timestamp(0);

/// Leases that are written, and await their sync.
#[derive(Default)]
pub(super) struct Renewal {
    /// Of the names asked for, by number, those prolonged, and where they lie.
    done: Vec<(usize, Slot)>,
    /// What the first of the others failed with.
    error: Option<StoreError>,
}

impl Renewal {
    /// The bits of those that are durable.
    pub(super) fn result(self, is_durable: impl Fn(Slot) -> bool) -> Result<u32, StoreError> {
        let durable = self.done.iter().filter(|(_, slot)| is_durable(*slot));
        let bitmap = durable.fold(0, |bitmap, (i, _)| bitmap | 1 << i);
        let error = self.error.or_else(|| (!self.done.is_empty()).then_some(super::SYNC_FAILED));
        match error {
            Some(error) if bitmap == 0 => Err(error),
            _ => Ok(bitmap),
        }
    }
}

impl Writer {
    /// Writes the leases of the shards that are there and whose leases end before `lease`.
    pub(super) fn plan_renewal(&mut self, batch: &mut Batch, keys: &[Key], lease: Timestamp) -> Renewal {
        let mut renewal = Renewal::default();
        for (i, key) in keys.iter().enumerate() {
            match self.prolong_named(batch, key, lease) {
                Ok(Some(slot)) => renewal.done.push((i, slot)),
                Ok(None) => {}
                Err(error) => renewal.error = renewal.error.or(Some(error)),
            }
        }
        renewal
    }

    fn prolong_named(&mut self, batch: &mut Batch, key: &Key, lease: Timestamp) -> Result<Option<Slot>, StoreError> {
        let Some(slot) = self.find(batch, Kind::Shards, key) else { return Ok(None) };
        let cell = self.files(Kind::Shards).cell(slot).doing("reading a slot file")?;
        match cell {
            Cell::Held(entry) if entry.key == *key => {
                self.prolong(batch, Kind::Shards, slot, entry, lease)?;
                Ok(Some(slot))
            }
            _ => Ok(None),
        }
    }

    /// Writes a lease that ends at `lease` at least into the cell of a slot that holds `entry`.
    pub(super) fn prolong(
        &mut self,
        batch: &mut Batch,
        kind: Kind,
        slot: Slot,
        entry: Held,
        lease: Timestamp,
    ) -> Result<(), StoreError> {
        if self.slots[kind as usize].is_retired(slot.file()) {
            // Not even what the cell says already is known to be on the disk.
            return Err(super::SYNC_FAILED);
        }
        if lease > entry.lease {
            batch.touch(self.shared.files(kind), slot.file()).doing("opening a slot file")?;
            let cell = Cell::Held(Held { lease, ..entry });
            self.files(kind).write_cell(slot, &cell).doing("renewing a lease")?;
        }
        Ok(())
    }

    /// Ends a lease, if it is the one that was seen. Not synced: losing it costs another hand-over, no more.
    pub(super) fn release(
        &mut self,
        batch: &Batch,
        kind: Kind,
        key: &Key,
        seen: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(slot) = self.find(batch, kind, key) else { return Ok(false) };
        let cell = self.files(kind).cell(slot).doing("reading a slot file")?;
        match cell {
            Cell::Held(entry) if entry.key == *key && entry.lease == seen => {
                let cell = Cell::Held(Held { lease: RELEASED, ..entry });
                self.files(kind).write_cell(slot, &cell).doing("ending a lease")?;
                self.slots[kind as usize].hold(slot, RELEASED);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
