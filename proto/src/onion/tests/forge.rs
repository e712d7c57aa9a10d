//! An attacker's tools: headers that the crate would not make, yet with a right MAC. The sender of a packet shares the
//! keys of each of its hops, so they can all be made in the field.
//!
//! A hop's keys are HKDF-SHA256 (RFC 5869) of the shared secret, of which we need the first block alone: the key of the
//! AES-CTR stream over β, and the key of the MAC γ. A stream cipher lets us change β without its key.

use crate::onion::{Hop, Packet, Size};
use crate::params::HEADER_BYTES;
use sha2::{Digest, Sha256};
use sphinx_packet::constants::EXPANDED_SHARED_SECRET_HKDF_INFO;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::Version;
use x25519_dalek::{PublicKey, StaticSecret};

/// Where β begins; γ is the sixteen bytes in front of it, α the thirty-two in front of that.
const BETA: usize = 48;
/// Where in β the flag, the version and the delay are.
pub(super) const FLAG: usize = 0;
pub(super) const VERSION: usize = 1;
pub(super) const DELAY: usize = 36;

fn hmac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let (inner, outer) = (block.map(|b| b ^ 0x36), block.map(|b| b ^ 0x5c));
    let inner = Sha256::new().chain_update(inner).chain_update(text).finalize();
    Sha256::new().chain_update(outer).chain_update(inner).finalize().into()
}

/// A packet whose initial secret is known to the attacker.
pub(super) struct Forged {
    bytes: Vec<u8>,
    mac_key: [u8; 16],
}

impl Forged {
    /// A packet of any version, for a route of our hops.
    pub(super) fn new(route: &[Hop], version: u16, delay_ns: u64) -> Forged {
        let secret = StaticSecret::from([0x42; 32]);
        let nodes: Vec<Node> = route
            .iter()
            .map(|hop| Node::new(NodeAddressBytes::from_bytes(hop.address.0), PublicKey::from(hop.key.0)))
            .collect();
        let delays = vec![Delay::new_from_nanos(delay_ns); route.len()];
        let destination = Destination::new(DestinationAddressBytes::from_bytes([0; 32]), [1; 16]);
        let packet = SphinxPacketBuilder::new()
            .with_version(Version::new(version))
            .with_initial_secret(&secret)
            .build_packet(b"", &nodes, &destination, &delays)
            .unwrap();
        let mut bytes = packet.header.to_bytes();
        bytes.resize(Size::Small.packet_bytes(), 0);
        let shared = secret.diffie_hellman(&nodes[0].pub_key);
        let extracted = hmac(&[], shared.as_bytes());
        let first = hmac(&extracted, &[EXPANDED_SHARED_SECRET_HKDF_INFO, &[1]].concat());
        Forged { bytes, mac_key: first[16..].try_into().unwrap() }
    }

    /// Changes β, whatever is written there, and puts the MAC right again.
    pub(super) fn xor(mut self, at: usize, difference: &[u8]) -> Forged {
        for (byte, d) in self.bytes[BETA + at..].iter_mut().zip(difference) {
            *byte ^= d;
        }
        let mac = hmac(&self.mac_key, &self.bytes[BETA..HEADER_BYTES]);
        self.bytes[32..BETA].copy_from_slice(&mac[..16]);
        self
    }

    pub(super) fn packet(self) -> Packet {
        Packet::parse(self.bytes).unwrap()
    }
}
