//! The primitives, each one function in its specification's notation over a library.

use crate::ids::NodeId;
use crate::params::TAG_BYTES;
use crate::secret::Secret;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroize;

/// What was checked is not authentic. It says no more: a reason would help a forger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not authentic")]
pub struct NotAuthentic;

/// `BLAKE3(bytes)`.
pub fn hash(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

/// `BLAKE3-derive_key[label](material)`, of public material.
pub fn derive(label: &'static str, material: &[u8]) -> [u8; 32] {
    blake3::derive_key(label, material)
}

/// `BLAKE3-derive_key[label](secret)`.
pub fn derive_secret(label: &'static str, secret: &[u8]) -> Secret {
    Secret::new(blake3::derive_key(label, secret))
}

/// `BLAKE3-keyed[BLAKE3-derive_key[label](secret)](bytes)`.
pub fn keyed_hash(label: &'static str, secret: &Secret, bytes: &[u8]) -> [u8; 32] {
    keyed_hash_parts(label, secret, [bytes])
}

/// [`keyed_hash`] of parts laid end to end, for bytes that do not lie together in memory.
pub fn keyed_hash_parts<'a>(
    label: &'static str,
    secret: &Secret,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> [u8; 32] {
    let mut key = blake3::derive_key(label, secret.expose());
    let mut hasher = blake3::Hasher::new_keyed(&key);
    key.zeroize();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The nonce that is `number` in its first eight bytes, little-endian, and zero in the others. A key is used with each
/// number once.
fn nonce(number: u64) -> chacha20poly1305::Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce.into()
}

/// `ChaCha20-Poly1305(key, nonce = number)` (RFC 8439) in place: the last [`TAG_BYTES`] of `bytes` become the tag over
/// what is in front of them.
///
/// # Panics
/// If `bytes` is shorter than a tag: our own mistake.
pub fn seal_in_place(key: &Secret, number: u64, bytes: &mut [u8]) {
    let (text, tag) = bytes.split_at_mut(bytes.len() - TAG_BYTES);
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    #[expect(clippy::expect_used, reason = "fails only beyond 256 GiB")]
    let made = cipher.encrypt_inout_detached(&nonce(number), b"", text.into()).expect("a short text");
    tag.copy_from_slice(&made);
}

/// Opens what [`seal_in_place`] made; the plaintext is `bytes` less its last [`TAG_BYTES`].
pub fn open_in_place(key: &Secret, number: u64, bytes: &mut [u8]) -> Result<(), NotAuthentic> {
    let split = bytes.len().checked_sub(TAG_BYTES).ok_or(NotAuthentic)?;
    let (text, tag) = bytes.split_at_mut(split);
    let tag = chacha20poly1305::Tag::try_from(&*tag).map_err(|_| NotAuthentic)?;
    let cipher = ChaCha20Poly1305::new(key.expose().into());
    cipher.decrypt_inout_detached(&nonce(number), b"", text.into(), &tag).map_err(|_| NotAuthentic)
}

/// A node's signing key (Ed25519, RFC 8032); zeroised when dropped.
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// The key of the seed, whatever its id.
    pub fn from_seed(seed: &Secret) -> NodeKey {
        NodeKey(SigningKey::from_bytes(seed.expose()))
    }

    /// A key whose id has cost its work ([`NodeId::is_worked`]), and its seed: draws keys until one serves.
    pub fn search(rng: &mut impl CryptoRng) -> (Secret, NodeKey) {
        loop {
            let seed = Secret::random(rng);
            let key = NodeKey::from_seed(&seed);
            if key.id().is_worked() {
                return (seed, key);
            }
        }
    }

    /// The public half.
    pub fn id(&self) -> NodeId {
        NodeId(self.0.verifying_key().to_bytes())
    }

    /// `Ed25519(key, label ‖ 0 ‖ bytes)`.
    pub fn sign(&self, label: &'static str, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(&labelled(label, bytes)).to_bytes()
    }
}

impl std::fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[secret]")
    }
}

/// Checks what [`NodeKey::sign`] made, strictly (no small-order keys, no second form of a signature).
pub fn verify(id: &NodeId, label: &'static str, bytes: &[u8], signature: &[u8; 64]) -> Result<(), NotAuthentic> {
    let key = VerifyingKey::from_bytes(&id.0).map_err(|_| NotAuthentic)?;
    key.verify_strict(&labelled(label, bytes), &Signature::from_bytes(signature)).map_err(|_| NotAuthentic)
}

fn labelled(label: &'static str, bytes: &[u8]) -> Vec<u8> {
    [label.as_bytes(), &[0], bytes].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_once_and_only_unchanged() {
        let key = Secret::new([7; 32]);
        let mut bytes = *b"a short text and room for a tag.";
        seal_in_place(&key, 3, &mut bytes);
        let sealed = bytes;
        assert_eq!(open_in_place(&key, 3, &mut bytes), Ok(()));
        assert_eq!(&bytes[..16], b"a short text and");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open_in_place(&key, 3, &mut changed), Err(NotAuthentic));
        }
        assert_eq!(open_in_place(&key, 4, &mut sealed.clone()), Err(NotAuthentic));
        assert_eq!(open_in_place(&key, 3, &mut [0; 15]), Err(NotAuthentic));
    }

    #[test]
    fn a_searched_key_is_worked_and_that_of_its_seed() {
        let (seed, key) = NodeKey::search(&mut rand::rng());
        assert!(key.id().is_worked());
        assert_eq!(NodeKey::from_seed(&seed).id(), key.id());
    }

    #[test]
    fn signatures_are_bound_to_label_and_signer() {
        let key = NodeKey::from_seed(&Secret::new([1; 32]));
        let other = NodeKey::from_seed(&Secret::new([2; 32]));
        let signature = key.sign("a", b"text");
        assert_eq!(verify(&key.id(), "a", b"text", &signature), Ok(()));
        assert_eq!(verify(&key.id(), "b", b"text", &signature), Err(NotAuthentic));
        assert_eq!(verify(&key.id(), "a", b"test", &signature), Err(NotAuthentic));
        assert_eq!(verify(&other.id(), "a", b"text", &signature), Err(NotAuthentic));
    }
}
