//! What names a stripe's shards. No key: who has it can check and repair, not read.

use super::geometry::Geometry;
use crate::crypto::derive;
use crate::ids::{Locator, RecordAddress, RootAddress};
use crate::labels::{RECORD_ADDRESS, ROOT_ADDRESS};
use crate::params::RECORD_ADDRESSES;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;
use std::collections::BTreeSet;
use thiserror::Error;

/// A stripe's geometry and the names of its shards, data shards first. No name stands twice: n shards are n places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    geometry: Geometry,
    locators: Vec<Locator>,
}

impl Descriptor {
    /// Refuses another number of locators than the geometry's n, and repeated ones.
    pub fn new(geometry: Geometry, locators: Vec<Locator>) -> Result<Descriptor, WireError> {
        let distinct: BTreeSet<&Locator> = locators.iter().collect();
        if locators.len() != geometry.n() || distinct.len() != locators.len() {
            return Err(WireError::Invalid("locators"));
        }
        Ok(Descriptor { geometry, locators })
    }

    /// How many shards there are, and how many are needed.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// The shards' names, in order of their index.
    pub fn locators(&self) -> &[Locator] {
        &self.locators
    }

    /// `k u8 ‖ n u8 ‖ n × locator`.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(2 + self.locators.len() * 32);
        // Both fit: a geometry is made of bytes.
        writer.u8(self.geometry.k() as u8).u8(self.geometry.n() as u8);
        for locator in &self.locators {
            writer.raw(locator.as_bytes());
        }
        writer.into_vec()
    }

    /// Reads what [`Descriptor::encode`] made, and nothing else.
    pub fn decode(bytes: Bytes) -> Result<Descriptor, WireError> {
        let mut reader = Reader::new(bytes);
        let (k, n) = (reader.u8("k")?, reader.u8("n")?);
        let geometry = Geometry::new(k, n).map_err(|_| WireError::Invalid("geometry"))?;
        let locators = Descriptor::read_locators(&mut reader, geometry)?;
        reader.finish()?;
        Descriptor::new(geometry, locators)
    }

    /// As many locators as the geometry has shards; refused before anything is allocated if they are not all there.
    pub(crate) fn read_locators(reader: &mut Reader, geometry: Geometry) -> Result<Vec<Locator>, WireError> {
        let bytes = reader.raw("locators", geometry.n() * 32)?;
        let (locators, _) = bytes.as_chunks::<32>();
        Ok(locators.iter().map(|&locator| Locator(locator)).collect())
    }

    /// The hash that names this descriptor as a root.
    pub fn root_address(&self) -> RootAddress {
        RootAddress(derive(ROOT_ADDRESS, &self.encode()))
    }
}

impl RootAddress {
    /// The addresses at which the root's descriptor is kept as a record: unrelated places, so that a censor must occupy
    /// each of them.
    pub fn record_addresses(&self) -> [RecordAddress; RECORD_ADDRESSES] {
        std::array::from_fn(|number| {
            let mut material = [0; 33];
            material[..32].copy_from_slice(self.as_bytes());
            // Below RECORD_ADDRESSES, which fits.
            material[32] = number as u8;
            RecordAddress(derive(RECORD_ADDRESS, &material))
        })
    }
}

/// Why a record is refused under an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// The bytes are no descriptor.
    #[error("the record is no descriptor: {0}")]
    Malformed(#[source] WireError),
    /// The bytes are a descriptor, but of another address.
    #[error("the record belongs to another address")]
    Elsewhere,
}

/// Checks that `bytes` are the descriptor record that belongs at `address`. A record certifies itself: nobody's word is
/// needed.
pub fn check_record(address: RecordAddress, bytes: Bytes) -> Result<Descriptor, BadRecord> {
    let descriptor = Descriptor::decode(bytes).map_err(BadRecord::Malformed)?;
    if descriptor.root_address().record_addresses().contains(&address) {
        Ok(descriptor)
    } else {
        Err(BadRecord::Elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::DATA_SHARDS;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn descriptor(k: u8, n: u8, salt: u8) -> Descriptor {
        let locators = (0..n).map(|i| Locator(derive(ROOT_ADDRESS, &[salt, i]))).collect();
        Descriptor::new(Geometry::new(k, n).unwrap(), locators).unwrap()
    }

    proptest! {
        #[test]
        fn decode_undoes_encode(k in select(DATA_SHARDS.to_vec()), more in 1u8..=191, salt: u8) {
            let descriptor = descriptor(k, k + more, salt);
            prop_assert_eq!(Descriptor::decode(descriptor.encode().into()), Ok(descriptor));
        }

        #[test]
        fn what_is_decoded_encodes_to_the_same_bytes(head in proptest::collection::vec(0u8..8, 2), body: Vec<u8>) {
            let bytes = [head, body].concat();
            if let Ok(descriptor) = Descriptor::decode(bytes.clone().into()) {
                prop_assert_eq!(descriptor.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_locator_that_stands_twice_is_refused() {
        let mut bytes = descriptor(2, 5, 0).encode();
        bytes.copy_within(2..34, 66);
        assert_eq!(Descriptor::decode(bytes.into()), Err(WireError::Invalid("locators")));
    }

    #[test]
    fn truncated_extended_and_unknown_geometries_are_refused() {
        let bytes = descriptor(2, 5, 0).encode();
        assert_eq!(Descriptor::decode(bytes[..161].to_vec().into()), Err(WireError::Truncated("locators")));
        assert_eq!(Descriptor::decode([&bytes[..], &[0]].concat().into()), Err(WireError::Trailing(1)));
        assert_eq!(Descriptor::decode([&[3], &bytes[1..]].concat().into()), Err(WireError::Invalid("geometry")));
    }

    #[test]
    fn a_record_is_accepted_at_its_addresses_only() {
        let (ours, other) = (descriptor(2, 5, 0), descriptor(2, 5, 1));
        let addresses = ours.root_address().record_addresses();
        assert!(addresses[0] != addresses[1] && addresses[1] != addresses[2] && addresses[0] != addresses[2]);
        for address in addresses {
            assert_eq!(check_record(address, ours.encode().into()), Ok(ours.clone()));
            assert_eq!(check_record(address, other.encode().into()), Err(BadRecord::Elsewhere));
        }
        assert!(matches!(check_record(addresses[0], Bytes::from_static(b"garbage")), Err(BadRecord::Malformed(_))));
    }
}
