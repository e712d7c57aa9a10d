//! Scouts: small requests to nodes drawn by chance, for nothing but whether answers come.
//!
//! A request crosses three nodes that are not known to live. If 7 of 10 are dead or were never there, one of 40 requests gets
//! through, and whoever learns by his shards, a window of them at a time, learns for minutes. A scout costs a thirtieth of what a shard
//! costs on the line, so many leave at once; each that comes back proves three nodes, and those that follow go by proven relays, so
//! that their silence tells of one node each. The first ones go by any relays, whatever is said of them: a guard that calls the
//! living dead and the dead alive cannot lead them astray.

use super::{Departure, Session, lock};
use crate::clock::moment;
use futures::stream::{FuturesUnordered, StreamExt};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::Ask;
use palimpsest_proto::select::{FOUND_DEAD, Path};
use palimpsest_proto::time::Moment;
use rand::seq::IteratorRandom;
use std::time::Duration;

/// Scouts that leave at once: 256 KB.
const SCOUTS_MAX: usize = 128;
/// They leave when less than this is assumed of nodes that were not tried.
const SCOUTED_BELOW: f64 = 0.75;
/// They stop leaving when so many nodes have proven themselves: paths are drawn from these.
const PROVEN_ENOUGH: usize = 64;
/// Times that they leave in one run, and the pause between two of them. What is not known then is found out by requests.
const TIMES_MAX: u32 = 12;
const PAUSE: Duration = Duration::from_millis(500);
/// After so many times the guard may be doubted.
const DOUBTED_AFTER: u32 = 3;
/// From so many proven relays on, scouts go by them.
pub(super) const PROVEN_RELAYS_MIN: usize = 4;

/// When scouts left last, and how often; which guards were asked for a second opinion.
#[derive(Default)]
pub(super) struct Scouting {
    at: Option<Moment>,
    times: u32,
    pub(super) opinions: Vec<NodeId>,
}

impl Session {
    /// Whether scouts should leave; whoever is told so has to send them. A node learns by its connections.
    pub(crate) fn is_scouting_due(&self) -> bool {
        if self.own.is_some() {
            return false;
        }
        let now = moment();
        let table = self.table();
        let experience = self.experience();
        let mut scouting = lock(&self.scouting);
        let early = scouting.at.is_some_and(|at| now.since(at) < PAUSE);
        if experience.outcomes.base() >= SCOUTED_BELOW || scouting.times >= TIMES_MAX || early {
            return false;
        }
        if experience.outcomes.proven(&table, now).nth(PROVEN_ENOUGH - 1).is_some() {
            return false;
        }
        scouting.times += 1;
        scouting.at = Some(now);
        true
    }

    /// Sends scouts, and notes which came back. Ends within the time after which a request is overdue, or, where nearly nobody
    /// answers though some were sent out before, after a second opinion.
    pub(crate) async fn scout(&self) {
        let guard = self.guard();
        let relays = self.scouted_by();
        let mut flying = self.scouts(guard, self.unproven(SCOUTS_MAX), &relays, Duration::ZERO);
        let mut silent = Vec::new();
        let mut some_came = false;
        while let Some((nodes, came)) = flying.next().await {
            if came {
                some_came = true;
                self.experience().outcomes.answer(&nodes, moment());
            } else {
                silent.push(nodes);
            }
        }
        // If none came back, it may be the guard that lets none through.
        if some_came {
            let table = self.table();
            let outcomes = &mut self.experience().outcomes;
            silent.iter().for_each(|nodes| outcomes.scout_lost(&table, nodes, moment()));
        }
        if lock(&self.scouting).times >= DOUBTED_AFTER && self.is_guard_doubtful() {
            self.compare_guard(guard).await;
        }
    }

    /// Scouts to the `holders` by way of `guard` and two of the `relays` each: by which nodes they went, and whether an answer came within
    /// the time after which a request is overdue, or `wait_min` if that is longer.
    pub(super) fn scouts(
        &self,
        guard: NodeId,
        holders: Vec<NodeId>,
        relays: &[NodeId],
        wait_min: Duration,
    ) -> FuturesUnordered<impl Future<Output = ([NodeId; 3], bool)>> {
        let wait = self.experience().flights.window().timeout().max(wait_min);
        let by_chance = |holder: NodeId| {
            let two = relays.iter().filter(|id| **id != holder).sample(&mut rand::rng(), 2);
            let (&&middle, &&back) = (two.first()?, two.get(1)?);
            Some(Path { middle, back, diverse: false })
        };
        // The number counts for nothing: scouts are not part of the window.
        let depart = |holder| self.route(guard, holder, |_, _, _| by_chance(holder), |flights, _, _, _| flights.skip());
        let departing = holders.into_iter().filter_map(|holder| Some((holder, depart(holder)?)));
        departing
            .map(|(holder, departure)| async move {
                let came = matches!(tokio::time::timeout(wait, self.seek(&departure)).await, Ok(true));
                (departure.path.nodes(holder), came)
            })
            .collect()
    }

    /// Asks for a shard that nobody has. Whatever is answered shows that there is an answer.
    async fn seek(&self, departure: &Departure) -> bool {
        let ask = Ask::Probe { locators: vec![Locator(rand::random())] };
        self.exchange(departure, ask).await.is_ok()
    }

    /// The relays by which scouts go: those that have proven themselves, or all while such are few.
    fn scouted_by(&self) -> Vec<NodeId> {
        let (table, guard) = (self.table(), self.guard());
        let proven = self.experience().outcomes.proven(&table, moment()).copied().collect::<Vec<_>>();
        let mut relays = if proven.len() >= PROVEN_RELAYS_MIN { proven } else { table.relays().to_vec() };
        relays.retain(|id| *id != guard);
        relays
    }

    /// Holders that may live and have not shown it, as many as `count` of them.
    fn unproven(&self, count: usize) -> Vec<NodeId> {
        let now = moment();
        let (table, guard) = (self.table(), self.guard());
        let experience = self.experience();
        let outcomes = &experience.outcomes;
        let is_open =
            |id: &NodeId| !outcomes.is_proven(&table, id, now) && outcomes.chance(&table, id, now) >= FOUND_DEAD;
        let unknown = table.iter().filter(|(id, node)| node.signed().roles.holds && **id != guard && is_open(id));
        unknown.map(|(id, _)| *id).sample(&mut rand::rng(), count)
    }
}
