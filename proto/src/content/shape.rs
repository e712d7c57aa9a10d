//! The shape of a stream: how it is cut into stripes, and where each stripe's reference stands in the level above.

use super::keys::StripeKey;
use crate::coding::{Descriptor, Geometry, data_shards};
use crate::params::{DATA_SHARDS_MAX, FILE_BYTES_MAX, PACK_BYTES_MAX};
use crate::secret::Secret;
use crate::wire::{Reader, WireError};
use bytes::Bytes;
use std::ops::Range;

/// [`PACK_BYTES_MAX`] as a position in a stream.
const PACK: u64 = PACK_BYTES_MAX as u64;

/// A stream of `len` bytes, cut into full packs and a shorter last one. A few numbers say all: with them each stripe's
/// geometry and the place of its reference are known without reading the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamShape {
    len: u64,
    /// The geometry of the full packs and of the last one; `None` where there is no such pack.
    full: Option<Geometry>,
    tail: Option<Geometry>,
}

/// What opens one stripe. Debug prints no key.
#[derive(Debug, PartialEq, Eq)]
pub struct StripeRef {
    /// The names of its shards.
    pub descriptor: Descriptor,
    /// The key of its segments.
    pub key: StripeKey,
    /// Bytes of its pack; what follows them in the segments is padding.
    pub len: usize,
}

/// A part of a stream that lies in one stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The stripe's number.
    pub stripe: u64,
    /// Where in the stripe's pack, in bytes.
    pub within: Range<usize>,
}

impl StreamShape {
    /// The shape of `len` bytes whose full stripes have `n_full` shards and whose last, shorter one `n_tail`. Each
    /// number is zero if there is no such stripe, so that there is one way to say a shape.
    pub fn new(len: u64, n_full: u8, n_tail: u8) -> Result<StreamShape, WireError> {
        if len == 0 || len > FILE_BYTES_MAX {
            return Err(WireError::Invalid("stream length"));
        }
        let geometry = |there: bool, k: u8, n: u8| match (there, n) {
            (false, 0) => Ok(None),
            (false, _) => Err(WireError::Invalid("stream geometry")),
            (true, n) => Geometry::new(k, n).map(Some).map_err(|_| WireError::Invalid("stream geometry")),
        };
        // Below a pack, which fits.
        let tail_bytes = (len % PACK) as usize;
        let full = geometry(len >= PACK, DATA_SHARDS_MAX as u8, n_full)?;
        let tail = geometry(tail_bytes > 0, data_shards(tail_bytes), n_tail)?;
        Ok(StreamShape { len, full, tail })
    }

    /// Bytes of the stream.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Never: a stream holds at least one byte.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The shards of a full stripe; zero if there is none.
    pub fn n_full(&self) -> u8 {
        shards(self.full)
    }

    /// The shards of the last stripe; zero if it is a full one.
    pub fn n_tail(&self) -> u8 {
        shards(self.tail)
    }

    /// How many stripes there are, at least one.
    pub fn stripe_count(&self) -> u64 {
        self.len.div_ceil(PACK)
    }

    /// Stripe `i`'s numbers; `None` behind the last one.
    pub fn geometry(&self, i: u64) -> Option<Geometry> {
        if i < self.len / PACK {
            self.full
        } else if i < self.stripe_count() {
            self.tail
        } else {
            None
        }
    }

    /// Bytes of stripe `i`'s pack; zero behind the last one.
    pub fn pack_len(&self, i: u64) -> usize {
        // At most a pack, which fits.
        i.checked_mul(PACK).map_or(0, |start| self.len.saturating_sub(start).min(PACK) as usize)
    }

    /// The stripe in which byte `offset` lies.
    pub fn stripe_of(&self, offset: u64) -> u64 {
        offset / PACK
    }

    /// The pieces of `range`, in order; what lies behind the stream's end is left out.
    pub fn pieces(&self, range: Range<u64>) -> impl Iterator<Item = Piece> + use<> {
        let end = range.end.min(self.len);
        let mut at = range.start;
        std::iter::from_fn(move || {
            let (stripe, start) = (at / PACK, (at % PACK) as usize);
            let len = end.checked_sub(at).filter(|&left| left > 0)?.min(PACK - at % PACK);
            at += len;
            Some(Piece { stripe, within: start..start + len as usize })
        })
    }

    /// Where in the stream of references stripe `i`'s reference stands; empty behind the last one.
    pub fn ref_range(&self, i: u64) -> Range<u64> {
        let Some(geometry) = self.geometry(i) else { return self.refs_len()..self.refs_len() };
        let start = i * ref_bytes(self.full);
        start..start + ref_bytes(Some(geometry))
    }

    /// Bytes of all references.
    pub fn refs_len(&self) -> u64 {
        self.len / PACK * ref_bytes(self.full) + ref_bytes(self.tail)
    }

    /// Reads stripe `i`'s reference from the bytes at its [`StreamShape::ref_range`].
    pub fn parse_ref(&self, i: u64, bytes: Bytes) -> Result<StripeRef, WireError> {
        let geometry = self.geometry(i).ok_or(WireError::Invalid("stripe number"))?;
        let mut reader = Reader::new(bytes);
        let key = StripeKey::new(Secret::new(reader.array("stripe key")?));
        let locators = Descriptor::read_locators(&mut reader, geometry)?;
        reader.finish()?;
        Ok(StripeRef { descriptor: Descriptor::new(geometry, locators)?, key, len: self.pack_len(i) })
    }
}

/// A stripe's reference: `key ‖ n × locator`. Its geometry is the shape's to say.
pub(super) fn encode_ref(key: &StripeKey, descriptor: &Descriptor) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 + descriptor.locators().len() * 32);
    bytes.extend_from_slice(key.secret().expose());
    descriptor.locators().iter().for_each(|locator| bytes.extend_from_slice(locator.as_bytes()));
    bytes
}

/// Bytes of the reference of a stripe with that geometry; none for no stripe.
pub(super) fn ref_bytes(geometry: Option<Geometry>) -> u64 {
    geometry.map_or(0, |geometry| 32 + 32 * geometry.n() as u64)
}

fn shards(geometry: Option<Geometry>) -> u8 {
    // Fits: a geometry is made of bytes.
    geometry.map_or(0, |geometry| geometry.n() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Locator;
    use proptest::prelude::*;

    #[test]
    fn a_shape_is_said_in_one_way() {
        assert!(StreamShape::new(PACK, 100, 0).is_ok());
        assert!(StreamShape::new(PACK + 1, 100, 3).is_ok());
        assert!(StreamShape::new(1, 0, 3).is_ok());
        for (len, n_full, n_tail) in [
            (0, 0, 0),
            (FILE_BYTES_MAX + 1, 100, 3),
            (PACK, 100, 3),
            (PACK, DATA_SHARDS_MAX as u8, 0),
            (PACK, 0, 0),
            (1, 100, 3),
            (1, 0, 2),
        ] {
            assert!(StreamShape::new(len, n_full, n_tail).is_err(), "{len} {n_full} {n_tail}");
        }
    }

    proptest! {
        #[test]
        fn stripes_and_references_lie_end_to_end(len in 1..6 * PACK, n_full in 65u8..=255, n_tail in 65u8..=255) {
            let (n_full, n_tail) = (if len >= PACK { n_full } else { 0 }, if len % PACK > 0 { n_tail } else { 0 });
            let shape = StreamShape::new(len, n_full, n_tail).unwrap();
            prop_assert_eq!((shape.n_full(), shape.n_tail()), (n_full, n_tail));
            let (mut bytes, mut refs) = (0, 0);
            for i in 0..shape.stripe_count() {
                prop_assert_eq!(shape.stripe_of(bytes), i);
                bytes += shape.pack_len(i) as u64;
                prop_assert_eq!(shape.ref_range(i).start, refs);
                refs = shape.ref_range(i).end;
                prop_assert!(shape.pack_len(i) <= shape.geometry(i).unwrap().k() * crate::params::SEGMENT_BYTES);
            }
            prop_assert_eq!((bytes, refs), (len, shape.refs_len()));
            let behind = shape.stripe_count();
            prop_assert_eq!((shape.geometry(behind), shape.pack_len(behind)), (None, 0));
            prop_assert!(shape.ref_range(behind).is_empty() && shape.pack_len(u64::MAX) == 0);
        }

        #[test]
        fn pieces_lie_end_to_end(len in 1..5 * PACK, from in 0..5 * PACK, count in 0..5 * PACK) {
            let tail = if len % PACK > 0 { 200 } else { 0 };
            let shape = StreamShape::new(len, if len >= PACK { 200 } else { 0 }, tail).unwrap();
            let mut at = from;
            for piece in shape.pieces(from..from + count) {
                prop_assert_eq!(piece.stripe * PACK + piece.within.start as u64, at);
                prop_assert!(!piece.within.is_empty() && piece.within.end <= shape.pack_len(piece.stripe));
                at += piece.within.len() as u64;
            }
            prop_assert_eq!(at, (from + count).min(len).max(from));
        }

        #[test]
        fn a_reference_is_read_as_it_was_written(n in 5u8..=255, key: [u8; 32]) {
            let shape = StreamShape::new(200_000, 0, n).unwrap();
            let geometry = shape.geometry(0).unwrap();
            let locators = (0..n).map(|i| Locator([i; 32])).collect();
            let wrote = StripeRef {
                descriptor: Descriptor::new(geometry, locators).unwrap(),
                key: StripeKey::new(Secret::new(key)),
                len: 200_000,
            };
            let bytes = encode_ref(&wrote.key, &wrote.descriptor);
            prop_assert_eq!(bytes.len() as u64, shape.refs_len());
            prop_assert_eq!(shape.parse_ref(0, bytes.clone().into()), Ok(wrote));
            prop_assert_eq!(shape.parse_ref(1, bytes.clone().into()), Err(WireError::Invalid("stripe number")));
            let truncated = Bytes::from(bytes[..bytes.len() - 1].to_vec());
            prop_assert_eq!(shape.parse_ref(0, truncated), Err(WireError::Truncated("locators")));
        }
    }
}
