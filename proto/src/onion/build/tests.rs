//! Our headers are the crate's: compared with what it derives, byte by byte with what it builds, and by what it reads.

use super::*;
use crate::ids::NodeId;
use crate::onion::OnionPublic;
use crate::onion::curve::tests::{Given, given};
use crate::onion::format::ALPHA_BYTES;
use crate::params::HEADER_BYTES;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rand_core::{Infallible, TryCryptoRng, TryRng};
use rand::rngs::StdRng;
use sphinx_packet::header::SphinxHeader;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::header::keys::KeyMaterial;
use sphinx_packet::header::shared_secret::ExpandedSharedSecret;
use sphinx_packet::payload::Payload;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use sphinx_packet::{ProcessedPacketData, SURB, SURBMaterial, SphinxPacket};
use x25519_dalek::{PublicKey, StaticSecret};

/// Gives what was written down for it, and nothing beyond.
struct Script(std::vec::IntoIter<u8>);

impl TryRng for Script {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("bytes are all that a header asks for")
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("bytes are all that a header asks for")
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill_with(|| self.0.next().unwrap());
        Ok(())
    }
}

impl TryCryptoRng for Script {}

fn hops(keys: impl Strategy<Value = Given>) -> impl Strategy<Value = Vec<Hop>> {
    let hop = (any::<[u8; 32]>(), keys, 0..=DELAY_MS_MAX * 1_000_000).prop_map(|(address, key, delay)| Hop {
        address: NodeId(address),
        key: OnionPublic(key.bytes()),
        delay: Duration::from_nanos(delay),
    });
    prop::collection::vec(hop, 1..=HOPS_MAX)
}

fn nodes(route: &[Hop]) -> Vec<Node> {
    let node = |hop: &Hop| Node::new(NodeAddressBytes::from_bytes(hop.address.0), PublicKey::from(hop.key.0));
    route.iter().map(node).collect()
}

/// The crate's reply block, made with the secret `x`.
fn crates_block(x: [u8; 32], route: &[Hop], identifier: [u8; 16]) -> Vec<u8> {
    let delays = route.iter().map(|hop| Delay::new_from_nanos(hop.delay.as_nanos() as u64)).collect();
    let destination = Destination::new(DestinationAddressBytes::from_bytes([0; 32]), identifier);
    let material = SURBMaterial::new(nodes(route), delays, destination, SINGLE_SEED_SURB_VERSION);
    SURB::new_recoverable(StaticSecret::from(x), material).unwrap().0.to_bytes()
}

/// What the crate reads in a header with a hop's keys.
fn read(header: &[u8], keys: &ExpandedSharedSecret) -> ProcessedPacketData {
    let header = SphinxHeader::from_bytes(header).unwrap();
    let packet = SphinxPacket { header, payload: Payload::from_bytes(&[0; 64]).unwrap() };
    let processed = packet.process_with_expanded_secret(keys).unwrap();
    assert_eq!(processed.version, SINGLE_SEED_SURB_VERSION);
    processed.data
}

/// What the crate makes of a header at hop `i`, checked: the next hop's header, or none at the end of the route.
fn step(header: &[u8], keys: &ExpandedSharedSecret, route: &[Hop], i: usize, expected: [u8; 16]) -> Option<Vec<u8>> {
    match read(header, keys) {
        ProcessedPacketData::ForwardHop { next_hop_packet, next_hop_address, delay } => {
            assert_eq!(next_hop_address.to_bytes(), route[i + 1].address.0);
            assert_eq!(delay.to_duration(), route[i].delay);
            Some(next_hop_packet.header.to_bytes())
        }
        ProcessedPacketData::FinalHop { destination, identifier, .. } => {
            assert_eq!(i, route.len() - 1);
            assert_eq!((destination.as_bytes(), identifier), ([0; 32], expected));
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The only difference between our headers and the crate's is where the padding comes from. So the crate's is taken
    /// out of its header, given to us as our randomness, and nothing is left to differ. Keys of any kind.
    #[test]
    fn a_header_is_the_crates_byte_for_byte(x: [u8; 32], route in hops(given()), identifier in 1..=u128::MAX) {
        let identifier = identifier.to_be_bytes();
        let theirs = crates_block(x, &route, identifier);
        let material = KeyMaterial::derive(&nodes(&route), &StaticSecret::from(x));
        let mut last = theirs[..HEADER_BYTES].to_vec();
        for (i, keys) in material.expanded_shared_secrets.iter().enumerate() {
            last = step(&last, keys, &route, i, identifier).unwrap_or(last);
        }

        let keys = keys(&x, &route).unwrap();
        let mut beta = last[ALPHA_BYTES + MAC_BYTES..].to_vec();
        xor(&mut beta, &keys.last().unwrap().rho()[..]);
        let padding = &beta[LAST_BYTES..BETA_BYTES - (route.len() - 1) * STEP_BYTES];
        let mut script = Script([&x[..], padding].concat().into_iter());

        let ours = header(&mut script, &route, &Identifier(identifier)).unwrap();
        prop_assert_eq!(&ours.block[..], &theirs[..]);
        prop_assert_eq!(script.0.len(), 0);
    }

    #[test]
    fn keys_are_those_that_the_crate_derives(x: [u8; 32], route in hops(given())) {
        let theirs = KeyMaterial::derive(&nodes(&route), &StaticSecret::from(x)).expanded_shared_secrets;
        let ours = keys(&x, &route).unwrap();
        prop_assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            prop_assert_eq!(&ours.seed().0, theirs.payload_key_seed());
        }
    }

    /// With the nodes' own secrets, from the bytes alone; and the blinded α of each hop opens the next.
    #[test]
    fn the_crate_reads_a_header_at_every_hop(
        seed: u64, secrets in prop::collection::vec(any::<[u8; 32]>(), 1..=HOPS_MAX), delay in 0..=DELAY_MS_MAX
    ) {
        let hop = |(i, secret): (usize, &[u8; 32])| Hop {
            address: NodeId([i as u8; 32]),
            key: OnionPublic(Given::Honest(*secret).bytes()),
            delay: Duration::from_millis(delay.saturating_sub(i as u64)),
        };
        let route: Vec<Hop> = secrets.iter().enumerate().map(hop).collect();
        let built = header(&mut StdRng::seed_from_u64(seed), &route, &Identifier([7; 16])).unwrap();
        let mut bytes = built.block[..HEADER_BYTES].to_vec();
        for (i, secret) in secrets.iter().enumerate() {
            let keys = SphinxHeader::from_bytes(&bytes).unwrap()
                .compute_expanded_shared_secret(&StaticSecret::from(*secret));
            prop_assert_eq!(keys.payload_key_seed(), &built.seeds[i].0);
            bytes = step(&bytes, &keys, &route, i, [7; 16]).unwrap_or_default();
        }
    }
}

#[test]
fn the_same_randomness_makes_the_same_header() {
    let hop = |i| Hop::new(NodeId([i; 32]), OnionPublic(Given::Honest([i; 32]).bytes()));
    let route = [hop(1), hop(2), hop(3)];
    let build = |seed| header(&mut StdRng::seed_from_u64(seed), &route, &Identifier([1; 16])).unwrap();
    assert_eq!(build(1).block, build(1).block);
    assert_ne!(build(1).block, build(2).block);
}
