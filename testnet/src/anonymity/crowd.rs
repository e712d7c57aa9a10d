//! Real nodes and clients in one process, all of whose sights are written down; and what coalitions, drawn by chance from the
//! nodes, make of what theirs saw.
//!
//! One record serves for all coalitions: who only looks on changes nothing. Files are published one after the other, each by a
//! client of its own, then as many all at once; the latter are fetched all at once. Then as many are published, and fetched, that
//! are spread over time, as a user can ask for, each begun a while after the other.

mod stage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use palimpsest_client::Error;
use palimpsest_node::store::StoreError;
use palimpsest_proto::ids::{Locator, NodeId};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;

use super::affinity::{Belongs, Clue, Known, known, worth};
use super::chance::Rate;
use super::linking::guesses;
use super::model::members;
use super::sights::{Journey, Seen, Wanted, complaints, journeys};
use super::{About, Verdict};
use crate::memory::NetworkError;

pub use stage::record;

/// After how many requests of a client it is looked whether it is linked, beside all that it makes.
pub const REQUESTS: [usize; 2] = [1, 64];
/// How much better than a coin a guess may be whether two shards belong to one file.
pub const AUC_MOST: f64 = 0.55;
/// Coalitions that are drawn for each size.
const DRAWS: usize = 200;
/// Of these, those that also guess which shards belong together.
const DRAWS_AFFINITY: usize = 10;

/// What to play.
#[derive(Debug, Clone, PartialEq)]
pub struct CrowdOptions {
    /// Nodes of the network.
    pub nodes: usize,
    /// Files that are published one after the other, as many at once, and as many spread.
    pub files: usize,
    /// Bytes of each.
    pub bytes: usize,
    /// Readers of each file that was published at once, or spread.
    pub readers: usize,
    /// Over how long publishes and fetches of [`Batch::Spread`] are spread.
    pub spread: Duration,
    /// The parts of the nodes that a coalition holds.
    pub coalition: Vec<f64>,
    /// Chooses the files and the coalitions; who is on which path real dice choose.
    pub seed: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum CrowdError {
    /// The network did not start.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A publish or a fetch failed.
    #[error("a user of the network failed: {0}")]
    Client(#[from] Error),
    /// A store cannot be read.
    #[error("the store of a node: {0}")]
    Store(#[from] StoreError),
    /// A disk cannot be read.
    #[error("the disk of a node: {0}")]
    Disk(#[from] std::io::Error),
    /// A user did not come to an end, or fetched something else.
    #[error("{0}")]
    Broken(&'static str),
}

/// How files were published, and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// One after the other, each when the last one was done.
    Alone,
    /// All begun at the same moment; then fetched by readers who all begin at the same moment.
    AtOnce,
    /// One begun after the other, each spread over a time that is much longer than the pauses between them; then fetched likewise.
    Spread,
}

impl Batch {
    /// All of them, in the order in which they are played.
    pub const ALL: [Self; 3] = [Self::Alone, Self::AtOnce, Self::Spread];

    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Alone => "one after the other",
            Self::AtOnce => "all at once",
            Self::Spread => "spread over time",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CrowdReport {
    /// Nodes of the network.
    pub nodes: usize,
    /// Clients: publishers and readers.
    pub clients: usize,
    /// Requests whose whole way was seen.
    pub requests: usize,
    /// Requests that were for the client's own guard, which knows who asks: where nobody else has what is wanted, or the guard is a
    /// new one.
    pub guards_asked: usize,
    /// What was seen that must not be: sights that no node but a guard may have.
    pub complaints: Vec<String>,
    /// Who is linked to what, for each size of coalition.
    pub linking: Vec<Linked>,
    /// Which shards belong together, for each size of coalition.
    pub affinity: Vec<Affinity>,
}

/// What coalitions of one size learn of clients, as a mean over all that were drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Linked {
    /// Its part of the nodes.
    pub coalition: f64,
    /// Clients linked to their first request, and to one of the first 64.
    pub after: [f64; REQUESTS.len()],
    /// Clients linked to any of their requests.
    pub ever: f64,
    /// Of one client picked by chance from each coalition's view: independent, so that chance has its bounds.
    pub one_each: Rate,
    /// The part of all guesses that were wrong.
    pub wrong: f64,
}

/// What a clue is worth to coalitions of one size, as a mean over those drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Affinity {
    /// Its part of the nodes.
    pub coalition: f64,
    /// How the files were published.
    pub batch: Batch,
    /// By what is guessed.
    pub clue: Clue,
    /// How good the guess is; one half is a coin.
    pub auc: f64,
}

impl Affinity {
    /// What the clue is worth to who knows whether it is to be taken the other way round: stripes of a file come one after the
    /// other, so where many come at once those of one file are the farther apart.
    #[must_use]
    pub fn worth(&self) -> f64 {
        self.auc.max(1.0 - self.auc)
    }
}

impl CrowdReport {
    /// Which bounds hold.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let count = self.complaints.len() as f64;
        let structure = Verdict::at_most(About::Sights, None, count, 0.0);
        let about = About::LinkedAmong { nodes: self.nodes };
        let linked = self.linking.iter().map(|one| Verdict::rate(about, one.coalition, one.one_each, one.coalition));
        let affinity = self.affinity.iter().map(|one| {
            let about = About::OneFile { clue: one.clue, batch: one.batch };
            Verdict::at_most(about, Some(one.coalition), one.worth(), AUC_MOST)
        });
        std::iter::once(structure).chain(linked).chain(affinity).collect()
    }
}

/// All that happened, before anybody guesses.
#[derive(Debug)]
pub struct Record {
    /// All sights of all nodes, in order.
    pub seen: Vec<Seen>,
    /// The nodes by number.
    pub members: Vec<NodeId>,
    /// To whom each client was ever connected.
    pub guards: HashMap<NodeId, BTreeSet<NodeId>>,
    /// Where on its disk each shard lies.
    places: Vec<HashMap<Locator, f64>>,
    /// The stripe of each shard.
    stripes: HashMap<Locator, usize>,
    /// The publisher of each file, and how it was published.
    files: Vec<(NodeId, Batch)>,
}

/// Plays, and lets coalitions guess.
///
/// # Errors
/// As [`record`].
pub async fn measure(options: &CrowdOptions) -> Result<CrowdReport, CrowdError> {
    let record = record(options).await?;
    let options = options.clone();
    let guessing = tokio::task::spawn_blocking(move || judge(&record, &options));
    guessing.await.map_err(|_| CrowdError::Broken("the guessing broke off"))
}

/// What coalitions of each size make of a record.
#[must_use]
pub fn judge(record: &Record, options: &CrowdOptions) -> CrowdReport {
    let truth = journeys(&record.seen);
    let mut by_client: BTreeMap<NodeId, Vec<&Journey>> = BTreeMap::new();
    truth.iter().for_each(|journey| by_client.entry(journey.client).or_default().push(journey));
    let nodes = record.members.len();
    let mut dice = StdRng::seed_from_u64(options.seed);
    let (mut linking, mut affinity) = (Vec::new(), Vec::new());
    for &part in &options.coalition {
        let bad = members(part, nodes);
        let mut tally = Tally::default();
        let mut worths: BTreeMap<(Batch, usize), Vec<f64>> = BTreeMap::new();
        for draw in 0..DRAWS {
            let mut seats: Vec<usize> = (0..nodes).collect();
            seats.shuffle(&mut dice);
            let seats: BTreeSet<usize> = seats.into_iter().take(bad).collect();
            let pooled: Vec<Seen> = record.seen.iter().filter(|one| seats.contains(&one.node)).copied().collect();
            tally.take(record, &by_client, &pooled, &mut dice);
            if draw < DRAWS_AFFINITY {
                for batch in Batch::ALL {
                    let shards = record.shards(&truth, &seats, &pooled, batch);
                    for one in worth(&shards, options.seed ^ draw as u64) {
                        let clue = Clue::ALL.iter().position(|clue| *clue == one.clue).unwrap_or_default();
                        worths.entry((batch, clue)).or_default().push(one.auc);
                    }
                }
            }
        }
        let coalition = bad as f64 / nodes as f64;
        linking.push(tally.linked(coalition));
        affinity.extend(worths.into_iter().map(|((batch, clue), worths)| {
            let auc = worths.iter().sum::<f64>() / worths.len() as f64;
            Affinity { coalition, batch, clue: Clue::ALL[clue], auc }
        }));
    }
    CrowdReport {
        nodes,
        clients: record.guards.len(),
        requests: truth.len(),
        guards_asked: truth.iter().filter(|journey| journey.guard == journey.holder).count(),
        complaints: complaints(&record.seen, &record.members, &record.guards),
        linking,
        affinity,
    }
}

impl Record {
    /// The shards that these nodes hold of the files of one batch, with what they know of them, and what is true of them.
    fn shards(
        &self,
        truth: &[Journey],
        seats: &BTreeSet<usize>,
        pooled: &[Seen],
        batch: Batch,
    ) -> Vec<(Known, Belongs)> {
        let files: HashMap<NodeId, usize> = self
            .files
            .iter()
            .enumerate()
            .filter(|(_, (_, how))| *how == batch)
            .map(|(file, (publisher, _))| (*publisher, file))
            .collect();
        let mut belongs = HashMap::new();
        for journey in truth {
            if let (Wanted::Store(locator, _), Some(&file)) = (journey.wanted, files.get(&journey.client))
                && let Some(&stripe) = self.stripes.get(&locator)
            {
                belongs.insert(locator, Belongs { file, stripe });
            }
        }
        let mut places = HashMap::new();
        seats.iter().filter_map(|&seat| self.places.get(seat)).for_each(|some| places.extend(some));
        let mut shards: Vec<(Locator, Known)> = known(pooled, &places).into_iter().collect();
        shards.sort_unstable_by_key(|(locator, _)| *locator);
        shards.into_iter().filter_map(|(locator, known)| Some((known, *belongs.get(&locator)?))).collect()
    }
}

/// What coalitions of one size learnt up to now.
#[derive(Default)]
struct Tally {
    coalitions: u64,
    /// Sums over coalitions of the part of the clients that are linked after so many requests, and ever.
    after: [f64; REQUESTS.len()],
    ever: f64,
    one_each: u64,
    right: u64,
    wrong: u64,
}

impl Tally {
    fn take(
        &mut self,
        record: &Record,
        by_client: &BTreeMap<NodeId, Vec<&Journey>>,
        pooled: &[Seen],
        dice: &mut StdRng,
    ) {
        let members: BTreeSet<NodeId> = record.members.iter().copied().collect();
        let guessed: HashMap<_, _> =
            guesses(pooled, &members).into_iter().map(|guess| (guess.came, guess.client)).collect();
        let named = |journey: &Journey| guessed.get(&journey.came) == Some(&journey.client);
        let first = |journeys: &Vec<&Journey>| journeys.iter().position(|journey| named(journey));
        let firsts: Vec<Option<usize>> = by_client.values().map(first).collect();
        let clients = firsts.len().max(1) as f64;
        for (sum, requests) in self.after.iter_mut().zip(REQUESTS) {
            *sum += firsts.iter().flatten().filter(|first| **first < requests).count() as f64 / clients;
        }
        self.ever += firsts.iter().flatten().count() as f64 / clients;
        if !firsts.is_empty() {
            self.one_each += u64::from(firsts[dice.random_range(0..firsts.len())].is_some());
        }
        let right = by_client.values().flatten().filter(|journey| named(journey)).count() as u64;
        self.right += right;
        self.wrong += guessed.len() as u64 - right;
        self.coalitions += 1;
    }

    fn linked(&self, coalition: f64) -> Linked {
        let mean = |sum: f64| sum / self.coalitions.max(1) as f64;
        Linked {
            coalition,
            after: self.after.map(mean),
            ever: mean(self.ever),
            one_each: Rate::of(self.one_each, self.coalitions),
            wrong: self.wrong as f64 / (self.right + self.wrong).max(1) as f64,
        }
    }
}

#[cfg(test)]
mod tests;
