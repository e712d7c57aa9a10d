//! Any k of a stripe's n shards.
//!
//! It asks for what is likeliest to come: the shard's first candidate before the second, proven nodes before untried
//! ones, another shard before another candidate of the same one. And it asks for no more than it takes: the chances of
//! what is on the way must add up to what is still needed. In a healthy network that is k and one or two; with losses
//! it is as much more as they ask for. (A fixed surplus of a third was in the design: every reader would pay a third
//! more for the day on which many nodes fail, to save one timeout on that day.)
//!
//! Where neighbourhoods are crowded a shard may have been diverted ([`crate::select::whereabouts`]). That is looked up, and
//! asked, only for shards that are not where they belong: their homes deny them or are dead.

use crate::flow::pairs::{Pair, Pairs, State};
use crate::ids::NodeId;
use crate::select::{Placement, Whereabouts};
use crate::time::Moment;
use std::time::Duration;

/// The chance that a shard is where its candidates' order says, by rank among those that may live: where it belongs,
/// then the others.
const RANK_CHANCES: [f64; 4] = [0.99, 0.25, 0.15, 0.1];
/// For ranks beyond.
const RANK_CHANCE_LAST: f64 = 0.05;
/// The chance that a shard is with one of those to whom it may have been diverted, in a network that is nearly full.
const DIVERTED_CHANCE: f64 = 0.06;
/// The same for who would take it today.
const LIKELIEST_CHANCE: f64 = 0.5;
/// Candidates less likely to live than this count as dead when ranks are counted: what was placed after they died went
/// to the next.
const DEAD_BELOW: f64 = 0.2;
/// The factor for a shard whose home is dead: it was lost with it, unless it was repaired.
const HOME_DEAD_FACTOR: f64 = 0.4;
/// The factor for each shard that a node said is absent, though it should be there.
const ABSENT_FACTOR: f64 = 0.7;
/// The factor for each silence of the pair, and each time that it was busy, beyond what the node's own chance says.
const TIMEOUT_FACTOR: f64 = 0.6;
/// The factor for each request on the way for the same shard.
const PENDING_FACTOR: f64 = 0.3;
/// Requests on the way for one shard at most.
const PENDING_MAX: usize = 3;
/// A data shard is preferred over a parity shard by this factor: it needs no decoding.
const DATA_FACTOR: f64 = 1.1;
/// The expected number of shards may fall short by this much: with less, the last shard would always be asked for
/// twice.
const SHORTFALL: f64 = 0.5;
/// Requests on the way at most: this factor of what is needed and this constant, however bad the chances. The constant (2 MiB, should
/// all come after all) is for the last shards, and for where ids were ground: there most candidates have nothing.
const ON_THE_WAY_FACTOR: usize = 2;
const ON_THE_WAY_MORE: usize = 32;
/// For how long an order of asking is kept while only good news come in.
const PLAN_FOR: Duration = Duration::from_millis(100);

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Number of the shard.
    pub shard: u8,
    /// Whom to ask.
    pub node: NodeId,
    /// Number of requests for this shard to this node before; each goes by a fresh path.
    pub attempt: u8,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatherOutcome {
    /// The shard came, and hashes to its locator.
    Got,
    /// The holder says that it has no such shard.
    Absent,
    /// The holder answered with bytes of another hash.
    Garbage,
    /// The holder will answer later.
    Busy(Duration),
    /// The holder will not answer, for another reason.
    Refused,
    /// Nothing came in time. It may still come.
    TimedOut,
    /// It never left, or got no farther than a guard that passes nothing on: the holder is not to blame.
    Unsent,
}

/// What came of the gathering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatherVerdict {
    /// `k` shards are there.
    Complete,
    /// Too few shards can be had.
    Unreachable {
        /// Shards that came.
        have: usize,
        /// Shards that are needed.
        need: usize,
    },
    /// The stripe is not in the network: of every shard's candidates at least two thirds said so, and none had one.
    Absent {
        /// Candidates that said so, over all shards.
        said: usize,
        /// Candidates that were asked, over all shards.
        asked: usize,
    },
}

/// Gathers one stripe.
#[derive(Clone, Debug)]
pub struct Gather {
    k: usize,
    pairs: Pairs,
    got: Vec<bool>,
    have: usize,
    /// What is on the way: shard, node, chance.
    pending: Vec<(u8, NodeId, f64)>,
    /// What to ask next, the best last.
    plan: Vec<(f64, u8, NodeId)>,
    planned: Option<Moment>,
    verdict: Option<GatherVerdict>,
}

/// The chances of the nodes, each asked for once: a plan looks at each node for many shards.
struct Chances<F> {
    of: F,
    /// By the nodes' numbers.
    known: Vec<Option<f64>>,
}

impl<F: Fn(&NodeId) -> f64> Chances<F> {
    fn of(&mut self, pair: &Pair) -> f64 {
        if self.known.len() <= pair.number {
            self.known.resize(pair.number + 1, None);
        }
        *self.known[pair.number].get_or_insert_with(|| (self.of)(&pair.node))
    }
}

impl Gather {
    /// Any `k` of the placement's shards.
    pub fn new(k: usize, placement: &Placement) -> Gather {
        Gather::among(k, Pairs::new((0..placement.shards()).map(|i| placement.candidates(i).to_vec())))
    }

    /// Any `k` of the shards whose holders are known; no other is looked for.
    pub fn from_holders(k: usize, holders: &[Option<NodeId>]) -> Gather {
        let mut pairs = Pairs::new(holders.iter().map(|holder| holder.iter().copied().collect()));
        (0..holders.len()).for_each(|i| pairs.divert(i, Whereabouts::default));
        Gather::among(k, pairs)
    }

    fn among(k: usize, pairs: Pairs) -> Gather {
        let mut gather = Gather {
            k,
            got: vec![false; pairs.len()],
            pairs,
            have: 0,
            pending: Vec::new(),
            plan: Vec::new(),
            planned: None,
            verdict: None,
        };
        gather.judge();
        gather
    }

    /// These shards are not asked for (a range read wants certain data shards only, a repair has some already).
    pub fn skip(&mut self, skipped: impl IntoIterator<Item = u8>) {
        for shard in skipped {
            self.pairs.give_up(shard.into());
        }
        self.planned = None;
        self.judge();
    }

    /// The next request to send, if any is due. `chance` of a node is [`crate::select::Outcomes::chance`] (a driver
    /// lowers it for its guard, which should not serve the shards too); `path` is
    /// [`crate::select::Outcomes::path_chance`]; `whereabouts` of a shard's number is [`crate::select::whereabouts`] of
    /// its locator. Look at the verdict after it: where nobody is left to ask, this call is the end.
    pub fn poll(
        &mut self,
        now: Moment,
        path: f64,
        chance: impl Fn(&NodeId) -> f64,
        whereabouts: impl Fn(usize) -> Whereabouts,
    ) -> Option<Ask> {
        if self.verdict.is_some() {
            return None;
        }
        let need = self.k - self.have;
        let expected: f64 = self.pending.iter().map(|(_, _, chance)| chance).sum();
        if expected + SHORTFALL >= need as f64 || self.pending.len() >= ON_THE_WAY_FACTOR * need + ON_THE_WAY_MORE {
            return None;
        }
        if self.plan.is_empty() || self.planned.is_none_or(|at| now.since(at) >= PLAN_FOR) {
            self.plan(now, chance, whereabouts);
        }
        let (score, shard, node) = self.plan.pop()?;
        let attempt = self.pairs.ask(shard.into(), &node);
        self.pending.push((shard, node, path * score / self.preference(shard)));
        Some(Ask { shard, node, attempt })
    }

    /// Reports what became of a request. An answer counts also after [`GatherOutcome::TimedOut`].
    pub fn handle(&mut self, now: Moment, shard: u8, node: &NodeId, outcome: GatherOutcome) {
        let item = usize::from(shard);
        if item >= self.got.len() {
            return;
        }
        self.pending.retain(|(s, n, _)| (*s, n) != (shard, node));
        match outcome {
            GatherOutcome::Got => {
                self.pairs.answered(item, node, State::Spent);
                if !std::mem::replace(&mut self.got[item], true) {
                    self.have += 1;
                    self.plan.retain(|(_, s, _)| *s != shard);
                }
            }
            GatherOutcome::Absent => self.pairs.answered(item, node, State::Absent),
            GatherOutcome::Refused => self.pairs.answered(item, node, State::Spent),
            GatherOutcome::Garbage => {
                self.pairs.answered(item, node, State::Spent);
                self.pairs.close(node);
            }
            GatherOutcome::Busy(retry) => self.pairs.busy(item, node, retry, now),
            GatherOutcome::TimedOut => self.pairs.timed_out(item, node),
            GatherOutcome::Unsent => self.pairs.unsent(item, node),
        }
        if outcome != GatherOutcome::Got {
            self.planned = None;
        }
        self.judge();
    }

    /// When to poll again though nothing was answered.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        self.pairs.poll_timeout(now)
    }

    /// The end, once it is reached. A late shard may still turn it to [`GatherVerdict::Complete`].
    pub fn verdict(&self) -> Option<GatherVerdict> {
        self.verdict
    }

    /// How many shards came.
    pub fn have(&self) -> usize {
        self.have
    }

    /// Puts the best candidate of each shard in order.
    fn plan(&mut self, now: Moment, chance: impl Fn(&NodeId) -> f64, whereabouts: impl Fn(usize) -> Whereabouts) {
        self.plan.clear();
        self.planned = Some(now);
        let mut chances = Chances { of: chance, known: Vec::new() };
        for item in 0..self.got.len() {
            if !self.got[item] && !self.pairs.is_diverted(item) && !self.may_be_home(item, &mut chances) {
                self.pairs.divert(item, || whereabouts(item));
            }
        }
        self.judge();
        let mut pending = vec![0; self.got.len()];
        self.pending.iter().for_each(|(shard, _, _)| pending[usize::from(*shard)] += 1);
        for (item, pending) in pending.into_iter().enumerate() {
            if self.got[item] || pending >= PENDING_MAX {
                continue;
            }
            let Some((mut score, node)) = self.best(item, now, &mut chances) else {
                continue;
            };
            score *= PENDING_FACTOR.powi(pending as i32);
            score *= self.preference(item as u8);
            self.plan.push((score, item as u8, node));
        }
        // Of equals, the lower number comes first: the plan is taken from its end.
        self.plan.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
    }

    fn best(&self, item: usize, now: Moment, chances: &mut Chances<impl Fn(&NodeId) -> f64>) -> Option<(f64, NodeId)> {
        let (mut rank, mut home_dead) = (0, false);
        let mut best: Option<(f64, NodeId)> = None;
        let mut settle = |score: f64, node: NodeId| {
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, node));
            }
            best.map_or(0.0, |(highest, _)| highest)
        };
        for (place, pair) in self.pairs.near(item).iter().enumerate() {
            let alive = chances.of(pair);
            let by_rank = RANK_CHANCES.get(rank).copied().unwrap_or(RANK_CHANCE_LAST);
            let dead = alive < DEAD_BELOW;
            home_dead |= place == 0 && dead;
            rank += usize::from(!dead);
            if !self.pairs.is_open(pair) || self.pairs.is_waiting(pair, now) {
                continue;
            }
            let home = if home_dead && place > 0 { HOME_DEAD_FACTOR } else { 1.0 };
            let highest = settle(alive * by_rank * home * self.record_factor(pair), pair.node);
            let next = RANK_CHANCES.get(rank).copied().unwrap_or(RANK_CHANCE_LAST);
            if highest >= next {
                // No later candidate can do better.
                break;
            }
        }
        let home = if home_dead { HOME_DEAD_FACTOR } else { 1.0 };
        let likeliest = self.pairs.likeliest(item);
        let likeliest_near = self.pairs.near(item).iter().filter(|pair| Some(pair.node) == likeliest);
        for pair in likeliest_near.chain(self.pairs.far(item)) {
            if self.pairs.is_open(pair) && !self.pairs.is_waiting(pair, now) {
                let by_room = if Some(pair.node) == likeliest { LIKELIEST_CHANCE } else { DIVERTED_CHANCE };
                settle(chances.of(pair) * by_room * home * self.record_factor(pair), pair.node);
            }
        }
        best
    }

    /// Whether the shard may yet come from where it belongs.
    fn may_be_home(&self, item: usize, chances: &mut Chances<impl Fn(&NodeId) -> f64>) -> bool {
        self.pairs.near(item).first().is_some_and(|home| {
            home.state == State::Pending || self.pairs.is_open(home) && chances.of(home) >= DEAD_BELOW
        })
    }

    /// Whether nobody is left who may have the shard.
    fn is_settled(&self, item: usize) -> bool {
        self.pairs.is_diverted(item) && self.pairs.is_settled(item)
    }

    fn preference(&self, shard: u8) -> f64 {
        if usize::from(shard) < self.k { DATA_FACTOR } else { 1.0 }
    }

    fn record_factor(&self, pair: &Pair) -> f64 {
        let absents = self.pairs.record(pair).absents.min(16) as i32;
        ABSENT_FACTOR.powi(absents) * TIMEOUT_FACTOR.powi(pair.timeouts.saturating_add(pair.busies).into())
    }

    fn judge(&mut self) {
        if self.have >= self.k {
            self.verdict = Some(GatherVerdict::Complete);
            return;
        }
        let left = (0..self.got.len()).filter(|&i| !self.got[i] && !self.is_settled(i)).count();
        if self.have + left >= self.k {
            // A late answer may have brought hope back.
            self.verdict = None;
            return;
        }
        let (said, asked) = self.pairs.said_and_asked();
        let settled = || (0..self.pairs.len()).filter(|&i| self.is_settled(i));
        let absent = self.have == 0 && settled().next().is_some() && settled().all(|i| self.pairs.is_absent(i));
        self.verdict = Some(if absent {
            GatherVerdict::Absent { said, asked }
        } else {
            GatherVerdict::Unreachable { have: self.have, need: self.k }
        });
    }
}

#[cfg(test)]
mod diverted;
#[cfg(test)]
mod tests;
