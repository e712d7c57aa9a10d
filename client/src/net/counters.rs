//! What the network counts: totals only, nothing about any one packet or peer.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, for an operator's eyes: nothing is ordered by it.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(super) fn add_one(&self) {
        self.add(1);
    }
    /// `n` more.
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    /// The total so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Totals since the start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Packets read from links.
    pub packets_in: Counter,
    /// Packets written to links.
    pub packets_out: Counter,
    /// Bytes of packets read from links.
    pub bytes_in: Counter,
    /// Bytes of packets written to links.
    pub bytes_out: Counter,
    /// Packets dropped since a link's queue, or all of them together, were full.
    pub dropped_full: Counter,
    /// Packets dropped since their link could not be opened, broke or stalled.
    pub dropped_unreachable: Counter,
    /// Packet streams closed by us for what the peer wrote, and connections for too many questions to Kademlia.
    pub violations: Counter,
    /// Streams refused since the peer, or all peers together, had too many.
    pub streams_refused: Counter,
    /// Connections established, in both directions.
    pub connections: Counter,
    /// Dials started.
    pub dials: Counter,
    /// Dials that failed.
    pub dial_failures: Counter,
    /// Table exchanges completed, in both directions.
    pub syncs: Counter,
    /// Table exchanges that failed.
    pub sync_failures: Counter,
    /// Node descriptors that were new to us.
    pub descriptors_learnt: Counter,
    /// Node descriptors refused (signature, validity, shape).
    pub descriptors_refused: Counter,
}
