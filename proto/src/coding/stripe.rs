//! Reed-Solomon over GF(2⁸), around the crate that does it.

use super::descriptor::Descriptor;
use super::geometry::Geometry;
use super::shard::{NotAShard, Shard};
use crate::params::SHARD_BYTES;
use crate::wire::WireError;
use bytes::BytesMut;
use reed_solomon_erasure::galois_8::ReedSolomon;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// Bytes of each shard that are coded at a time. The code works on each column of bytes by itself, and that many
/// columns of a stripe stay in a core's own cache, where the 13 MiB of a whole one do not: nothing gained on a machine
/// with a large shared cache (measured by `benches/coding.rs`), nothing lost either.
const COLUMN_BYTES: usize = 4096;
/// Coders kept ready; a publish or a fetch needs three or four (full, tails, root).
const CODERS_MAX: usize = 16;

const _: () = assert!(SHARD_BYTES.is_multiple_of(COLUMN_BYTES));

/// Why a stripe was not coded.
#[derive(Debug, PartialEq, Error)]
pub enum CodingError {
    /// The data are not k shards long.
    #[error("{bytes} bytes are not {k} data shards")]
    Length {
        /// Bytes given.
        bytes: usize,
        /// Data shards wanted.
        k: usize,
    },
    /// Shards of the stripe are equal, so that they cannot be told apart by name.
    #[error("shards of the stripe are equal")]
    Repeated(#[source] WireError),
    /// The shard is not the one that the descriptor names at that index.
    #[error("shard {index} is not the one in the descriptor")]
    WrongShard {
        /// The index that was claimed.
        index: u8,
    },
    /// Too few shards to rebuild.
    #[error("{have} shards where {need} are needed")]
    TooFew {
        /// Distinct shards given.
        have: usize,
        /// The stripe's k.
        need: usize,
    },
    /// What was rebuilt is not what the descriptor names: its maker lied, and no other choice of shards helps.
    #[error("the descriptor names shards that are not of one stripe")]
    Inconsistent,
    /// The Reed-Solomon crate refused, which our own checks should have ruled out.
    #[error("the coder refused")]
    Coder(#[from] reed_solomon_erasure::Error),
    /// A shard of another length, which cannot happen for slices of our own making.
    #[error(transparent)]
    NotAShard(#[from] NotAShard),
}

/// A whole stripe: what names it, and its shards in order of their index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stripe {
    /// The names of the shards.
    pub descriptor: Descriptor,
    /// The n shards. They share one buffer, which is freed with the last of them.
    pub shards: Vec<Shard>,
}

/// Makes the parity shards and names all: `data` is the k data shards end to end. Nothing is copied if `data` has
/// room for n shards.
pub fn encode(mut data: BytesMut, geometry: Geometry) -> Result<Stripe, CodingError> {
    let data_bytes = geometry.k() * SHARD_BYTES;
    if data.len() != data_bytes {
        return Err(CodingError::Length { bytes: data.len(), k: geometry.k() });
    }
    data.resize(geometry.n() * SHARD_BYTES, 0);
    let (sealed, parity) = data.split_at_mut(data_bytes);
    let coder = coder(geometry)?;
    for column in (0..SHARD_BYTES).step_by(COLUMN_BYTES) {
        let column = column..column + COLUMN_BYTES;
        let inputs: Vec<&[u8]> = sealed.chunks_exact(SHARD_BYTES).map(|shard| &shard[column.clone()]).collect();
        let mut outputs: Vec<&mut [u8]> =
            parity.chunks_exact_mut(SHARD_BYTES).map(|shard| &mut shard[column.clone()]).collect();
        coder.encode_sep(&inputs, &mut outputs)?;
    }
    let shards = cut(data)?;
    let locators = shards.iter().map(Shard::locator).collect();
    let descriptor = Descriptor::new(geometry, locators).map_err(CodingError::Repeated)?;
    Ok(Stripe { descriptor, shards })
}

/// The k data shards in order, from any k distinct shards of the stripe, each with its index. All that is given and all
/// that is rebuilt is checked against the descriptor. Given data shards are handed through without a copy.
pub fn rebuild(descriptor: &Descriptor, have: Vec<(u8, Shard)>) -> Result<Vec<Shard>, CodingError> {
    let (k, n) = (descriptor.geometry().k(), descriptor.geometry().n());
    let mut given: Vec<Option<Shard>> = vec![None; n];
    for (index, shard) in have {
        let place = usize::from(index);
        if descriptor.locators().get(place) != Some(&shard.locator()) {
            return Err(CodingError::WrongShard { index });
        }
        given[place] = Some(shard);
    }
    let have = given.iter().flatten().count();
    if have < k {
        return Err(CodingError::TooFew { have, need: k });
    }
    let missing: Vec<usize> = (0..k).filter(|&index| given[index].is_none()).collect();
    let rebuilt =
        if missing.is_empty() { Vec::new() } else { rebuild_missing(descriptor.geometry(), &given, &missing)? };
    for (index, shard) in missing.into_iter().zip(rebuilt) {
        if descriptor.locators()[index] != shard.locator() {
            return Err(CodingError::Inconsistent);
        }
        given[index] = Some(shard);
    }
    Ok(given.into_iter().take(k).flatten().collect())
}

/// All n shards from any k of them: what a repairer needs, who does not read.
pub fn rebuild_stripe(descriptor: &Descriptor, have: Vec<(u8, Shard)>) -> Result<Stripe, CodingError> {
    let mut data = BytesMut::with_capacity(descriptor.geometry().n() * SHARD_BYTES);
    for shard in rebuild(descriptor, have)? {
        data.extend_from_slice(shard.bytes());
    }
    let stripe = encode(data, descriptor.geometry())?;
    if stripe.descriptor == *descriptor { Ok(stripe) } else { Err(CodingError::Inconsistent) }
}

/// The data shards at the indices `missing` (ascending), from the first k that are there.
fn rebuild_missing(geometry: Geometry, given: &[Option<Shard>], missing: &[usize]) -> Result<Vec<Shard>, CodingError> {
    let coder = coder(geometry)?;
    let used: Vec<(usize, &Shard)> =
        given.iter().enumerate().filter_map(|(i, shard)| Some((i, shard.as_ref()?))).take(geometry.k()).collect();
    let mut rebuilt = BytesMut::zeroed(missing.len() * SHARD_BYTES);
    // The crate wants mutable slices even of what it only reads.
    let mut read = vec![0; geometry.k() * COLUMN_BYTES];
    for column in (0..SHARD_BYTES).step_by(COLUMN_BYTES) {
        let column = column..column + COLUMN_BYTES;
        let mut slices: Vec<(&mut [u8], bool)> = (0..geometry.n()).map(|_| (&mut [][..], false)).collect();
        for ((index, shard), copy) in used.iter().zip(read.chunks_exact_mut(COLUMN_BYTES)) {
            copy.copy_from_slice(&shard.bytes()[column.clone()]);
            slices[*index] = (copy, true);
        }
        for (index, shard) in missing.iter().zip(rebuilt.chunks_exact_mut(SHARD_BYTES)) {
            slices[*index] = (&mut shard[column.clone()], false);
        }
        coder.reconstruct_data(&mut slices)?;
    }
    cut(rebuilt)
}

/// Shards lying end to end, each hashed once.
fn cut(bytes: BytesMut) -> Result<Vec<Shard>, CodingError> {
    let bytes = bytes.freeze();
    let starts = (0..bytes.len()).step_by(SHARD_BYTES);
    starts.map(|start| Ok(Shard::new(bytes.slice(start..start + SHARD_BYTES))?)).collect()
}

/// A ready coder for the geometry: making one inverts a matrix, so the last few are kept.
fn coder(geometry: Geometry) -> Result<Arc<ReedSolomon>, CodingError> {
    static CODERS: Mutex<Vec<(Geometry, Arc<ReedSolomon>)>> = Mutex::new(Vec::new());
    // A list of finished coders is whole whoever panicked while holding it.
    let lock = || CODERS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, coder)) = lock().iter().find(|(of, _)| *of == geometry) {
        return Ok(coder.clone());
    }
    let made = Arc::new(ReedSolomon::new(geometry.k(), geometry.n() - geometry.k())?);
    let mut coders = lock();
    if coders.len() >= CODERS_MAX {
        coders.remove(0);
    }
    coders.push((geometry, made.clone()));
    Ok(made)
}

#[cfg(test)]
mod tests;
