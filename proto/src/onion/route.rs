//! Wrapping a message for a route.

use super::OnionError;
use super::body::{self, Layer};
use super::build;
use super::packet::{Packet, Size};
use super::reply::Identifier;
use super::ring::OnionPublic;
use crate::ids::NodeId;
use crate::params::HEADER_BYTES;
use rand_core::CryptoRng;
use std::time::Duration;

/// One hop of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// How the hop before it finds it.
    pub address: NodeId,
    /// What its layer is sealed for.
    pub key: OnionPublic,
    /// How long it shall hold the packet before it passes it on, at most [`crate::params::DELAY_MS_MAX`]; without meaning
    /// for the last hop.
    pub delay: Duration,
}

impl Hop {
    /// A hop that passes packets on at once.
    pub fn new(address: NodeId, key: OnionPublic) -> Hop {
        Hop { address, key, delay: Duration::ZERO }
    }
}

/// Wraps `message` for `route`. The packet goes to `route[0]`; the last hop opens it.
pub fn wrap(rng: &mut impl CryptoRng, route: &[Hop], size: Size, message: &[u8]) -> Result<Packet, OnionError> {
    wrap_parts(rng, route, size, &[message])
}

/// [`wrap`] for a message in parts, laid end to end: a shard is copied once, into the packet.
pub fn wrap_parts(rng: &mut impl CryptoRng, route: &[Hop], size: Size, parts: &[&[u8]]) -> Result<Packet, OnionError> {
    // Nobody looks the identifier of a request up. It is as random as a reply's, so that the last hop's header tells
    // nothing of which it is.
    let identifier = Identifier::random(rng);
    let built = build::header(rng, route, &identifier)?;
    let (header, _) = built.block.split_first_chunk::<HEADER_BYTES>().ok_or(OnionError::Route(route.len()))?;
    let mut packet = Packet::with_header(size, header);
    let last = built.seeds.last().ok_or(OnionError::Route(route.len()))?;
    body::seal(last, packet.body_mut(), parts)?;
    for seed in built.seeds.iter().rev() {
        Layer::of(seed).encrypt(packet.body_mut());
    }
    Ok(packet)
}
