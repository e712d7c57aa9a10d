//! The pack: up to a stripe's capacity of plaintext, and its sealing into data shards.

use super::keys::{ConvergenceSecret, StripeKey};
use crate::coding::{Geometry, Shard};
use crate::crypto::{NotAuthentic, keyed_hash_parts, open_in_place, seal_in_place};
use crate::labels::STRIPE_KEY;
use crate::params::{PACK_BYTES_MAX, SEGMENT_BYTES, SHARD_BYTES, TAG_BYTES};
use crate::secret::Secret;
use bytes::BytesMut;
use thiserror::Error;

/// A pack does not fit the data shards it was to be sealed into: our own mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a pack of {bytes} bytes does not fit {k} data shards")]
pub struct PackTooLong {
    /// Bytes of the pack.
    pub bytes: usize,
    /// Data shards.
    pub k: usize,
}

/// A pack being filled. The plaintext lies where it will be sealed, with a gap for each segment's tag, and in front
/// of room for the parity: from here to the finished shards nothing is copied.
pub(super) struct Pack {
    bytes: BytesMut,
    len: usize,
}

impl Pack {
    /// An empty one that will become `shards` shards if it is filled.
    pub(super) fn with_capacity(shards: usize) -> Pack {
        Pack { bytes: BytesMut::with_capacity(shards * SHARD_BYTES), len: 0 }
    }

    /// Bytes of plaintext.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Takes as much from the front of `bytes` as there is room for; the number of bytes taken.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(PACK_BYTES_MAX - self.len);
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(SEGMENT_BYTES - self.len % SEGMENT_BYTES));
            self.bytes.extend_from_slice(now);
            self.len += now.len();
            if self.len.is_multiple_of(SEGMENT_BYTES) {
                self.bytes.extend_from_slice(&[0; TAG_BYTES]);
            }
            rest = later;
        }
        taken
    }

    /// The plaintext, segment by segment.
    fn segments(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks(SHARD_BYTES).map(|shard| &shard[..shard.len().min(SEGMENT_BYTES)])
    }

    /// The plaintext in one piece.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.segments().flatten().copied().collect()
    }

    /// Key and sealed segments, end to end. The key is `BLAKE3-keyed[secret](length u32 ‖ plaintext)`: the length
    /// tells apart packs that padding with zeros would make equal.
    pub(super) fn seal(
        mut self,
        secret: &ConvergenceSecret,
        geometry: Geometry,
    ) -> Result<(StripeKey, BytesMut), PackTooLong> {
        if self.len > geometry.k() * SEGMENT_BYTES {
            return Err(PackTooLong { bytes: self.len, k: geometry.k() });
        }
        // A pack is far below 4 GiB.
        let length = (self.len as u32).to_le_bytes();
        let parts = std::iter::once(&length[..]).chain(self.segments());
        let key = Secret::new(keyed_hash_parts(STRIPE_KEY, secret.secret(), parts));
        self.bytes.resize(geometry.k() * SHARD_BYTES, 0);
        for (index, shard) in self.bytes.chunks_exact_mut(SHARD_BYTES).enumerate() {
            seal_in_place(&key, index as u64, shard);
        }
        Ok((StripeKey::new(key), self.bytes))
    }
}

/// Seals a pack whole: its key, and the k data shards end to end, with room behind them for the parity.
pub fn seal_pack(
    secret: &ConvergenceSecret,
    pack: &[u8],
    geometry: Geometry,
) -> Result<(StripeKey, BytesMut), PackTooLong> {
    let mut filled = Pack::with_capacity(geometry.n());
    if filled.push(pack) < pack.len() {
        return Err(PackTooLong { bytes: pack.len(), k: geometry.k() });
    }
    filled.seal(secret, geometry)
}

/// Opens data shard `index`: its [`SEGMENT_BYTES`] of plaintext, padding included.
pub fn open_segment(key: &StripeKey, index: u8, shard: &Shard) -> Result<Vec<u8>, NotAuthentic> {
    let mut plain = Vec::with_capacity(SHARD_BYTES);
    open_segment_onto(key, index, shard, &mut plain)?;
    Ok(plain)
}

/// Opens data shard `index` onto the end of `plain`, so that segments opened in order lie end to end; on failure
/// `plain` is as it was. It never reallocates with [`TAG_BYTES`] more capacity than what will be opened.
pub fn open_segment_onto(key: &StripeKey, index: u8, shard: &Shard, plain: &mut Vec<u8>) -> Result<(), NotAuthentic> {
    let start = plain.len();
    plain.extend_from_slice(shard.bytes());
    let opened = open_in_place(key.secret(), index.into(), &mut plain[start..]);
    plain.truncate(if opened.is_ok() { start + SEGMENT_BYTES } else { start });
    opened
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::{Survive, encode, geometry};
    use crate::params::DATA_SHARDS_MAX;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn secret() -> ConvergenceSecret {
        ConvergenceSecret::new(Secret::new([9; 32]))
    }

    fn shards(sealed: BytesMut) -> Vec<Shard> {
        let sealed = sealed.freeze();
        (0..sealed.len() / SHARD_BYTES)
            .map(|i| Shard::new(sealed.slice(i * SHARD_BYTES..(i + 1) * SHARD_BYTES)).unwrap())
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn opening_undoes_sealing(len in 0usize..5 * SEGMENT_BYTES, cuts in proptest::collection::vec(1usize..200_000, 0..4)) {
            let plain: Vec<u8> = (0..len).map(|i| (i * 31 / 7) as u8).collect();
            let geometry = geometry(len, Survive::Tenth, 1);
            let (key, sealed) = seal_pack(&secret(), &plain, geometry).unwrap();

            // In how many pieces a pack was filled makes no difference.
            let mut pack = Pack::with_capacity(0);
            let mut rest = &plain[..];
            for cut in cuts {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                prop_assert_eq!(pack.push(now), now.len());
                rest = later;
            }
            pack.push(rest);
            prop_assert_eq!(pack.to_vec(), &plain[..]);
            prop_assert_eq!(pack.seal(&secret(), geometry).unwrap(), (key.duplicate(), sealed.clone()));

            let mut opened = Vec::new();
            for (index, shard) in (0u8..).zip(shards(sealed)) {
                open_segment_onto(&key, index, &shard, &mut opened).unwrap();
                prop_assert_eq!(open_segment(&key, index + 1, &shard), Err(NotAuthentic));
            }
            prop_assert_eq!(opened.len(), geometry.k() * SEGMENT_BYTES);
            prop_assert_eq!(&opened[..len], &plain[..]);
            prop_assert!(opened[len..].iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn a_full_pack_takes_no_more() {
        let mut pack = Pack::with_capacity(DATA_SHARDS_MAX);
        assert_eq!(pack.push(&vec![1; PACK_BYTES_MAX + 1]), PACK_BYTES_MAX);
        assert_eq!(pack.push(&[1]), 0);
        assert_eq!(pack.bytes.len(), DATA_SHARDS_MAX * SHARD_BYTES);
    }

    #[test]
    fn packs_that_padding_would_make_equal_have_different_keys() {
        let geometry = geometry(1, Survive::Half, 1);
        let (short, _) = seal_pack(&secret(), b"text", geometry).unwrap();
        let (long, _) = seal_pack(&secret(), b"text\0", geometry).unwrap();
        let (other, _) = seal_pack(&ConvergenceSecret::new(Secret::new([8; 32])), b"text", geometry).unwrap();
        assert!(short != long && short != other);
    }

    #[test]
    fn a_changed_shard_does_not_open_and_leaves_nothing() {
        let geometry = geometry(1, Survive::Half, 1);
        let (key, sealed) = seal_pack(&secret(), b"text", geometry).unwrap();
        let mut changed = sealed[..SHARD_BYTES].to_vec();
        changed[5] ^= 1;
        let mut plain = b"before".to_vec();
        let shard = Shard::new(Bytes::from(changed)).unwrap();
        assert_eq!(open_segment_onto(&key, 0, &shard, &mut plain), Err(NotAuthentic));
        assert_eq!(plain, b"before");
    }

    #[test]
    fn a_pack_longer_than_its_shards_is_refused() {
        let geometry = Geometry::new(2, 5).unwrap();
        let bytes = 2 * SEGMENT_BYTES + 1;
        assert_eq!(seal_pack(&secret(), &vec![0; bytes], geometry), Err(PackTooLong { bytes, k: 2 }));
        let bytes = PACK_BYTES_MAX + 1;
        assert_eq!(seal_pack(&secret(), &vec![0; bytes], geometry), Err(PackTooLong { bytes, k: 2 }));
    }

    #[test]
    fn a_sealed_pack_is_coded_where_it_lies() {
        let geometry = geometry(1, Survive::Half, 1);
        let (_, sealed) = seal_pack(&secret(), b"text", geometry).unwrap();
        let place = sealed.as_ptr();
        let stripe = encode(sealed, geometry).unwrap();
        assert!(std::ptr::eq(stripe.shards[0].bytes().as_ptr(), place));
    }
}
