//! Publishing in virtual time: `proto`'s encoder, placement and [`Scatter`], driven as `client::publish` drives them.
//!
//! Content is cut into chunks of one length: where chunks end decides what is deduplicated, and nothing else.

use std::collections::BTreeMap;

use palimpsest_proto::coding::{Descriptor, Shard, Stripe, Survive};
use palimpsest_proto::content::{ConvergenceSecret, Encoder, Finished};
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::{Scatter, ScatterOutcome, ScatterVerdict, root_shortfall};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::{CANDIDATES, CHUNK_BYTES_AVG, LEASE_SECONDS_DEFAULT};
use palimpsest_proto::select::{NodeTable, diversions, place};
use palimpsest_proto::time::Timestamp;
use rand::seq::SliceRandom;
use std::time::Duration;

use super::failure::Failure;
use super::records::spread;
use super::wire::Line;
use crate::sim::client::{Lost, Session, Stop, Way};
use crate::sim::world::WALL;

/// Stripes being placed at once.
const ACTIVE: usize = 3;
/// Nodes near each address of a stripe's descriptor that are given it.
const SEED_COPIES: usize = 2;
/// Shards fetched back as a proof, and tries for one of them.
const SAMPLE: usize = 32;
const TRIES: usize = 4;
/// Rounds for the root's record, and the pause after the first of them.
const RECORD_TRIES: u32 = 4;
const RECORD_PAUSE: Duration = Duration::from_secs(2);

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
    fn new(table: &NodeTable, Stripe { descriptor, shards }: Stripe) -> Job {
        let scatter = Scatter::new(&place(table, descriptor.locators(), descriptor.geometry().k()), &[]);
        Job { descriptor, shards, scatter, used: BTreeMap::new() }
    }
}

/// What was placed.
#[derive(Default)]
struct Placed {
    descriptors: Vec<Descriptor>,
    shards: Vec<(Locator, NodeId)>,
    wanted: usize,
}

/// Publishes `content`; its link.
pub(super) fn publish(
    session: &mut Session<'_, Line<'_>>,
    secret: &ConvergenceSecret,
    content: &[u8],
) -> Result<String, Failure> {
    let mut cutting = Cutting::new(content, secret);
    let placed = place_all(session, &mut cutting)?;
    if placed.shards.len() < placed.wanted {
        return Err(Failure::Short { placed: placed.shards.len(), wanted: placed.wanted });
    }
    let seeded = spread(session, &placed.descriptors, lease_until(), SEED_COPIES)?;
    let unwarded = seeded.iter().filter(|spread| spread.stored.iter().sum::<usize>() == 0).count();
    if unwarded > 0 {
        return Err(Failure::Unwarded { stripes: unwarded });
    }
    // The cutting has ended: it gave out its last stripe.
    let finished = cutting.finished.ok_or(Failure::Spoilt)?;
    if let Finished::Root { descriptor, .. } = &finished {
        spread_root(session, descriptor)?;
    }
    prove(session, placed.shards)?;
    Ok(finished.capability().to_string())
}

fn place_all(session: &mut Session<'_, Line<'_>>, cutting: &mut Cutting<'_>) -> Result<Placed, Failure> {
    let table = session.table();
    let mut placed = Placed::default();
    let mut jobs: BTreeMap<usize, Job> = BTreeMap::new();
    let mut begun = 0;
    let mut lane = session.lane();
    loop {
        while jobs.len() < ACTIVE
            && let Some(stripe) = cutting.next()?
        {
            jobs.insert(begun, Job::new(table, stripe));
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
        jobs.retain(|_, job| match job.scatter.verdict() {
            None => true,
            Some(ScatterVerdict::Placed { .. } | ScatterVerdict::Short { .. }) => {
                let holders = job.descriptor.locators().iter().zip(job.scatter.stored());
                placed.shards.extend(holders.filter_map(|(locator, holder)| Some((*locator, (*holder)?))));
                placed.wanted += job.shards.len();
                placed.descriptors.push(job.descriptor.clone());
                false
            }
        });
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

/// Fetches a sample of what was placed over other paths.
fn prove(session: &mut Session<'_, Line<'_>>, mut shards: Vec<(Locator, NodeId)>) -> Result<(), Failure> {
    let (sample, _) = shards.partial_shuffle(session.dice(), SAMPLE);
    let sampled = sample.len();
    let mut ways: Vec<Vec<Way>> = vec![Vec::new(); sampled];
    let (mut tries, mut proved) = (vec![0; sampled], vec![false; sampled]);
    let mut waiting: Vec<usize> = (0..sampled).collect();
    let mut lane = session.lane();
    while !waiting.is_empty() || !lane.is_idle() {
        while lane.has_room()
            && let Some(which) = waiting.pop()
        {
            let (locator, holder) = sample[which];
            lane.start(which, holder, Ask::Fetch { locator }, &mut ways[which]).map_err(Stop::from)?;
            tries[which] += 1;
        }
        for done in lane.next(None)? {
            match done.result {
                Ok(Answer::Shard(bytes)) => {
                    proved[done.tag] |= Shard::new(bytes).is_ok_and(|shard| shard.locator() == sample[done.tag].0);
                }
                Err(_) if tries[done.tag] < TRIES => waiting.push(done.tag),
                _ => {}
            }
        }
    }
    let came = proved.iter().filter(|proved| **proved).count();
    // Holders may die between receipt and proof: up to a half of them is what the code is for.
    if came * 2 < sampled { Err(Failure::Unproven { came, sampled }) } else { Ok(()) }
}
