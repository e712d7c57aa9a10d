//! Gathers stripes several at a time and gives their packs out in order: the driver of [`Gather`], and nothing that decides.
//!
//! ```text
//! push(stripe) ─► jobs (AHEAD at most) ─ Gather::poll ─► lane ─► holders
//!                   └─ k shards there ─► decode (blocking threads) ─► ready ─► next_pack(), in order
//! ```

use crate::clock::moment;
use crate::error::Error;
use crate::lane::{Done, Lane, Way};
use crate::pace::Pace;
use crate::policy::{AHEAD, MIXED};
use crate::progress::Progress;
use crate::repair::{Repaired, scatter};
use crate::said::Got;
use crate::session::Session;
use crate::stripe_name::StripeName;
use crate::survey::{Found, survey};
use bytes::Bytes;
use palimpsest_proto::coding::{self, Descriptor, Shard};
use palimpsest_proto::content::{self, Manifest, StripeKey, StripeRef};
use palimpsest_proto::flow::{Gather, GatherOutcome, GatherVerdict};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::Ask;
use palimpsest_proto::params::{LEASE_SECONDS_DEFAULT, SEGMENT_BYTES, TAG_BYTES};
use palimpsest_proto::select::{place, whereabouts};
use palimpsest_proto::time::Moment;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Stripes being healed at once, and shards put back by one fetch at most (32 MiB): a reader helps, and does not pay for the
/// whole network.
const HEALING_MAX: usize = 4;
const HEAL_SHARDS_MAX: usize = 512;
/// How long a fetch that is done waits for what it puts back.
const HEAL_WAIT: Duration = Duration::from_secs(10);
/// How long a round pauses in which nothing could be done.
const IDLE_PAUSE: Duration = Duration::from_millis(50);

/// Which fetch it was.
#[derive(Clone)]
struct Tag {
    job: u64,
    shard: u8,
    holder: NodeId,
}

struct Job {
    name: StripeName,
    stripe: Arc<StripeRef>,
    gather: Gather,
    got: Vec<(u8, Shard)>,
    used: HashMap<u8, Vec<Way>>,
    /// Shards that a node said it has not, and that nobody else had.
    absent: BTreeSet<u8>,
}

/// A pack, and the shards that are to be put back, by their index.
struct Decoded {
    pack: Bytes,
    stripe: Arc<StripeRef>,
    heal: Vec<(u8, Shard)>,
}

/// Totals of one fetch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) asked: u64,
    pub(crate) got: u64,
    pub(crate) bad: u64,
}

/// See the module's description.
pub(crate) struct Gathering {
    session: Arc<Session>,
    lane: Lane<Tag, Got>,
    jobs: BTreeMap<u64, Job>,
    decoding: JoinSet<(u64, Result<Decoded, Error>)>,
    /// Whether what is missing is put back, what is being put back, and how many shards were begun with.
    pub(crate) heal: bool,
    /// When requests may leave, if they are spread over time.
    pub(crate) pace: Option<Pace>,
    healing: JoinSet<Repaired>,
    healed: usize,
    ready: BTreeMap<u64, Bytes>,
    pushed: u64,
    given: u64,
    progress: Progress,
    pub(crate) totals: Totals,
}

impl Gathering {
    pub(crate) fn new(session: Arc<Session>, progress: Progress) -> Gathering {
        Gathering {
            lane: Lane::new(session.clone()),
            session,
            jobs: BTreeMap::new(),
            decoding: JoinSet::new(),
            heal: false,
            pace: None,
            healing: JoinSet::new(),
            healed: 0,
            ready: BTreeMap::new(),
            pushed: 0,
            given: 0,
            progress,
            totals: Totals::default(),
        }
    }

    /// Whether one more stripe may be pushed now.
    pub(crate) fn wants(&self) -> bool {
        (self.pushed - self.given) < AHEAD as u64
    }

    /// Gathers the root stripe, which says itself how long its pack is, and reads the manifest.
    pub(crate) async fn root(&mut self, descriptor: &Descriptor, key: &StripeKey) -> Result<Manifest, Error> {
        // Any length: the job is taken out before its pack would be cut.
        let stripe = StripeRef { descriptor: descriptor.clone(), key: key.duplicate(), len: 0 };
        self.push(StripeName::Root, stripe);
        let got = loop {
            if let Some(job) = self.jobs.first_entry()
                && job.get().gather.verdict() == Some(GatherVerdict::Complete)
            {
                break job.remove().got;
            }
            let wake = self.ask()?;
            if let Some(done) = self.lane.next(wake).await {
                self.note(done);
            }
        };
        self.given = self.pushed;
        let data =
            coding::rebuild(descriptor, got).map_err(|e| Error::Integrity { what: format!("the root ({e})") })?;
        content::open_root(key, descriptor, &data).map_err(|e| Error::Integrity { what: format!("the manifest ({e})") })
    }

    /// Begins to gather a stripe; errors call it by `name`.
    pub(crate) fn push(&mut self, name: StripeName, stripe: StripeRef) {
        let k = stripe.descriptor.geometry().k();
        let placement = place(&self.session.table(), stripe.descriptor.locators(), k);
        self.progress.add_shards_needed(k as u64);
        let gather = Gather::new(k, &placement);
        let job = Job {
            name,
            stripe: Arc::new(stripe),
            gather,
            got: Vec::new(),
            used: HashMap::new(),
            absent: BTreeSet::new(),
        };
        self.jobs.insert(self.pushed, job);
        self.pushed += 1;
    }

    /// The next pack in the order of pushing; `None` when there is none left.
    pub(crate) async fn next_pack(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(pack) = self.ready.remove(&self.given) {
                self.given += 1;
                return Ok(Some(pack));
            }
            if self.pushed == self.given {
                return Ok(None);
            }
            let wake = self.ask()?;
            tokio::select! {
                biased;
                Some(decoded) = self.decoding.join_next() => {
                    let (order, pack) = decoded.map_err(|e| Error::Net(e.to_string()))?;
                    let Decoded { pack, stripe, heal } = pack?;
                    self.ready.insert(order, pack);
                    self.begin_healing(&stripe, heal);
                }
                done = self.lane.next(wake), if wake.is_some() || !self.lane.is_idle() => {
                    if let Some(done) = done {
                        self.take(done);
                    }
                }
                // Nothing on its way, nothing to ask, no verdict: the machines exclude it. The deadline holds all the same.
                else => tokio::time::sleep(IDLE_PAUSE).await,
            }
        }
    }

    /// Asks what the machines want asked, of the oldest stripes mixed by chance: which were asked for together would tell holders what
    /// belongs together. Returns when to look again.
    fn ask(&mut self) -> Result<Option<Moment>, Error> {
        let now = moment();
        let mut open: Vec<u64> = self.jobs.keys().copied().collect();
        while !open.is_empty() && self.lane.has_room() && self.leaves_at().is_none_or(|at| at <= now) {
            let which = rand::random_range(0..open.len().min(MIXED));
            if !self.ask_one(open[which], now) {
                open.remove(which);
            } else if let Some(pace) = &self.pace {
                pace.left(now);
            }
        }
        let mut wake = self.leaves_at().filter(|at| !open.is_empty() && *at > now);
        for job in self.jobs.values() {
            let failed = match job.gather.verdict() {
                Some(GatherVerdict::Complete) | None => None,
                Some(GatherVerdict::Unreachable { have, need }) => Some((have, need)),
                Some(GatherVerdict::Absent { .. }) => Some((0, job.stripe.descriptor.geometry().k())),
            };
            if let Some((have, need)) = failed {
                return Err(Error::NotRetrievable { stripe: job.name, have, need });
            }
            wake = [wake, job.gather.poll_timeout(now)].into_iter().flatten().min();
        }
        Ok(wake)
    }

    /// When the next request may leave, if they are spread over time.
    fn leaves_at(&self) -> Option<Moment> {
        self.pace.as_ref().map(Pace::next)
    }

    /// Asks for one shard of a stripe, if its machine wants one asked for.
    fn ask_one(&mut self, order: u64, now: Moment) -> bool {
        let Some(job) = self.jobs.get_mut(&order) else { return false };
        let ask = {
            let table = self.session.table();
            let experience = self.session.experience();
            let path = experience.outcomes.path_chance();
            let far = |shard: usize| whereabouts(&table, &job.stripe.descriptor.locators()[shard]);
            job.gather.poll(now, path, |id| self.session.chance(&table, &experience, id, now), far)
        };
        let Some(ask) = ask else { return false };
        let locator = job.stripe.descriptor.locators()[usize::from(ask.shard)];
        let tag = Tag { job: order, shard: ask.shard, holder: ask.node };
        self.totals.asked += 1;
        let used = job.used.entry(ask.shard).or_default();
        self.lane.start(tag, ask.node, Ask::Fetch { locator }, used, move |answer| Got::check(&locator, answer));
        true
    }

    fn take(&mut self, done: Done<Tag, Got>) {
        let order = done.tag.job;
        self.note(done);
        if let Some(job) = self.jobs.get(&order)
            && job.gather.verdict() == Some(GatherVerdict::Complete)
            && let Some(job) = self.jobs.remove(&order)
        {
            let session = self.session.clone();
            let heal = if self.heal { job.absent } else { BTreeSet::new() };
            self.decoding
                .spawn_blocking(move || (order, session.account().coding.on(|| decode(job.stripe, job.got, &heal))));
        }
    }

    fn note(&mut self, done: Done<Tag, Got>) {
        let Tag { job: order, shard, holder } = done.tag;
        let outcome = Got::outcome(&done.result);
        if outcome == GatherOutcome::Garbage {
            self.totals.bad += 1;
        }
        // A late answer to a stripe that is complete is normal.
        let Some(job) = self.jobs.get_mut(&order) else { return };
        job.gather.handle(moment(), shard, &holder, outcome);
        if outcome == GatherOutcome::Absent {
            job.absent.insert(shard);
        }
        if let Ok(Got::Shard(bytes)) = done.result
            && !job.got.iter().any(|(index, _)| *index == shard)
        {
            self.totals.got += 1;
            self.progress.add_shards(1);
            job.got.push((shard, bytes));
            // Somebody else has it.
            job.absent.remove(&shard);
        }
    }

    /// Puts shards back beside the fetch: what is over the bounds is left to wardens and later readers.
    fn begin_healing(&mut self, stripe: &StripeRef, heal: Vec<(u8, Shard)>) {
        if heal.is_empty() || self.healing.len() >= HEALING_MAX || self.healed + heal.len() > HEAL_SHARDS_MAX {
            return;
        }
        self.healed += heal.len();
        let (session, descriptor) = (self.session.clone(), stripe.descriptor.clone());
        let lease_until = Session::lease_until(LEASE_SECONDS_DEFAULT);
        self.healing.spawn(async move {
            // One node's word is not enough: it may not be the one that should have it.
            let absent: Vec<u8> = heal.iter().map(|(index, _)| *index).collect();
            let found = survey(&session, std::slice::from_ref(&descriptor), Some(&absent), &Progress::new()).await;
            let missing = found.first().map(Found::missing).unwrap_or_default();
            let mut shards = vec![None; descriptor.geometry().n()];
            let wanted = heal.into_iter().filter(|(index, _)| missing.contains(index));
            wanted.for_each(|(index, shard)| shards[usize::from(index)] = Some(shard));
            scatter(&session, &descriptor, &[], shards, lease_until).await
        });
    }

    /// Waits for what is being put back, for a while; how many shards were.
    pub(crate) async fn finish_healing(&mut self) -> u64 {
        let mut healed = 0;
        let all = async {
            while let Some(repaired) = self.healing.join_next().await {
                healed += repaired.map_or(0, |repaired| repaired.placed.len() as u64);
            }
        };
        // What is not back by then is abandoned with the fetch.
        let _ = tokio::time::timeout(HEAL_WAIT, all).await;
        healed
    }
}

/// The pack of a stripe of which k shards are there.
fn decode(stripe: Arc<StripeRef>, got: Vec<(u8, Shard)>, heal: &BTreeSet<u8>) -> Result<Decoded, Error> {
    let spoilt = |e| Error::Integrity { what: format!("a stripe ({e})") };
    let (data, heal) = if heal.is_empty() {
        (coding::rebuild(&stripe.descriptor, got).map_err(spoilt)?, Vec::new())
    } else {
        let mut all = coding::rebuild_stripe(&stripe.descriptor, got).map_err(spoilt)?.shards;
        let heal = heal.iter().map(|&index| (index, all[usize::from(index)].clone())).collect();
        all.truncate(stripe.descriptor.geometry().k());
        (all, heal)
    };
    let pack = Bytes::from(open_pack(&stripe.key, &data, stripe.len)?);
    Ok(Decoded { pack, stripe, heal })
}

/// Opens the data shards' segments, and keeps the first `len` bytes.
fn open_pack(key: &StripeKey, data: &[Shard], len: usize) -> Result<Vec<u8>, Error> {
    let mut pack = Vec::with_capacity(data.len() * SEGMENT_BYTES + TAG_BYTES);
    for (index, shard) in (0u8..).zip(data) {
        content::open_segment_onto(key, index, shard, &mut pack)
            .map_err(|_| Error::Integrity { what: "a segment's seal".to_owned() })?;
    }
    pack.truncate(len);
    Ok(pack)
}
