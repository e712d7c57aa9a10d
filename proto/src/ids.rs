//! Typed 32-byte ids that cannot be swapped, and the keyspace in which they have places.

use crate::labels;
use crate::params::NODE_PUZZLE_BITS;
use sha2::{Digest, Sha256};
use std::fmt;

macro_rules! define_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The raw bytes.
            pub fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            /// Four bytes: enough to tell two apart while debugging, not enough to look one up.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:02x}{:02x}{:02x}{:02x}…)"), self.0[0], self.0[1], self.0[2], self.0[3])
            }
        }
    };
}

define_id! {
    /// A shard's name: the BLAKE3 hash of its 64 KiB.
    Locator
}
define_id! {
    /// A node's name and signing key: a raw Ed25519 public key. The libp2p peer id holds the same bytes.
    NodeId
}
define_id! {
    /// Where a record is kept.
    RecordAddress
}
define_id! {
    /// The hash that names a root descriptor. With it one may check and repair, not read.
    RootAddress
}
define_id! {
    /// A place in Kademlia's keyspace (256 bits, XOR metric).
    Position
}

/// A node's id shortened: enough to find it in a table that holds it.
pub type NodePrefix = [u8; 8];

/// The bytes in front of an Ed25519 key in a libp2p peer id: identity multihash of 36 bytes, protobuf key type 1, 32 bytes.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl NodeId {
    /// Whether the id has cost its work: `derive["palimpsest 1 node puzzle"](id)` begins with [`NODE_PUZZLE_BITS`] zero bits.
    /// A static puzzle, as S/Kademlia has it (Baumgart and Mies, 2007): over another hash than the place, so that nobody's
    /// place follows from it.
    pub fn is_worked(&self) -> bool {
        let hash = blake3::derive_key(labels::NODE_PUZZLE, &self.0);
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]).leading_zeros() >= NODE_PUZZLE_BITS
    }

    /// The first bytes.
    pub fn prefix(&self) -> NodePrefix {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        [a, b, c, d, e, f, g, h]
    }

    /// Kademlia's place of the node: SHA-256 of its peer id, exactly as libp2p-kad has it.
    pub fn position(&self) -> Position {
        Position(Sha256::new().chain_update(PEER_ID_PREFIX).chain_update(self.0).finalize().into())
    }
}

impl Locator {
    /// Kademlia's place of the shard: SHA-256 of its locator, as libp2p-kad has it for a record key.
    pub fn position(&self) -> Position {
        Position(Sha256::digest(self.0).into())
    }
}

impl RecordAddress {
    /// Kademlia's place of the record.
    pub fn position(&self) -> Position {
        Position(Sha256::digest(self.0).into())
    }
}

impl Position {
    /// The XOR distance, to be compared as a big-endian number.
    pub fn distance(&self, other: &Position) -> [u8; 32] {
        std::array::from_fn(|i| self.0[i] ^ other.0[i])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distance_is_a_metric_with_one_direction(a: [u8; 32], b: [u8; 32], c: [u8; 32]) {
            let (a, b, c) = (Position(a), Position(b), Position(c));
            prop_assert_eq!(a.distance(&a), [0; 32]);
            prop_assert_eq!(a.distance(&b), b.distance(&a));
            prop_assert_eq!(a.distance(&b) == a.distance(&c), b == c);
        }
    }

    /// The first worked ids among those that are a number in every fourth byte.
    #[test]
    fn an_id_in_a_thousand_is_worked() {
        let id = |number: u32| NodeId(std::array::from_fn(|i| number.to_le_bytes()[i % 4]));
        let worked: Vec<u32> = (0..10_000).filter(|number| id(*number).is_worked()).collect();
        assert_eq!(worked, [120, 1174, 2067, 2401, 3483, 4096, 5120, 5822, 6816, 9120]);
    }

    #[test]
    fn debug_shows_a_prefix_only() {
        assert_eq!(format!("{:?}", Locator([0xab; 32])), "Locator(abababab…)");
    }
}
