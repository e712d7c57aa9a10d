//! How anonymous readers and publishers are, measured: what a coalition learns that holds a part of the nodes and pools all that
//! it sees, against the bounds that are promised. `docs/anonymity.md`.
//!
//! - [`model`]: thousands of clients that choose by `proto`'s own code, without packets: how many are linked.
//! - [`crowd`]: real nodes and clients in one process, of which some look on; [`linking`] and [`affinity`] are their guesses, pure
//!   functions of [`sights`].

pub mod affinity;
pub mod chance;
pub mod crowd;
pub mod linking;
pub mod model;
pub mod sights;
mod verdict;
mod world;

use std::fmt;

use serde::Serialize;

use affinity::Clue;
use crowd::Batch;
pub use verdict::{Outcome, Verdict};

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The part of the model's clients that is linked to one of so many requests.
    Linked {
        /// So many.
        requests: usize,
    },
    /// The part of real clients that is linked to any of their requests.
    LinkedAmong {
        /// Nodes of their network.
        nodes: usize,
    },
    /// The coalition's part of the guards that are drawn, as it sits.
    Guards(Seating),
    /// Its part of the relays that are drawn.
    Relays(Seating),
    /// Sights of a client that only its guard may have, and that another node had.
    Sights,
    /// What a clue is worth to tell shards of one file.
    OneFile {
        /// By what is guessed.
        clue: Clue,
        /// How the files were published.
        batch: Batch,
    },
}

/// Where a coalition sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seating {
    /// In words.
    pub seats: &'static str,
    /// Address prefixes of the other nodes.
    pub prefixes: usize,
}

impl fmt::Display for Seating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} prefixes", self.seats, self.prefixes)
    }
}
