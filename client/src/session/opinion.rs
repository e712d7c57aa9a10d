//! A second opinion: whether it is the guard that makes the network seem dead.
//!
//! A guard does not see where a request goes, but by which relay it goes first. It can let through what goes by its friends and drop
//! the rest; these do the same. Whoever has that guard lives in a network of friends and takes all others for dead: what it stores
//! is stored with the friends, and what these do not have it does not find. (Path bias; Tor's guard-spec has clients count failures
//! and give up such a guard. Here failures are common, as where half of the nodes are dead; so two guards are compared.)
//!
//! ```text
//!                 ┌─ scouts ─► the guard ──────────┐
//! any nodes    ◄──┤                                ├─► much more comes by the second: it is the guard from now on
//!                 └─ scouts ─► the sample's next ──┘
//! ```

use super::{Session, lock};
use crate::clock::moment;
use crate::policy::GUARD_STAGGER;
use futures::stream::StreamExt;
use palimpsest_proto::flow::Scouting;
use palimpsest_proto::ids::NodeId;
use rand::seq::IteratorRandom;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Less than this is assumed of nodes that were not tried: then the guard is doubted.
const DOUBTED_BELOW: f64 = 0.4;
/// Unless such a part of all nodes, itself included, answered by way of it of late: then no other guard can reach as many beside these
/// ([`is_better`]), and it is the dead that are left to be asked.
const DOUBTED_REACH: f64 = 0.5;
/// Guards that are asked in one run: each learns that somebody at this address is a client.
pub(crate) const OPINIONS_MAX: usize = 3;
/// Nodes, drawn by chance, that are sought by way of both guards.
const SOUGHT_MAX: usize = 64;
/// Parties of scouts by way of each.
const PARTIES: usize = 3;
/// The least that a scout is waited for: of the way by another guard nothing is known yet.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The second guard is the better one if those whom it alone reaches are so many times as many as those whom the first one alone
/// reaches, and these more: by chance that is rare. They are also more than those whom both reach: else a few that are silent
/// to the first one's clients only would be enough to talk these out of it. Friends of the first one answer by way of both; where two
/// networks know nothing of each other, no side is the right one.
const BETTER_TIMES: usize = 2;
const BETTER_BY: usize = 3;

impl Session {
    /// Compares the guard with others, until one reaches many to whom the `doubted` one let nothing through: that is the guard from now on.
    /// Whether the guard is another one now.
    pub(crate) async fn doubt_guard(&self, doubted: NodeId) -> bool {
        for _ in 0..OPINIONS_MAX {
            if self.compare_guard(doubted).await {
                return true;
            }
        }
        false
    }

    /// Compares the guard with the next one of the sample that answers. Whether the guard is another one now.
    pub(crate) async fn compare_guard(&self, doubted: NodeId) -> bool {
        let _mending = self.mending.lock().await;
        self.guard() != doubted || self.compare(doubted).await
    }

    /// The same, by whoever is mending.
    pub(super) async fn compare(&self, doubted: NodeId) -> bool {
        let Some(other) = self.second_guard(doubted).await else { return false };
        let sought = self.sought(&[doubted, other]);
        let (reached, reached_by_other) = tokio::join!(self.reaches(doubted, &sought), self.reaches(other, &sought));
        // Who breaks off before the end has asked nobody, and asks the same one again.
        lock(&self.opinions).push(other);
        if !is_better(&sought, &reached, &reached_by_other) {
            return false;
        }
        lock(&self.guards).demote(&doubted);
        // If it cannot be written, the next run finds out again.
        let _ = self.save_guards();
        *self.guard.write().unwrap_or_else(PoisonError::into_inner) = other;
        // What the former one said of who is lost counts no more.
        lock(&self.news).at = None;
        let now = moment();
        {
            let outcomes = &mut self.experience().outcomes;
            outcomes.forgive();
            reached_by_other.iter().for_each(|id| outcomes.answer(&[*id], now));
        }
        *lock(&self.mended) = now;
        self.guards_found_out.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// How many guards this run has given up since another one let much more through.
    pub(crate) fn guards_found_out(&self) -> u32 {
        self.guards_found_out.load(Ordering::Relaxed)
    }

    /// Whether so many seem dead that it may be the guard's doing, and no other one was asked yet.
    pub(crate) fn is_guard_doubtful(&self) -> bool {
        if self.own.is_some() || !lock(&self.opinions).is_empty() {
            return false;
        }
        let table = self.table();
        let outcomes = &self.experience().outcomes;
        let reached = 1 + outcomes.proven(&table, moment()).count();
        outcomes.base() < DOUBTED_BELOW && (reached as f64) < DOUBTED_REACH * table.len() as f64
    }

    /// Whether another guard may be asked. A node's session learns who lives by its connections.
    fn opinions_left(&self) -> bool {
        self.own.is_none() && lock(&self.opinions).len() < OPINIONS_MAX
    }

    /// The next guard of the sample that answers, and was not asked before.
    async fn second_guard(&self, doubted: NodeId) -> Option<NodeId> {
        while self.opinions_left() {
            let asked: Vec<NodeId> = lock(&self.opinions).iter().copied().chain([doubted]).collect();
            let Some(next) = self.next_guard(&asked) else { break };
            if self.net.connect(Some(next), self.addresses_of(&next), GUARD_STAGGER * 2).await.is_ok() {
                // It knows from now on that somebody at this address is a client, whether it is the better one or not: so it comes before
                // those of the sample that know nothing yet.
                if lock(&self.guards).reached(&next) {
                    // If it cannot be written, the next run draws the same sample in its old order.
                    let _ = self.save_guards();
                }
                return Some(next);
            }
            lock(&self.guards).failed(&next, moment());
            lock(&self.opinions).push(next);
        }
        None
    }

    /// Holders drawn by chance, whatever is said of them or was found out.
    fn sought(&self, guards: &[NodeId]) -> Vec<NodeId> {
        let table = self.table();
        let holders = table.iter().filter(|(id, node)| node.signed().roles.holds && !guards.contains(id));
        holders.map(|(id, _)| *id).sample(&mut rand::rng(), SOUGHT_MAX)
    }

    /// Which nodes answer by way of `guard`: of the `sought`, and of the relays on the way, which are any at first.
    async fn reaches(&self, guard: NodeId, sought: &[NodeId]) -> BTreeSet<NodeId> {
        let mut reached = BTreeSet::new();
        for _ in 0..PARTIES {
            let holders = sought.iter().filter(|id| !reached.contains(*id)).copied().collect();
            let relays = Scouting::relays(&self.table(), reached.iter().copied().collect(), &guard);
            let mut flying = self.scouts(guard, holders, &relays, WAIT_MIN);
            while let Some((nodes, came)) = flying.next().await {
                if came {
                    reached.extend(nodes);
                }
            }
        }
        reached
    }
}

/// Whether the second guard is so much better that the first one is to blame.
fn is_better(sought: &[NodeId], first: &BTreeSet<NodeId>, second: &BTreeSet<NodeId>) -> bool {
    let count = |by_first: bool, by_second: bool| {
        sought.iter().filter(|id| (first.contains(id), second.contains(id)) == (by_first, by_second)).count()
    };
    let alone = count(false, true);
    alone >= BETTER_BY + BETTER_TIMES * count(true, false) && alone > count(true, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(range: std::ops::Range<u8>) -> BTreeSet<NodeId> {
        range.map(|byte| NodeId([byte; 32])).collect()
    }

    #[test]
    fn only_a_guard_that_hides_most_of_the_living_is_worse() {
        let sought: Vec<NodeId> = nodes(0..64).into_iter().collect();
        let is_better = |first, second| is_better(&sought, &nodes(first), &nodes(second));
        // A fifth are friends of the first one, or two fifths.
        assert!(is_better(0..13, 0..64) && is_better(0..26, 0..60));
        // Half of the network is dead, and either misses some.
        assert!(!is_better(0..30, 2..32) && !is_better(2..30, 0..32));
        // A third stay silent to what comes by the first one.
        assert!(!is_better(0..40, 0..60));
        // Nothing comes by either.
        assert!(!is_better(0..0, 0..2));
        // Two networks that know nothing of each other.
        assert!(!is_better(0..30, 30..64) && !is_better(0..20, 20..50));
    }
}
