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
use super::body::Seed;
use super::curve::{self, Factors, Point};
use super::format::{
    BETA_BYTES, FLAG_LAST, FLAG_RELAY, Keys, LAST_BYTES, MAC_BYTES, STEP_BYTES, STREAM_BYTES, VERSION, lay, xor,
};
use super::reply::Identifier;
use super::route::Hop;
use crate::params::{DELAY_MS_MAX, HOPS_MAX, REPLY_BLOCK_BYTES};
use rand_core::CryptoRng;
use std::time::Duration;
use zeroize::Zeroizing;

#[cfg(test)]
mod tests;

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

    let alpha = curve::public(&x);
    let last_seed = &seeds[route.len() - 1].0;
    let mut block = Zeroizing::new([0; REPLY_BLOCK_BYTES]);
    lay(&mut block[..], &[&alpha, &gamma, &beta, &first.address.0, last_seed]);
    Ok(Built { block, seeds })
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
    // x, b_0, b_1, …: what the key of the next hop is to be multiplied by.
    let mut factors = Factors::new(x, HOPS_MAX);
    let mut keys = Vec::with_capacity(route.len());
    for (i, hop) in route.iter().enumerate() {
        let secret = factors.times(&Point::new(hop.key.0));
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
