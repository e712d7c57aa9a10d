//! A small behaviour for streams of our own: opens one to a connected peer on request, and hands out those that peers
//! open. Everything passes through the swarm's task, so nothing waits in a channel and no stream is dropped unseen; a
//! request is answered in any case, by the stream or by its sender being dropped.

mod handler;

use futures::channel::oneshot;
use handler::Handler;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use std::collections::{HashMap, VecDeque};
use std::task::{Context, Poll, Waker};

/// Our protocols over libp2p streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// A link: packets, one way.
    Packet,
    /// One exchange of node tables.
    Table,
}

/// The versions of our protocols that a node speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Versions {
    /// That of today.
    #[default]
    Today,
    /// A next one beside it, which both ends prefer where both know it. It is made up: it differs by its name only, and
    /// shows in tests that a network can be upgraded node by node.
    TodayAndNext,
}

impl Versions {
    /// The names on the wire, the one that is preferred first.
    fn names(self, protocol: Protocol) -> &'static [StreamProtocol] {
        static PACKET: [StreamProtocol; 2] =
            [StreamProtocol::new("/palimpsest/2/packet"), StreamProtocol::new("/palimpsest/1/packet")];
        static TABLE: [StreamProtocol; 2] =
            [StreamProtocol::new("/palimpsest/2/table"), StreamProtocol::new("/palimpsest/1/table")];
        match (self, protocol) {
            (Versions::Today, Protocol::Packet) => &PACKET[1..],
            (Versions::Today, Protocol::Table) => &TABLE[1..],
            (Versions::TodayAndNext, Protocol::Packet) => &PACKET,
            (Versions::TodayAndNext, Protocol::Table) => &TABLE,
        }
    }
}

/// Where an opened stream goes. Dropped without a word, if the stream could not be opened.
pub(super) type Opened = oneshot::Sender<Stream>;

/// A wish to open a stream.
#[derive(Debug)]
pub(super) struct Open {
    protocol: Protocol,
    opened: Opened,
}

/// A peer opened a stream.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) peer: PeerId,
    pub(super) protocol: Protocol,
    pub(super) stream: Stream,
}

/// See the module.
pub(super) struct Behaviour {
    /// Which of our protocols are answered when a peer opens them.
    accepted: &'static [Protocol],
    versions: Versions,
    connections: HashMap<PeerId, Vec<ConnectionId>>,
    events: VecDeque<ToSwarm<Incoming, Open>>,
    waker: Option<Waker>,
}

impl Behaviour {
    pub(super) fn new(accepted: &'static [Protocol], versions: Versions) -> Behaviour {
        Behaviour { accepted, versions, connections: HashMap::new(), events: VecDeque::new(), waker: None }
    }

    /// Opens a stream to a connected peer; `opened` is dropped if the peer is not connected.
    pub(super) fn open(&mut self, peer: PeerId, protocol: Protocol, opened: Opened) {
        // The oldest connection: both ends then tend to use the same one, when they dialled each other at once.
        let Some(connection) = self.connections.get(&peer).and_then(|all| all.first()) else {
            return;
        };
        let handler = NotifyHandler::One(*connection);
        self.push(ToSwarm::NotifyHandler { peer_id: peer, handler, event: Open { protocol, opened } });
    }

    fn push(&mut self, event: ToSwarm<Incoming, Open>) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Incoming;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.accepted, self.versions))
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(self.accepted, self.versions))
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.connections.entry(event.peer_id).or_default().push(event.connection_id);
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(connections) = self.connections.get_mut(&peer_id) {
                    connections.retain(|id| *id != connection_id);
                    if connections.is_empty() {
                        self.connections.remove(&peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _: ConnectionId,
        (protocol, stream): THandlerOutEvent<Self>,
    ) {
        self.push(ToSwarm::GenerateEvent(Incoming { peer, protocol, stream }));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Incoming, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}
