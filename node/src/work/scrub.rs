//! The scrubber: reads every stored shard again, so that rot is found while others still have what is missing.
//!
//! It goes through the store file by file, spread evenly over its period; when asked, all of it at once, at the pace that
//! tranquility allows. Where it is outlives the node in a small file.

use super::{Progress, Step, Work, WorkError, WorkStatus, blocking};
use crate::store::{Clock, Store};
use futures::future::BoxFuture;
use palimpsest_client::keyring::replace_file;
use palimpsest_proto::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// It looks this often whether the store has grown: with more files, the next one is due sooner.
const LOOK_SECONDS: u64 = 3_600;
/// The position is kept this often at most, and at the end of a round; so much of the work may be done twice.
const SAVE_SECONDS: u64 = 20;
/// Bytes of the position's file at most.
const POSITION_BYTES_MAX: u64 = 1_024;

/// Where the scrubber is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// The file to read next.
    next: usize,
    /// When one was read last; seconds since 1970.
    read_at: u64,
    /// When a round ended last.
    finished_at: Option<u64>,
}

impl Position {
    /// What was kept; a new beginning if there is nothing, or nothing readable.
    fn read(path: &Path, now: Timestamp) -> Position {
        let read = || {
            let mut text = String::new();
            File::open(path).ok()?.take(POSITION_BYTES_MAX).read_to_string(&mut text).ok()?;
            serde_json::from_str(&text).ok()
        };
        read().unwrap_or(Position { read_at: now.0, ..Position::default() })
    }
}

/// Starts a scrub of the whole store.
#[derive(Clone, Default)]
pub struct ScrubNow(Arc<(AtomicBool, Notify)>);

impl ScrubNow {
    /// The scrubber begins with the first file and reads all of them, one after the other.
    pub fn start(&self) {
        self.0.0.store(true, Ordering::Relaxed);
        self.0.1.notify_one();
    }

    fn take(&self) -> bool {
        self.0.0.swap(false, Ordering::Relaxed)
    }
}

/// See the module's description.
pub struct Scrubber {
    store: Store,
    clock: Clock,
    path: PathBuf,
    /// In which time the whole store is read; `None`: only when asked.
    period: Option<Duration>,
    asked: ScrubNow,
    /// Asked for: without waiting for the period.
    at_once: bool,
    position: Position,
    files: usize,
    saved_at: u64,
    rounds: u64,
    checked: u64,
    rotten: u64,
}

impl Scrubber {
    /// A scrubber of `store` that keeps its position at `path` and goes round once in `period`, or only when asked.
    pub fn new(store: Store, clock: Clock, path: PathBuf, period: Option<Duration>) -> Scrubber {
        let position = Position::read(&path, clock());
        Scrubber {
            store,
            clock,
            path,
            period,
            asked: ScrubNow::default(),
            at_once: false,
            position,
            files: 0,
            saved_at: 0,
            rounds: 0,
            checked: 0,
            rotten: 0,
        }
    }

    /// With which to start one.
    pub fn now(&self) -> ScrubNow {
        self.asked.clone()
    }

    /// Seconds until the next file is due.
    fn due_in(&self, now: u64) -> u64 {
        let Some(period) = self.period.filter(|_| self.files > 0) else { return LOOK_SECONDS };
        let pause = period.as_secs() / self.files as u64;
        // A clock that was set back delays by one pause at most.
        self.position.read_at.saturating_add(pause).saturating_sub(now).min(pause)
    }

    async fn advance(&mut self) -> Result<Step, WorkError> {
        if self.asked.take() {
            self.at_once = true;
            self.position.next = 0;
        }
        let store = self.store.clone();
        self.files = blocking(move || store.scrub_steps()).await??;
        let now = (self.clock)().0;
        let due_in = if self.at_once { 0 } else { self.due_in(now) };
        if due_in > 0 {
            return Ok(Step::Idle(Duration::from_secs(due_in.min(LOOK_SECONDS))));
        }
        let (store, number) = (self.store.clone(), self.position.next);
        // Before it is read: a file that cannot be is passed over, and is no reason to stop at it for ever.
        self.position.next += 1;
        self.position.read_at = now;
        let found = blocking(move || store.scrub(number)).await??;
        if let Some(found) = found {
            self.checked += found.checked;
            self.rotten += found.rotten;
        }
        let finished = found.is_none() || self.position.next >= self.files;
        if finished {
            self.position = Position { next: 0, read_at: now, finished_at: Some(now) };
            self.rounds += 1;
            self.at_once = false;
        }
        if finished || now.abs_diff(self.saved_at) >= SAVE_SECONDS {
            self.saved_at = now;
            self.save().await?;
        }
        Ok(Step::Busy)
    }

    async fn save(&self) -> Result<(), WorkError> {
        let cannot = |kind| WorkError::File { doing: "keep the scrubber's position", kind };
        let text = serde_json::to_vec(&self.position).map_err(|e| cannot(std::io::Error::from(e).kind()))?;
        let path = self.path.clone();
        blocking(move || replace_file(&path, &text)).await?.map_err(|error| cannot(error.kind()))
    }
}

impl Work for Scrubber {
    fn name(&self) -> &'static str {
        "scrub"
    }

    fn step(&mut self) -> BoxFuture<'_, Result<Step, WorkError>> {
        Box::pin(self.advance())
    }

    fn wait(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.asked.0.1.notified())
    }

    fn status(&self) -> WorkStatus {
        WorkStatus {
            progress: Some(Progress { at: self.position.next as u64, of: self.files as u64 }),
            finished_at: self.position.finished_at.map(Timestamp),
            totals: vec![("checked", self.checked), ("rotten", self.rotten), ("rounds", self.rounds)],
        }
    }
}
