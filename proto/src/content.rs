//! What a file becomes: chunks, packs, sealed segments, manifest, capability. The only module that knows a content key.
//! Spec: docs/protocol.md.
//!
//! ```text
//! chunks ─(those not seen before)─► stream, level 0 ─cut─► packs ─seal─► segments ─coding::encode─► stripes
//!                  one reference per stripe (key, locators) ─► stream, level 1 ─► … until they fit into the root pack
//! extents, shapes of the streams, last references = Manifest ─► root pack ─► root stripe ─► Capability, a link
//! ```
//!
//! The reader walks back: [`open_root`], then [`Manifest::map`] says where in the level-0 stream a part of the file lies,
//! [`StreamShape::pieces`] in which stripes, and [`StreamShape::parse_ref`] reads a stripe's reference from the level above.

mod base32;
mod capability;
mod encoder;
mod extents;
mod keys;
mod manifest;
mod pack;
mod root;
mod shape;
mod stripe_list;

pub use capability::{Capability, LinkError};
pub use encoder::{ContentError, Encoder, EncoderStats, Finished};
pub use extents::Extent;
pub use keys::{ConvergenceSecret, StripeKey};
pub use manifest::{Body, Manifest, ManifestError, Streams};
pub use pack::{PackTooLong, open_segment, open_segment_onto, seal_pack};
pub use root::{RootError, open_root};
pub use shape::{Piece, StreamShape, StripeRef};
pub use stripe_list::{STRIPES_LISTED_MAX, StripeList};

#[cfg(test)]
mod tests;
