//! Putting a stripe's missing shards back: ciphertext only, by the same onions as any fetch and publish.
//!
//! ```text
//! Found ─► Gather: any k of those that are there ─► coding::rebuild_stripe ─► Scatter: the missing ones ─► receipts
//! ```

use crate::clock::moment;
use crate::lane::{Lane, Way};
use crate::said::{Got, Put};
use crate::session::Session;
use crate::survey::Found;
use palimpsest_proto::coding::{self, CodingError, Descriptor, Shard};
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::{Gather, GatherVerdict, Scatter, ScatterOutcome};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::Ask;
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::select::{Whereabouts, diversions, place};
use palimpsest_proto::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error as ThisError;

/// How long a round pauses in which nothing could be done.
const IDLE_PAUSE: Duration = Duration::from_millis(50);

/// Why a repair was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ThisError)]
pub enum RepairError {
    /// Fewer shards than are needed could be had.
    #[error("{have} of {need} needed shards found")]
    TooFew {
        /// Shards that came.
        have: usize,
        /// Shards that are needed.
        need: usize,
    },
    /// What the descriptor names are no shards of one stripe: it is a forgery, and nobody can repair it.
    #[error("no stripe: what the descriptor names does not belong together")]
    NoStripe,
    /// The work was broken off.
    #[error("the repair was broken off")]
    BrokenOff,
}

/// What a repair did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// Shards that are there now and were not before.
    pub placed: Vec<u8>,
    /// Who acknowledged each of them.
    pub holders: Vec<NodeId>,
    /// Shards that found no holder.
    pub short: usize,
    /// Bytes of shards fetched and stored, those that were stored in vain included.
    pub bytes: u64,
}

/// Puts the shards `missing` of the stripe back, each until `lease_until`.
///
/// # Errors
/// `TooFew` if fewer than k shards can be had; `NoStripe` if they do not belong together.
pub(crate) async fn repair(
    session: &Arc<Session>,
    descriptor: &Descriptor,
    found: &Found,
    missing: &[u8],
    lease_until: Timestamp,
) -> Result<Repaired, RepairError> {
    if missing.is_empty() {
        return Ok(Repaired::default());
    }
    let (got, gathered) = gather(session, descriptor, found).await?;
    let of = descriptor.clone();
    let rebuilt = tokio::task::spawn_blocking(move || coding::rebuild_stripe(&of, got)).await;
    let stripe = rebuilt.map_err(|_| RepairError::BrokenOff)?.map_err(|error| match error {
        CodingError::Inconsistent | CodingError::Repeated(_) => RepairError::NoStripe,
        // A mistake of ours says nothing of the stripe.
        _ => RepairError::BrokenOff,
    })?;
    let shards = (0u8..).zip(stripe.shards).map(|(i, shard)| missing.contains(&i).then_some(shard)).collect();
    let mut repaired = scatter(session, descriptor, &found.holders, shards, lease_until).await;
    repaired.bytes += gathered;
    Ok(repaired)
}

async fn gather(
    session: &Arc<Session>,
    descriptor: &Descriptor,
    found: &Found,
) -> Result<(Vec<(u8, Shard)>, u64), RepairError> {
    let k = descriptor.geometry().k();
    let mut gather = Gather::from_holders(k, &found.holders);
    let mut lane: Lane<(u8, NodeId), Got> = Lane::new(session.clone());
    let mut used: HashMap<u8, Vec<Way>> = HashMap::new();
    let (mut got, mut bytes): (Vec<(u8, Shard)>, u64) = (Vec::new(), 0);
    loop {
        let now = moment();
        while lane.has_room() {
            let ask = {
                let table = session.table();
                let experience = session.experience();
                let path = experience.outcomes.path_chance();
                // The holders are known; nobody else is asked.
                gather.poll(now, path, |id| session.chance(&table, &experience, id, now), |_| Whereabouts::default())
            };
            let Some(ask) = ask else { break };
            let locator = descriptor.locators()[usize::from(ask.shard)];
            let ways = used.entry(ask.shard).or_default();
            lane.start((ask.shard, ask.node), ask.node, Ask::Fetch { locator }, ways, move |answer| {
                Got::check(&locator, answer)
            });
        }
        match gather.verdict() {
            None => {}
            Some(GatherVerdict::Complete) => return Ok((got, bytes)),
            Some(GatherVerdict::Unreachable { .. } | GatherVerdict::Absent { .. }) => {
                return Err(RepairError::TooFew { have: got.len(), need: k });
            }
        }
        let Some(done) = next(&mut lane, gather.poll_timeout(now)).await else { continue };
        let (shard, holder) = done.tag;
        let outcome = Got::outcome(&done.result);
        gather.handle(moment(), shard, &holder, outcome);
        if let Ok(Got::Shard(content)) = done.result {
            bytes += SHARD_BYTES as u64;
            if !got.iter().any(|(index, _)| *index == shard) {
                got.push((shard, content));
            }
        }
    }
}

/// Places those shards that are given; the others are where `holders` says, or stay away.
pub(crate) async fn scatter(
    session: &Arc<Session>,
    descriptor: &Descriptor,
    holders: &[Option<NodeId>],
    mut shards: Vec<Option<Shard>>,
    lease_until: Timestamp,
) -> Repaired {
    let wanted = shards.iter().flatten().count();
    let mut scatter = {
        let placement = place(&session.table(), descriptor.locators(), descriptor.geometry().k());
        Scatter::some(&placement, holders, |index| shards[index].is_some())
    };
    let mut lane: Lane<(u8, NodeId), Put> = Lane::new(session.clone());
    let mut used: HashMap<u8, Vec<Way>> = HashMap::new();
    let mut repaired = Repaired::default();
    loop {
        let now = moment();
        while lane.has_room() {
            let send = {
                let table = session.table();
                let experience = session.experience();
                let chance = |id: &NodeId| {
                    let full = experience.outcomes.is_full(id, now);
                    if full { 0.0 } else { session.chance(&table, &experience, id, now) }
                };
                scatter.poll(now, chance, |shard| diversions(&table, &descriptor.locators()[shard]))
            };
            let Some(send) = send else { break };
            let Some(shard) = shards[usize::from(send.shard)].clone() else { break };
            let locator = shard.locator();
            let ask = Ask::Store { lease_until, stamp: Stamp::NONE, shard };
            let ways = used.entry(send.shard).or_default();
            lane.start((send.shard, send.node), send.node, ask, ways, move |answer| Put::check(&locator, &answer));
        }
        if scatter.verdict().is_some() {
            repaired.short = wanted - repaired.placed.len();
            return repaired;
        }
        let Some(done) = next(&mut lane, scatter.poll_timeout(now)).await else { continue };
        let (index, holder) = done.tag;
        let outcome = Put::outcome(session, holder, &done.result);
        scatter.handle(moment(), index, &holder, outcome);
        if outcome == ScatterOutcome::Stored {
            repaired.bytes += SHARD_BYTES as u64;
            if shards[usize::from(index)].take().is_some() {
                repaired.placed.push(index);
                repaired.holders.push(holder);
            }
        }
    }
}

/// The lane's next news. Where nothing is on its way and nothing waits, which the machines exclude, a pause keeps the loop
/// from spinning.
pub(crate) async fn next<T: Clone, R: Send + 'static>(
    lane: &mut Lane<T, R>,
    wake: Option<palimpsest_proto::time::Moment>,
) -> Option<crate::lane::Done<T, R>> {
    if lane.is_idle() && wake.is_none() {
        tokio::time::sleep(IDLE_PAUSE).await;
        return None;
    }
    lane.next(wake).await
}
