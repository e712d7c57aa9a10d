//! How far a publish or a fetch is: a few shared counters, written by the work and read by whoever shows them. Reading
//! and writing never wait, so a slow terminal cannot slow a transfer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is going on.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Reading the configuration and the cache.
    Starting,
    /// Looking for a node to enter the network by.
    Connecting,
    /// Looking for the file's beginning.
    Looking,
    /// Giving shards to holders.
    Placing,
    /// Asking for a sample of what was placed.
    Proving,
    /// Gathering shards.
    Fetching,
    /// Prolonging leases, putting back what is missing.
    Keeping,
    /// Making it durable, saying goodbye.
    Finishing,
}

impl Phase {
    /// Every phase, in the order of its number.
    const ALL: [Phase; 8] = [
        Phase::Starting,
        Phase::Connecting,
        Phase::Looking,
        Phase::Placing,
        Phase::Proving,
        Phase::Fetching,
        Phase::Keeping,
        Phase::Finishing,
    ];

    /// One word for people and machines alike.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Connecting => "connecting",
            Phase::Looking => "looking",
            Phase::Placing => "placing",
            Phase::Proving => "proving",
            Phase::Fetching => "fetching",
            Phase::Keeping => "keeping",
            Phase::Finishing => "finishing",
        }
    }

    /// What goes on in it, to be read after "while".
    pub fn doing(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Connecting => "looking for a node to enter the network by",
            Phase::Looking => "looking for the beginning of the file",
            Phase::Placing => "placing shards",
            Phase::Proving => "fetching a sample of what was placed",
            Phase::Fetching => "fetching shards",
            Phase::Keeping => "prolonging leases and putting back what is missing",
            Phase::Finishing => "finishing",
        }
    }
}

/// The counters at one moment.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What is going on.
    pub phase: Phase,
    /// Bytes of the file that are done with.
    pub bytes_done: u64,
    /// Bytes of the file, once known: never for a pipe before its end.
    pub bytes_total: Option<u64>,
    /// Shards placed, or got.
    pub shards_done: u64,
    /// Shards to place or to get, as far as known; it grows while a file is being cut.
    pub shards_needed: Option<u64>,
    /// How long nothing has moved.
    pub quiet_for: Duration,
}

/// The shared counters. A clone is another handle to the same ones.
#[derive(Clone, Debug)]
pub struct Progress(Arc<Counters>);

/// A total that is not known yet.
const UNKNOWN: u64 = u64::MAX;

#[derive(Debug)]
struct Counters {
    begun: Instant,
    phase: AtomicU8,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    shards_done: AtomicU64,
    shards_needed: AtomicU64,
    /// When something last moved, in milliseconds after `begun`.
    moved_ms: AtomicU64,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress::new()
    }
}

impl Progress {
    /// Nothing done yet, nothing known yet.
    pub fn new() -> Progress {
        Progress(Arc::new(Counters {
            begun: Instant::now(),
            phase: AtomicU8::new(Phase::Starting as u8),
            bytes_done: AtomicU64::new(0),
            bytes_total: AtomicU64::new(UNKNOWN),
            shards_done: AtomicU64::new(0),
            shards_needed: AtomicU64::new(UNKNOWN),
            moved_ms: AtomicU64::new(0),
        }))
    }

    /// What is going on.
    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.0.phase.load(Ordering::Relaxed))]
    }

    /// Says that `phase` begins.
    pub fn set_phase(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
        self.moved();
    }

    /// Says that `bytes` more bytes of the file are done with.
    pub fn add_bytes(&self, bytes: u64) {
        self.0.bytes_done.fetch_add(bytes, Ordering::Relaxed);
        self.moved();
    }

    /// Says how many bytes there are in all.
    pub fn set_bytes_total(&self, bytes: u64) {
        self.0.bytes_total.store(bytes, Ordering::Relaxed);
    }

    /// Says that `shards` more shards are placed, or got.
    pub fn add_shards(&self, shards: u64) {
        self.0.shards_done.fetch_add(shards, Ordering::Relaxed);
        self.moved();
    }

    /// Says that `shards` more shards are to be placed, or got, than was known.
    pub fn add_shards_needed(&self, shards: u64) {
        // The closure never refuses, so neither does the update.
        let _previous = self.0.shards_needed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |known| {
            Some(if known == UNKNOWN { shards } else { known.saturating_add(shards) })
        });
    }

    /// Says that all of it is done anew.
    pub fn restart(&self) {
        self.0.bytes_done.store(0, Ordering::Relaxed);
        self.0.shards_done.store(0, Ordering::Relaxed);
        self.0.shards_needed.store(UNKNOWN, Ordering::Relaxed);
        self.moved();
    }

    /// The counters now. Each is exact; together they may be a moment apart.
    pub fn snapshot(&self) -> Snapshot {
        let known = |value: &AtomicU64| Some(value.load(Ordering::Relaxed)).filter(|&value| value != UNKNOWN);
        let moved = Duration::from_millis(self.0.moved_ms.load(Ordering::Relaxed));
        let bytes_total = known(&self.0.bytes_total);
        // A publish counts whole stripes, of which the last ones hold more than the file's own bytes.
        let bytes_done = self.0.bytes_done.load(Ordering::Relaxed).min(bytes_total.unwrap_or(u64::MAX));
        Snapshot {
            phase: self.phase(),
            bytes_done,
            bytes_total,
            shards_done: self.0.shards_done.load(Ordering::Relaxed),
            shards_needed: known(&self.0.shards_needed),
            quiet_for: self.0.begun.elapsed().saturating_sub(moved),
        }
    }

    fn moved(&self) {
        let now_ms = u64::try_from(self.0.begun.elapsed().as_millis()).unwrap_or(UNKNOWN);
        self.0.moved_ms.fetch_max(now_ms, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Phase, Progress};
    use std::time::Duration;

    #[test]
    fn a_clone_shows_what_the_work_says() {
        let work = Progress::new();
        let shown = work.clone();
        assert_eq!(shown.snapshot().bytes_total, None);
        assert_eq!(shown.snapshot().shards_needed, None);
        work.set_phase(Phase::Placing);
        work.set_bytes_total(10);
        work.add_bytes(4);
        work.add_bytes(3);
        work.add_shards_needed(113);
        work.add_shards_needed(7);
        work.add_shards(2);
        let seen = shown.snapshot();
        assert_eq!((seen.phase, seen.bytes_done, seen.bytes_total), (Phase::Placing, 7, Some(10)));
        assert_eq!((seen.shards_done, seen.shards_needed), (2, Some(120)));
        assert!(seen.quiet_for < Duration::from_secs(60));
        work.restart();
        let seen = shown.snapshot();
        assert_eq!((seen.bytes_done, seen.bytes_total, seen.shards_done, seen.shards_needed), (0, Some(10), 0, None));
    }

    #[test]
    fn phases_keep_their_numbers() {
        let progress = Progress::new();
        for phase in Phase::ALL {
            progress.set_phase(phase);
            assert_eq!(progress.phase(), phase);
        }
    }
}
