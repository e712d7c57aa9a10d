use super::*;
use crate::params::{LARGE_BODY_BYTES, SMALL_BODY_BYTES};
use proptest::prelude::*;

fn body_of(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|i| (i % 251) as u8).collect()
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![Just(SMALL_BODY_BYTES), Just(LARGE_BODY_BYTES)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn decrypt_undoes_encrypt_and_encrypt_undoes_decrypt(seed: [u8; 16], bytes in size()) {
        let layer = Layer::of(&Seed(seed));
        let plain = body_of(bytes);
        let mut body = plain.clone();
        layer.encrypt(&mut body);
        prop_assert_ne!(&body, &plain);
        layer.decrypt(&mut body);
        prop_assert_eq!(&body, &plain);
        layer.decrypt(&mut body);
        layer.encrypt(&mut body);
        prop_assert_eq!(&body, &plain);
    }

    /// No mark survives an honest relay: one bit changed before it is noise everywhere behind it, in both directions.
    #[test]
    fn one_bit_changes_the_whole_body(seed: [u8; 16], bytes in size(), at: prop::sample::Index, bit in 0..8_u32) {
        let layer = Layer::of(&Seed(seed));
        for cipher in [Layer::encrypt, Layer::decrypt] {
            let mut one = body_of(bytes);
            let mut other = one.clone();
            other[at.index(bytes)] ^= 1_u8 << bit;
            cipher(&layer, &mut one);
            cipher(&layer, &mut other);
            let bits: u32 = one.iter().zip(&other).map(|(a, b)| (a ^ b).count_ones()).sum();
            // Half of all bits, within twelve standard deviations.
            let (half, deviation) = (bytes as f64 * 4.0, (bytes as f64 * 2.0).sqrt());
            prop_assert!((f64::from(bits) - half).abs() < 12.0 * deviation);
            prop_assert_ne!(one[..LEFT_BYTES].to_vec(), other[..LEFT_BYTES].to_vec());
        }
    }

    #[test]
    fn a_sealed_message_opens(seed: [u8; 16], parts: Vec<Vec<u8>>) {
        let seed = Seed(seed);
        let message = parts.concat();
        prop_assume!(message.len() <= SMALL_BODY_BYTES - TAG_BYTES - FRAME_BYTES);
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        let mut body = vec![0; SMALL_BODY_BYTES];
        seal(&seed, &mut body, &parts).unwrap();
        let at = open(&seed, &mut body).unwrap();
        prop_assert_eq!(&body[at], &message[..]);
    }

    #[test]
    fn a_changed_body_does_not_open(seed: [u8; 16], at: prop::sample::Index, bit in 0..8_u32) {
        let seed = Seed(seed);
        let mut body = vec![0; SMALL_BODY_BYTES];
        seal(&seed, &mut body, &[b"message"]).unwrap();
        body[at.index(SMALL_BODY_BYTES)] ^= 1_u8 << bit;
        prop_assert_eq!(open(&seed, &mut body), Err(Dropped::Body));
    }
}

/// Written down once, and computed a second time by an implementation of its own in another language
/// (docs/decisions/0002-onion-body.md).
#[test]
fn a_layer_is_what_the_specification_says() {
    let seed = Seed(std::array::from_fn(|i| i as u8));
    let layer = Layer::of(&seed);
    for (bytes, expected) in [
        (64, "2885f25b0bad30fbde5483f15a848e57caaa632312a5e35d25b6ded9af7b2c51"),
        (SMALL_BODY_BYTES, "fd6263697a290f5463f6ae6863db35ebf65c676e6859d17a364942ef81ceda21"),
        (LARGE_BODY_BYTES, "0c18db85c573ed2d512e9c2eddb27b486c57d90112889169d69c07ffb19efe1b"),
    ] {
        let mut body = body_of(bytes);
        layer.encrypt(&mut body);
        assert_eq!(blake3::hash(&body).to_hex().as_str(), expected, "{bytes} bytes");
    }
}

#[test]
fn a_layer_is_not_another_seeds_nor_its_own_inverse() {
    let (one, other) = (Layer::of(&Seed([1; 16])), Layer::of(&Seed([2; 16])));
    let plain = body_of(SMALL_BODY_BYTES);
    let encrypted = |layer: &Layer| {
        let mut body = plain.clone();
        layer.encrypt(&mut body);
        body
    };
    assert_ne!(encrypted(&one), encrypted(&other));
    let mut twice = encrypted(&one);
    one.encrypt(&mut twice);
    assert_ne!(twice, plain);
}

/// All four keys of a layer, the key of the seal and the crate's own payload keys are different values of one seed.
#[test]
fn the_keys_of_one_seed_are_separate() {
    let seed = Seed([9; 16]);
    let mut keys: Vec<[u8; 32]> = Layer::of(&seed).0.to_vec();
    keys.push(*crypto::derive_secret(BODY_SEAL, &seed.0).expose());
    keys.extend(sphinx_packet::payload::key::derive_payload_key(&seed.0).as_chunks::<32>().0);
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
}

#[test]
fn the_longest_message_fits_and_no_longer_one() {
    for bytes in [SMALL_BODY_BYTES, LARGE_BODY_BYTES] {
        let max = bytes - TAG_BYTES - FRAME_BYTES;
        let mut body = vec![0; bytes];
        assert_eq!(seal(&Seed([1; 16]), &mut body, &[&vec![7; max]]), Ok(()));
        assert_eq!(open(&Seed([1; 16]), &mut body), Ok(FRAME_BYTES..FRAME_BYTES + max));
        let mut body = vec![0; bytes];
        assert_eq!(seal(&Seed([1; 16]), &mut body, &[&vec![7; max], &[7]]), Err(OnionError::TooLong(max + 1)));
    }
}

/// A body sealed with the right key by somebody who does not keep to the format.
fn forged(length: u32, padding: u8) -> Result<Range<usize>, Dropped> {
    let seed = Seed([3; 16]);
    let mut body = vec![padding; SMALL_BODY_BYTES];
    body[..FRAME_BYTES].copy_from_slice(&length.to_le_bytes());
    crypto::seal_in_place(&crypto::derive_secret(BODY_SEAL, &seed.0), 0, &mut body);
    open(&seed, &mut body)
}

#[test]
fn an_impossible_length_or_padding_is_refused_though_authentic() {
    let max = (SMALL_BODY_BYTES - TAG_BYTES - FRAME_BYTES) as u32;
    assert_eq!(forged(5, 0), Ok(4..9));
    assert_eq!(forged(max, 1), Ok(4..4 + max as usize));
    assert_eq!(forged(max - 1, 1), Err(Dropped::Body));
    assert_eq!(forged(max + 1, 0), Err(Dropped::Body));
    assert_eq!(forged(u32::MAX, 0), Err(Dropped::Body));
}
