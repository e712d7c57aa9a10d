//! The body behind the header: wide-block layers, and in the innermost a sealed message.
//!
//! One layer is LIONESS (Anderson & Biham, "Two practical and provably secure block ciphers: BEAR and LION", FSE 1996),
//! over the whole body as one block, with `S` = ChaCha20 (RFC 8439, zero nonce) and `H` = keyed BLAKE3:
//!
//! ```text
//! L ‖ R = body, |L| = 32        K1 ‖ K2 ‖ K3 ‖ K4 = BLAKE3-derive_key[BODY_LAYER](seed), 128 bytes
//! encrypt   R ^= S(L ^ K1)   L ^= H(K2, R)   R ^= S(L ^ K3)   L ^= H(K4, R)
//! decrypt   the same four steps from last to first
//! ```
//!
//! So any change to a body turns all of it into noise at the next hop: no mark survives an honest relay. A key is used for
//! one body only, therefore the zero nonce.
//!
//! The message lies in it as `length u32 ‖ message ‖ zeros ‖ tag`, sealed under `BLAKE3-derive_key[BODY_SEAL](seed of the
//! last hop)`. All of it is done in the packet's own buffer.

use super::{Dropped, OnionError};
use crate::crypto;
use crate::labels::{BODY_LAYER, BODY_SEAL};
use crate::params::{FRAME_BYTES, TAG_BYTES};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use std::ops::Range;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a Sphinx payload key seed.
pub(super) const SEED_BYTES: usize = 16;
/// Bytes of LIONESS's short half: a key of `S`, an output of `H`.
const LEFT_BYTES: usize = 32;

/// What a hop and the sender share to derive the keys of a body from (`h_π` of the Sphinx paper).
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(super) struct Seed(pub(super) [u8; SEED_BYTES]);

/// The keys of one layer.
pub(super) struct Layer(Zeroizing<[[u8; 32]; 4]>);

impl Layer {
    pub(super) fn of(seed: &Seed) -> Layer {
        let mut keys = Zeroizing::new([[0; 32]; 4]);
        blake3::Hasher::new_derive_key(BODY_LAYER).update(&seed.0).finalize_xof().fill(keys.as_flattened_mut());
        Layer(keys)
    }

    /// Adds the layer, in place.
    pub(super) fn encrypt(&self, body: &mut [u8]) {
        let [k1, k2, k3, k4] = &*self.0;
        let (left, right) = halves(body);
        stream(left, k1, right);
        absorb(left, k2, right);
        stream(left, k3, right);
        absorb(left, k4, right);
    }

    /// Removes the layer, in place.
    pub(super) fn decrypt(&self, body: &mut [u8]) {
        let [k1, k2, k3, k4] = &*self.0;
        let (left, right) = halves(body);
        absorb(left, k4, right);
        stream(left, k3, right);
        absorb(left, k2, right);
        stream(left, k1, right);
    }
}

#[expect(clippy::expect_used, reason = "a body has one of two lengths, both longer")]
fn halves(body: &mut [u8]) -> (&mut [u8; LEFT_BYTES], &mut [u8]) {
    body.split_first_chunk_mut().expect("a body is longer than its left half")
}

/// `right ^= S(left ^ key)`
fn stream(left: &[u8; LEFT_BYTES], key: &[u8; 32], right: &mut [u8]) {
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(std::array::from_fn(|i| left[i] ^ key[i]));
    ChaCha20::new((&*key).into(), &[0; 12].into()).apply_keystream(right);
}

/// `left ^= H(key, right)`
fn absorb(left: &mut [u8; LEFT_BYTES], key: &[u8; 32], right: &[u8]) {
    let hash = blake3::keyed_hash(key, right);
    left.iter_mut().zip(hash.as_bytes()).for_each(|(l, h)| *l ^= h);
}

/// Writes the message, given in parts, into a body of zeros and seals it for the hop with `seed`.
pub(super) fn seal(seed: &Seed, body: &mut [u8], parts: &[&[u8]]) -> Result<(), OnionError> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    if length > body.len() - TAG_BYTES - FRAME_BYTES {
        return Err(OnionError::TooLong(length));
    }
    body[..FRAME_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    let mut at = FRAME_BYTES;
    for part in parts {
        body[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    crypto::seal_in_place(&crypto::derive_secret(BODY_SEAL, &seed.0), 0, body);
    Ok(())
}

/// Opens what [`seal`] made and says where in the body the message lies.
pub(super) fn open(seed: &Seed, body: &mut [u8]) -> Result<Range<usize>, Dropped> {
    crypto::open_in_place(&crypto::derive_secret(BODY_SEAL, &seed.0), 0, body).map_err(|_| Dropped::Body)?;
    let (frame, rest) = body.split_first_chunk::<FRAME_BYTES>().ok_or(Dropped::Body)?;
    let length = u32::from_le_bytes(*frame) as usize;
    // Who sealed it might still be careless or a tagger: the length and the padding are theirs to choose.
    let (text, _tag) = rest.split_at_checked(rest.len().wrapping_sub(TAG_BYTES)).ok_or(Dropped::Body)?;
    let padding = text.get(length..).ok_or(Dropped::Body)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(Dropped::Body);
    }
    Ok(FRAME_BYTES..FRAME_BYTES + length)
}

#[cfg(test)]
mod tests;
