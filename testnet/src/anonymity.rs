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

use serde::Serialize;

use chance::Rate;

/// Whether a bound holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// What is bounded.
    pub what: String,
    /// What was measured.
    pub seen: f64,
    /// The most that is promised.
    pub bound: f64,
    /// Whether it holds, or is broken by no more than chance may.
    pub kept: bool,
}

impl Verdict {
    fn rate(what: String, rate: Rate, bound: f64) -> Self {
        Self { what, seen: rate.share, bound, kept: !rate.is_above(bound) }
    }
}
