//! Reading a header: everything that we ask of `sphinx-packet`, and the only file outside of tests that names it.

use super::Dropped;
use super::body::{SEED_BYTES, Seed};
use super::reply::Identifier;
use crate::ids::NodeId;
use crate::params::{DELAY_MS_MAX, HEADER_BYTES, HOPS_MAX};
use sphinx_packet::SphinxPacket;
use sphinx_packet::constants::{
    EXPANDED_SHARED_SECRET_HKDF_INFO, IDENTIFIER_LENGTH, MAX_PATH_LENGTH, PAYLOAD_KEY_SEED_SIZE,
};
use sphinx_packet::header::shared_secret::ExpandedSharedSecret;
use sphinx_packet::header::{HEADER_SIZE, SphinxHeader};
use sphinx_packet::packet::ProcessedPacketData;
use sphinx_packet::payload::Payload;
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use std::sync::LazyLock;
use std::time::Duration;
use x25519_dalek::StaticSecret;

const _: () = assert!(HEADER_BYTES == HEADER_SIZE && HOPS_MAX == MAX_PATH_LENGTH);
const _: () = assert!(SEED_BYTES == PAYLOAD_KEY_SEED_SIZE && IDENTIFIER_LENGTH == 16);

/// What tells the expansion of a shared secret from other uses of HKDF.
pub(super) const HKDF_INFO: &[u8] = EXPANDED_SHARED_SECRET_HKDF_INFO;

/// What the zero secret expands to. Every node gets it from a public key of small order, so what is sealed with it is
/// sealed for nobody. The crate does not show the secret itself, but equal expansions are equal secrets.
static ZERO: LazyLock<ExpandedSharedSecret> = LazyLock::new(|| {
    #[expect(clippy::expect_used, reason = "any bytes of this length are a header")]
    let header = SphinxHeader::from_bytes(&[0; HEADER_BYTES]).expect("a header's length");
    // With a public key of small order any secret will do.
    header.compute_expanded_shared_secret(&StaticSecret::from([1; 32]))
});

/// A header that came in; nothing of it is checked.
pub(super) struct Header(SphinxHeader);

/// A header that is authentic under one of our keys, and what the key exchange gave.
pub(super) struct Authentic {
    header: SphinxHeader,
    secret: ExpandedSharedSecret,
}

/// What an authentic header tells us to do.
pub(super) enum Order {
    /// Pass the packet on, with this header, after the delay.
    Forward { next: NodeId, delay: Duration, header: Vec<u8> },
    /// It is for us.
    Keep { identifier: Identifier },
}

impl Header {
    pub(super) fn parse(bytes: &[u8]) -> Result<Header, Dropped> {
        SphinxHeader::from_bytes(bytes).map(Header).map_err(|_| Dropped::Length)
    }

    /// Does the key exchange and checks the header's MAC. Gives the header back if it belongs to another key.
    pub(super) fn authenticate(self, key: &StaticSecret) -> Result<Authentic, (Dropped, Header)> {
        let secret = self.0.compute_expanded_shared_secret(key);
        // Public on both sides: the comparison need not be constant in time.
        if secret.replay_tag() == ZERO.replay_tag() {
            return Err((Dropped::ZeroSecret, self));
        }
        match self.0.ensure_header_integrity(&secret) {
            Ok(()) => Ok(Authentic { header: self.0, secret }),
            Err(_) => Err((Dropped::Integrity, self)),
        }
    }
}

impl Authentic {
    /// What a replay has in common with the first packet, whatever was done to the bytes of its public key.
    pub(super) fn replay_tag(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = *self.secret.replay_tag();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    pub(super) fn seed(&self) -> Seed {
        Seed(*self.secret.payload_key_seed())
    }

    /// Reads the order, and blinds the public key for the next hop.
    pub(super) fn order(self) -> Result<Order, Dropped> {
        // The crate opens a header only together with a payload. Ours is elsewhere: it gets a small one of zeros, and what
        // becomes of it does not matter. It checks the MAC a second time, at two microseconds.
        let payload = Payload::from_bytes(&[0; 64]).map_err(|_| Dropped::Malformed)?;
        let packet = SphinxPacket { header: self.header, payload };
        let processed = packet.process_with_expanded_secret(&self.secret).map_err(|_| Dropped::Malformed)?;
        // Up to 259 whoever answers with a reply block knows all the keys of its route: with the last relay they find the
        // reader. And one version only, since it is visible at each hop.
        if processed.version != SINGLE_SEED_SURB_VERSION {
            return Err(Dropped::Version);
        }
        match processed.data {
            ProcessedPacketData::ForwardHop { next_hop_packet, next_hop_address, delay } => {
                let delay = delay.to_duration();
                if delay > Duration::from_millis(DELAY_MS_MAX) {
                    return Err(Dropped::Delay);
                }
                let next = NodeId(next_hop_address.to_bytes());
                Ok(Order::Forward { next, delay, header: next_hop_packet.header.to_bytes() })
            }
            ProcessedPacketData::FinalHop { identifier, .. } => Ok(Order::Keep { identifier: Identifier(identifier) }),
        }
    }
}
