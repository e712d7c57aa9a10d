//! The shard: a block of one fixed size, named by its own hash.

use crate::crypto;
use crate::ids::Locator;
use crate::params::SHARD_BYTES;
use bytes::Bytes;
use std::fmt;
use thiserror::Error;

/// Bytes of another length than a shard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} bytes are not a shard")]
pub struct NotAShard(pub usize);

/// [`SHARD_BYTES`] opaque bytes and the locator that they hash to. Cheap to clone. Whoever has one knows that it is whole.
#[derive(Clone, PartialEq, Eq)]
pub struct Shard {
    bytes: Bytes,
    locator: Locator,
}

impl Shard {
    /// Names the bytes; refuses another length.
    pub fn new(bytes: Bytes) -> Result<Shard, NotAShard> {
        if bytes.len() != SHARD_BYTES {
            return Err(NotAShard(bytes.len()));
        }
        let locator = Locator(crypto::hash(&bytes));
        Ok(Shard { bytes, locator })
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The name.
    pub fn locator(&self) -> Locator {
        self.locator
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shard({:?})", self.locator)
    }
}
