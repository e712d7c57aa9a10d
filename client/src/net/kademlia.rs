//! Kademlia, with a budget for each peer: each question is looked up among all nodes that it knows, on the task that serves
//! everybody, and the crate answers as many as come.

use super::clock::moment;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::kad::{self, store::MemoryStore};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use palimpsest_proto::flow::Budget;
use palimpsest_proto::time::Moment;
use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll};

/// Messages that one peer may send in a second, in the long run: questions, and answers to ours.
const MESSAGES_A_SECOND: u64 = 4;
/// Those that it may have saved up: a node that starts asks once for each part of the keyspace, one that walks once.
const MESSAGES_SAVED_MAX: u64 = 256;

type Inner = kad::Behaviour<MemoryStore>;

/// What it tells.
#[derive(Debug)]
pub(super) enum Event {
    /// News of Kademlia.
    Kad(Box<kad::Event>),
    /// A peer asks for more than its part: what it said was not looked at.
    Greedy(ConnectionId),
}

/// What connected peers may still send: as many as there are connections.
#[derive(Default)]
struct Budgets(HashMap<PeerId, Budget>);

impl Budgets {
    /// Takes one message out; whether the peer may send it.
    fn take(&mut self, peer: PeerId, now: Moment) -> bool {
        let saved = self.0.entry(peer).or_insert_with(|| Budget::new(MESSAGES_A_SECOND, MESSAGES_SAVED_MAX, now));
        let may = saved.ready_at(now) <= now;
        if may {
            saved.spend(1, now);
        }
        may
    }
}

/// See the module.
pub(super) struct Kademlia {
    pub(super) inner: Inner,
    budgets: Budgets,
    greedy: VecDeque<ConnectionId>,
}

impl Kademlia {
    pub(super) fn new(inner: Inner) -> Kademlia {
        Kademlia { inner, budgets: Budgets::default(), greedy: VecDeque::new() }
    }
}

impl NetworkBehaviour for Kademlia {
    type ConnectionHandler = <Inner as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(id, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_inbound_connection(id, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(id, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.inner.handle_established_outbound_connection(id, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::ConnectionClosed(closed) = &event
            && closed.remaining_established == 0
        {
            self.budgets.0.remove(&closed.peer_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, id: ConnectionId, event: THandlerOutEvent<Self>) {
        if self.budgets.take(peer, moment()) {
            self.inner.on_connection_handler_event(peer, id, event);
        } else if !self.greedy.contains(&id) {
            self.greedy.push_back(id);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        // The swarm polls after each event of a connection: nobody need be woken.
        match self.greedy.pop_front() {
            Some(id) => Poll::Ready(ToSwarm::GenerateEvent(Event::Greedy(id))),
            None => self.inner.poll(context).map(|told| told.map_out(|event| Event::Kad(Box::new(event)))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn each_peer_has_its_own_budget_and_it_fills_again() {
        let (mut budgets, greedy, other) = (Budgets::default(), PeerId::random(), PeerId::random());
        let now = Moment::default();
        let sent = (0..10_000).filter(|_| budgets.take(greedy, now)).count() as u64;
        assert!((MESSAGES_SAVED_MAX..=MESSAGES_SAVED_MAX + 1).contains(&sent), "{sent}");
        assert!(budgets.take(other, now));
        let later = now + Duration::from_secs(10);
        let sent = (0..10_000).filter(|_| budgets.take(greedy, later)).count() as u64;
        assert!((MESSAGES_A_SECOND * 10 - 1..=MESSAGES_A_SECOND * 10 + 1).contains(&sent), "{sent}");
    }
}
