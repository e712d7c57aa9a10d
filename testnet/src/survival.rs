//! Survival, predicted and measured: files are published into a network in one process, nodes are killed, and each file is fetched by
//! somebody who was never there. What was predicted is the chance by which geometry is chosen ([`loss`]), for where the
//! shards truly lie. The formula says how many survive on average; how far from that a network may be, since all its files share the
//! dead, only dice say. So the formula is held against their mean, and what was fetched against their spread.
//!
//! Files are at most 128 KiB, so that each is one stripe. They are published for a smaller loss than they then meet, so that some are
//! lost: where all survive, nothing is measured.

mod chance;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use palimpsest_client::coding::Survive;
use palimpsest_client::{Capability, FetchOptions, Progress, PublishOptions, Source};
use palimpsest_proto::coding::{Descriptor, loss};
use palimpsest_proto::ids::RootAddress;
use serde::Serialize;

use crate::healing::{holders, stripes};
use crate::memory::{Network, NetworkError, NetworkOptions};
use crate::sample::SplitMix64;

pub use chance::{Interval, interval};

/// Bytes of a file: two data shards.
const FILE_BYTES: usize = 100_000;
/// Readers who try one after the other to fetch what is left, at most.
const READERS_MAX: usize = 3;
/// Fetches at a time.
const FETCHES_MAX: usize = 16;
/// How long one fetch may take by default: what is gone is not waited for longer.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(60);
/// How often dice decide who is dead, for what is then held against fetches: often enough that what no draw had is not luck.
const DRAWS: usize = 100_000;
/// The same for each point of the curve that needs no fetches.
pub const CURVE_DRAWS: usize = 2_000;
/// Bounds of what one machine plays in minutes.
const NODES: std::ops::RangeInclusive<usize> = 20..=200;
const FILES: std::ops::RangeInclusive<usize> = 1..=1_000;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Options {
    /// Nodes, 20 to 200.
    pub nodes: usize,
    /// Files, 1 to 1,000.
    pub files: usize,
    /// What part of the nodes they are published to survive.
    pub survive: Survive,
    /// The parts of the nodes that are dead when files are fetched, in percent, growing.
    pub killed_percent: Vec<u32>,
    /// How long one fetch may take.
    pub deadline: Duration,
    /// Chooses the dead, and what the files contain.
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Nodes at first.
    pub nodes: usize,
    /// Files.
    pub files: usize,
    /// For what they were published, in percent of the nodes.
    pub survive_percent: f64,
    /// Data shards and shards of each file's stripe.
    pub geometry: (usize, usize),
    /// Real fetches.
    pub fetched: Vec<Point>,
    /// The same shards at the same nodes, and dice instead of deaths: for every twentieth part of the nodes.
    pub drawn: Vec<Drawn>,
    /// The seed.
    pub seed: u64,
}

/// So many of the nodes were dead.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Percent of the nodes at first.
    pub killed_percent: u32,
    /// Files that are there by prediction, on average, and in 95 of 100 cases.
    pub predicted: Interval,
    /// Files of which k shards are left on living disks.
    pub left: usize,
    /// Files that were fetched, and are right.
    pub fetched: usize,
    /// Of these, such as the first reader missed, who took somebody for dead who stood still, and another one got.
    pub again: usize,
}

impl Point {
    /// Whether what was measured lies where it should, and the formula tells what the dice tell.
    pub fn agrees(&self) -> bool {
        self.predicted.contains(self.fetched) && self.predicted.is_consistent()
    }
}

/// A point of the curve without fetches.
#[derive(Debug, Clone, Serialize)]
pub struct Drawn {
    /// Percent of the nodes.
    pub killed_percent: u32,
    /// The part of the files that survives, predicted.
    pub predicted: f64,
    /// The part that survived in 2,000 draws.
    pub measured: f64,
    /// Whether these agree, as far as so many draws tell.
    pub agrees: bool,
}

impl Report {
    /// Whether all points agree.
    pub fn agrees(&self) -> bool {
        self.fetched.iter().all(Point::agrees) && self.drawn.iter().all(|drawn| drawn.agrees)
    }

    /// Whether all agree but for what luck alone may do: of points with fetches one in twenty lies outside of its interval where
    /// nothing is wrong, and what runs again and again needs a judge who does not call that an error.
    pub fn is_possible(&self) -> bool {
        let possible = |point: &Point| point.predicted.is_possible(point.fetched) && point.predicted.is_consistent();
        self.fetched.iter().all(possible) && self.drawn.iter().all(|drawn| drawn.agrees)
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum SurvivalError {
    /// Bounds.
    #[error("{what} must be {} to {}", bounds.start(), bounds.end())]
    Bounds {
        /// Of what.
        what: &'static str,
        /// What it may be.
        bounds: std::ops::RangeInclusive<usize>,
    },
    /// Percentages that do not grow, or reach 100.
    #[error("the parts to kill must grow, and stay below 100 %")]
    Percent,
    /// The network did not start.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Publishing failed, or a client could not enter.
    #[error("a client: {0}")]
    Client(#[from] palimpsest_client::Error),
    /// The stores could not be read.
    #[error("the store of a node: {0}")]
    Store(#[from] palimpsest_node::store::StoreError),
    /// A published file has no record anywhere.
    #[error("a published file has no record")]
    NoRecord,
}

/// A published file.
struct File {
    link: Capability,
    content: Bytes,
    k: usize,
    /// Who has each of its shards.
    holders: Vec<Option<usize>>,
    /// Its shards, by node.
    loads: Vec<u32>,
}

impl File {
    fn new(link: Capability, content: Bytes, k: usize, holders: Vec<Option<usize>>, nodes: usize) -> File {
        let mut loads = vec![0; nodes];
        for &node in holders.iter().flatten() {
            loads[node] += 1;
        }
        File { link, content, k, holders, loads }
    }

    fn is_left(&self, dead: &[bool]) -> bool {
        self.holders.iter().flatten().filter(|&&node| !dead[node]).count() >= self.k
    }
}

/// Publishes, kills, fetches, and compares.
///
/// # Errors
/// Options out of bounds; a network that does not start, a publish that fails, a store that cannot be read. A fetch that fails is no
/// error but what is measured.
pub async fn measure(options: &Options) -> Result<Report, SurvivalError> {
    check(options)?;
    let mut network = Network::start(NetworkOptions::honest(options.nodes)).await?;
    let outcome = measured(&mut network, options).await;
    network.shutdown().await;
    outcome
}

fn check(options: &Options) -> Result<(), SurvivalError> {
    if !NODES.contains(&options.nodes) {
        return Err(SurvivalError::Bounds { what: "nodes", bounds: NODES });
    }
    if !FILES.contains(&options.files) {
        return Err(SurvivalError::Bounds { what: "files", bounds: FILES });
    }
    let grows = options.killed_percent.is_sorted() && options.killed_percent.iter().all(|&percent| percent < 100);
    if grows { Ok(()) } else { Err(SurvivalError::Percent) }
}

async fn measured(network: &mut Network, options: &Options) -> Result<Report, SurvivalError> {
    let mut dice = SplitMix64::new(options.seed);
    let files = published(network, options, &mut dice).await?;
    let order = shuffled(options.nodes, &mut dice);
    let mut dead = vec![false; options.nodes];
    let mut points = Vec::new();
    for &percent in &options.killed_percent {
        let killed = part(options.nodes, percent);
        let dying: Vec<usize> = order[..killed].iter().copied().filter(|&node| !dead[node]).collect();
        dying.iter().for_each(|&node| dead[node] = true);
        network.kill_all(&dying).await;
        let mut wanted: Vec<&File> = files.iter().collect();
        let mut right = Vec::new();
        for reader in 0..READERS_MAX {
            let client = network.client(&format!("reader-{percent}-{reader}")).await?;
            let fetches = wanted.iter().map(|file| fetched(&client, file, options.deadline));
            let got: Vec<bool> = futures::stream::iter(fetches).buffered(FETCHES_MAX).collect().await;
            client.close().await?;
            right.push(got.iter().filter(|&&right| right).count());
            let missed = wanted.into_iter().zip(got).filter(|(file, right)| !right && file.is_left(&dead));
            wanted = missed.map(|(file, _)| file).collect();
            if wanted.is_empty() {
                break;
            }
        }
        points.push(Point {
            killed_percent: percent,
            predicted: predicted(&files, killed, DRAWS, &mut SplitMix64::new(options.seed ^ u64::from(percent) << 32)),
            left: files.iter().filter(|file| file.is_left(&dead)).count(),
            fetched: right.iter().sum(),
            again: right.iter().skip(1).sum(),
        });
    }
    let geometry = files.first().map_or((0, 0), |file| (file.k, file.holders.len()));
    Ok(Report {
        nodes: options.nodes,
        files: files.len(),
        survive_percent: options.survive.fraction() * 100.0,
        geometry,
        fetched: points,
        drawn: (1..20).map(|twentieth| drawn(&files, twentieth * 5, &mut dice)).collect(),
        seed: options.seed,
    })
}

/// Publishes the files, one after the other, and looks into the stores for where their shards lie.
async fn published(network: &Network, options: &Options, dice: &mut SplitMix64) -> Result<Vec<File>, SurvivalError> {
    let client = network.client("publisher").await?;
    // Readers do not heal and wardens do not work here: what is dead stays dead.
    let how = PublishOptions { survive: options.survive, wardens: false, ..PublishOptions::default() };
    let mut links = Vec::new();
    for _ in 0..options.files {
        let content: Bytes = (0..FILE_BYTES / 8).flat_map(|_| dice.next_u64().to_le_bytes()).collect();
        let published = client.publish(Source::Bytes(content.clone()), how, &Progress::new()).await?;
        let link: Capability = published.link.parse().map_err(|_| SurvivalError::NoRecord)?;
        links.push((link, content));
    }
    client.close().await?;

    let found: BTreeMap<RootAddress, Descriptor> =
        stripes(network).await?.into_iter().map(|(descriptor, _)| (descriptor.root_address(), descriptor)).collect();
    let descriptors: Vec<Descriptor> = links
        .iter()
        .map(|(link, _)| match link {
            Capability::Read { root, .. } => found.get(root).cloned().ok_or(SurvivalError::NoRecord),
            Capability::Inline(_) | Capability::Repair { .. } => Err(SurvivalError::NoRecord),
        })
        .collect::<Result<_, _>>()?;
    let holders = holders(network, &descriptors)?;
    let files = links.into_iter().zip(descriptors).zip(holders);
    Ok(files
        .map(|(((link, content), descriptor), holders)| {
            File::new(link, content, descriptor.geometry().k(), holders, options.nodes)
        })
        .collect())
}

async fn fetched(client: &palimpsest_client::Client, file: &File, deadline: Duration) -> bool {
    let (mut sink, progress) = (Vec::new(), Progress::new());
    let options = FetchOptions { heal: false, ..FetchOptions::default() };
    let fetch = client.fetch(&file.link, options, &mut sink, &progress);
    matches!(tokio::time::timeout(deadline, fetch).await, Ok(Ok(_))) && sink == file.content
}

/// The chance of each file that it survives.
fn chances(files: &[File], killed: usize) -> Vec<f64> {
    files.iter().map(|file| 1.0 - loss(file.k, &file.loads, killed)).collect()
}

/// What is to be expected: the mean by the formula, its spread by dice, since all files share the dead.
fn predicted(files: &[File], killed: usize, draws: usize, dice: &mut SplitMix64) -> Interval {
    interval(chances(files, killed).iter().sum(), files.len(), outcomes(files, killed, draws, dice))
}

/// How many files are left in each of many draws of who is dead.
fn outcomes(files: &[File], killed: usize, draws: usize, dice: &mut SplitMix64) -> Vec<usize> {
    let nodes = files.first().map_or(0, |file| file.loads.len());
    let mut draw = || {
        let mut dead = vec![false; nodes];
        shuffled(nodes, dice)[..killed].iter().for_each(|&node| dead[node] = true);
        files.iter().filter(|file| file.is_left(&dead)).count()
    };
    (0..draws).map(|_| draw()).collect()
}

fn drawn(files: &[File], percent: u32, dice: &mut SplitMix64) -> Drawn {
    let nodes = files.first().map_or(0, |file| file.loads.len());
    let interval = predicted(files, part(nodes, percent), CURVE_DRAWS, dice);
    let share = |count: f64| count / files.len() as f64;
    Drawn {
        killed_percent: percent,
        predicted: share(interval.mean),
        measured: share(interval.drawn),
        agrees: interval.is_consistent(),
    }
}

fn part(nodes: usize, percent: u32) -> usize {
    nodes * percent as usize / 100
}

/// The numbers below `count`, each order as likely as any other (Fisher and Yates).
fn shuffled(count: usize, dice: &mut SplitMix64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, (dice.next_u64() % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Dice and formula agree on shards that lie anyhow; and the formula's interval would not hold everything.
    #[test]
    fn what_is_drawn_is_what_is_predicted() {
        let mut dice = SplitMix64::new(3);
        let files: Vec<File> = (0..50)
            .map(|_| {
                let holders = (0..10).map(|_| Some((dice.next_u64() % 30) as usize)).collect();
                File::new(Capability::Inline(Bytes::new()), Bytes::new(), 2, holders, 30)
            })
            .collect();
        for percent in [50, 70, 80, 90] {
            let drawn = drawn(&files, percent, &mut dice);
            assert!(drawn.agrees, "{drawn:?}");
        }
        let interval = predicted(&files, 24, CURVE_DRAWS, &mut dice);
        assert!(interval.low > 0 && interval.high < 50, "{interval:?}");
        assert!(interval.contains(interval.mean as usize) && !interval.contains(50) && interval.is_consistent());
        // Were one shard more needed than the formula knows, that would show.
        let wrong = chances(&files.iter().map(one_less_needed).collect::<Vec<_>>(), 24).iter().sum();
        let point = |mean| Point {
            killed_percent: 80,
            predicted: Interval { mean, ..interval },
            left: 0,
            fetched: interval.low,
            again: 0,
        };
        assert!(point(interval.mean).agrees() && !point(wrong).agrees(), "{wrong} {interval:?}");
    }

    /// Thirteen of sixteen, where 14 to 16 are to be expected and none of 100,000 draws had less than eleven.
    #[test]
    fn bad_luck_is_not_called_impossible() {
        let predicted =
            Interval { mean: 15.8, drawn: 15.8, tolerance: 0.1, low: 14, high: 16, least: 11, greatest: 16 };
        let report = |fetched| Report {
            nodes: 20,
            files: 16,
            survive_percent: 10.0,
            geometry: (2, 8),
            fetched: vec![Point { killed_percent: 50, predicted, left: fetched, fetched, again: 0 }],
            drawn: Vec::new(),
            seed: 1,
        };
        let judged = |fetched| (report(fetched).agrees(), report(fetched).is_possible());
        assert_eq!([14, 13, 10].map(judged), [(true, true), (false, true), (false, false)]);
    }

    fn one_less_needed(file: &File) -> File {
        File::new(Capability::Inline(Bytes::new()), Bytes::new(), file.k - 1, file.holders.clone(), 30)
    }

    #[test]
    fn senseless_options_are_refused() {
        let fine = Options {
            nodes: 40,
            files: 10,
            survive: Survive::Third,
            killed_percent: vec![30, 50],
            deadline: FETCH_DEADLINE,
            seed: 1,
        };
        assert!(check(&fine).is_ok());
        assert!(check(&Options { nodes: 10, ..fine.clone() }).is_err());
        assert!(check(&Options { files: 0, ..fine.clone() }).is_err());
        assert!(check(&Options { killed_percent: vec![50, 30], ..fine.clone() }).is_err());
        assert!(check(&Options { killed_percent: vec![100], ..fine }).is_err());
    }
}
