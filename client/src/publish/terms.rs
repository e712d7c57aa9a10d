//! What a publisher asks for, and what he gets.

use crate::config::show_duration;
use crate::cutting::Source;
use crate::error::Error;
use crate::pace::SPREAD_MAX;
use palimpsest_proto::coding::Survive;
use palimpsest_proto::params::LEASE_SECONDS_DEFAULT;
use std::time::Duration;

/// The part of the lease that a publish may take that is spread over time.
const SPREAD_PART: u64 = 4;

/// How to publish.
#[derive(Clone, Copy, Debug)]
pub struct PublishOptions {
    /// What part of the nodes may vanish at once.
    pub survive: Survive,
    /// For how long the network is asked to keep it, in seconds.
    pub lease_seconds: u64,
    /// Whether every stripe gets wardens, who keep it alive: without, it lasts as long as its holders.
    pub wardens: bool,
    /// Over how long the shards leave, at random moments, so that holders cannot tell those of a file by their times; `None`: as
    /// fast as they can. At most 7 days and a quarter of the lease, and the source must be one that can be read twice.
    pub spread: Option<Duration>,
}

impl Default for PublishOptions {
    fn default() -> PublishOptions {
        PublishOptions { survive: Survive::Half, lease_seconds: LEASE_SECONDS_DEFAULT, wardens: true, spread: None }
    }
}

/// What was published, and how safe it is.
#[derive(Clone, PartialEq)]
pub struct Published {
    /// The link: whoever has it can read.
    pub link: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes that stood in the file more than once and were placed once.
    pub bytes_deduplicated: u64,
    /// Stripes, those of the manifest included.
    pub stripes: u64,
    /// Shards that a holder acknowledged, in this run or an earlier one.
    pub shards_placed: u64,
    /// Shards that an earlier, interrupted run had placed.
    pub shards_resumed: u64,
    /// Nodes that hold at least one shard.
    pub holders: usize,
    /// Networks (address prefixes) that those nodes are in.
    pub networks: usize,
    /// For 10, 30 and 50 % of the nodes lost at once: the probability that the file is lost.
    pub survival: [(f64, f64); 3],
    /// Shards that came back over other paths.
    pub proven: usize,
    /// Shards that were asked for as a proof; those that did not come may be lost, or only late.
    pub sampled: usize,
    /// How long it took.
    pub elapsed: Duration,
}

impl std::fmt::Debug for Published {
    /// Without the link, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("bytes", &self.bytes).field("stripes", &self.stripes).finish_non_exhaustive()
    }
}

/// Whether a publish can be spread as it is asked to be.
///
/// # Errors
/// `Usage`, with what may be asked for.
pub(crate) fn check_spread(source: &Source, options: &PublishOptions) -> Result<(), Error> {
    let Some(spread) = options.spread else { return Ok(()) };
    let most = SPREAD_MAX.min(Duration::from_secs(options.lease_seconds / SPREAD_PART));
    if spread > most {
        let most = show_duration(most);
        return Err(Error::Usage(format!(
            "a publish can be spread over {most} at most: 7d, or a quarter of its lease"
        )));
    }
    // It is read twice: of a pipe nothing would be left.
    match source.size()? {
        Some(_) => Ok(()),
        None => Err(Error::Usage("to be spread over time, what is published must be a file, not a pipe".to_owned())),
    }
}
