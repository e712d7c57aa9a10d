//! Speeds of the coding of stripes and of the whole publish pipeline, one thread. Run: `cargo bench -p
//! palimpsest-proto --bench coding`.
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::expect_used, reason = "a measurement may end by panicking")]

use bytes::BytesMut;
use palimpsest_proto::coding::{Geometry, Survive, encode, loss, rebuild};
use palimpsest_proto::content::{ConvergenceSecret, Encoder, open_segment_onto, seal_pack};
use palimpsest_proto::params::{CHUNK_BYTES_AVG, PACK_BYTES_MAX, SHARD_BYTES};
use palimpsest_proto::secret::Secret;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Instant;

/// Runs `job` over `bytes` bytes several times and prints the best: what else the machine does only slows.
fn measure(what: &str, times: usize, bytes: usize, mut job: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..times {
        let start = Instant::now();
        job();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!("{what:<44} {:>9.3} ms {:>9.0} MB/s", best * 1e3, bytes as f64 / 1e6 / best);
}

fn coding(k: u8, n: u8) {
    let bytes = usize::from(k) * SHARD_BYTES;
    let geometry = Geometry::new(k, n).expect("a geometry");
    let mut data = vec![0; bytes];
    StdRng::seed_from_u64(1).fill_bytes(&mut data);
    let make = || {
        let mut buffer = BytesMut::with_capacity(geometry.n() * SHARD_BYTES);
        buffer.extend_from_slice(&data);
        encode(buffer, geometry).expect("a stripe")
    };
    measure(&format!("encode and name, {geometry}"), 30, bytes, || drop(make()));
    let stripe = make();
    for missing in [k / 4, k] {
        let have: Vec<_> = (missing..missing + k).map(|i| (i, stripe.shards[usize::from(i)].clone())).collect();
        measure(&format!("rebuild {missing} missing, {geometry}"), 30, bytes, || {
            drop(rebuild(&stripe.descriptor, have.clone()).expect("the data"));
        });
    }
}

/// The whole way from chunks to named shards, and the reader's opening of segments.
fn content() {
    let mut data = vec![0; 64 << 20];
    StdRng::seed_from_u64(2).fill_bytes(&mut data);
    let secret = ConvergenceSecret::new(Secret::new([1; 32]));
    for survive in [Survive::Half, Survive::Third, Survive::Tenth] {
        measure(&format!("publish pipeline, survive {survive}"), 5, data.len(), || {
            let mut encoder = Encoder::new(secret.duplicate(), survive, Some(data.len() as u64));
            for chunk in data.chunks(CHUNK_BYTES_AVG) {
                encoder.push(chunk).expect("a chunk");
                while encoder.take_stripe().is_some() {}
            }
            encoder.finish().expect("an end");
        });
    }
    let pack = &data[..PACK_BYTES_MAX];
    let geometry = Geometry::new(32, 113).expect("a geometry");
    let seal = || seal_pack(&secret, pack, geometry).expect("a pack");
    measure("key and seal a pack", 30, pack.len(), || drop(seal()));
    let (key, sealed) = seal();
    let stripe = encode(sealed, geometry).expect("a stripe");
    let mut plain = Vec::with_capacity(32 * SHARD_BYTES);
    measure("open a pack", 30, pack.len(), || {
        plain.clear();
        for (index, shard) in (0..32).zip(&stripe.shards) {
            open_segment_onto(&key, index, shard, &mut plain).expect("authentic");
        }
    });
}

fn main() {
    content();
    coding(32, 113);
    coding(32, 130);
    coding(32, 83);
    coding(4, 40);
    let mut loads = vec![0; 10_000];
    loads[..130].fill(1);
    measure("loss, 130 shards on 10,000 nodes", 10, 0, || assert!(loss(32, &loads, 5_000) < 1e-6));
}
