//! Publishing: stripes → shards → holders → root record → proof → link.
//!
//! ```text
//! cutting (own thread) ─► up to ACTIVE stripes ─ Scatter::poll ─► lane ─► holders ─► receipts ─► journal
//!                    end ─► root record to the nodes nearest to its addresses ─► a sample fetched back ─► link
//!                                                 holders that do not have it: placed anew, proven anew ◄─┘
//! ```

mod mend;
mod misplaced;
mod placed;
mod proof;
mod survival;
mod terms;

use crate::clock::moment;
use crate::cutting::{self, Cut, Source};
use crate::error::Error;
use crate::journal::Journal;
use crate::lane::{Done, Lane, Way};
use crate::pace::Pace;
use crate::policy::{ACTIVE, PROOF_ROUNDS, PROOF_SAMPLE, RECORD_PAUSE, RECORD_TRIES, SEED_COPIES, is_proof};
use crate::progress::{Phase, Progress};
use crate::records::{self, Spread};
use crate::said::Put;
use crate::session::Session;
use mend::Keepsake;
use palimpsest_proto::coding::{Descriptor, Shard, Stripe, Survive};
use palimpsest_proto::content::{Capability, ConvergenceSecret, EncoderStats, Finished};
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::{Scatter, ScatterOutcome, ScatterVerdict, root_shortfall};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::Ask;
use palimpsest_proto::params::{CANDIDATES, LINK_CONTENT_BYTES_MAX};
use palimpsest_proto::select::{diversions, place};
use palimpsest_proto::time::{Moment, Timestamp};
use placed::Placed;
use proof::Proof;
use rand::seq::IteratorRandom;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use survival::lives;
use tokio::task::{JoinError, JoinSet};

pub(crate) use misplaced::publish;
pub(crate) use survival::{FRACTIONS, living_holders, networks, survival};
pub(crate) use terms::check_spread;
pub use terms::{PublishOptions, Published};

/// Descriptors being seeded at once.
const SEEDING_MAX: usize = 8;
/// How long a round pauses in which nothing could be done.
const IDLE_PAUSE: Duration = Duration::from_millis(50);

struct Job {
    descriptor: Descriptor,
    shards: Vec<Option<Shard>>,
    scatter: Scatter,
    used: HashMap<u8, Vec<Way>>,
}

/// How a publish is spread over time: new shards, and those that are fetched back as a proof, leave by turns.
struct Spreading {
    pace: Pace,
    /// The chance of a shard to be fetched back.
    proved: f64,
}

impl Spreading {
    fn new(over: Duration, shards: u64) -> Spreading {
        let pace = Pace::new(over, shards + PROOF_SAMPLE as u64, moment());
        Spreading { pace, proved: PROOF_SAMPLE as f64 / shards.max(1) as f64 }
    }
}

/// Whose turn it is to send something.
#[derive(Clone, Copy)]
enum Turn {
    Stripe(u64),
    Proof,
}

#[derive(Clone)]
struct Tag {
    job: u64,
    shard: u8,
    holder: NodeId,
}

/// See the module's description.
pub(crate) struct Publish<'a> {
    session: &'a Arc<Session>,
    secret: &'a ConvergenceSecret,
    journal: Journal,
    lease_until: Timestamp,
    lane: Lane<Tag, Put>,
    jobs: BTreeMap<u64, Job>,
    spread: Option<Spreading>,
    proof: Proof,
    /// Whether stripes get wardens, and the descriptors that are being seeded for them.
    wardens: bool,
    seeding: JoinSet<Spread>,
    placed: Placed,
    kept: Keepsake,
    progress: &'a Progress,
    /// How many guards had been found out when it began.
    guards_found_out: u32,
}

/// Publishes `source`; if that is to be `spread` over time, so long, and how many shards there will be.
async fn attempt(
    session: &Arc<Session>,
    secret: &ConvergenceSecret,
    folder: PathBuf,
    source: Source,
    options: &PublishOptions,
    spread: Option<(Duration, u64)>,
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
        spread: spread.map(|(over, shards)| Spreading::new(over, shards)),
        proof: Proof::new(session.clone()),
        wardens: options.wardens,
        seeding: JoinSet::new(),
        placed: Placed::default(),
        kept: Keepsake::default(),
        progress,
        guards_found_out: session.guards_found_out(),
    };
    let placed = publish.place(source, options.survive).await;
    if publish.is_misplaced(placed.as_ref().err()).await {
        return Err(publish.give_up_guard());
    }
    let (finished, stats) = placed?;
    let link = finished.capability().to_string();
    progress.set_phase(Phase::Proving);
    let proof = publish.prove().await;
    if publish.check_guard().is_err() {
        return Err(publish.give_up_guard());
    }
    let (proven, sampled) = proof?;
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

impl Publish<'_> {
    /// Places all shards, and the record by which the root is found.
    async fn place(&mut self, source: Source, survive: Survive) -> Result<(Finished, EncoderStats), Error> {
        let (finished, stats) = self.place_all(source, survive).await?;
        if let Finished::Root { descriptor, .. } = &finished {
            self.spread_record(descriptor).await?;
        }
        Ok((finished, stats))
    }

    async fn place_all(&mut self, source: Source, survive: Survive) -> Result<(Finished, EncoderStats), Error> {
        let mut cuts = cutting::start(source, self.secret.duplicate(), survive)?;
        let mut finished = None;
        let mut next = 0;
        let mut open = true;
        loop {
            let wake = self.send();
            if finished.is_some() && self.jobs.is_empty() && self.proof.is_done() {
                break;
            }
            self.check_guard()?;
            let room = open && self.jobs.len() < ACTIVE && self.seeding.len() < SEEDING_MAX;
            tokio::select! {
                biased;
                done = self.lane.next(wake), if wake.is_some() || !self.lane.is_idle() => {
                    if let Some(done) = done {
                        self.take(done)?;
                    }
                }
                Some(done) = self.proof.next(None), if self.proof.awaits() => self.proof.take(&done),
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
        for (locator, holder) in descriptor.locators().iter().zip(&already) {
            if let Some(holder) = holder {
                self.prove_perhaps(*locator, *holder);
            }
        }
        let resumed = already.iter().flatten().count() as u64;
        self.placed.resumed += resumed;
        self.progress.add_shards_needed(shards.len() as u64);
        self.progress.add_shards(resumed);
        let scatter = Scatter::new(&placement, &already);
        let shards = shards.into_iter().map(Some).collect();
        self.jobs.insert(number, Job { descriptor, shards, scatter, used: HashMap::new() });
    }

    /// Sends what the machines want sent, of stripes by turns that chance decides; returns when to look again.
    fn send(&mut self) -> Option<Moment> {
        let now = moment();
        let mut open: Vec<Turn> = self.jobs.keys().map(|number| Turn::Stripe(*number)).collect();
        open.extend(self.proof.is_waiting().then_some(Turn::Proof));
        while !open.is_empty() && self.lane.has_room() && self.leaves_at().is_none_or(|at| at <= now) {
            let which = rand::random_range(0..open.len());
            let sent = match open[which] {
                Turn::Stripe(number) => self.send_one(number, now),
                Turn::Proof => self.proof.send_one(),
            };
            if !sent {
                open.swap_remove(which);
            } else if let Some(spread) = &self.spread {
                spread.pace.left(now);
            }
        }
        let mut wake = self.leaves_at().filter(|at| !open.is_empty() && *at > now);
        let mut done = Vec::new();
        for (&number, job) in &mut self.jobs {
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

    /// When the next request may leave, if they are spread over time.
    fn leaves_at(&self) -> Option<Moment> {
        self.spread.as_ref().map(|spread| spread.pace.next())
    }

    /// Sends one shard of a stripe, if its machine wants one sent.
    fn send_one(&mut self, number: u64, now: Moment) -> bool {
        let Some(job) = self.jobs.get_mut(&number) else { return false };
        let send = {
            let table = self.session.table();
            let experience = self.session.experience();
            let chance = |id: &NodeId| {
                let full = experience.outcomes.is_full(id, now);
                if full { 0.0 } else { self.session.chance(&table, &experience, id, now) }
            };
            job.scatter.poll(now, chance, |shard| diversions(&table, &job.descriptor.locators()[shard]))
        };
        let Some(send) = send else { return false };
        let Some(shard) = job.shards[usize::from(send.shard)].clone() else { return false };
        let locator = shard.locator();
        let ask = Ask::Store { lease_until: self.lease_until, stamp: Stamp::NONE, shard };
        let used = job.used.entry(send.shard).or_default();
        let tag = Tag { job: number, shard: send.shard, holder: send.node };
        self.lane.start(tag, send.node, ask, used, move |answer| Put::check(&locator, &answer));
        true
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
            self.prove_perhaps(locator, holder);
        }
        Ok(())
    }

    /// Has a shard fetched back between the others, if the publish is spread over time and chance wants it.
    fn prove_perhaps(&mut self, locator: Locator, holder: NodeId) {
        if self.spread.as_ref().is_some_and(|spread| rand::random_bool(spread.proved.min(1.0))) {
            self.proof.add(locator, holder);
        }
    }

    /// Takes a stripe that is done into the account.
    fn finish(&mut self, number: u64) {
        let Some(job) = self.jobs.remove(&number) else { return };
        if let Some(ScatterVerdict::Short { placed, wanted }) = job.scatter.verdict() {
            self.placed.short += (wanted - placed) as u64;
        }
        for (locator, holder) in job.descriptor.locators().iter().zip(job.scatter.stored()) {
            let Some(holder) = holder else { continue };
            self.placed.shards += 1;
            self.placed.seen += 1;
            // Reservoir sampling (Vitter's algorithm R): each placed shard is in the sample with equal probability.
            if self.placed.sample.len() < PROOF_SAMPLE {
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
        self.placed.note_loads(&job.descriptor, job.scatter.stored());
        self.kept.keep(&job.descriptor, job.scatter.stored());
        self.progress.add_bytes(job_bytes(&job.descriptor));
    }

    /// Puts the root descriptor on every node near its addresses.
    async fn spread_record(&mut self, descriptor: &Descriptor) -> Result<(), Error> {
        let mut tries = 1;
        loop {
            let spread = records::spread(self.session, descriptor, self.lease_until, CANDIDATES).await;
            let Some((stored, wanted)) = root_shortfall(&spread.stored, &spread.near) else { return Ok(()) };
            if tries == RECORD_TRIES {
                return Err(Error::RootShort { placed: stored as u64, wanted: wanted as u64 });
            }
            // Nodes that are overloaded for a moment are no reason to give up what is placed already.
            tokio::time::sleep(RECORD_PAUSE * tries).await;
            tries += 1;
        }
    }

    /// Fetches a sample of what was placed over other paths, unless that was done meanwhile; a shard that does not come back is
    /// counted against the promise only if many do not. Then what was acknowledged and not kept is placed anew, and proven anew.
    async fn prove(&mut self) -> Result<(usize, usize), Error> {
        if self.spread.is_none() {
            std::mem::take(&mut self.placed.sample)
                .into_iter()
                .for_each(|(locator, holder)| self.proof.add(locator, holder));
        }
        let mut rounds = 1;
        loop {
            while !self.proof.is_done() {
                while self.proof.send_one() {}
                if let Some(done) = self.proof.next(None).await {
                    self.proof.take(&done);
                }
            }
            let (proven, total) = self.proof.counts();
            if is_proof(proven, total) {
                return Ok((proven, total));
            }
            let liars = self.proof.liars().clone();
            if rounds == PROOF_ROUNDS || !self.mend(&liars).await {
                return Err(Error::Unproven { came: proven, sampled: total });
            }
            rounds += 1;
            self.proof = Proof::new(self.session.clone());
            let sample = self.kept_shards().sample(&mut rand::rng(), PROOF_SAMPLE);
            sample.into_iter().for_each(|(locator, holder)| self.proof.add(locator, holder));
        }
    }
}

/// Bytes of content that a full stripe of this shape stands for; the progress shown is that of content, not of shards.
fn job_bytes(descriptor: &Descriptor) -> u64 {
    (descriptor.geometry().k() * palimpsest_proto::params::SEGMENT_BYTES) as u64
}
