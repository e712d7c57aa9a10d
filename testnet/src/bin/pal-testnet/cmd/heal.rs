//! `pal-testnet heal`: whether a network heals itself, and what that costs: a whole one in this process, whose stores are read.

mod churn;
mod flood;
mod half;
mod idle;
mod report;
mod rot;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use palimpsest_client::{Capability, Client, FetchOptions, Progress, PublishOptions, Source};
use palimpsest_node::work::UpkeepConfig;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::params::{CANDIDATES, RECORD_ADDRESSES};
use palimpsest_testnet::healing;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use palimpsest_testnet::sample::SplitMix64;
use tokio::time::Instant;

use report::Report;

use super::{Failure, apart, seconds, size};

/// How often it is looked what is left: what is on disks is no event to await.
const LOOK: Duration = Duration::from_secs(1);
/// Time for one publish or fetch, at most.
const CLIENT_DEADLINE: Duration = Duration::from_secs(600);
/// Time until a publisher's records are with all nodes that should have them, at most. The keepers begin within some seconds.
const SPREAD_DEADLINE: Duration = Duration::from_secs(120);
/// Part of the records that is enough to begin: the rest is somewhere on its way.
const SPREAD: f64 = 0.98;
/// The minute of the configuration by default.
const MINUTE: Duration = Duration::from_secs(60);

/// Measure whether a network heals itself, and what that costs.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// One JSON object a line, instead of a table.
    #[arg(long)]
    json: bool,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    parts: Vec<Part>,
    /// Nodes of the network.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u64).range(24..=200))]
    nodes: u64,
    /// Size of the file.
    #[arg(long, default_value = "16MiB", value_parser = size::parse)]
    size: u64,
    /// Chooses the nodes that die and the bits that flip: the same number, the same choice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// What stands for a minute where one node after the other dies; all periods of the upkeep are scaled with it.
    #[arg(long, default_value = "6", value_parser = minute)]
    minute: Duration,
}

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Half of the nodes killed at once.
    Half,
    /// One node after the other replaced, until all are.
    Churn,
    /// Bits flipped on the disks.
    Rot,
    /// What upkeep costs when nothing happens.
    Idle,
    /// Twenty clients that store rubbish.
    Flood,
}

impl Part {
    const ALL: [Self; 5] = [Self::Half, Self::Churn, Self::Rot, Self::Idle, Self::Flood];
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let reached = apart(move || async move { measure(&args).await }).await?;
    Ok(if reached { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All chosen parts, in their order; tells whether all targets were reached.
async fn measure(args: &Args) -> Result<bool, Failure> {
    let mut report = Report::new(args.json);
    for part in Part::ALL.into_iter().filter(|part| args.parts.contains(part)) {
        match part {
            Part::Half => half::run(args, &mut report).await?,
            Part::Churn => churn::run(args, &mut report).await?,
            Part::Rot => rot::run(args, &mut report).await?,
            Part::Idle => idle::run(args, &mut report).await?,
            Part::Flood => flood::run(args, &mut report).await?,
        }
    }
    Ok(report.end())
}

/// The default with its periods shortened as a minute is. What may be moved in one of them stays the same.
fn scaled(minute: Duration) -> UpkeepConfig {
    let of = UpkeepConfig::default();
    let factor = minute.as_secs_f64() / MINUTE.as_secs_f64();
    let short = |period: Duration| period.mul_f64(factor);
    UpkeepConfig {
        // Duty is told in whole seconds of the wall's clock.
        turn: short(of.turn).max(Duration::from_secs(1)),
        audit_every: short(of.audit_every),
        records_every: short(of.records_every),
        spread_every: short(of.spread_every),
        handover_every: short(of.handover_every),
        repair: palimpsest_proto::flow::RepairPolicy {
            patience: short(of.repair.patience),
            fresh: short(of.repair.fresh),
            retry: short(of.repair.retry),
            ..of.repair
        },
        bytes_per_second: (of.bytes_per_second as f64 / factor) as u64,
    }
}

fn minute(text: &str) -> Result<Duration, String> {
    let minute = seconds(text)?;
    if (Duration::from_secs(1)..=MINUTE).contains(&minute) { Ok(minute) } else { Err("1 to 60 seconds".to_owned()) }
}

async fn network(args: &Args, upkeep: Option<UpkeepConfig>) -> Result<Network, Failure> {
    let nodes = usize::try_from(args.nodes).unwrap_or(usize::MAX);
    Ok(Network::start(NetworkOptions { upkeep, ..NetworkOptions::honest(nodes) }).await?)
}

/// A file that was published by somebody who is gone, and its stripes.
struct Subject {
    content: Bytes,
    link: Capability,
}

/// Publishes a file of the seed's bytes; the publisher leaves.
async fn publish(network: &Network, bytes: u64, seed: u64) -> Result<Subject, Failure> {
    let content = content(bytes, seed);
    let publisher = client(network, "publisher").await?;
    let progress = Progress::new();
    let work = publisher.publish(Source::Bytes(content.clone()), PublishOptions::default(), &progress);
    let published = within("publish", work).await?;
    publisher.close().await.map_err(failed("end the publisher"))?;
    let link = published.link.parse().map_err(|_| Failure::Broken("a link of our own is unreadable".to_owned()))?;
    Ok(Subject { content, link })
}

/// Waits until the records are with those who should have them; the stripes, and the part of the records that is there.
async fn spread(network: &Network) -> Result<(Vec<Descriptor>, f64), Failure> {
    let until = Instant::now() + SPREAD_DEADLINE;
    loop {
        let all = healing::stripes(network).await?;
        let copies = CANDIDATES.min(network.numbers().count());
        let wanted = all.len() * RECORD_ADDRESSES * copies;
        let part = all.iter().map(|(_, copies)| *copies).sum::<usize>() as f64 / wanted.max(1) as f64;
        if part >= SPREAD || Instant::now() > until {
            return Ok((all.into_iter().map(|(stripe, _)| stripe).collect(), part));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether somebody who has never been here gets the file, exactly. Puts nothing back.
async fn is_whole(network: &Network, subject: &Subject, reader: &str) -> Result<bool, Failure> {
    let client = client(network, reader).await?;
    let (mut sink, progress) = (Vec::new(), Progress::new());
    let options = FetchOptions { heal: false, ..FetchOptions::default() };
    let fetched = within("fetch", client.fetch(&subject.link, options, &mut sink, &progress)).await;
    client.close().await.map_err(failed("end the reader"))?;
    if let Err(failure) = &fetched {
        note(&failure.to_string());
    }
    Ok(fetched.is_ok() && sink == subject.content)
}

async fn client(network: &Network, name: &str) -> Result<Client, Failure> {
    network.client(name).await.map_err(failed("start a client"))
}

async fn within<T>(
    doing: &'static str,
    work: impl Future<Output = Result<T, palimpsest_client::Error>>,
) -> Result<T, Failure> {
    let ended = tokio::time::timeout(CLIENT_DEADLINE, work).await;
    ended
        .map_err(|_| Failure::Broken(format!("{doing} took more than {} s", CLIENT_DEADLINE.as_secs())))?
        .map_err(failed(doing))
}

fn failed(doing: &'static str) -> impl FnOnce(palimpsest_client::Error) -> Failure {
    move |source| Failure::Client { doing, source: Box::new(source) }
}

/// Incompressible bytes, the same for the same seed.
fn content(bytes: u64, seed: u64) -> Bytes {
    let mut dice = SplitMix64::new(seed ^ bytes.rotate_left(32));
    let mut content = Vec::new();
    while (content.len() as u64) < bytes {
        content.extend(dice.next_u64().to_le_bytes());
    }
    content.truncate(usize::try_from(bytes).unwrap_or(usize::MAX));
    Bytes::from(content)
}

/// Some of them in an order that the dice choose.
fn drawn<T>(mut all: Vec<T>, count: usize, dice: &mut SplitMix64) -> Vec<T> {
    let count = count.min(all.len());
    for place in 0..count {
        let other = place + (dice.next_u64() % (all.len() - place) as u64) as usize;
        all.swap(place, other);
    }
    all.truncate(count);
    all
}

/// How far it is; on standard error, so that the figures stay readable.
fn note(line: &str) {
    eprintln!("  {line}");
}

#[cfg(test)]
mod tests {
    use super::{MINUTE, content, drawn, scaled};
    use palimpsest_node::work::UpkeepConfig;
    use palimpsest_testnet::sample::SplitMix64;
    use std::collections::BTreeSet;
    use std::time::Duration;

    #[test]
    fn a_minute_of_sixty_seconds_is_the_default() {
        assert_eq!(scaled(MINUTE), UpkeepConfig::default());
        let (short, default) = (scaled(MINUTE / 10), UpkeepConfig::default());
        assert_eq!(short.turn, Duration::from_secs(6));
        assert_eq!(short.audit_every, default.audit_every / 10);
        assert_eq!(short.bytes_per_second, default.bytes_per_second * 10);
        assert_eq!((short.repair.low, short.repair.sample), (default.repair.low, default.repair.sample));
    }

    #[test]
    fn what_is_drawn_differs_and_is_the_seeds() {
        let draw = |seed| drawn((0..40).collect(), 20, &mut SplitMix64::new(seed));
        assert_eq!(draw(1).iter().collect::<BTreeSet<_>>().len(), 20);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(drawn(vec![7], 3, &mut SplitMix64::new(1)), [7]);
        assert_eq!(content(1021, 5).len(), 1021);
    }
}
