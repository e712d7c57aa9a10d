//! A network in virtual time, for tests: nodes with manners, requests that cross three of them, and a driver as a
//! client has it.

use crate::crypto;
use crate::flow::{
    FlightId, Flights, Gather, GatherOutcome, HuntOutcome, RecordHunt, RecordSpread, Scatter, ScatterOutcome,
    SpreadOutcome,
};
use crate::ids::{Locator, NodeId};
use crate::select::testing::{network, table_of};
use crate::select::{NodeTable, Outcomes, PathRules, Whereabouts, choose_path};
use crate::time::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

/// How a node behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Manners {
    Honest,
    /// Takes packets and does nothing with them: dead, or hung.
    Dead,
    /// Answers, but passes on nothing that is for others.
    Swallows,
    /// Relays, but answers with garbage.
    Garbage,
    /// Relays, but denies what it has.
    Denies,
    /// Relays, but refuses everything.
    Refuses,
    /// Answers after this factor of the round trip.
    Slow(f64),
    /// Is busy for the first requests.
    Busy(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reply {
    Yes,
    No,
    Garbage,
    Refused,
    Busy,
}

/// What the simulated driver needs of a machine.
pub(super) trait Machine {
    fn next(&mut self, now: Moment, path: f64, chance: &dyn Fn(&NodeId) -> f64) -> Option<(usize, NodeId)>;
    fn tell(&mut self, now: Moment, item: usize, node: &NodeId, reply: Option<Reply>);
    fn timeout(&self, now: Moment) -> Option<Moment>;
    fn done(&self) -> bool;
}

const RETRY: Duration = Duration::from_millis(50);

impl Machine for Gather {
    fn next(&mut self, now: Moment, path: f64, chance: &dyn Fn(&NodeId) -> f64) -> Option<(usize, NodeId)> {
        self.poll(now, path, chance, |_| Whereabouts::default()).map(|ask| (ask.shard.into(), ask.node))
    }
    fn tell(&mut self, now: Moment, item: usize, node: &NodeId, reply: Option<Reply>) {
        let outcome = match reply {
            Some(Reply::Yes) => GatherOutcome::Got,
            Some(Reply::No) => GatherOutcome::Absent,
            Some(Reply::Garbage) => GatherOutcome::Garbage,
            Some(Reply::Refused) => GatherOutcome::Refused,
            Some(Reply::Busy) => GatherOutcome::Busy(RETRY),
            None => GatherOutcome::TimedOut,
        };
        self.handle(now, item as u8, node, outcome);
    }
    fn timeout(&self, now: Moment) -> Option<Moment> {
        self.poll_timeout(now)
    }
    fn done(&self) -> bool {
        self.verdict().is_some()
    }
}

impl Machine for Scatter {
    fn next(&mut self, now: Moment, _: f64, chance: &dyn Fn(&NodeId) -> f64) -> Option<(usize, NodeId)> {
        self.poll(now, chance, |_| Vec::new()).map(|send| (send.shard.into(), send.node))
    }
    fn tell(&mut self, now: Moment, item: usize, node: &NodeId, reply: Option<Reply>) {
        let outcome = match reply {
            Some(Reply::Yes) => ScatterOutcome::Stored,
            Some(Reply::No) => ScatterOutcome::Full,
            Some(Reply::Garbage | Reply::Refused) => ScatterOutcome::Refused,
            Some(Reply::Busy) => ScatterOutcome::Busy(RETRY),
            None => ScatterOutcome::TimedOut,
        };
        self.handle(now, item as u8, node, outcome);
    }
    fn timeout(&self, now: Moment) -> Option<Moment> {
        self.poll_timeout(now)
    }
    fn done(&self) -> bool {
        self.verdict().is_some()
    }
}

impl Machine for RecordHunt {
    fn next(&mut self, now: Moment, _: f64, chance: &dyn Fn(&NodeId) -> f64) -> Option<(usize, NodeId)> {
        self.poll(now, chance).map(|ask| (ask.address, ask.node))
    }
    fn tell(&mut self, now: Moment, item: usize, node: &NodeId, reply: Option<Reply>) {
        let outcome = match reply {
            Some(Reply::Yes) => HuntOutcome::Found,
            Some(Reply::No) => HuntOutcome::Absent,
            Some(Reply::Garbage) => HuntOutcome::Garbage,
            Some(Reply::Refused) => HuntOutcome::Refused,
            Some(Reply::Busy) => HuntOutcome::Busy(RETRY),
            None => HuntOutcome::TimedOut,
        };
        self.handle(now, item, node, outcome);
    }
    fn timeout(&self, now: Moment) -> Option<Moment> {
        self.poll_timeout(now)
    }
    fn done(&self) -> bool {
        self.verdict().is_some()
    }
}

impl Machine for RecordSpread {
    fn next(&mut self, now: Moment, _: f64, chance: &dyn Fn(&NodeId) -> f64) -> Option<(usize, NodeId)> {
        self.poll(now, chance).map(|send| (send.address, send.node))
    }
    fn tell(&mut self, now: Moment, item: usize, node: &NodeId, reply: Option<Reply>) {
        let outcome = match reply {
            Some(Reply::Yes) => SpreadOutcome::Stored,
            Some(Reply::Busy) => SpreadOutcome::Busy(RETRY),
            Some(_) => SpreadOutcome::Refused,
            None => SpreadOutcome::TimedOut,
        };
        self.handle(now, item, node, outcome);
    }
    fn timeout(&self, now: Moment) -> Option<Moment> {
        self.poll_timeout(now)
    }
    fn done(&self) -> bool {
        self.is_done()
    }
}

#[derive(Clone, Copy)]
struct Sent {
    job: usize,
    item: usize,
    node: NodeId,
    reply: Reply,
}

/// A client and its network.
pub(super) struct World {
    pub(super) table: NodeTable,
    pub(super) ids: Vec<NodeId>,
    pub(super) manners: BTreeMap<NodeId, Manners>,
    pub(super) outcomes: Outcomes,
    pub(super) flights: Flights,
    pub(super) now: Moment,
    pub(super) requests: usize,
    pub(super) rtt: Duration,
    /// Chance that a request is lost without anybody's fault.
    pub(super) loss: f64,
    /// How long a packet takes on the client's own link, and how many wait there before others are dropped.
    pub(super) link: (Duration, u32),
    /// When all that waits there has left.
    link_free: Moment,
    /// Jobs worked on at once.
    pub(super) parallel: usize,
    guard: NodeId,
    rng: StdRng,
}

/// Nothing may take longer than this.
const DEADLINE: Duration = Duration::from_secs(120);

impl World {
    /// `count` honest nodes; the first is the guard.
    pub(super) fn new(count: u16, seed: u64) -> World {
        let nodes = network(count);
        let ids: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
        World {
            table: table_of(&nodes),
            manners: ids.iter().map(|id| (*id, Manners::Honest)).collect(),
            outcomes: Outcomes::new(),
            flights: Flights::new(),
            now: Moment(Duration::from_secs(1_000_000)),
            requests: 0,
            rtt: Duration::from_millis(20),
            loss: 0.0,
            link: (Duration::ZERO, u32::MAX),
            link_free: Moment::default(),
            parallel: 8,
            guard: ids[0],
            rng: StdRng::seed_from_u64(seed),
            ids,
        }
    }

    /// Gives `count` random nodes, not the guard, their manners.
    pub(super) fn spoil(&mut self, count: usize, manners: Manners) {
        let mut honest: Vec<NodeId> =
            self.ids[1..].iter().filter(|id| self.manners[*id] == Manners::Honest).copied().collect();
        for _ in 0..count {
            let id = honest.swap_remove(self.rng.random_range(0..honest.len()));
            self.manners.insert(id, manners);
        }
    }

    fn forwards(&self, relay: &NodeId) -> bool {
        !matches!(self.manners[relay], Manners::Dead | Manners::Swallows)
    }

    /// A packet is given to the client's link: how long it takes to leave, unless it is dropped.
    fn leaves_after(&mut self) -> Option<Duration> {
        let (packet, queue) = self.link;
        let waits = self.link_free.since(self.now);
        if packet > Duration::ZERO && waits > packet * queue {
            return None;
        }
        self.link_free = self.now + waits + packet;
        Some(waits + packet)
    }

    /// Runs the jobs to their ends. `has(job, item, node)` says whether an honest node has (or takes) the item. Returns
    /// the time that it took.
    pub(super) fn run(
        &mut self,
        jobs: &mut [&mut dyn Machine],
        has: impl Fn(usize, usize, &NodeId) -> bool,
    ) -> Duration {
        let begin = self.now;
        let mut sent: BTreeMap<FlightId, Sent> = BTreeMap::new();
        let mut used: BTreeMap<(usize, usize), Vec<(NodeId, NodeId)>> = BTreeMap::new();
        let mut arrivals: BinaryHeap<Reverse<(Moment, FlightId)>> = BinaryHeap::new();
        loop {
            let active: Vec<usize> = (0..jobs.len()).filter(|&job| !jobs[job].done()).take(self.parallel).collect();
            if active.is_empty() {
                return self.now.since(begin);
            }
            assert!(self.now.since(begin) < DEADLINE, "{} jobs hang", active.len());
            for &job in &active {
                while self.flights.can_depart() {
                    let (table, outcomes, now) = (&self.table, &self.outcomes, self.now);
                    let next = jobs[job].next(now, outcomes.path_chance(), &|id| outcomes.chance(table, id, now));
                    let Some((item, node)) = next else { break };
                    let used = used.entry((job, item)).or_default();
                    let rules = PathRules { own: None, guard: self.guard, holder: node, used };
                    let path = choose_path(&mut self.rng, &self.table, &mut self.outcomes, &rules, self.now).unwrap();
                    used.push((path.middle, path.back));
                    let nodes = path.nodes(node);
                    let hopeless = self.outcomes.is_hopeless(&self.table, &nodes, self.now);
                    let id = self.flights.depart(nodes, hopeless, self.now);
                    self.requests += 1;
                    let mut wait = self.rtt.mul_f64(self.rng.random_range(0.8..1.2));
                    let reply = match self.manners[&node] {
                        Manners::Garbage => Reply::Garbage,
                        Manners::Denies => Reply::No,
                        Manners::Refuses => Reply::Refused,
                        Manners::Busy(left) if left > 0 => {
                            self.manners.insert(node, Manners::Busy(left - 1));
                            Reply::Busy
                        }
                        manners => {
                            if let Manners::Slow(factor) = manners {
                                wait = wait.mul_f64(factor);
                            }
                            if has(job, item, &node) { Reply::Yes } else { Reply::No }
                        }
                    };
                    sent.insert(id, Sent { job, item, node, reply });
                    let through = [path.middle, path.back].iter().all(|id| self.forwards(id));
                    let through = through && self.manners[&node] != Manners::Dead;
                    if let Some(leaves) = self.leaves_after()
                        && through
                        && !self.rng.random_bool(self.loss)
                    {
                        arrivals.push(Reverse((self.now + leaves + wait, id)));
                    }
                }
            }
            if active.iter().any(|&job| jobs[job].done()) {
                continue;
            }
            let arrival = arrivals.peek().map(|Reverse((at, _))| *at);
            let wake = active.iter().filter_map(|&job| jobs[job].timeout(self.now)).min();
            let next = [arrival, self.flights.poll_timeout(), wake].into_iter().flatten().min();
            self.now = self.now.max(next.expect("somebody to wait for"));
            while let Some(Reverse((at, id))) = arrivals.peek().copied()
                && at <= self.now
            {
                arrivals.pop();
                let landed = self.flights.landed(id, &mut self.outcomes, self.now);
                if let (Some(_), Some(&Sent { job, item, node, reply })) = (landed, sent.get(&id)) {
                    if reply == Reply::Garbage {
                        self.outcomes.garbage(node);
                    }
                    jobs[job].tell(self.now, item, &node, Some(reply));
                }
            }
            for id in self.flights.overdue(&self.table, &mut self.outcomes, self.now) {
                // Others are left over from an earlier run.
                if let Some(&Sent { job, item, node, .. }) = sent.get(&id) {
                    jobs[job].tell(self.now, item, &node, None);
                }
            }
        }
    }
}

/// Made-up locators of a stripe.
pub(super) fn locators(stripe: u64, count: usize) -> Vec<Locator> {
    (0..count as u64).map(|i| Locator(crypto::hash(&[stripe.to_le_bytes(), i.to_le_bytes()].concat()))).collect()
}
