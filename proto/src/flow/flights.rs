//! Requests on the way: when each is overdue, whom its silence is blamed on, and whether another may leave.

use crate::flow::Window;
use crate::ids::NodeId;
use crate::select::{Blame, NodeTable, Outcomes};
use crate::time::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Overdue requests whose answers would still be taken, and for how long: a driver keeps their reply keys as long.
const LATE_MAX: usize = 2048;
const LATE_FOR: Duration = Duration::from_secs(30);

/// One request on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlightId(u64);

#[derive(Clone, Copy, Debug)]
struct Flight {
    sent: Moment,
    nodes: [NodeId; 3],
    hopeless: bool,
}

/// What a landing was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Landed {
    /// The round trip.
    pub rtt: Duration,
    /// Whether it had been reported overdue.
    pub late: bool,
}

/// All requests on the way of one client.
#[derive(Clone, Debug, Default)]
pub struct Flights {
    window: Window,
    next: u64,
    outstanding: BTreeMap<FlightId, Flight>,
    /// Those of them that are not held, by the time of sending.
    sent: BTreeSet<(Moment, FlightId)>,
    late: BTreeMap<FlightId, Flight>,
}

impl Flights {
    /// None on the way.
    pub fn new() -> Flights {
        Flights::default()
    }

    /// Whether another may leave.
    pub fn can_depart(&self) -> bool {
        self.window.can_send(self.outstanding.len())
    }

    /// How many are on the way and not overdue.
    pub fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    /// The window.
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// A request leaves; `nodes` are the middle, the holder and the back relay ([`crate::select::Path::nodes`]); `hopeless` says whether
    /// one of them was found dead ([`Outcomes::is_hopeless`]).
    pub fn depart(&mut self, nodes: [NodeId; 3], hopeless: bool, now: Moment) -> FlightId {
        let id = FlightId(self.next);
        self.next += 1;
        self.outstanding.insert(id, Flight { sent: now, nodes, hopeless });
        self.sent.insert((now, id));
        id
    }

    /// A number for a request that does not leave: what is asked of ourselves is neither overdue nor counted.
    pub fn skip(&mut self) -> FlightId {
        self.next += 1;
        FlightId(self.next - 1)
    }

    /// The request has its place in the window and does not leave yet, since something is still to be done for it: it is
    /// not overdue before [`Flights::release`].
    pub fn hold(&mut self, id: FlightId) {
        if let Some(flight) = self.outstanding.get(&id) {
            self.sent.remove(&(flight.sent, id));
        }
    }

    /// What was held leaves now.
    pub fn release(&mut self, id: FlightId, now: Moment) {
        if let Some(flight) = self.outstanding.get_mut(&id) {
            self.sent.remove(&(flight.sent, id));
            flight.sent = now;
            self.sent.insert((now, id));
        }
    }

    /// An authentic answer came, whatever it says. None if it is not (or no longer) awaited: ignore it.
    pub fn landed(&mut self, id: FlightId, outcomes: &mut Outcomes, now: Moment) -> Option<Landed> {
        let (flight, late) = match self.take(id) {
            Some(flight) => (flight, false),
            None => (self.late.remove(&id)?, true),
        };
        let rtt = now.since(flight.sent);
        if late {
            // One slow node shall not make us wait long for everybody; a slow network will raise the estimate all the
            // same.
            self.window.on_answer(rtt.min(2 * self.window.timeout()));
            outcomes.late(&flight.nodes, now);
        } else {
            self.window.on_answer(rtt);
            outcomes.answer(&flight.nodes, now);
        }
        Some(Landed { rtt, late })
    }

    /// The requests that are overdue now, each reported once. Their silence is blamed on somebody. A late answer is
    /// still to be given to [`Flights::landed`].
    pub fn overdue(&mut self, table: &NodeTable, outcomes: &mut Outcomes, now: Moment) -> Vec<FlightId> {
        let mut overdue = Vec::new();
        let timeout = self.window.timeout();
        while let Some(&(sent, id)) = self.sent.first()
            && now.since(sent) >= timeout
        {
            self.sent.pop_first();
            let Some(flight) = self.outstanding.remove(&id) else { continue };
            if outcomes.silence(table, flight.hopeless, &flight.nodes, now) == Blame::Congestion {
                self.window.on_loss(now);
            }
            self.late.insert(id, flight);
            overdue.push(id);
        }
        while self.late.len() > LATE_MAX
            || self.late.first_key_value().is_some_and(|(_, flight)| now.since(flight.sent) > LATE_FOR)
        {
            self.late.pop_first();
        }
        overdue
    }

    /// Takes a request back that never left, or whose answer is no longer wanted: nobody is blamed.
    pub fn forget(&mut self, id: FlightId) {
        self.take(id);
        self.late.remove(&id);
    }

    fn take(&mut self, id: FlightId) -> Option<Flight> {
        let flight = self.outstanding.remove(&id)?;
        self.sent.remove(&(flight.sent, id));
        Some(flight)
    }

    /// Whether an answer to it would still be taken.
    pub fn awaits(&self, id: FlightId) -> bool {
        self.outstanding.contains_key(&id) || self.late.contains_key(&id)
    }

    /// When the next one is overdue. It may move, either way, with each answer.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.sent.first().map(|(sent, _)| *sent + self.window.timeout())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::{network, table_of};

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(10_000 + ms))
    }

    #[test]
    fn overdue_once_and_late_once() {
        let nodes = network(3);
        let table = table_of(&nodes);
        let path = [nodes[0].id, nodes[1].id, nodes[2].id];
        let (mut flights, mut outcomes) = (Flights::new(), Outcomes::new());
        let first = flights.depart(path, false, at(0));
        let second = flights.depart(path, false, at(500));
        assert_eq!(flights.poll_timeout(), Some(at(1000)));
        assert_eq!(flights.overdue(&table, &mut outcomes, at(999)), []);
        assert_eq!(flights.overdue(&table, &mut outcomes, at(1000)), [first]);
        assert_eq!((flights.outstanding(), flights.awaits(first)), (1, true));
        let landed = flights.landed(first, &mut outcomes, at(1200));
        assert_eq!(landed, Some(Landed { rtt: Duration::from_millis(1200), late: true }));
        assert_eq!(flights.landed(first, &mut outcomes, at(1200)), None);
        assert_eq!(flights.landed(second, &mut outcomes, at(1300)).map(|l| l.late), Some(false));
        assert_eq!(flights.poll_timeout(), None);
    }

    #[test]
    fn what_is_held_takes_room_and_is_never_overdue() {
        let nodes = network(3);
        let table = table_of(&nodes);
        let path = [nodes[0].id, nodes[1].id, nodes[2].id];
        let (mut flights, mut outcomes) = (Flights::new(), Outcomes::new());
        let held = flights.depart(path, false, at(0));
        flights.hold(held);
        let other = flights.depart(path, false, at(100));
        assert_eq!(flights.overdue(&table, &mut outcomes, at(2000)), [other]);
        assert_eq!((flights.outstanding(), flights.poll_timeout()), (1, None));
        flights.release(held, at(2000));
        assert_eq!(flights.overdue(&table, &mut outcomes, at(2100)), []);
        let landed = flights.landed(held, &mut outcomes, at(2100));
        assert_eq!(landed, Some(Landed { rtt: Duration::from_millis(100), late: false }));
        // What is gone is neither held nor released.
        flights.hold(held);
        flights.release(held, at(2200));
        assert_eq!((flights.outstanding(), flights.poll_timeout()), (0, None));
        let dropped = flights.depart(path, false, at(2200));
        flights.hold(dropped);
        flights.forget(dropped);
        assert_eq!(flights.outstanding(), 0);
    }

    #[test]
    fn what_is_late_is_bounded() {
        let nodes = network(3);
        let table = table_of(&nodes);
        let path = [nodes[0].id, nodes[1].id, nodes[2].id];
        let (mut flights, mut outcomes) = (Flights::new(), Outcomes::new());
        let first = flights.depart(path, false, at(0));
        (0..LATE_MAX).for_each(|_| _ = flights.depart(path, false, at(1)));
        assert_eq!(flights.overdue(&table, &mut outcomes, at(2000)).len(), LATE_MAX + 1);
        assert!(!flights.awaits(first));
        assert_eq!(flights.late.len(), LATE_MAX);
        flights.overdue(&table, &mut outcomes, at(60_000));
        assert_eq!(flights.late.len(), 0);
    }

    #[test]
    fn a_guard_is_suspected_sooner_by_what_left_with_hope() {
        let nodes = network(3);
        let table = table_of(&nodes);
        let path = [nodes[0].id, nodes[1].id, nodes[2].id];
        let is_suspected = |hopeless, requests| {
            let (mut flights, mut outcomes) = (Flights::new(), Outcomes::new());
            (0..requests).for_each(|_| _ = flights.depart(path, hopeless, at(0)));
            assert_eq!(flights.overdue(&table, &mut outcomes, at(2000)).len(), requests);
            outcomes.suspects_guard()
        };
        // All of them left together, so that it does not count that their nodes seem dead by the end.
        assert!(!is_suspected(false, 31) && is_suspected(false, 32));
        assert!(!is_suspected(true, 127) && is_suspected(true, 128));
    }
}
