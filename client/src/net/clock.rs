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
    Wall::default().now()
}

/// A wall clock: the machine's, or one that is off from it by some seconds, for tests of nodes whose clocks differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wall {
    ahead: i64,
}

impl Wall {
    /// The machine's clock and so many seconds more, or fewer.
    pub fn ahead_by(seconds: i64) -> Wall {
        Wall { ahead: seconds }
    }

    /// What it shows.
    pub fn now(self) -> Timestamp {
        Timestamp(self.unix_ms() / 1_000)
    }

    /// What it shows, in milliseconds since 1970-01-01 UTC.
    pub fn unix_ms(self) -> u64 {
        let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
        ms.saturating_add_signed(self.ahead.saturating_mul(1_000))
    }
}
