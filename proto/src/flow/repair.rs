//! When a stripe is repaired: late, so that a node that comes back is not repaired around, and never too late.
//!
//! ```text
//!          table says that more are gone than at the last look, or a sample does
//!    Rest ───────────────────────────────────────────────► Survey ──► more than the threshold there ──► Rest
//!     │ ▲                                                    ▲   └──► fewer, or some gone for long ──► Repair ──► Rest
//!     ▼ │ as it should be                                    │
//!    Sample ─────────────── fewer than the threshold's share ┘
//! ```
//!
//! A sample, and the table, can only bring about a survey: nodes that lie cost packets, not repairs. A **survey** asks the
//! candidates of every shard for a proof of it, so that nobody counts as having what it lacks. What is rebuilt is named by
//! its hash, so that the worst that a liar among the holders can do is to have a shard stored twice.
//!
//! One machine serves one stripe at one warden. Nothing is lost if it is forgotten: the next survey tells the same, and
//! only the patience with missing shards begins anew.

use crate::time::Moment;
use rand_core::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When to look, and when to act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RepairPolicy {
    /// A stripe is repaired when this part of its shards, or less, is there.
    pub low: f64,
    /// A stripe is repaired when this part of its spare (the shards beyond k), or less, is there: what keeps a stripe with
    /// little spare from waiting until there is none.
    pub spare: f64,
    /// A shard that is missing for so long is repaired in any case, and with it all that are missing at that time.
    pub patience: Duration,
    /// Shards in one sample.
    pub sample: usize,
    /// One audit in so many is a survey of the whole stripe.
    pub surveys: u32,
    /// What a survey says is acted upon for so long; later the stripe is surveyed anew.
    pub fresh: Duration,
    /// The pause after a survey or a repair that did not help: too few shards to rebuild from, or nobody to store.
    pub retry: Duration,
}

impl Default for RepairPolicy {
    fn default() -> RepairPolicy {
        RepairPolicy {
            low: 0.85,
            spare: 0.5,
            patience: Duration::from_secs(30 * 86_400),
            sample: 12,
            surveys: 24,
            fresh: Duration::from_secs(120),
            retry: Duration::from_secs(300),
        }
    }
}

impl RepairPolicy {
    /// With so many shards of `n` there, or fewer, a stripe is repaired.
    pub fn threshold(&self, n: usize, k: usize) -> usize {
        let low = self.low * n as f64;
        let spare = k as f64 + self.spare * n.saturating_sub(k) as f64;
        (low.max(spare) as usize).min(n.saturating_sub(1))
    }
}

/// What a warden is there for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Duty {
    /// Others are on duty. What was begun is ended.
    Off,
    /// To act if many shards are gone.
    Watch,
    /// The same, and to see by an audit whether they are. Said once for each audit that is due.
    Audit,
}

/// What to do for a stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairStep {
    /// Nothing; before that moment only if something changes (the duty, the table).
    Rest(Option<Moment>),
    /// Ask for a proof of each of these shards, and tell [`Repair::sampled`].
    Sample(Vec<u8>),
    /// Ask for a proof of every shard, and tell [`Repair::surveyed`].
    Survey,
    /// Rebuild these shards and place them, and tell [`Repair::repaired`].
    Repair(Vec<u8>),
}

/// What an audit of one shard brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audited {
    /// A node proved that it has the shard.
    Proven,
    /// All candidates answered and none has it.
    Missing,
    /// Some did not answer.
    Unknown,
}

/// A survey's outcome, and what the table said at that time.
#[derive(Clone, Copy, Debug)]
struct Known {
    present: usize,
    by_table: usize,
}

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Repair {
    policy: RepairPolicy,
    n: usize,
    k: usize,
    /// The last survey, and what was repaired since.
    known: Option<Known>,
    /// The last sample points to many losses.
    suspicious: bool,
    /// Since when each missing shard is missed, by surveys.
    missed: BTreeMap<u8, Moment>,
    /// What is to be repaired, by the survey of that moment.
    due: Option<(Moment, Vec<u8>)>,
    not_before: Option<Moment>,
}

impl Repair {
    /// For a stripe of `n` shards, any `k` of which rebuild it.
    pub fn new(n: usize, k: usize, policy: RepairPolicy) -> Repair {
        Repair { policy, n, k, known: None, suspicious: false, missed: BTreeMap::new(), due: None, not_before: None }
    }

    /// How many shards are there, as far as is known: the last survey, less what the table has called lost since;
    /// `by_table` is the number of shards whose likeliest holder the table does not call lost.
    pub fn estimate(&self, by_table: usize) -> usize {
        match self.known {
            Some(known) => known.present.saturating_sub(known.by_table.saturating_sub(by_table)),
            None => by_table,
        }
    }

    /// What to do now. Says the same again until it is done and reported, or no longer of use.
    pub fn poll(&mut self, now: Moment, duty: Duty, by_table: usize, rng: &mut impl Rng) -> RepairStep {
        if let Some(at) = self.not_before.filter(|at| *at > now) {
            return RepairStep::Rest(Some(at));
        }
        match &self.due {
            Some((surveyed, missing)) if now.since(*surveyed) < self.policy.fresh => {
                return RepairStep::Repair(missing.clone());
            }
            Some(_) => return RepairStep::Survey,
            None => {}
        }
        let overdue = self.missed.values().min().map(|since| *since + self.policy.patience);
        if self.suspicious || overdue.is_some_and(|at| at <= now) {
            return RepairStep::Survey;
        }
        let low = self.estimate(by_table) <= self.policy.threshold(self.n, self.k);
        match duty {
            // The table alone knows nothing of what was repaired before this warden looked: a few audits cost less than a survey.
            Duty::Watch | Duty::Audit if low && self.known.is_none() => RepairStep::Sample(self.draw(rng)),
            Duty::Watch | Duty::Audit if low => RepairStep::Survey,
            Duty::Audit if rng.next_u32().is_multiple_of(self.policy.surveys.max(1)) => RepairStep::Survey,
            Duty::Audit => RepairStep::Sample(self.draw(rng)),
            Duty::Watch | Duty::Off => RepairStep::Rest(overdue),
        }
    }

    /// Different shards, each set equally likely.
    fn draw(&self, rng: &mut impl Rng) -> Vec<u8> {
        let mut drawn = BTreeSet::new();
        let wanted = self.policy.sample.min(self.n);
        // Floyd's algorithm (Bentley and Floyd, 1987): one number for each shard drawn.
        for last in self.n - wanted..self.n {
            let number = (rng.next_u64() % (last as u64 + 1)) as u8;
            let taken = !drawn.insert(number);
            if taken {
                drawn.insert(last as u8);
            }
        }
        drawn.into_iter().collect()
    }

    /// Reports a sample's outcomes, and what the table said meanwhile.
    pub fn sampled(&mut self, by_table: usize, outcomes: &[Audited]) {
        let proven = outcomes.iter().filter(|outcome| **outcome == Audited::Proven).count();
        let share = self.policy.threshold(self.n, self.k) as f64 / self.n.max(1) as f64;
        self.suspicious = (proven as f64) < share * outcomes.len() as f64;
        if self.known.is_none() && !self.suspicious {
            let present = self.n * proven / outcomes.len().max(1);
            self.known = Some(Known { present, by_table });
        }
    }

    /// Reports a survey: whether each of the n shards was proven, and what the table said meanwhile.
    pub fn surveyed(&mut self, now: Moment, by_table: usize, proven: &[bool]) {
        let missing: Vec<u8> = (0..self.n).filter(|&i| proven.get(i) != Some(&true)).map(|i| i as u8).collect();
        let present = self.n - missing.len();
        self.known = Some(Known { present, by_table });
        self.suspicious = false;
        self.due = None;
        self.missed.retain(|shard, _| missing.contains(shard));
        missing.iter().for_each(|shard| _ = self.missed.entry(*shard).or_insert(now));
        if present < self.k {
            // Some may come back; nothing else helps.
            self.not_before = Some(now + self.policy.retry);
            self.suspicious = true;
            return;
        }
        // Fetching k shards is the most of a repair's cost: when one shard is due, those that would be due next go with it.
        let is_overdue = self.missed.values().any(|since| now.since(*since) >= self.policy.patience);
        if !missing.is_empty() && (is_overdue || present <= self.policy.threshold(self.n, self.k)) {
            self.due = Some((now, missing));
        }
    }

    /// Reports which shards were stored anew, of those that were to be. The stripe rests a while if some were not.
    pub fn repaired(&mut self, now: Moment, placed: &[u8]) {
        let Some((_, wanted)) = self.due.take() else { return };
        let placed: Vec<u8> = wanted.iter().filter(|shard| placed.contains(shard)).copied().collect();
        if let Some(known) = &mut self.known {
            known.present = (known.present + placed.len()).min(self.n);
        }
        placed.iter().for_each(|shard| _ = self.missed.remove(shard));
        if placed.len() < wanted.len() {
            self.not_before = Some(now + self.policy.retry);
        }
    }
}

#[cfg(test)]
mod tests;
