use super::*;
use crate::ids::Locator;
use crate::params::DATA_SHARDS;
use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::select;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

fn stripe(k: u8, n: u8, seed: u64) -> Stripe {
    let mut data = BytesMut::zeroed(usize::from(k) * SHARD_BYTES);
    StdRng::seed_from_u64(seed).fill_bytes(&mut data);
    encode(data, Geometry::new(k, n).unwrap()).unwrap()
}

/// `count` random shards of the stripe with their indices, in random order.
fn some(stripe: &Stripe, count: usize, seed: u64) -> Vec<(u8, Shard)> {
    let mut all: Vec<(u8, Shard)> = (0u8..).zip(stripe.shards.iter().cloned()).collect();
    all.shuffle(&mut StdRng::seed_from_u64(seed));
    all.truncate(count);
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_k_shards_rebuild(k in select(DATA_SHARDS.to_vec()), more in 1u8..100, seed: u64) {
        let stripe = stripe(k, k + more, seed);
        let k = usize::from(k);
        let have = some(&stripe, k, seed);
        prop_assert_eq!(&rebuild(&stripe.descriptor, have.clone()).unwrap()[..], &stripe.shards[..k]);
        prop_assert_eq!(rebuild_stripe(&stripe.descriptor, have).unwrap(), stripe);
    }

    #[test]
    fn one_fewer_does_not(k in select(DATA_SHARDS.to_vec()), more in 1u8..100, seed: u64) {
        let stripe = stripe(k, k + more, seed);
        let need = usize::from(k);
        let mut have = some(&stripe, need - 1, seed);
        // The same shard twice is one shard.
        have.push(have[0].clone());
        prop_assert_eq!(rebuild(&stripe.descriptor, have), Err(CodingError::TooFew { have: need - 1, need }));
    }
}

#[test]
fn the_widest_stripe_is_coded() {
    let stripe = stripe(32, 255, 1);
    let last: Vec<(u8, Shard)> = (223..255).map(|i| (i, stripe.shards[usize::from(i)].clone())).collect();
    assert_eq!(rebuild(&stripe.descriptor, last).unwrap(), stripe.shards[..32]);
}

#[test]
fn data_shards_are_the_data() {
    let stripe = stripe(2, 5, 7);
    let mut data = vec![0; 2 * SHARD_BYTES];
    StdRng::seed_from_u64(7).fill_bytes(&mut data);
    assert_eq!(stripe.shards[0].bytes()[..], data[..SHARD_BYTES]);
    assert_eq!(stripe.shards[1].bytes()[..], data[SHARD_BYTES..]);
}

#[test]
fn a_shard_at_another_index_is_refused() {
    let stripe = stripe(2, 5, 2);
    for index in [1, 5, 255] {
        let have = vec![(index, stripe.shards[0].clone()), (1, stripe.shards[1].clone())];
        assert_eq!(rebuild(&stripe.descriptor, have), Err(CodingError::WrongShard { index }));
    }
}

#[test]
fn a_descriptor_of_shards_that_do_not_belong_together_is_found_out() {
    let (ours, other) = (stripe(2, 5, 3), stripe(2, 5, 4));
    let mut locators: Vec<Locator> = ours.descriptor.locators().to_vec();
    locators[4] = other.descriptor.locators()[4];
    let liar = Descriptor::new(ours.descriptor.geometry(), locators).unwrap();
    let have = vec![(0, ours.shards[0].clone()), (4, other.shards[4].clone())];
    assert_eq!(rebuild(&liar, have), Err(CodingError::Inconsistent));
    let have = vec![(0, ours.shards[0].clone()), (1, ours.shards[1].clone())];
    assert_eq!(rebuild_stripe(&liar, have), Err(CodingError::Inconsistent));
}

#[test]
fn data_of_another_length_or_of_equal_shards_are_refused() {
    let geometry = Geometry::new(2, 5).unwrap();
    let bytes = 2 * SHARD_BYTES - 1;
    assert_eq!(encode(BytesMut::zeroed(bytes), geometry), Err(CodingError::Length { bytes, k: 2 }));
    let zeros = encode(BytesMut::zeroed(2 * SHARD_BYTES), geometry);
    assert_eq!(zeros, Err(CodingError::Repeated(WireError::Invalid("locators"))));
}

#[test]
fn data_shards_are_handed_through_without_a_copy() {
    let stripe = stripe(4, 9, 5);
    let have = some(&stripe, 9, 5);
    let data = rebuild(&stripe.descriptor, have).unwrap();
    assert!(std::ptr::eq(data[2].bytes().as_ptr(), stripe.shards[2].bytes().as_ptr()));
    let _: &Bytes = data[0].bytes();
}

#[test]
fn more_geometries_than_are_kept_ready_are_coded() {
    for n in 3..3 + 2 * CODERS_MAX as u8 {
        assert_eq!(stripe(2, n, 6).shards.len(), usize::from(n));
    }
    assert_eq!(stripe(2, 3, 6).shards.len(), 3);
}
