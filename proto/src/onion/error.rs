//! Why a packet could not be made, and why one was dropped.

use crate::params::HOPS_MAX;
use std::time::Duration;
use thiserror::Error;

/// Why no packet or reply block could be made: our own caller's fault, or a bad node descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OnionError {
    /// The route is empty or has more hops than a header has room for.
    #[error("a route has 1 to {HOPS_MAX} hops, not {0}")]
    Route(usize),
    /// A hop's delay is longer than relays grant.
    #[error("a delay of {0:?} is longer than a relay grants")]
    Delay(Duration),
    /// A hop's public key is of small order: whatever is sealed for it, everybody can open.
    #[error("a hop's onion key is of small order: choose another hop")]
    Key,
    /// The message does not fit the packet.
    #[error("a message of {0} bytes does not fit the packet: take the larger size, or split it")]
    TooLong(usize),
}

/// Why a packet was dropped. Meant for counters: it names nobody, and the peer that sent the packet is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Dropped {
    /// Neither of the two packet sizes.
    #[error("not a packet's length")]
    Length,
    /// The sender's key is of small order, so that the shared secret is zero for every node.
    #[error("the shared secret is zero")]
    ZeroSecret,
    /// The header is not authentic under any of our keys.
    #[error("the header is not authentic")]
    Integrity,
    /// The header was seen before.
    #[error("seen before")]
    Replayed,
    /// The replay filter is full; the key must be rotated.
    #[error("the replay filter is full")]
    FilterFull,
    /// The header is authentic and says something meaningless.
    #[error("the header is malformed")]
    Malformed,
    /// A packet version other than 260.
    #[error("not packet version 260")]
    Version,
    /// The sender wishes a longer delay than we grant.
    #[error("the delay is too long")]
    Delay,
    /// The body did not open: changed on its way, or not meant for us.
    #[error("the body is not authentic")]
    Body,
    /// The reply belongs to another reply key.
    #[error("the reply belongs to another request")]
    Identifier,
}
