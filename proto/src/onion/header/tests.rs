//! What `sphinx-packet` reads in a header, we read: headers with a right MAC over any β, under any α.

use super::*;
use crate::onion::OnionPublic;
use crate::onion::build::header;
use crate::onion::curve::tests::{Given, given};
use crate::onion::route::Hop;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use sphinx_packet::constants::{EXPANDED_SHARED_SECRET_HKDF_INFO, IDENTIFIER_LENGTH, PAYLOAD_KEY_SEED_SIZE};
use sphinx_packet::header::{HEADER_SIZE, SphinxHeader};
use sphinx_packet::packet::ProcessedPacketData;
use sphinx_packet::payload::Payload;
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use sphinx_packet::{ErrorKind, SphinxPacket};
use x25519_dalek::{StaticSecret, x25519};

/// What was read: the seed, the first bytes of the replay tag, and what to do.
#[derive(Debug, PartialEq)]
struct Read {
    seed: [u8; 16],
    tag: u64,
    order: Result<What, Dropped>,
}

#[derive(Debug, PartialEq)]
enum What {
    Forward(NodeId, Duration, Vec<u8>),
    Keep([u8; 16]),
}

fn ours(bytes: &[u8], key: &[u8; 32]) -> Result<Read, Dropped> {
    let header = Header::parse(bytes)?;
    let header = header.authenticate(&Factors::new(key, 0))?;
    let order = header.order().map(|order| match order {
        Order::Forward { next, delay, header } => What::Forward(next, delay, header.to_vec()),
        Order::Keep { identifier } => What::Keep(identifier.0),
    });
    Ok(Read { seed: header.seed().0, tag: header.replay_tag(), order })
}

/// The crate's, and what it leaves to its user.
fn theirs(bytes: &[u8], key: &[u8; 32]) -> Result<Read, Dropped> {
    let header = SphinxHeader::from_bytes(bytes).map_err(|_| Dropped::Length)?;
    if x25519(*key, *header.shared_secret.as_bytes()) == [0; 32] {
        return Err(Dropped::ZeroSecret);
    }
    let secret = header.compute_expanded_shared_secret(&StaticSecret::from(*key));
    header.ensure_header_integrity(&secret).map_err(|_| Dropped::Integrity)?;
    let packet = SphinxPacket { header, payload: Payload::from_bytes(&[0; 64]).unwrap() };
    let order = match packet.process_with_expanded_secret(&secret) {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidRouting);
            Err(Dropped::Malformed)
        }
        Ok(processed) if processed.version != SINGLE_SEED_SURB_VERSION => Err(Dropped::Version),
        Ok(processed) => match processed.data {
            ProcessedPacketData::ForwardHop { delay, .. }
                if delay.to_duration() > Duration::from_millis(DELAY_MS_MAX) =>
            {
                Err(Dropped::Delay)
            }
            ProcessedPacketData::ForwardHop { next_hop_packet, next_hop_address, delay } => {
                let next = NodeId(next_hop_address.to_bytes());
                Ok(What::Forward(next, delay.to_duration(), next_hop_packet.header.to_bytes()))
            }
            ProcessedPacketData::FinalHop { identifier, .. } => Ok(What::Keep(identifier)),
        },
    };
    let [a, b, c, d, e, f, g, h, ..] = *secret.replay_tag();
    Ok(Read { seed: *secret.payload_key_seed(), tag: u64::from_le_bytes([a, b, c, d, e, f, g, h]), order })
}

/// A header of this α, with a right MAC under the key, that opens to `plain`.
fn sealed(alpha: [u8; 32], key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
    let keys = Keys::expand(&x25519(*key, alpha), Keys::HOP);
    let mut beta = [0; BETA_BYTES];
    lay(&mut beta, &[plain]);
    xor(&mut beta, &keys.rho()[..]);
    [&alpha[..], &keys.mac(&beta), &beta].concat()
}

/// Flags, versions and delays that are right as often as not; the version's first byte is zero, since the crate overlooks it.
fn plain() -> impl Strategy<Value = Vec<u8>> {
    let flag = prop_oneof![4 => Just(FLAG_RELAY), 4 => Just(FLAG_LAST), 1 => any::<u8>()];
    let version = prop_oneof![4 => Just(260_u16), 1 => 255..262_u16, 1 => any::<u16>()];
    let delay = prop_oneof![4 => 0..=DELAY_MS_MAX * 1_000_000, 1 => any::<u64>()];
    (flag, version, any::<[u8; 32]>(), delay, prop::collection::vec(any::<u8>(), BETA_BYTES - 44)).prop_map(
        |(flag, version, node, delay, rest)| {
            [&[flag, 0], &version.to_be_bytes()[..], &node, &delay.to_be_bytes(), &rest].concat()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_header_says_the_same_to_the_crate(alpha in given(), key: [u8; 32], plain in plain()) {
        let bytes = sealed(alpha.bytes(), &key, &plain);
        let read = ours(&bytes, &key);
        prop_assert!(read.is_ok() || read == Err(Dropped::ZeroSecret));
        prop_assert_eq!(read, theirs(&bytes, &key));
    }

    /// The same bit changed anywhere, and headers of another length.
    #[test]
    fn what_the_crate_refuses_is_refused(key: [u8; 32], seed: u64, bit in 0..HEADER_BYTES * 8, length in 0..2 * HEADER_BYTES) {
        let hop = Hop::new(NodeId([1; 32]), OnionPublic(Given::Honest(key).bytes()));
        let built = header(&mut StdRng::seed_from_u64(seed), &[hop], &Identifier([7; 16])).unwrap();
        let mut bytes = built.block[..HEADER_BYTES].to_vec();
        prop_assert!(ours(&bytes, &key).is_ok());
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(ours(&bytes, &key), theirs(&bytes, &key));
        bytes.resize(length, 0);
        prop_assert_eq!(ours(&bytes, &key).err(), theirs(&bytes, &key).err());
    }
}

/// The crate's names for what is written out here.
#[test]
fn the_format_is_the_crates() {
    assert_eq!((HEADER_BYTES, crate::params::HOPS_MAX), (HEADER_SIZE, sphinx_packet::constants::MAX_PATH_LENGTH));
    assert_eq!((crate::onion::body::SEED_BYTES, IDENTIFIER_LENGTH), (PAYLOAD_KEY_SEED_SIZE, 16));
    assert_eq!(crate::onion::format::HKDF_INFO, EXPANDED_SHARED_SECRET_HKDF_INFO);
    assert_eq!(VERSION[1..], SINGLE_SEED_SURB_VERSION.value().to_be_bytes());
}
