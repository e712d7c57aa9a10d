//! The warden: looks after the stripes whose descriptors this node keeps as records. When [`proto::flow::Repair`] acts, and who
//! acts, [`proto::flow::Watch`] says; here it is done.
//!
//! ```text
//! records, in random order ─► whose turn? ─► Repair::poll ─┬─ Sample ─► find, prove a few
//!                                                          ├─ Survey ─► find all; every holder proves something
//!                                                          └─ Repair ─► gather k, rebuild, place (within the budget)
//! ```
//!
//! [`proto::flow::Repair`]: palimpsest_proto::flow::Repair
//! [`proto::flow::Watch`]: palimpsest_proto::flow::Watch

mod hopeless;

use super::upkeep::Upkeep;
use super::{Progress, Step, Work, WorkError, WorkStatus, blocking};
use futures::future::BoxFuture;
use hopeless::Hopeless;
use palimpsest_client::clock::moment;
use palimpsest_client::{Claim, Found, Proof, RepairError};
use palimpsest_proto::coding::{Descriptor, check_record};
use palimpsest_proto::flow::{Audited, Duty, Repair, RepairStep, Watch, wardens};
use palimpsest_proto::ids::{NodeId, RecordAddress, RootAddress};
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::select::place;
use palimpsest_proto::time::Timestamp;
use rand::seq::SliceRandom;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

/// Records listed at once.
const LISTED: usize = 1_024;
/// Records that a warden goes through at most; those beyond are left to the other wardens. 7 MiB.
const RECORDS_MAX: usize = 1 << 16;
/// Stripes whose state is remembered; of the others only the patience is lost.
const REMEMBERED_MAX: usize = 4_096;
/// Hopeless stripes that are remembered: as many as a round has. 4 MiB.
const HOPELESS_MAX: usize = RECORDS_MAX;
/// Stripes looked at in one step.
const STEP_STRIPES: usize = 32;
/// Claims that each holder has to prove in a survey: who lacks a part of what it claims is found out with that chance, and then
/// nothing that it claims counts.
const PROVEN_PER_HOLDER: usize = 2;
/// Steps of one stripe's machine in one visit: sample, survey, repair, rest.
const MACHINE_STEPS_MAX: usize = 4;
/// How long it waits for a network.
const NOT_READY: Duration = Duration::from_secs(2);

/// A stripe that this node is a warden of.
struct Ward {
    descriptor: Descriptor,
    root: RootAddress,
    lease_until: Timestamp,
}

struct Memory {
    repair: Repair,
    /// The audit that was begun last.
    audited: u64,
    found: Option<Found>,
    /// When it was touched last: the longest untouched is forgotten first.
    at: Instant,
}

/// Totals since the start.
#[derive(Default)]
struct Totals {
    rounds: u64,
    samples: u64,
    surveys: u64,
    repairs: u64,
    failed: u64,
    shards_repaired: u64,
    bytes_moved: u64,
    lies: u64,
    hopeless: u64,
}

/// See the module's description.
pub struct Warden {
    upkeep: Upkeep,
    waiting: Vec<(RecordAddress, Timestamp)>,
    of: u64,
    round_at: Instant,
    memory: HashMap<RootAddress, Memory>,
    /// What was visited in this round: a node may keep a stripe's record under several addresses.
    visited: BTreeSet<RootAddress>,
    /// Stripes that are left alone for good.
    hopeless: Hopeless,
    finished_at: Option<Timestamp>,
    totals: Totals,
}

impl Warden {
    /// A warden that begins at once.
    pub fn new(upkeep: Upkeep) -> Warden {
        Warden {
            upkeep,
            waiting: Vec::new(),
            of: 0,
            round_at: Instant::now(),
            memory: HashMap::new(),
            visited: BTreeSet::new(),
            hopeless: Hopeless::new(HOPELESS_MAX),
            finished_at: None,
            totals: Totals::default(),
        }
    }

    async fn advance(&mut self) -> Result<Step, WorkError> {
        if !self.upkeep.steward.is_ready().await {
            return Ok(Step::Idle(NOT_READY));
        }
        let now = Instant::now();
        if self.waiting.is_empty() {
            if self.of > 0 {
                self.finished_at = Some(self.upkeep.steward.wall().now());
                self.totals.rounds += 1;
                self.of = 0;
            }
            if now < self.round_at {
                return Ok(Step::Idle(self.round_at - now));
            }
            // Twice in a turn, so that whoever's turn it is sees it before half of it is over.
            self.round_at = now + self.upkeep.config.turn / 2;
            self.list().await?;
            return Ok(if self.waiting.is_empty() { Step::Idle(self.round_at - now) } else { Step::Busy });
        }
        for _ in 0..STEP_STRIPES {
            let Some((address, lease_until)) = self.waiting.pop() else { break };
            if let Some(ward) = self.ward(address, lease_until).await?
                && !self.hopeless.contains(&ward.root)
                && self.visited.insert(ward.root)
                && self.visit(ward).await?
            {
                // It took its time; the runner may want to stop.
                break;
            }
        }
        Ok(Step::Busy)
    }

    async fn list(&mut self) -> Result<(), WorkError> {
        let store = self.upkeep.store.clone();
        let listed = blocking(move || {
            let mut all: Vec<(RecordAddress, Timestamp)> = Vec::new();
            loop {
                let some = store.records_after(all.last().map(|(address, _)| *address), LISTED)?;
                let ended = some.len() < LISTED;
                all.extend(some);
                if ended || all.len() >= RECORDS_MAX {
                    return Ok(all);
                }
            }
        });
        let now = self.upkeep.steward.wall().now();
        self.waiting = listed.await?.map_err(WorkError::Store)?.into_iter().filter(|(_, lease)| *lease > now).collect();
        self.waiting.shuffle(&mut rand::rng());
        self.of = self.waiting.len() as u64;
        self.visited.clear();
        Ok(())
    }

    async fn ward(&self, address: RecordAddress, lease_until: Timestamp) -> Result<Option<Ward>, WorkError> {
        let Some(record) = self.upkeep.store.get_record(address).await? else { return Ok(None) };
        // The holder has checked it when it came.
        let descriptor = check_record(address, record).ok();
        Ok(descriptor.map(|descriptor| Ward { root: descriptor.root_address(), descriptor, lease_until }))
    }

    /// Does what is this node's to do for a stripe; says whether it was anything.
    async fn visit(&mut self, ward: Ward) -> Result<bool, WorkError> {
        let (n, k) = (ward.descriptor.geometry().n(), ward.descriptor.geometry().k());
        let (duty, audit, by_table) = self.duty(&ward);
        let remembered = self.memory.remove(&ward.root);
        if duty == Duty::Off && remembered.is_none() {
            return Ok(false);
        }
        let mut memory = remembered.unwrap_or_else(|| {
            let repair = Repair::new(n, k, self.upkeep.config.repair);
            Memory { repair, audited: 0, found: None, at: Instant::now() }
        });
        let mut duty = match duty {
            Duty::Audit if memory.audited == audit => Duty::Watch,
            duty => duty,
        };
        let mut worked = false;
        for _ in 0..MACHINE_STEPS_MAX {
            let step = memory.repair.poll(moment(), duty, by_table, &mut rand::rng());
            match step {
                RepairStep::Rest(_) => break,
                RepairStep::Sample(shards) => {
                    (duty, memory.audited) = (Duty::Watch, audit);
                    let outcomes = self.sample(&ward, &shards).await;
                    self.note_audit(&ward, outcomes.contains(&Audited::Proven));
                    memory.repair.sampled(by_table, &outcomes);
                }
                RepairStep::Survey => {
                    if duty == Duty::Audit {
                        (duty, memory.audited) = (Duty::Watch, audit);
                    }
                    let found = self.survey(&ward).await;
                    let proven: Vec<bool> = found.holders.iter().map(Option::is_some).collect();
                    self.note_audit(&ward, proven.contains(&true));
                    memory.repair.surveyed(moment(), by_table, &proven);
                    memory.found = Some(found);
                }
                RepairStep::Repair(missing) => {
                    let placed = match memory.found.take() {
                        Some(found) => self.repair(&ward, found, &missing).await,
                        // Forgotten by a mistake of ours: the machine asks for a survey after its pause.
                        None => Vec::new(),
                    };
                    memory.repair.repaired(moment(), &placed);
                }
            }
            worked = true;
        }
        memory.at = Instant::now();
        if !self.hopeless.contains(&ward.root) {
            self.remember(ward.root, memory);
        }
        Ok(worked)
    }

    /// Remembers the audit for those who ask, if anything was proven in it.
    fn note_audit(&self, ward: &Ward, proven: bool) {
        if proven {
            self.upkeep.audits.note(ward.root, moment());
        }
    }

    /// Whether it is this node's turn; the number of the audit that is due; and how many shards' likeliest holders the table
    /// does not call lost.
    fn duty(&self, ward: &Ward) -> (Duty, u64, usize) {
        let now = self.upkeep.steward.wall().now();
        let config = &self.upkeep.config;
        let table = self.upkeep.steward.table();
        let wardens = wardens(&table, &ward.root.record_addresses());
        let watch = Watch::new(ward.root.as_bytes(), config.turn.as_secs());
        let audits = Watch::new(ward.root.as_bytes(), config.audit_every.as_secs());
        let is_on = watch.on_duty(now, &wardens) == Some(self.upkeep.own) && watch.may_begin(now);
        let audits_now = audits.on_duty(now, &wardens) == Some(self.upkeep.own);
        let duty = match (is_on, audits_now) {
            (_, true) => Duty::Audit,
            (true, false) => Duty::Watch,
            (false, false) => Duty::Off,
        };
        let by_table = if duty == Duty::Off && !self.memory.contains_key(&ward.root) {
            0
        } else {
            let placement = place(&table, ward.descriptor.locators(), ward.descriptor.geometry().k());
            let lives = |id: &NodeId| table.get(id).is_some_and(|entry| entry.health().lost.is_none());
            (0..placement.shards()).filter(|&i| placement.candidates(i).first().is_some_and(lives)).count()
        };
        (duty, audits.turn(now), by_table)
    }

    async fn sample(&mut self, ward: &Ward, shards: &[u8]) -> Vec<Audited> {
        self.totals.samples += 1;
        // Where they belong first: mostly that is all. Nobody has claimed anything yet, so who lacks one is no liar.
        let guess = self.upkeep.steward.likely(&ward.descriptor);
        let claims: Vec<(u8, Claim)> =
            shards.iter().filter_map(|&shard| Some((shard, claim(ward, &guess, shard)?))).collect();
        let proofs = self.upkeep.steward.prove(&claims.iter().map(|(_, claim)| *claim).collect::<Vec<_>>()).await;
        let mut proofs: BTreeMap<u8, Proof> = claims.iter().map(|(shard, _)| *shard).zip(proofs).collect();
        let elsewhere: Vec<u8> =
            shards.iter().copied().filter(|shard| proofs.get(shard) != Some(&Proof::Proven)).collect();
        if !elsewhere.is_empty() {
            let found = self.upkeep.steward.survey_some(&ward.descriptor, &elsewhere).await;
            let claims: Vec<(u8, Claim)> =
                elsewhere.iter().filter_map(|&shard| Some((shard, claim(ward, &found, shard)?))).collect();
            let again = self.prove(&claims.iter().map(|(_, claim)| *claim).collect::<Vec<_>>()).await;
            proofs.extend(claims.iter().map(|(shard, _)| *shard).zip(again));
        }
        let outcome = |shard: &u8| match proofs.get(shard) {
            Some(Proof::Proven) => Audited::Proven,
            Some(Proof::Silent) => Audited::Unknown,
            Some(Proof::Lacking) | None => Audited::Missing,
        };
        shards.iter().map(outcome).collect()
    }

    /// Who has which shards. Of each holder some claims are proven; who fails has nothing.
    async fn survey(&mut self, ward: &Ward) -> Found {
        self.totals.surveys += 1;
        let surveyed = self.upkeep.steward.survey(std::slice::from_ref(&ward.descriptor)).await;
        let Some(mut found) = surveyed.into_iter().next() else {
            return Found::nothing(ward.descriptor.geometry().n());
        };
        let mut order: Vec<u8> = (0..ward.descriptor.geometry().n()).map(|i| i as u8).collect();
        order.shuffle(&mut rand::rng());
        let mut asked: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut claims = Vec::new();
        for shard in order {
            if let Some(claim) = claim(ward, &found, shard) {
                let asked = asked.entry(claim.holder).or_default();
                if *asked < PROVEN_PER_HOLDER {
                    *asked += 1;
                    claims.push(claim);
                }
            }
        }
        let proofs = self.prove(&claims).await;
        let failed: BTreeSet<NodeId> = claims
            .iter()
            .zip(&proofs)
            .filter(|(_, proof)| **proof == Proof::Lacking)
            .map(|(claim, _)| claim.holder)
            .collect();
        found.holders.iter_mut().filter(|holder| holder.is_some_and(|id| failed.contains(&id))).for_each(|h| *h = None);
        found
    }

    async fn prove(&mut self, claims: &[Claim]) -> Vec<Proof> {
        let proofs = self.upkeep.steward.prove(claims).await;
        self.totals.lies += proofs.iter().filter(|proof| **proof == Proof::Lacking).count() as u64;
        proofs
    }

    /// Puts missing shards back; returns those that are there now.
    async fn repair(&mut self, ward: &Ward, found: Found, missing: &[u8]) -> Vec<u8> {
        let moved = (ward.descriptor.geometry().k() + missing.len()) * SHARD_BYTES;
        self.upkeep.budget.spend(moved as u64).await;
        self.totals.repairs += 1;
        match self.upkeep.steward.repair(&ward.descriptor, &found, missing, ward.lease_until).await {
            Ok(repaired) => {
                self.totals.shards_repaired += repaired.placed.len() as u64;
                self.totals.bytes_moved += repaired.bytes;
                repaired.placed
            }
            Err(error) => {
                self.totals.failed += 1;
                if error == RepairError::NoStripe {
                    self.totals.hopeless += 1;
                    self.hopeless.insert(ward.root);
                }
                Vec::new()
            }
        }
    }

    fn remember(&mut self, root: RootAddress, memory: Memory) {
        if self.memory.len() >= REMEMBERED_MAX
            && let Some(oldest) = self.memory.iter().min_by_key(|(_, memory)| memory.at).map(|(root, _)| *root)
        {
            self.memory.remove(&oldest);
        }
        self.memory.insert(root, memory);
    }
}

fn claim(ward: &Ward, found: &Found, shard: u8) -> Option<Claim> {
    let holder = (*found.holders.get(usize::from(shard))?)?;
    Some(Claim { locator: *ward.descriptor.locators().get(usize::from(shard))?, holder })
}

impl Work for Warden {
    fn name(&self) -> &'static str {
        "warden"
    }

    fn step(&mut self) -> BoxFuture<'_, Result<Step, WorkError>> {
        Box::pin(self.advance())
    }

    fn status(&self) -> WorkStatus {
        let Totals { rounds, samples, surveys, repairs, failed, shards_repaired, bytes_moved, lies, hopeless } =
            self.totals;
        WorkStatus {
            progress: Some(Progress { at: self.of - self.waiting.len() as u64, of: self.of }),
            finished_at: self.finished_at,
            totals: vec![
                ("rounds", rounds),
                ("samples", samples),
                ("surveys", surveys),
                ("repairs", repairs),
                ("repairs_failed", failed),
                ("shards_repaired", shards_repaired),
                ("bytes_moved", bytes_moved),
                ("lies", lies),
                ("hopeless", hopeless),
            ],
        }
    }

    /// It waits for others and keeps within its budget.
    fn tranquility(&self) -> f64 {
        0.0
    }
}
