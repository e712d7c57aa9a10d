//! The 64 bytes of a slot file's header that say what a slot holds.
//!
//! ```text
//! key 32 ‖ lease 8 ‖ length 4 ‖ digest 12 ‖ check 8        all numbers little-endian
//! ```
//!
//! A cell never straddles a disk's sector, so that power loss leaves the old one or the new one. Its check covers the
//! slot's number too: a cell that went astray is no cell. The cell, not the index, is the truth about a slot.

use palimpsest_proto::coding::Shard;
use palimpsest_proto::crypto;
use palimpsest_proto::time::Timestamp;

/// Bytes of a cell.
pub(super) const CELL_BYTES: usize = 64;
const CHECKED_BYTES: usize = CELL_BYTES - 8;
/// The length in the cell of a slot that must not be used again; no content is that long.
const BAD_LENGTH: u32 = u32::MAX;

/// A locator's or a record address's bytes.
pub(super) type Key = [u8; 32];

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The name of the content.
    pub(super) key: Key,
    /// Until when it is wanted.
    pub(super) lease: Timestamp,
    /// Bytes of content.
    pub(super) len: u32,
    /// The beginning of the content's hash. For a shard it repeats the key.
    pub(super) digest: [u8; 12],
}

impl Entry {
    /// The entry for `bytes` under `key`.
    pub(super) fn of(key: Key, lease: Timestamp, bytes: &[u8]) -> Entry {
        Entry { key, lease, len: bytes.len() as u32, digest: digest(bytes) }
    }

    /// The entry for a shard, whose hash is known already.
    pub(super) fn of_shard(shard: &Shard, lease: Timestamp) -> Entry {
        let key = shard.locator().0;
        Entry { key, lease, len: shard.bytes().len() as u32, digest: array(&key[..12]) }
    }

    /// Whether `bytes` are the content.
    pub(super) fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() == self.len as usize && digest(bytes) == self.digest
    }
}

fn digest(bytes: &[u8]) -> [u8; 12] {
    array(&crypto::hash(bytes)[..12])
}

/// A cell, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    /// The slot may be written.
    Free,
    /// The slot holds something.
    Held(Entry),
    /// The slot lost what it held, and is not to be used again.
    Bad,
    /// The cell itself is damaged.
    Unreadable,
}

impl Cell {
    /// The bytes of the cell of `slot`.
    pub(super) fn encode(&self, slot: u32) -> [u8; CELL_BYTES] {
        let mut bytes = [0; CELL_BYTES];
        match self {
            // What `fallocate` leaves.
            Cell::Free | Cell::Unreadable => return bytes,
            Cell::Bad => bytes[40..44].copy_from_slice(&BAD_LENGTH.to_le_bytes()),
            Cell::Held(entry) => {
                bytes[..32].copy_from_slice(&entry.key);
                bytes[32..40].copy_from_slice(&entry.lease.0.to_le_bytes());
                bytes[40..44].copy_from_slice(&entry.len.to_le_bytes());
                bytes[44..56].copy_from_slice(&entry.digest);
            }
        }
        seal(&mut bytes, slot);
        bytes
    }

    /// Reads the cell of `slot`, whose content is at most `len_max` bytes long.
    pub(super) fn decode(bytes: &[u8; CELL_BYTES], slot: u32, len_max: usize) -> Cell {
        if bytes == &[0; CELL_BYTES] {
            return Cell::Free;
        }
        if !is_sealed(bytes, slot) {
            return Cell::Unreadable;
        }
        let len = u32::from_le_bytes(array(&bytes[40..44]));
        if len == BAD_LENGTH {
            return Cell::Bad;
        }
        if len as usize > len_max {
            return Cell::Unreadable;
        }
        Cell::Held(Entry {
            key: array(&bytes[..32]),
            lease: Timestamp(u64::from_le_bytes(array(&bytes[32..40]))),
            len,
            digest: array(&bytes[44..56]),
        })
    }
}

/// Writes the check over the rest of a cell.
pub(super) fn seal(bytes: &mut [u8; CELL_BYTES], slot: u32) {
    let check = check(bytes, slot);
    bytes[CHECKED_BYTES..].copy_from_slice(&check);
}

/// Whether a cell's check is right.
pub(super) fn is_sealed(bytes: &[u8; CELL_BYTES], slot: u32) -> bool {
    bytes[CHECKED_BYTES..] == check(bytes, slot)
}

fn check(bytes: &[u8; CELL_BYTES], slot: u32) -> [u8; 8] {
    let mut input = [0; CHECKED_BYTES + 4];
    input[..CHECKED_BYTES].copy_from_slice(&bytes[..CHECKED_BYTES]);
    input[CHECKED_BYTES..].copy_from_slice(&slot.to_le_bytes());
    array(&crypto::hash(&input)[..8])
}

/// `slice`, whose length is `N`.
fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(slice);
    array
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(key: Key, lease: u64, content in prop::collection::vec(any::<u8>(), 0..100), slot: u32) {
            let cell = Cell::Held(Entry::of(key, Timestamp(lease), &content));
            prop_assert_eq!(Cell::decode(&cell.encode(slot), slot, 100), cell);
            prop_assert_eq!(Cell::decode(&cell.encode(slot), slot ^ 1, 100), Cell::Unreadable);
        }

        #[test]
        fn a_changed_cell_is_unreadable(key: Key, bit in 0..CELL_BYTES * 8) {
            let mut bytes = Cell::Held(Entry::of(key, Timestamp(7), b"content")).encode(9);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Cell::decode(&bytes, 9, 100), Cell::Unreadable);
        }
    }

    #[test]
    fn a_bad_slot_stays_bad_and_zeros_are_free() {
        assert_eq!(Cell::decode(&Cell::Bad.encode(3), 3, 100), Cell::Bad);
        assert_eq!(Cell::decode(&[0; CELL_BYTES], 3, 100), Cell::Free);
    }

    #[test]
    fn a_length_over_the_slots_is_refused() {
        let cell = Cell::Held(Entry { key: [1; 32], lease: Timestamp(1), len: 101, digest: [0; 12] });
        assert_eq!(Cell::decode(&cell.encode(3), 3, 100), Cell::Unreadable);
    }
}
