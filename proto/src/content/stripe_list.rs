//! The stripes of a file by their addresses, without a key to any: what a repair capability leads to.
//!
//! `version u8 = 1 ‖ count u32 ‖ count × root address 32 ‖ zeros up to 128 bytes`, published as any other content. Whoever
//! reads it can find each stripe's descriptor as a record, and so its shards. Short lists are padded, since content of a few
//! bytes would lie in the link and not in the network.

use crate::ids::RootAddress;
use crate::params::LINK_CONTENT_BYTES_MAX;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;

const VERSION: u8 = 1;
/// Bytes of a list at least: more than a link carries.
const BYTES_MIN: usize = 2 * LINK_CONTENT_BYTES_MAX;
/// Bytes of version and count.
const HEAD_BYTES: usize = 5;
/// Stripes that a list may name: those of a file of 256 GiB, at 4 MiB each.
pub const STRIPES_LISTED_MAX: usize = 1 << 16;

/// The addresses of a file's stripes, the root's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StripeList {
    stripes: Vec<RootAddress>,
}

impl StripeList {
    /// Bytes of the longest list.
    pub const BYTES_MAX: usize = HEAD_BYTES + STRIPES_LISTED_MAX * 32;

    /// Refuses more than [`STRIPES_LISTED_MAX`] stripes.
    pub fn new(stripes: Vec<RootAddress>) -> Result<StripeList, WireError> {
        if stripes.len() > STRIPES_LISTED_MAX {
            return Err(WireError::TooLong("stripes"));
        }
        Ok(StripeList { stripes })
    }

    /// The addresses.
    pub fn stripes(&self) -> &[RootAddress] {
        &self.stripes
    }

    /// The list's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(HEAD_BYTES + self.stripes.len() * 32);
        // Fits: the list is bounded.
        w.u8(VERSION).u32(self.stripes.len() as u32);
        self.stripes.iter().for_each(|stripe| _ = w.raw(stripe.as_bytes()));
        let mut bytes = w.into_vec();
        bytes.resize(bytes.len().max(BYTES_MIN), 0);
        bytes
    }

    /// Reads what [`StripeList::encode`] made, and nothing else.
    pub fn decode(bytes: Bytes) -> Result<StripeList, WireError> {
        let mut r = Reader::new(bytes);
        if r.u8("version")? != VERSION {
            return Err(WireError::Invalid("version"));
        }
        let count = r.u32("stripes")? as usize;
        if count > STRIPES_LISTED_MAX {
            return Err(WireError::TooLong("stripes"));
        }
        let body = r.raw("stripes", count * 32)?;
        let padding = r.raw("padding", BYTES_MIN.saturating_sub(HEAD_BYTES + count * 32))?;
        r.finish()?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(WireError::Invalid("padding"));
        }
        let (stripes, _) = body.as_chunks::<32>();
        Ok(StripeList { stripes: stripes.iter().map(|&stripe| RootAddress(stripe)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decode_undoes_encode(stripes: Vec<[u8; 32]>) {
            let list = StripeList::new(stripes.into_iter().map(RootAddress).collect()).unwrap();
            prop_assert_eq!(StripeList::decode(list.encode().into()), Ok(list));
        }

        #[test]
        fn what_is_decoded_encodes_to_the_same_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 128..300), count in 0u8..10) {
            bytes[..HEAD_BYTES].copy_from_slice(&[1, count, 0, 0, 0]);
            bytes.truncate((HEAD_BYTES + usize::from(count) * 32).max(BYTES_MIN));
            if let Ok(list) = StripeList::decode(bytes.clone().into()) {
                prop_assert_eq!(list.encode(), bytes);
            }
        }
    }

    #[test]
    fn other_lists_are_refused_for_their_reason() {
        let good = StripeList::new(vec![RootAddress([7; 32]); 2]).unwrap().encode();
        let read = |bytes: Vec<u8>| StripeList::decode(bytes.into()).unwrap_err();
        assert_eq!(read(vec![]), WireError::Truncated("version"));
        assert_eq!(read([&[2], &good[1..]].concat()), WireError::Invalid("version"));
        assert_eq!(read(good[..60].to_vec()), WireError::Truncated("stripes"));
        assert_eq!(read(good[..127].to_vec()), WireError::Truncated("padding"));
        assert_eq!(read([&good[..127], &[1]].concat()), WireError::Invalid("padding"));
        assert_eq!(read([&good[..], &[0]].concat()), WireError::Trailing(1));
        assert_eq!(read([&[1, 255, 255, 255, 255], &good[5..]].concat()), WireError::TooLong("stripes"));
        let many = vec![RootAddress([0; 32]); STRIPES_LISTED_MAX + 1];
        assert_eq!(StripeList::new(many), Err(WireError::TooLong("stripes")));
    }
}
