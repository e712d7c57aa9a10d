//! The two clocks, read in `net::clock` and passed on as values, and sleeping by the first.

pub use crate::net::clock::{Wall, moment, timestamp};
use palimpsest_proto::time::Moment;

/// Sleeps until that moment.
pub async fn sleep_until(until: Moment) {
    tokio::time::sleep(until.since(moment())).await;
}
