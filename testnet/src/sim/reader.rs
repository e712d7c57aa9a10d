//! A client in virtual time: `proto`'s guards, paths, flights, outcomes and [`Gather`], driven as `client::gathering` drives them. One
//! request crosses a middle relay, a holder and a back relay; it takes a round trip, or nothing comes of it.

use super::SimError;
use super::world::WALL;
use palimpsest_proto::flow::{FlightId, Flights, Gather, GatherOutcome, GatherVerdict};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::select::{
    GuardList, NodeTable, Outcomes, PathRules, Whereabouts, choose_path, place, whereabouts,
};
use palimpsest_proto::time::Moment;
use rand::RngExt;
use rand::rngs::StdRng;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
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

/// A round trip over six links, give or take a fifth.
const ROUND_TRIP: Duration = Duration::from_millis(200);
/// What comes within so long is looked at together: a gather puts its plan in order anew after each bad answer, and that is what a
/// simulation of a hostile network spends its time on.
const TICK: Duration = Duration::from_millis(10);
/// A fetch of one stripe that takes longer counts as failed.
const DEADLINE: Duration = Duration::from_secs(600);
/// When a story's clock begins: long after zero, so that what was long ago can be told.
const BEGIN: Moment = Moment(Duration::from_secs(1_000_000));

/// What came of one fetch of one stripe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Read {
    pub(super) complete: bool,
    pub(super) took: Duration,
    pub(super) asked: usize,
}

/// Where a reader looks beside the candidates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
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

struct Sent {
    shard: u8,
    node: NodeId,
    outcome: GatherOutcome,
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
    let mut gather = Gather::new(k, &place(table, locators, k));
    let (mut outcomes, mut flights) = (Outcomes::new(), Flights::new());
    let guard = guard(table, dice, meets)?;
    let mut sent: BTreeMap<FlightId, Sent> = BTreeMap::new();
    let mut used: BTreeMap<u8, Vec<(NodeId, NodeId)>> = BTreeMap::new();
    let mut arrivals: BinaryHeap<Reverse<(Moment, FlightId)>> = BinaryHeap::new();
    let (mut now, mut asked) = (BEGIN, 0);
    let far = |shard: usize| match beside {
        Beside::Whereabouts => whereabouts(table, &locators[shard]),
        Beside::Nowhere => Whereabouts::default(),
    };
    loop {
        while flights.can_depart() {
            let path = outcomes.path_chance();
            let Some(ask) = gather.poll(now, path, |id| outcomes.chance(table, id, now), far) else { break };
            let used = used.entry(ask.shard).or_default();
            let rules = PathRules { own: None, guard, holder: ask.node, used };
            let path = choose_path(dice, table, &mut outcomes, &rules, now).ok_or(SimError::TooSmall)?;
            used.push((path.middle, path.back));
            let id = flights.depart(path.nodes(ask.node), now);
            asked += 1;
            let manners = (meets.manners)(&ask.node);
            let outcome = match manners {
                Manners::Garbage => GatherOutcome::Garbage,
                Manners::Denies => GatherOutcome::Absent,
                _ if (meets.has)(ask.shard.into(), &ask.node) => GatherOutcome::Got,
                _ => GatherOutcome::Absent,
            };
            let passed = [path.middle, path.back].iter().all(|relay| (meets.manners)(relay) != Manners::Dead);
            if passed && !matches!(manners, Manners::Dead | Manners::Drops) {
                (meets.served)(&ask.node);
                arrivals.push(Reverse((now + ROUND_TRIP.mul_f64(dice.random_range(0.8..1.2)), id)));
            }
            sent.insert(id, Sent { shard: ask.shard, node: ask.node, outcome });
        }
        let took = now.since(BEGIN);
        if gather.verdict().is_some() || took > DEADLINE {
            let complete = gather.verdict() == Some(GatherVerdict::Complete);
            return Ok(Read { complete, took, asked });
        }
        let arrival = arrivals.peek().map(|Reverse((at, _))| *at);
        let next = [arrival, flights.poll_timeout(), gather.poll_timeout(now)].into_iter().flatten().min();
        // Nobody to wait for and no verdict: the machines exclude it.
        let Some(next) = next else { return Ok(Read { complete: false, took, asked }) };
        now = now.max(next) + TICK;
        while let Some(&Reverse((at, id))) = arrivals.peek()
            && at <= now
        {
            arrivals.pop();
            let landed = flights.landed(id, &mut outcomes, now);
            if let (Some(_), Some(Sent { shard, node, outcome })) = (landed, sent.get(&id)) {
                if *outcome == GatherOutcome::Garbage {
                    outcomes.garbage(*node);
                }
                gather.handle(now, *shard, node, *outcome);
            }
        }
        for id in flights.overdue(table, &mut outcomes, now) {
            if let Some(Sent { shard, node, .. }) = sent.get(&id) {
                gather.handle(now, *shard, node, GatherOutcome::TimedOut);
            }
        }
    }
}

/// The first guard of a fresh sample that answers.
fn guard(table: &NodeTable, dice: &mut StdRng, meets: &Meets<'_>) -> Result<NodeId, SimError> {
    let mut guards = GuardList::new();
    guards.refill(dice, table, None, WALL);
    let mut tried = Vec::new();
    while let Some(guard) = guards.choose(table, BEGIN, &tried) {
        if (meets.manners)(&guard) != Manners::Dead {
            return Ok(guard);
        }
        guards.failed(&guard, BEGIN);
        tried.push(guard);
    }
    Err(SimError::TooSmall)
}
