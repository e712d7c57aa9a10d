//! The driver's clocks: the only place of the network where time is read.

use palimpsest_proto::params::NODE_VALID_SECONDS_MAX;
use palimpsest_proto::time::{Moment, Timestamp};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock's value at its first reading: more than the longest validity of a descriptor, so that the signing of every
/// valid descriptor has a place on it.
const START: Duration = Duration::from_secs(2 * NODE_VALID_SECONDS_MAX);

/// Now on this process's monotonic clock; the same clock for all callers.
pub fn moment() -> Moment {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    Moment(START + ORIGIN.get_or_init(Instant::now).elapsed())
}

/// Now on the wall clock; the epoch if the clock is before it.
pub fn timestamp() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
