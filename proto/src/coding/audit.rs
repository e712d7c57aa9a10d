//! Audits: one leaf of a shard, proven against the locator by BLAKE3's own tree, so that a holder shows in a small packet
//! that it has what it said it keeps. The decision: docs/decisions/0007-audit-proofs.md.
//!
//! A shard is 64 leaves of 1 KiB (BLAKE3 calls them chunks) under a full binary tree of six levels; its root is the
//! locator.
//!
//! ```text
//! proof    leaf 1,024 ‖ 6 × the hash of the neighbouring subtree 32, from the leaf's own neighbour upwards
//! ```

use crate::coding::Shard;
use crate::ids::Locator;
use crate::params::{AUDIT_LEAF_BYTES, AUDIT_LEAVES, PROOF_BYTES, PROOF_LEVELS};
use blake3::Hasher;
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use bytes::Bytes;
use thiserror::Error;

const HASH_BYTES: usize = 32;

/// The bytes are no proof that the leaf is part of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a proof of that part of the shard")]
pub struct NotProven;

/// The number of one of a shard's [`AUDIT_LEAVES`] leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Leaf(u8);

impl Leaf {
    /// The leaf of the number; `None` beyond the last one.
    pub fn new(number: u8) -> Option<Leaf> {
        (usize::from(number) < AUDIT_LEAVES).then_some(Leaf(number))
    }

    /// A leaf out of a random number, each equally likely.
    pub fn from_random(random: u64) -> Leaf {
        Leaf((random % AUDIT_LEAVES as u64) as u8)
    }

    /// The number.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// The hash of the subtree of `level` (0: one leaf) that covers the `number`-th run of 2^level leaves.
fn subtree(bytes: &[u8], level: usize, number: usize) -> ChainingValue {
    Hasher::new().set_input_offset(((number << level) * AUDIT_LEAF_BYTES) as u64).update(bytes).finalize_non_root()
}

/// The proof that `leaf` is part of the shard: [`PROOF_BYTES`] of it.
pub fn prove(shard: &Shard, leaf: Leaf) -> Bytes {
    let leaf = usize::from(leaf.0);
    let run = |level: usize, number: usize| {
        let length = AUDIT_LEAF_BYTES << level;
        &shard.bytes()[number * length..(number + 1) * length]
    };
    let mut proof = Vec::with_capacity(PROOF_BYTES);
    proof.extend_from_slice(run(0, leaf));
    for level in 0..PROOF_LEVELS {
        let neighbour = (leaf >> level) ^ 1;
        proof.extend_from_slice(&subtree(run(level, neighbour), level, neighbour));
    }
    proof.into()
}

/// Whether `proof` shows that its first [`AUDIT_LEAF_BYTES`] are that leaf of the shard of that name.
pub fn verify(locator: &Locator, leaf: Leaf, proof: &[u8]) -> Result<(), NotProven> {
    let proof: &[u8; PROOF_BYTES] = proof.try_into().map_err(|_| NotProven)?;
    let (bytes, neighbours) = proof.split_at(AUDIT_LEAF_BYTES);
    let (neighbours, _) = neighbours.as_chunks::<HASH_BYTES>();
    let number = usize::from(leaf.0);
    let mut hash = subtree(bytes, 0, number);
    let mut root = None;
    for (level, neighbour) in neighbours.iter().enumerate() {
        let (left, right) = if (number >> level) & 1 == 0 { (&hash, neighbour) } else { (neighbour, &hash) };
        if level + 1 == PROOF_LEVELS {
            root = Some(merge_subtrees_root(left, right, Mode::Hash));
        } else {
            hash = merge_subtrees_non_root(left, right, Mode::Hash);
        }
    }
    if root == Some(blake3::Hash::from_bytes(locator.0)) { Ok(()) } else { Err(NotProven) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto;
    use crate::params::SHARD_BYTES;
    use proptest::prelude::*;

    /// A shard whose leaves all differ.
    fn shard(seed: u8) -> Shard {
        let bytes: Vec<u8> = (0..SHARD_BYTES / 32)
            .flat_map(|i| crypto::hash(&[&[seed][..], &(i as u32).to_le_bytes()].concat()))
            .collect();
        Shard::new(bytes.into()).unwrap()
    }

    fn leaf() -> impl Strategy<Value = Leaf> {
        any::<u64>().prop_map(Leaf::from_random)
    }

    #[test]
    fn every_leaf_is_proven_and_for_itself_only() {
        let shard = shard(0);
        let leaves: Vec<Leaf> = (0..=u8::MAX).filter_map(Leaf::new).collect();
        assert_eq!(leaves.len(), AUDIT_LEAVES);
        for &leaf in &leaves {
            let proof = prove(&shard, leaf);
            assert_eq!(proof.len(), PROOF_BYTES);
            let at = usize::from(leaf.number()) * AUDIT_LEAF_BYTES;
            assert_eq!(proof[..AUDIT_LEAF_BYTES], shard.bytes()[at..at + AUDIT_LEAF_BYTES]);
            for &other in &leaves {
                assert_eq!(verify(&shard.locator(), other, &proof).is_ok(), other == leaf);
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let shard = shard(1);
        let leaf = Leaf::new(37).unwrap();
        let proof = prove(&shard, leaf).to_vec();
        for bit in 0..proof.len() * 8 {
            let mut changed = proof.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&shard.locator(), leaf, &changed), Err(NotProven), "bit {bit}");
        }
        for bit in 0..256 {
            let mut locator = shard.locator();
            locator.0[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&locator, leaf, &proof), Err(NotProven), "bit {bit}");
        }
    }

    /// Leaves that are all alike still hash to their places' own values.
    #[test]
    fn equal_leaves_are_told_apart() {
        let shard = Shard::new(vec![7; SHARD_BYTES].into()).unwrap();
        let [first, second] = [0, 1].map(|number| Leaf::new(number).unwrap());
        let proof = prove(&shard, first);
        assert_eq!(verify(&shard.locator(), first, &proof), Ok(()));
        assert_eq!(verify(&shard.locator(), second, &proof), Err(NotProven));
    }

    /// Known answers, as in docs/protocol.md: locator, the first hash's beginning, the hash of the whole proof.
    #[test]
    fn vectors() {
        type Known<'a> = (&'a str, &'a str, &'a str);
        let proof = |bytes: Vec<u8>, number| {
            let shard = Shard::new(bytes.into()).unwrap();
            let proof = prove(&shard, Leaf::new(number).unwrap());
            let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
            (hex(&shard.locator().0), hex(&proof[AUDIT_LEAF_BYTES..AUDIT_LEAF_BYTES + 8]), hex(&crypto::hash(&proof)))
        };
        let check = |bytes, number, known: Known| {
            let (locator, first, hash) = proof(bytes, number);
            assert_eq!((&*locator, &*first, &*hash), known);
        };
        check(
            vec![0; SHARD_BYTES],
            0,
            (
                "3bdeaf8f8e98780b318106aafdc3ca257f73df123d97b69112b26044c91a7d56",
                "f0eef3b0033abb62",
                "133c241faf4b0e4309f25047c21ea7cdf557825162bdf17570e566ffc00dbe44",
            ),
        );
        check(
            (0..SHARD_BYTES).map(|i| (i % 251) as u8).collect(),
            63,
            (
                "68d647e619a930e7b1082f74f334b0c65a315725569bdc123f0ee11881717bfe",
                "f4ef9a2f0e049dd2",
                "f9070a6283a607e8f890276ed4e4c36e978589aa7560560e99913a73e732f41b",
            ),
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_proof_fits_its_shard_only(a: u8, b: u8, leaf in leaf()) {
            let (one, other) = (shard(a), shard(b));
            prop_assert_eq!(verify(&other.locator(), leaf, &prove(&one, leaf)).is_ok(), a == b);
        }

        #[test]
        fn other_lengths_and_rubbish_are_refused(leaf in leaf(), rubbish in prop::collection::vec(any::<u8>(), 0..1500)) {
            let shard = shard(3);
            prop_assert_eq!(verify(&shard.locator(), leaf, &rubbish), Err(NotProven));
            let proof = prove(&shard, leaf);
            let longer = [&proof[..], &rubbish].concat();
            prop_assert_eq!(verify(&shard.locator(), leaf, &longer).is_ok(), rubbish.is_empty());
            let shorter = &proof[..proof.len().saturating_sub(rubbish.len())];
            prop_assert_eq!(verify(&shard.locator(), leaf, shorter).is_ok(), rubbish.is_empty());
        }
    }
}
