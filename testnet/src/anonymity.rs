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
mod world;

use std::fmt;

use serde::Serialize;

use affinity::Clue;
use chance::Rate;
use crowd::Batch;

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

/// Whether a bound holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What is bounded.
    pub about: About,
    /// The coalition's part of the nodes; none where all look on.
    pub coalition: Option<f64>,
    /// What is bounded, in words.
    pub what: String,
    /// What was measured.
    pub seen: f64,
    /// The most that is promised.
    pub bound: f64,
    /// Whether it holds, or is broken by no more than chance may.
    pub kept: bool,
}

impl Verdict {
    fn new(about: About, coalition: Option<f64>, (seen, bound): (f64, f64), kept: bool) -> Self {
        let with = coalition.map_or_else(String::new, |part| format!(", c = {part}"));
        let what = match about {
            About::Linked { requests } => format!("linked after {requests} requests{with}"),
            About::LinkedAmong { nodes } => format!("linked in the network of {nodes} nodes{with}"),
            About::Guards(seating) => format!("bad among guards drawn{with}, {seating}"),
            About::Relays(seating) => format!("bad among relays drawn{with}, {seating}"),
            About::Sights => "sights of a client beside its guard's".to_owned(),
            About::OneFile { clue, batch } => {
                format!("shards of one file told by \"{}\"{with}, files {}", clue.name(), batch.name())
            }
        };
        Self { about, coalition, what, seen, bound, kept }
    }

    fn rate(about: About, coalition: f64, rate: Rate, bound: f64) -> Self {
        Self::new(about, Some(coalition), (rate.share, bound), !rate.is_above(bound))
    }
}
