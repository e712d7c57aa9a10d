//! The manifest: what is published, and where it lies.

use super::extents::{Extent, map};
use super::shape::StreamShape;
use crate::params::{EXTENTS_MAX, FILE_BYTES_MAX, INLINE_CONTENT_BYTES_MAX, LEVELS_MAX, PACK_BYTES_MAX};
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use thiserror::Error;

/// The version of the manifest that is written and read here.
const VERSION: u8 = 1;
/// Kinds of manifest; directories will have their own.
const KIND_FILE_INLINE: u8 = 1;
const KIND_FILE_STREAMS: u8 = 2;
/// Bytes of an encoded extent and of an encoded shape.
const EXTENT_BYTES: usize = 8 + 8 + 4;
const SHAPE_BYTES: usize = 8 + 1 + 1;
/// Bytes of the length in front of the manifest in the root pack.
pub(super) const ROOT_LENGTH_BYTES: usize = 4;
/// Bytes that the references of the topmost level may have, so that the root pack holds them beside whatever else a
/// manifest may hold.
pub(super) const ROOT_REFS_BYTES_MAX: usize =
    PACK_BYTES_MAX - ROOT_LENGTH_BYTES - (1 + 1 + 8 + 4 + EXTENTS_MAX * EXTENT_BYTES + 1 + LEVELS_MAX * SHAPE_BYTES);

const _: () = assert!(ROOT_LENGTH_BYTES + 1 + 1 + 8 + INLINE_CONTENT_BYTES_MAX <= PACK_BYTES_MAX);

/// Why bytes are no manifest that we read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ManifestError {
    /// Made by a newer program.
    #[error("the manifest has version {0}, which this program does not know; a newer one may")]
    Version(u8),
    /// Of a kind that this program does not know.
    #[error("the manifest is of kind {0}, which this program does not know; a newer one may")]
    Kind(u8),
    /// Not consistent in itself.
    #[error("the manifest is malformed: {0}")]
    Malformed(#[from] WireError),
}

/// A published file. Consistent in itself: one that is not cannot be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    size: u64,
    body: Body,
}

/// Where a file's content is.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Here; at most [`INLINE_CONTENT_BYTES_MAX`] bytes.
    Inline(Bytes),
    /// In stripes.
    Streams(Streams),
}

/// The streams that a file lies in.
#[derive(Clone, PartialEq, Eq)]
pub struct Streams {
    extents: Vec<Extent>,
    levels: Vec<StreamShape>,
    top_refs: Bytes,
}

impl Streams {
    /// The file's parts of the level-0 stream, in order.
    pub fn extents(&self) -> &[Extent] {
        &self.extents
    }

    /// The streams: content first, then each the references to the stripes of the one before it. At least one.
    pub fn levels(&self) -> &[StreamShape] {
        &self.levels
    }

    /// The references to the stripes of the last level.
    pub fn top_refs(&self) -> &Bytes {
        &self.top_refs
    }
}

impl Manifest {
    /// Of a file that is small enough to lie in the manifest itself.
    pub fn inline(content: Bytes) -> Result<Manifest, ManifestError> {
        if content.len() > INLINE_CONTENT_BYTES_MAX {
            return Err(WireError::TooLong("content").into());
        }
        Ok(Manifest { size: content.len() as u64, body: Body::Inline(content) })
    }

    /// Of a file of `size` bytes in streams; refuses what does not fit together.
    pub fn streams(
        size: u64,
        extents: Vec<Extent>,
        levels: Vec<StreamShape>,
        top_refs: Bytes,
    ) -> Result<Manifest, ManifestError> {
        // A shorter one would lie inline: one way to publish a file.
        if size <= INLINE_CONTENT_BYTES_MAX as u64 || size > FILE_BYTES_MAX {
            return Err(WireError::Invalid("size").into());
        }
        let (Some(content), Some(top)) = (levels.first(), levels.last()) else {
            return Err(WireError::Invalid("levels").into());
        };
        let fit = levels.windows(2).all(|pair| matches!(pair, [below, above] if below.refs_len() == above.len()));
        if levels.len() > LEVELS_MAX || !fit || content.len() > size || top.refs_len() != top_refs.len() as u64 {
            return Err(WireError::Invalid("levels").into());
        }
        if extents.len() > EXTENTS_MAX || total(&extents, content.len()) != Some(size) {
            return Err(WireError::Invalid("extents").into());
        }
        Ok(Manifest { size, body: Body::Streams(Streams { extents, levels, top_refs }) })
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Where its content is.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The parts of the level-0 stream that make `range` of the file, in order; lazily, since a manifest may repeat a
    /// part very often. What of `range` lies behind the file's end is left out. Nothing for an inline file.
    pub fn map(&self, range: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let extents = match &self.body {
            Body::Inline(_) => &[][..],
            Body::Streams(streams) => &streams.extents,
        };
        map(extents, range)
    }

    /// `version u8 ‖ kind u8 ‖ size u64 ‖ body`. Inline: the content. In streams: `count u32 ‖ extents ‖ count u8 ‖
    /// shapes ‖ references`; what has no length in front has it from what stands before it.
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(VERSION);
        match &self.body {
            Body::Inline(content) => {
                writer.u8(KIND_FILE_INLINE).u64(self.size).raw(content);
            }
            Body::Streams(Streams { extents, levels, top_refs }) => {
                // Both counts fit: they are checked against far lower bounds when a manifest is made.
                writer.u8(KIND_FILE_STREAMS).u64(self.size).u32(extents.len() as u32);
                for extent in extents {
                    writer.u64(extent.offset).u64(extent.len).u32(extent.times);
                }
                writer.u8(levels.len() as u8);
                for shape in levels {
                    writer.u64(shape.len()).u8(shape.n_full()).u8(shape.n_tail());
                }
                writer.raw(top_refs);
            }
        }
        writer.into_vec()
    }

    /// Reads what [`Manifest::encode`] made, and nothing else. Allocates no more than a few times the bytes that are
    /// there.
    pub fn decode(bytes: Bytes) -> Result<Manifest, ManifestError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("version")?;
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        let kind = reader.u8("kind")?;
        let size = match kind {
            KIND_FILE_INLINE | KIND_FILE_STREAMS => reader.u64("size")?,
            _ => return Err(ManifestError::Kind(kind)),
        };
        let manifest = if kind == KIND_FILE_INLINE {
            let len = usize::try_from(size).map_err(|_| WireError::TooLong("content"))?;
            Manifest::inline(reader.raw("content", len)?)?
        } else {
            let extents = read_extents(&mut reader)?;
            let levels = read_levels(&mut reader)?;
            let refs_len = levels.last().map_or(0, StreamShape::refs_len);
            let refs_len = usize::try_from(refs_len).map_err(|_| WireError::TooLong("references"))?;
            Manifest::streams(size, extents, levels, reader.raw("references", refs_len)?)?
        };
        reader.finish()?;
        Ok(manifest)
    }
}

fn read_extents(reader: &mut Reader) -> Result<Vec<Extent>, WireError> {
    let count = reader.u32("extent count")? as usize;
    if count > EXTENTS_MAX {
        return Err(WireError::TooLong("extents"));
    }
    let mut extents = Reader::new(reader.raw("extents", count * EXTENT_BYTES)?);
    (0..count)
        .map(|_| {
            Ok(Extent { offset: extents.u64("offset")?, len: extents.u64("length")?, times: extents.u32("times")? })
        })
        .collect()
}

fn read_levels(reader: &mut Reader) -> Result<Vec<StreamShape>, WireError> {
    let count = usize::from(reader.u8("level count")?);
    if count > LEVELS_MAX {
        return Err(WireError::TooLong("levels"));
    }
    (0..count)
        .map(|_| StreamShape::new(reader.u64("stream length")?, reader.u8("full shards")?, reader.u8("tail shards")?))
        .collect()
}

/// Bytes that the extents make; `None` if one is empty, leaves the stream of `stream_len` bytes, or the sum is beyond
/// all numbers.
fn total(extents: &[Extent], stream_len: u64) -> Option<u64> {
    extents.iter().try_fold(0u64, |sum, extent| {
        let inside = extent.offset.checked_add(extent.len)? <= stream_len;
        if !inside || extent.len == 0 || extent.times == 0 { None } else { sum.checked_add(extent.total()?) }
    })
}

impl fmt::Debug for Body {
    /// Shapes only: content and keys are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Body::Inline(content) => write!(f, "Inline({} bytes)", content.len()),
            Body::Streams(streams) => streams.fmt(f),
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Streams({} extents, {:?})", self.extents.len(), self.levels)
    }
}

#[cfg(test)]
mod tests;
