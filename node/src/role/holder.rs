//! The holder: the last hop of requests. It opens them, asks its [`Service`], and sends the answer on the reply block.

use super::RoleCpu;
use super::relay::Arrival;
use crate::audits::Audits;
use crate::draining::Draining;
use crate::hostile::{Mark, Onlooker, Sight};
use crate::stamps::Stamps;
use crate::store::{Store, StoreError};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
pub use palimpsest_client::Service;
use palimpsest_client::clock::{Wall, moment};
use palimpsest_client::net::Net;
use palimpsest_proto::coding::{audit, check_record};
use palimpsest_proto::ids::{NodeId, RecordAddress};
use palimpsest_proto::message::{Answer, Ask, Due, Refusal, Request};
use palimpsest_proto::onion::Arrived;
use palimpsest_proto::params::{CLOCK_SKEW_SECONDS, LEASE_SECONDS_MAX};
use palimpsest_proto::time::Timestamp;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

/// Requests worked on at once (4 MB of shards); the store groups what waits together into one commit.
const ANSWERING_MAX: usize = 64;
/// What a busy holder asks for as a pause before the next try, in milliseconds.
const BUSY_RETRY_MS: u32 = 500;
/// A record that is there already is news if its lease grows by so many seconds: leases end with days. Whoever prolongs by
/// less, to have this node send it on each time, waits for the round.
const NEWS_LEASE_SECONDS: u64 = 86_400;

/// The honest service over a store.
pub struct Keeper {
    store: Store,
    id: NodeId,
    /// Whether it serves the node itself, which does not pay itself.
    own: bool,
    /// Who is told which records came.
    news: Option<mpsc::Sender<RecordAddress>>,
    draining: Draining,
    /// What the node's warden did.
    audits: Audits,
    /// How often it was paid.
    stamps: Stamps,
    wall: Wall,
}

impl Keeper {
    /// Serves out of `store`, for the node `id`: stamps are made out to it.
    pub fn new(store: Store, id: NodeId) -> Keeper {
        Keeper {
            store,
            id,
            own: false,
            news: None,
            draining: Draining::default(),
            audits: Audits::default(),
            stamps: Stamps::default(),
            wall: Wall::default(),
        }
    }

    /// The same for what the node asks of itself.
    pub fn own(store: Store, id: NodeId) -> Keeper {
        Keeper { own: true, ..Keeper::new(store, id) }
    }

    /// Tells `news` which records came or were prolonged, as long as it has room.
    pub fn with_news(self, news: mpsc::Sender<RecordAddress>) -> Keeper {
        Keeper { news: Some(news), ..self }
    }

    /// Measures leases by that clock.
    pub fn by(self, wall: Wall) -> Keeper {
        Keeper { wall, ..self }
    }

    /// Tells of these audits.
    pub fn with_audits(self, audits: Audits) -> Keeper {
        Keeper { audits, ..self }
    }

    /// Counts stamps there.
    pub fn with_stamps(self, stamps: Stamps) -> Keeper {
        Keeper { stamps, ..self }
    }

    /// Takes nothing new while `draining` is on.
    pub fn until(self, draining: Draining) -> Keeper {
        Keeper { draining, ..self }
    }

    async fn put_record(&self, address: RecordAddress, record: Bytes, lease_until: Timestamp) -> Result<(), Refusal> {
        check_record(address, record.clone()).map_err(|_| Refusal::BadRecord)?;
        let before = self.store.record_lease(address).map_err(|e| refusal(&e))?;
        self.store.put_record(address, record, lease_until).await.map_err(|e| refusal(&e))?;
        if let Some(news) = &self.news
            && before.is_none_or(|before| before.plus(NEWS_LEASE_SECONDS) <= lease_until)
        {
            // What does not get through is found in the next round.
            let _ = news.try_send(address);
        }
        Ok(())
    }

    async fn try_answer(&self, ask: Ask) -> Result<Answer, Refusal> {
        // Before the disk is touched.
        if let Some(due) = ask.due(&self.id) {
            if self.draining.is_on() {
                return Err(Refusal::Draining);
            }
            self.check_due(&due)?;
        }
        match ask {
            Ask::Store { lease_until, shard, .. } => {
                let locator = shard.locator();
                self.store.put(shard, lease_until).await.map_err(|e| refusal(&e))?;
                Ok(Answer::Stored { locator })
            }
            Ask::Fetch { locator } => match self.store.get(locator).await.map_err(|e| refusal(&e))? {
                Some(shard) => Ok(Answer::Shard(shard.bytes().clone())),
                None => Err(Refusal::Absent),
            },
            Ask::Probe { locators } => Ok(Answer::Present(self.store.has(&locators).map_err(|e| refusal(&e))?)),
            Ask::PutRecord { lease_until, address, record, .. } => {
                self.put_record(address, record, lease_until).await?;
                Ok(Answer::RecordStored { address })
            }
            Ask::PutRecords { lease_until, records, .. } => {
                // Together, so that the store makes one commit of them.
                let puts = records
                    .into_iter()
                    .map(async |(address, record)| self.put_record(address, record, lease_until).await.is_ok());
                let kept = join_all(puts).await.into_iter().enumerate();
                Ok(Answer::Present(kept.fold(0, |bits, (place, kept)| bits | u32::from(kept) << place)))
            }
            Ask::GetRecord { address } => match self.store.get_record(address).await.map_err(|e| refusal(&e))? {
                Some(record) => Ok(Answer::Record(record)),
                None => Err(Refusal::Absent),
            },
            Ask::Audit { locator, leaf } => match self.store.get(locator).await.map_err(|e| refusal(&e))? {
                Some(shard) => Ok(Answer::Proof(audit::prove(&shard, leaf))),
                None => Err(Refusal::Absent),
            },
            Ask::Renew { lease_until, locators, .. } => {
                Ok(Answer::Present(self.store.renew(&locators, lease_until).await.map_err(|e| refusal(&e))?))
            }
            Ask::ProbeRecords { lease_until, addresses } => {
                Ok(Answer::Present(self.store.has_records(&addresses, lease_until).map_err(|e| refusal(&e))?))
            }
            Ask::LastAudits { roots } => Ok(Answer::Ages(self.audits.ages(&roots, moment()))),
        }
    }

    /// Refuses leases out of range, and stamps that do not pay what is asked of everybody at the moment.
    fn check_due(&self, due: &Due) -> Result<(), Refusal> {
        check_lease(due.lease_until, self.wall.now())?;
        if self.own {
            return Ok(());
        }
        let bits = due.price(self.store.usage().fill(), self.wall.now());
        let paid = due.stamp.verify(&due.puzzle, bits);
        if bits > 0 {
            self.stamps.note(paid.is_ok());
        }
        paid.map_err(|_| Refusal::Price { bits })
    }
}

impl Service for Keeper {
    fn answer(&self, ask: Ask) -> BoxFuture<'_, Option<Answer>> {
        Box::pin(async move { Some(self.try_answer(ask).await.unwrap_or_else(Answer::Refused)) })
    }
}

fn check_lease(until: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    // A day more than the longest lease: publishers round up.
    if until > now.plus(LEASE_SECONDS_MAX + 86_400 + CLOCK_SKEW_SECONDS) {
        Err(Refusal::LeaseTooLong)
    } else if until.plus(CLOCK_SKEW_SECONDS) < now {
        Err(Refusal::LeaseOver)
    } else {
        Ok(())
    }
}

fn refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::QuotaReached | StoreError::DiskFull => Refusal::Full,
        StoreError::ReadOnly => Refusal::ReadOnly,
        StoreError::RecordTooLong(_) => Refusal::BadRecord,
        StoreError::Disk { .. } => Refusal::Failed,
        _ => Refusal::Busy { retry_ms: BUSY_RETRY_MS },
    }
}

/// What it takes to serve.
#[derive(Clone)]
pub struct Serving {
    /// Who answers.
    pub service: Arc<dyn Service>,
    /// Where answers leave.
    pub net: Net,
    /// Where the processor time goes.
    pub cpu: Arc<RoleCpu>,
    /// Who looks on, in tests.
    pub onlooker: Option<Onlooker>,
}

/// Serves `arrivals` until `stop`, then finishes what it has begun.
pub async fn serve(mut arrivals: mpsc::Receiver<Arrival>, serving: Serving, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(ANSWERING_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let Arrival { arrived, seen, place } = tokio::select! {
            () = stop.cancelled() => break,
            arrived = arrivals.recv() => match arrived {
                Some(arrived) => arrived,
                None => break,
            },
        };
        let serving = serving.clone();
        tokio::spawn(async move {
            answer(arrived, seen, &serving).await;
            drop((permit, place));
        });
    }
    // All permits back: what was begun has ended. Whoever awaits this has a deadline.
    let _ = permits.acquire_many(ANSWERING_MAX as u32).await;
}

async fn answer(arrived: Arrived, seen: Option<(NodeId, Mark)>, serving: &Serving) {
    let Serving { service, net, cpu, onlooker } = serving;
    // A request that does not open or decode is dropped without a sign, like any other bad packet.
    let Ok(message) = cpu.holder.on(|| arrived.open()) else { return };
    let Ok(Request { reply, ask }) = cpu.naming.on(|| Request::decode(message)) else { return };
    let watched = onlooker.as_ref().zip(seen);
    if let Some((Onlooker(tell), (from, came))) = watched {
        tell(Sight::Asked { from, came, ask: ask.clone() });
    }
    let Some(answer) = service.answer(ask).await else { return };
    let parts = answer.encode_parts();
    if let Ok((first, packet)) = cpu.holder.on(|| reply.seal(parts.size(), &parts.as_slices())) {
        if let Some((Onlooker(tell), (_, came))) = watched {
            tell(Sight::Answered { came, to: first, size: packet.size(), left: Mark::of(&packet) });
        }
        // A full link drops the reply; the asker asks another way.
        let _ = net.send(first, packet);
    }
}

#[cfg(test)]
mod tests;
