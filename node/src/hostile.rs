//! What takes the place of a node's honest parts, and who looks on: for tests and measurements. An honest node has none of it.

use crate::role::holder::Service;
use palimpsest_proto::crypto;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::Ask;
use palimpsest_proto::onion::{Packet, Size};
use palimpsest_proto::params::HEADER_BYTES;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A service that stands in for the honest one.
#[derive(Clone)]
pub struct Stand(pub Arc<dyn Service>);

impl fmt::Debug for Stand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stand")
    }
}

/// Whose packet a relay is to pass on, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The neighbour that it came from.
    pub from: NodeId,
    /// The neighbour that it is for.
    pub next: NodeId,
}

/// What is sent on instead of a packet, and how long after.
pub type Instead = Vec<(Duration, Packet)>;

/// What a dishonest relay makes of each packet.
#[derive(Clone)]
pub struct Meddler(pub Arc<dyn Fn(Way, Packet) -> Instead + Send + Sync>);

impl fmt::Debug for Meddler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddler")
    }
}

/// By what a packet is known again by two neighbours, of whom one sent it and the other got it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(pub u64);

impl Mark {
    /// Of the packet's header, which is another one at each hop.
    pub fn of(packet: &Packet) -> Mark {
        let hash = crypto::hash(&packet.as_bytes()[..HEADER_BYTES]);
        Mark(hash.iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte)))
    }
}

/// What a node's operator sees who writes down all that the node handles.
#[derive(Clone, Debug)]
pub enum Sight {
    /// A packet was passed on for others.
    Passed {
        /// Between whom.
        way: Way,
        /// Its size.
        size: Size,
        /// As it came.
        came: Mark,
        /// As it left.
        left: Mark,
    },
    /// A request was for this node.
    Asked {
        /// The neighbour that it came from.
        from: NodeId,
        /// As it came.
        came: Mark,
        /// What was wanted.
        ask: Ask,
    },
    /// A request was answered.
    Answered {
        /// The request, as it came.
        came: Mark,
        /// The neighbour that the answer was given to.
        to: NodeId,
        /// The answer's size.
        size: Size,
        /// The answer, as it left.
        left: Mark,
    },
}

/// Who is told of all that a node handles.
#[derive(Clone)]
pub struct Onlooker(pub Arc<dyn Fn(Sight) + Send + Sync>);

impl fmt::Debug for Onlooker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Onlooker")
    }
}
