//! The encoder: chunks in, stripes and at last a capability out.

use super::capability::Capability;
use super::extents::{ExtentList, map};
use super::keys::{ConvergenceSecret, StripeKey};
use super::manifest::{Manifest, ManifestError, ROOT_LENGTH_BYTES, ROOT_REFS_BYTES_MAX};
use super::pack::{Pack, PackTooLong};
use super::root::root_pack;
use super::shape::{StreamShape, encode_ref, ref_bytes};
use crate::coding::{CodingError, Descriptor, Geometry, Stripe, Survive, encode, geometry};
use crate::params::{
    CHUNK_BYTES_MAX, DEDUP_CHUNKS_MAX, FILE_BYTES_MAX, INLINE_CONTENT_BYTES_MAX, LEVELS_MAX, LINK_CONTENT_BYTES_MAX,
    PACK_BYTES_MAX,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use thiserror::Error;

/// Stripes for which the geometry is chosen when nobody says how long the file will be: 8 GiB.
const STRIPES_ASSUMED: u64 = 4096;

// What makes a push give at most one stripe per level.
const _: () = assert!(CHUNK_BYTES_MAX <= PACK_BYTES_MAX);

/// Why content was not encoded.
#[derive(Debug, PartialEq, Error)]
pub enum ContentError {
    /// More than a file may have.
    #[error("a file has at most {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Longer than FastCDC makes them.
    #[error("a chunk has at most {CHUNK_BYTES_MAX} bytes")]
    ChunkTooLong,
    /// The caller left finished stripes lying: that would be unbounded memory.
    #[error("take the finished stripes before giving more")]
    StripesWaiting,
    /// After [`Encoder::finish`], or after an error.
    #[error("the encoder has finished")]
    Finished,
    /// A pack that does not fit, which its length rules out.
    #[error(transparent)]
    Pack(#[from] PackTooLong),
    /// The stripe was not coded.
    #[error(transparent)]
    Coding(#[from] CodingError),
    /// What was made is not a manifest, which our own bounds rule out.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// What became of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// It lies in the link itself; there are no stripes.
    Link {
        /// The content.
        capability: Capability,
    },
    /// It lies in stripes; the last one to take is the root.
    Root {
        /// What reads it.
        capability: Capability,
        /// The root stripe's, to be published as a record.
        descriptor: Descriptor,
    },
}

impl Finished {
    /// The capability in either case.
    pub fn capability(&self) -> &Capability {
        match self {
            Finished::Link { capability } | Finished::Root { capability, .. } => capability,
        }
    }
}

/// What an encoder has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderStats {
    /// Bytes of the file.
    pub bytes: u64,
    /// Those of them that stood in the file before and were not stored again.
    pub bytes_deduplicated: u64,
    /// Stripes made, of content, references and root.
    pub stripes: u64,
    /// Shards of these.
    pub shards: u64,
}

/// Encodes one file: [`push`](Encoder::push) its chunks in order and then [`finish`](Encoder::finish), and after each
/// of these [`take_stripe`](Encoder::take_stripe) until there is none. It holds one pack per level and what was not
/// taken yet, and does all its work inside of the calls. Equal content under an equal secret, cut into equal chunks,
/// becomes equal stripes.
pub struct Encoder {
    secret: ConvergenceSecret,
    survive: Survive,
    /// Stripes that a full stripe's geometry was chosen for, and that geometry.
    planned: Option<u64>,
    full: Geometry,
    levels: Vec<Level>,
    extents: ExtentList,
    /// Chunks by name, at most [`DEDUP_CHUNKS_MAX`]: where each lies in the level-0 stream.
    seen: BTreeMap<[u8; 16], u64>,
    /// Finished stripes: at most one per level after a push, two and the root after the end.
    ready: VecDeque<Stripe>,
    stats: EncoderStats,
    root_refs_bytes_max: usize,
    finished: bool,
}

/// A stream being made: all its bytes so far, of which the last ones are in the pack.
struct Level {
    len: u64,
    pack: Pack,
}

impl Encoder {
    /// An encoder for a file that will have `size_hint` bytes. The hint only chooses how many shards a stripe has: a
    /// file that turns out longer is protected a little less well. For equal stripes the hint must be equal, too.
    pub fn new(secret: ConvergenceSecret, survive: Survive, size_hint: Option<u64>) -> Encoder {
        Encoder::with_root_refs_max(secret, survive, size_hint, ROOT_REFS_BYTES_MAX)
    }

    /// With a smaller root, so that tests need no gigabytes to fill it.
    pub(super) fn with_root_refs_max(
        secret: ConvergenceSecret,
        survive: Survive,
        size_hint: Option<u64>,
        root_refs_bytes_max: usize,
    ) -> Encoder {
        let planned = size_hint.map(|size| stripes_of(size, survive, root_refs_bytes_max));
        Encoder {
            secret,
            survive,
            planned,
            full: geometry(PACK_BYTES_MAX, survive, planned.unwrap_or(STRIPES_ASSUMED)),
            levels: Vec::new(),
            extents: ExtentList::default(),
            seen: BTreeMap::new(),
            ready: VecDeque::new(),
            stats: EncoderStats::default(),
            root_refs_bytes_max,
            finished: false,
        }
    }

    /// The next chunk of the file, at most [`CHUNK_BYTES_MAX`] bytes.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), ContentError> {
        self.check_ready()?;
        if chunk.is_empty() {
            return Ok(());
        }
        if chunk.len() > CHUNK_BYTES_MAX {
            return Err(ContentError::ChunkTooLong);
        }
        let len = chunk.len() as u64;
        if self.stats.bytes + len > FILE_BYTES_MAX {
            return Err(ContentError::TooLarge);
        }
        self.stats.bytes += len;

        let end = self.levels.first().map_or(0, |level| level.len);
        let id = (!self.extents.is_full()).then(|| self.secret.chunk_id(chunk));
        if let Some(&offset) = id.and_then(|id| self.seen.get(&id)) {
            self.extents.push(offset, len);
            self.stats.bytes_deduplicated += len;
            return Ok(());
        }
        if let Some(id) = id
            && self.seen.len() < DEDUP_CHUNKS_MAX
        {
            self.seen.insert(id, end);
        }
        self.extents.push(end, len);
        let appended = self.append(0, chunk);
        self.finished = appended.is_err();
        appended
    }

    /// In the place of a pack of content: its length and a reference to nothing, so that tests see many references without
    /// the gigabytes that they stand for.
    #[cfg(test)]
    pub(super) fn skip_pack(&mut self) -> Result<(), ContentError> {
        let level = self.level(0)?;
        assert_eq!(level.pack.len(), 0, "between two packs");
        let offset = level.len;
        level.len += PACK_BYTES_MAX as u64;
        self.stats.bytes += PACK_BYTES_MAX as u64;
        self.extents.push(offset, PACK_BYTES_MAX as u64);
        let reference = (32 + 32 * self.full.n()) as u64;
        self.append(1, &offset.to_le_bytes().repeat(reference as usize / 8))
    }

    /// A finished stripe, to be scattered. Those that refer to others come after them, the root last.
    pub fn take_stripe(&mut self) -> Option<Stripe> {
        self.ready.pop_front()
    }

    /// What was done so far.
    pub fn stats(&self) -> EncoderStats {
        self.stats
    }

    /// The end of the file. Stripes may be left to take.
    pub fn finish(&mut self) -> Result<Finished, ContentError> {
        self.check_ready()?;
        self.finished = true;
        let size = self.stats.bytes;
        let stripes = self.stripes();
        let extents = std::mem::take(&mut self.extents).into_vec();
        if size <= INLINE_CONTENT_BYTES_MAX as u64 {
            // All of it is still in the pack.
            let stream = self.levels.first().map_or_else(Vec::new, |level| level.pack.to_vec());
            let parts = map(&extents, 0..size).map(|part| &stream[part.start as usize..part.end as usize]);
            let content = Bytes::from(parts.collect::<Vec<_>>().concat());
            if content.len() <= LINK_CONTENT_BYTES_MAX {
                return Ok(Finished::Link { capability: Capability::Inline(content) });
            }
            return self.finish_root(Manifest::inline(content)?, stripes);
        }
        let (levels, top_refs) = self.finish_levels(stripes)?;
        self.finish_root(Manifest::streams(size, extents, levels, top_refs.into())?, stripes)
    }

    /// Flushes each level, lowest first, until the references to it fit into the root.
    fn finish_levels(&mut self, stripes: u64) -> Result<(Vec<StreamShape>, Vec<u8>), ContentError> {
        let mut shapes = Vec::new();
        for index in 0..=LEVELS_MAX {
            let Level { len, pack } = self.level(index)?;
            let (len, tail_bytes) = (*len, pack.len());
            let whole = len == tail_bytes as u64;
            if index > 0 && whole && tail_bytes <= self.root_refs_bytes_max {
                return Ok((shapes, self.level(index)?.pack.to_vec()));
            }
            let tail = geometry(tail_bytes, self.survive, stripes);
            if tail_bytes > 0 {
                self.flush(index, tail)?;
            }
            let full = if len >= PACK_BYTES_MAX as u64 { self.full.n() } else { 0 };
            let tail = if tail_bytes > 0 { tail.n() } else { 0 };
            // Both fit: a geometry is made of bytes.
            shapes.push(StreamShape::new(len, full as u8, tail as u8).map_err(ManifestError::from)?);
        }
        Err(ContentError::TooLarge)
    }

    fn finish_root(&mut self, manifest: Manifest, stripes: u64) -> Result<Finished, ContentError> {
        let bytes = ROOT_LENGTH_BYTES + manifest.encode().len();
        let geometry = geometry(bytes, self.survive, stripes);
        let (key, descriptor) = self.make_stripe(root_pack(&manifest, geometry.n()), geometry)?;
        let capability = Capability::Read { root: descriptor.root_address(), key };
        Ok(Finished::Root { capability, descriptor })
    }

    /// How many stripes the whole file takes: what is known at its end, or more if more was planned with.
    fn stripes(&self) -> u64 {
        let assumed = if self.stats.stripes > 0 { STRIPES_ASSUMED } else { 0 };
        let known = stripes_of(self.stats.bytes, self.survive, self.root_refs_bytes_max);
        self.planned.unwrap_or(assumed).max(known)
    }

    fn check_ready(&self) -> Result<(), ContentError> {
        if self.finished {
            Err(ContentError::Finished)
        } else if !self.ready.is_empty() {
            Err(ContentError::StripesWaiting)
        } else {
            Ok(())
        }
    }

    /// The level, made if it is the next one.
    fn level(&mut self, index: usize) -> Result<&mut Level, ContentError> {
        if index == self.levels.len() && index <= LEVELS_MAX {
            self.levels.push(Level { len: 0, pack: Pack::with_capacity(self.full.n()) });
        }
        self.levels.get_mut(index).ok_or(ContentError::TooLarge)
    }

    /// Lengthens a stream. Together with [`Encoder::flush`] it goes up as many levels as there are, which is bounded.
    fn append(&mut self, index: usize, mut bytes: &[u8]) -> Result<(), ContentError> {
        while !bytes.is_empty() {
            let level = self.level(index)?;
            let taken = level.pack.push(bytes);
            level.len += taken as u64;
            bytes = &bytes[taken..];
            if level.pack.len() == PACK_BYTES_MAX {
                self.flush(index, self.full)?;
            }
        }
        Ok(())
    }

    /// Makes a stripe of a level's pack, and its reference the next bytes of the level above.
    fn flush(&mut self, index: usize, geometry: Geometry) -> Result<(), ContentError> {
        let next = Pack::with_capacity(self.full.n());
        let pack = std::mem::replace(&mut self.level(index)?.pack, next);
        let (key, descriptor) = self.make_stripe(pack, geometry)?;
        self.append(index + 1, &encode_ref(&key, &descriptor))
    }

    fn make_stripe(&mut self, pack: Pack, geometry: Geometry) -> Result<(StripeKey, Descriptor), ContentError> {
        let (key, sealed) = pack.seal(&self.secret, geometry)?;
        let stripe = encode(sealed, geometry)?;
        self.stats.stripes += 1;
        self.stats.shards += stripe.shards.len() as u64;
        let descriptor = stripe.descriptor.clone();
        self.ready.push_back(stripe);
        Ok((key, descriptor))
    }
}

/// The stripes of a file of `size` bytes, all levels and the root; a little more where the file repeats itself.
fn stripes_of(size: u64, survive: Survive, root_refs_bytes_max: usize) -> u64 {
    const PACK: u64 = PACK_BYTES_MAX as u64;
    if size <= INLINE_CONTENT_BYTES_MAX as u64 {
        return 1;
    }
    let reference = ref_bytes(Some(geometry(PACK_BYTES_MAX, survive, size / PACK + 1)));
    let (mut total, mut level) = (1, size.div_ceil(PACK));
    loop {
        total += level;
        let above = level * reference;
        if above <= root_refs_bytes_max as u64 || level == 1 {
            return total;
        }
        level = above.div_ceil(PACK);
    }
}
