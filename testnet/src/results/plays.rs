//! What is played for the page: the scenarios that its figures name, and the onion against a straight transfer.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::checker::{self, is_kept, judge};
use crate::docker::speed::{self, SpeedOptions, SpeedReport};
use crate::docker::{DockerNet, Links, UpOptions};
use crate::hostile::Cast;
use crate::process::{Fraction, Transport};
use crate::scenario::{
    Kind, Played, SHIPPED, Scenario, StageError, StageKind, Theatre, Times, broken, container_name, lacks, play,
    unused_subnet,
};

/// Half of a hundred nodes in one process die: that it is any half, so many of them stand for.
pub(super) const HALF_OF_100: &str = "half-of-100-dies";
pub(super) const HALVES_OF_100: u64 = 3;
/// The network in which the onion is held against a straight transfer: its size, and what a node's link is like.
const NODES: u32 = 12;
const LATENCY: &str = "25ms";
const BANDWIDTH: &str = "20mbit";
/// The transfers: bytes, and how often.
const BYTES: u64 = 16_000_000;
const ROUNDS: u32 = 3;
/// Time until its nodes know each other.
const UP_DEADLINE: Duration = Duration::from_secs(300);

/// What takes containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Container {
    /// 12 of 24 die.
    HalfDies,
    /// 50 ms a round trip, 20 Mbit/s.
    SlowLinks,
    /// Two halves for ten minutes.
    Halves,
    /// The onion against a straight transfer.
    Speed,
}

impl Container {
    /// All.
    pub const ALL: [Self; 4] = [Self::HalfDies, Self::SlowLinks, Self::Halves, Self::Speed];

    /// Its name on the command line: the scenario's, where it is one.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfDies => "half-dies-100",
            Self::SlowLinks => "slow-links",
            Self::Halves => "halves-publish",
            Self::Speed => "speed",
        }
    }
}

impl FromStr for Container {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Self::ALL.map(Self::name);
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| format!("choose of {}", names.join(", ")))
    }
}

/// Where things are played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// An empty folder for all that is written.
    pub dir: PathBuf,
    /// Folder of the programs; none: they are looked for beside this one.
    pub bin_dir: Option<PathBuf>,
}

/// What came of something that was to be measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome<T> {
    /// This.
    Measured(T),
    /// Nothing: this machine lacks something.
    Skipped(String),
    /// Nothing: it broke off.
    Broken(String),
}

impl<T> Outcome<T> {
    fn of(result: Result<T, StageError>) -> Self {
        match result {
            Ok(measured) => Self::Measured(measured),
            Err(StageError::Lacks(why)) => Self::Skipped(why),
            Err(StageError::Broken(why)) => Self::Broken(why),
        }
    }

    /// Whether something went wrong, other than that this machine lacks something.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(_))
    }

    /// What was measured; or why nothing was, in words for the page, which tell no names of this machine's files.
    pub(super) fn measured(&self) -> Result<&T, &'static str> {
        match self {
            Self::Measured(measured) => Ok(measured),
            Self::Skipped(why) if why.starts_with("no docker engine") => Err("not measured: no docker engine"),
            Self::Skipped(_) => Err("not measured: this machine lacks what it takes"),
            Self::Broken(_) => Err("not measured: it broke off"),
        }
    }
}

impl<T> fmt::Display for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured(_) => f.write_str("measured"),
            Self::Skipped(why) => write!(f, "skipped: {why}"),
            Self::Broken(why) => write!(f, "broke off: {why}"),
        }
    }
}

/// A scenario that was to be played.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Play {
    /// Its name.
    pub scenario: &'static str,
    /// Where it was played.
    pub stage: &'static str,
    /// Chose who is hit.
    pub seed: u64,
    /// What came of it.
    pub outcome: Outcome<Told>,
}

/// What is told of a scenario that was played.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    /// Nodes of its network.
    pub nodes: u32,
    /// How long its publishes and fetches took.
    pub times: Vec<Times>,
    /// What the oracles say.
    pub verdicts: Vec<checker::Verdict>,
}

impl Told {
    /// Whether it kept what is promised.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        is_kept(&self.verdicts)
    }

    /// How long all of one kind took.
    #[must_use]
    pub fn times(&self, kind: Kind) -> Option<&Times> {
        self.times.iter().find(|times| times.kind == kind)
    }
}

/// Plays one of those that are shipped. `note` is told if something is left of its network.
pub(super) async fn scenario(
    name: &'static str,
    kind: StageKind,
    place: &Place,
    seed: u64,
    note: &impl Fn(&str),
) -> Play {
    let outcome = Outcome::of(played(name, kind, place, seed, note).await);
    Play { scenario: name, stage: kind.name(), seed, outcome }
}

async fn played(
    name: &'static str,
    kind: StageKind,
    place: &Place,
    seed: u64,
    note: &impl Fn(&str),
) -> Result<Told, StageError> {
    let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name);
    let (_, text) = shipped.ok_or_else(|| broken(format!("there is no scenario {name}")))?;
    let scenario = text.parse::<Scenario>().map_err(broken)?.drawn_anew(seed);
    let dir = place.dir.join(format!("{name}-{seed}"));
    fs::create_dir_all(&dir).map_err(broken)?;
    let theatre = Theatre { dir, bin_dir: place.bin_dir.clone(), seed };
    match play(&scenario, kind, &theatre, |_, _| ()).await? {
        Played::Skipped(why) => Err(StageError::Lacks(why)),
        Played::Story(story, left) => {
            if let Some(left) = left {
                note(&format!("what {name} started is still there: {left}"));
            }
            let verdicts = judge(&scenario.promises, &story);
            Ok(Told { nodes: scenario.nodes, times: story.times(), verdicts })
        }
    }
}

/// The onion against a straight transfer, in a network of its own. `note` is told if something is left of it.
pub(super) async fn against_direct(place: &Place, note: &impl Fn(&str)) -> Outcome<SpeedReport> {
    Outcome::of(measured(place, note).await)
}

async fn measured(place: &Place, note: &impl Fn(&str)) -> Result<SpeedReport, StageError> {
    let latency = Some(LATENCY.parse().map_err(broken)?);
    let bandwidth = Some(BANDWIDTH.parse().map_err(broken)?);
    let dir = place.dir.join(Container::Speed.name());
    fs::create_dir_all(&dir).map_err(broken)?;
    let options = UpOptions {
        dir: dir.join("net"),
        name: container_name().map_err(broken)?,
        subnet: unused_subnet().await?,
        nodes: NODES,
        nat: Fraction::default(),
        links: Links { latency, loss: None, bandwidth },
        transport: Transport::Tcp,
        quota: None,
        disk_mib: None,
        bin_dir: place.bin_dir.clone(),
        cast: Cast::default(),
        deadline: UP_DEADLINE,
    };
    let net = DockerNet::up(options).await.map_err(lacks)?;
    let options = SpeedOptions { bytes: BYTES, rounds: ROUNDS, dir, bin_dir: place.bin_dir.clone() };
    let report = speed::measure(&net, &options).await;
    let left = net.down().await.err();
    if let (Ok(_), Some(left)) = (&report, &left) {
        note(&format!("the network in which the onion was measured is still there: {left}"));
    }
    report.map_err(|error| lacks(error).and(left))
}
