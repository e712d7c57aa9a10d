//! Making a header: the algorithm of the Sphinx paper (Danezis & Goldberg, 2009, §3.2) in its names, byte for byte what
//! `sphinx-packet` 0.8.0 makes as version 260, at one multiplication of a point per hop instead of one per hop and factor.
//!
//! ```text
//! header    α_0 32 ‖ γ_0 16 ‖ β_0 300
//! secrets   α_0 = x·G      s_i = (x·b_0·…·b_{i-1})·y_i, y_i the key of hop i
//!           h_ρ 16 ‖ h_μ 16 ‖ h_π 192 ‖ h_b 32 = HKDF-SHA256(s_i)     b_i = h_b(s_i), clamped as X25519 does
//!           ρ_i = AES128-CTR(h_ρ(s_i)), 360 bytes     γ_i = HMAC-SHA256(h_μ(s_i), β_i), 16 bytes
//! filler    φ_0 = empty    φ_{i+1} = (φ_i ‖ 0^60) ^ last bytes of ρ_i
//! last      β = ((02 ‖ 00 01 04 ‖ Δ = 0^32 ‖ I 16 ‖ random) ^ ρ) ‖ φ
//! relay i   β_i = (01 ‖ 00 01 04 ‖ n_{i+1} 32 ‖ delay 8 ‖ γ_{i+1} ‖ first 240 of β_{i+1}) ^ ρ_i
//! ```
//!
//! The body's seed is the first 16 bytes of `h_π`. All randomness is the caller's.

use super::OnionError;
use super::body::{SEED_BYTES, Seed};
use super::header::HKDF_INFO;
use super::reply::Identifier;
use super::route::Hop;
use crate::params::{DELAY_MS_MAX, HEADER_BYTES, HOPS_MAX, REPLY_BLOCK_BYTES};
use aes::Aes128;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr64BE;
use curve25519_dalek::scalar::{Scalar, clamp_integer};
use curve25519_dalek::{EdwardsPoint, MontgomeryPoint};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use rand_core::CryptoRng;
use sha2::Sha256;
use std::sync::LazyLock;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

#[cfg(test)]
mod tests;

const ALPHA_BYTES: usize = 32;
const MAC_BYTES: usize = 16;
/// By what β grows with a hop: flag, version, next hop, delay, MAC.
const STEP_BYTES: usize = 1 + 3 + 32 + 8 + MAC_BYTES;
const BETA_BYTES: usize = STEP_BYTES * HOPS_MAX;
/// β and the zeros that a relay appends before it removes its layer.
const STREAM_BYTES: usize = BETA_BYTES + STEP_BYTES;
/// Flag, version, destination, identifier.
const LAST_BYTES: usize = 1 + 3 + 32 + 16;
const _: () = assert!(ALPHA_BYTES + MAC_BYTES + BETA_BYTES == HEADER_BYTES);
const _: () = assert!(LAST_BYTES <= STEP_BYTES);

const FLAG_RELAY: u8 = 1;
const FLAG_LAST: u8 = 2;
/// 260: a reply block has the last hop's seed only.
const VERSION: [u8; 3] = [0, 1, 4];

/// 8⁻¹ modulo the order of the group.
static EIGHTH: LazyLock<Scalar> = LazyLock::new(|| Scalar::from(8_u8).invert());

/// A header as its maker has it.
pub(super) struct Built {
    /// header ‖ first hop ‖ last seed: the reply block's bytes.
    pub(super) block: Zeroizing<[u8; REPLY_BLOCK_BYTES]>,
    /// One per hop, in the route's order; never empty.
    pub(super) seeds: Vec<Seed>,
}

/// Builds a header for `route`. The identifier is what the last hop gets to see.
pub(super) fn header(rng: &mut impl CryptoRng, route: &[Hop], identifier: &Identifier) -> Result<Built, OnionError> {
    let (Some(first), 1..=HOPS_MAX) = (route.first(), route.len()) else {
        return Err(OnionError::Route(route.len()));
    };
    if let Some(hop) = route.iter().find(|hop| hop.delay > Duration::from_millis(DELAY_MS_MAX)) {
        return Err(OnionError::Delay(hop.delay));
    }
    let mut x = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *x);
    let keys = keys(&x, route)?;
    let (beta, gamma) = routing(rng, route, &keys, identifier);
    let seeds: Vec<Seed> = keys.iter().map(Keys::seed).collect();

    let alpha = EdwardsPoint::mul_base_clamped(*x).to_montgomery();
    let last_seed = &seeds[route.len() - 1].0;
    let mut block = Zeroizing::new([0; REPLY_BLOCK_BYTES]);
    lay(&mut block[..], &[alpha.as_bytes(), &gamma, &beta, &first.address.0, last_seed]);
    Ok(Built { block, seeds })
}

/// Lays the parts end to end.
fn lay(mut to: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let (start, rest) = to.split_at_mut(part.len());
        start.copy_from_slice(part);
        to = rest;
    }
}

fn xor(bytes: &mut [u8], with: &[u8]) {
    for (byte, other) in bytes.iter_mut().zip(with) {
        *byte ^= other;
    }
}

/// β_0 and γ_0, made from the last hop to the first; there are as many keys as hops, and at least one.
fn routing(
    rng: &mut impl CryptoRng,
    route: &[Hop],
    keys: &[Keys],
    identifier: &Identifier,
) -> ([u8; BETA_BYTES], [u8; MAC_BYTES]) {
    let streams: Vec<_> = keys.iter().map(Keys::rho).collect();
    let mut beta = [0; BETA_BYTES];
    let relays = keys.len() - 1;

    let (own, phi) = beta.split_at_mut(BETA_BYTES - relays * STEP_BYTES);
    for (i, rho) in streams[..relays].iter().enumerate() {
        let length = (i + 1) * STEP_BYTES;
        xor(&mut phi[..length], &rho[STREAM_BYTES - length..]);
    }
    // The last hop knows itself; the field in which other networks name it stays empty. The paper's padding is of zeros:
    // they tell the last hop how long the route is (Kuhn et al., "Breaking and (partially) fixing provably secure onion
    // routing", 2020).
    lay(own, &[&[FLAG_LAST], &VERSION, &[0; 32], &identifier.0]);
    rng.fill_bytes(&mut own[LAST_BYTES..]);
    xor(own, &streams[relays][..]);
    let mut gamma = keys[relays].mac(&beta);

    for (i, rho) in streams[..relays].iter().enumerate().rev() {
        let delay = route[i].delay.as_nanos() as u64;
        beta.copy_within(..BETA_BYTES - STEP_BYTES, STEP_BYTES);
        lay(&mut beta, &[&[FLAG_RELAY], &VERSION, &route[i + 1].address.0, &delay.to_be_bytes(), &gamma]);
        xor(&mut beta, &rho[..]);
        gamma = keys[i].mac(&beta);
    }
    (beta, gamma)
}

/// The keys that the sender shares with each hop.
fn keys(x: &[u8; 32], route: &[Hop]) -> Result<Vec<Keys>, OnionError> {
    let mut factors = Factors::new(x);
    let mut keys = Vec::with_capacity(route.len());
    for (i, hop) in route.iter().enumerate() {
        let secret = factors.times(MontgomeryPoint(hop.key.0));
        // What is sealed with zero is sealed for nobody: everybody gets it from a key of small order.
        if *secret == [0; 32] {
            return Err(OnionError::Key);
        }
        let last = i + 1 == route.len();
        let expanded = Keys::expand(&secret, if last { Keys::LAST } else { Keys::RELAY });
        if !last {
            factors.push(expanded.blinding());
        }
        keys.push(expanded);
    }
    Ok(keys)
}

/// x, b_0, b_1, …: what the key of the next hop is to be multiplied by.
struct Factors {
    /// Each for itself, not yet clamped; never grown beyond its capacity.
    all: Zeroizing<Vec<[u8; 32]>>,
    /// Their product, clamped, modulo the order ℓ of the base point, an eighth of it.
    eighth: Zeroizing<Scalar>,
}

impl Factors {
    fn new(x: &[u8; 32]) -> Factors {
        let all = Zeroizing::new(Vec::with_capacity(HOPS_MAX));
        let mut factors = Factors { all, eighth: Zeroizing::new(*EIGHTH) };
        factors.push(x);
        factors
    }

    fn push(&mut self, factor: &[u8; 32]) {
        let mut scalar = Scalar::from_bytes_mod_order(clamp_integer(*factor));
        *self.eighth *= scalar;
        scalar.zeroize();
        self.all.push(*factor);
    }

    /// What X25519 with one factor after the other would give.
    ///
    /// The order of a point of the curve divides 8ℓ and the product is a multiple of 8: so it is the eighth of the
    /// product, modulo ℓ, times eight times the point. The curve's twist has another order. An honest key is never there,
    /// but half of all strings of bytes are, so that a hostile node may name one: there we do multiply one after the other.
    fn times(&self, key: MontgomeryPoint) -> Zeroizing<[u8; 32]> {
        let shared = match key.to_edwards(0) {
            Some(point) => (point.mul_by_cofactor() * *self.eighth).to_montgomery(),
            None => self.all.iter().fold(key, |point, factor| point.mul_clamped(*factor)),
        };
        Zeroizing::new(shared.to_bytes())
    }
}

/// What HKDF makes of a hop's secret; the replay tag that follows is the hop's affair.
struct Keys(Zeroizing<[u8; Keys::RELAY]>);

impl Keys {
    const PI: usize = 32;
    const B: usize = Keys::PI + 192;
    /// How many bytes are used of a relay's.
    const RELAY: usize = Keys::B + 32;
    /// How many are of the last hop's, which blinds nothing.
    const LAST: usize = Keys::PI + SEED_BYTES;

    #[expect(clippy::expect_used, reason = "HKDF-SHA256 gives up to 8160 bytes")]
    fn expand(secret: &[u8; 32], length: usize) -> Keys {
        let mut keys = Zeroizing::new([0; Keys::RELAY]);
        Hkdf::<Sha256>::new(None, secret).expand(HKDF_INFO, &mut keys[..length]).expect("at most 256 bytes");
        Keys(keys)
    }

    #[expect(clippy::expect_used, reason = "called with the constants of this block")]
    fn part<const N: usize>(&self, at: usize) -> &[u8; N] {
        self.0[at..].first_chunk().expect("a part of the keys")
    }

    fn rho(&self) -> Zeroizing<[u8; STREAM_BYTES]> {
        let mut stream = Zeroizing::new([0; STREAM_BYTES]);
        Ctr64BE::<Aes128>::new(self.part::<16>(0).into(), &[0; 16].into()).apply_keystream(&mut stream[..]);
        stream
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn mac(&self, beta: &[u8; BETA_BYTES]) -> [u8; MAC_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.part::<16>(16)).expect("a key of any length");
        mac.update(beta);
        let mac = mac.finalize().into_bytes();
        std::array::from_fn(|i| mac[i])
    }

    fn seed(&self) -> Seed {
        Seed(*self.part(Keys::PI))
    }

    fn blinding(&self) -> &[u8; 32] {
        self.part(Keys::B)
    }
}
