//! Background work: what a node does unasked, one unit after the other, at the pace that its own cost allows.
//!
//! ```text
//! Works::spawn(work) ─► one task each:   step ─► rest (tranquility × what the step took) ─┬─ Busy ────────► step
//!                                         ▲                                               ├─ Idle: sleep, or wait ─► step
//!                                         │                                               ├─ an error: back off ───► step
//!                                         └───────────────────────────────────────────────┴─ Done, a panic: the end
//! Works::status ◄─ a face for each work: state, totals, progress, last error            pald status, metrics
//! ```

mod handover;
mod newcomers;
mod records;
mod run;
mod scrub;
mod upkeep;
mod warden;

#[cfg(test)]
mod tests;

pub use handover::Handover;
pub use records::RecordKeeper;
pub use run::{Pace, State, WorkReport, Works};
pub use scrub::{ScrubNow, Scrubber};
pub use upkeep::{SharedBudget, Upkeep, UpkeepConfig};
pub use warden::Warden;

use crate::store::StoreError;
use futures::future::BoxFuture;
use palimpsest_proto::time::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::io;
use std::time::Duration;
use thiserror::Error;

/// How long a work rests after a step, measured in what the step took: with 4, it takes a fifth of the time.
pub const TRANQUILITY_DEFAULT: f64 = 4.0;

/// One kind of background work.
///
/// The runner calls nothing at the same time as anything else, and [`Work::status`] after every step.
pub trait Work: Send + 'static {
    /// What it is called in the status and in metrics: a word in lower case.
    fn name(&self) -> &'static str;

    /// Does one unit of the work, small enough that a pause after it makes sense. At the node's end it is dropped at any
    /// await: what must not be left half done belongs to a thread or a task that somebody else owns.
    fn step(&mut self) -> BoxFuture<'_, Result<Step, WorkError>>;

    /// Returns when there is something to do before the time that [`Step::Idle`] named. Dropped as soon as that has come,
    /// so that a wake-up must not be lost with it.
    fn wait(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// What there is to say of it: totals only, and nothing that names an object or a peer.
    fn status(&self) -> WorkStatus;

    /// See [`TRANQUILITY_DEFAULT`]. 0 suits a work that mostly waits for others and keeps within a budget of its own.
    fn tranquility(&self) -> f64 {
        TRANQUILITY_DEFAULT
    }
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    Busy,
    /// There is nothing to do for so long, unless [`Work::wait`] returns before.
    Idle(Duration),
    /// There will never be anything to do again.
    Done,
}

/// Why a step failed. By its types it cannot name an object or a peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorkError {
    /// The store did not do its part.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A file of the work's own.
    #[error("cannot {doing}: {kind}")]
    File {
        /// What was tried.
        doing: &'static str,
        /// How it failed.
        kind: io::ErrorKind,
    },
    /// Anything else, in words that the program was built with.
    #[error("{0}")]
    Other(&'static str),
}

/// What a work says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkStatus {
    /// How far the present round is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// When the work last went through all that it has to look after.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub finished_at: Option<Timestamp>,
    /// Totals since the node's start, by name: words in lower case, each name once.
    #[serde(serialize_with = "as_map")]
    pub totals: Vec<(&'static str, u64)>,
}

/// `at` of `of` units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Units done.
    pub at: u64,
    /// Units there are.
    pub of: u64,
}

fn seconds<S: Serializer>(at: &Option<Timestamp>, to: S) -> Result<S::Ok, S::Error> {
    at.map(|at| at.0).serialize(to)
}

fn as_map<S: Serializer>(totals: &[(&'static str, u64)], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(totals.len()))?;
    for (name, total) in totals {
        map.serialize_entry(name, total)?;
    }
    map.end()
}

/// Does what waits for the disk on a thread that may wait.
async fn blocking<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> Result<T, WorkError> {
    tokio::task::spawn_blocking(what).await.map_err(|_| WorkError::Other("the thread that reads or writes ended early"))
}
