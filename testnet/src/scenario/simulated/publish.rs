//! Publishing in virtual time: `proto`'s encoder, placement and [`Scatter`], driven as `client::publish` drives them.
//!
//! Content is cut into chunks of one length: where chunks end decides what is deduplicated, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use palimpsest_client::policy::{
    ACTIVE, PROOF_ROUNDS, PROOF_SAMPLE, PROOF_TRIES, RECORD_PAUSE, RECORD_TRIES, SEED_COPIES, UNSENT_FREE, is_proof,
};
use palimpsest_proto::coding::{Descriptor, Shard, Stripe, Survive};
use palimpsest_proto::content::{ConvergenceSecret, Encoder, Finished};
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::{Scatter, ScatterOutcome, root_shortfall};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::{CANDIDATES, CHUNK_BYTES_AVG, LEASE_SECONDS_DEFAULT};
use palimpsest_proto::select::{NodeTable, diversions, place};
use palimpsest_proto::time::Timestamp;
use rand::seq::SliceRandom;

use super::failure::Failure;
use super::fetch::gather_all;
use super::records::spread;
use super::wire::Line;
use crate::sim::client::{Lost, Session, Stop, Way};
use crate::sim::world::WALL;

/// Until when things are to be kept.
fn lease_until() -> Timestamp {
    WALL.plus(LEASE_SECONDS_DEFAULT)
}

/// The stripes of some content, made as they are needed.
struct Cutting<'c> {
    encoder: Encoder,
    chunks: std::slice::Chunks<'c, u8>,
    finished: Option<Finished>,
}

impl<'c> Cutting<'c> {
    fn new(content: &'c [u8], secret: &ConvergenceSecret) -> Cutting<'c> {
        let encoder = Encoder::new(secret.duplicate(), Survive::Half, Some(content.len() as u64));
        Cutting { encoder, chunks: content.chunks(CHUNK_BYTES_AVG), finished: None }
    }

    fn next(&mut self) -> Result<Option<Stripe>, Failure> {
        loop {
            if let Some(stripe) = self.encoder.take_stripe() {
                return Ok(Some(stripe));
            }
            match self.chunks.next() {
                Some(chunk) => self.encoder.push(chunk)?,
                None if self.finished.is_some() => return Ok(None),
                None => self.finished = Some(self.encoder.finish()?),
            }
        }
    }
}

struct Job {
    descriptor: Descriptor,
    shards: Vec<Shard>,
    scatter: Scatter,
    used: BTreeMap<u8, Vec<Way>>,
}

impl Job {
    fn new(table: &NodeTable, Stripe { descriptor, shards }: Stripe, holders: &[Option<NodeId>]) -> Job {
        let scatter = Scatter::new(&place(table, descriptor.locators(), descriptor.geometry().k()), holders);
        Job { descriptor, shards, scatter, used: BTreeMap::new() }
    }

    /// Who has which shards.
    fn placed(&self) -> impl Iterator<Item = (Locator, NodeId)> {
        let holders = self.descriptor.locators().iter().zip(self.scatter.stored());
        holders.filter_map(|(locator, holder)| Some((*locator, (*holder)?)))
    }
}

/// Publishes `content`; its link.
pub(super) fn publish(
    session: &mut Session<'_, Line<'_>>,
    secret: &ConvergenceSecret,
    content: &[u8],
) -> Result<String, Failure> {
    let table = session.table();
    let mut cutting = Cutting::new(content, secret);
    let mut jobs = place_all(session, || Ok(cutting.next()?.map(|stripe| Job::new(table, stripe, &[]))))?;
    let placed = jobs.iter().flat_map(Job::placed).count();
    let wanted = jobs.iter().map(|job| job.shards.len()).sum();
    if placed < wanted {
        return Err(Failure::Short { placed, wanted });
    }
    let descriptors: Vec<Descriptor> = jobs.iter().map(|job| job.descriptor.clone()).collect();
    let seeded = spread(session, &descriptors, lease_until(), SEED_COPIES)?;
    let unwarded = seeded.iter().filter(|spread| spread.stored.iter().sum::<usize>() == 0).count();
    if unwarded > 0 {
        return Err(Failure::Unwarded { stripes: unwarded });
    }
    // The cutting has ended: it gave out its last stripe.
    let finished = cutting.finished.ok_or(Failure::Spoilt)?;
    if let Finished::Root { descriptor, .. } = &finished {
        spread_root(session, descriptor)?;
    }
    let mut rounds = 1;
    loop {
        let Proof { came, sampled, liars } = prove(session, jobs.iter().flat_map(Job::placed).collect())?;
        if is_proof(came, sampled) {
            return Ok(finished.capability().to_string());
        }
        if rounds == PROOF_ROUNDS || liars.is_empty() {
            return Err(Failure::Unproven { came, sampled });
        }
        rounds += 1;
        jobs = match mend(session, jobs, &liars) {
            Ok(jobs) => jobs,
            Err(Failure::NotRetrievable { .. }) => return Err(Failure::Unproven { came, sampled }),
            Err(failure) => return Err(failure),
        };
    }
}

/// Places anew what the liars do not have, as `client::publish::mend` does; but that k shards are asked for where they belong, not only
/// from who acknowledged them.
fn mend(session: &mut Session<'_, Line<'_>>, jobs: Vec<Job>, liars: &BTreeSet<NodeId>) -> Result<Vec<Job>, Failure> {
    liars.iter().for_each(|liar| session.distrust(*liar));
    let table = session.table();
    let (mut whole, mut again) = (Vec::new(), Vec::new());
    for job in jobs {
        let honest = |holder: &Option<NodeId>| holder.filter(|id| !liars.contains(id));
        let holders: Vec<Option<NodeId>> = job.scatter.stored().iter().map(honest).collect();
        if holders.iter().all(Option::is_some) {
            whole.push(job);
            continue;
        }
        // What would be rebuilt of it is what is still there.
        gather_all(session, std::slice::from_ref(&job.descriptor))?;
        let Job { descriptor, shards, .. } = job;
        again.push(Job::new(table, Stripe { descriptor, shards }, &holders));
    }
    let mut again = again.into_iter();
    whole.extend(place_all(session, || Ok(again.next()))?);
    Ok(whole)
}

/// Places stripes, a few at once, in the order in which they are done.
fn place_all(
    session: &mut Session<'_, Line<'_>>,
    mut next: impl FnMut() -> Result<Option<Job>, Failure>,
) -> Result<Vec<Job>, Failure> {
    let table = session.table();
    let mut placed = Vec::new();
    let mut jobs: BTreeMap<usize, Job> = BTreeMap::new();
    let mut begun = 0;
    let mut lane = session.lane();
    loop {
        while jobs.len() < ACTIVE
            && let Some(job) = next()?
        {
            jobs.insert(begun, job);
            begun += 1;
        }
        if jobs.is_empty() {
            return Ok(placed);
        }
        let now = lane.session.now();
        let mut wake = None;
        for (&number, job) in &mut jobs {
            while lane.has_room() {
                let far = |shard: usize| diversions(table, &job.descriptor.locators()[shard]);
                let Some(send) = job.scatter.poll(now, |id| lane.session.chance_of_room(id), far) else { break };
                let shard = job.shards[usize::from(send.shard)].clone();
                let ask = Ask::Store { lease_until: lease_until(), stamp: Stamp::NONE, shard };
                let used = job.used.entry(send.shard).or_default();
                lane.start((number, send.shard, send.node), send.node, ask, used).map_err(Stop::from)?;
            }
            wake = [wake, job.scatter.poll_timeout(now)].into_iter().flatten().min();
        }
        let before = jobs.len();
        placed.extend(jobs.extract_if(.., |_, job| job.scatter.verdict().is_some()).map(|(_, job)| job));
        if jobs.len() < before {
            continue;
        }
        for done in lane.next(wake)? {
            let (number, shard, node) = done.tag;
            let outcome = match done.result {
                Ok(Answer::Stored { .. }) => ScatterOutcome::Stored,
                Ok(Answer::Refused(Refusal::Full)) => {
                    lane.session.note_full(node);
                    ScatterOutcome::Full
                }
                Ok(Answer::Refused(Refusal::Busy { retry_ms })) => {
                    ScatterOutcome::Busy(Duration::from_millis(retry_ms.into()))
                }
                Ok(_) => ScatterOutcome::Refused,
                Err(Lost::TimedOut) => ScatterOutcome::TimedOut,
                Err(Lost::Unsent) => ScatterOutcome::Unsent,
            };
            // A late receipt for a stripe that is done is normal.
            if let Some(job) = jobs.get_mut(&number) {
                job.scatter.handle(lane.session.now(), shard, &node, outcome);
            }
        }
    }
}

/// Puts the root's descriptor on every node near its addresses.
fn spread_root(session: &mut Session<'_, Line<'_>>, descriptor: &Descriptor) -> Result<(), Failure> {
    let mut tries = 1;
    loop {
        let spread = spread(session, std::slice::from_ref(descriptor), lease_until(), CANDIDATES)?;
        let short = spread.iter().find_map(|spread| root_shortfall(&spread.stored, &spread.near));
        let Some((stored, wanted)) = short else { return Ok(()) };
        if tries == RECORD_TRIES {
            return Err(Failure::RootShort { stored, wanted });
        }
        session.pause(RECORD_PAUSE * tries)?;
        tries += 1;
    }
}

/// What came of a proof.
struct Proof {
    came: usize,
    sampled: usize,
    /// Holders that do not have what they acknowledged.
    liars: BTreeSet<NodeId>,
}

/// Fetches a sample of what was placed over other paths.
fn prove(session: &mut Session<'_, Line<'_>>, mut shards: Vec<(Locator, NodeId)>) -> Result<Proof, Failure> {
    let (sample, _) = shards.partial_shuffle(session.dice(), PROOF_SAMPLE);
    let sampled = sample.len();
    let mut ways: Vec<Vec<Way>> = vec![Vec::new(); sampled];
    let (mut tries, mut unsent, mut proved) = (vec![0; sampled], vec![0; sampled], vec![false; sampled]);
    let mut waiting: Vec<usize> = (0..sampled).collect();
    let mut liars = BTreeSet::new();
    let mut lane = session.lane();
    while !waiting.is_empty() || !lane.is_idle() {
        while lane.has_room()
            && let Some(which) = waiting.pop()
        {
            let (locator, holder) = sample[which];
            lane.start(which, holder, Ask::Fetch { locator }, &mut ways[which]).map_err(Stop::from)?;
        }
        for done in lane.next(None)? {
            let which = done.tag;
            let (locator, holder) = sample[which];
            tries[which] += 1;
            match done.result {
                Ok(Answer::Shard(bytes)) if Shard::new(bytes.clone()).is_ok_and(|shard| shard.locator() == locator) => {
                    proved[which] = true;
                }
                Ok(Answer::Refused(refusal)) if refusal != Refusal::Absent => {}
                Ok(_) => _ = liars.insert(holder),
                Err(Lost::Unsent) if unsent[which] < UNSENT_FREE => {
                    unsent[which] += 1;
                    tries[which] -= 1;
                    waiting.push(which);
                }
                Err(_) if tries[which] < PROOF_TRIES => waiting.push(which),
                Err(_) => {}
            }
        }
    }
    let came = proved.iter().filter(|proved| **proved).count();
    Ok(Proof { came, sampled, liars })
}
