//! What our own requests tell of each node.
//!
//! A request and its reply cross a middle relay, a holder and a back relay. An answer proves that all three live.
//! Silence proves only that one of them does not, or that the packet was dropped on the way. So each node has an
//! estimated chance to live, and Bayes' rule shares out the blame: with chances p of the three and `noise` of a loss
//! without fault, node i is to blame with (1 − pᵢ) / (1 − (1 − noise) · Πp). Who was proven a moment ago takes almost
//! none of it, the least proven most. After two or three rounds a client knows whom it can use, though half of the
//! network be dead.
//!
//! Who answers may drop, or hold up, what is for others. So its own answers speak for it as a holder only; as a relay it is proven by what
//! came over it, and in time (`docs/decisions/0021-relays-apart.md`).
//!
//! What the table says of a node (seen, lost) is hearsay, and only the starting point: a liar who marks honest nodes
//! lost turns the first requests away from them, and no more.

mod belief;

use self::belief::Belief;
use crate::ids::NodeId;
use crate::select::NodeTable;
use crate::time::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nodes of which outcomes are remembered; the longest untouched gives way.
const SCORES_MAX: usize = 8192;
/// Nodes remembered as having answered with garbage. A full set takes no more: by then the network itself is hostile.
const DISTRUSTED_MAX: usize = 8192;
/// How fast an estimate falls back to what is assumed of an untried node: by half in this time. So that dead nodes that
/// came back are found, and proven ones are proven anew.
const HALF_LIFE: Duration = Duration::from_secs(60);
/// The chance given to a node that has just answered.
const PROVEN: f64 = 0.99;
/// The least chances given to a node whose answer came late: as one that answers, and as a relay. The latter is drawn seldom, and is
/// still innocent: where all answers come late, the way is congested.
const SLOW: (f64, f64) = (0.75, INNOCENT_MIN);
/// At or above this chance a node counts as proven.
pub(crate) const PROVEN_MIN: f64 = 0.8;
/// Nodes less likely to live than this are passed over while there are others: untried ones that are said to be lost, and those
/// that stayed silent.
pub const PASSED_OVER: f64 = 0.25;
/// Nodes less likely to live than this were found dead by our own requests: hearsay alone leaves more.
pub const FOUND_DEAD: f64 = 0.1;
/// The least and the greatest chance that is ever assumed from evidence.
const CHANCE_MIN: f64 = 0.01;
/// What is assumed of an untried node before anything was tried.
const BASE_START: f64 = 0.97;
/// Bounds of what is assumed of untried nodes later.
const BASE_BOUNDS: (f64, f64) = (0.2, 0.98);
/// How much a trial of a node, until it answers or is found dead, moves what is assumed of the untried.
const BASE_GAIN: f64 = 0.05;
/// The factor on an untried node's chance if others say that it is lost, and the least chance that is left to it: a
/// liar's marks lose their force when those whom he did not mark turn out dead.
const LOST_FACTOR: f64 = 0.25;
const LOST_MIN: f64 = 0.15;
const _: () = assert!(FOUND_DEAD < LOST_MIN && LOST_MIN < PASSED_OVER);
/// A node seen this recently is likelier to live than an unseen one.
const SEEN_RECENT: Duration = Duration::from_secs(120);
/// The loss without fault that is assumed at first, its bounds, and how much one request over proven nodes moves it.
const NOISE_START: f64 = 0.01;
const NOISE_BOUNDS: (f64, f64) = (0.005, 0.3);
const NOISE_GAIN: f64 = 0.03;
/// Silence over nodes that answered before counts as loss on the way while each of them has at least this chance: a
/// node that dies is told from congestion by its second or third silence.
const INNOCENT_MIN: f64 = 0.6;
/// So many requests in a row without an answer, each counted by its weight, point to the guard: with half of the network dead and nobody proven, a
/// living guard has this happen once in seventy times.
const GUARD_SILENCE: u32 = 32 * SILENCE;
/// What a request counts for that stayed unanswered, and what if it was hopeless when it left: the last shards of a stripe are sought
/// with many of these, and their silence is no news. It counts a little, since where few nodes are left it is all there is.
const SILENCE: u32 = 4;
const HOPELESS_SILENCE: u32 = 1;
/// How often in a row witnesses may clear the guard.
const CLEARINGS_MAX: u32 = 3;
/// For how long a node that said it is full is not asked to store.
const FULL_FOR: Duration = Duration::from_secs(300);

/// What a silent request says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// All nodes on the way were proven, each at its place: the way is congested. The window should shrink.
    Congestion,
    /// One of the nodes is probably gone. The window need not shrink.
    Nodes,
}

#[derive(Clone, Copy, Debug)]
struct Score {
    belief: Belief,
    /// Whether it is on the list to draw from.
    listed: bool,
    full_at: Option<Moment>,
    /// What was thought of it before it was blamed for the first time since the last answer.
    before: Option<Belief>,
}

/// How our own requests fared, node by node.
#[derive(Clone, Debug)]
pub struct Outcomes {
    scores: BTreeMap<NodeId, Score>,
    /// Nodes that answered, for drawing; those no longer proven are taken out when drawn.
    proven: Vec<NodeId>,
    distrusted: BTreeSet<NodeId>,
    base: f64,
    /// The same when the last answer came.
    base_then: f64,
    noise: f64,
    silent: u32,
    answered_at: Option<Moment>,
    /// How often witnesses cleared the guard since the last answer to anything else.
    clearings: u32,
}

impl Default for Outcomes {
    fn default() -> Outcomes {
        Outcomes::new()
    }
}

impl Outcomes {
    /// Nothing tried yet.
    pub fn new() -> Outcomes {
        Outcomes {
            scores: BTreeMap::new(),
            proven: Vec::new(),
            distrusted: BTreeSet::new(),
            base: BASE_START,
            base_then: BASE_START,
            noise: NOISE_START,
            silent: 0,
            answered_at: None,
            clearings: 0,
        }
    }

    /// The chance, from 0 to 1, that the node answers now.
    pub fn chance(&self, table: &NodeTable, node: &NodeId, now: Moment) -> f64 {
        self.chance_at(table, Belief::HOLDER, node, now)
    }

    /// The chance, from 0 to 1, that the node passes on now what is for others.
    pub fn relay_chance(&self, table: &NodeTable, node: &NodeId, now: Moment) -> f64 {
        self.chance_at(table, Belief::MIDDLE, node, now)
    }

    /// The chance that the node at this place of a way does its part.
    fn chance_at(&self, table: &NodeTable, place: usize, node: &NodeId, now: Moment) -> f64 {
        if self.distrusted.contains(node) {
            return 0.0;
        }
        let untried = self.untried(table, node, now);
        self.scores.get(node).map_or(untried, |score| score.belief.chance_at(place, untried, now))
    }

    fn untried(&self, table: &NodeTable, node: &NodeId, now: Moment) -> f64 {
        match table.get(node).map(|entry| entry.health()) {
            None => (self.base * LOST_FACTOR).max(LOST_MIN),
            Some(health) if health.lost.is_some() => (self.base * LOST_FACTOR).max(LOST_MIN),
            Some(health) if health.seen.is_some_and(|at| now.since(at) < SEEN_RECENT) => (1.0 + 2.0 * self.base) / 3.0,
            Some(_) => self.base,
        }
    }

    /// Whether the node has proven itself of late.
    pub fn is_proven(&self, table: &NodeTable, node: &NodeId, now: Moment) -> bool {
        self.has_answered(node) && self.chance(table, node, now) >= PROVEN_MIN
    }

    /// Whether the node has passed something on of late.
    pub(crate) fn has_relayed(&self, node: &NodeId) -> bool {
        self.scores.get(node).is_some_and(|score| score.belief.relayed)
    }

    /// Nodes that have proven themselves of late.
    pub fn proven(&self, table: &NodeTable, now: Moment) -> impl Iterator<Item = &NodeId> {
        self.proven.iter().filter(move |node| self.is_proven(table, node, now))
    }

    /// The chance that a request over relays of our choice and its reply get through, the holder aside.
    pub fn path_chance(&self) -> f64 {
        let relay = if self.proven.len() >= 2 { PROVEN } else { self.base };
        relay * relay * (1.0 - self.noise)
    }

    /// What is assumed of nodes that were not tried.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// Nodes that have answered; some may no longer count as proven.
    pub(crate) fn answered(&self) -> &[NodeId] {
        &self.proven
    }

    /// An answer came, whatever it says: the nodes on its way live, and those beside the holder pass things on.
    pub fn answer(&mut self, nodes: &[NodeId], now: Moment) {
        self.clearings = 0;
        self.came(nodes, (PROVEN, PROVEN), now);
    }

    /// Somebody answered who was asked for nothing but that: the guard lets small packets through. Not for ever is that enough: see
    /// [`Outcomes::may_be_cleared`].
    pub fn cleared(&mut self, nodes: &[NodeId], now: Moment) {
        self.clearings += 1;
        self.came(nodes, (PROVEN, PROVEN), now);
    }

    /// A scout is back: the nodes on its way live, and of the guard it says no more than a witness.
    pub fn scout_back(&mut self, nodes: &[NodeId], now: Moment) {
        self.came(nodes, (PROVEN, PROVEN), now);
    }

    /// Whether witnesses may still clear the guard: one that lets through theirs only would be kept for ever.
    pub fn may_be_cleared(&self) -> bool {
        self.clearings < CLEARINGS_MAX
    }

    /// An answer came after [`Outcomes::silence`] was reported: the nodes on its way live, one of them slowly. The
    /// blame is taken back, but others are preferred to whom it fell on.
    pub fn late(&mut self, nodes: &[NodeId], now: Moment) {
        self.clearings = 0;
        self.came(nodes, SLOW, now);
    }

    fn came(&mut self, nodes: &[NodeId], least: (f64, f64), now: Moment) {
        self.silent = 0;
        self.answered_at = Some(now);
        if self.are_innocent(nodes) {
            self.move_noise(0.0);
        }
        for (place, node) in nodes.iter().enumerate() {
            if !self.has_answered(node) {
                // Proven for the first time, or again after it was blamed.
                self.move_base(1.0);
            }
            let before = self.scores.get(node).map(|score| score.belief);
            let mut belief = before.unwrap_or_else(|| Belief::untried(self.base, now));
            belief.came(place, least, now);
            let score = self.set(*node, belief);
            if !std::mem::replace(&mut score.listed, true) {
                self.proven.push(*node);
            }
        }
        self.base_then = self.base;
    }

    /// Whether somebody on the way of a request that leaves now was found dead.
    pub fn is_hopeless(&self, table: &NodeTable, nodes: &[NodeId], now: Moment) -> bool {
        nodes.iter().enumerate().any(|(place, node)| self.chance_at(table, place, node, now) < FOUND_DEAD)
    }

    /// No answer came in time by the way of these nodes; `hopeless` says whether it was when the request left
    /// ([`Outcomes::is_hopeless`]): of many that left together the first ones make the others' nodes seem dead.
    pub fn silence(&mut self, table: &NodeTable, hopeless: bool, nodes: &[NodeId], now: Moment) -> Blame {
        self.silent = self.silent.saturating_add(if hopeless { HOPELESS_SILENCE } else { SILENCE });
        self.blame(table, nodes, now, now)
    }

    /// No answer came to one of many requests that left together, of which some were answered: these nodes share the blame as
    /// ever, and nothing is said of the guard.
    pub fn scout_lost(&mut self, table: &NodeTable, nodes: &[NodeId], now: Moment) {
        // Those that were answered left at the same time: it is no news since the last answer.
        let base = self.base;
        self.blame(table, nodes, now, self.answered_at.unwrap_or(now));
        self.base_then = (self.base_then + self.base - base).clamp(BASE_BOUNDS.0, BASE_BOUNDS.1);
    }

    /// Their silence became known `now`, and counts as of `at`.
    fn blame(&mut self, table: &NodeTable, nodes: &[NodeId], now: Moment, at: Moment) -> Blame {
        let chance_at = |(place, node)| self.chance_at(table, place, node, now);
        let chances: Vec<f64> = nodes.iter().enumerate().map(chance_at).collect();
        let last = self.answered_at;
        let innocent = self.are_innocent(nodes);
        if innocent {
            self.move_noise(1.0);
        }
        let through = (1.0 - self.noise) * chances.iter().product::<f64>();
        for ((place, node), done) in nodes.iter().enumerate().zip(chances) {
            let guilt = ((1.0 - done) / (1.0 - through).max(CHANCE_MIN)).min(1.0);
            // Who answers and passes nothing on is not dead: of a relay's guilt its own silence has the part that it explains.
            let chance = self.chance(table, node, now);
            let dead = ((1.0 - chance) / (1.0 - done).max(CHANCE_MIN)).min(1.0);
            let left = |guilt: f64| (1.0 - guilt).clamp(CHANCE_MIN, PROVEN);
            // One that was found dead says nothing new of those that were not tried.
            if !self.has_answered(node) && chance >= FOUND_DEAD {
                self.move_base(left(guilt * dead));
            }
            let before = self.scores.get(node).copied();
            let mut belief = before.map_or_else(|| Belief::untried(self.base, at), |score| score.belief);
            belief.blamed(place, (left(guilt * dead), left(guilt)), at);
            let score = self.set(*node, belief);
            score.before = match before {
                Some(before) if last.is_none_or(|last| before.belief.at > last) => before.before,
                Some(before) => Some(before.belief),
                None => None,
            };
        }
        if innocent { Blame::Congestion } else { Blame::Nodes }
    }

    fn has_answered(&self, node: &NodeId) -> bool {
        self.scores.get(node).is_some_and(|score| score.belief.answered)
    }

    /// Whether all on this way have done their parts of late.
    fn are_innocent(&self, nodes: &[NodeId]) -> bool {
        let is_innocent = |(place, node)| self.scores.get(node).is_some_and(|score| score.belief.is_innocent(place));
        nodes.iter().enumerate().all(is_innocent)
    }

    /// The holder answered with bytes that are not what was asked for. It is not asked again in this session.
    pub fn garbage(&mut self, holder: NodeId) {
        if self.distrusted.len() < DISTRUSTED_MAX {
            self.distrusted.insert(holder);
        }
    }

    /// How many nodes answered with garbage.
    pub fn distrusted(&self) -> usize {
        self.distrusted.len()
    }

    /// The node said that it is full.
    pub fn full(&mut self, node: NodeId, now: Moment) {
        if let Some(score) = self.scores.get_mut(&node) {
            score.full_at = Some(now);
        }
    }

    /// Whether the node said of late that it is full.
    pub fn is_full(&self, node: &NodeId, now: Moment) -> bool {
        self.scores.get(node).and_then(|s| s.full_at).is_some_and(|at| now.since(at) < FULL_FOR)
    }

    /// When the last answer came.
    pub fn answered_at(&self) -> Option<Moment> {
        self.answered_at
    }

    /// Whether so many requests in a row went unanswered that rather the guard or our own network is gone than
    /// everybody else. A driver then asks witnesses ([`crate::flow::Scouting::witnesses`]), and if none answers mends the guard and calls
    /// [`Outcomes::forgive_silence`].
    pub fn suspects_guard(&self) -> bool {
        self.silent >= GUARD_SILENCE
    }

    /// Forgets that requests went unanswered, and whom they were blamed on: the guard let through only what it liked.
    pub fn forgive(&mut self) {
        self.forgive_after(None);
    }

    /// Forgets what went unanswered since the last answer: then the guard, or our own network, fell silent. What was found out before
    /// is as true as it was.
    pub fn forgive_silence(&mut self) {
        self.forgive_after(self.answered_at);
    }

    fn forgive_after(&mut self, last: Option<Moment>) {
        self.silent = 0;
        self.clearings = 0;
        self.base = self.base.max(if last.is_some() { self.base_then } else { BASE_START });
        self.noise = NOISE_START;
        let is_forgiven = |score: &Score| last.is_none_or(|last| score.belief.at > last);
        // What was thought before the last answer, if there was one, is thought again.
        let before = |score: &Score| score.before.filter(|_| last.is_some());
        self.scores
            .retain(|_, score| score.belief.answered || score.listed || !is_forgiven(score) || before(score).is_some());
        for score in self.scores.values_mut().filter(|score| is_forgiven(score)) {
            match before(score) {
                Some(before) => score.belief = before,
                None => score.belief.forgive(BASE_START),
            }
            score.before = None;
        }
    }

    fn set(&mut self, node: NodeId, belief: Belief) -> &mut Score {
        if self.scores.len() >= SCORES_MAX
            && !self.scores.contains_key(&node)
            && let Some(oldest) = self.scores.iter().min_by_key(|(_, s)| s.belief.at).map(|(id, _)| *id)
        {
            self.scores.remove(&oldest);
            self.proven.retain(|id| *id != oldest);
        }
        let untouched = Score { belief, listed: false, full_at: None, before: None };
        let score = self.scores.entry(node).or_insert(untouched);
        score.belief = belief;
        score
    }

    fn move_base(&mut self, towards: f64) {
        self.base = (self.base + (towards - self.base) * BASE_GAIN).clamp(BASE_BOUNDS.0, BASE_BOUNDS.1);
    }

    fn move_noise(&mut self, towards: f64) {
        self.noise = (self.noise + (towards - self.noise) * NOISE_GAIN).clamp(NOISE_BOUNDS.0, NOISE_BOUNDS.1);
    }

    /// Takes a node off the list to draw from, as it no longer counts as proven.
    pub(crate) fn retire(&mut self, place: usize) {
        if place < self.proven.len()
            && let Some(score) = self.scores.get_mut(&self.proven.swap_remove(place))
        {
            score.listed = false;
        }
    }
}

#[cfg(test)]
mod relays;
#[cfg(test)]
mod tests;
