//! `docs/results.md`: the figures of the current version beside those of the literature and of peers, on one page, with pictures.
//!
//! Survival, the simulator and anonymity are measured here, and scenarios are played ([`plays`]); what takes containers only where it is
//! wanted. What takes programs or hours is handed in as what the commands printed that measure it ([`figures`]).

pub mod chart;
mod elsewhere;
pub mod figures;
mod glance;
mod page;
mod pictures;
pub mod plays;
mod table;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use palimpsest_client::coding::Survive;
use palimpsest_proto::record::RecordError;
use serde::Serialize;

use crate::anonymity::crowd::{self, CrowdError, CrowdOptions, CrowdReport};
use crate::anonymity::model::{self, ModelOptions, ModelReport};
use crate::anonymity::{self, Verdict};
use crate::docker::speed::SpeedReport;
use crate::scenario::StageKind;
use crate::sim::{self, Part, SimError};
use crate::survival::{self, SurvivalError};
use figures::Figure;
use glance::Word;
use plays::{Container, Outcome, Place, Play, Told};

/// Sizes of the networks whose look-ups make the picture of hops.
const HOPS_NODES: [usize; 4] = [1_000, 3_000, 10_000, 30_000];
/// What is simulated, and how often: so often that chance alone breaks no bound, within minutes. That fewer than one fetch in a thousand
/// fails shows after three thousand: see `docs/simulation.md`.
const SIMULATED: [Simulated; 4] = [
    Simulated { parts: &[Part::Lookups, Part::Movement], nodes: [10_000, 1_000], trials: [10_000, 2_000], years: None },
    Simulated { parts: &[Part::Load, Part::Sync], nodes: [10_000, 1_000], trials: [500, 100], years: None },
    Simulated { parts: &[Part::Adversaries], nodes: [10_000, 1_000], trials: [500, 100], years: None },
    Simulated { parts: &[Part::Durability], nodes: [500, 300], trials: [1, 1], years: Some([3.0, 0.3]) },
];
/// What is killed when files are fetched, in percent.
const KILLED: [u32; 4] = [30, 50, 60, 70];
/// The coalitions, and those among real nodes.
const COALITIONS: [f64; 5] = [0.01, 0.05, 0.1, 0.2, 0.4];
const CROWD_COALITIONS: [f64; 3] = [0.1, 0.2, 0.4];
/// Bytes of a file among real nodes: a root and two stripes.
const CROWD_BYTES: usize = 5 << 20;
const CROWD_SPREAD: Duration = Duration::from_secs(30);
const CROWD_READERS: usize = 2;

/// A part of what is simulated; each figure for the page, and for the quick version.
struct Simulated {
    parts: &'static [Part],
    nodes: [usize; 2],
    trials: [usize; 2],
    years: Option<[f64; 2]>,
}

/// How much to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Chooses all dice.
    pub seed: u64,
    /// A small version of each, in a minute or two, to see whether it still works; its figures are rough.
    pub is_quick: bool,
    /// Of what takes containers, what is played.
    pub containers: Vec<Container>,
    /// Where scenarios are played.
    pub place: Place,
    /// The commit that is checked out where the page lies, where that is known: for the page.
    pub commit: Option<String>,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Results {
    /// Version of the programs.
    pub version: &'static str,
    /// The commit that was checked out where the page lies, where that is known.
    pub commit: Option<String>,
    /// Chose all dice.
    pub seed: u64,
    /// Files published for 10, 30 and 50 %.
    pub survival: Vec<survival::Report>,
    /// What the simulator reports.
    pub simulations: Vec<sim::Report>,
    /// Nodes and mean hops of a look-up by Kademlia, all alive and honest.
    pub hops: Vec<(usize, f64)>,
    /// The model of anonymity, and whether its bounds hold.
    pub anonymity: ModelReport,
    /// Real nodes that look on.
    pub crowd: CrowdReport,
    /// Of both.
    pub verdicts: Vec<Verdict>,
    /// Scenarios that were to be played.
    pub plays: Vec<Play>,
    /// The onion against a straight transfer; none: not wanted.
    pub speed: Option<Outcome<SpeedReport>>,
    /// Handed in.
    pub figures: Vec<Figure>,
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// Survival.
    #[error("survival: {0}")]
    Survival(#[from] SurvivalError),
    /// The simulator.
    #[error("the simulator: {0}")]
    Simulation(#[from] SimError),
    /// The model of anonymity.
    #[error("the model of anonymity: {0}")]
    Anonymity(#[from] RecordError),
    /// The nodes that look on.
    #[error("nodes that look on: {0}")]
    Crowd(#[from] CrowdError),
    /// A file.
    #[error("cannot write {path}: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Measures all that this program can by itself. `note` is told what begins.
///
/// # Errors
/// What cannot be measured at all. A bound that does not hold is no error: [`Results::outcome`].
pub async fn measure(options: &Options, figures: Vec<Figure>, note: impl Fn(&str)) -> Result<Results, ResultsError> {
    let Options { seed, is_quick, ref containers, ref place, ref commit } = *options;
    let mut survival = Vec::new();
    for survive in [Survive::Tenth, Survive::Third, Survive::Half] {
        note("survival");
        let (nodes, files) = if is_quick { (20, 10) } else { (40, 100) };
        let killed_percent = KILLED.to_vec();
        let deadline = survival::FETCH_DEADLINE;
        let options = survival::Options { nodes, files, survive, killed_percent, deadline, seed };
        survival.push(survival::measure(&options).await?);
    }
    note("simulation");
    let mut simulations = Vec::new();
    let size = usize::from(is_quick);
    for Simulated { parts, nodes, trials, years } in SIMULATED {
        let options = sim::Options::new(parts.to_vec(), nodes[size], seed, trials[size]);
        simulations.push(sim::measure(&sim::Options { years: years.map(|years| years[size]), ..options })?);
    }
    let mut hops = Vec::new();
    for nodes in HOPS_NODES.into_iter().filter(|nodes| !is_quick || *nodes <= 3_000) {
        note(&format!("look-ups among {nodes}"));
        let report = sim::measure(&sim::Options::new(vec![Part::Lookups], nodes, seed, 1_000))?;
        hops.extend(pictures::healthy_hops(&report).map(|mean| (nodes, mean)));
    }
    note("anonymity");
    let (nodes, clients) = if is_quick { (400, 400) } else { (1_000, 4_000) };
    let anonymity = model::measure(&ModelOptions { nodes, clients, coalition: COALITIONS.to_vec(), seed })?;
    note("nodes that look on");
    let (nodes, files) = if is_quick { (20, 2) } else { (30, 5) };
    let (bytes, readers, coalition) = (CROWD_BYTES, CROWD_READERS, CROWD_COALITIONS.to_vec());
    let crowd =
        crowd::measure(&CrowdOptions { nodes, files, bytes, readers, spread: CROWD_SPREAD, coalition, seed }).await?;
    let verdicts = anonymity.verdicts().into_iter().chain(crowd.verdicts()).collect();
    let mut plays = Vec::new();
    let halves = if is_quick { 0 } else { plays::HALVES_OF_100 };
    let in_memory = (0..halves).map(|half| (plays::HALF_OF_100, StageKind::Memory, seed.wrapping_add(half)));
    let wanted = containers.iter().filter(|one| **one != Container::Speed);
    for (name, stage, seed) in in_memory.chain(wanted.map(|one| (one.name(), StageKind::Docker, seed))) {
        note(&format!("{name} ({}, seed {seed})", stage.name()));
        let play = plays::scenario(name, stage, place, seed, &note).await;
        told(&play.outcome, &note);
        plays.push(play);
    }
    let mut speed = None;
    if containers.contains(&Container::Speed) {
        note("onion against direct");
        let outcome = plays::against_direct(place, &note).await;
        told(&outcome, &note);
        speed = Some(outcome);
    }
    let (version, commit) = (env!("CARGO_PKG_VERSION"), commit.clone());
    Ok(Results {
        version,
        commit,
        seed,
        survival,
        simulations,
        hops,
        anonymity,
        crowd,
        verdicts,
        plays,
        speed,
        figures,
    })
}

/// Says why nothing was measured, if nothing was: the page has no room for it.
fn told<T>(outcome: &Outcome<T>, note: &impl Fn(&str)) {
    if outcome.measured().is_err() {
        note(&outcome.to_string());
    }
}

impl Results {
    /// What all of it comes to: whether it is as it should be, and nothing broke off.
    pub fn outcome(&self) -> anonymity::Outcome {
        // Of these no miss is known.
        let others = self.survival.iter().all(survival::Report::agrees)
            && self.simulations.iter().flat_map(|report| &report.bounds).all(|bound| bound.kept)
            && self.figures.iter().all(|figure| figure.kept != Some(false))
            && self.plays.iter().all(|play| play.outcome.measured().map_or(true, Told::is_kept))
            && !self.broke_off()
            && glance::lines(self).iter().all(|line| line.word != Word::Judged(false));
        if others { anonymity::Outcome::of(&self.verdicts) } else { anonymity::Outcome::NewMisses }
    }

    /// Whether something that was played broke off: of its network something may be left.
    pub fn broke_off(&self) -> bool {
        self.plays.iter().any(|play| play.outcome.is_broken()) || self.speed.as_ref().is_some_and(Outcome::is_broken)
    }

    /// Writes `results.md` into the folder, and its pictures into `results/` there.
    ///
    /// # Errors
    /// Those of writing.
    pub fn write(&self, folder: &Path) -> Result<(), ResultsError> {
        let save = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|source| ResultsError::File { path: path.display().to_string(), source })
        };
        let pictures = folder.join("results");
        fs::create_dir_all(&pictures)
            .map_err(|source| ResultsError::File { path: pictures.display().to_string(), source })?;
        for (name, chart) in pictures::all(self) {
            save(&format!("results/{name}.svg"), &chart.svg())?;
        }
        save("results.md", &page::page(self))
    }
}
