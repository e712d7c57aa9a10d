//! What lies in a store, until when, and changing that without the contents: for renewals, hand-overs and wardens.

use super::cell::{Cell, Key};
use super::files::Kind;
use super::writer::Command;
use super::{Store, StoreError};
use palimpsest_proto::ids::{Locator, RecordAddress};
use palimpsest_proto::params::PROBE_LOCATORS_MAX;
use palimpsest_proto::time::Timestamp;

/// Names in one answer of [`Store::shards_after`] and [`Store::records_after`].
const LISTED_MAX: usize = 1024;

impl Store {
    /// Prolongs leases until `lease_until` at least, without the contents. Bit i is set if `locators[i]` is stored and
    /// its lease ends no earlier now, whatever happens to the machine. Looks at the first [`PROBE_LOCATORS_MAX`]. Fails
    /// only if not one could be prolonged, and the disk is why.
    ///
    /// The contents are not read, unlike at a put, where the caller has the shard and would store it elsewhere. Here it
    /// has not, and 2 MiB of the disk's time for one small request is what an attacker would ask for. Rot is found by
    /// scrubs, audits and reads.
    pub async fn renew(&self, locators: &[Locator], lease_until: Timestamp) -> Result<u32, StoreError> {
        let keys = locators.iter().take(PROBE_LOCATORS_MAX).map(|locator| locator.0).collect();
        self.ask(|reply| Command::Renew { keys, lease: lease_until, reply }).await
    }

    /// Gives a shard's slot up: it is the next to be used again when space is short, and serves the shard until then.
    /// `seen` is the lease that the caller knows of; where it was prolonged since, somebody counts on this copy, and
    /// nothing happens. Says whether it was given up.
    ///
    /// After power loss the lease may be back: then the shard is handed over once more.
    pub async fn release(&self, locator: Locator, seen: Timestamp) -> Result<bool, StoreError> {
        self.ask(|reply| Command::Release { kind: Kind::Shards, key: locator.0, seen, reply }).await
    }

    /// Gives a record's slot up, as [`Store::release`] does a shard's.
    pub async fn release_record(&self, address: RecordAddress, seen: Timestamp) -> Result<bool, StoreError> {
        self.ask(|reply| Command::Release { kind: Kind::Records, key: address.0, seen, reply }).await
    }

    /// Which of the addresses have a record here whose lease ends no earlier than `until`: bit i for `addresses[i]`. Looks at
    /// the first [`PROBE_LOCATORS_MAX`].
    pub fn has_records(&self, addresses: &[RecordAddress], until: Timestamp) -> Result<u32, StoreError> {
        let mut bitmap = 0;
        for (i, address) in addresses.iter().take(PROBE_LOCATORS_MAX).enumerate() {
            bitmap |= u32::from(self.record_lease(*address)?.is_some_and(|lease| lease >= until)) << i;
        }
        Ok(bitmap)
    }

    /// When the lease of a record ends; `None` if there is no such record.
    pub fn record_lease(&self, address: RecordAddress) -> Result<Option<Timestamp>, StoreError> {
        let Some(slot) = self.find(Kind::Records, &address.0)? else { return Ok(None) };
        Ok(match self.shared.files(Kind::Records).cell(slot) {
            Ok(Cell::Held(entry)) if entry.key == address.0 => Some(entry.lease),
            _ => None,
        })
    }

    /// At most `count` (and never more than 1024) of the stored shards behind `after`, ascending, and when their leases
    /// end: how a node goes through what it holds. Fewer than that only at the end. Blocks for as long as reading a few
    /// header pages takes.
    pub fn shards_after(&self, after: Option<Locator>, count: usize) -> Result<Vec<(Locator, Timestamp)>, StoreError> {
        let listed = self.after(Kind::Shards, after.map(|locator| locator.0), count)?;
        Ok(listed.into_iter().map(|(key, lease)| (Locator(key), lease)).collect())
    }

    /// The same for records: how a warden goes through what it keeps.
    pub fn records_after(
        &self,
        after: Option<RecordAddress>,
        count: usize,
    ) -> Result<Vec<(RecordAddress, Timestamp)>, StoreError> {
        let listed = self.after(Kind::Records, after.map(|address| address.0), count)?;
        Ok(listed.into_iter().map(|(key, lease)| (RecordAddress(key), lease)).collect())
    }

    fn after(&self, kind: Kind, mut after: Option<Key>, count: usize) -> Result<Vec<(Key, Timestamp)>, StoreError> {
        let count = count.min(LISTED_MAX);
        let mut listed = Vec::new();
        while listed.len() < count {
            let asked = count - listed.len();
            let range = self.shared.index.range(kind, after.as_ref(), asked).map_err(|e| self.broken(e))?;
            after = range.last().map(|(key, _)| *key);
            let is_end = range.len() < asked;
            for (key, slot) in range {
                // A slot that was given away just now, or a damaged cell, is passed over.
                if let Ok(Cell::Held(entry)) = self.shared.files(kind).cell(slot)
                    && entry.key == key
                {
                    listed.push((key, entry.lease));
                }
            }
            if is_end {
                break;
            }
        }
        Ok(listed)
    }
}
