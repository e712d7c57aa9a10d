//! What may be on the disk: a hard bound over everything in the store's folder.

use super::error::StoreError;
use super::files::{Kind, SLOTS_PER_FILE};

/// Bytes for the folders, the lock, and what the file system rounds up.
const FIXED_BYTES: u64 = 64 * 1024;
/// Bytes that an index of few names may take: sled's first segments, and the snapshot beside the log.
const INDEX_BYTES_LEAST: u64 = 2 * 1024 * 1024;
/// The index's part of the quota. A name was measured to cost 170 to 220 bytes, with the log's dead parts.
const INDEX_PART: u64 = 128;
/// The part of the quota that shards leave to records: a node is near to as many records as to 1/10 of its shards' bytes.
const RECORDS_PART_LEAST: u64 = 16;
/// The part of the quota that records may take at most.
const RECORDS_PART_MOST: u64 = 4;

/// The bound, divided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quota {
    bytes: u64,
}

/// What is in use.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Files of shards and of records.
    pub(super) files: [u64; 2],
    /// Bytes of the index, as last measured.
    pub(super) index_bytes: u64,
}

impl Tally {
    fn file_bytes(&self, kind: Kind) -> u64 {
        self.files[kind as usize] * kind.file_bytes()
    }

    /// Bytes on the disk.
    pub(super) fn bytes(&self) -> u64 {
        FIXED_BYTES + self.file_bytes(Kind::Shards) + self.file_bytes(Kind::Records) + self.index_bytes
    }
}

impl Quota {
    /// The quota, if it has room for one file of each kind.
    pub(super) fn new(bytes: u64) -> Result<Quota, StoreError> {
        let quota = Quota { bytes };
        let one_each = Tally { files: [1, 1], index_bytes: 0 };
        if quota.index_bytes_max() + one_each.bytes() > bytes || quota.shard_files_max() == 0 {
            // With both parts rounded, twice the index's least part is enough in any case.
            let least_bytes = one_each.bytes() * 17 / 16 + 2 * INDEX_BYTES_LEAST;
            return Err(StoreError::QuotaTooSmall { quota_bytes: bytes, least_bytes });
        }
        Ok(quota)
    }

    /// The bound in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn index_bytes_max(&self) -> u64 {
        INDEX_BYTES_LEAST + self.bytes / INDEX_PART
    }

    /// Bytes that the files may take together.
    fn files_bytes_max(&self) -> u64 {
        self.bytes.saturating_sub(self.index_bytes_max() + FIXED_BYTES)
    }

    fn records_bytes_least(&self) -> u64 {
        (self.bytes / RECORDS_PART_LEAST).next_multiple_of(Kind::Records.file_bytes())
    }

    /// Files of shards at most.
    pub(super) fn shard_files_max(&self) -> u64 {
        self.files_bytes_max().saturating_sub(self.records_bytes_least()) / Kind::Shards.file_bytes()
    }

    /// Shards that fit at most.
    pub(super) fn shards_max(&self) -> u64 {
        self.shard_files_max() * u64::from(SLOTS_PER_FILE)
    }

    /// Whether one more file may be made.
    pub(super) fn allows_file(&self, kind: Kind, tally: &Tally) -> bool {
        let files = tally.file_bytes(Kind::Shards) + tally.file_bytes(Kind::Records);
        let share = match kind {
            Kind::Shards => tally.files[0] < self.shard_files_max(),
            Kind::Records => {
                tally.files[1] == 0 || tally.file_bytes(kind) + kind.file_bytes() <= self.bytes / RECORDS_PART_MOST
            }
        };
        share && files + kind.file_bytes() <= self.files_bytes_max()
    }

    /// Whether one more name may be held in the files there are.
    pub(super) fn allows_name(&self, tally: &Tally) -> bool {
        tally.bytes() <= self.bytes && tally.index_bytes <= self.index_bytes_max() - INDEX_BYTES_LEAST / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn files_never_pass_the_quota(bytes in 0u64..1 << 40, records_first: bool) {
            let Ok(quota) = Quota::new(bytes) else { return Ok(()) };
            let mut tally = Tally { files: [0, 0], index_bytes: 0 };
            let kinds = if records_first { [Kind::Records, Kind::Shards] } else { Kind::ALL };
            for kind in kinds {
                // Leaps, since the quotas are wide.
                for step in (0..32).rev().map(|n| 1u64 << n) {
                    loop {
                        let mut next = tally;
                        next.files[kind as usize] += step - 1;
                        if !quota.allows_file(kind, &next) { break }
                        tally.files[kind as usize] += step;
                    }
                }
                prop_assert!(tally.files[kind as usize] > 0);
            }
            tally.index_bytes = quota.index_bytes_max();
            prop_assert!(tally.bytes() <= bytes);
        }
    }

    #[test]
    fn the_least_quota_is_said_and_is_enough() {
        let Err(StoreError::QuotaTooSmall { least_bytes, .. }) = Quota::new(1) else { panic!("one byte is too small") };
        assert!(Quota::new(least_bytes).is_ok());
    }
}
