//! Gathering in virtual time: `proto`'s [`Gather`], driven as `client::gathering` drives it.

use super::SimError;
use super::client::{BEGIN, Lost, ROUND_TRIP, Route, STRAYS, Session, Stop, Way, Wire};
use palimpsest_client::policy::{AHEAD, MIXED};
use palimpsest_proto::flow::{Gather, GatherOutcome, GatherVerdict};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::select::{GuardList, NodeTable, Whereabouts, place, whereabouts};
use palimpsest_proto::time::Moment;
use rand::RngExt;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// How a node treats who asks it for a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// Gives what it has.
    Honest,
    /// Is dead: neither answers nor passes anything on.
    Dead,
    /// Passes packets on, and answers nothing itself.
    Drops,
    /// Passes packets on, and answers with garbage.
    Garbage,
    /// Passes packets on, and denies what it has.
    Denies,
}

/// A fetch of one stripe that takes longer counts as failed.
const DEADLINE: Duration = Duration::from_secs(600);

/// What came of one fetch of one stripe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) complete: bool,
    pub(super) took: Duration,
    pub(super) asked: usize,
}

/// Where a reader looks beside the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    /// As clients do.
    Whereabouts,
    /// Nowhere: to see what the other is worth.
    Nowhere,
}

/// What a reader meets: the manners of a node, and who has which shard.
pub(super) struct Meets<'a> {
    pub(super) manners: &'a dyn Fn(&NodeId) -> Manners,
    pub(super) has: &'a dyn Fn(usize, &NodeId) -> bool,
    /// Told of each request that a holder serves.
    pub(super) served: &'a mut dyn FnMut(&NodeId),
}

/// Asked is for a shard by its number; answered what comes of it.
impl Wire for Meets<'_> {
    type Ask = u8;
    type Answer = GatherOutcome;

    fn admits(&mut self, guard: &NodeId) -> bool {
        (self.manners)(guard) != Manners::Dead
    }

    fn carry(
        &mut self,
        dice: &mut StdRng,
        route: &Route,
        shard: u8,
        _now: Moment,
    ) -> Option<(Duration, GatherOutcome)> {
        let Route { middle, holder, back, .. } = route;
        let manners = (self.manners)(holder);
        let passed = [middle, back].iter().all(|relay| (self.manners)(relay) != Manners::Dead);
        if !passed || matches!(manners, Manners::Dead | Manners::Drops) {
            return None;
        }
        (self.served)(holder);
        let outcome = match manners {
            Manners::Garbage => GatherOutcome::Garbage,
            Manners::Denies => GatherOutcome::Absent,
            _ if (self.has)(shard.into(), holder) => GatherOutcome::Got,
            _ => GatherOutcome::Absent,
        };
        Some((round_trip(dice), outcome))
    }

    fn scout(&mut self, dice: &mut StdRng, route: &Route, _now: Moment) -> Option<Duration> {
        let dead = [&route.middle, &route.back].iter().any(|relay| (self.manners)(relay) == Manners::Dead);
        let silent = matches!((self.manners)(&route.holder), Manners::Dead | Manners::Drops);
        (!dead && !silent).then(|| round_trip(dice))
    }
}

fn round_trip(dice: &mut StdRng) -> Duration {
    ROUND_TRIP.mul_f64(dice.random_range(1.0 - STRAYS..1.0 + STRAYS))
}

/// Somebody who has never fetched before gathers any `k` of the stripe's shards.
pub(super) fn read(
    table: &NodeTable,
    dice: &mut StdRng,
    k: usize,
    locators: &[Locator],
    beside: Beside,
    meets: &mut Meets<'_>,
) -> Result<Read, SimError> {
    let mut guards = GuardList::new();
    let mut session = Session::open(table, dice, &mut guards, meets, (BEGIN, BEGIN + DEADLINE))?;
    let begin = session.now();
    let gathered = gather(&mut session, &[Wanted { k, locators }], beside, |_, shard| shard, |_, _, outcome| outcome);
    let complete = match gathered {
        Ok(()) => true,
        Err(Ungathered::Short { .. } | Ungathered::Stop(Stop::Late)) => false,
        Err(Ungathered::Stop(Stop::Sim(error))) => return Err(error),
    };
    Ok(Read { complete, took: session.now().since(begin), asked: session.asked() })
}

/// A stripe of which any `k` shards are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) k: usize,
    pub(crate) locators: &'a [Locator],
}

/// Why stripes were not gathered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ungathered {
    /// Too few shards of one of them can be had.
    Short { have: usize, need: usize },
    /// The client stopped.
    Stop(Stop),
}

impl From<Stop> for Ungathered {
    fn from(stop: Stop) -> Ungathered {
        Ungathered::Stop(stop)
    }
}

struct Job<'a> {
    wanted: Wanted<'a>,
    gather: Gather,
    used: BTreeMap<u8, Vec<Way>>,
}

impl<'a> Job<'a> {
    fn new(table: &NodeTable, wanted: Wanted<'a>) -> Job<'a> {
        let gather = Gather::new(wanted.k, &place(table, wanted.locators, wanted.k));
        Job { wanted, gather, used: BTreeMap::new() }
    }
}

/// Gathers stripes, a few at once, the oldest of them mixed by chance. `ask` for a stripe's shard, both by number; `take` says what an answer
/// to that is, and keeps it.
pub(crate) fn gather<W: Wire>(
    session: &mut Session<'_, W>,
    stripes: &[Wanted<'_>],
    beside: Beside,
    ask: impl Fn(usize, u8) -> W::Ask,
    mut take: impl FnMut(usize, u8, W::Answer) -> GatherOutcome,
) -> Result<(), Ungathered> {
    let table = session.table();
    let mut waiting = stripes.iter().enumerate();
    let mut jobs: BTreeMap<usize, Job<'_>> = BTreeMap::new();
    let mut lane = session.lane();
    loop {
        while jobs.len() < AHEAD
            && let Some((number, wanted)) = waiting.next()
        {
            jobs.insert(number, Job::new(table, *wanted));
        }
        let now = lane.session.now();
        let mut open: Vec<(usize, &mut Job<'_>)> = jobs.iter_mut().map(|(&number, job)| (number, job)).collect();
        while !open.is_empty() && lane.has_room() {
            // The dice are for where there is a choice.
            let which = if open.len() == 1 { 0 } else { lane.session.dice().random_range(0..open.len().min(MIXED)) };
            let (number, job) = &mut open[which];
            let far = |shard: usize| match beside {
                Beside::Whereabouts => whereabouts(table, &job.wanted.locators[shard]),
                Beside::Nowhere => Whereabouts::default(),
            };
            let path = lane.session.path_chance();
            let Some(next) = job.gather.poll(now, path, |id| lane.session.chance(id), far) else {
                open.remove(which);
                continue;
            };
            let used = job.used.entry(next.shard).or_default();
            let tag = (*number, next.shard, next.node);
            lane.start(tag, next.node, ask(*number, next.shard), used).map_err(Stop::from)?;
        }
        let mut wake = None;
        for job in jobs.values() {
            match job.gather.verdict() {
                Some(GatherVerdict::Unreachable { have, need }) => return Err(Ungathered::Short { have, need }),
                Some(GatherVerdict::Absent { .. }) => return Err(Ungathered::Short { have: 0, need: job.wanted.k }),
                Some(GatherVerdict::Complete) | None => {}
            }
            wake = [wake, job.gather.poll_timeout(now)].into_iter().flatten().min();
        }
        let before = jobs.len();
        jobs.retain(|_, job| job.gather.verdict().is_none());
        if jobs.is_empty() && waiting.len() == 0 {
            return Ok(());
        }
        if jobs.len() < before {
            continue;
        }
        for done in lane.next(wake)? {
            let (number, shard, node) = done.tag;
            // A late answer to a stripe that is complete is normal.
            let Some(job) = jobs.get_mut(&number) else { continue };
            let outcome = match done.result {
                Ok(answer) => take(number, shard, answer),
                Err(Lost::TimedOut) => GatherOutcome::TimedOut,
                Err(Lost::Unsent) => GatherOutcome::Unsent,
            };
            if outcome == GatherOutcome::Garbage {
                lane.session.distrust(node);
            }
            job.gather.handle(lane.session.now(), shard, &node, outcome);
        }
    }
}
