//! The simulator: networks that no machine has, in virtual time, from one seed. It runs `proto`'s own node table, placement,
//! diversion, guards, paths and state machines; only the wire between them, and who lives, dies and lies, is made up. The same
//! seed tells the same story.
//!
//! - [`lookups`]: who is near a place, with dead nodes and liars; by the table, and by Kademlia (a model).
//! - [`movement`]: what moves when a node joins or leaves.
//! - [`load`]: what the fullest and the busiest node bear.
//! - [`durability`]: how long stripes last, and what keeping them costs, while nodes come and go.
//! - [`sync`]: what it costs that everybody knows everybody (a model).
//! - [`adversaries`]: fetches among liars, and from neighbourhoods that somebody made.
//!
//! What is a model and what is the program, and what came of it, says `docs/simulation.md`.

mod account;
pub mod adversaries;
mod bound;
pub(crate) mod client;
pub mod durability;
mod kademlia;
pub mod load;
pub mod lookups;
pub mod movement;
pub(crate) mod reader;
pub mod sync;
pub(crate) mod world;

pub use bound::Bound;
pub(crate) use bound::kept_by_few;

use lookups::FULL_STRIPE;
use palimpsest_proto::params::TABLE_NODES_MAX;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Shards for each node where movement is looked at, and room of a node where loads are.
const SHARDS_A_NODE: usize = 20;
const ROOM: u32 = 100;
/// Nodes and stripes of a network that is followed for years, and the days of a year. Where there are fewer nodes the
/// stripes are narrower, so that shards do not share nodes.
const FOLLOWED_NODES: usize = 1_000;
const FOLLOWED_STRIPES: usize = 4;
const DAYS: f64 = 365.0;
const WIDE: (u8, u8) = (64, 203);
const NARROW: (u8, u8) = (8, 36);
/// Nodes of networks in which ids are ground: each takes two hundred keys.
const ECLIPSED_NODES_MAX: usize = 10_000;

/// What can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// See [`lookups`].
    Lookups,
    /// See [`movement`].
    Movement,
    /// See [`load`].
    Load,
    /// See [`durability`].
    Durability,
    /// See [`sync`].
    Sync,
    /// See [`adversaries`].
    Adversaries,
}

impl Part {
    /// All of them.
    pub const ALL: [Part; 6] =
        [Part::Lookups, Part::Movement, Part::Load, Part::Durability, Part::Sync, Part::Adversaries];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Part::Lookups => "lookups",
            Part::Movement => "movement",
            Part::Load => "load",
            Part::Durability => "durability",
            Part::Sync => "sync",
            Part::Adversaries => "adversaries",
        }
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Part, String> {
        let names: Vec<&str> = Part::ALL.map(Part::name).into();
        Part::ALL.into_iter().find(|part| part.name() == text).ok_or_else(|| format!("choose of {}", names.join(", ")))
    }
}

/// What to simulate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Options {
    /// Which parts.
    pub parts: Vec<Part>,
    /// Nodes.
    pub nodes: usize,
    /// Chooses the story.
    pub seed: u64,
    /// Single stripes fetched from a hostile network; of other things a part of it: the more, the finer the figures.
    pub trials: usize,
    /// Years for which each kind of churn is followed; none: a year for ten thousand trials.
    pub years: Option<f64>,
    /// Fetches of eclipsed stripes in each cell that has a bound; none: a tenth of the trials.
    pub eclipsed: Option<usize>,
}

impl Options {
    /// With as much of everything as the trials say.
    #[must_use]
    pub fn new(parts: Vec<Part>, nodes: usize, seed: u64, trials: usize) -> Options {
        Options { parts, nodes, seed, trials, years: None, eclipsed: None }
    }
}

impl fmt::Display for Options {
    /// The command that tells the same story.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<&str> = self.parts.iter().map(|part| part.name()).collect();
        let Options { nodes, seed, trials, years, eclipsed, .. } = self;
        write!(f, "pal-testnet simulate --parts {} --nodes {nodes} --seed {seed} --trials {trials}", parts.join(","))?;
        years.map_or(Ok(()), |years| write!(f, " --years {years}"))?;
        eclipsed.map_or(Ok(()), |eclipsed| write!(f, " --eclipsed {eclipsed}"))
    }
}

/// Why there is no story.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SimError {
    /// Nobody to ask: no guard answers, or no relay is left.
    #[error("too few nodes for paths")]
    TooSmall,
    /// A made-up node is none.
    #[error("a made-up node: {0}")]
    Node(String),
    /// Nodes refuse so much that they never fill up.
    #[error("what is published finds no room before {0} % are taken")]
    NoRoom(u32),
}

/// What a figure that is asked for is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Look-ups find what they are for, as programs make them.
    Found,
    /// Look-ups by Kademlia do, which is a model.
    FoundByKademlia,
    /// Look-ups are short.
    Hops,
    /// Little moves when a node joins or leaves.
    Moved,
    /// Nothing moves that need not.
    Stays,
    /// No node bears much more than others.
    Load,
    /// What is published finds room until the network is nearly full.
    Placed,
    /// No stripe is lost.
    Lasts,
    /// None is out of reach meanwhile, and there was something to repair.
    Repaired,
    /// Stripes are fetched among lying holders.
    AmongLiars,
    /// Stripes are fetched though ids were ground next to them.
    AmongSybils,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// What was simulated.
    pub options: Options,
    /// The command that tells the same story.
    pub replay: String,
    /// See [`lookups`].
    pub lookups: Option<lookups::Lookups>,
    /// See [`movement`].
    pub movement: Option<movement::Movement>,
    /// See [`load`].
    pub load: Option<load::Load>,
    /// See [`durability`].
    pub durability: Option<durability::Durable>,
    /// See [`sync`].
    pub sync: Option<sync::Sync>,
    /// See [`adversaries`].
    pub adversaries: Option<adversaries::Adversaries>,
    /// The figures that were asked for.
    pub bounds: Vec<Bound>,
}

impl Report {
    /// `Err` names the bounds that are broken, and how to see it again.
    ///
    /// # Errors
    /// When a bound is broken.
    pub fn verdict(&self) -> Result<(), String> {
        let broken: Vec<String> = self.bounds.iter().filter(|bound| !bound.kept).map(Bound::to_string).collect();
        if broken.is_empty() {
            return Ok(());
        }
        Err(format!("seed {}: {}; replay: {}", self.options.seed, broken.join("; "), self.replay))
    }
}

/// Simulates. The same options give the same report.
///
/// # Errors
/// When the network is too small for what is asked.
pub fn measure(options: &Options) -> Result<Report, SimError> {
    let Options { nodes, seed, trials, .. } = *options;
    let some = |part: usize| (trials / part).max(1);
    // Of larger networks nobody knows all nodes; only look-ups are about them.
    let whole = nodes.min(TABLE_NODES_MAX - some(10).min(TABLE_NODES_MAX / 2));
    let mut report = Report {
        options: options.clone(),
        replay: options.to_string(),
        lookups: None,
        movement: None,
        load: None,
        durability: None,
        sync: None,
        adversaries: None,
        bounds: Vec::new(),
    };
    for part in &options.parts {
        let bounds = match part {
            Part::Lookups => {
                let lookups = report.lookups.insert(lookups::measure(nodes, seed, some(10))?);
                lookups::bounds(lookups, nodes)
            }
            Part::Movement => {
                let stripes = (whole * SHARDS_A_NODE / FULL_STRIPE.1).max(1);
                movement::bounds(report.movement.insert(movement::measure(
                    whole,
                    seed,
                    stripes,
                    FULL_STRIPE,
                    some(10),
                )?))
            }
            Part::Load => load::bounds(report.load.insert(load::measure(whole, seed, ROOM, FULL_STRIPE, some(5))?)),
            Part::Durability => {
                let (followed, geometry) =
                    (nodes.min(FOLLOWED_NODES), if nodes < FOLLOWED_NODES { NARROW } else { WIDE });
                let days = DAYS * options.years.unwrap_or(trials as f64 / 1e4);
                let durable = durability::measure(followed, seed, FOLLOWED_STRIPES, geometry, days)?;
                durability::bounds(report.durability.insert(durable))
            }
            Part::Sync => {
                report.sync = Some(sync::measure(nodes, seed)?);
                Vec::new()
            }
            Part::Adversaries => {
                let adversaries = adversaries::measure(
                    whole.min(ECLIPSED_NODES_MAX),
                    seed,
                    trials,
                    options.eclipsed.unwrap_or(some(10)),
                )?;
                adversaries::bounds(report.adversaries.insert(adversaries))
            }
        };
        report.bounds.extend(bounds);
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
