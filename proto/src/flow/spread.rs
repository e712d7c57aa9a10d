//! A record to its holders, the nodes nearest to each of its addresses: to all of them or, as a seed, to some.

use crate::flow::pairs::{Pair, Pairs, State};
use crate::ids::NodeId;
use crate::select::FOUND_DEAD;
use crate::time::Moment;
use std::time::Duration;

/// Silences after which a node is passed over. It is one of many.
const TIMEOUTS_MAX: u8 = 3;
/// Nodes at least this likely to live are as good as each other, so that of these the nearest are taken: it is the nearest who
/// look at once whether a record that came is with all the others, and seeds elsewhere would wait for a round.
const LIKELY: f64 = 0.5;

/// Copies of a root's record that must be acknowledged in all, unless there are fewer candidates than twice as many: when half of
/// the nodes die, one in a million such records loses all of its copies, as often as a stripe may be lost.
const ROOT_COPIES_MIN: usize = 20;
/// Of these, copies under each address, unless there are fewer candidates there than twice as many.
const ROOT_COPIES_EACH_MIN: usize = 4;

/// A record to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpreadSend {
    /// Number of the address under which it is to be kept.
    pub address: usize,
    /// To whom.
    pub node: NodeId,
    /// How often it was sent before; each time by a fresh path.
    pub attempt: u8,
}

/// What became of a sent record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpreadOutcome {
    /// The receipt came.
    Stored,
    /// The node will answer later.
    Busy(Duration),
    /// The node will not keep it.
    Refused,
    /// Nothing came in time. A receipt may still come.
    TimedOut,
    /// It never left, or got no farther than a guard that passes nothing on: the node is not to blame.
    Unsent,
}

/// Spreads one record.
#[derive(Clone, Debug)]
pub struct RecordSpread {
    pairs: Pairs,
    stored: Vec<usize>,
    /// Copies that are enough under each address.
    enough: usize,
}

impl RecordSpread {
    /// `candidates` of each address, nearest first; `enough` copies under each will do.
    pub fn new(candidates: Vec<Vec<NodeId>>, enough: usize) -> RecordSpread {
        RecordSpread { stored: vec![0; candidates.len()], pairs: Pairs::new(candidates), enough }
    }

    /// The next record to send, if any is due: to those who likely live first, and of these to the nearest. `chance` of a node is
    /// [`crate::select::Outcomes::chance`].
    pub fn poll(&mut self, now: Moment, chance: impl Fn(&NodeId) -> f64) -> Option<SpreadSend> {
        self.leave_out_the_dead(&chance);
        let wanting = (0..self.pairs.len()).filter(|address| self.wants(*address));
        // From the far end, since of equals the last is taken: the nearest.
        let open = wanting.flat_map(|address| self.pairs.item(address).iter().rev().map(move |p| (address, p)));
        let (address, node, _) = open
            .filter(|(_, pair)| self.may_try(pair) && !self.pairs.is_waiting(pair, now))
            .map(|(address, pair)| (address, pair.node, chance(&pair.node).min(LIKELY)))
            .max_by(|a, b| a.2.total_cmp(&b.2))?;
        let attempt = self.pairs.ask(address, &node);
        Some(SpreadSend { address, node, attempt })
    }

    /// Who was found dead is not tried where half of the copies are there: each would be waited for three times.
    fn leave_out_the_dead(&mut self, chance: &impl Fn(&NodeId) -> f64) {
        for address in (0..self.pairs.len()).filter(|address| 2 * self.stored[*address] >= self.enough) {
            let dead =
                self.pairs.item(address).iter().filter(|pair| self.may_try(pair) && chance(&pair.node) < FOUND_DEAD);
            for node in dead.map(|pair| pair.node).collect::<Vec<_>>() {
                self.pairs.answered(address, &node, State::Spent);
            }
        }
    }

    /// Reports what became of a sent record. A receipt counts also after [`SpreadOutcome::TimedOut`].
    pub fn handle(&mut self, now: Moment, address: usize, node: &NodeId, outcome: SpreadOutcome) {
        match outcome {
            SpreadOutcome::Stored => {
                let fresh = self.pairs.item(address).iter().any(|p| p.node == *node && p.state != State::Spent);
                if let Some(stored) = self.stored.get_mut(address) {
                    *stored += usize::from(fresh);
                }
                self.pairs.answered(address, node, State::Spent);
            }
            SpreadOutcome::Refused => self.pairs.answered(address, node, State::Spent),
            SpreadOutcome::Busy(retry) => self.pairs.busy(address, node, retry, now),
            SpreadOutcome::TimedOut => self.pairs.timed_out(address, node),
            SpreadOutcome::Unsent => self.pairs.unsent(address, node),
        }
    }

    /// When to poll again though nothing was answered.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        self.pairs.poll_timeout(now)
    }

    /// How many nodes keep the record under each address.
    pub fn stored(&self) -> &[usize] {
        &self.stored
    }

    /// Whether nothing is awaited nor left to send.
    pub fn is_done(&self) -> bool {
        (0..self.pairs.len()).all(|address| {
            let settled = |pair: &Pair| pair.state != State::Pending && !self.may_try(pair);
            self.stored[address] >= self.enough || self.pairs.item(address).iter().all(settled)
        })
    }

    /// Whether more copies are wanted under an address than there are or may come to be.
    fn wants(&self, address: usize) -> bool {
        let pending = self.pairs.item(address).iter().filter(|pair| pair.state == State::Pending).count();
        self.stored[address] + pending < self.enough
    }

    fn may_try(&self, pair: &Pair) -> bool {
        self.pairs.is_open(pair) && pair.timeouts < TIMEOUTS_MAX
    }
}

/// What is wanting if too few nodes keep a root's record: how many copies there are, and how many there must be. `stored` of the
/// `near` candidates of each address took it.
pub fn root_shortfall(stored: &[usize], near: &[usize]) -> Option<(usize, usize)> {
    let wanted = |near: usize, least: usize| near.div_ceil(2).min(least);
    let all = (stored.iter().sum(), wanted(near.iter().sum(), ROOT_COPIES_MIN));
    let each = stored.iter().zip(near).map(|(&stored, &near)| (stored, wanted(near, ROOT_COPIES_EACH_MIN)));
    std::iter::once(all).chain(each).find(|(stored, wanted)| stored < wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_enough_copies_in_all_and_some_under_each_address() {
        assert_eq!(root_shortfall(&[10, 6, 4], &[20; 3]), None);
        assert_eq!(root_shortfall(&[7, 6, 6], &[20; 3]), Some((19, 20)));
        assert_eq!(root_shortfall(&[20, 20, 3], &[20; 3]), Some((3, 4)));
        // Of five nodes one is the guard.
        assert_eq!(root_shortfall(&[2, 2, 2], &[4; 3]), None);
        assert_eq!(root_shortfall(&[4, 1, 1], &[4; 3]), Some((1, 2)));
        assert_eq!(root_shortfall(&[0, 0, 0], &[0; 3]), None);
        // What the numbers are for: all of them die.
        assert!(0.5_f64.powi(ROOT_COPIES_MIN as i32) <= crate::coding::LOSS_MAX);
    }

    /// Where only dead ones are left, the guard looks as if it passed nothing on, and nothing is held against them.
    #[test]
    fn the_dead_are_given_up_though_their_silence_is_blamed_on_the_guard() {
        let nodes: Vec<NodeId> = (0..20).map(|number| NodeId([number; 32])).collect();
        let now = Moment(Duration::ZERO);
        let mut spread = RecordSpread::new(vec![nodes; 3], 20);
        let mut sent = 0;
        while !spread.is_done() {
            let send = spread.poll(now, |_| 0.5).unwrap();
            sent += 1;
            spread.handle(now, send.address, &send.node, SpreadOutcome::Unsent);
            assert!(sent <= 60 * 5, "asked for ever");
        }
        assert!(sent >= 60 * 3, "given up after {sent}");
    }

    #[test]
    fn the_dead_are_not_waited_for_where_half_of_the_copies_are_there() {
        let nodes: Vec<NodeId> = (0..21).map(|number| NodeId([number; 32])).collect();
        let now = Moment(Duration::ZERO);
        // Those of even numbers were found dead; one is only said to be.
        let chance = |id: &NodeId| match id.0[0] {
            20 => 0.2,
            number if number % 2 == 0 => 0.05,
            _ => 0.99,
        };
        let mut spread = RecordSpread::new(vec![nodes], 20);
        let mut asked = Vec::new();
        while let Some(send) = spread.poll(now, chance) {
            asked.push(send.node.0[0]);
            let outcome = if send.node.0[0] % 2 == 0 { SpreadOutcome::TimedOut } else { SpreadOutcome::Stored };
            spread.handle(now, 0, &send.node, outcome);
        }
        asked.sort_unstable();
        assert_eq!(asked, [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 20, 20, 20]);
        assert!(spread.is_done());
        // Before, they are: nobody else is there.
        let mut spread = RecordSpread::new(vec![vec![NodeId([0; 32])]], 20);
        assert!(spread.poll(now, chance).is_some());
    }

    #[test]
    fn seeds_go_to_the_nearest_that_likely_live_however_well_others_are_known() {
        let nodes: Vec<NodeId> = (0..20).map(|number| NodeId([number; 32])).collect();
        // The nearest is likely dead; the far ones have just answered, the near ones have not been asked yet.
        let chance = |id: &NodeId| match id.0[0] {
            0 => 0.2,
            1..10 => 0.97,
            _ => 0.99,
        };
        let now = Moment(Duration::ZERO);
        let mut spread = RecordSpread::new(vec![nodes.clone(), nodes.clone()], 2);
        let mut sent = Vec::new();
        while let Some(send) = spread.poll(now, chance) {
            sent.push((send.address, send.node));
        }
        sent.sort_unstable();
        assert_eq!(sent, [(0, nodes[1]), (0, nodes[2]), (1, nodes[1]), (1, nodes[2])]);
    }
}
