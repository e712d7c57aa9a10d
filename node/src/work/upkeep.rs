//! What the works that keep content alive have in common: whom they ask by, and how much they may move.

use crate::audits::Audits;
use crate::draining::Draining;
use crate::store::Store;
use palimpsest_client::Steward;
use palimpsest_client::clock::{moment, sleep_until};
use palimpsest_proto::flow::{Budget, RepairPolicy};
use palimpsest_proto::ids::NodeId;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// When and how much a node works for what others published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UpkeepConfig {
    /// How long one warden is on duty for a stripe.
    pub turn: Duration,
    /// How often a stripe is audited.
    pub audit_every: Duration,
    /// How often each record is looked for at the nodes near its address.
    pub records_every: Duration,
    /// How often records that came of late are spread to the others that are near: so seldom that those of one publish share
    /// packets, and that the publish is over; so often that the few nodes that were given one live.
    pub spread_every: Duration,
    /// How often it is looked who came, and whether shards and records belong with them.
    pub handover_every: Duration,
    /// When a stripe is repaired.
    pub repair: RepairPolicy,
    /// Bytes of shards and records that all of it may fetch and send a second, on average.
    pub bytes_per_second: u64,
}

impl Default for UpkeepConfig {
    fn default() -> UpkeepConfig {
        UpkeepConfig {
            turn: Duration::from_secs(60),
            audit_every: Duration::from_secs(3_600),
            records_every: Duration::from_secs(7_200),
            spread_every: Duration::from_secs(60),
            handover_every: Duration::from_secs(600),
            repair: RepairPolicy::default(),
            bytes_per_second: 256 << 10,
        }
    }
}

/// A budget that several works share: whoever overdraws it has the next one wait.
#[derive(Clone, Debug)]
pub struct SharedBudget(Arc<Mutex<Budget>>);

impl SharedBudget {
    /// `rate` bytes a second, of which those of eight seconds may be saved up.
    pub fn new(rate: u64) -> SharedBudget {
        SharedBudget(Arc::new(Mutex::new(Budget::new(rate, rate.saturating_mul(8), moment()))))
    }

    /// Waits until something may be begun, and takes `bytes` out.
    pub async fn spend(&self, bytes: u64) {
        loop {
            let now = moment();
            let ready = self.lock().ready_at(now);
            if ready <= now {
                break;
            }
            sleep_until(ready).await;
        }
        self.lock().spend(bytes, moment());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Budget> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A work that has not handed all over begins again after this time.
pub(super) const DRAIN_AGAIN: Duration = Duration::from_secs(10);

/// What each of the works is made of.
#[derive(Clone)]
pub struct Upkeep {
    /// What the node keeps.
    pub store: Store,
    /// By whom others are asked.
    pub steward: Steward,
    /// The node.
    pub own: NodeId,
    /// When and how much.
    pub config: UpkeepConfig,
    /// Whether all is to be handed over.
    pub draining: Draining,
    /// What may be moved.
    pub budget: SharedBudget,
    /// Where it is noted which stripes were audited.
    pub audits: Audits,
}
