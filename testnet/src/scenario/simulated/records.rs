//! Descriptor records, as `client::records` and `client::fetch` put and find them.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::{HuntOutcome, HuntVerdict, RecordHunt, RecordSpread, SpreadOutcome};
use palimpsest_proto::ids::{NodeId, RootAddress};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::RECORD_ADDRESSES;
use palimpsest_proto::select::{living_candidates, with_region};
use palimpsest_proto::time::Timestamp;

use super::failure::Failure;
use super::wire::Line;
use crate::sim::client::{Lost, Session, Stop, Way};

/// How many nodes took a record, and how many near each address there are to take one.
pub(super) struct Spread {
    pub(super) stored: [usize; RECORD_ADDRESSES],
    pub(super) near: [usize; RECORD_ADDRESSES],
}

/// Puts descriptors, each on `copies` of the nodes near each of its addresses: on all of them if there are no more.
pub(super) fn spread(
    session: &mut Session<'_, Line<'_>>,
    descriptors: &[Descriptor],
    lease_until: Timestamp,
    copies: usize,
) -> Result<Vec<Spread>, Stop> {
    struct Job {
        spread: RecordSpread,
        near: [usize; RECORD_ADDRESSES],
        used: BTreeMap<NodeId, Vec<Way>>,
    }
    let mut jobs: Vec<Job> = descriptors
        .iter()
        .map(|descriptor| {
            let near = descriptor
                .root_address()
                .record_addresses()
                .map(|address| living_candidates(session.table(), &address.position(), |id| session.lives(id)))
                .map(|near| session.without_guard(near));
            let counts = std::array::from_fn(|number| near[number].len());
            Job { spread: RecordSpread::new(near.into(), copies), near: counts, used: BTreeMap::new() }
        })
        .collect();
    let mut lane = session.lane();
    loop {
        let now = lane.session.now();
        let mut wake = None;
        for (number, (job, descriptor)) in jobs.iter_mut().zip(descriptors).enumerate() {
            while lane.has_room() {
                let Some(send) = job.spread.poll(now, |id| lane.session.chance(id)) else { break };
                let address = descriptor.root_address().record_addresses()[send.address];
                let record = Bytes::from(descriptor.encode());
                let ask = Ask::PutRecord { lease_until, stamp: Stamp::NONE, address, record };
                let used = job.used.entry(send.node).or_default();
                lane.start((number, send.address, send.node), send.node, ask, used)?;
            }
            wake = [wake, job.spread.poll_timeout(now)].into_iter().flatten().min();
        }
        if jobs.iter().all(|job| job.spread.is_done()) {
            break;
        }
        for done in lane.next(wake)? {
            let (number, address, node) = done.tag;
            let outcome = match done.result {
                Ok(Answer::RecordStored { .. }) => SpreadOutcome::Stored,
                Ok(Answer::Refused(Refusal::Busy { retry_ms })) => {
                    SpreadOutcome::Busy(Duration::from_millis(retry_ms.into()))
                }
                Ok(_) => SpreadOutcome::Refused,
                Err(Lost::TimedOut) => SpreadOutcome::TimedOut,
                Err(Lost::Unsent) => SpreadOutcome::Unsent,
            };
            jobs[number].spread.handle(lane.session.now(), address, &node, outcome);
        }
    }
    let stored = |job: &Job| std::array::from_fn(|number| job.spread.stored()[number]);
    Ok(jobs.iter().map(|job| Spread { stored: stored(job), near: job.near }).collect())
}

/// The root's descriptor, from any of those that may have it.
pub(super) fn find_root(session: &mut Session<'_, Line<'_>>, root: RootAddress) -> Result<Descriptor, Failure> {
    let addresses = root.record_addresses();
    let table = session.table();
    let near = addresses.iter().map(|address| session.without_guard(with_region(table, &address.position())));
    let mut hunt = RecordHunt::new(near.collect());
    let mut used: BTreeMap<NodeId, Vec<Way>> = BTreeMap::new();
    let mut lane = session.lane();
    loop {
        // A hunt has a bound of its own, and is the first thing that a client does: the window has room for it.
        let now = lane.session.now();
        while let Some(ask) = hunt.poll(now, |id| lane.session.chance(id)) {
            let used = used.entry(ask.node).or_default();
            let wanted = Ask::GetRecord { address: addresses[ask.address] };
            lane.start((ask.address, ask.node), ask.node, wanted, used).map_err(Stop::from)?;
        }
        match hunt.verdict() {
            Some(HuntVerdict::Absent { said, asked }) => return Err(Failure::RootAbsent { said, asked }),
            Some(HuntVerdict::Unreachable { said, asked }) => return Err(Failure::RootUnreachable { said, asked }),
            Some(HuntVerdict::Found) | None => {}
        }
        for done in lane.next(hunt.poll_timeout(now))? {
            let (address, node) = done.tag;
            let outcome = match done.result {
                Ok(Answer::Record(bytes)) => match Descriptor::decode(bytes) {
                    Ok(descriptor) if descriptor.root_address() == root => return Ok(descriptor),
                    _ => HuntOutcome::Garbage,
                },
                Ok(Answer::Refused(Refusal::Absent)) => HuntOutcome::Absent,
                Ok(Answer::Refused(_)) => HuntOutcome::Refused,
                Ok(_) => HuntOutcome::Garbage,
                Err(Lost::TimedOut) => HuntOutcome::TimedOut,
                Err(Lost::Unsent) => HuntOutcome::Unsent,
            };
            if outcome == HuntOutcome::Garbage {
                lane.session.distrust(node);
            }
            hunt.handle(lane.session.now(), address, &node, outcome);
        }
    }
}
