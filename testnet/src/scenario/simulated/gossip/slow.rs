//! Peers that begin exchanges of tables with all nodes, as many as they may, and end none. Whose exchange may begin, and whose gives
//! way, `proto`'s [`Admission`] says. (What else slow peers occupy, connections and streams of packets, each has for himself, and is
//! not simulated.)
//!
//! [`Admission`]: palimpsest_proto::flow::Admission

use std::collections::BTreeMap;
use std::time::Duration;

use palimpsest_client::policy::INBOUND_EXCHANGE_DEADLINE;
use palimpsest_proto::flow::{Admitted, Allowance};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::time::Moment;
use rand::RngExt;

use super::{Event, Gossip};

/// Exchanges that each tries to have under way with each node: more than it may.
const EXCHANGES: usize = 4;
/// The pause before another try where one was refused or ended.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Slow {
    ids: Vec<NodeId>,
    /// Whose exchanges are under way, and until when, by the node and the exchange's number there.
    held: BTreeMap<(usize, u64), (usize, Moment)>,
    ended: usize,
}

impl Gossip {
    /// So many slow peers come.
    pub(in crate::scenario::simulated) fn occupy(&mut self, slow_peers: u32) {
        for slow in 0..slow_peers as usize {
            self.slow.ids.push(NodeId(self.dice.random()));
            for node in 0..self.peers.len() {
                (0..EXCHANGES).for_each(|_| self.plan(Duration::ZERO, Event::Trickle(slow, node)));
            }
        }
    }

    /// Exchanges of slow peers that nodes have ended; none if there are no such peers.
    pub(in crate::scenario::simulated) fn ended_slow(&self) -> Option<usize> {
        (!self.slow.ids.is_empty()).then_some(self.slow.ended)
    }

    /// An exchange begins with a node, if it is admitted: its number there.
    pub(super) fn begin(&mut self, node: usize, who: NodeId, stranger: bool) -> Option<u64> {
        let now = self.now;
        let peer = &mut self.peers[node];
        let allowance = peer.allowances.entry(who).or_insert_with(|| Allowance::new(now));
        let Admitted { number, gives_way } = peer.admission.begin(allowance, stranger, now)?;
        // All others take no time.
        gives_way.into_iter().for_each(|slow| self.end_slow(node, slow));
        Some(number)
    }

    /// An exchange with a node is over.
    pub(super) fn end(&mut self, node: usize, who: &NodeId, number: u64) {
        let peer = &mut self.peers[node];
        if let Some(allowance) = peer.allowances.get_mut(who) {
            peer.admission.end(allowance, number);
        }
    }

    pub(super) fn trickle(&mut self, slow: usize, node: usize) {
        let who = self.slow.ids[slow];
        let begun = if self.peers[node].up { self.begin(node, who, true) } else { None };
        match begun {
            Some(number) => {
                self.slow.held.insert((node, number), (slow, self.now + INBOUND_EXCHANGE_DEADLINE));
                self.plan(INBOUND_EXCHANGE_DEADLINE, Event::TooSlow(node, number));
            }
            None => self.plan(PAUSE, Event::Trickle(slow, node)),
        }
    }

    /// A slow peer's exchange that is still under way has taken too long. (Its number may be that of one that began later, after the
    /// node had started again.)
    pub(super) fn too_slow(&mut self, node: usize, number: u64) {
        if self.slow.held.get(&(node, number)).is_some_and(|(_, until)| *until <= self.now) {
            self.end_slow(node, number);
        }
    }

    /// A node breaks off a slow peer's exchange.
    fn end_slow(&mut self, node: usize, number: u64) {
        self.slow.ended += usize::from(self.drop_one(node, number));
    }

    /// A slow peer's exchange is over, if it was under way.
    fn drop_one(&mut self, node: usize, number: u64) -> bool {
        let Some((slow, _)) = self.slow.held.remove(&(node, number)) else { return false };
        let who = self.slow.ids[slow];
        self.end(node, &who, number);
        self.plan(PAUSE, Event::Trickle(slow, node));
        true
    }

    /// Connections to nodes that are down are gone, and exchanges with them.
    pub(super) fn drop_slow(&mut self) {
        let is_down = |(node, _): &(usize, u64)| !self.peers[*node].up;
        let gone: Vec<(usize, u64)> = self.slow.held.keys().filter(|held| is_down(held)).copied().collect();
        for (node, number) in gone {
            self.drop_one(node, number);
        }
    }
}
