//! A client in virtual time: `proto`'s guards, paths, flights and outcomes, driven as `client::session` and `client::lane` drive them.
//! What becomes of a request on its way, and what is answered, is for a [`Wire`] to say.

mod lane;

use super::SimError;
use super::world::WALL;
use lane::Lane;
use palimpsest_client::policy::{GUARD_AS_HOLDER, GUARD_STAGGER, GUARDS_TRIED_MAX, UNSENT_MAX};
use palimpsest_proto::flow::{Flights, Scouting};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::{GuardList, NodeTable, Outcomes, PASSED_OVER};
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::Duration;

/// When a story's clock begins: long after zero, so that what was long ago can be told.
pub(crate) const BEGIN: Moment = Moment(Duration::from_secs(1_000_000));
/// A round trip over six links.
pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(200);
/// How far it strays to either side.
pub(crate) const STRAYS: f64 = 0.2;
/// Times that the guards are tried by somebody who enters.
const ENTER_ROUNDS: usize = 5;

/// The relays of a path: what must differ between two requests for the same thing.
pub(crate) type Way = (NodeId, NodeId);

/// Whom a request and its answer cross.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route {
    /// The first hop there, and the last one back.
    pub(crate) guard: NodeId,
    /// From the guard to the holder.
    pub(crate) middle: NodeId,
    /// Who is asked.
    pub(crate) holder: NodeId,
    /// From the holder to the guard.
    pub(crate) back: NodeId,
}

/// What lies between a client and those whom it asks, and these.
pub(crate) trait Wire {
    /// What is asked.
    type Ask;
    /// What is answered.
    type Answer;

    /// Whether a client can connect to that node; if so, it does.
    fn admits(&mut self, guard: &NodeId) -> bool;

    /// A request leaves `now`: its answer, and after how long it comes; none if nothing ever comes.
    fn carry(
        &mut self,
        dice: &mut StdRng,
        route: &Route,
        ask: Self::Ask,
        now: Moment,
    ) -> Option<(Duration, Self::Answer)>;

    /// A scout leaves `now`: after how long it is back; none if it never is.
    fn scout(&mut self, dice: &mut StdRng, route: &Route, now: Moment) -> Option<Duration>;
}

/// Why a request brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing came in time.
    TimedOut,
    /// The guard has not let a single answer through: nobody behind it is to blame.
    Unsent,
}

/// Why a client stopped before it was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The deadline came first.
    Late,
    /// There is nobody to ask.
    Sim(SimError),
}

impl From<SimError> for Stop {
    fn from(error: SimError) -> Stop {
        Stop::Sim(error)
    }
}

/// One run of a client: its guard, and what it learns.
pub(crate) struct Session<'a, W> {
    table: &'a NodeTable,
    dice: &'a mut StdRng,
    guards: &'a mut GuardList,
    wire: &'a mut W,
    guard: NodeId,
    outcomes: Outcomes,
    flights: Flights,
    /// When the guard was chosen, or found to be alive.
    mended: Moment,
    unsent_left: u32,
    /// None: it sends no scouts.
    scouting: Option<Scouting>,
    party: Option<Party>,
    now: Moment,
    deadline: Moment,
    asked: usize,
}

/// Scouts that left together, by which nodes each.
struct Party {
    /// Those that will be back, and when.
    coming: BTreeMap<(Moment, usize), [NodeId; 3]>,
    some_came: bool,
    silent: Vec<[NodeId; 3]>,
    /// Until when they are waited for.
    until: Moment,
}

impl<'a, W: Wire> Session<'a, W> {
    /// Enters the network at the moment `now`, by the first of the guards that answers; nothing is done after `deadline`.
    pub(crate) fn open(
        table: &'a NodeTable,
        dice: &'a mut StdRng,
        guards: &'a mut GuardList,
        wire: &'a mut W,
        (now, deadline): (Moment, Moment),
    ) -> Result<Session<'a, W>, SimError> {
        let mut entered = now;
        let guard = enter(table, dice, guards, wire, &mut entered)?;
        Ok(Session {
            table,
            dice,
            guards,
            wire,
            guard,
            outcomes: Outcomes::new(),
            flights: Flights::new(),
            mended: entered,
            unsent_left: UNSENT_MAX,
            scouting: None,
            party: None,
            now: entered,
            deadline,
            asked: 0,
        })
    }

    /// The same, sending scouts where most seem dead.
    pub(crate) fn with_scouts(self) -> Session<'a, W> {
        Session { scouting: Some(Scouting::default()), ..self }
    }

    /// The client's clock.
    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// How many requests left.
    pub(crate) fn asked(&self) -> usize {
        self.asked
    }

    /// What the client knows of the network.
    pub(crate) fn table(&self) -> &'a NodeTable {
        self.table
    }

    /// The client's chances.
    pub(crate) fn dice(&mut self) -> &mut StdRng {
        self.dice
    }

    /// The nodes without the guard, unless it is the only one: it is not to learn what is asked for.
    pub(crate) fn without_guard(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        if nodes.iter().any(|id| *id != self.guard) {
            nodes.retain(|id| *id != self.guard);
        }
        nodes
    }

    /// The chance that a node answers, as the state machines want it.
    pub(crate) fn chance(&self, id: &NodeId) -> f64 {
        let factor = if *id == self.guard { GUARD_AS_HOLDER } else { 1.0 };
        self.outcomes.chance(self.table, id, self.now) * factor
    }

    /// Whether the node is not known or said to be dead.
    pub(crate) fn lives(&self, id: &NodeId) -> bool {
        self.outcomes.chance(self.table, id, self.now) >= PASSED_OVER
    }

    /// The same for whom something is to be given: who said of late that it is full has none.
    pub(crate) fn chance_of_room(&self, id: &NodeId) -> f64 {
        if self.outcomes.is_full(id, self.now) { 0.0 } else { self.chance(id) }
    }

    /// The chance that a path holds.
    pub(crate) fn path_chance(&self) -> f64 {
        self.outcomes.path_chance()
    }

    /// The node answered with something else than what was asked for.
    pub(crate) fn distrust(&mut self, id: NodeId) {
        self.outcomes.garbage(id);
    }

    /// The node said that it is full.
    pub(crate) fn note_full(&mut self, id: NodeId) {
        self.outcomes.full(id, self.now);
    }

    /// Does nothing for a while.
    pub(crate) fn pause(&mut self, time: Duration) -> Result<(), Stop> {
        self.advance(self.now + time)
    }

    /// For requests that belong together.
    pub(crate) fn lane<T: Clone>(&mut self) -> Lane<'_, 'a, W, T> {
        Lane::new(self)
    }

    fn advance(&mut self, to: Moment) -> Result<(), Stop> {
        self.now = to.min(self.deadline);
        if to > self.deadline { Err(Stop::Late) } else { Ok(()) }
    }

    /// Sends scouts if it is time, and notes which are back.
    fn scout(&mut self) {
        let Session { table, dice, wire, guard, outcomes, flights, scouting, party, now, .. } = self;
        if let Some(out) = party {
            while let Some(first) = out.coming.first_entry()
                && first.key().0 <= *now
            {
                outcomes.scout_back(&first.remove(), *now);
                out.some_came = true;
            }
            if out.until <= *now {
                out.silent.extend(std::mem::take(&mut out.coming).into_values());
                Scouting::lost(table, outcomes, &out.silent, out.some_came, *now);
                *party = None;
            }
        }
        if party.is_some() || !scouting.as_mut().is_some_and(|scouting| scouting.poll(table, outcomes, *now)) {
            return;
        }
        let proven = outcomes.proven(table, *now).copied().collect();
        let relays = Scouting::relays(table, proven, guard);
        let until = *now + flights.window().timeout();
        let mut out = Party { coming: BTreeMap::new(), some_came: false, silent: Vec::new(), until };
        for (number, holder) in Scouting::sought(dice, table, outcomes, guard, *now).into_iter().enumerate() {
            let Some(path) = Scouting::path(dice, &relays, &holder) else { continue };
            let route = Route { guard: *guard, middle: path.middle, holder, back: path.back };
            match wire.scout(dice, &route, *now) {
                Some(after) if *now + after <= until => {
                    out.coming.insert((*now + after, number), path.nodes(holder));
                }
                _ => out.silent.push(path.nodes(holder)),
            }
        }
        *party = Some(out);
    }

    /// When a scout is back, or no longer waited for.
    fn scouts_next(&self) -> Option<Moment> {
        let party = self.party.as_ref()?;
        Some(party.coming.keys().next().map_or(party.until, |(at, _)| *at))
    }

    /// What the silence of a request says that is overdue now.
    fn silence(&mut self) -> Lost {
        let proven = self.outcomes.answered_at().is_some_and(|last| last >= self.mended);
        if proven || self.unsent_left == 0 {
            return Lost::TimedOut;
        }
        self.unsent_left -= 1;
        Lost::Unsent
    }

    /// Many requests in a row went unanswered. If somebody who has answered before does so now, it is not the guard's fault; else
    /// the guard is mended.
    fn heed_silence(&mut self) {
        let Session { table, dice, wire, guard, outcomes, flights, now, deadline, .. } = self;
        let witnesses = Scouting::witnesses(dice, table, outcomes, guard, *now);
        let wait = flights.window().timeout();
        let seek = |holder: &NodeId| {
            let path = Scouting::path(dice, &witnesses, holder)?;
            let route = Route { guard: *guard, middle: path.middle, holder: *holder, back: path.back };
            Some((wire.scout(dice, &route, *now)?, path.nodes(*holder)))
        };
        let first = witnesses.iter().filter_map(seek).min_by_key(|(after, _)| *after);
        match first.filter(|(after, _)| *after <= wait) {
            Some((after, nodes)) => {
                *now = (*now + after).min(*deadline);
                outcomes.cleared(&nodes, *now);
            }
            None => {
                let waited = if witnesses.is_empty() { Duration::ZERO } else { wait };
                *now = (*now + waited).min(*deadline);
                self.mend_guard();
            }
        }
    }

    /// Makes sure that the guard still answers; takes another one if not, or if nothing ever came back by it. Whoever was
    /// blamed meanwhile is forgiven.
    fn mend_guard(&mut self) {
        let deaf = self.outcomes.answered_at().is_none_or(|last| last < self.mended) || !self.outcomes.may_be_cleared();
        if deaf || !self.wire.admits(&self.guard) {
            self.guards.failed(&self.guard, self.now);
            // If nobody else answers, it goes on with the one that it has.
            if let Ok(guard) = find_guard(self.table, self.dice, self.guards, self.wire, &mut self.now) {
                self.guard = guard;
            }
        }
        self.now = self.now.min(self.deadline);
        self.outcomes.forgive_silence();
        self.mended = self.now;
    }
}

/// Enters by the first guard that answers: a sample of which nobody does gives way to another one.
pub(crate) fn enter(
    table: &NodeTable,
    dice: &mut StdRng,
    guards: &mut GuardList,
    wire: &mut impl Wire,
    now: &mut Moment,
) -> Result<NodeId, SimError> {
    let mut entered = Err(SimError::TooSmall);
    for _ in 0..ENTER_ROUNDS {
        entered = find_guard(table, dice, guards, wire, now);
        if entered.is_ok() {
            break;
        }
    }
    entered
}

/// The first guard of the sample that answers.
fn find_guard(
    table: &NodeTable,
    dice: &mut StdRng,
    guards: &mut GuardList,
    wire: &mut impl Wire,
    now: &mut Moment,
) -> Result<NodeId, SimError> {
    guards.refill(dice, table, None, WALL);
    let mut tried = Vec::new();
    while tried.len() < GUARDS_TRIED_MAX
        && let Some(guard) = guards.choose(table, *now, &tried)
    {
        if wire.admits(&guard) {
            guards.reached(&guard);
            return Ok(guard);
        }
        guards.failed(&guard, *now);
        tried.push(guard);
        *now = *now + GUARD_STAGGER;
    }
    Err(SimError::TooSmall)
}

#[cfg(test)]
mod tests;
