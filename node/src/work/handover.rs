//! Hands shards over that belong elsewhere: to nodes that came and are nearer, or, when the node drains, all of them.
//!
//! A holder does not know a stripe, and so not where exactly a publisher would put a shard now. But most shards belong with the
//! node nearest to them; so a node that came takes over what it is nearer to than whoever has it: of a network's shards about
//! 1/n. And readers and wardens look among the 20 nearest; who is no longer one of these hands over in any case. What was
//! diverted, since these were full, stays until one of them says that it has room ([`Giver`]). What was handed over is
//! served on until its slot is needed.
//!
//! [`Giver`]: palimpsest_proto::flow::Giver

use super::newcomers::Newcomers;
use super::upkeep::{DRAIN_AGAIN, Upkeep};
use super::{Progress, Step, Work, WorkError, WorkStatus, blocking};
use crate::draining::Part;
use futures::future::BoxFuture;
use palimpsest_client::Parcel;
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::time::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Shards looked at in one step, and shards handed over together (1 MiB).
const STEP_SHARDS: usize = 256;
const TOGETHER: usize = 16;
/// How long it waits for a network.
const NOT_READY: Duration = Duration::from_secs(2);

/// See the module's description.
pub struct Handover {
    upkeep: Upkeep,
    drain_begun: watch::Receiver<bool>,
    /// Whether the round under way began after draining did.
    drains: bool,
    came: Newcomers,
    /// Those that came of late, for the round that is under way.
    newcomers: BTreeSet<NodeId>,
    cursor: Option<Locator>,
    /// Shards that were listed and wait to be handed over, and to whom.
    waiting: Vec<(Locator, Timestamp, Vec<NodeId>)>,
    next_round: Instant,
    seen: u64,
    finished_at: Option<Timestamp>,
    rounds: u64,
    handed_over: u64,
    /// Shards of this round that nobody took.
    refused: u64,
}

impl Handover {
    /// A work that begins its first round after the first period.
    pub fn new(upkeep: Upkeep) -> Handover {
        let next_round = Instant::now() + upkeep.config.handover_every;
        Handover {
            drain_begun: upkeep.draining.begun(),
            drains: false,
            upkeep,
            came: Newcomers::default(),
            newcomers: BTreeSet::new(),
            cursor: None,
            waiting: Vec::new(),
            next_round,
            seen: 0,
            finished_at: None,
            rounds: 0,
            handed_over: 0,
            refused: 0,
        }
    }

    async fn advance(&mut self) -> Result<Step, WorkError> {
        if !self.upkeep.steward.is_ready().await {
            return Ok(Step::Idle(NOT_READY));
        }
        self.came.begin(|| self.upkeep.steward.holders());
        if !self.waiting.is_empty() {
            let left = self.waiting.split_off(self.waiting.len().min(TOGETHER));
            let some = std::mem::replace(&mut self.waiting, left);
            self.hand_over(some).await?;
            self.end_round_if_over();
            return Ok(Step::Busy);
        }
        let now = Instant::now();
        if self.cursor.is_none() && self.next_round > now {
            return Ok(Step::Idle(self.next_round - now));
        }
        let (store, after) = (self.upkeep.store.clone(), self.cursor);
        let listed = blocking(move || store.shards_after(after, STEP_SHARDS)).await??;
        if after.is_none() {
            (self.seen, self.refused) = (0, 0);
            self.drains = self.upkeep.draining.is_on();
            self.newcomers = self.came.look(self.upkeep.steward.holders());
        }
        self.seen += listed.len() as u64;
        self.cursor = listed.last().map(|(locator, _)| *locator);
        let wall = self.upkeep.steward.wall().now();
        let ended = listed.len() < STEP_SHARDS;
        let wanted = listed.into_iter().filter(|(_, lease)| *lease > wall);
        for (locator, lease) in wanted {
            let to = self.upkeep.steward.receivers(&locator, self.drains, &self.newcomers);
            if !to.is_empty() {
                self.waiting.push((locator, lease, to));
            } else if self.drains {
                // It has to go, and nobody is known who could have it.
                self.refused += 1;
            }
        }
        if ended {
            self.cursor = None;
            self.next_round = now + self.upkeep.config.handover_every;
            self.finished_at = Some(wall);
            self.rounds += 1;
        }
        self.end_round_if_over();
        Ok(Step::Busy)
    }

    /// Tells how much is left, when a round that drains is over.
    fn end_round_if_over(&mut self) {
        if self.drains && self.cursor.is_none() && self.waiting.is_empty() {
            self.upkeep.draining.ended(Part::Shards, self.refused);
            if self.refused > 0 {
                self.next_round = Instant::now() + DRAIN_AGAIN;
            }
        }
    }

    async fn hand_over(&mut self, shards: Vec<(Locator, Timestamp, Vec<NodeId>)>) -> Result<(), WorkError> {
        let mut parcels = Vec::new();
        for (locator, lease_until, to) in shards {
            // What is damaged is nobody's gain.
            if let Some(shard) = self.upkeep.store.get(locator).await? {
                parcels.push(Parcel { shard, lease_until, to });
            }
        }
        self.upkeep.budget.spend((parcels.len() * SHARD_BYTES) as u64).await;
        let taken = self.upkeep.steward.hand_over(&parcels).await;
        for (parcel, taken) in parcels.into_iter().zip(taken) {
            if taken {
                self.upkeep.store.release(parcel.shard.locator(), parcel.lease_until).await?;
                self.handed_over += 1;
            } else {
                self.refused += 1;
            }
        }
        Ok(())
    }
}

impl Work for Handover {
    fn name(&self) -> &'static str {
        "handover"
    }

    fn step(&mut self) -> BoxFuture<'_, Result<Step, WorkError>> {
        Box::pin(self.advance())
    }

    fn wait(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.drain_begun.changed().await.is_err() {
                std::future::pending().await
            }
            self.next_round = Instant::now();
        })
    }

    fn status(&self) -> WorkStatus {
        WorkStatus {
            progress: Some(Progress { at: self.seen, of: self.upkeep.store.usage().shards }),
            finished_at: self.finished_at,
            totals: vec![("rounds", self.rounds), ("handed_over", self.handed_over), ("refused", self.refused)],
        }
    }

    /// It waits for others and keeps within its budget.
    fn tranquility(&self) -> f64 {
        0.0
    }
}
