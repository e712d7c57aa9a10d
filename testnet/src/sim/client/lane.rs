//! Requests on their way, in virtual time: as `client::lane`.

use super::{Lost, Route, Session, Stop, Way, Wire};
use crate::sim::SimError;
use palimpsest_client::policy::UNSENT_MAX;
use palimpsest_proto::flow::FlightId;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::{PathRules, choose_path};
use palimpsest_proto::time::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// What comes within so long is looked at together: a gather puts its plan in order anew after each bad answer, and that is what a
/// simulation of a hostile network spends its time on.
const TICK: Duration = Duration::from_millis(10);

/// What came of a request, with the tag that it was given.
pub(crate) struct Done<T, A> {
    pub(crate) tag: T,
    pub(crate) result: Result<A, Lost>,
}

/// Requests that belong together, each with a tag. What is still on its way when it is dropped is no longer waited for.
pub(crate) struct Lane<'s, 'a, W: Wire, T> {
    pub(crate) session: &'s mut Session<'a, W>,
    sent: BTreeMap<FlightId, T>,
    arrivals: BTreeMap<(Moment, FlightId), W::Answer>,
}

impl<W: Wire, T> Drop for Lane<'_, '_, W, T> {
    fn drop(&mut self) {
        self.sent.keys().for_each(|flight| self.session.flights.forget(*flight));
    }
}

impl<'s, 'a, W: Wire, T: Clone> Lane<'s, 'a, W, T> {
    pub(super) fn new(session: &'s mut Session<'a, W>) -> Lane<'s, 'a, W, T> {
        Lane { session, sent: BTreeMap::new(), arrivals: BTreeMap::new() }
    }

    /// Whether one more request may leave.
    pub(crate) fn has_room(&self) -> bool {
        self.session.flights.can_depart()
    }

    /// Whether nothing is awaited: what is overdue may still come, and is not waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.session.flights.outstanding() == 0
    }

    /// Asks `holder` over relays that are not among `used`, and adds them there.
    pub(crate) fn start(&mut self, tag: T, holder: NodeId, ask: W::Ask, used: &mut Vec<Way>) -> Result<(), SimError> {
        let Session { table, dice, wire, guard, outcomes, flights, now, asked, .. } = &mut *self.session;
        let rules = PathRules { own: None, guard: *guard, holder, used };
        let path = choose_path(*dice, table, outcomes, &rules, *now).ok_or(SimError::TooSmall)?;
        used.push((path.middle, path.back));
        let nodes = path.nodes(holder);
        let hopeless = outcomes.is_hopeless(table, &nodes, *now);
        let flight = flights.depart(nodes, hopeless, *now);
        *asked += 1;
        let route = Route { guard: *guard, middle: path.middle, holder, back: path.back };
        if let Some((after, answer)) = wire.carry(dice, &route, ask, *now) {
            self.arrivals.insert((*now + after, flight), answer);
        }
        self.sent.insert(flight, tag);
        Ok(())
    }

    /// Waits until something happens, or until `wake`: what came, and what is overdue. An answer may come after its request
    /// was reported as lost.
    pub(crate) fn next(&mut self, wake: Option<Moment>) -> Result<Vec<Done<T, W::Answer>>, Stop> {
        let arrival = self.arrivals.keys().next().map(|(at, _)| *at);
        let scouts = self.session.scouts_next();
        let next = [arrival, self.session.flights.poll_timeout(), wake, scouts].into_iter().flatten().min();
        // Nobody to wait for and no verdict: the machines exclude it. The deadline holds all the same.
        let next = next.unwrap_or(self.session.deadline);
        self.session.advance(self.session.now.max(next) + TICK)?;
        let now = self.session.now;
        let mut news = Vec::new();
        while let Some(first) = self.arrivals.first_entry()
            && first.key().0 <= now
        {
            let ((_, flight), answer) = first.remove_entry();
            let landed = self.session.flights.landed(flight, &mut self.session.outcomes, now);
            if let (Some(_), Some(tag)) = (landed, self.sent.get(&flight)) {
                self.session.unsent_left = UNSENT_MAX;
                news.push(Done { tag: tag.clone(), result: Ok(answer) });
            }
        }
        for flight in self.session.flights.overdue(self.session.table, &mut self.session.outcomes, now) {
            if let Some(tag) = self.sent.get(&flight) {
                news.push(Done { tag: tag.clone(), result: Err(self.session.silence()) });
            }
        }
        self.session.scout();
        if self.session.outcomes.suspects_guard() {
            self.session.heed_silence();
        }
        Ok(news)
    }
}
