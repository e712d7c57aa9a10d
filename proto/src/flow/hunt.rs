//! A record from any of its holders: the nodes nearest to each of its addresses.

use crate::flow::pairs::{Pairs, State};
use crate::ids::NodeId;
use crate::time::Moment;
use std::time::Duration;

/// Requests on the way at first: enough to meet a living holder in the first round though half of them be dead.
const PARALLEL_START: usize = 4;
/// Requests on the way at most. Each that finds nothing makes room for one more, so that also "absent" is known soon.
const PARALLEL_MAX: usize = 32;
/// After this long without an answer as many again are asked, whatever the timeout: a hunt is the first thing that a
/// client does, when it knows neither the round trip nor who lives, and its requests are small.
const HEDGE: Duration = Duration::from_millis(150);
/// How a candidate's chance falls with its rank.
const RANK_FACTOR: f64 = 0.95;
/// The factor for each address under which a node said that it has no record: likely it has none under the others
/// either.
const ABSENT_FACTOR: f64 = 0.3;
/// The factor for each silence of the pair, and each time that it was busy.
const TIMEOUT_FACTOR: f64 = 0.5;

/// A request to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HuntAsk {
    /// Number of the address.
    pub address: usize,
    /// Whom to ask.
    pub node: NodeId,
    /// How often it was asked before; each time by a fresh path.
    pub attempt: u8,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HuntOutcome {
    /// The record came, and belongs under the address.
    Found,
    /// The node says that it has no such record.
    Absent,
    /// The node answered with something that does not belong under the address.
    Garbage,
    /// The node will answer later.
    Busy(Duration),
    /// The node will not answer, for another reason.
    Refused,
    /// Nothing came in time. It may still come.
    TimedOut,
    /// It never left, or got no farther than a guard that passes nothing on: the node is not to blame.
    Unsent,
}

/// What came of the hunt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HuntVerdict {
    /// It is there.
    Found,
    /// It is not in the network: of each address's candidates at least two thirds said so.
    Absent {
        /// Candidates that said so.
        said: usize,
        /// Candidates that were asked.
        asked: usize,
    },
    /// Too few answered to tell.
    Unreachable {
        /// Candidates that said that they have none.
        said: usize,
        /// Candidates that were asked.
        asked: usize,
    },
}

/// Hunts for one record.
#[derive(Clone, Debug)]
pub struct RecordHunt {
    pairs: Pairs,
    on_the_way: usize,
    parallel: usize,
    /// When something was last asked or answered.
    stirred: Moment,
    found: bool,
}

impl RecordHunt {
    /// `candidates` of each address, nearest first.
    pub fn new(candidates: Vec<Vec<NodeId>>) -> RecordHunt {
        RecordHunt {
            pairs: Pairs::new(candidates),
            on_the_way: 0,
            parallel: PARALLEL_START,
            stirred: Moment::default(),
            found: false,
        }
    }

    /// The next request to send, if any is due. `chance` of a node is [`crate::select::Outcomes::chance`].
    pub fn poll(&mut self, now: Moment, chance: impl Fn(&NodeId) -> f64) -> Option<HuntAsk> {
        if self.found {
            return None;
        }
        if self.on_the_way >= self.parallel {
            if now.since(self.stirred) < HEDGE {
                return None;
            }
            self.parallel = (self.parallel + PARALLEL_START).min(PARALLEL_MAX);
            if self.on_the_way >= self.parallel {
                return None;
            }
        }
        let mut best: Option<(f64, usize, NodeId)> = None;
        for address in 0..self.pairs.len() {
            for (rank, pair) in self.pairs.item(address).iter().enumerate() {
                if !self.pairs.is_open(pair) || self.pairs.is_waiting(pair, now) {
                    continue;
                }
                let absents = self.pairs.record(pair).absents.min(16) as i32;
                let score = chance(&pair.node)
                    * RANK_FACTOR.powi(rank as i32)
                    * ABSENT_FACTOR.powi(absents)
                    * TIMEOUT_FACTOR.powi(pair.timeouts.saturating_add(pair.busies).into());
                if best.is_none_or(|(highest, _, _)| score > highest) {
                    best = Some((score, address, pair.node));
                }
            }
        }
        let (_, address, node) = best?;
        let attempt = self.pairs.ask(address, &node);
        self.on_the_way += 1;
        self.stirred = now;
        Some(HuntAsk { address, node, attempt })
    }

    /// Reports what became of a request. An answer counts also after [`HuntOutcome::TimedOut`].
    pub fn handle(&mut self, now: Moment, address: usize, node: &NodeId, outcome: HuntOutcome) {
        let awaited = self.pairs.item(address).iter().any(|p| p.node == *node && p.state == State::Pending);
        self.on_the_way -= usize::from(awaited);
        self.stirred = now;
        match outcome {
            HuntOutcome::Found => {
                self.found = true;
                self.pairs.answered(address, node, State::Spent);
            }
            HuntOutcome::Absent => self.pairs.answered(address, node, State::Absent),
            HuntOutcome::Refused => self.pairs.answered(address, node, State::Spent),
            HuntOutcome::Garbage => {
                self.pairs.answered(address, node, State::Spent);
                self.pairs.close(node);
            }
            HuntOutcome::Busy(retry) => self.pairs.busy(address, node, retry, now),
            HuntOutcome::TimedOut => self.pairs.timed_out(address, node),
            HuntOutcome::Unsent => self.pairs.unsent(address, node),
        }
        self.parallel = (self.parallel + 1).min(PARALLEL_MAX);
    }

    /// When to poll again though nothing was answered.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        let hedge = (self.on_the_way > 0 && self.parallel < PARALLEL_MAX).then_some(self.stirred + HEDGE);
        [hedge.filter(|at| *at > now), self.pairs.poll_timeout(now)].into_iter().flatten().min()
    }

    /// The end, once it is reached.
    pub fn verdict(&self) -> Option<HuntVerdict> {
        if self.found {
            return Some(HuntVerdict::Found);
        }
        let all = || 0..self.pairs.len();
        if !all().all(|address| self.pairs.is_settled(address)) {
            return None;
        }
        let (said, asked) = self.pairs.said_and_asked();
        let absent = self.pairs.len() > 0 && all().all(|address| self.pairs.is_absent(address));
        Some(if absent { HuntVerdict::Absent { said, asked } } else { HuntVerdict::Unreachable { said, asked } })
    }
}

#[cfg(test)]
mod tests;
