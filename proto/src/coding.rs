//! Stripes of shards: any k of n rebuild it. Ciphertext only: who repairs cannot read, and nothing here knows a content
//! key. Spec: docs/protocol.md.
//!
//! ```text
//! k sealed segments ─encode─► Stripe { Descriptor { Geometry, locators }, n shards }
//! any k of the n shards, and the descriptor ─rebuild─► the k data shards, each checked by its locator
//! ```

pub mod audit;
mod descriptor;
mod geometry;
mod loss;
mod shard;
mod stripe;

pub use descriptor::{BadRecord, Descriptor, check_record};
pub use geometry::{Geometry, LOSS_MAX, NoSuchGeometry, Survive, UnknownSurvive, data_shards, geometry};
pub use loss::loss;
pub use shard::{NotAShard, Shard};
pub use stripe::{CodingError, Stripe, encode, rebuild, rebuild_stripe};
