//! The laws of the onion; what an attacker may try is in `pitfalls`.

use super::*;
use crate::ids::NodeId;
use crate::params::{DELAY_MS_MAX, HOPS_MAX};
use crate::time::Moment;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;

mod forge;
mod pitfalls;

/// Some nodes, each with its ring; the id of number `i` is `[i; 32]`.
struct World {
    rng: StdRng,
    rings: Vec<Ring>,
}

impl World {
    fn new(seed: u64, nodes: usize) -> World {
        let mut rng = StdRng::seed_from_u64(seed);
        let rings = (0..nodes).map(|_| Ring::new(&mut rng, Moment::default())).collect();
        World { rng, rings }
    }

    fn hop(&self, node: usize) -> Hop {
        Hop::new(NodeId([node as u8; 32]), self.rings[node].public())
    }

    /// The hops of nodes 0, 1, … in order.
    fn route(&self) -> Vec<Hop> {
        (0..self.rings.len()).map(|node| self.hop(node)).collect()
    }

    fn wrap(&mut self, size: Size, message: &[u8]) -> Packet {
        let route = self.route();
        wrap(&mut self.rng, &route, size, message).unwrap()
    }

    /// Carries the packet from node to node until one keeps it.
    fn deliver(&self, first: usize, mut packet: Packet) -> Result<(usize, Arrived), Dropped> {
        let mut node = first;
        loop {
            let size = packet.size();
            match self.rings[node].peel(packet)? {
                Peeled::Forward { next, packet: peeled, .. } => {
                    assert_eq!(peeled.size(), size);
                    node = usize::from(next.0[0]);
                    packet = peeled;
                }
                Peeled::Arrived(arrived) => return Ok((node, arrived)),
            }
        }
    }
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![Just(Size::Small), Just(Size::Large)]
}

fn message(size: Size) -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        Just(vec![0xa5; size.message_bytes_max()]),
        Just(vec![0xa5; size.message_bytes_max() - 1]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn peel_of_wrap_is_identity(
        seed: u64, hops in 1..=HOPS_MAX, (size, message) in size().prop_flat_map(|s| (Just(s), message(s)))
    ) {
        let mut world = World::new(seed, hops);
        let packet = world.wrap(size, &message);
        let (node, arrived) = world.deliver(0, packet).unwrap();
        prop_assert_eq!(node, hops - 1);
        prop_assert_eq!(arrived.open().unwrap(), message);
    }

    #[test]
    fn open_of_reply_is_identity(
        seed: u64, hops in 1..=HOPS_MAX, (size, message) in size().prop_flat_map(|s| (Just(s), message(s)))
    ) {
        let mut world = World::new(seed, hops);
        let route = world.route();
        let (block, key) = reply_block(&mut world.rng, &route).unwrap();
        let block = ReplyBlock::from_bytes(*block.as_bytes());
        let (first, second) = message.split_at(message.len() / 3);
        let (first_hop, packet) = block.seal(size, &[first, second]).unwrap();
        prop_assert_eq!(first_hop, route[0].address);
        let (node, arrived) = world.deliver(0, packet).unwrap();
        prop_assert_eq!(node, hops - 1);
        prop_assert_eq!(arrived.identifier(), key.identifier());
        prop_assert_eq!(key.open(arrived).unwrap(), message);
    }

    #[test]
    fn arbitrary_bytes_are_dropped(seed: u64, size in size(), header: [[u8; 29]; 12]) {
        let world = World::new(seed, 1);
        let mut bytes = vec![0x5a; size.packet_bytes()];
        bytes[..348].copy_from_slice(header.as_flattened());
        prop_assert_eq!(world.rings[0].peel(Packet::parse(bytes).unwrap()).unwrap_err(), Dropped::Integrity);
    }
}

#[test]
fn parts_are_laid_end_to_end() {
    let mut world = World::new(1, 3);
    let route = world.route();
    let packet = wrap_parts(&mut world.rng, &route, Size::Small, &[b"one, ", b"", b"two"]).unwrap();
    assert_eq!(world.deliver(0, packet).unwrap().1.open().unwrap(), "one, two");
}

#[test]
fn a_message_is_opened_in_the_packets_own_memory() {
    let mut world = World::new(2, 3);
    let packet = world.wrap(Size::Large, &[7; 65_536]);
    let at = packet.as_bytes().as_ptr() as usize;
    let message = world.deliver(0, packet).unwrap().1.open().unwrap();
    assert!((at..at + Size::Large.packet_bytes()).contains(&(message.as_ptr() as usize)));
}

#[test]
fn each_hop_gets_its_own_delay() {
    let mut world = World::new(3, 3);
    let mut route = world.route();
    route[0].delay = Duration::from_millis(250);
    route[1].delay = Duration::from_millis(DELAY_MS_MAX);
    let mut packet = wrap(&mut world.rng, &route, Size::Small, b"").unwrap();
    for (ring, hop) in world.rings.iter().zip(&route[..2]) {
        let Ok(Peeled::Forward { delay, packet: peeled, .. }) = ring.peel(packet) else { panic!() };
        assert_eq!(delay, hop.delay);
        packet = peeled;
    }
}

#[test]
fn impossible_routes_are_refused() {
    let mut world = World::new(4, HOPS_MAX + 1);
    let route = world.route();
    let rng = &mut world.rng;
    assert_eq!(wrap(rng, &[], Size::Small, b""), Err(OnionError::Route(0)));
    assert_eq!(wrap(rng, &route, Size::Small, b""), Err(OnionError::Route(6)));
    assert_eq!(reply_block(rng, &[]).unwrap_err(), OnionError::Route(0));
    assert_eq!(reply_block(rng, &route).unwrap_err(), OnionError::Route(6));
    let delay = Duration::from_millis(DELAY_MS_MAX) + Duration::from_nanos(1);
    let slow = Hop { delay, ..route[0] };
    assert_eq!(wrap(rng, &[slow], Size::Small, b""), Err(OnionError::Delay(delay)));
    let long = vec![0; Size::Small.message_bytes_max() + 1];
    assert_eq!(wrap(rng, &route[..1], Size::Small, &long), Err(OnionError::TooLong(long.len())));
}

#[test]
fn a_key_lives_a_day_and_an_hour() {
    let mut world = World::new(5, 1);
    let route = world.route();
    let day = Moment(KEY_LIFETIME);
    let mut packets: Vec<Packet> = (0..4).map(|_| wrap(&mut world.rng, &route, Size::Small, b"old").unwrap()).collect();
    let ring = &world.rings[0];
    let mut tend = |now| ring.tend(&mut world.rng, now);

    assert!(!tend(day - Duration::from_secs(1)));
    ring.peel(packets.pop().unwrap()).unwrap();
    assert!(tend(day));
    assert_ne!(ring.public(), route[0].key);
    assert!(!tend(day));
    let old = packets.pop().unwrap();
    ring.peel(old.clone()).unwrap();
    assert_eq!(ring.peel(old).unwrap_err(), Dropped::Replayed);
    assert!(!tend(day + KEY_OVERLAP - Duration::from_secs(1)));
    ring.peel(packets.pop().unwrap()).unwrap();
    assert!(!tend(day + KEY_OVERLAP));
    assert_eq!(ring.peel(packets.pop().unwrap()).unwrap_err(), Dropped::Integrity);
}

#[test]
fn many_tasks_peel_with_one_ring_and_each_packet_passes_once() {
    let mut world = World::new(6, 1);
    let packets: Vec<Packet> = (0..32).map(|_| world.wrap(Size::Small, b"x")).collect();
    let ring = &world.rings[0];
    let passed: usize = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let packets = packets.clone();
                scope.spawn(move || packets.into_iter().filter(|p| ring.peel(p.clone()).is_ok()).count())
            })
            .collect();
        tasks.into_iter().map(|task| task.join().unwrap()).sum()
    });
    assert_eq!(passed, packets.len());
}

#[test]
fn nothing_secret_is_printed() {
    let mut world = World::new(7, 2);
    let route = world.route();
    let (block, key) = reply_block(&mut world.rng, &route).unwrap();
    assert_eq!(format!("{block:?} {key:?}"), "ReplyBlock [secret]");
    assert_eq!(format!("{:?}", OnionKey::random(&mut world.rng)), "[secret]");
    let packet = world.wrap(Size::Small, b"secret");
    let (_, arrived) = world.deliver(0, packet).unwrap();
    assert_eq!(format!("{arrived:?}"), "Arrived(Packet(Small))");
}
