//! What the onion costs, next to the same work done with the crate's own payloads.
//!
//! `cargo bench -p palimpsest-proto --bench onion`; the figures are quoted in docs/decisions/0002-onion-body.md.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::unwrap_used, reason = "a benchmark may stop")]

use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::{
    Arrived, Hop, Packet, Peeled, ReplyBlock, ReplyKey, Ring, Size, reply_block, wrap_parts,
};
use palimpsest_proto::time::Moment;
use sphinx_packet::header::delays::Delay;
use sphinx_packet::packet::builder::SphinxPacketBuilder;
use sphinx_packet::payload::Payload;
use sphinx_packet::route::{Destination, DestinationAddressBytes, Node, NodeAddressBytes};
use sphinx_packet::version::SINGLE_SEED_SURB_VERSION;
use sphinx_packet::{ProcessedPacketData, SURBMaterial, SphinxPacket};
use std::hint::black_box;
use std::time::{Duration, Instant};
use x25519_dalek::{PublicKey, StaticSecret};

/// Measurements per figure, ours and the crate's in turn. The fastest tenth is shown: what is slower was interrupted by
/// something else on the machine.
const ROUNDS: usize = 400;
const REQUEST_HOPS: usize = 3;
const REPLY_HOPS: usize = 4;

/// How long `work` takes on what `prepare` makes, which is not measured.
fn time<T, R>(prepare: impl Fn() -> T, work: impl Fn(T) -> R) -> impl Fn() -> Duration {
    move || {
        let input = prepare();
        let start = Instant::now();
        let result = work(input);
        let time = start.elapsed();
        black_box(result);
        time
    }
}

fn row(work: &str, size: Size, ours: impl Fn() -> Duration, crates: impl Fn() -> Duration) {
    let (mut our_times, mut crates_times): (Vec<_>, Vec<_>) = (0..ROUNDS).map(|_| (ours(), crates())).unzip();
    let fast = |times: &mut Vec<Duration>| {
        times.sort();
        times[ROUNDS / 10].as_secs_f64() * 1e6
    };
    let (ours, crates) = (fast(&mut our_times), fast(&mut crates_times));
    println!("| {work:<42} | {size:?} | {ours:>8.0} | {crates:>8.0} |");
}

/// Our side: rings, hops, packets.
struct Ours {
    rings: Vec<Ring>,
    size: Size,
    message: Vec<u8>,
}

impl Ours {
    fn route(&self, hops: usize) -> Vec<Hop> {
        self.rings[..hops].iter().map(|ring| Hop::new(NodeId([1; 32]), ring.public())).collect()
    }

    fn wrap(&self, hops: usize) -> Packet {
        let route = self.route(hops);
        wrap_parts(&mut rand::rng(), &route, self.size, &[&self.message]).unwrap()
    }

    fn reply_block(&self) -> (ReplyBlock, ReplyKey) {
        let route = self.route(REPLY_HOPS);
        reply_block(&mut rand::rng(), &route).unwrap()
    }

    fn arrive(&self, mut packet: Packet) -> Arrived {
        for ring in &self.rings {
            match ring.peel(packet).unwrap() {
                Peeled::Forward { packet: peeled, .. } => packet = peeled,
                Peeled::Arrived(arrived) => return arrived,
            }
        }
        unreachable!("the last ring is the last hop")
    }
}

/// The crate's side.
struct Crates {
    secrets: Vec<StaticSecret>,
    payload_bytes: usize,
    message: Vec<u8>,
}

impl Crates {
    fn nodes(&self, hops: usize) -> Vec<Node> {
        self.secrets[..hops]
            .iter()
            .map(|secret| Node::new(NodeAddressBytes::from_bytes([1; 32]), PublicKey::from(secret)))
            .collect()
    }

    fn destination() -> Destination {
        Destination::new(DestinationAddressBytes::from_bytes([0; 32]), [1; 16])
    }

    fn wrap(&self, hops: usize) -> SphinxPacket {
        SphinxPacketBuilder::new()
            .with_version(SINGLE_SEED_SURB_VERSION)
            .with_payload_size(self.payload_bytes)
            .build_packet(&self.message, &self.nodes(hops), &Self::destination(), &vec![Delay::new_from_nanos(0); hops])
            .unwrap()
    }

    fn surb(&self) -> (sphinx_packet::SURB, sphinx_packet::SurbReplyRecovery) {
        let delays = vec![Delay::new_from_nanos(0); REPLY_HOPS];
        SURBMaterial::new(self.nodes(REPLY_HOPS), delays, Self::destination(), SINGLE_SEED_SURB_VERSION)
            .construct_recoverable_SURB()
            .unwrap()
    }

    /// As ours: from bytes to bytes.
    fn peel(bytes: &[u8], secret: &StaticSecret) -> Vec<u8> {
        match SphinxPacket::from_bytes(bytes).unwrap().process(secret).unwrap().data {
            ProcessedPacketData::ForwardHop { next_hop_packet, .. } => next_hop_packet.to_bytes(),
            ProcessedPacketData::FinalHop { payload, .. } => payload.into_bytes(),
        }
    }
}

fn main() {
    println!("| {:<42} | size  |     ours |  crate's |", "µs");
    println!("|{:-<44}|-------|---------:|---------:|", "");
    for size in [Size::Small, Size::Large] {
        measure(size);
    }
}

fn measure(size: Size) {
    let mut rng = rand::rng();
    let message = vec![0x5a; size.message_bytes_max()];
    let ours = Ours {
        rings: (0..REPLY_HOPS).map(|_| Ring::new(&mut rng, Moment::default())).collect(),
        size,
        message: message.clone(),
    };
    let crates = Crates {
        secrets: (0..REPLY_HOPS).map(|_| StaticSecret::random_from_rng(&mut rng)).collect(),
        payload_bytes: size.body_bytes(),
        message,
    };

    row(
        "wrap a request, 3 hops",
        size,
        time(|| (), |()| ours.wrap(REQUEST_HOPS)),
        time(|| (), |()| crates.wrap(REQUEST_HOPS).to_bytes()),
    );
    row(
        "peel, as a relay",
        size,
        time(|| ours.wrap(REQUEST_HOPS), |packet| ours.rings[0].peel(packet).unwrap()),
        time(|| crates.wrap(REQUEST_HOPS).to_bytes(), |bytes| Crates::peel(&bytes, &crates.secrets[0])),
    );
    row(
        "peel and open, as the last hop",
        size,
        time(
            || ours.wrap(1),
            |packet| match ours.rings[0].peel(packet).unwrap() {
                Peeled::Arrived(arrived) => arrived.open().unwrap(),
                Peeled::Forward { .. } => unreachable!("the route has one hop"),
            },
        ),
        time(
            || crates.wrap(1).to_bytes(),
            |bytes| {
                let payload = Payload::from_bytes(&Crates::peel(&bytes, &crates.secrets[0])).unwrap();
                payload.recover_plaintext().unwrap()
            },
        ),
    );
    row("make a reply block, 4 hops", size, time(|| (), |()| ours.reply_block()), time(|| (), |()| crates.surb()));
    row(
        "seal a reply",
        size,
        time(|| ours.reply_block().0, |block| block.seal(size, &[&ours.message]).unwrap()),
        time(|| crates.surb().0, |surb| surb.use_surb(&crates.message, crates.payload_bytes).unwrap().0.to_bytes()),
    );
    row(
        "open a reply, 4 hops, without the peeling",
        size,
        time(
            || {
                let (block, key) = ours.reply_block();
                let (_, packet) = block.seal(size, &[&ours.message]).unwrap();
                (key, ours.arrive(packet))
            },
            |(key, arrived)| key.open(arrived).unwrap(),
        ),
        time(
            || {
                let (surb, recovery) = crates.surb();
                let (packet, _) = surb.use_surb(&crates.message, crates.payload_bytes).unwrap();
                let bytes = crates.secrets.iter().fold(packet.to_bytes(), |bytes, secret| Crates::peel(&bytes, secret));
                (recovery, Payload::from_bytes(&bytes).unwrap())
            },
            |(recovery, payload)| recovery.recover_plaintext(payload).unwrap(),
        ),
    );
}
