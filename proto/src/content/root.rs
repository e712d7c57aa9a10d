//! The root pack: the manifest, sealed like any other pack, in a stripe of its own.

use super::keys::StripeKey;
use super::manifest::{Manifest, ManifestError, ROOT_LENGTH_BYTES};
use super::pack::{Pack, open_segment_onto};
use crate::coding::{Descriptor, Shard, data_shards};
use crate::crypto::NotAuthentic;
use crate::params::{SEGMENT_BYTES, TAG_BYTES};
use crate::wire::WireError;
use bytes::Bytes;
use thiserror::Error;

/// Why a root stripe does not yield a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RootError {
    /// These are not the data shards of that descriptor: the caller's mistake.
    #[error("these are not the root's data shards")]
    WrongShards,
    /// The key does not open them.
    #[error("the link's key does not open the root")]
    NotAuthentic,
    /// The plaintext is not a manifest: its maker's fault.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The root pack of a manifest: `length u32 ‖ manifest`; sealing pads it with zeros.
pub(super) fn root_pack(manifest: &Manifest, shards: usize) -> Pack {
    let bytes = manifest.encode();
    let mut pack = Pack::with_capacity(shards);
    // Fits a pack, and so the length: the bounds of a manifest see to that.
    pack.push(&(bytes.len() as u32).to_le_bytes());
    pack.push(&bytes);
    pack
}

/// Opens the root: the manifest from the `data` shards (all k, in order, as [`crate::coding::rebuild`] returns them).
pub fn open_root(key: &StripeKey, descriptor: &Descriptor, data: &[Shard]) -> Result<Manifest, RootError> {
    let k = descriptor.geometry().k();
    if data.len() != k || data.iter().zip(descriptor.locators()).any(|(shard, locator)| shard.locator() != *locator) {
        return Err(RootError::WrongShards);
    }
    let mut plain = Vec::with_capacity(k * SEGMENT_BYTES + TAG_BYTES);
    for (index, shard) in (0u8..).zip(data) {
        open_segment_onto(key, index, shard, &mut plain).map_err(|NotAuthentic| RootError::NotAuthentic)?;
    }
    let plain = Bytes::from(plain);
    let malformed = |what| RootError::Manifest(ManifestError::Malformed(WireError::Invalid(what)));
    let (length, rest) = plain.split_first_chunk::<ROOT_LENGTH_BYTES>().ok_or(malformed("root length"))?;
    let length = u32::from_le_bytes(*length) as usize;
    // The pack's length decides k and the padding: one way to write a root.
    let padding = rest.get(length..).ok_or(malformed("root length"))?;
    if usize::from(data_shards(ROOT_LENGTH_BYTES + length)) != k {
        return Err(malformed("root length"));
    }
    if padding.iter().any(|&byte| byte != 0) {
        return Err(malformed("root padding"));
    }
    Ok(Manifest::decode(plain.slice(ROOT_LENGTH_BYTES..ROOT_LENGTH_BYTES + length))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::{Stripe, Survive, encode, geometry};
    use crate::content::{ConvergenceSecret, seal_pack};
    use crate::secret::Secret;

    /// A root stripe around any plaintext.
    fn root(plain: &[u8], pack_bytes: usize) -> (StripeKey, Stripe) {
        let geometry = geometry(pack_bytes, Survive::Tenth, 1);
        let secret = ConvergenceSecret::new(Secret::new([3; 32]));
        let (key, sealed) = seal_pack(&secret, plain, geometry).unwrap();
        (key, encode(sealed, geometry).unwrap())
    }

    fn opened(plain: &[u8]) -> Result<Manifest, RootError> {
        let (key, stripe) = root(plain, plain.len());
        open_root(&key, &stripe.descriptor, &stripe.shards[..stripe.descriptor.geometry().k()])
    }

    fn invalid(what: &'static str) -> Result<Manifest, RootError> {
        Err(RootError::Manifest(ManifestError::Malformed(WireError::Invalid(what))))
    }

    #[test]
    fn a_root_opens_to_its_manifest_with_its_key_only() {
        let manifest = Manifest::inline(Bytes::from(vec![5; 100_000])).unwrap();
        let plain = root_pack(&manifest, 8).to_vec();
        assert_eq!(opened(&plain), Ok(manifest));
        let (_, stripe) = root(&plain, plain.len());
        let wrong = StripeKey::new(Secret::new([0; 32]));
        assert_eq!(open_root(&wrong, &stripe.descriptor, &stripe.shards[..2]), Err(RootError::NotAuthentic));
    }

    #[test]
    fn other_shards_are_refused() {
        let (key, stripe) = root(&root_pack(&Manifest::inline(Bytes::new()).unwrap(), 8).to_vec(), 4);
        for shards in [0..1, 1..3, 0..3] {
            let refused = open_root(&key, &stripe.descriptor, &stripe.shards[shards]);
            assert_eq!(refused, Err(RootError::WrongShards));
        }
    }

    #[test]
    fn lengths_and_padding_that_lie_are_refused() {
        assert_eq!(opened(&[255; 8]), invalid("root length"));
        let plain = root_pack(&Manifest::inline(Bytes::from_static(b"text")).unwrap(), 8).to_vec();
        assert_eq!(opened(&[&plain[..], &[0, 0, 1]].concat()), invalid("root padding"));
        // Zeros behind it are the padding, but not as much as asks for more shards.
        assert!(opened(&[&plain[..], &[0, 0, 0]].concat()).is_ok());
        assert_eq!(opened(&[&plain[..], &vec![0; 2 * SEGMENT_BYTES]].concat()), invalid("root length"));
    }
}
