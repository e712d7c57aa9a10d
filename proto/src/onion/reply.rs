//! Reply blocks: a way back, usable once, that tells its user nothing but the first hop.
//!
//! Version 260: the user of a block gets one seed, that of the last hop, which is the client itself. It adds one layer;
//! each relay then *removes* one of its own, and only the client, who has all the seeds, can undo that.

use super::body::{self, Layer, SEED_BYTES, Seed};
use super::build;
use super::packet::{Packet, Size};
use super::ring::Arrived;
use super::route::Hop;
use super::{Dropped, OnionError};
use crate::ids::NodeId;
use crate::params::{HEADER_BYTES, REPLY_BLOCK_BYTES};
use bytes::Bytes;
use rand_core::CryptoRng;
use std::fmt;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// By what a client finds the key of a reply that arrived. Random; seen by the client only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identifier(pub [u8; 16]);

impl Identifier {
    pub(super) fn random(rng: &mut impl CryptoRng) -> Identifier {
        let mut bytes = [0; 16];
        // Zero is the one that other makers of such headers refuse.
        while bytes == [0; 16] {
            rng.fill_bytes(&mut bytes);
        }
        Identifier(bytes)
    }
}

/// A reply block, as it is carried in a request. There is no copy of it to be had but through its bytes: relays drop the
/// second packet that is sent with it.
#[derive(PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct ReplyBlock(Box<[u8; REPLY_BLOCK_BYTES]>);

/// What opens the reply that comes back by a reply block. Secret, and of use once.
pub struct ReplyKey {
    identifier: Identifier,
    /// One per hop, in the route's order; never empty.
    seeds: Vec<Seed>,
}

/// Makes a reply block for `route`, whose first hop is where the reply is sent, and whose last is the client itself.
pub fn reply_block(rng: &mut impl CryptoRng, route: &[Hop]) -> Result<(ReplyBlock, ReplyKey), OnionError> {
    let identifier = Identifier::random(rng);
    let built = build::header(rng, route, &identifier)?;
    Ok((ReplyBlock(Box::new(*built.block)), ReplyKey { identifier, seeds: built.seeds }))
}

impl ReplyBlock {
    /// Takes the bytes for a reply block. They cannot be checked: whoever made it alone is served or not by it.
    pub fn from_bytes(bytes: [u8; REPLY_BLOCK_BYTES]) -> ReplyBlock {
        ReplyBlock(Box::new(bytes))
    }

    /// The bytes, to be carried in a request.
    pub fn as_bytes(&self) -> &[u8; REPLY_BLOCK_BYTES] {
        &self.0
    }

    /// Seals the reply, given in parts that are laid end to end. Gives the packet and the node to send it to, which is to
    /// be looked for among known nodes only: it was chosen by a stranger.
    pub fn seal(self, size: Size, parts: &[&[u8]]) -> Result<(NodeId, Packet), OnionError> {
        let (header, rest) = split::<HEADER_BYTES>(&self.0[..]);
        let (first_hop, rest) = split::<32>(rest);
        let (seed, _) = split::<SEED_BYTES>(rest);
        let seed = Seed(*seed);
        let mut packet = Packet::with_header(size, header);
        body::seal(&seed, packet.body_mut(), parts)?;
        Layer::of(&seed).encrypt(packet.body_mut());
        Ok((NodeId(*first_hop), packet))
    }
}

const _: () = assert!(HEADER_BYTES + 32 + SEED_BYTES == REPLY_BLOCK_BYTES);

#[expect(clippy::expect_used, reason = "the parts of a reply block add up to its length, as asserted above")]
fn split<const N: usize>(bytes: &[u8]) -> (&[u8; N], &[u8]) {
    bytes.split_first_chunk().expect("a reply block has all of its parts")
}

impl ReplyKey {
    /// What the reply will be known by.
    pub fn identifier(&self) -> Identifier {
        self.identifier
    }

    /// Opens the reply: puts back the layers that the relays removed, in the packet's own buffer.
    pub fn open(&self, arrived: Arrived) -> Result<Bytes, Dropped> {
        if arrived.identifier() != self.identifier {
            return Err(Dropped::Identifier);
        }
        let (last, relays) = self.seeds.split_last().ok_or(Dropped::Body)?;
        arrived.open_with(|body| {
            // The last removal, our own, and its undoing are both left out: see `Arrived`.
            for seed in relays.iter().rev() {
                Layer::of(seed).encrypt(body);
            }
            Layer::of(last).decrypt(body);
            body::open(last, body)
        })
    }
}

impl fmt::Debug for ReplyBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplyBlock")
    }
}

impl fmt::Debug for ReplyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}
