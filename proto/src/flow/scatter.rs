//! Each of a stripe's n shards to one holder.
//!
//! A shard goes where it belongs; a silent holder is tried once more by another path (it may live, and a relay be
//! dead); then the shard goes to the next candidate, where readers look next. No holder gets more than its cap while
//! others have room, and none gets enough to rebuild the stripe while another candidate has room.
//!
//! A shard for which all stayed silent rests for a while: on the way the relays may have been dead, and who turns out to live
//! meanwhile is asked once more.
//!
//! Only when no candidate that lives is left, and some of them said that they are full, the shard is diverted
//! ([`crate::select::diversions`]).

use crate::flow::pairs::{Pair, Pairs, State};
use crate::ids::NodeId;
use crate::select::{PASSED_OVER, PROVEN_MIN, Placement, Whereabouts};
use crate::time::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A holder that stayed silent so often is passed over for this shard,
const TIMEOUTS_MAX: u8 = 2;
/// unless it has just proven itself: then it is the relays that are silent.
const TIMEOUTS_PROVEN_MAX: u8 = 4;

/// Times that a shard rests for which nobody is left to be asked, and the first rest; each is longer than the one before by as much.
const RESTS_MAX: u8 = 3;
const REST: Duration = Duration::from_secs(1);

/// A shard to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Send {
    /// Number of the shard.
    pub shard: u8,
    /// To whom.
    pub node: NodeId,
    /// How often it was sent to this node before; each goes by a fresh path.
    pub attempt: u8,
}

/// What became of a sent shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScatterOutcome {
    /// The receipt came.
    Stored,
    /// The node has no room: it is not asked for other shards of the stripe either.
    Full,
    /// The node will answer later.
    Busy(Duration),
    /// The node will not store it, for another reason, or its receipt is for something else.
    Refused,
    /// Nothing came in time. A receipt may still come.
    TimedOut,
    /// It never left, or got no farther than a guard that passes nothing on: the holder is not to blame.
    Unsent,
}

/// What came of the scattering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScatterVerdict {
    /// Every shard is stored.
    Placed {
        /// Shards by node: what the chance of survival follows from.
        loads: BTreeMap<NodeId, u32>,
    },
    /// Some shards found no holder.
    Short {
        /// Shards that are stored.
        placed: usize,
        /// All shards.
        wanted: usize,
    },
}

/// Scatters one stripe.
#[derive(Clone, Debug)]
pub struct Scatter {
    pairs: Pairs,
    caps: BTreeMap<NodeId, u32>,
    hard_cap: u32,
    /// Stored and on the way.
    loads: BTreeMap<NodeId, u32>,
    stored: Vec<Option<NodeId>>,
    pending: Vec<Option<NodeId>>,
    /// Shards that wait to be sent.
    queue: VecDeque<u8>,
    /// Shards that rest, and until when; and how often each did.
    resting: Vec<(Moment, u8)>,
    rests: Vec<u8>,
    /// Shards that are not wanted.
    let_be: usize,
    failed: usize,
}

/// Whom to send a shard to.
enum Choice {
    Node(NodeId),
    /// Somebody, but later.
    Wait,
    Nobody,
}

impl Scatter {
    /// The placement's shards; `already` tells the holder of each that is stored from an earlier try (it may be
    /// shorter).
    pub fn new(placement: &Placement, already: &[Option<NodeId>]) -> Scatter {
        Scatter::some(placement, already, |_| true)
    }

    /// Those of the placement's shards that are `wanted` and not stored already; the others are let be, and count as
    /// neither placed nor short.
    pub fn some(placement: &Placement, already: &[Option<NodeId>], wanted: impl Fn(usize) -> bool) -> Scatter {
        let shards = placement.shards();
        let let_be = |i: usize, stored: &Vec<Option<NodeId>>| stored[i].is_none() && !wanted(i);
        let mut stored = already.to_vec();
        stored.resize(shards, None);
        let mut loads = BTreeMap::new();
        stored.iter().flatten().for_each(|node| *loads.entry(*node).or_insert(0) += 1);
        Scatter {
            pairs: Pairs::new((0..shards).map(|i| placement.candidates(i).to_vec())),
            caps: placement.loads().map(|(node, _)| (*node, placement.cap(node))).collect(),
            hard_cap: placement.hard_cap(),
            loads,
            pending: vec![None; shards],
            queue: (0..shards).filter(|&i| stored[i].is_none() && wanted(i)).map(|i| i as u8).collect(),
            resting: Vec::new(),
            rests: vec![0; shards],
            let_be: (0..shards).filter(|&i| let_be(i, &stored)).count(),
            stored,
            failed: 0,
        }
    }

    /// The next shard to send, if any is due. `chance` of a node is [`crate::select::Outcomes::chance`]; zero keeps it
    /// from being asked while there is any other. `diversions` of a shard's number is [`crate::select::diversions`] of
    /// its locator. Look at the verdict after it: where nobody is left to ask, this call is the end.
    pub fn poll(
        &mut self,
        now: Moment,
        chance: impl Fn(&NodeId) -> f64,
        diversions: impl Fn(usize) -> Vec<NodeId>,
    ) -> Option<Send> {
        self.wake(now, &chance);
        // Each waiting shard is looked at once: those whose candidates are all busy wait on.
        for _ in 0..self.queue.len() {
            let shard = self.queue.pop_front()?;
            let item = usize::from(shard);
            if self.stored[item].is_some() {
                continue;
            }
            match self.choose(item, now, &chance, &diversions) {
                Choice::Node(node) => {
                    let attempt = self.pairs.ask(item, &node);
                    self.pending[item] = Some(node);
                    *self.loads.entry(node).or_insert(0) += 1;
                    return Some(Send { shard, node, attempt });
                }
                Choice::Wait => self.queue.push_back(shard),
                Choice::Nobody => self.rest(shard, now),
            }
        }
        None
    }

    /// Nobody is left to be asked for this shard: it rests if somebody was silent, and else, or if it rested often, has failed.
    fn rest(&mut self, shard: u8, now: Moment) {
        let item = usize::from(shard);
        if self.rests[item] < RESTS_MAX && self.pairs.has_silent(item) {
            self.rests[item] += 1;
            self.resting.push((now + REST * u32::from(self.rests[item]), shard));
        } else {
            self.failed += 1;
        }
    }

    /// Those whose rest is over may go to who was silent and lives; if nobody does, they rest again.
    fn wake(&mut self, now: Moment, chance: &impl Fn(&NodeId) -> f64) {
        let due: Vec<u8> = self.resting.extract_if(.., |(until, _)| *until <= now).map(|(_, shard)| shard).collect();
        for shard in due {
            if self.pairs.reopen(usize::from(shard), |node| chance(node) >= PASSED_OVER) {
                self.queue.push_back(shard);
            } else {
                self.rest(shard, now);
            }
        }
    }

    /// Reports what became of a sent shard. A receipt counts also after [`ScatterOutcome::TimedOut`].
    pub fn handle(&mut self, now: Moment, shard: u8, node: &NodeId, outcome: ScatterOutcome) {
        let item = usize::from(shard);
        if item >= self.stored.len() {
            return;
        }
        let awaited = self.pending[item] == Some(*node);
        if awaited {
            self.pending[item] = None;
            if outcome != ScatterOutcome::Stored {
                self.unload(node);
            }
        }
        match outcome {
            ScatterOutcome::Stored => {
                self.pairs.answered(item, node, State::Spent);
                if self.stored[item].is_none() {
                    self.stored[item] = Some(*node);
                    if !awaited {
                        *self.loads.entry(*node).or_insert(0) += 1;
                        // It had been given up or is waiting to be sent again.
                        self.settle_late(shard);
                    }
                } else if awaited {
                    // A second copy beside that of a late receipt; it counts for nobody.
                    self.unload(node);
                }
                return;
            }
            ScatterOutcome::Full => {
                self.pairs.answered(item, node, State::Spent);
                self.pairs.close(node);
            }
            ScatterOutcome::Refused => self.pairs.answered(item, node, State::Spent),
            ScatterOutcome::Busy(retry) => self.pairs.busy(item, node, retry, now),
            ScatterOutcome::TimedOut => self.pairs.timed_out(item, node),
            ScatterOutcome::Unsent => self.pairs.unsent(item, node),
        }
        if awaited && self.stored[item].is_none() {
            // In front: what was begun is ended first, so that stripes finish in order.
            self.queue.push_front(shard);
        }
    }

    /// When to poll again though nothing was answered.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        let rest = self.resting.iter().map(|(until, _)| *until).filter(|until| *until > now).min();
        [self.pairs.poll_timeout(now), rest].into_iter().flatten().min()
    }

    /// Who stores each shard.
    pub fn stored(&self) -> &[Option<NodeId>] {
        &self.stored
    }

    /// The end, once it is reached.
    pub fn verdict(&self) -> Option<ScatterVerdict> {
        let wanted = self.stored.len() - self.let_be;
        let placed = self.stored.iter().flatten().count();
        if placed == wanted {
            let mut loads = BTreeMap::new();
            self.stored.iter().flatten().for_each(|node| *loads.entry(*node).or_insert(0) += 1);
            return Some(ScatterVerdict::Placed { loads });
        }
        (placed + self.failed >= wanted).then_some(ScatterVerdict::Short { placed, wanted })
    }

    /// Candidates that live; then those to whom the shard may be diverted, if candidates are full; then who likely is dead or
    /// full; and when all that are left bear their most, one too many on a node is better than a shard on none.
    fn choose(
        &mut self,
        item: usize,
        now: Moment,
        chance: &impl Fn(&NodeId) -> f64,
        diversions: &impl Fn(usize) -> Vec<NodeId>,
    ) -> Choice {
        let lives = |node: &NodeId| chance(node) >= PASSED_OVER;
        let near = self.pairs.near(item);
        if let Some(node) = self.best(near, now, self.hard_cap, chance) {
            return Choice::Node(node);
        }
        let is_full = |pair: &Pair| self.pairs.is_closed(pair) || chance(&pair.node) <= 0.0;
        if near.iter().any(is_full) {
            // Whoever lives near by and is only busy, or bears its most for now, is waited for.
            if self.may_wait(near, now, chance, lives) {
                return Choice::Wait;
            }
            self.pairs.divert(item, || Whereabouts { diversions: diversions(item), likeliest: None });
            let far = self.pairs.far(item);
            if let Some(node) = self.best(far, now, self.hard_cap, chance) {
                return Choice::Node(node);
            }
            if self.may_wait(far, now, chance, lives) {
                return Choice::Wait;
            }
        }
        let all = self.pairs.item(item);
        if let Some(node) = self.likeliest(all, now, self.hard_cap, chance) {
            return Choice::Node(node);
        }
        if self.may_wait(all, now, chance, |_| true) {
            return Choice::Wait;
        }
        let one_too_many = self.best(all, now, u32::MAX, chance).or_else(|| self.likeliest(all, now, u32::MAX, chance));
        one_too_many.map_or(Choice::Nobody, Choice::Node)
    }

    /// Those of the pairs that may be asked now and bear less than `most`, with their nodes' chances.
    fn open<'a>(
        &self,
        pairs: &'a [Pair],
        now: Moment,
        most: u32,
        chance: &impl Fn(&NodeId) -> f64,
    ) -> impl DoubleEndedIterator<Item = (&'a NodeId, f64)> {
        pairs
            .iter()
            .map(|pair| (pair, chance(&pair.node)))
            .filter(move |(pair, chance)| self.may_try(pair, *chance) && !self.pairs.is_waiting(pair, now))
            .filter(move |(pair, _)| self.load(&pair.node) < most)
            .map(|(pair, chance)| (&pair.node, chance))
    }

    /// The first that lives and is below its cap; else the least loaded that lives.
    fn best(&self, pairs: &[Pair], now: Moment, most: u32, chance: &impl Fn(&NodeId) -> f64) -> Option<NodeId> {
        let living = || self.open(pairs, now, most, chance).filter(|(_, chance)| *chance >= PASSED_OVER);
        let below_cap = |node: &NodeId| self.load(node) < self.caps.get(node).copied().unwrap_or(1);
        living()
            .find(|(node, _)| below_cap(node))
            .or_else(|| living().min_by_key(|(node, _)| self.load(node)))
            .map(|(node, _)| *node)
    }

    /// The one that likeliest lives; of equals the first.
    fn likeliest(&self, pairs: &[Pair], now: Moment, most: u32, chance: &impl Fn(&NodeId) -> f64) -> Option<NodeId> {
        let open = self.open(pairs, now, most, chance).rev();
        open.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(node, _)| *node)
    }

    /// Whether one of those `wanted` is left that is only busy, or bears its most for now.
    fn may_wait(
        &self,
        pairs: &[Pair],
        now: Moment,
        chance: &impl Fn(&NodeId) -> f64,
        wanted: impl Fn(&NodeId) -> bool,
    ) -> bool {
        let on_the_way = self.pending.iter().any(Option::is_some);
        let mut left = pairs.iter().filter(|pair| wanted(&pair.node) && self.may_try(pair, chance(&pair.node)));
        left.any(|pair| on_the_way || self.pairs.is_waiting(pair, now))
    }

    fn may_try(&self, pair: &Pair, chance: f64) -> bool {
        let timeouts_max = if chance >= PROVEN_MIN { TIMEOUTS_PROVEN_MAX } else { TIMEOUTS_MAX };
        self.pairs.is_open(pair) && pair.timeouts < timeouts_max
    }

    fn load(&self, node: &NodeId) -> u32 {
        self.loads.get(node).copied().unwrap_or(0)
    }

    fn unload(&mut self, node: &NodeId) {
        if let Some(load) = self.loads.get_mut(node) {
            *load = load.saturating_sub(1);
        }
    }

    /// A shard turned out to be stored after all.
    fn settle_late(&mut self, shard: u8) {
        let waiting = self.queue.len() + self.resting.len();
        self.queue.retain(|&other| other != shard);
        self.resting.retain(|(_, other)| *other != shard);
        if self.queue.len() + self.resting.len() == waiting && self.pending[usize::from(shard)].is_none() {
            self.failed = self.failed.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod full;
#[cfg(test)]
mod tests;
