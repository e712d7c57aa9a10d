//! What lies between a simulated user and the nodes: six links, relays that pass on or do not, and a cut.

use std::time::Duration;

use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Answer, Ask};
use rand::RngExt;
use rand::rngs::StdRng;

use super::nodes::Nodes;
use crate::docker::Latency;
use crate::scenario::Place;
use crate::sim::client::{ROUND_TRIP, Route, STRAYS, Wire};

/// Links that a request and its answer cross.
const LINKS: u32 = 6;

/// How long a packet is on one link.
#[derive(Clone, Copy)]
pub(super) struct Delay {
    least: Duration,
    most: Duration,
}

impl Delay {
    /// As the scenario has it, or else so that a round trip takes as long as in the simulator's other networks.
    pub(super) fn new(latency: Option<Latency>) -> Delay {
        let link = ROUND_TRIP / LINKS;
        let usual = Latency { delay: link, jitter: link.mul_f64(STRAYS) };
        let Latency { delay, jitter } = latency.unwrap_or(usual);
        Delay { least: delay.saturating_sub(jitter), most: delay + jitter }
    }

    fn draw(self, dice: &mut StdRng) -> Duration {
        self.least + (self.most - self.least).mul_f64(dice.random())
    }
}

/// The wire of one user.
pub(super) struct Line<'n> {
    pub(super) nodes: &'n mut Nodes,
    pub(super) delay: Delay,
    /// The name under which guards know the user, and where it is.
    pub(super) user: NodeId,
    pub(super) place: Place,
}

impl Line<'_> {
    /// Whether somebody was cut off from the mainland; none: he hears both sides, or there is no such node.
    fn side(&self, id: &NodeId) -> Option<bool> {
        if *id == self.user {
            return match self.place {
                Place::Outside => None,
                Place::Inside => Some(false),
                Place::Island => Some(true),
            };
        }
        self.nodes.get(id).map(|node| node.cut_off)
    }

    /// Whether packets of the one get to the other.
    fn connects(&self, one: &NodeId, other: &NodeId) -> bool {
        self.side(one).zip(self.side(other)).is_none_or(|(one, other)| one == other)
    }

    fn is_up(&self, id: &NodeId) -> bool {
        *id == self.user || self.nodes.get(id).is_some_and(super::nodes::Node::is_up)
    }

    /// A packet from the first of these to the last one: how long that takes, if it gets there. Those in between pass it on.
    fn pass(&self, dice: &mut StdRng, stations: [&NodeId; 4]) -> Option<Duration> {
        let mut took = Duration::ZERO;
        for (number, (from, to)) in stations.iter().zip(&stations[1..]).enumerate() {
            if !self.connects(from, to) || !self.is_up(to) {
                return None;
            }
            // Whoever sends something of his own does not meddle with it.
            let meddle = if number > 0 { self.nodes.get(from).and_then(|node| node.meddle) } else { None };
            took += meddle.map_or(Some(Duration::ZERO), |meddle| meddle.holds_up(to))? + self.delay.draw(dice);
        }
        Some(took)
    }
}

impl Wire for Line<'_> {
    type Ask = Ask;
    type Answer = Answer;

    fn admits(&self, guard: &NodeId) -> bool {
        self.connects(&self.user, guard) && self.is_up(guard)
    }

    fn carry(&mut self, dice: &mut StdRng, route: &Route, ask: Ask) -> Option<(Duration, Answer)> {
        let Route { guard, middle, holder, back } = route;
        let user = self.user;
        let there = self.pass(dice, [&user, guard, middle, holder])?;
        // Done, whether or not the receipt comes back.
        let answer = self.nodes.get_mut(holder)?.answer(ask)?;
        let back = self.pass(dice, [holder, back, guard, &user])?;
        Some((there + back, answer))
    }
}
