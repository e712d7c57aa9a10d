//! What may be tried against the format, and what `sphinx-packet` leaves to its user: one test each.

use super::forge::{self, Forged};
use super::*;
use crate::params::HEADER_BYTES;

/// The fate of a packet's bytes at the first node of the world.
fn fate(world: &World, bytes: Vec<u8>) -> Result<Peeled, Dropped> {
    world.rings[0].peel(Packet::parse(bytes)?)
}

#[test]
fn version_260_only() {
    for hops in [1, 3] {
        for version in [0, 1, 257, 258, 259, 260, 261, u16::MAX] {
            let world = World::new(1, 3);
            let packet = Forged::new(&world.route()[..hops], version, 0).packet();
            let fate = world.rings[0].peel(packet);
            assert_eq!(fate.err(), (version != 260).then_some(Dropped::Version), "{version}");
        }
    }
}

/// The version has three bytes, of which `sphinx-packet` overlooks the first: here they are all looked at.
#[test]
fn a_strange_version_byte_is_dropped() {
    let world = World::new(1, 3);
    let forged = Forged::new(&world.route(), 260, 0).xor(forge::VERSION, &[0xff]);
    assert_eq!(world.rings[0].peel(forged.packet()).unwrap_err(), Dropped::Version);
}

#[test]
fn an_unknown_flag_is_dropped() {
    let world = World::new(1, 3);
    // From 1 (forward) to neither 1 nor 2.
    let forged = Forged::new(&world.route(), 260, 0).xor(forge::FLAG, &[0x80]);
    assert_eq!(world.rings[0].peel(forged.packet()).unwrap_err(), Dropped::Malformed);
}

/// Whoever answers knows the last hop's seed only, so what the relays did to a reply is undone by the client alone.
#[test]
fn a_reply_opens_with_the_clients_key_only() {
    let reply = || {
        let mut world = World::new(2, 4);
        let route = world.route();
        let (block, key) = reply_block(&mut world.rng, &route).unwrap();
        assert_eq!(block.as_bytes().len(), HEADER_BYTES + 32 + 16);
        let (_, packet) = block.seal(Size::Small, &[b"reply"]).unwrap();
        (world.deliver(0, packet).unwrap().1, key)
    };
    // A request's way of opening has the last hop's seed, and it is not enough.
    let (arrived, _) = reply();
    assert_eq!(arrived.open().unwrap_err(), Dropped::Body);
    let (arrived, key) = reply();
    assert_eq!(key.open(arrived).unwrap(), "reply");
}

#[test]
fn a_reply_block_serves_once() {
    let mut world = World::new(3, 4);
    let route = world.route();
    let (block, _key) = reply_block(&mut world.rng, &route).unwrap();
    let again = ReplyBlock::from_bytes(*block.as_bytes());
    let (_, first) = block.seal(Size::Small, &[b"a reply"]).unwrap();
    let (_, second) = again.seal(Size::Large, &[b"another one, of another size"]).unwrap();
    world.deliver(0, first).unwrap();
    assert_eq!(world.deliver(0, second).unwrap_err(), Dropped::Replayed);
}

#[test]
fn a_reply_opens_with_its_own_key_only() {
    let mut world = World::new(4, 3);
    let route = world.route();
    let (block, _) = reply_block(&mut world.rng, &route).unwrap();
    let (_, other_key) = reply_block(&mut world.rng, &route).unwrap();
    let (_, packet) = block.seal(Size::Small, &[b"reply"]).unwrap();
    let (_, arrived) = world.deliver(0, packet).unwrap();
    assert_eq!(other_key.open(arrived).unwrap_err(), Dropped::Identifier);
}

#[test]
fn a_replay_is_dropped_at_every_hop() {
    let mut world = World::new(5, 3);
    let mut packet = world.wrap(Size::Small, b"once");
    for ring in &world.rings {
        let copy = packet.clone();
        match ring.peel(packet).unwrap() {
            Peeled::Forward { packet: peeled, .. } => packet = peeled,
            Peeled::Arrived(_) => packet = copy.clone(),
        }
        assert_eq!(ring.peel(copy).unwrap_err(), Dropped::Replayed);
    }
}

/// The replay filter knows the shared secret, not the bytes of the public key: X25519 ignores their top bit.
#[test]
fn a_replay_with_the_top_bit_of_alpha_flipped_is_dropped() {
    let mut world = World::new(6, 3);
    let bytes = world.wrap(Size::Small, b"once").into_bytes();
    let mut variant = bytes.clone();
    variant[31] ^= 0x80;
    assert!(fate(&world, bytes).is_ok());
    assert_eq!(fate(&world, variant).unwrap_err(), Dropped::Replayed);
}

/// Who changes the body and sends it again behind the same header learns nothing: the header is used up.
#[test]
fn a_replay_with_another_body_is_dropped() {
    let mut world = World::new(7, 3);
    let bytes = world.wrap(Size::Small, b"once").into_bytes();
    let mut variant = bytes.clone();
    variant[HEADER_BYTES + 100] ^= 1;
    assert!(fate(&world, variant).is_ok());
    assert_eq!(fate(&world, bytes).unwrap_err(), Dropped::Replayed);
}

/// A forged header must not use up the tag of the true one.
#[test]
fn a_header_that_is_not_authentic_is_not_remembered() {
    let mut world = World::new(8, 3);
    let bytes = world.wrap(Size::Small, b"once").into_bytes();
    let mut forged = bytes.clone();
    forged[HEADER_BYTES - 1] ^= 1;
    assert_eq!(fate(&world, forged).unwrap_err(), Dropped::Integrity);
    assert!(fate(&world, bytes).is_ok());
}

#[test]
fn a_truncated_or_extended_packet_is_dropped() {
    let mut world = World::new(9, 3);
    for size in [Size::Small, Size::Large] {
        let bytes = world.wrap(size, b"message").into_bytes();
        for cut in [1, 100, bytes.len() - HEADER_BYTES, bytes.len()] {
            assert_eq!(fate(&world, bytes[..bytes.len() - cut].to_vec()).unwrap_err(), Dropped::Length);
            assert_eq!(fate(&world, [&bytes[..], &vec![0; cut]].concat()).unwrap_err(), Dropped::Length);
        }
        // Cut to the other size, it is dropped where it is opened.
        let other = if size == Size::Small { Size::Large } else { Size::Small };
        let mut bytes = bytes;
        bytes.resize(other.packet_bytes(), 0);
        let (_, arrived) = world.deliver(0, Packet::parse(bytes).unwrap()).unwrap();
        assert_eq!(arrived.open().unwrap_err(), Dropped::Body);
    }
}

/// The public keys of small order in all their encodings (RFC 7748 §6.1; the list is that of libsodium): with each of
/// them every node shares the secret zero, and so does everybody else.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

fn small_order() -> impl Iterator<Item = [u8; 32]> {
    let decode = |text: &str| std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap());
    SMALL_ORDER.iter().flat_map(move |text| {
        let key: [u8; 32] = decode(text);
        let mut with_top_bit = key;
        with_top_bit[31] |= 0x80;
        [key, with_top_bit]
    })
}

#[test]
fn a_zero_shared_secret_is_dropped() {
    let mut world = World::new(10, 3);
    let bytes = world.wrap(Size::Small, b"message").into_bytes();
    for alpha in small_order() {
        let mut bytes = bytes.clone();
        bytes[..32].copy_from_slice(&alpha);
        assert_eq!(fate(&world, bytes).unwrap_err(), Dropped::ZeroSecret, "{alpha:02x?}");
    }
}

#[test]
fn a_hop_with_a_key_of_small_order_is_refused() {
    let mut world = World::new(11, 3);
    for key in small_order() {
        for at in 0..3 {
            let mut route = world.route();
            route[at].key = OnionPublic(key);
            assert_eq!(wrap(&mut world.rng, &route, Size::Small, b""), Err(OnionError::Key));
            assert_eq!(reply_block(&mut world.rng, &route).unwrap_err(), OnionError::Key);
        }
    }
}

#[test]
fn a_huge_delay_is_dropped() {
    let max = DELAY_MS_MAX * 1_000_000;
    for (delay, fine) in [(0, true), (max, true), (max + 1, false), (u64::MAX, false)] {
        let world = World::new(12, 3);
        let fate = world.rings[0].peel(Forged::new(&world.route(), 260, delay).packet());
        assert_eq!(fate.err(), (!fine).then_some(Dropped::Delay), "{delay}");
    }
    // Also when it is written into a packet that was fine.
    let world = World::new(12, 3);
    let forged = Forged::new(&world.route(), 260, 0).xor(forge::DELAY, &[0xff]);
    assert_eq!(world.rings[0].peel(forged.packet()).unwrap_err(), Dropped::Delay);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// α (but for the bit that X25519 ignores), γ and β.
    #[test]
    fn a_flipped_bit_of_the_header_is_dropped(bit in 0..HEADER_BYTES * 8) {
        prop_assume!(bit != 255);
        let mut world = World::new(13, 3);
        let mut bytes = world.wrap(Size::Small, b"message").into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(fate(&world, bytes).unwrap_err(), Dropped::Integrity);
    }

    /// Changed at any hop, the body gets to the last one as noise.
    #[test]
    fn a_flipped_bit_of_the_body_is_dropped_at_the_end(hop in 0..3_usize, size in size(), at: prop::sample::Index) {
        let mut world = World::new(14, 3);
        let mut packet = world.wrap(size, b"message");
        for node in 0..3 {
            if node == hop {
                let bit = at.index(size.body_bytes() * 8);
                let mut bytes = packet.into_bytes();
                bytes[HEADER_BYTES + bit / 8] ^= 1 << (bit % 8);
                packet = Packet::parse(bytes).unwrap();
            }
            match world.rings[node].peel(packet).unwrap() {
                Peeled::Forward { packet: peeled, .. } => packet = peeled,
                Peeled::Arrived(arrived) => {
                    prop_assert_eq!(arrived.open().unwrap_err(), Dropped::Body);
                    break;
                }
            }
        }
    }

    /// The same on the way back.
    #[test]
    fn a_flipped_bit_of_a_reply_is_dropped_at_the_end(size in size(), at: prop::sample::Index) {
        let mut world = World::new(15, 4);
        let route = world.route();
        let (block, key) = reply_block(&mut world.rng, &route).unwrap();
        let mut bytes = block.seal(size, &[b"reply"]).unwrap().1.into_bytes();
        let bit = at.index(size.body_bytes() * 8);
        bytes[HEADER_BYTES + bit / 8] ^= 1 << (bit % 8);
        let (_, arrived) = world.deliver(0, Packet::parse(bytes).unwrap()).unwrap();
        prop_assert_eq!(key.open(arrived).unwrap_err(), Dropped::Body);
    }
}

/// A packet shows no other packet's bytes at the next hop: α, γ, β and body are all new.
#[test]
fn nothing_of_a_packet_is_the_same_after_a_hop() {
    let mut world = World::new(16, 3);
    let before = world.wrap(Size::Large, b"message");
    let Ok(Peeled::Forward { packet: after, .. }) = world.rings[0].peel(before.clone()) else { panic!() };
    for (a, b) in before.as_bytes().chunks(16).zip(after.as_bytes().chunks(16)) {
        assert!(a.len() < 16 || a != b);
    }
}

/// A packet sent to another node than the sender meant does not open there.
#[test]
fn a_packet_for_another_node_is_dropped() {
    let mut world = World::new(17, 3);
    let packet = world.wrap(Size::Small, b"message");
    assert_eq!(world.rings[1].peel(packet).unwrap_err(), Dropped::Integrity);
}

/// A new key at every start: what the old process saw cannot be opened by the new one.
#[test]
fn after_a_restart_old_packets_do_not_open() {
    let mut world = World::new(18, 1);
    let packet = world.wrap(Size::Small, b"message");
    let ring = Ring::new(&mut world.rng, Moment::default());
    assert_eq!(ring.peel(packet).unwrap_err(), Dropped::Integrity);
}
