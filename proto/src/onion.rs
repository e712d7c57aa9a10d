//! Sphinx packets with single-use reply blocks.
//!
//! ```text
//! packet      header (348 bytes: as the crate `sphinx-packet`) ‖ body (one of two sizes: ours)
//! request     client ─wrap─► guard ─peel─► middle ─peel─► holder: peel, Arrived::open
//! reply       holder: ReplyBlock::seal ─► relay ─peel─► … ─► client: peel, ReplyKey::open
//! ```
//!
//! The header carries the key exchange, the route, the delays and its own integrity. It is that of `sphinx-packet` 0.8.0,
//! packet version 260 only, made and read by us to the same bytes at a third of the cost (docs/decisions/0011-multiplication.md).
//! The body is a wide-block cipher of our own arrangement, since the crate's costs 2.6 times as much
//! (docs/decisions/0002-onion-body.md). What the crate leaves to its user is done here: exact lengths, replay filter, zero secrets,
//! bounded delays, an authenticated message inside. Each is a test of its name in `onion/tests/pitfalls.rs`.
//!
//! Spec: docs/protocol.md.

mod body;
mod build;
mod curve;
mod error;
mod format;
mod header;
mod packet;
mod replay;
mod reply;
mod ring;
mod route;

#[cfg(test)]
mod tests;

pub use error::{Dropped, OnionError};
pub use packet::{Packet, Size};
pub use reply::{Identifier, ReplyBlock, ReplyKey, reply_block};
pub use ring::{Arrived, KEY_LIFETIME, KEY_OVERLAP, OnionKey, OnionPublic, Peeled, Ring};
pub use route::{Hop, wrap, wrap_parts};
