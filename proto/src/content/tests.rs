//! A file's whole way, there and back, with as many shards lost as may be.

use super::*;
use crate::coding::{Descriptor, Shard, Stripe, Survive, check_record, rebuild};
use crate::ids::Locator;
use crate::params::{CHUNK_BYTES_MAX, EXTENTS_MAX, INLINE_CONTENT_BYTES_MAX, PACK_BYTES_MAX, SEGMENT_BYTES};
use crate::secret::Secret;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::ops::Range;

/// The shards of a network of which just k of each stripe are left.
#[derive(Default)]
struct Survivors(HashMap<Locator, Shard>);

impl Survivors {
    fn keep_k_of(&mut self, stripe: Stripe, rng: &mut StdRng) {
        let k = stripe.descriptor.geometry().k();
        let mut shards = stripe.shards;
        shards.shuffle(rng);
        self.0.extend(shards.into_iter().take(k).map(|shard| (shard.locator(), shard)));
    }

    fn data(&self, descriptor: &Descriptor) -> Vec<Shard> {
        let have = (0u8..).zip(descriptor.locators());
        rebuild(descriptor, have.filter_map(|(i, locator)| Some((i, self.0.get(locator)?.clone()))).collect()).unwrap()
    }

    /// A range of the stream at `level`, its references read from the level above.
    fn read(&self, streams: &Streams, level: usize, range: Range<u64>) -> Vec<u8> {
        let Some(shape) = streams.levels().get(level) else {
            return streams.top_refs()[range.start as usize..range.end as usize].to_vec();
        };
        let mut bytes = Vec::new();
        for piece in shape.pieces(range) {
            let reference = self.read(streams, level + 1, shape.ref_range(piece.stripe));
            let reference = shape.parse_ref(piece.stripe, Bytes::from(reference)).unwrap();
            assert_eq!(reference.descriptor.geometry(), shape.geometry(piece.stripe).unwrap());
            assert!(piece.within.end <= reference.len);
            let mut plain = Vec::new();
            for (i, shard) in (0u8..).zip(self.data(&reference.descriptor)) {
                // Only the segments that the range touches, and those before them for simplicity.
                if usize::from(i) * SEGMENT_BYTES < piece.within.end {
                    open_segment_onto(&reference.key, i, &shard, &mut plain).unwrap();
                }
            }
            bytes.extend_from_slice(&plain[piece.within]);
        }
        bytes
    }

    fn fetch(&self, manifest: &Manifest, range: Range<u64>) -> Vec<u8> {
        match manifest.body() {
            Body::Inline(content) => content[range.start as usize..range.end as usize].to_vec(),
            Body::Streams(streams) => manifest.map(range).flat_map(|part| self.read(streams, 0, part)).collect(),
        }
    }
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn encoder(survive: Survive, size_hint: Option<u64>) -> Encoder {
    Encoder::new(ConvergenceSecret::new(Secret::new([6; 32])), survive, size_hint)
}

/// Encodes the chunks; what is left of the stripes, and how it ended.
fn publish<'a>(mut encoder: Encoder, chunks: impl Iterator<Item = &'a [u8]>) -> (Survivors, Finished, EncoderStats) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut survivors = Survivors::default();
    for chunk in chunks {
        encoder.push(chunk).unwrap();
        while let Some(stripe) = encoder.take_stripe() {
            survivors.keep_k_of(stripe, &mut rng);
        }
    }
    let finished = encoder.finish().unwrap();
    while let Some(stripe) = encoder.take_stripe() {
        survivors.keep_k_of(stripe, &mut rng);
    }
    (survivors, finished, encoder.stats())
}

/// From the link to the manifest, as a reader goes.
fn open(survivors: &Survivors, finished: &Finished) -> Manifest {
    let Finished::Root { capability, descriptor } = finished else { panic!("no root") };
    let Capability::Read { root, key } = capability.to_string().parse().unwrap() else { panic!("no root") };
    let record = Bytes::from(descriptor.encode());
    let descriptor = check_record(root.record_addresses()[1], record).unwrap();
    open_root(&key, &descriptor, &survivors.data(&descriptor)).unwrap()
}

fn round_trip(encoder: Encoder, content: &[u8], chunk_bytes: usize) -> (Manifest, EncoderStats) {
    let (survivors, finished, stats) = publish(encoder, content.chunks(chunk_bytes));
    let manifest = open(&survivors, &finished);
    let size = content.len() as u64;
    assert_eq!((manifest.size(), stats.bytes), (size, size));
    assert!(survivors.fetch(&manifest, 0..size) == content);
    let part = content.len() / 3..content.len() / 2;
    assert!(survivors.fetch(&manifest, part.start as u64..part.end as u64) == content[part]);
    (manifest, stats)
}

#[test]
fn a_few_bytes_lie_in_the_link() {
    for len in [0, 1, 64] {
        let content = noise(1, len);
        let (survivors, finished, stats) = publish(encoder(Survive::Half, None), content.chunks(7));
        assert!(survivors.0.is_empty() && stats.stripes == 0);
        let capability = finished.capability().to_string().parse::<Capability>().unwrap();
        assert_eq!(capability, Capability::Inline(content.into()));
    }
}

#[test]
fn small_files_are_one_stripe() {
    for len in [65, 1000, SEGMENT_BYTES, INLINE_CONTENT_BYTES_MAX] {
        let (manifest, stats) = round_trip(encoder(Survive::Half, Some(len as u64)), &noise(2, len), 50_000);
        assert!(matches!(manifest.body(), Body::Inline(_)) && stats.stripes == 1);
    }
    // Repetitions do not matter to what lies inline.
    round_trip(encoder(Survive::Half, None), &[7; 100_000], 1000);
}

#[test]
fn files_come_back_from_any_k_shards() {
    for len in [INLINE_CONTENT_BYTES_MAX + 1, PACK_BYTES_MAX, PACK_BYTES_MAX + 1, 5 << 20] {
        for (survive, hint) in [(Survive::Half, Some(len as u64)), (Survive::Tenth, None)] {
            let (manifest, stats) = round_trip(encoder(survive, hint), &noise(3, len), 300_000);
            let Body::Streams(streams) = manifest.body() else { panic!("inline") };
            assert_eq!((streams.levels().len(), streams.extents().len()), (1, 1));
            assert_eq!(stats.stripes, len.div_ceil(PACK_BYTES_MAX) as u64 + 1);
        }
    }
}

#[test]
fn references_that_do_not_fit_into_the_root_become_a_level() {
    let secret = ConvergenceSecret::new(Secret::new([6; 32]));
    let content = noise(4, 3 * PACK_BYTES_MAX + 5);
    let encoder = Encoder::with_root_refs_max(secret, Survive::Half, Some(content.len() as u64), 4000);
    let (manifest, stats) = round_trip(encoder, &content, CHUNK_BYTES_MAX);
    let Body::Streams(streams) = manifest.body() else { panic!("inline") };
    assert_eq!((streams.levels().len(), stats.stripes), (2, 6));
}

#[test]
fn duplicates_are_stored_once() {
    let unique = noise(5, 2 << 20);
    // Forward, twice; then each chunk twice in a row.
    let chunks: Vec<&[u8]> = unique.chunks(100_000).collect();
    let twice = chunks.iter().chain(&chunks).chain(chunks.iter().flat_map(|chunk| [chunk, chunk])).copied();
    let content: Vec<u8> = twice.clone().flatten().copied().collect();
    let (survivors, finished, stats) = publish(encoder(Survive::Tenth, None), twice);
    assert_eq!(stats.bytes_deduplicated, 3 * unique.len() as u64);
    let manifest = open(&survivors, &finished);
    assert!(survivors.fetch(&manifest, 0..content.len() as u64) == content);
    let Body::Streams(streams) = manifest.body() else { panic!("inline") };
    assert_eq!(streams.levels()[0].len(), unique.len() as u64);
    assert_eq!(streams.extents()[0].times, 2);
}

#[test]
fn deduplication_stops_when_the_extents_are_used_up() {
    let (a, b) = (noise(6, 64), noise(7, 64));
    // No two neighbours continue or repeat each other, so that each chunk costs an extent as long as there are any.
    let fresh: Vec<Vec<u8>> = (0..EXTENTS_MAX).map(|i| [&i.to_le_bytes()[..], &[9; 56]].concat()).collect();
    let chunks = fresh.iter().flat_map(|fresh| [&a[..], fresh, &b]);
    let content: Vec<u8> = chunks.clone().flatten().copied().collect();
    let (survivors, finished, stats) = publish(encoder(Survive::Tenth, None), chunks);
    assert!(stats.bytes_deduplicated > 0);
    let manifest = open(&survivors, &finished);
    let size = content.len() as u64;
    assert!(survivors.fetch(&manifest, size - 1000..size) == content[content.len() - 1000..]);
    let Body::Streams(streams) = manifest.body() else { panic!("inline") };
    assert!(streams.extents().len() == EXTENTS_MAX - 1);
}

#[test]
fn equal_content_under_an_equal_secret_becomes_equal_stripes() {
    let content = noise(8, 3 << 20);
    let run = |secret: [u8; 32]| {
        let encoder = Encoder::new(ConvergenceSecret::new(Secret::new(secret)), Survive::Half, None);
        publish(encoder, content.chunks(200_000)).1
    };
    assert_eq!(run([1; 32]), run([1; 32]));
    assert_ne!(run([1; 32]), run([2; 32]));
}

#[test]
fn an_encoder_says_what_it_is_not_given_rightly() {
    let mut encoder = encoder(Survive::Tenth, None);
    assert_eq!(encoder.push(&vec![0; CHUNK_BYTES_MAX + 1]), Err(ContentError::ChunkTooLong));
    encoder.push(&[]).unwrap();
    for seed in 0..PACK_BYTES_MAX.div_ceil(CHUNK_BYTES_MAX) as u64 {
        assert_eq!(encoder.push(&noise(seed, CHUNK_BYTES_MAX)), Ok(()));
    }
    assert_eq!(encoder.push(&[1]), Err(ContentError::StripesWaiting));
    assert_eq!(encoder.finish(), Err(ContentError::StripesWaiting));
    while encoder.take_stripe().is_some() {}
    assert!(encoder.finish().is_ok());
    assert_eq!(encoder.push(&[1]), Err(ContentError::Finished));
    assert_eq!(encoder.finish(), Err(ContentError::Finished));
}

/// A full pack of references stands for a gigabyte of content: of most of its stripes only the references are made.
#[test]
fn full_packs_of_references() {
    let secret = ConvergenceSecret::new(Secret::new([6; 32]));
    let stripes: u64 = 1400;
    let pack = PACK_BYTES_MAX as u64;
    // So small a root that two references do not fit: the packs of references need a level of their own.
    let mut encoder = Encoder::with_root_refs_max(secret, Survive::Half, Some(stripes * pack), 8000);
    let mut survivors = Survivors::default();
    let mut rng = StdRng::seed_from_u64(3);
    let mut content = Vec::new();
    for i in 0..stripes {
        if i % 400 == 399 {
            let chunk = noise(i, PACK_BYTES_MAX / 4);
            for quarter in 0..4 {
                encoder.push(&[&[quarter][..], &chunk[1..]].concat()).unwrap();
            }
            content.push((i * pack + 1, chunk[1..].to_vec()));
        } else {
            encoder.skip_pack().unwrap();
        }
        while let Some(stripe) = encoder.take_stripe() {
            survivors.keep_k_of(stripe, &mut rng);
        }
    }
    let finished = encoder.finish().unwrap();
    while let Some(stripe) = encoder.take_stripe() {
        survivors.keep_k_of(stripe, &mut rng);
    }
    let manifest = open(&survivors, &finished);
    let Body::Streams(streams) = manifest.body() else { panic!("inline") };
    let counts: Vec<u64> = streams.levels().iter().map(StreamShape::stripe_count).collect();
    assert_eq!(counts, [stripes, 3, 1]);
    assert_eq!(encoder.stats().stripes, content.len() as u64 + 3 + 1 + 1);
    for (at, wrote) in content {
        assert!(survivors.fetch(&manifest, at..at + wrote.len() as u64) == wrote);
    }
}
