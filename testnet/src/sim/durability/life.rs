//! A network that lives, and some stripes in it: [`Watch`] says who audits, [`Repair`] when to sample, survey and repair, [`Scatter`]
//! where repaired shards go, [`Giver`] what newcomers are given. Time goes in steps; what takes minutes in life happens within one.
//!
//! What the table says of a stripe (its placement, its wardens) is asked for again only when the table has changed: that is where
//! the time went.

use super::super::SimError;
use super::super::world::{WALL, announce_until, dice, key, locators, network_of};
use palimpsest_proto::coding::{Descriptor, Geometry};
use palimpsest_proto::flow::{
    Audited, Duty, Giver, Repair, RepairPolicy, RepairStep, Scatter, ScatterOutcome, Send, Watch, wardens,
};
use palimpsest_proto::ids::{NodeId, RecordAddress};
use palimpsest_proto::params::NODE_VALID_SECONDS_MAX;
use palimpsest_proto::select::{NodeTable, Outcomes, Placement, diversions, place, whereabouts};
use palimpsest_proto::time::{Moment, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// Seconds of a step.
const STEP: u64 = 1_800;
pub(super) const STEPS_A_DAY: f64 = 86_400.0 / STEP as f64;
/// Audits: one an hour (`UpkeepConfig`).
const AUDIT_EVERY: u64 = 3_600;
/// Steps of one machine in one visit (`node::work::warden`).
const MACHINE_STEPS_MAX: usize = 4;
/// Session lengths, log-normal, hours: 87.6 % below 8 h and 2.5 % above 24 h, as Trautwein and others measured for IPFS (SIGCOMM
/// 2022); the same for the time between sessions, of which they say nothing.
const SESSION_MU: f64 = 0.502;
const SESSION_SIGMA: f64 = 1.365;

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
    audited: u64,
    /// Who has each shard, online or not.
    holders: Vec<BTreeSet<NodeId>>,
    machines: HashMap<NodeId, Repair>,
    view: View,
}

/// What the table says of a stripe.
struct View {
    /// The changes of the table for which it was made.
    of: Changes,
    placement: Placement,
    /// Those of the wardens that are online.
    wardens: Vec<NodeId>,
    /// All of them.
    near: BTreeSet<NodeId>,
    /// How many shards' likeliest holders the table does not call lost.
    by_table: usize,
    /// Which shards readers and wardens find; none: somebody was given one since that was looked at.
    there: Option<Vec<bool>>,
}

/// How often nodes were added to the table or forgotten, and how often anything was changed there.
#[derive(Clone, Copy, PartialEq)]
struct Changes {
    nodes: u64,
    any: u64,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) lost: u64,
    pub(super) out: u64,
    pub(super) left: u64,
    pub(super) copies: u64,
    pub(super) repairs: u64,
    pub(super) surveys: u64,
    pub(super) moved: u64,
    pub(super) handed_over: u64,
}

/// See the module's description.
pub(super) struct Life {
    seed: u64,
    life_days: f64,
    sessions: bool,
    geometry: Geometry,
    table: NodeTable,
    changes: Changes,
    peers: Vec<Peer>,
    online: HashSet<NodeId>,
    born: u64,
    stripes: Vec<Stripe>,
    step: u64,
    chance: StdRng,
    pub(super) totals: Totals,
}

impl Life {
    /// A network of so many nodes, and stripes published there. The `churn` is the mean life of a node in days, and whether it comes
    /// and goes meanwhile.
    pub(super) fn new(
        seed: u64,
        nodes: usize,
        stripes: usize,
        geometry: Geometry,
        churn: (f64, bool),
    ) -> Result<Life, SimError> {
        let (life_days, sessions) = churn;
        let mut life = Life {
            seed,
            life_days,
            sessions,
            geometry,
            table: NodeTable::new(),
            changes: Changes { nodes: 0, any: 0 },
            peers: Vec::with_capacity(nodes),
            online: HashSet::new(),
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
        self.note(true);
        if online {
            self.online.insert(id);
        } else {
            self.table.mark_lost(&id, self.now() + Duration::from_secs(1));
        }
        Ok(Peer { id, ends, turns, online })
    }

    /// The table has changed, perhaps by whom it knows.
    fn note(&mut self, nodes: bool) {
        self.changes.nodes += u64::from(nodes);
        self.changes.any += 1;
    }

    fn publish(&mut self) -> Result<Stripe, SimError> {
        let locators = locators(&mut self.chance, self.geometry.n());
        let descriptor = Descriptor::new(self.geometry, locators).map_err(|error| SimError::Node(error.to_string()))?;
        let addresses = descriptor.root_address().record_addresses();
        let audits = Watch::new(&descriptor.root_address().0, AUDIT_EVERY);
        let n = self.geometry.n();
        let placement = place(&self.table, descriptor.locators(), self.geometry.k());
        let view = View {
            of: self.changes,
            by_table: by_table(&self.table, &placement),
            wardens: Vec::new(),
            near: BTreeSet::new(),
            placement,
            there: None,
        };
        let holders = vec![BTreeSet::new(); n];
        let machines = HashMap::new();
        let mut stripe = Stripe { descriptor, addresses, audits, audited: u64::MAX, holders, machines, view };
        stripe.look_for_wardens(&self.table, &self.online);
        let all: Vec<u8> = (0..n).map(|shard| shard as u8).collect();
        scatter(&self.table, &self.online, self.now(), &mut stripe, &all);
        Ok(stripe)
    }

    /// The next step: nodes come, go, and come for the first time; the table learns of it within the step.
    pub(super) fn churn(&mut self, step: u64) -> Result<(), SimError> {
        self.step = step;
        let now = self.now();
        let mut newcomers = BTreeSet::new();
        for number in 0..self.peers.len() {
            if self.peers[number].ends <= step {
                let gone = self.peers[number].id;
                self.online.remove(&gone);
                self.table.mark_lost(&gone, now);
                self.note(false);
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
                self.note(false);
            }
        }
        if self.table.expire(self.wall()) > 0 {
            self.note(true);
        }
        if !newcomers.is_empty() {
            self.hand_over(&newcomers);
        }
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
                    stripe.view.there = None;
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
    pub(super) fn keep(&mut self) {
        let (now, wall, k, n) = (self.now(), self.wall(), self.geometry.k(), self.geometry.n());
        let policy = RepairPolicy::default();
        for stripe in &mut self.stripes {
            stripe.look(&self.table, &self.online, self.changes, k);
            let by_table = stripe.view.by_table;
            let audit = stripe.audits.turn(wall);
            let is_due = audit != stripe.audited;
            let auditor = if is_due { stripe.audits.on_duty(wall, &stripe.view.near) } else { None };
            let mut machines = std::mem::take(&mut stripe.machines);
            for place in 0..stripe.view.wardens.len() {
                let warden = stripe.view.wardens[place];
                let mut duty = if auditor == Some(warden) { Duty::Audit } else { Duty::Watch };
                if duty == Duty::Audit {
                    stripe.audited = audit;
                }
                let machine = machines.entry(warden).or_insert_with(|| Repair::new(n, k, policy));
                for _ in 0..MACHINE_STEPS_MAX {
                    match machine.poll(now, duty, by_table, &mut self.chance) {
                        RepairStep::Rest(_) => break,
                        RepairStep::Sample(shards) => {
                            let there = stripe.there(&self.table, &self.online);
                            let audited = |shard: &u8| {
                                if there[usize::from(*shard)] { Audited::Proven } else { Audited::Missing }
                            };
                            machine.sampled(by_table, &shards.iter().map(audited).collect::<Vec<_>>());
                        }
                        RepairStep::Survey => {
                            self.totals.surveys += 1;
                            machine.surveyed(now, by_table, stripe.there(&self.table, &self.online));
                        }
                        RepairStep::Repair(missing) => {
                            self.totals.repairs += 1;
                            let placed = scatter(&self.table, &self.online, now, stripe, &missing);
                            self.totals.moved += (k + placed.len()) as u64;
                            machine.repaired(now, &placed);
                        }
                    }
                    // An audit that is due is said once.
                    duty = Duty::Watch;
                }
            }
            stripe.machines = machines;
        }
    }

    /// Counts what there is; what is lost is published again.
    pub(super) fn count(&mut self) -> Result<(), SimError> {
        for number in 0..self.stripes.len() {
            let stripe = &mut self.stripes[number];
            stripe.look(&self.table, &self.online, self.changes, self.geometry.k());
            let there = stripe.there(&self.table, &self.online).iter().filter(|there| **there).count();
            let held = stripe.holders.iter().filter(|holders| !holders.is_empty()).count();
            self.totals.left += there as u64;
            self.totals.copies += stripe.holders.iter().map(BTreeSet::len).sum::<usize>() as u64;
            self.totals.out += u64::from(there < self.geometry.k());
            if held < self.geometry.k() {
                self.totals.lost += 1;
                self.stripes[number] = self.publish()?;
            }
        }
        Ok(())
    }
}

impl Stripe {
    /// Asks the table again, as far as it says something else.
    fn look(&mut self, table: &NodeTable, online: &HashSet<NodeId>, changes: Changes, k: usize) {
        if self.view.of == changes {
            return;
        }
        if self.view.of.nodes != changes.nodes {
            self.view.placement = place(table, self.descriptor.locators(), k);
        }
        self.view.by_table = by_table(table, &self.view.placement);
        self.view.there = None;
        self.view.of = changes;
        self.look_for_wardens(table, online);
    }

    fn look_for_wardens(&mut self, table: &NodeTable, online: &HashSet<NodeId>) {
        self.view.near = wardens(table, &self.addresses);
        self.view.wardens = self.view.near.iter().filter(|id| online.contains(id)).copied().collect();
    }

    /// Of each shard, whether somebody has it whom readers and wardens find.
    fn there(&mut self, table: &NodeTable, online: &HashSet<NodeId>) -> &[bool] {
        let (holders, locators, placement) = (&self.holders, self.descriptor.locators(), &self.view.placement);
        let is_there = |shard: usize| {
            let mut having = holders[shard].iter().filter(|id| online.contains(id)).peekable();
            let is_anywhere = having.peek().is_some();
            let near = placement.candidates(shard);
            let beside = |id: &NodeId| holders[shard].contains(id) && online.contains(id);
            // Where it may be beside the candidates is asked for seldom, and takes long.
            having.any(|id| near.contains(id))
                || (is_anywhere && whereabouts(table, &locators[shard]).diversions.iter().any(beside))
        };
        self.view.there.get_or_insert_with(|| (0..placement.shards()).map(is_there).collect())
    }
}

/// How many shards' likeliest holders the table does not call lost.
fn by_table(table: &NodeTable, placement: &Placement) -> usize {
    let lives = |id: &NodeId| table.get(id).is_some_and(|entry| entry.health().lost.is_none());
    let first = |shard: &usize| placement.candidates(*shard).first().is_some_and(lives);
    (0..placement.shards()).filter(first).count()
}

/// Stores some of a stripe's shards, by what the table says of who lives; which of them found a holder.
fn scatter(table: &NodeTable, online: &HashSet<NodeId>, now: Moment, stripe: &mut Stripe, wanted: &[u8]) -> Vec<u8> {
    let there: Vec<Option<NodeId>> =
        stripe.holders.iter().map(|holders| holders.iter().find(|id| online.contains(id)).copied()).collect();
    let mut machine = Scatter::some(&stripe.view.placement, &there, |shard| wanted.contains(&(shard as u8)));
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
    stripe.view.there = None;
    placed
}
