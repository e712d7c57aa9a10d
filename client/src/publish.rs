//! Publishing: stripes → shards → holders → root record → proof → link.
//!
//! ```text
//! cutting (own thread) ─► up to ACTIVE stripes ─ Scatter::poll ─► lane ─► holders ─► receipts ─► journal
//!                    end ─► root record to the nodes nearest to its addresses ─► a sample fetched back ─► link
//! ```

use crate::clock::moment;
use crate::cutting::{self, Cut, Source};
use crate::error::Error;
use crate::journal::Journal;
use crate::lane::{Done, Lane, Way};
use crate::progress::{Phase, Progress};
use crate::records::{self, Spread};
use crate::rounds::UNSENT_FREE;
use crate::said::{Got, Put};
use crate::session::{Lost, Session};
use palimpsest_proto::coding::{self, Descriptor, Shard, Stripe, Survive};
use palimpsest_proto::content::{Capability, ConvergenceSecret, EncoderStats, Finished};
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::{Scatter, ScatterOutcome, ScatterVerdict};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::Ask;
use palimpsest_proto::params::{CANDIDATES, LEASE_SECONDS_DEFAULT, LINK_CONTENT_BYTES_MAX};
use palimpsest_proto::select::{NodeTable, diversions, place};
use palimpsest_proto::time::{Moment, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{JoinError, JoinSet};

/// Stripes being placed at once (13 MiB each at `--survive 50%`): enough that the last shards of one overlap the first of
/// the next.
const ACTIVE: usize = 3;
/// Nodes near each address of a stripe's descriptor that are given it as a record; they become its wardens, and spread it to
/// the others. Two, so that with the six in all a stripe has a warden though half of the nodes die before it is spread.
const SEED_COPIES: usize = 2;
/// Descriptors being seeded at once.
const SEEDING_MAX: usize = 8;
/// How long a round pauses in which nothing could be done.
const IDLE_PAUSE: Duration = Duration::from_millis(50);
/// Shards fetched back as a proof: enough that holders who drop one in ten show with 95 %.
const SAMPLE: usize = 32;
/// Tries for one sampled shard, over different paths.
const TRIES: usize = 4;
/// Copies of the root record that must be acknowledged, under each address, unless there are fewer nodes than twice as many.
const RECORD_COPIES_MIN: usize = 8;
/// Rounds for the root record, and the pause after the first of them; later ones are longer.
const RECORD_TRIES: u32 = 4;
const RECORD_PAUSE: Duration = Duration::from_secs(2);

/// How to publish.
#[derive(Clone, Copy, Debug)]
pub struct PublishOptions {
    /// What part of the nodes may vanish at once.
    pub survive: Survive,
    /// For how long the network is asked to keep it, in seconds.
    pub lease_seconds: u64,
    /// Whether every stripe gets wardens, who keep it alive: without, it lasts as long as its holders.
    pub wardens: bool,
}

impl Default for PublishOptions {
    fn default() -> PublishOptions {
        PublishOptions { survive: Survive::Half, lease_seconds: LEASE_SECONDS_DEFAULT, wardens: true }
    }
}

/// What was published, and how safe it is.
#[derive(Clone, PartialEq)]
pub struct Published {
    /// The link: whoever has it can read.
    pub link: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes that stood in the file more than once and were placed once.
    pub bytes_deduplicated: u64,
    /// Stripes, those of the manifest included.
    pub stripes: u64,
    /// Shards that a holder acknowledged, in this run or an earlier one.
    pub shards_placed: u64,
    /// Shards that an earlier, interrupted run had placed.
    pub shards_resumed: u64,
    /// Nodes that hold at least one shard.
    pub holders: usize,
    /// Networks (address prefixes) that those nodes are in.
    pub networks: usize,
    /// For 10, 30 and 50 % of the nodes lost at once: the probability that the file is lost.
    pub survival: [(f64, f64); 3],
    /// Shards that came back over other paths.
    pub proven: usize,
    /// Shards that were asked for as a proof; those that did not come may be lost, or only late.
    pub sampled: usize,
    /// How long it took.
    pub elapsed: Duration,
}

impl std::fmt::Debug for Published {
    /// Without the link, which is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("bytes", &self.bytes).field("stripes", &self.stripes).finish_non_exhaustive()
    }
}

/// The fractions for which survival is computed.
pub(crate) const FRACTIONS: [f64; 3] = [0.1, 0.3, 0.5];

struct Job {
    descriptor: Descriptor,
    shards: Vec<Option<Shard>>,
    scatter: Scatter,
    used: HashMap<u8, Vec<Way>>,
}

#[derive(Clone)]
struct Tag {
    job: u64,
    shard: u8,
    holder: NodeId,
}

/// Where the shards of the finished stripes lie, as far as survival and proof need it.
#[derive(Default)]
struct Placed {
    stripes: u64,
    shards: u64,
    resumed: u64,
    /// For each kind of stripe seen (k, and how many nodes hold how many shards): how often.
    loads: BTreeMap<(usize, Vec<u32>), u64>,
    holders: BTreeSet<NodeId>,
    /// A uniform sample of what was placed (reservoir).
    sample: Vec<(Locator, NodeId)>,
    seen: u64,
    short: u64,
    /// Stripes that no warden would take.
    unwarded: u64,
}

/// See the module's description.
pub(crate) struct Publish<'a> {
    session: &'a Arc<Session>,
    secret: &'a ConvergenceSecret,
    journal: Journal,
    lease_until: Timestamp,
    lane: Lane<Tag, Put>,
    jobs: BTreeMap<u64, Job>,
    /// Whether stripes get wardens, and the descriptors that are being seeded for them.
    wardens: bool,
    seeding: JoinSet<Spread>,
    placed: Placed,
    progress: &'a Progress,
}

/// Publishes `source`.
pub(crate) async fn publish(
    session: &Arc<Session>,
    secret: &ConvergenceSecret,
    folder: PathBuf,
    source: Source,
    options: PublishOptions,
    progress: &Progress,
) -> Result<Published, Error> {
    let started = Instant::now();
    let size = source.size()?;
    if let Some(size) = size {
        progress.set_bytes_total(size);
    }
    let what = format!("{} {size:?} {} {}", source.path().display(), options.survive, options.lease_seconds);
    let journal = Journal::open(&folder, secret, what.as_bytes()).map_err(|e| Error::Disk {
        path: folder,
        doing: "write the journal in",
        source: e,
    })?;
    progress.set_phase(Phase::Placing);
    let mut publish = Publish {
        session,
        secret,
        journal,
        lease_until: Session::lease_until(options.lease_seconds),
        lane: Lane::new(session.clone()),
        jobs: BTreeMap::new(),
        wardens: options.wardens,
        seeding: JoinSet::new(),
        placed: Placed::default(),
        progress,
    };
    let (finished, stats) = publish.place_all(source, options.survive).await?;
    if let Finished::Root { descriptor, .. } = &finished {
        publish.spread_record(descriptor).await?;
    }
    let link = finished.capability().to_string();
    progress.set_phase(Phase::Proving);
    let (proven, sampled) = publish.prove().await?;
    progress.set_phase(Phase::Finishing);
    let Publish { journal, placed, .. } = publish;
    // A journal that stays behind costs a few bytes and is found again by the same publish.
    let _ = journal.remove();
    let table = session.table();
    Ok(Published {
        link,
        bytes: stats.bytes,
        bytes_deduplicated: stats.bytes_deduplicated,
        stripes: placed.stripes,
        shards_placed: placed.shards,
        shards_resumed: placed.resumed,
        holders: placed.holders.len(),
        networks: networks(&table, &placed.holders),
        survival: survival(&placed.loads, living_holders(&table)),
        proven,
        sampled,
        elapsed: started.elapsed(),
    })
}

/// Publishes content that is small enough to lie in its link: nothing is sent. `None` for all other sources.
pub(crate) fn into_link(source: &Source) -> Result<Option<Published>, Error> {
    let started = Instant::now();
    if source.size()?.is_none_or(|size| size > LINK_CONTENT_BYTES_MAX as u64) {
        return Ok(None);
    }
    let content = source.read_whole(LINK_CONTENT_BYTES_MAX)?;
    Ok(Some(Published {
        bytes: content.len() as u64,
        link: Capability::Inline(content).to_string(),
        bytes_deduplicated: 0,
        stripes: 0,
        shards_placed: 0,
        shards_resumed: 0,
        holders: 0,
        networks: 0,
        survival: FRACTIONS.map(|fraction| (fraction, 0.0)),
        proven: 0,
        sampled: 0,
        elapsed: started.elapsed(),
    }))
}

/// How many networks the nodes are in; those whose network cannot be told count as one.
pub(crate) fn networks(table: &NodeTable, nodes: &BTreeSet<NodeId>) -> usize {
    nodes
        .iter()
        .filter_map(|id| table.get(id))
        .map(palimpsest_proto::select::Entry::network)
        .collect::<BTreeSet<_>>()
        .len()
}

/// Whether a node is a holder that is not known to be lost.
fn lives(table: &NodeTable, id: &NodeId) -> bool {
    table.get(id).is_some_and(|node| node.signed().roles.holds && node.health().lost.is_none())
}

/// Holders that are not known to be lost.
pub(crate) fn living_holders(table: &NodeTable) -> usize {
    table.iter().filter(|(id, _)| lives(table, id)).count()
}

/// The probability that any stripe is lost, for each of [`FRACTIONS`] of the `nodes` that live lost at once. Stripes are
/// taken as independent: their shards lie at unrelated places.
pub(crate) fn survival(loads: &BTreeMap<(usize, Vec<u32>), u64>, nodes: usize) -> [(f64, f64); 3] {
    FRACTIONS.map(|fraction| {
        let dead = (fraction * nodes as f64).ceil() as usize;
        // ln of the probability that none is lost: a sum stays exact where a product of numbers near 1 would not.
        let none_lost: f64 = loads
            .iter()
            .map(|((k, loads), &times)| {
                let mut all = loads.clone();
                all.resize(nodes.max(loads.len()), 0);
                (-coding::loss(*k, &all, dead)).ln_1p() * times as f64
            })
            .sum();
        (fraction, -none_lost.exp_m1())
    })
}

impl Publish<'_> {
    async fn place_all(&mut self, source: Source, survive: Survive) -> Result<(Finished, EncoderStats), Error> {
        let mut cuts = cutting::start(source, self.secret.duplicate(), survive)?;
        let mut finished = None;
        let mut next = 0;
        let mut open = true;
        loop {
            let wake = self.send();
            if finished.is_some() && self.jobs.is_empty() {
                break;
            }
            let room = open && self.jobs.len() < ACTIVE && self.seeding.len() < SEEDING_MAX;
            tokio::select! {
                biased;
                done = self.lane.next(wake), if wake.is_some() || !self.lane.is_idle() => {
                    if let Some(done) = done {
                        self.take(done)?;
                    }
                }
                Some(seeded) = self.seeding.join_next() => self.note_seeded(&seeded),
                cut = cuts.recv(), if room => match cut {
                    Some(Cut::Stripe(stripe)) => {
                        self.begin(next, *stripe);
                        next += 1;
                    }
                    Some(Cut::Finished(end, stats, took)) => {
                        self.session.account().coding.add(took);
                        finished = Some((*end, stats));
                        open = false;
                    }
                    Some(Cut::Failed(error)) => return Err(error),
                    None => return Err(Error::Net("the cutting ended early".to_owned())),
                },
                // Nothing on its way, nothing to send, no verdict: the machines exclude it. The deadline holds all the same.
                else => tokio::time::sleep(IDLE_PAUSE).await,
            }
        }
        while let Some(seeded) = self.seeding.join_next().await {
            self.note_seeded(&seeded);
        }
        if self.placed.short > 0 {
            let wanted = self.placed.shards + self.placed.short;
            return Err(Error::PlacementShort { placed: self.placed.shards, wanted });
        }
        if self.placed.unwarded > 0 {
            let placed = self.placed.stripes - self.placed.unwarded;
            return Err(Error::Unwarded { placed, wanted: self.placed.stripes });
        }
        finished.ok_or(Error::Interrupted)
    }

    fn note_seeded(&mut self, seeded: &Result<Spread, JoinError>) {
        let stored = seeded.as_ref().map_or(0, |spread| spread.stored.iter().sum());
        self.placed.unwarded += u64::from(stored == 0);
    }

    fn begin(&mut self, number: u64, stripe: Stripe) {
        let Stripe { descriptor, shards } = stripe;
        let (placement, already) = {
            let table = self.session.table();
            let already: Vec<Option<NodeId>> = descriptor
                .locators()
                .iter()
                .map(|l| self.journal.holder(self.secret, l).filter(|id| lives(&table, id)))
                .collect();
            (place(&table, descriptor.locators(), descriptor.geometry().k()), already)
        };
        let resumed = already.iter().flatten().count() as u64;
        self.placed.resumed += resumed;
        self.progress.add_shards_needed(shards.len() as u64);
        self.progress.add_shards(resumed);
        let scatter = Scatter::new(&placement, &already);
        let shards = shards.into_iter().map(Some).collect();
        self.jobs.insert(number, Job { descriptor, shards, scatter, used: HashMap::new() });
    }

    /// Sends what the machines want sent; returns when to look again.
    fn send(&mut self) -> Option<Moment> {
        let now = moment();
        let mut wake = None;
        let mut done = Vec::new();
        for (&number, job) in &mut self.jobs {
            while self.lane.has_room() {
                let send = {
                    let table = self.session.table();
                    let experience = self.session.experience();
                    let chance = |id: &NodeId| {
                        let full = experience.outcomes.is_full(id, now);
                        if full { 0.0 } else { self.session.chance(&table, &experience, id, now) }
                    };
                    job.scatter.poll(now, chance, |shard| diversions(&table, &job.descriptor.locators()[shard]))
                };
                let Some(send) = send else { break };
                let Some(shard) = job.shards[usize::from(send.shard)].clone() else { break };
                let locator = shard.locator();
                let ask = Ask::Store { lease_until: self.lease_until, stamp: Stamp::NONE, shard };
                let used = job.used.entry(send.shard).or_default();
                let tag = Tag { job: number, shard: send.shard, holder: send.node };
                self.lane.start(tag, send.node, ask, used, move |answer| Put::check(&locator, &answer));
            }
            match job.scatter.verdict() {
                Some(_) => done.push(number),
                None => wake = [wake, job.scatter.poll_timeout(now)].into_iter().flatten().min(),
            }
        }
        for number in done {
            self.finish(number);
        }
        wake
    }

    fn take(&mut self, done: Done<Tag, Put>) -> Result<(), Error> {
        let Tag { job: number, shard, holder } = done.tag;
        let outcome = Put::outcome(self.session, holder, &done.result);
        // A late receipt for a stripe that is done is normal.
        let Some(job) = self.jobs.get_mut(&number) else { return Ok(()) };
        let fresh = outcome == ScatterOutcome::Stored && job.shards[usize::from(shard)].is_some();
        job.scatter.handle(moment(), shard, &holder, outcome);
        if fresh {
            // The bytes are no longer needed: memory goes back before the stripe is done.
            job.shards[usize::from(shard)] = None;
            self.progress.add_shards(1);
            let locator = job.descriptor.locators()[usize::from(shard)];
            let noted = self.journal.note(self.secret, &locator, holder);
            noted.map_err(|source| Error::Disk { path: "the journal".into(), doing: "write", source })?;
        }
        Ok(())
    }

    /// Takes a stripe that is done into the account.
    fn finish(&mut self, number: u64) {
        let Some(job) = self.jobs.remove(&number) else { return };
        if let Some(ScatterVerdict::Short { placed, wanted }) = job.scatter.verdict() {
            self.placed.short += (wanted - placed) as u64;
        }
        let mut loads: BTreeMap<NodeId, u32> = BTreeMap::new();
        for (locator, holder) in job.descriptor.locators().iter().zip(job.scatter.stored()) {
            let Some(holder) = holder else { continue };
            *loads.entry(*holder).or_default() += 1;
            self.placed.shards += 1;
            self.placed.seen += 1;
            // Reservoir sampling (Vitter's algorithm R): each placed shard is in the sample with equal probability.
            if self.placed.sample.len() < SAMPLE {
                self.placed.sample.push((*locator, *holder));
            } else {
                let at = rand::random_range(0..self.placed.seen) as usize;
                if let Some(slot) = self.placed.sample.get_mut(at) {
                    *slot = (*locator, *holder);
                }
            }
        }
        if self.wardens {
            let (session, descriptor, lease_until) = (self.session.clone(), job.descriptor.clone(), self.lease_until);
            self.seeding.spawn(async move { records::spread(&session, &descriptor, lease_until, SEED_COPIES).await });
        }
        self.placed.stripes += 1;
        self.placed.holders.extend(loads.keys());
        let mut counts: Vec<u32> = loads.into_values().collect();
        counts.sort_unstable();
        *self.placed.loads.entry((job.descriptor.geometry().k(), counts)).or_default() += 1;
        self.progress.add_bytes(job_bytes(&job.descriptor));
    }

    /// Puts the root descriptor on every node near its addresses.
    async fn spread_record(&mut self, descriptor: &Descriptor) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            let spread = records::spread(self.session, descriptor, self.lease_until, CANDIDATES).await;
            let wanted = |near: usize| near.div_ceil(2).min(RECORD_COPIES_MIN);
            let mut copies = spread.stored.into_iter().zip(spread.near.map(wanted));
            let Some((stored, wanted)) = copies.find(|(stored, wanted)| stored < wanted) else { return Ok(()) };
            if tries == RECORD_TRIES {
                return Err(Error::RootShort { placed: stored as u64, wanted: wanted as u64 });
            }
            // Nodes that are overloaded for a moment are no reason to give up what is placed already.
            tokio::time::sleep(RECORD_PAUSE * tries).await;
            tries += 1;
        }
    }

    /// Fetches a sample of what was placed over other paths; a shard that does not come back is counted against the
    /// promise only if many do not.
    async fn prove(&mut self) -> Result<(usize, usize), Error> {
        let sample = std::mem::take(&mut self.placed.sample);
        if sample.is_empty() {
            return Ok((0, 0));
        }
        let total = sample.len();
        let mut ways: Vec<Vec<Way>> = vec![Vec::new(); total];
        let mut proved = vec![false; total];
        let mut tries = vec![0; total];
        let mut unsent = vec![0; total];
        let mut waiting: Vec<usize> = (0..total).collect();
        let mut lane: Lane<usize, Got> = Lane::new(self.session.clone());
        while !waiting.is_empty() || !lane.is_idle() {
            while lane.has_room()
                && let Some(which) = waiting.pop()
            {
                let (locator, holder) = sample[which];
                let check = move |answer| Got::check(&locator, answer);
                lane.start(which, holder, Ask::Fetch { locator }, &mut ways[which], check);
            }
            let Some(done) = lane.next(None).await else { continue };
            tries[done.tag] += 1;
            match done.result {
                Ok(Got::Shard(_)) => proved[done.tag] = true,
                Err(Lost::TimedOut) if tries[done.tag] < TRIES => waiting.push(done.tag),
                Err(Lost::Unsent) if unsent[done.tag] < UNSENT_FREE => {
                    unsent[done.tag] += 1;
                    tries[done.tag] -= 1;
                    waiting.push(done.tag);
                }
                Err(Lost::Unsent) if tries[done.tag] < TRIES => waiting.push(done.tag),
                _ => {}
            }
        }
        let proven = proved.iter().filter(|proved| **proved).count();
        // Holders may die between receipt and proof: up to a half of them is what the code is for.
        if proven * 2 < total {
            return Err(Error::Unproven { came: proven, sampled: total });
        }
        Ok((proven, total))
    }
}

/// Bytes of content that a full stripe of this shape stands for; the progress shown is that of content, not of shards.
fn job_bytes(descriptor: &Descriptor) -> u64 {
    (descriptor.geometry().k() * palimpsest_proto::params::SEGMENT_BYTES) as u64
}
