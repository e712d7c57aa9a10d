//! A second opinion: whether it is the guard that makes the network seem dead.
//!
//! A guard does not see where a request goes, but by which relay it goes first. It can let through what goes by its friends and drop
//! the rest; these do the same. Whoever has that guard lives in a network of friends and takes all others for dead: what it stores
//! is stored with the friends, and what these do not have it does not find. (Path bias; Tor's guard-spec has clients count failures
//! and give up such a guard. Here failures are common, as where half of the nodes are dead; so two guards are compared.)
//!
//! ```text
//!                 ┌─ scouts ─► the guard ──────────┐
//! silent nodes ◄──┤                                ├─► much more comes by the second: it is the guard from now on
//!                 └─ scouts ─► the sample's next ──┘
//! ```

use super::scouting::PROVEN_RELAYS_MIN;
use super::{Session, lock};
use crate::clock::moment;
use crate::policy::GUARD_STAGGER;
use futures::stream::StreamExt;
use palimpsest_proto::ids::NodeId;
use rand::seq::IteratorRandom;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// Less than this is assumed of nodes that were not tried: then the guard is doubted.
const DOUBTED_BELOW: f64 = 0.4;
/// Guards that are asked in one run: each learns that somebody at this address is a client.
pub(crate) const OPINIONS_MAX: usize = 3;
/// Silent nodes that are sought by way of both guards.
const SOUGHT_MAX: usize = 64;
/// Parties of scouts by way of each.
const PARTIES: usize = 3;
/// The second guard is the better one if those whom it alone reaches are so many times as many as those whom the first one alone
/// reaches, and these more: by chance that is rare. Friends of the first one answer by way of both; where two networks know nothing of
/// each other, no side is the right one.
const BETTER_TIMES: usize = 2;
const BETTER_BY: usize = 3;

impl Session {
    /// Compares the guard with others, until one reaches many to whom the `doubted` one let nothing through: that is the guard from now on.
    /// Whether the guard is another one now.
    pub(crate) async fn doubt_guard(&self, doubted: NodeId) -> bool {
        while self.opinions_left() {
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
        let sought = self.silent_nodes(&[doubted, other]);
        let any_relays: Vec<NodeId> = self.table().relays().to_vec();
        let (reached, reached_by_other) =
            tokio::join!(self.reaches(doubted, &sought, self.scouted_by()), self.reaches(other, &sought, any_relays));
        let alone = |by: &BTreeSet<NodeId>, and_not: &BTreeSet<NodeId>| {
            sought.iter().filter(|id| by.contains(id) && !and_not.contains(id)).count()
        };
        if alone(&reached_by_other, &reached) < BETTER_BY + BETTER_TIMES * alone(&reached, &reached_by_other) {
            return false;
        }
        {
            let mut guards = lock(&self.guards);
            guards.demote(&doubted, moment());
            guards.reached(&other);
        }
        *self.guard.write().unwrap_or_else(PoisonError::into_inner) = other;
        // What the former one said of who is lost counts no more.
        lock(&self.news).at = None;
        let now = moment();
        let outcomes = &mut self.experience().outcomes;
        outcomes.forgive();
        reached_by_other.iter().for_each(|id| outcomes.answer(&[*id], now));
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
        self.own.is_none()
            && self.experience().outcomes.base() < DOUBTED_BELOW
            && lock(&self.scouting).opinions.is_empty()
    }

    /// Whether another guard may be asked. A node's session learns who lives by its connections.
    fn opinions_left(&self) -> bool {
        self.own.is_none() && lock(&self.scouting).opinions.len() < OPINIONS_MAX
    }

    /// The next guard of the sample that answers, and was not asked before.
    async fn second_guard(&self, doubted: NodeId) -> Option<NodeId> {
        while self.opinions_left() {
            let asked: Vec<NodeId> = lock(&self.scouting).opinions.iter().copied().chain([doubted]).collect();
            let Some(next) = self.next_guard(&asked) else { break };
            lock(&self.scouting).opinions.push(next);
            if self.net.connect(Some(next), self.addresses_of(&next), GUARD_STAGGER * 2).await.is_ok() {
                return Some(next);
            }
            lock(&self.guards).failed(&next, moment());
        }
        None
    }

    /// Holders that have not shown that they live, whatever is said of them or was found out.
    fn silent_nodes(&self, guards: &[NodeId]) -> Vec<NodeId> {
        let now = moment();
        let table = self.table();
        let experience = self.experience();
        let is_silent = |id: &NodeId| !guards.contains(id) && !experience.outcomes.is_proven(&table, id, now);
        let silent = table.iter().filter(|(id, node)| node.signed().roles.holds && is_silent(id));
        silent.map(|(id, _)| *id).sample(&mut rand::rng(), SOUGHT_MAX)
    }

    /// Which nodes answer by way of `guard`: of the `sought`, and of the relays on the way, which are the `known` at first.
    async fn reaches(&self, guard: NodeId, sought: &[NodeId], known: Vec<NodeId>) -> BTreeSet<NodeId> {
        let mut reached = BTreeSet::new();
        for _ in 0..PARTIES {
            let holders = sought.iter().filter(|id| !reached.contains(*id)).copied().collect();
            let mut relays =
                if reached.len() >= PROVEN_RELAYS_MIN { reached.iter().copied().collect() } else { known.clone() };
            relays.retain(|id| *id != guard);
            let mut flying = self.scouts(guard, holders, &relays);
            while let Some((nodes, came)) = flying.next().await {
                if came {
                    reached.extend(nodes);
                }
            }
        }
        reached
    }
}
