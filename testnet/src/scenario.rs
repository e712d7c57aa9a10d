//! Scenarios as data: what befalls a network, and what it promises nevertheless. `testnet/scenarios/*.toml`.
//!
//! A scenario is played on a stage (`stage`), which tells what happened ([`Story`]). Whether promises were kept is for others
//! to say ([`crate::checker`]). What a stage cannot play is skipped, and has not passed.

mod containers;
mod eclipse;
mod flood;
mod in_memory;
mod parts;
mod play;
mod processes;
mod simulated;
mod stage;
mod step;
mod story;
mod tables;
mod times;
mod users;
mod watched;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::docker::Links;
use crate::hostile::{Lie, Meddle};
use crate::process::Fraction;

pub use containers::container_name;
pub(crate) use containers::{lacks, unused_subnet};
pub use play::{PlayError, Played, play};
pub(crate) use stage::broken;
pub use stage::{StageError, StageKind, Theatre};
use step::parsed;
pub use step::{Eclipsed, Place, Step, Who};
pub use story::{Account, Deed, Disk, End, Flooded, Held, Kind, Pooled, Rubbish, Story, Tables, Watched};
pub use times::Times;

/// The scenarios of the repository.
pub const SHIPPED: [(&str, &str); 24] = [
    ("bad-links", include_str!("../scenarios/bad-links.toml")),
    ("bootstrap-gone", include_str!("../scenarios/bootstrap-gone.toml")),
    ("churn", include_str!("../scenarios/churn.toml")),
    ("colluding-relays", include_str!("../scenarios/colluding-relays.toml")),
    ("disk-full", include_str!("../scenarios/disk-full.toml")),
    ("eclipse", include_str!("../scenarios/eclipse.toml")),
    ("eclipse-stripe", include_str!("../scenarios/eclipse-stripe.toml")),
    ("flood", include_str!("../scenarios/flood.toml")),
    ("half-dies", include_str!("../scenarios/half-dies.toml")),
    ("half-dies-100", include_str!("../scenarios/half-dies-100.toml")),
    ("half-of-100-dies", include_str!("../scenarios/half-of-100-dies.toml")),
    ("halves-publish", include_str!("../scenarios/halves-publish.toml")),
    ("hanging", include_str!("../scenarios/hanging.toml")),
    ("hostile-relays", include_str!("../scenarios/hostile-relays.toml")),
    ("lying-holders", include_str!("../scenarios/lying-holders.toml")),
    ("made-up-nodes", include_str!("../scenarios/made-up-nodes.toml")),
    ("narrow-links", include_str!("../scenarios/narrow-links.toml")),
    ("nat", include_str!("../scenarios/nat.toml")),
    ("partition-and-heal", include_str!("../scenarios/partition-and-heal.toml")),
    ("rolling-upgrade", include_str!("../scenarios/rolling-upgrade.toml")),
    ("rot", include_str!("../scenarios/rot.toml")),
    ("slow-links", include_str!("../scenarios/slow-links.toml")),
    ("slow-loris", include_str!("../scenarios/slow-loris.toml")),
    ("table-liars", include_str!("../scenarios/table-liars.toml")),
];
/// Bytes of a scenario's file at most.
pub const SCENARIO_BYTES_MAX: u64 = 64 * 1024;
/// Bounds of what a scenario asks for: what one machine plays in less than an hour.
pub(crate) const NODES: std::ops::RangeInclusive<u32> = 6..=200;
const STEPS_MAX: usize = 100;
const FILES_MAX: u32 = 200;
const BYTES_MAX: u64 = 256 << 20;
const DEADLINE_S: std::ops::RangeInclusive<u64> = 1..=3_600;
const ECLIPSE_NODES_MAX: u64 = 40;
const ECLIPSE_DRAWN_MAX: u64 = 100_000;
const MADE_UP_MAX: u64 = 400;
const SLOW_PEERS_MAX: u64 = 64;
const FLOOD_CLIENTS_MAX: u64 = 32;
const WAIT_S: std::ops::RangeInclusive<u64> = 1..=900;
const QUOTA_MIB: std::ops::RangeInclusive<u64> = 10..=1 << 20;
const QUOTA_DEFAULT_MIB: u64 = 1_024;

/// What befalls a network, step by step.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// In one sentence.
    pub about: String,
    /// Nodes of the network.
    pub nodes: u32,
    /// Seconds for each publish and each fetch.
    pub deadline_s: u64,
    /// Each node's quota in MiB; none: 1 GiB, which every stage gives its nodes, so that all are judged by what they were given.
    pub quota_mib: Option<u64>,
    /// The size of each node's disk in MiB, less than its quota; where nodes share a disk, a quota stands for it.
    pub disk_mib: Option<u64>,
    /// The share of the nodes that is behind NAT.
    #[serde(default, deserialize_with = "parsed")]
    pub nat: Fraction,
    /// What the network promises.
    pub promises: Promises,
    /// Holders that lie.
    #[serde(default)]
    pub lying: Vec<Lying>,
    /// Relays that do not pass on what they should.
    #[serde(default)]
    pub meddling: Vec<Meddling>,
    /// Who lies about the node table.
    pub table_liars: Option<TableLiars>,
    /// Peers that are no nodes, have a connection to each node, and let bytes trickle: how many.
    #[serde(default)]
    pub slow_peers: u32,
    /// Who pools what they see.
    pub coalition: Option<Coalition>,
    /// What the links are like.
    #[serde(default, deserialize_with = "links")]
    pub links: Links,
    /// What happens, in this order.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
}

/// What the network promises. That no wrong byte is ever handed out, that all ends in time, that no disk tells anything, and
/// that no node takes more than its quota is promised always.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promises {
    /// The share of publishes that succeed.
    #[serde(deserialize_with = "parsed")]
    pub published: Fraction,
    /// The share of fetches that bring the file.
    #[serde(deserialize_with = "parsed")]
    pub fetched: Fraction,
    /// Seconds that the middle publish takes at most; none: not promised, as where it depends on the machine alone.
    pub publish_p50_s: Option<f64>,
    /// The same of fetches.
    pub fetch_p50_s: Option<f64>,
    /// Seconds within which nineteen of twenty fetches end.
    pub fetch_p95_s: Option<f64>,
}

/// Holders that lie: they acknowledge whatever is stored, and keep nothing.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lying {
    /// What they answer when asked for something.
    pub how: Lie,
    /// Which.
    pub nodes: Vec<u32>,
}

/// Relays that meddle with all that they pass on for others.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meddling {
    /// What they do to it.
    pub how: Meddle,
    /// Which.
    pub nodes: Vec<u32>,
}

/// Nodes that name only each other and nodes that they made up, and call all others lost.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableLiars {
    /// Which. The first five nodes are those that newcomers are told of.
    pub nodes: Vec<u32>,
    /// Nodes that they made up; each id has cost its work (15 ms of one core).
    pub made_up: u32,
    /// The same with ids that cost no work.
    pub unworked: u32,
    /// Decides who is made up.
    pub seed: u64,
}

/// Nodes that do all that is asked of them, and pool what they see.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Coalition {
    /// Which share.
    #[serde(deserialize_with = "parsed")]
    pub fraction: Fraction,
    /// Chooses which.
    pub seed: u64,
}

/// Why a text is no scenario.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// It is no TOML, or says something unknown.
    #[error("{0}")]
    Toml(#[from] Box<toml::de::Error>),
    /// A number is out of bounds.
    #[error("{what} is {given}, and must be {bounds}")]
    Bounds {
        /// Which.
        what: &'static str,
        /// What it is.
        given: u64,
        /// What it may be.
        bounds: String,
    },
    /// A node is to play two parts of one kind.
    #[error("node {0} lies, or meddles, in two ways")]
    Twice(u32),
    /// Nothing would be shown.
    #[error("nothing is fetched after it was published")]
    Empty,
    /// Nobody returns who was never there.
    #[error("nobody fetched before who could return")]
    NobodyReturns,
    /// There is one flood at most, and it ends after it began.
    #[error("there is one flood at most, and it ends once, after it began")]
    Floods,
}

impl Scenario {
    /// The same with other dice: by the seed 1 as it is written, by any other others are killed, cut off, drawn and made up.
    #[must_use]
    pub fn drawn_anew(mut self, seed: u64) -> Self {
        let steps = self.steps.iter_mut().filter_map(Step::seed);
        let coalition = self.coalition.iter_mut().map(|coalition| &mut coalition.seed);
        let liars = self.table_liars.iter_mut().map(|liars| &mut liars.seed);
        for written in steps.chain(coalition).chain(liars) {
            *written = written.wrapping_add(seed).wrapping_sub(1);
        }
        self
    }

    /// Each node's quota in MiB. Where nodes have no disks of their own, a quota stands for them.
    fn quota_mib(&self, has_own_disks: bool) -> u64 {
        let disk = if has_own_disks { None } else { self.disk_mib };
        self.quota_mib.or(disk).unwrap_or(QUOTA_DEFAULT_MIB)
    }

    /// Whether it is about what each node is told of others, so that simulated nodes must not all know the same.
    fn has_own_tables(&self) -> bool {
        self.table_liars.is_some() || self.slow_peers > 0
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scenario: Self = toml::from_str(text).map_err(Box::new)?;
        within("nodes", scenario.nodes.into(), (*NODES.start()).into(), (*NODES.end()).into())?;
        within("deadline_s", scenario.deadline_s, *DEADLINE_S.start(), *DEADLINE_S.end())?;
        if let Some(quota) = scenario.quota_mib {
            within("quota_mib", quota, *QUOTA_MIB.start(), *QUOTA_MIB.end())?;
        }
        if let Some(disk) = scenario.disk_mib {
            within("disk_mib", disk, *QUOTA_MIB.start(), *QUOTA_MIB.end())?;
        }
        let promised = [scenario.promises.publish_p50_s, scenario.promises.fetch_p50_s, scenario.promises.fetch_p95_s];
        for seconds in promised.into_iter().flatten() {
            // What is no number is out of bounds, too.
            let given = if seconds > 0.0 && seconds.is_finite() { seconds.ceil() as u64 } else { 0 };
            within("seconds promised", given, *DEADLINE_S.start(), *DEADLINE_S.end())?;
        }
        within("the number of steps", scenario.steps.len() as u64, 1, STEPS_MAX as u64)?;
        let lying: Vec<u32> = scenario.lying.iter().flat_map(|lying| &lying.nodes).copied().collect();
        let meddling: Vec<u32> = scenario.meddling.iter().flat_map(|meddling| &meddling.nodes).copied().collect();
        for (what, nodes) in [("a lying node", lying), ("a meddling node", meddling)] {
            let mut named = BTreeSet::new();
            for node in nodes {
                within(what, node.into(), 0, u64::from(scenario.nodes) - 1)?;
                if !named.insert(node) {
                    return Err(ScenarioError::Twice(node));
                }
            }
        }
        if let Some(liars) = &scenario.table_liars {
            for &node in &liars.nodes {
                within("a node that lies about the table", node.into(), 0, u64::from(scenario.nodes) - 1)?;
            }
            within("nodes made up", liars.made_up.into(), 0, MADE_UP_MAX)?;
            within("nodes made up whose ids cost no work", liars.unworked.into(), 0, MADE_UP_MAX)?;
        }
        within("slow peers", scenario.slow_peers.into(), 0, SLOW_PEERS_MAX)?;
        for step in &scenario.steps {
            match *step {
                Step::Publish { files, bytes, .. } | Step::Fill { files, bytes } => {
                    within("files", files.into(), 1, FILES_MAX.into())?;
                    within("bytes", bytes, 1, BYTES_MAX)?;
                }
                Step::Flood { clients, files, bytes, seconds } => {
                    within("clients of a flood", clients.into(), 1, FLOOD_CLIENTS_MAX)?;
                    within("files", files.into(), 1, FILES_MAX.into())?;
                    within("bytes", bytes, 1, BYTES_MAX)?;
                    within("seconds of a flood", seconds, *WAIT_S.start(), *WAIT_S.end())?;
                }
                Step::Eclipse { nodes, drawn, .. } => {
                    within("nodes next to each place", nodes.into(), 1, ECLIPSE_NODES_MAX)?;
                    within("ids drawn", drawn.into(), nodes.into(), ECLIPSE_DRAWN_MAX)?;
                }
                Step::Wait { seconds } => within("seconds to wait", seconds, *WAIT_S.start(), *WAIT_S.end())?,
                Step::KillFirst { nodes } => within("nodes to kill", nodes.into(), 1, u64::from(scenario.nodes) - 1)?,
                _ => {}
            }
        }
        let published = scenario.steps.iter().position(|step| matches!(step, Step::Publish { .. }));
        let fetched = scenario.steps.iter().rposition(|step| matches!(step, Step::Fetch { .. }));
        if published.zip(fetched).is_none_or(|(published, fetched)| fetched < published) {
            return Err(ScenarioError::Empty);
        }
        let first_by =
            |who| scenario.steps.iter().position(|step| matches!(step, Step::Fetch { by, .. } if *by == who));
        if let Some(returning) = first_by(Who::Returning)
            && first_by(Who::Stranger).is_none_or(|before| before > returning)
        {
            return Err(ScenarioError::NobodyReturns);
        }
        let is_flood = |step: &&Step| matches!(step, Step::Flood { .. } | Step::EndFlood {});
        let floods: Vec<&Step> = scenario.steps.iter().filter(is_flood).collect();
        if !matches!(floods[..], [] | [Step::Flood { .. }] | [Step::Flood { .. }, Step::EndFlood {}]) {
            return Err(ScenarioError::Floods);
        }
        Ok(scenario)
    }
}

fn within(what: &'static str, given: u64, least: u64, most: u64) -> Result<(), ScenarioError> {
    if (least..=most).contains(&given) {
        Ok(())
    } else {
        Err(ScenarioError::Bounds { what, given, bounds: format!("{least} to {most}") })
    }
}

fn links<'de, D: Deserializer<'de>>(from: D) -> Result<Links, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        latency: Option<String>,
        loss: Option<String>,
        bandwidth: Option<String>,
    }
    fn read<T: FromStr<Err: fmt::Display>, E: serde::de::Error>(text: Option<String>) -> Result<Option<T>, E> {
        text.map(|text| text.parse()).transpose().map_err(E::custom)
    }
    let Written { latency, loss, bandwidth } = Written::deserialize(from)?;
    Ok(Links { latency: read(latency)?, loss: read(loss)?, bandwidth: read(bandwidth)? })
}

#[cfg(test)]
mod tests;
