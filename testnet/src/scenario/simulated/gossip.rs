//! Node tables that differ: simulated nodes that exchange tables, dial whom they never met, and weigh who is said to be lost, while
//! some lie. What is believed `proto` says (`Presence`, `GossipPace`, the signatures); when somebody is asked or dialled follows
//! `client::net::{gossip, sync}`, and who is reached is made up. Exchanges take no time.

mod newcomers;
mod peer;
mod slow;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use libp2p::Multiaddr;
use palimpsest_client::policy::{MEETING_PAUSES, MEETINGS_MAX, SETUP_DEADLINE, VERIFY_MS};
use palimpsest_proto::ids::{NodeId, NodePrefix};
use palimpsest_proto::params::EXCHANGE_DESCRIPTORS_MAX;
use palimpsest_proto::record::SignedNodeDescriptor;
use palimpsest_proto::select::{BUCKETS, Heed};
use palimpsest_proto::time::{Moment, Timestamp};
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use self::peer::Peer;
use self::slow::Slow;
use super::nodes::{Node, Nodes};
use crate::liars::Plot;
use crate::memory::BOOTSTRAP;
use crate::scenario::stage::{StageError, broken};
use crate::scenario::tables::Count;
use crate::scenario::{TableLiars, Tables};
use crate::sim::client::BEGIN;
use crate::sim::world::WALL;

/// Nodes that start together know each other after this long at the latest.
const SETTLED_WITHIN: Duration = Duration::from_secs(600);
/// A look at whether they do.
const LOOK: Duration = Duration::from_secs(1);

/// What is to happen at some moment.
#[derive(Clone, Copy)]
enum Event {
    /// A node exchanges tables, unless it was put off or quickened meanwhile.
    Exchange(usize),
    /// A node dials somebody whom it never met or believes lost, if there is anybody, unless it has started again meanwhile.
    Meeting(usize, u32),
    /// A node dials somebody who may be gone, or back.
    Verify(usize, NodeId),
    /// A node's dial of somebody who says nothing ends.
    InVain(usize, u32, NodeId),
    /// A slow peer begins an exchange with a node.
    Trickle(usize, usize),
    /// A node ends an exchange that has taken too long.
    TooSlow(usize, u64),
}

/// Where a dial leads.
enum Dialled {
    /// To that node.
    There(usize),
    /// To nobody, which shows at once.
    Refused,
    /// To somebody who says nothing.
    Silent,
}

pub(super) struct Gossip {
    peers: Vec<Peer>,
    /// Which of them lie, what they agreed on, and at the addresses of whom that they made up somebody takes connections.
    liars: BTreeSet<usize>,
    plot: Plot,
    silent: BTreeSet<NodeId>,
    dice: StdRng,
    now: Moment,
    events: BTreeMap<(Moment, u64), Event>,
    /// Events so far: they happen in the order in which they were thought of, if at the same moment.
    thought_of: u64,
    /// Whom each newcomer knew at the end.
    known: Vec<Vec<NodeId>>,
    slow: Slow,
}

impl Gossip {
    pub(super) fn new(
        liars: Option<&TableLiars>,
        nodes: &Nodes,
        dice: StdRng,
        now: Moment,
    ) -> Result<Gossip, StageError> {
        let nobody = TableLiars { nodes: Vec::new(), made_up: 0, unworked: 0, seed: 0 };
        let liars = liars.unwrap_or(&nobody);
        let place = |number: u32| -> Result<Multiaddr, StageError> {
            format!("/ip4/198.18.{}.{}/tcp/4646", number >> 8, number & 0xff).parse().map_err(broken)
        };
        let places = (0..liars.made_up).map(place).collect::<Result<Vec<_>, _>>()?;
        let ids = |number: &u32| nodes.iter().nth(*number as usize).map(|node| node.key.id());
        let lying: Vec<NodeId> = liars.nodes.iter().filter_map(ids).collect();
        let plot = Plot::between(lying, places, liars.unworked as usize, liars.seed);
        Ok(Gossip {
            peers: Vec::new(),
            liars: liars.nodes.iter().map(|&node| node as usize).collect(),
            silent: plot.made_up().skip(1).step_by(2).collect(),
            plot,
            dice,
            now,
            events: BTreeMap::new(),
            thought_of: 0,
            known: Vec::new(),
            slow: Slow::default(),
        })
    }

    /// One more node starts, and joins by those whom newcomers are told of.
    pub(super) fn add(&mut self, says: SignedNodeDescriptor) {
        let number = self.peers.len();
        self.peers.push(Peer::new(says, self.now));
        self.join(number);
    }

    fn join(&mut self, number: usize) {
        for told_of in (0..BOOTSTRAP).filter(|&other| other != number) {
            self.exchange(number, told_of);
        }
        self.go_on(number);
    }

    /// A node begins to do by itself what nodes do.
    fn go_on(&mut self, number: usize) {
        self.plan(Duration::ZERO, Event::Meeting(number, self.peers[number].life));
        self.next_exchange(number);
    }

    /// Time goes on until all honest nodes know each other: until when.
    pub(super) fn settle(&mut self) -> Result<Moment, StageError> {
        let until = self.now + SETTLED_WITHIN;
        while self.missing() > 0 {
            if self.now >= until {
                return Err(broken("the nodes do not come to know each other"));
            }
            self.advance(self.now + LOOK);
        }
        Ok(self.now)
    }

    fn missing(&self) -> usize {
        self.tables().missing
    }

    /// Whatever happens until then happens.
    pub(super) fn advance(&mut self, until: Moment) {
        while let Some(next) = self.events.first_entry()
            && next.key().0 <= until
        {
            let ((at, _), event) = next.remove_entry();
            self.now = self.now.max(at);
            self.happen(event, at);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, event: Event, at: Moment) {
        match event {
            Event::Exchange(number) if self.peers[number].up && self.peers[number].next == at => {
                let Peer { presence, table, .. } = &self.peers[number];
                if let Some(partner) = presence.partner(&mut self.dice, table) {
                    match self.dial(number, partner) {
                        Dialled::There(partner) => self.exchange(number, partner),
                        Dialled::Refused => self.in_vain(number, &partner),
                        Dialled::Silent => self.give_up_later(number, partner),
                    }
                }
                self.next_exchange(number);
            }
            Event::Meeting(number, life) if self.peers[number].up && self.peers[number].life == life => {
                let Peer { presence, table, meeting, .. } = &self.peers[number];
                if meeting.len() < MEETINGS_MAX
                    && let Some(whom) = presence.to_meet(&mut self.dice, table, (meeting, 1), self.now).pop()
                {
                    match self.dial(number, whom) {
                        Dialled::There(_) => {}
                        Dialled::Refused => self.in_vain(number, &whom),
                        Dialled::Silent => {
                            self.peers[number].meeting.insert(whom);
                            self.give_up_later(number, whom);
                        }
                    }
                }
                let pause = jitter(&mut self.dice, MEETING_PAUSES[0]);
                self.plan(pause, Event::Meeting(number, life));
            }
            Event::Verify(number, whom) if self.peers[number].up => match self.dial(number, whom) {
                Dialled::There(_) => {}
                Dialled::Refused => self.in_vain(number, &whom),
                Dialled::Silent => self.give_up_later(number, whom),
            },
            Event::InVain(number, life, whom) if self.peers[number].life == life => {
                self.peers[number].meeting.remove(&whom);
                if self.peers[number].up {
                    self.in_vain(number, &whom);
                }
            }
            Event::Trickle(slow, node) => self.trickle(slow, node),
            Event::TooSlow(node, number) => self.too_slow(node, number),
            Event::Exchange(_) | Event::Meeting(..) | Event::Verify(..) | Event::InVain(..) => {}
        }
    }

    fn plan(&mut self, after: Duration, event: Event) {
        self.thought_of += 1;
        self.events.insert((self.now + after, self.thought_of), event);
    }

    /// Whoever is dialled there says nothing.
    fn give_up_later(&mut self, number: usize, whom: NodeId) {
        self.plan(SETUP_DEADLINE, Event::InVain(number, self.peers[number].life, whom));
    }

    fn next_exchange(&mut self, number: usize) {
        let pause = jitter(&mut self.dice, self.peers[number].pace.pause());
        self.exchange_after(number, pause);
    }

    fn exchange_after(&mut self, number: usize, pause: Duration) {
        self.peers[number].next = self.now + pause;
        self.plan(pause, Event::Exchange(number));
    }

    /// There is news: the next exchange comes sooner.
    fn quicken(&mut self, number: usize) {
        if let Some(pause) = self.peers[number].pace.quicken(self.now) {
            let pause = jitter(&mut self.dice, pause);
            if self.now + pause < self.peers[number].next {
                self.exchange_after(number, pause);
            }
        }
    }

    /// A node connects to another one, if there is such a node; then both have seen each other.
    fn dial(&mut self, from: usize, to: NodeId) -> Dialled {
        let Some(there) = self.peers.iter().position(|peer| peer.id() == to) else {
            return if self.silent.contains(&to) { Dialled::Silent } else { Dialled::Refused };
        };
        if !self.connects(from, there) {
            // Nobody listens where a process was killed; what hangs or is behind a cut says nothing.
            return if self.peers[there].runs { Dialled::Silent } else { Dialled::Refused };
        }
        for (one, other) in [(from, there), (there, from)] {
            let seen = self.peers[other].id();
            self.peers[one].see(other, &seen, self.now);
        }
        Dialled::There(there)
    }

    fn connects(&self, one: usize, other: usize) -> bool {
        let (one, other) = (&self.peers[one], &self.peers[other]);
        one.up && other.up && one.cut_off == other.cut_off
    }

    fn in_vain(&mut self, number: usize, whom: &NodeId) {
        let Peer { presence, table, .. } = &mut self.peers[number];
        if presence.unreachable(table, whom, self.now) {
            self.quicken(number);
        }
    }

    /// One exchange of tables, each of the two telling what it wants to.
    fn exchange(&mut self, number: usize, partner: usize) {
        if self.peers.len() <= partner || !self.connects(number, partner) {
            return;
        }
        let [own, partners] = [number, partner].map(|one| self.peers[one].id());
        self.dial(number, partners);
        let stranger = self.peers[partner].table.get(&own).is_none();
        let Some(place) = self.begin(partner, own, stranger) else { return };
        let [ours, theirs] = [number, partner].map(|one| *self.peers[one].table.digests());
        let told = self.told(partner, &ours);
        self.merge(number, told);
        let back = self.told(number, &theirs);
        // Only nodes of the table are heard.
        if !back.0.is_empty() || self.peers[partner].table.get(&own).is_some() {
            self.merge(partner, back);
        }
        self.end(partner, &own, place);
    }

    /// What a node tells somebody with these digests: descriptors, and who is lost.
    fn told(&mut self, number: usize, digests: &[u64; BUCKETS]) -> (Vec<Bytes>, Vec<(NodePrefix, Duration)>) {
        let Peer { presence, table, .. } = &self.peers[number];
        if self.liars.contains(&number) {
            let mut told = self.plot.tell(self.peers[number].id(), table, unix_ms(self.now));
            told.descriptors.truncate(EXCHANGE_DESCRIPTORS_MAX);
            return (told.descriptors, told.lost);
        }
        let mut buckets = table.differing(digests);
        buckets.shuffle(&mut self.dice);
        (table.in_buckets(&buckets, EXCHANGE_DESCRIPTORS_MAX), presence.named_lost(table, self.now))
    }

    fn merge(&mut self, number: usize, (descriptors, lost): (Vec<Bytes>, Vec<(NodePrefix, Duration)>)) {
        let connected: BTreeSet<NodeId> =
            self.peers[number].connected.iter().map(|&other| self.peers[other].id()).collect();
        let peer = &mut self.peers[number];
        let merged = peer.merge(&mut self.dice, &descriptors, self.now);
        let marks = peer.hear(&lost, Heed::Weighed, |id| connected.contains(id), self.now);
        for id in merged.returned {
            self.plan(Duration::ZERO, Event::Verify(number, id));
        }
        if merged.learnt + marks > 0 {
            self.quicken(number);
        }
    }

    /// A node says something else of itself.
    pub(super) fn announce(&mut self, who: &NodeId, says: SignedNodeDescriptor) {
        let Some(number) = self.number(who) else { return };
        self.peers[number].announce(says, self.now);
        self.quicken(number);
    }

    /// Something befell the nodes: connections break, and who starts again joins with the table that it kept.
    pub(super) fn befell(
        &mut self,
        nodes: &Nodes,
        says: impl Fn(&Node) -> Result<SignedNodeDescriptor, StageError>,
    ) -> Result<(), StageError> {
        let (mut started, mut back) = (Vec::new(), Vec::new());
        for (number, (peer, node)) in self.peers.iter_mut().zip(nodes.iter()).enumerate() {
            if node.runs && !peer.runs {
                peer.restart(says(node)?, self.now);
                started.push(number);
            } else if node.is_up() && !peer.up {
                peer.life += 1;
                peer.meeting.clear();
                back.push(number);
            }
            (peer.runs, peer.up, peer.cut_off) = (node.runs, node.is_up(), node.cut_off);
        }
        self.drop_slow();
        for number in 0..self.peers.len() {
            let (kept, broken): (BTreeSet<usize>, BTreeSet<usize>) = std::mem::take(&mut self.peers[number].connected)
                .into_iter()
                .partition(|&other| self.connects(number, other) && !started.contains(&other));
            self.peers[number].connected = kept;
            for other in broken {
                let gone = self.peers[other].id();
                let Peer { presence, table, .. } = &mut self.peers[number];
                if presence.suspect(table, &gone, self.now) {
                    let pause = Duration::from_millis(self.dice.random_range(VERIFY_MS));
                    self.plan(pause, Event::Verify(number, gone));
                }
            }
        }
        started.into_iter().for_each(|number| self.join(number));
        back.into_iter().for_each(|number| self.go_on(number));
        Ok(())
    }

    fn number(&self, id: &NodeId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id() == *id)
    }

    /// What is in node tables, where somebody lies about them.
    pub(super) fn judged(&self) -> Option<Tables> {
        (!self.liars.is_empty()).then(|| self.tables())
    }

    /// What is in the tables of honest nodes that are up, and in those of strangers.
    fn tables(&self) -> Tables {
        let members: Vec<NodeId> = self.peers.iter().map(Peer::id).collect();
        let is_honest = |number: &usize| !self.liars.contains(number) && self.peers[*number].up;
        let honest: Vec<usize> = (0..self.peers.len()).filter(is_honest).collect();
        let ids = honest.iter().map(|&number| members[number]).collect();
        let mut count = Count::new(&members, ids, self.plot.made_up().collect());
        honest.iter().for_each(|&number| count.node(&self.peers[number].table));
        self.known.iter().for_each(|known| count.newcomer(known));
        count.outcome()
    }
}

/// The wall clock of the story.
fn wall(now: Moment) -> Timestamp {
    WALL.plus(now.since(BEGIN).as_secs())
}

/// The same in milliseconds since 1970.
pub(super) fn unix_ms(now: Moment) -> u64 {
    WALL.0 * 1_000 + now.since(BEGIN).as_millis() as u64
}

/// The pause, give or take a quarter.
fn jitter(dice: &mut StdRng, pause: Duration) -> Duration {
    pause.mul_f64(dice.random_range(0.75..1.25))
}

#[cfg(test)]
mod tests;
