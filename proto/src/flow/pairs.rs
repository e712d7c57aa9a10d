//! What was asked of whom: items (shards, record addresses), each with its candidate nodes, and what became of each
//! pair.

use crate::ids::NodeId;
use crate::select::Whereabouts;
use crate::time::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// A pair that stayed silent so often, by different paths, is not asked again.
const PAIR_TIMEOUTS_MAX: u8 = 4;
/// So often a request may be lost on its way, at no cost to the pair; what is lost after that counts as silence. A guard that passes
/// nothing on is found out after some dozens of losses, over all pairs. Where only dead nodes are left to ask, their silence looks like
/// that too, and would be asked for ever.
const PAIR_UNSENT_FREE: u8 = 2;
/// A node that stayed silent so often in a row, over all items, is not asked for further items.
const NODE_TIMEOUTS_MAX: u32 = 8;
/// A node that is busy is asked again after at least and at most this long, whatever it says; after twice as long each
/// time that it is busy still.
const BUSY_PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A node that asked for so many pauses in a row, and answered nothing in between, is not asked again: who is busy for
/// ever would be waited for for ever.
const NODE_PAUSES_MAX: u32 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// May be asked.
    Open,
    /// Asked, the answer is awaited.
    Pending,
    /// Said that it has not what was asked for.
    Absent,
    /// Asking again is of no use.
    Spent,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) node: NodeId,
    /// The node's number among all of the items' nodes: looked up once, since pairs are gone through for each request.
    pub(super) number: usize,
    pub(super) state: State,
    pub(super) attempts: u8,
    pub(super) timeouts: u8,
    pub(super) busies: u8,
    unsent: u8,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NodeRecord {
    /// In a row.
    timeouts: u32,
    pub(super) absents: u32,
    /// Pauses that it asked for in a row.
    pauses: u32,
    not_before: Option<Moment>,
    /// It wants no further item.
    closed: bool,
}

/// An item's candidates, and behind them those to whom it may have been diverted, once these were asked for.
#[derive(Clone, Debug)]
struct Item {
    pairs: Vec<Pair>,
    near: usize,
    diverted: bool,
    likeliest: Option<NodeId>,
}

impl Pair {
    fn new(node: NodeId, number: usize) -> Pair {
        Pair { node, number, state: State::Open, attempts: 0, timeouts: 0, busies: 0, unsent: 0 }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Pairs {
    items: Vec<Item>,
    numbers: BTreeMap<NodeId, usize>,
    /// By the nodes' numbers.
    records: Vec<NodeRecord>,
}

impl Pairs {
    pub(super) fn new(candidates: impl IntoIterator<Item = Vec<NodeId>>) -> Pairs {
        let mut pairs = Pairs { items: Vec::new(), numbers: BTreeMap::new(), records: Vec::new() };
        for nodes in candidates {
            let item = Item {
                near: nodes.len(),
                diverted: nodes.is_empty(),
                pairs: nodes.into_iter().map(|node| pairs.pair(node)).collect(),
                likeliest: None,
            };
            pairs.items.push(item);
        }
        pairs
    }

    fn pair(&mut self, node: NodeId) -> Pair {
        let number = *self.numbers.entry(node).or_insert(self.records.len());
        if number == self.records.len() {
            self.records.push(NodeRecord::default());
        }
        Pair::new(node, number)
    }

    /// The item's candidates, then those to whom it may have been diverted as far as these are known.
    pub(super) fn item(&self, item: usize) -> &[Pair] {
        self.items.get(item).map_or(&[], |item| &item.pairs)
    }

    /// The item's candidates.
    pub(super) fn near(&self, item: usize) -> &[Pair] {
        self.items.get(item).map_or(&[], |item| &item.pairs[..item.near])
    }

    /// Those to whom the item may have been diverted.
    pub(super) fn far(&self, item: usize) -> &[Pair] {
        self.items.get(item).map_or(&[], |item| &item.pairs[item.near..])
    }

    /// Whether it is known to whom the item may have been diverted. An item without candidates is diverted to nobody.
    pub(super) fn is_diverted(&self, item: usize) -> bool {
        self.items.get(item).is_none_or(|item| item.diverted)
    }

    /// Adds those to whom the item may have been diverted; once.
    pub(super) fn divert(&mut self, item: usize, whereabouts: impl FnOnce() -> Whereabouts) {
        if self.is_diverted(item) {
            return;
        }
        let Whereabouts { diversions, likeliest } = whereabouts();
        let far: Vec<Pair> = diversions.into_iter().map(|node| self.pair(node)).collect();
        if let Some(item) = self.items.get_mut(item) {
            item.diverted = true;
            item.likeliest = likeliest;
            item.pairs.extend(far);
        }
    }

    /// Who likeliest has the item, if it is not where it belongs.
    pub(super) fn likeliest(&self, item: usize) -> Option<NodeId> {
        self.items.get(item)?.likeliest
    }

    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// What is known of a pair's node.
    pub(super) fn record(&self, pair: &Pair) -> NodeRecord {
        self.records.get(pair.number).copied().unwrap_or_default()
    }

    /// Whether the pair may be asked, now or after its node is no longer busy.
    pub(super) fn is_open(&self, pair: &Pair) -> bool {
        let node = self.record(pair);
        pair.state == State::Open && !node.closed && node.timeouts < NODE_TIMEOUTS_MAX && node.pauses < NODE_PAUSES_MAX
    }

    /// Whether the pair's node is busy still.
    pub(super) fn is_waiting(&self, pair: &Pair, now: Moment) -> bool {
        self.record(pair).not_before.is_some_and(|at| at > now)
    }

    /// Whether nothing is awaited of an item, nor could be asked for it.
    pub(super) fn is_settled(&self, item: usize) -> bool {
        self.item(item).iter().all(|pair| pair.state != State::Pending && !self.is_open(pair))
    }

    /// Marks the pair as asked; the number of the attempt, from 0.
    pub(super) fn ask(&mut self, item: usize, node: &NodeId) -> u8 {
        self.pair_mut(item, node).map_or(0, |pair| {
            pair.state = State::Pending;
            pair.attempts = pair.attempts.saturating_add(1);
            pair.attempts - 1
        })
    }

    pub(super) fn timed_out(&mut self, item: usize, node: &NodeId) {
        let Some(pair) = self.pair_mut(item, node) else {
            return;
        };
        if pair.state == State::Pending {
            pair.timeouts += 1;
            pair.state = if pair.timeouts < PAIR_TIMEOUTS_MAX { State::Open } else { State::Spent };
            self.with_record(node, |record| record.timeouts += 1);
        }
    }

    /// The request never got to the node: as if it had not been asked, some times.
    pub(super) fn unsent(&mut self, item: usize, node: &NodeId) {
        let Some(pair) = self.pair_mut(item, node).filter(|pair| pair.state == State::Pending) else { return };
        if pair.unsent < PAIR_UNSENT_FREE {
            pair.unsent += 1;
            pair.state = State::Open;
        } else {
            self.timed_out(item, node);
        }
    }

    /// The node answered, and its answer settles the pair.
    pub(super) fn answered(&mut self, item: usize, node: &NodeId, state: State) {
        if let Some(pair) = self.pair_mut(item, node) {
            pair.state = state;
            pair.timeouts = 0;
            self.with_record(node, |record| {
                record.timeouts = 0;
                record.pauses = 0;
                record.absents += u32::from(state == State::Absent);
            });
        }
    }

    /// Whether somebody stayed silent who was asked for the item, or is not asked for it since it stayed silent for others.
    pub(super) fn has_silent(&self, item: usize) -> bool {
        let is_silent = |pair: &Pair| pair.timeouts > 0 || self.record(pair).timeouts >= NODE_TIMEOUTS_MAX;
        self.item(item).iter().any(is_silent)
    }

    /// Lets those be asked for the item again who live after all, though they stayed silent, for this item or others; whether there
    /// are any.
    pub(super) fn reopen(&mut self, item: usize, lives: impl Fn(&NodeId) -> bool) -> bool {
        let Some(Item { pairs, .. }) = self.items.get_mut(item) else { return false };
        let mut any = false;
        for pair in pairs.iter_mut().filter(|pair| lives(&pair.node)) {
            if pair.state == State::Spent && pair.timeouts >= PAIR_TIMEOUTS_MAX {
                pair.state = State::Open;
            }
            (pair.timeouts, pair.unsent) = (0, 0);
            if let Some(record) = self.records.get_mut(pair.number) {
                // It has as many tries as a pair has, and not as many as if it had never been silent.
                record.timeouts = record.timeouts.min(NODE_TIMEOUTS_MAX - u32::from(PAIR_TIMEOUTS_MAX) / 2);
            }
            any |= pair.state == State::Open;
        }
        any
    }

    /// The node asked to be asked later.
    pub(super) fn busy(&mut self, item: usize, node: &NodeId, retry: Duration, now: Moment) {
        if let Some(pair) = self.pair_mut(item, node) {
            pair.busies = pair.busies.saturating_add(1);
            if pair.state == State::Pending {
                pair.state = State::Open;
            }
            self.with_record(node, |record| {
                record.timeouts = 0;
                // Answers that were on their way together ask for one pause.
                if record.not_before.is_none_or(|at| at <= now) {
                    let (least, most) = BUSY_PAUSES;
                    let pause = retry.clamp(least, most) * 2_u32.pow(record.pauses.min(NODE_PAUSES_MAX));
                    record.not_before = Some(now + pause.min(most));
                    record.pauses += 1;
                }
            });
        }
    }

    /// The item is not asked for (any more).
    pub(super) fn give_up(&mut self, item: usize) {
        if let Some(item) = self.items.get_mut(item) {
            item.diverted = true;
            item.pairs.iter_mut().for_each(|pair| pair.state = State::Spent);
        }
    }

    /// The node is not asked for further items.
    pub(super) fn close(&mut self, node: &NodeId) {
        self.with_record(node, |record| record.closed = true);
    }

    /// Whether the pair's node is not asked for further items, by its own word or for its lies.
    pub(super) fn is_closed(&self, pair: &Pair) -> bool {
        self.record(pair).closed
    }

    /// When the first busy node may be asked again.
    pub(super) fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        self.records.iter().filter_map(|record| record.not_before).filter(|at| *at > now).min()
    }

    /// Whether at least two thirds of an item's candidates said that it is absent, and all are settled. More than one
    /// peer's word.
    pub(super) fn is_absent(&self, item: usize) -> bool {
        let pairs = self.item(item);
        let absent = pairs.iter().filter(|pair| pair.state == State::Absent).count();
        !pairs.is_empty() && self.is_settled(item) && 3 * absent >= 2 * pairs.len()
    }

    /// How many pairs said absent, and how many were asked.
    pub(super) fn said_and_asked(&self) -> (usize, usize) {
        let all = || self.items.iter().flat_map(|item| &item.pairs);
        (all().filter(|p| p.state == State::Absent).count(), all().filter(|p| p.attempts > 0).count())
    }

    fn pair_mut(&mut self, item: usize, node: &NodeId) -> Option<&mut Pair> {
        self.items.get_mut(item)?.pairs.iter_mut().find(|pair| pair.node == *node)
    }

    /// Changes what is known of a node of the pairs.
    fn with_record(&mut self, node: &NodeId, change: impl FnOnce(&mut NodeRecord)) {
        if let Some(record) = self.numbers.get(node).and_then(|number| self.records.get_mut(*number)) {
            change(record);
        }
    }
}
