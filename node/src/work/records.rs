//! Keeps descriptor records with the nodes nearest to their addresses, as nodes come and go: so that a stripe has wardens.
//!
//! ```text
//! a record came (store) ─► news ─► soon: the nearest nodes look at once ─┐
//! nodes came since the last look ─► the nearest of those that were there ┤
//! all records, in rounds ─► whoever is on duty for the address ──────────┼─► who of the others lacks it? ─► put
//! an address that is no longer near ─────────────────────────────────────┘    and then it is released here
//! ```

use super::newcomers::Newcomers;
use super::upkeep::{DRAIN_AGAIN, Upkeep};
use super::{Progress, Step, Work, WorkError, WorkStatus, blocking};
use crate::draining::Part;
use futures::future::BoxFuture;
use palimpsest_client::RecordPut;
use palimpsest_proto::flow::Watch;
use palimpsest_proto::ids::{NodeId, RecordAddress};
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::time::Timestamp;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Records looked at in one step: enough that probes name many addresses at once.
const STEP_RECORDS: usize = 256;
/// Records that came of late and are to be looked at soon; those beyond it wait for the round.
const SOON_MAX: usize = 4_096;
/// Nodes nearest to an address that look at once when a record comes: a publisher seeds the nearest two but for its guard. Each
/// waits longer than the one before it. The nearest sends without asking, since at first nobody has it; the others ask
/// [`GLANCED`] nodes whether there is anything left to do. All wait for the next full `spread_every`, so that the records of
/// one publish share packets.
const PROMPT_RANKS: usize = 3;
const GLANCED: usize = 2;
/// Nodes nearest to an address, of those that were there before, that give newcomers what they lack. One would do, if it had the
/// record and lived.
const GIVING_RANKS: usize = 3;
/// Others that must be seen to have a record before it is released here, where there are as many.
const LEAVING_COPIES: usize = 3;
/// How long it waits for a network.
const NOT_READY: Duration = Duration::from_secs(2);

/// How it is looked whether others have a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Not at all: nobody has it yet.
    Send,
    /// At a few of them.
    Glance,
    /// At those that came of late, if this is one of the nearest of the others.
    Newcomers,
    /// At all of them, if it is this node's turn.
    OnDuty,
}

/// See the module's description.
pub struct RecordKeeper {
    upkeep: Upkeep,
    drain_begun: watch::Receiver<bool>,
    /// Whether the round under way began after draining did, and how many records of it could not be handed over.
    drains: bool,
    left: u64,
    news: mpsc::Receiver<RecordAddress>,
    /// When each is to be looked at, and this node's rank.
    soon: BTreeMap<RecordAddress, (Instant, usize)>,
    begun: Instant,
    came: Newcomers,
    /// Those that came of late, while it is looked what they lack, and how far that is.
    newcomers: BTreeSet<NodeId>,
    given_to: Option<RecordAddress>,
    next_look: Instant,
    cursor: Option<RecordAddress>,
    next_round: Instant,
    seen: u64,
    finished_at: Option<Timestamp>,
    rounds: u64,
    spread: u64,
    handed_over: u64,
}

impl RecordKeeper {
    /// A keeper that hears of new records by `news`.
    pub fn new(upkeep: Upkeep, news: mpsc::Receiver<RecordAddress>) -> RecordKeeper {
        let next_round = Instant::now() + upkeep.config.records_every;
        let next_look = Instant::now() + upkeep.config.handover_every;
        RecordKeeper {
            drain_begun: upkeep.draining.begun(),
            drains: false,
            left: 0,
            upkeep,
            news,
            soon: BTreeMap::new(),
            begun: Instant::now(),
            came: Newcomers::default(),
            newcomers: BTreeSet::new(),
            given_to: None,
            next_look,
            cursor: None,
            next_round,
            seen: 0,
            finished_at: None,
            rounds: 0,
            spread: 0,
            handed_over: 0,
        }
    }

    async fn advance(&mut self) -> Result<Step, WorkError> {
        if !self.upkeep.steward.is_ready().await {
            return Ok(Step::Idle(NOT_READY));
        }
        self.came.begin(|| self.upkeep.steward.holders());
        while let Ok(address) = self.news.try_recv() {
            self.note(address);
        }
        let now = Instant::now();
        for nearest in [true, false] {
            let is_due = |(_, (at, rank)): &(&RecordAddress, &(Instant, usize))| *at <= now && (*rank == 0) == nearest;
            let due: Vec<RecordAddress> =
                self.soon.iter().filter(is_due).map(|(address, _)| *address).take(STEP_RECORDS).collect();
            if !due.is_empty() {
                due.iter().for_each(|address| _ = self.soon.remove(address));
                let leased = self.leases_of(due).await?;
                self.tend(leased, if nearest { Look::Send } else { Look::Glance }).await?;
                return Ok(Step::Busy);
            }
        }
        if self.cursor.is_some() || self.next_round <= now {
            return self.round().await;
        }
        if self.newcomers.is_empty() && self.next_look <= now {
            self.look_who_came(now);
        }
        if !self.newcomers.is_empty() {
            return self.give_newcomers().await;
        }
        let times = self.soon.values().map(|(at, _)| *at).chain([self.next_round, self.next_look]);
        let next = times.min().unwrap_or(self.next_round);
        Ok(Step::Idle(next - now))
    }

    /// A record came: if this node is among the nearest, it looks soon whether the others have it.
    fn note(&mut self, address: RecordAddress) {
        let (_, rank) = self.upkeep.steward.neighbours(&address.position());
        if let Some(rank) = rank.filter(|rank| *rank < PROMPT_RANKS)
            && self.soon.len() < SOON_MAX
        {
            let every = self.upkeep.config.spread_every.as_secs_f64().max(0.001);
            let turns = (self.begun.elapsed().as_secs_f64() / every).floor() + 1.0 + rank as f64;
            let at = self.begun + Duration::from_secs_f64(turns * every);
            self.soon.entry(address).or_insert((at, rank));
        }
    }

    async fn leases_of(&self, addresses: Vec<RecordAddress>) -> Result<Vec<(RecordAddress, Timestamp)>, WorkError> {
        let store = self.upkeep.store.clone();
        let leases = blocking(move || {
            addresses
                .into_iter()
                .map(|a| Ok(store.record_lease(a)?.map(|lease| (a, lease))))
                .collect::<Result<Vec<_>, _>>()
        });
        Ok(leases.await?.map_err(WorkError::Store)?.into_iter().flatten().collect())
    }

    fn look_who_came(&mut self, now: Instant) {
        self.newcomers = self.came.look(self.upkeep.steward.holders());
        self.given_to = None;
        self.next_look = now + self.upkeep.config.handover_every;
    }

    /// Gives nodes that came what they should have of some of the records. Rounds are for what is missed so: where nodes come
    /// and go, all that had a record may be gone before the next one.
    async fn give_newcomers(&mut self) -> Result<Step, WorkError> {
        let (store, after) = (self.upkeep.store.clone(), self.given_to);
        let listed = blocking(move || store.records_after(after, STEP_RECORDS)).await??;
        self.given_to = listed.last().map(|(address, _)| *address);
        let ended = listed.len() < STEP_RECORDS;
        self.tend(listed, Look::Newcomers).await?;
        if ended {
            self.newcomers.clear();
        }
        Ok(Step::Busy)
    }

    async fn round(&mut self) -> Result<Step, WorkError> {
        let (store, after) = (self.upkeep.store.clone(), self.cursor);
        let listed = blocking(move || store.records_after(after, STEP_RECORDS)).await??;
        if after.is_none() {
            (self.seen, self.left) = (0, 0);
            self.drains = self.upkeep.draining.is_on();
        }
        self.seen += listed.len() as u64;
        self.cursor = listed.last().map(|(address, _)| *address);
        let ended = listed.len() < STEP_RECORDS;
        self.tend(listed, Look::OnDuty).await?;
        if ended {
            self.cursor = None;
            self.next_round = Instant::now() + self.upkeep.config.records_every;
            self.finished_at = Some(self.upkeep.steward.wall().now());
            self.rounds += 1;
            if self.drains {
                self.upkeep.draining.ended(Part::Records, self.left);
                if self.left > 0 {
                    self.next_round = Instant::now() + DRAIN_AGAIN;
                }
            }
        }
        Ok(Step::Busy)
    }

    /// Looks who lacks these records, and sends them.
    async fn tend(&mut self, records: Vec<(RecordAddress, Timestamp)>, look: Look) -> Result<(), WorkError> {
        let now = self.upkeep.steward.wall().now();
        let own = self.upkeep.own;
        let mut wanted: BTreeMap<Timestamp, Vec<(NodeId, RecordAddress)>> = BTreeMap::new();
        let mut leaving: BTreeMap<RecordAddress, usize> = BTreeMap::new();
        for (address, lease) in records.into_iter().filter(|(_, lease)| *lease > now) {
            let (mut near, rank) = self.upkeep.steward.neighbours(&address.position());
            if look == Look::Newcomers {
                let is_new = |node: &NodeId| self.newcomers.contains(node);
                let nearer = rank.map(|rank| near.iter().take(rank).filter(|node| !is_new(node)).count());
                if nearer.is_none_or(|nearer| nearer >= GIVING_RANKS) {
                    continue;
                }
                near.retain(is_new);
            } else if rank.is_none() || self.drains {
                // A few others are enough: they see to the rest.
                leaving.insert(address, near.len().clamp(1, LEAVING_COPIES));
            } else if look == Look::OnDuty {
                let watch = Watch::new(&address.0, self.upkeep.config.records_every.as_secs());
                if watch.on_duty(now, near.iter().chain([&own])) != Some(own) {
                    continue;
                }
            }
            wanted.entry(lease).or_default().extend(near.into_iter().map(|node| (node, address)));
        }
        for (lease, mut wanted) in wanted {
            if look == Look::Glance {
                wanted = self.glance(lease, wanted).await;
            }
            let (there, lacking) = match look {
                Look::Send => (Vec::new(), wanted),
                Look::Glance | Look::Newcomers | Look::OnDuty => {
                    let seen = self.upkeep.steward.probe_records(lease, &wanted).await;
                    (seen.there, seen.lacking)
                }
            };
            let mut copies: BTreeMap<RecordAddress, usize> = BTreeMap::new();
            there.into_iter().for_each(|(_, address)| *copies.entry(address).or_default() += 1);
            for address in self.send(lease, lacking).await? {
                *copies.entry(address).or_default() += 1;
            }
            for (address, copies) in copies {
                if leaving.get(&address).is_some_and(|enough| copies >= *enough) {
                    leaving.remove(&address);
                    self.upkeep.store.release_record(address, lease).await?;
                    self.handed_over += 1;
                }
            }
        }
        // What others were not seen to have stays: nobody's silence is taken for a copy.
        self.left += leaving.len() as u64;
        Ok(())
    }

    /// Those of the wanted records that a few of the nodes lack.
    async fn glance(&mut self, lease: Timestamp, wanted: Vec<(NodeId, RecordAddress)>) -> Vec<(NodeId, RecordAddress)> {
        let mut order = wanted.clone();
        order.shuffle(&mut rand::rng());
        let mut asked: BTreeMap<RecordAddress, usize> = BTreeMap::new();
        order.retain(|(_, address)| {
            let asked = asked.entry(*address).or_default();
            *asked += 1;
            *asked <= GLANCED
        });
        let seen = self.upkeep.steward.probe_records(lease, &order).await;
        let open: BTreeSet<RecordAddress> = seen.lacking.into_iter().map(|(_, address)| address).collect();
        wanted.into_iter().filter(|(_, address)| open.contains(address)).collect()
    }

    /// Sends the records; returns those that were taken, once for each node that did.
    async fn send(
        &mut self,
        lease_until: Timestamp,
        lacking: Vec<(NodeId, RecordAddress)>,
    ) -> Result<Vec<RecordAddress>, WorkError> {
        let mut records = BTreeMap::new();
        let mut puts = Vec::new();
        for (node, address) in lacking {
            if let std::collections::btree_map::Entry::Vacant(vacant) = records.entry(address)
                && let Some(record) = self.upkeep.store.get_record(address).await?
            {
                vacant.insert(record);
            }
            if let Some(record) = records.get(&address) {
                puts.push(RecordPut { node, address, record: record.clone(), lease_until });
            }
        }
        let mut taken = Vec::new();
        for some in puts.chunks(STEP_RECORDS) {
            // Several share a packet, if they go to the same node: it is packets that cost.
            let nodes: BTreeSet<NodeId> = some.iter().map(|put| put.node).collect();
            self.upkeep.budget.spend((nodes.len() * SHARD_BYTES) as u64).await;
            let stored = self.upkeep.steward.put_records(some).await;
            taken.extend(some.iter().zip(stored).filter(|(_, stored)| *stored).map(|(put, _)| put.address));
        }
        self.spread += taken.len() as u64;
        Ok(taken)
    }
}

impl Work for RecordKeeper {
    fn name(&self) -> &'static str {
        "records"
    }

    fn step(&mut self) -> BoxFuture<'_, Result<Step, WorkError>> {
        Box::pin(self.advance())
    }

    fn wait(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::select! {
                news = self.news.recv() => match news {
                    Some(address) => self.note(address),
                    // Nobody is left who could bring any.
                    None => std::future::pending().await,
                },
                changed = self.drain_begun.changed() => match changed {
                    Ok(()) => self.next_round = Instant::now(),
                    Err(_) => std::future::pending().await,
                },
            }
        })
    }

    fn status(&self) -> WorkStatus {
        WorkStatus {
            progress: Some(Progress { at: self.seen, of: self.upkeep.store.usage().records }),
            finished_at: self.finished_at,
            totals: vec![("rounds", self.rounds), ("spread", self.spread), ("handed_over", self.handed_over)],
        }
    }

    /// It waits for others and keeps within its budget.
    fn tranquility(&self) -> f64 {
        0.0
    }
}
