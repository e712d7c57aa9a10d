//! A header's parts, and the keys that a hop and the sender have in common: what making a header (`build`) and reading it
//! (`header`) share. The format is that of `sphinx-packet` 0.8.0, packet version 260 (docs/protocol.md §13.1).
//!
//! ```text
//! header    α 32 ‖ γ 16 ‖ β 300
//! keys      h_ρ 16 ‖ h_μ 16 ‖ h_π 192 ‖ h_b 32 ‖ h_τ 32 = HKDF-SHA256(secret)
//! ```
//!
//! The body's seed is the first 16 bytes of `h_π`.

use super::body::{SEED_BYTES, Seed};
use crate::params::{HEADER_BYTES, HOPS_MAX};
use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr64BE;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

pub(super) const ALPHA_BYTES: usize = 32;
pub(super) const MAC_BYTES: usize = 16;
/// By what β grows with a hop: flag, version, next hop, delay, MAC.
pub(super) const STEP_BYTES: usize = 1 + 3 + 32 + 8 + MAC_BYTES;
pub(super) const BETA_BYTES: usize = STEP_BYTES * HOPS_MAX;
/// β and the zeros that a relay appends before it removes its layer.
pub(super) const STREAM_BYTES: usize = BETA_BYTES + STEP_BYTES;
/// Flag, version, destination, identifier.
pub(super) const LAST_BYTES: usize = 1 + 3 + 32 + 16;
const _: () = assert!(ALPHA_BYTES + MAC_BYTES + BETA_BYTES == HEADER_BYTES);
const _: () = assert!(LAST_BYTES <= STEP_BYTES);

pub(super) const FLAG_RELAY: u8 = 1;
pub(super) const FLAG_LAST: u8 = 2;
/// 260: a reply block has the last hop's seed only.
pub(super) const VERSION: [u8; 3] = [0, 1, 4];

/// What tells the expansion of a shared secret from other uses of HKDF.
pub(super) const HKDF_INFO: &[u8] =
    b"Dwste mou enan moxlo arketa makru kai ena upomoxlio gia na ton topothetisw kai tha kinisw thn gh.";

/// What HKDF makes of a hop's secret.
pub(super) struct Keys(Zeroizing<[u8; Keys::HOP]>);

impl Keys {
    const PI: usize = 32;
    const B: usize = Keys::PI + 192;
    const TAU: usize = Keys::B + 32;
    /// How many bytes the hop itself uses.
    pub(super) const HOP: usize = Keys::TAU + 32;
    /// How many the sender uses of a relay's: the replay tag is the hop's affair.
    pub(super) const RELAY: usize = Keys::TAU;
    /// How many the sender uses of the last hop's, which blinds nothing.
    pub(super) const LAST: usize = Keys::PI + SEED_BYTES;

    /// The first `length` bytes of them; the others stay zero and are not to be asked for.
    #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
    pub(super) fn expand(secret: &[u8; 32], length: usize) -> Keys {
        let mut keys = Zeroizing::new([0; Keys::HOP]);
        Hkdf::<Sha256>::new(None, secret).expand(HKDF_INFO, &mut keys[..length]).expect("at most 288 bytes");
        Keys(keys)
    }

    #[expect(clippy::expect_used, reason = "called with the constants of this block")]
    fn part<const N: usize>(&self, at: usize) -> &[u8; N] {
        self.0[at..].first_chunk().expect("a part of the keys")
    }

    /// The stream that hides β.
    pub(super) fn rho(&self) -> Zeroizing<[u8; STREAM_BYTES]> {
        let mut stream = Zeroizing::new([0; STREAM_BYTES]);
        Ctr64BE::<Aes128>::new(self.part::<16>(0).into(), &[0; 16].into()).apply_keystream(&mut stream[..]);
        stream
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn hmac(&self, beta: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.part::<16>(16)).expect("a key of any length");
        mac.update(beta);
        mac
    }

    /// γ of this β.
    pub(super) fn mac(&self, beta: &[u8; BETA_BYTES]) -> [u8; MAC_BYTES] {
        let mac = self.hmac(beta).finalize().into_bytes();
        std::array::from_fn(|i| mac[i])
    }

    /// Whether γ is that of β, in a time that does not tell where they differ.
    pub(super) fn is_mac(&self, gamma: &[u8], beta: &[u8]) -> bool {
        gamma.len() == MAC_BYTES && self.hmac(beta).verify_truncated_left(gamma).is_ok()
    }

    pub(super) fn seed(&self) -> Seed {
        Seed(*self.part(Keys::PI))
    }

    pub(super) fn blinding(&self) -> &[u8; 32] {
        self.part(Keys::B)
    }

    /// What a replay has in common with the first packet, whatever was done to the bytes of its α.
    pub(super) fn replay_tag(&self) -> u64 {
        u64::from_le_bytes(*self.part(Keys::TAU))
    }
}

pub(super) fn xor(bytes: &mut [u8], with: &[u8]) {
    for (byte, other) in bytes.iter_mut().zip(with) {
        *byte ^= other;
    }
}

/// Lays the parts end to end.
pub(super) fn lay(mut to: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let (start, rest) = to.split_at_mut(part.len());
        start.copy_from_slice(part);
        to = rest;
    }
}
