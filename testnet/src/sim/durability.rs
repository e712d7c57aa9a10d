//! Stripes over simulated years, in networks whose nodes leave for good or come and go, kept by `proto`'s own wardens: [`Watch`] says
//! who audits, [`Repair`] when to sample, survey and repair, [`Scatter`] where repaired shards go, [`Giver`] what newcomers
//! are given. Time goes in steps; what takes minutes in life happens within one.
//!
//! Against it stands the Markov chain of [`crate::model`], which knows none of these.

use super::world::{WALL, announce_until, dice, key, locators, network_of};
use super::{Bound, SimError};
use crate::model::{Policy, World as ModelWorld, durability};
use palimpsest_proto::coding::{Descriptor, Geometry};
use palimpsest_proto::flow::{
    Audited, Duty, Giver, Repair, RepairPolicy, RepairStep, Scatter, ScatterOutcome, Send, Watch, wardens,
};
use palimpsest_proto::ids::{NodeId, RecordAddress};
use palimpsest_proto::params::NODE_VALID_SECONDS_MAX;
use palimpsest_proto::select::{NodeTable, Outcomes, Placement, candidates, diversions, place, whereabouts};
use palimpsest_proto::time::{Moment, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Seconds of a step.
const STEP: u64 = 1_800;
const STEPS_A_DAY: f64 = 86_400.0 / STEP as f64;
/// Audits: one an hour (`UpkeepConfig`).
const AUDIT_EVERY: u64 = 3_600;
/// Steps of one machine in one visit (`node::work::warden`).
const MACHINE_STEPS_MAX: usize = 4;
/// Mean lives of servers, in days.
const LIVES: [f64; 3] = [30.0, 90.0, 180.0];
/// Session lengths, log-normal, hours: 87.6 % below 8 h and 2.5 % above 24 h, as Trautwein and others measured for IPFS (SIGCOMM
/// 2022); the same for the time between sessions, of which they say nothing, and a month until a node does not come back.
const SESSION_MU: f64 = 0.502;
const SESSION_SIGMA: f64 = 1.365;
const SESSIONS_LIFE_DAYS: f64 = 30.0;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Durable {
    /// Nodes, and stripes that were followed.
    pub nodes: usize,
    /// See `nodes`.
    pub stripes: usize,
    /// Any `k` of `n` shards rebuild a stripe.
    pub k: usize,
    /// See `k`.
    pub n: usize,
    /// One line for each kind of churn.
    pub churns: Vec<Churn>,
}

/// One kind of churn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Churn {
    /// Mean days until a node leaves for good.
    pub life_days: f64,
    /// Whether nodes come and go meanwhile, as IPFS's do.
    pub sessions: bool,
    /// Years that stripes lived, all together.
    pub stripe_years: f64,
    /// Stripes of which fewer than `k` shards are on nodes that may come back.
    pub lost: u64,
    /// The part of the time in which fewer than `k` shards could be had.
    pub unavailable: f64,
    /// The part of the n shards that could be had, on average.
    pub left: f64,
    /// Repairs of a stripe in a year, and surveys.
    pub repairs: f64,
    /// See `repairs`.
    pub surveys: f64,
    /// Shards fetched and stored for repair in a year, for each shard of the stripe.
    pub moved: f64,
    /// Shards handed over to newcomers in a year, for each shard of the stripe.
    pub handed_over: f64,
    /// What the Markov chain says of servers: part left, repairs, shards moved.
    pub model: Option<Model>,
}

/// See [`crate::model::durability`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// The part of the n shards that is left, on average.
    pub left: f64,
    /// Repairs of a stripe in a year.
    pub repairs: f64,
    /// Shards fetched and stored in a year, for each shard of the stripe.
    pub moved: f64,
    /// The chance of loss in a year.
    pub loss: f64,
}

struct Peer {
    id: NodeId,
    /// Steps at which it leaves for good, and at which it comes or goes next.
    ends: u64,
    turns: u64,
    online: bool,
}

struct Stripe {
    descriptor: Descriptor,
    addresses: [RecordAddress; 3],
    audits: Watch,
    /// Who has each shard, online or not.
    holders: Vec<BTreeSet<NodeId>>,
    machines: HashMap<NodeId, Repair>,
    audited: u64,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    lost: u64,
    out: u64,
    left: u64,
    repairs: u64,
    surveys: u64,
    moved: u64,
    handed_over: u64,
}

struct Life {
    seed: u64,
    life_days: f64,
    sessions: bool,
    geometry: Geometry,
    table: NodeTable,
    peers: Vec<Peer>,
    online: BTreeSet<NodeId>,
    born: u64,
    stripes: Vec<Stripe>,
    step: u64,
    chance: StdRng,
    totals: Totals,
}

impl Life {
    fn new(seed: u64, nodes: usize, stripes: usize, geometry: Geometry, churn: (f64, bool)) -> Result<Life, SimError> {
        let (life_days, sessions) = churn;
        let mut life = Life {
            seed,
            life_days,
            sessions,
            geometry,
            table: NodeTable::new(),
            peers: Vec::with_capacity(nodes),
            online: BTreeSet::new(),
            born: 0,
            stripes: Vec::with_capacity(stripes),
            step: 0,
            chance: dice(seed, "durability", life_days as u64 ^ u64::from(sessions) << 32),
            totals: Totals::default(),
        };
        for _ in 0..nodes {
            let online = !sessions || life.chance.random();
            let peer = life.peer(online)?;
            life.peers.push(peer);
        }
        for _ in 0..stripes {
            let stripe = life.publish()?;
            life.stripes.push(stripe);
        }
        Ok(life)
    }

    fn now(&self) -> Moment {
        Moment(Duration::from_secs(1_000_000 + self.step * STEP))
    }

    fn wall(&self) -> Timestamp {
        WALL.plus(self.step * STEP)
    }

    /// Steps of a session, or of the time until the next one.
    fn session(&mut self) -> u64 {
        if !self.sessions {
            return u64::MAX / 2;
        }
        // Box and Muller (1958).
        let (one, two) = (1.0 - self.chance.random::<f64>(), self.chance.random::<f64>());
        let normal = (-2.0 * one.ln()).sqrt() * (std::f64::consts::TAU * two).cos();
        ((SESSION_MU + SESSION_SIGMA * normal).exp() * STEPS_A_DAY / 24.0).ceil().max(1.0) as u64
    }

    /// A new node. It is known until a week after its end, as if it signed anew each day.
    fn peer(&mut self, online: bool) -> Result<Peer, SimError> {
        let lives = -self.life_days * STEPS_A_DAY * (1.0 - self.chance.random::<f64>()).ln();
        let ends = self.step + 1 + lives as u64;
        let turns = self.step + self.session();
        let number = self.born;
        self.born += 1;
        let until = WALL.plus(ends * STEP + NODE_VALID_SECONDS_MAX);
        let signed = announce_until(&key(self.seed, number), network_of(number), 0, self.step, until)?;
        let id = signed.id;
        self.table.insert(signed, self.now());
        if online {
            self.online.insert(id);
        } else {
            self.table.mark_lost(&id, self.now() + Duration::from_secs(1));
        }
        Ok(Peer { id, ends, turns, online })
    }

    fn publish(&mut self) -> Result<Stripe, SimError> {
        let locators = locators(&mut self.chance, self.geometry.n());
        let descriptor = Descriptor::new(self.geometry, locators).map_err(|error| SimError::Node(error.to_string()))?;
        let addresses = descriptor.root_address().record_addresses();
        let audits = Watch::new(&descriptor.root_address().0, AUDIT_EVERY);
        let n = self.geometry.n();
        let mut stripe = Stripe {
            descriptor,
            addresses,
            audits,
            holders: vec![BTreeSet::new(); n],
            machines: HashMap::new(),
            audited: u64::MAX,
        };
        let all: Vec<u8> = (0..n).map(|shard| shard as u8).collect();
        let placement = place(&self.table, stripe.descriptor.locators(), self.geometry.k());
        scatter(&self.table, &self.online, self.now(), &placement, &mut stripe, &all);
        Ok(stripe)
    }

    /// Nodes come, go, and come for the first time; the table learns of it within the step.
    fn churn(&mut self) -> Result<(), SimError> {
        let (now, step) = (self.now(), self.step);
        let mut newcomers = BTreeSet::new();
        for number in 0..self.peers.len() {
            if self.peers[number].ends <= step {
                let gone = self.peers[number].id;
                self.online.remove(&gone);
                self.table.mark_lost(&gone, now);
                for stripe in &mut self.stripes {
                    stripe.holders.iter_mut().for_each(|holders| _ = holders.remove(&gone));
                    stripe.machines.remove(&gone);
                }
                self.peers[number] = self.peer(true)?;
                newcomers.insert(self.peers[number].id);
            } else if self.peers[number].turns <= step {
                let turns = step + self.session();
                let peer = &mut self.peers[number];
                (peer.turns, peer.online) = (turns, !peer.online);
                if peer.online {
                    self.online.insert(peer.id);
                    self.table.mark_seen(&peer.id, now);
                } else {
                    self.online.remove(&peer.id);
                    self.table.mark_lost(&peer.id, now);
                }
            }
        }
        self.table.expire(self.wall());
        self.hand_over(&newcomers);
        Ok(())
    }

    /// Whoever is online gives newcomers what belongs to them, and keeps no copy: disks are taken to be full.
    fn hand_over(&mut self, newcomers: &BTreeSet<NodeId>) {
        let places: Vec<_> = newcomers.iter().map(|id| (*id, id.position())).collect();
        for stripe in &mut self.stripes {
            for (locator, holders) in stripe.descriptor.locators().iter().zip(&mut stripe.holders) {
                let at = locator.position();
                for own in holders.iter().filter(|id| self.online.contains(id)).copied().collect::<Vec<_>>() {
                    let far = own.position().distance(&at);
                    if !places.iter().any(|(_, place)| place.distance(&at) < far) {
                        continue;
                    }
                    let giver = Giver { own, drains: false, newcomers };
                    let takes = |id: &NodeId| self.online.contains(id);
                    if let Some(to) = giver.receivers(&self.table, locator, takes).first() {
                        holders.remove(&own);
                        holders.insert(*to);
                        self.totals.handed_over += 1;
                    }
                }
            }
        }
    }

    /// All wardens of all stripes have their turns.
    fn keep(&mut self) {
        let (now, wall, k) = (self.now(), self.wall(), self.geometry.k());
        for stripe in &mut self.stripes {
            let near = wardens(&self.table, &stripe.addresses);
            let placement = place(&self.table, stripe.descriptor.locators(), k);
            let lives = |id: &NodeId| self.table.get(id).is_some_and(|entry| entry.health().lost.is_none());
            let first = |shard: usize| placement.candidates(shard).first().is_some_and(lives);
            let by_table = (0..placement.shards()).filter(|shard| first(*shard)).count();
            let audit = stripe.audits.turn(wall);
            let audits = stripe.audits.on_duty(wall, &near).filter(|_| audit != stripe.audited);
            for warden in near.iter().filter(|id| self.online.contains(id)) {
                let mut duty = if audits == Some(*warden) { Duty::Audit } else { Duty::Watch };
                if duty == Duty::Audit {
                    stripe.audited = audit;
                }
                let policy = RepairPolicy::default();
                let fresh = || Repair::new(stripe.descriptor.geometry().n(), k, policy);
                let mut machine = stripe.machines.remove(warden).unwrap_or_else(fresh);
                for _ in 0..MACHINE_STEPS_MAX {
                    match machine.poll(now, duty, by_table, &mut self.chance) {
                        RepairStep::Rest(_) => break,
                        RepairStep::Sample(shards) => {
                            let audited = |shard: &u8| {
                                let there = is_there(&self.table, &self.online, stripe, (*shard).into());
                                if there { Audited::Proven } else { Audited::Missing }
                            };
                            machine.sampled(by_table, &shards.iter().map(audited).collect::<Vec<_>>());
                        }
                        RepairStep::Survey => {
                            self.totals.surveys += 1;
                            let there = |shard| is_there(&self.table, &self.online, stripe, shard);
                            machine.surveyed(now, by_table, &(0..placement.shards()).map(there).collect::<Vec<_>>());
                        }
                        RepairStep::Repair(missing) => {
                            self.totals.repairs += 1;
                            let placed = scatter(&self.table, &self.online, now, &placement, stripe, &missing);
                            self.totals.moved += (k + placed.len()) as u64;
                            machine.repaired(now, &placed);
                        }
                    }
                    // An audit that is due is said once.
                    duty = Duty::Watch;
                }
                stripe.machines.insert(*warden, machine);
            }
        }
    }

    /// Counts what there is; what is lost is published again.
    fn count(&mut self) -> Result<(), SimError> {
        for number in 0..self.stripes.len() {
            let stripe = &self.stripes[number];
            let held = stripe.holders.iter().filter(|holders| !holders.is_empty()).count();
            let there =
                (0..self.geometry.n()).filter(|shard| is_there(&self.table, &self.online, stripe, *shard)).count();
            self.totals.left += there as u64;
            self.totals.out += u64::from(there < self.geometry.k());
            if held < self.geometry.k() {
                self.totals.lost += 1;
                self.stripes[number] = self.publish()?;
            }
        }
        Ok(())
    }
}

/// Whether somebody has the shard whom readers and wardens find.
fn is_there(table: &NodeTable, online: &BTreeSet<NodeId>, stripe: &Stripe, shard: usize) -> bool {
    let holders = &stripe.holders[shard];
    let has = |id: &NodeId| holders.contains(id) && online.contains(id);
    if !holders.iter().any(has) {
        return false;
    }
    let locator = &stripe.descriptor.locators()[shard];
    candidates(table, &locator.position()).iter().any(has) || whereabouts(table, locator).diversions.iter().any(has)
}

/// Stores some of a stripe's shards, by what the table says of who lives; which of them found a holder.
fn scatter(
    table: &NodeTable,
    online: &BTreeSet<NodeId>,
    now: Moment,
    placement: &Placement,
    stripe: &mut Stripe,
    wanted: &[u8],
) -> Vec<u8> {
    let there: Vec<Option<NodeId>> =
        stripe.holders.iter().map(|holders| holders.iter().find(|id| online.contains(id)).copied()).collect();
    let mut machine = Scatter::some(placement, &there, |shard| wanted.contains(&(shard as u8)));
    let outcomes = Outcomes::new();
    let far = |shard: usize| diversions(table, &stripe.descriptor.locators()[shard]);
    let mut placed = Vec::new();
    while let Some(Send { shard, node, .. }) = machine.poll(now, |id| outcomes.chance(table, id, now), far) {
        let takes = online.contains(&node);
        let outcome = if takes { ScatterOutcome::Stored } else { ScatterOutcome::TimedOut };
        machine.handle(now, shard, &node, outcome);
        if takes {
            stripe.holders[usize::from(shard)].insert(node);
            placed.push(shard);
        }
    }
    placed
}

/// `stripes` stripes of `(k, n)` among `nodes` nodes: `days` days of each kind of churn, a tenth of it where nodes come and go.
pub(super) fn measure(
    nodes: usize,
    seed: u64,
    stripes: usize,
    geometry: (u8, u8),
    days: f64,
) -> Result<Durable, SimError> {
    let geometry = Geometry::new(geometry.0, geometry.1).map_err(|error| SimError::Node(error.to_string()))?;
    let mut churns = Vec::new();
    for (life_days, sessions) in LIVES.map(|life| (life, false)).into_iter().chain([(SESSIONS_LIFE_DAYS, true)]) {
        let days = if sessions { (days / 10.0).max(2.0) } else { days };
        churns.push(live(seed, nodes, stripes, geometry, (life_days, sessions), days)?);
    }
    Ok(Durable { nodes, stripes, k: geometry.k(), n: geometry.n(), churns })
}

fn live(
    seed: u64,
    nodes: usize,
    stripes: usize,
    geometry: Geometry,
    churn: (f64, bool),
    days: f64,
) -> Result<Churn, SimError> {
    let mut life = Life::new(seed, nodes, stripes, geometry, churn)?;
    let steps = (days * STEPS_A_DAY) as u64;
    for step in 1..=steps {
        life.step = step;
        life.churn()?;
        life.keep();
        life.count()?;
    }
    let Totals { lost, out, left, repairs, surveys, moved, handed_over } = life.totals;
    let looks = (steps * stripes as u64) as f64;
    let stripe_years = looks / STEPS_A_DAY / 365.0;
    let a_year = |count: u64| count as f64 / stripe_years;
    let shards = geometry.n() as f64;
    let (life_days, sessions) = churn;
    let model = (!sessions).then(|| model(geometry, life_days, nodes));
    Ok(Churn {
        life_days,
        sessions,
        stripe_years,
        lost,
        unavailable: out as f64 / looks,
        left: left as f64 / looks / shards,
        repairs: a_year(repairs),
        surveys: a_year(surveys),
        moved: a_year(moved) / shards,
        handed_over: a_year(handed_over) / shards,
        model,
    })
}

/// The same question to the Markov chain: repair at the same number of shards.
fn model(geometry: Geometry, life_days: f64, nodes: usize) -> Model {
    let policy = RepairPolicy::default();
    let low = policy.threshold(geometry.n(), geometry.k()) as f64 / geometry.n() as f64;
    let patience = policy.patience.as_secs_f64() / 3_600.0;
    let asked = Policy { detection_hours: 1, delay_hours: 0, ..Policy::new(low, Some(patience as u32)) };
    let solved = durability(geometry, asked, ModelWorld { life_days, nodes: nodes.max(geometry.n()) }, &[]);
    Model {
        left: solved.left,
        repairs: solved.repairs_per_year,
        moved: solved.traffic_per_year,
        loss: solved.loss_per_year,
    }
}

/// The issue names no figure; that no stripe is lost among servers is what the network is there for.
pub(super) fn bounds(durable: &Durable) -> Vec<Bound> {
    let servers = durable.churns.iter().filter(|churn| !churn.sessions);
    let what =
        |churn: &Churn| format!("stripes lost in {:.1} years, nodes live {} days", churn.stripe_years, churn.life_days);
    servers.map(|churn| Bound::at_most(what(churn), churn.lost as f64, 0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wardens_keep_stripes_alive_and_without_them_they_die() {
        let geometry = Geometry::new(8, 30).unwrap();
        let kept = live(3, 80, 2, geometry, (10.0, false), 20.0).unwrap();
        assert!(kept.lost == 0 && kept.repairs > 0.0 && kept.left > 0.7, "{kept:?}");
        let mut life = Life::new(3, 80, 2, geometry, (10.0, false)).unwrap();
        for step in 1..=(40.0 * STEPS_A_DAY) as u64 {
            life.step = step;
            life.churn().unwrap();
            life.count().unwrap();
        }
        assert!(life.totals.lost > 0);
    }
}
