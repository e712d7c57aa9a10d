//! What lies between a simulated user and the nodes: six links, relays that pass on or do not, and a cut.

use std::collections::BTreeMap;
use std::time::Duration;

use palimpsest_node::hostile::Mark;
use palimpsest_proto::fair::{Stamp, fill_of_price};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Answer, Ask, Due, Refusal};
use palimpsest_proto::time::Moment;
use rand::RngExt;
use rand::rngs::StdRng;

use super::nodes::{Node, Nodes};
use super::sights::Sights;
use crate::anonymity::sights::{Wanted, What};
use crate::docker::Latency;
use crate::scenario::Place;
use crate::sim::client::{ROUND_TRIP, Route, STRAYS, Wire};
use crate::sim::world::WALL;

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
    sights: &'n mut Sights,
    delay: Delay,
    /// The name under which guards know the user, and where it is.
    pub(super) user: NodeId,
    place: Place,
    /// The fill, in per cent, that holders' refusals imply.
    demands: BTreeMap<NodeId, u8>,
}

impl<'n> Line<'n> {
    /// For somebody who is there, and known to guards by this name.
    pub(super) fn new(
        nodes: &'n mut Nodes,
        sights: &'n mut Sights,
        delay: Delay,
        user: NodeId,
        place: Place,
    ) -> Line<'n> {
        Line { nodes, sights, delay, user, place, demands: BTreeMap::new() }
    }

    /// Puts a stamp into an ask that costs something, as `client::stamping` does: for the fill that the holder says of itself, or that it
    /// asked for. No work is done for it here: its number is what it pays.
    fn pay(&self, holder: &NodeId, ask: &mut Ask) -> Option<(Due, u8)> {
        let due = ask.due(holder)?;
        let said = self.nodes.get(holder).map_or(0, Node::said);
        let bits = due.price(self.demands.get(holder).map_or(said, |demand| said.max(*demand)), WALL);
        ask.set_stamp(Stamp(bits.into()));
        Some((due, bits))
    }

    /// A holder that asks for more, within reason, is busy: it will have it.
    fn heed_price(&mut self, holder: &NodeId, due: Option<(Due, u8)>, answer: Answer) -> Answer {
        let (Answer::Refused(Refusal::Price { bits }), Some((due, paid))) = (&answer, due) else { return answer };
        match fill_of_price(*bits, due.shards, WALL, due.lease_until) {
            Some(fill) if *bits > paid => {
                let known = self.demands.entry(*holder).or_default();
                *known = fill.max(*known);
                Answer::Refused(Refusal::Busy { retry_ms: 0 })
            }
            _ => answer,
        }
    }

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
        *id == self.user || self.nodes.get(id).is_some_and(Node::is_up)
    }

    /// A packet from the first of these to the last one: when it gets there, if it does, and by what it is known then. Those in
    /// between pass it on, and see it.
    fn pass(&mut self, dice: &mut StdRng, stations: [&NodeId; 4], packet: (Moment, Mark)) -> Option<(Moment, Mark)> {
        let (mut at, mut mark) = packet;
        for (number, (from, to)) in stations.iter().zip(&stations[1..]).enumerate() {
            if let Some(before) = number.checked_sub(1) {
                let left = self.sights.mark();
                self.see(from, at, What::Passed { from: *stations[before], next: **to, came: mark, left });
                mark = left;
                // Whoever sends something of his own does not meddle with it.
                let meddle = self.nodes.get(from).and_then(|node| node.meddle);
                at = at + meddle.map_or(Some(Duration::ZERO), |meddle| meddle.holds_up(to))?;
            }
            if !self.connects(from, to) || !self.is_up(to) {
                return None;
            }
            at = at + self.delay.draw(dice);
        }
        Some((at, mark))
    }

    fn see(&mut self, who: &NodeId, at: Moment, what: What) {
        if let Some(number) = self.nodes.number(who) {
            self.sights.note(number, at, what);
        }
    }
}

impl Wire for Line<'_> {
    type Ask = Ask;
    type Answer = Answer;

    fn admits(&mut self, guard: &NodeId) -> bool {
        let admits = self.connects(&self.user, guard) && self.is_up(guard);
        if admits {
            self.sights.connected(self.user, *guard);
        }
        admits
    }

    fn carry(&mut self, dice: &mut StdRng, route: &Route, mut ask: Ask, now: Moment) -> Option<(Duration, Answer)> {
        let Route { guard, middle, holder, back } = route;
        let due = self.pay(holder, &mut ask);
        let user = self.user;
        let request = (now, self.sights.mark());
        let (at, came) = self.pass(dice, [&user, guard, middle, holder], request)?;
        let wanted = Wanted::from(&ask);
        self.see(holder, at, What::Asked { from: *middle, came, wanted });
        // Done, whether or not the receipt comes back.
        let node = self.nodes.get_mut(holder)?;
        let at = at + node.stalls(&ask);
        let answer = node.answer(ask)?;
        let left = self.sights.mark();
        self.see(holder, at, What::Answered { to: *back, came, left });
        let (at, _) = self.pass(dice, [holder, back, guard, &user], (at, left))?;
        Some((at.since(now), self.heed_price(holder, due, answer)))
    }

    fn scout(&mut self, dice: &mut StdRng, route: &Route, now: Moment) -> Option<Duration> {
        let ask = Ask::Probe { locators: vec![Locator(dice.random())] };
        self.carry(dice, route, ask, now).map(|(after, _)| after)
    }
}
