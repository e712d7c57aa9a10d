//! The one task that owns the swarm. It only dispatches: commands in, streams and news out; nothing here waits for
//! anything but the swarm, and no lock is held but for a lookup.
//!
//! ```text
//! Net, writers, exchanges ─Command (bounded)─► endpoint ─► swarm
//!                         ◄─ opened streams, results ─┤
//!        reader tasks, exchange tasks ◄─ streams of peers ─┘     at most so many for each peer
//! ```

mod dials;
mod exchanges;

use super::behaviour::{Behaviour, BehaviourEvent};
use super::clock::moment;
use super::kademlia::Event;
use super::streams::{Incoming, Opened, Protocol};
use super::{NetError, Shared, address, reader, sync};
use crate::policy::VERIFY_MS;
use dials::{Dials, Waiter};
pub(super) use exchanges::Exchanges;
use exchanges::OfPeer;
use futures::StreamExt;
use futures::channel::oneshot;
use libp2p::core::transport::ListenerId;
use libp2p::kad::{self, QueryId, QueryResult};
use libp2p::swarm::{ConnectionError, ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, ping};
use palimpsest_proto::ids::NodeId;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout_at};

/// Streams of packets that one peer may have open to us: one, and one more while it replaces a broken one.
const PACKET_STREAMS_MAX: usize = 3;
/// Walks under way at most.
const WALKS_MAX: usize = 8;
/// At the end, connections have this long to say goodbye.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the endpoint is asked to do.
pub(super) enum Command {
    /// Open a stream, dialling the node if need be. `opened` is dropped when that fails.
    Open { to: NodeId, protocol: Protocol, opened: Opened },
    /// Be connected to a node at one of these addresses.
    Connect { to: PeerId, addresses: Vec<Multiaddr>, connected: Connected },
    /// Be connected to whoever is at this address.
    Discover { address: Multiaddr, connected: Connected },
    /// Find out whether a node lives: its table entry is marked accordingly.
    Verify(NodeId),
    /// Tell Kademlia of these nodes.
    Teach(Vec<(NodeId, Vec<Multiaddr>)>),
    /// Ask Kademlia who is near a random place.
    Walk { found: Found },
}

/// Where the result of a connect goes.
pub(super) type Connected = oneshot::Sender<Result<NodeId, NetError>>;

/// Where the result of a walk goes: nodes, and where they say they are.
pub(super) type Found = oneshot::Sender<Vec<(NodeId, Vec<Multiaddr>)>>;

/// What a connected peer may still open.
struct Peer {
    packet_streams: Arc<Semaphore>,
    exchanges: OfPeer,
}

impl Peer {
    fn new() -> Peer {
        Peer { packet_streams: Arc::new(Semaphore::new(PACKET_STREAMS_MAX)), exchanges: OfPeer::new() }
    }
}

/// See the module.
pub(super) struct Endpoint {
    pub(super) shared: Arc<Shared>,
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) listening: watch::Sender<Option<Vec<Multiaddr>>>,
    /// Listeners that have not yet said where they listen.
    pub(super) listeners_pending: HashSet<ListenerId>,
    state: State,
}

#[derive(Default)]
struct State {
    peers: HashMap<PeerId, Peer>,
    dials: Dials,
    walks: HashMap<QueryId, Found>,
}

impl Endpoint {
    pub(super) fn new(
        shared: Arc<Shared>,
        swarm: Swarm<Behaviour>,
        commands: mpsc::Receiver<Command>,
        listening: watch::Sender<Option<Vec<Multiaddr>>>,
        listeners_pending: HashSet<ListenerId>,
    ) -> Endpoint {
        Endpoint { shared, swarm, commands, listening, listeners_pending, state: State::default() }
    }

    /// Runs until the halt is called, then closes all connections.
    pub(super) async fn run(mut self) {
        self.tell_listeners();
        loop {
            tokio::select! {
                () = self.shared.halt.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = self.commands.recv() => self.on_command(command),
            }
        }
        self.say_goodbye().await;
    }

    async fn say_goodbye(mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // Fails only if the peer is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let deadline = Instant::now() + GOODBYE;
        while self.swarm.network_info().num_peers() > 0 {
            if timeout_at(deadline, self.swarm.next()).await.is_err() {
                return;
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Open { to, protocol, opened } => {
                let Some(peer) = address::peer_id(&to) else {
                    return;
                };
                if self.swarm.is_connected(&peer) {
                    self.swarm.behaviour_mut().streams.open(peer, protocol, opened);
                } else {
                    let addresses = self.shared.directory.addresses(&to);
                    let waiter = Waiter::Stream(protocol, opened);
                    self.state.dials.dial_peer(&mut self.swarm, &self.shared, peer, addresses, waiter);
                }
            }
            Command::Connect { to, addresses, connected } => {
                let waiter = Waiter::Connected(connected);
                if self.swarm.is_connected(&to) {
                    // It may have come before its descriptor did.
                    address::node_id(&to).iter().for_each(|id| self.shared.directory.mark_seen(id));
                    waiter.serve(&mut self.swarm, to);
                } else {
                    self.state.dials.dial_peer(&mut self.swarm, &self.shared, to, addresses, waiter);
                }
            }
            Command::Discover { address, connected } => {
                self.state.dials.dial_address(&mut self.swarm, &self.shared, address, connected);
            }
            Command::Verify(id) => match address::peer_id(&id) {
                Some(peer) if self.swarm.is_connected(&peer) => self.shared.directory.mark_seen(&id),
                Some(peer) => {
                    let addresses = self.shared.directory.addresses(&id);
                    self.state.dials.dial_peer(&mut self.swarm, &self.shared, peer, addresses, Waiter::Nobody);
                }
                None => {}
            },
            Command::Teach(nodes) => {
                for (id, addresses) in nodes {
                    if let Some(peer) = address::peer_id(&id) {
                        for address in addresses {
                            self.swarm.behaviour_mut().kad.inner.add_address(&peer, address);
                        }
                    }
                }
            }
            Command::Walk { found } => {
                if self.state.walks.len() < WALKS_MAX {
                    let place = rand::random::<[u8; 32]>().to_vec();
                    self.state.walks.insert(self.swarm.behaviour_mut().kad.inner.get_closest_peers(place), found);
                }
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Streams(incoming)) => self.on_stream(incoming),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { peer, connection, result: Err(failure) }))
                if !matches!(failure, ping::Failure::Unsupported) =>
            {
                self.swarm.close_connection(connection);
                self.on_silent(peer);
            }
            SwarmEvent::Behaviour(BehaviourEvent::Kad(Event::Kad(event))) => self.on_kad(*event),
            SwarmEvent::Behaviour(BehaviourEvent::Kad(Event::Greedy(connection))) => {
                self.shared.counters.violations.add_one();
                self.swarm.close_connection(connection);
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                self.on_connected(peer_id, connection_id);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, cause, .. } => {
                self.state.peers.remove(&peer_id);
                if let Some(id) = address::node_id(&peer_id) {
                    self.shared.links.on_disconnected(&id);
                }
                if let Some(ConnectionError::IO(_)) = cause {
                    self.on_broken(peer_id);
                }
            }
            SwarmEvent::OutgoingConnectionError { peer_id, connection_id, error } => {
                self.state.dials.on_failed(&mut self.swarm, &self.shared, peer_id, connection_id, &error);
            }
            SwarmEvent::NewListenAddr { listener_id, .. } | SwarmEvent::ListenerClosed { listener_id, .. } => {
                self.listeners_pending.remove(&listener_id);
                self.tell_listeners();
            }
            SwarmEvent::ExpiredListenAddr { .. } => self.tell_listeners(),
            _ => {}
        }
    }

    fn tell_listeners(&mut self) {
        if self.listeners_pending.is_empty() {
            self.listening.send_replace(Some(self.swarm.listeners().cloned().collect()));
        }
    }

    fn on_connected(&mut self, peer: PeerId, connection: ConnectionId) {
        self.shared.counters.connections.add_one();
        let Some(id) = address::node_id(&peer) else {
            // A key of another kind: nothing of ours can be said to it.
            self.swarm.close_connection(connection);
            self.state.dials.on_stranger(connection);
            return;
        };
        self.state.peers.entry(peer).or_insert_with(Peer::new);
        self.shared.links.on_connected(id);
        self.shared.directory.mark_seen(&id);
        self.state.dials.on_connected(&mut self.swarm, peer, id, connection);
    }

    /// A connection broke, which is how dead nodes look, and restarted ones, and those who hung up on us. A dial tells, and
    /// until then the node is suspected.
    fn on_broken(&mut self, peer: PeerId) {
        let Some(id) = address::node_id(&peer).filter(|id| self.shared.directory.suspect(id)) else {
            return;
        };
        let commands = self.shared.commands.clone();
        let pause = Duration::from_millis(rand::random_range(VERIFY_MS));
        self.shared.spawn_cancelled(async move {
            tokio::time::sleep(pause).await;
            // Fails only at the end, when nothing is left to verify.
            let _ = commands.send(Command::Verify(id)).await;
        });
    }

    /// A peer left our pings unanswered.
    fn on_silent(&mut self, peer: PeerId) {
        if let Some(id) = address::node_id(&peer)
            && self.shared.directory.mark_lost(&id)
        {
            self.shared.changed.notify_one();
        }
    }

    fn on_stream(&mut self, Incoming { peer, protocol, stream }: Incoming) {
        let Some((id, known)) = address::node_id(&peer).zip(self.state.peers.get_mut(&peer)) else {
            return;
        };
        let shared = self.shared.clone();
        match protocol {
            Protocol::Packet => {
                let Ok(permit) = known.packet_streams.clone().try_acquire_owned() else {
                    return shared.counters.streams_refused.add_one();
                };
                self.shared.spawn(async move {
                    let _permit = permit;
                    reader::run(shared, id, stream).await;
                });
            }
            Protocol::Table => {
                let stranger = !shared.directory.knows(&id);
                let Some(place) = known.exchanges.begin(&shared.exchanges, stranger, moment()) else {
                    return shared.counters.streams_refused.add_one();
                };
                self.shared.spawn(async move {
                    if place.run(sync::answer(shared.clone(), id, stream)).await.is_none() {
                        shared.counters.sync_failures.add_one();
                    }
                });
            }
        }
    }

    fn on_kad(&mut self, event: kad::Event) {
        if let kad::Event::OutboundQueryProgressed { id, result: QueryResult::GetClosestPeers(result), step, .. } =
            event
        {
            let peers = match result {
                Ok(ok) => ok.peers,
                Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
            };
            if let Some(found) = step.last.then(|| self.state.walks.remove(&id)).flatten() {
                let shared = &self.shared;
                let nodes = peers.into_iter().filter_map(|peer| {
                    let id = address::node_id(&peer.peer_id)?;
                    let said = peer.addrs.into_iter().map(|a| address::split_peer(a).0);
                    let mut addresses: Vec<Multiaddr> = said.filter(|a| shared.transport.dials(a)).collect();
                    if addresses.is_empty() {
                        // Kademlia leaves out what it had from us.
                        addresses = shared.directory.addresses(&id);
                    }
                    Some((id, addresses))
                });
                // Who asked may have given up meanwhile.
                let _ = found.send(nodes.collect());
            }
        }
    }
}
