//! Dials under way, and who waits for them. Every dial ends (the transport has a deadline), and its end serves or
//! releases all who wait.

use super::super::behaviour::Behaviour;
use super::super::streams::{Opened, Protocol};
use super::super::{NetError, Shared, address};
use super::Connected;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{Multiaddr, PeerId, Swarm};
use palimpsest_proto::ids::NodeId;
use std::collections::HashMap;
use std::num::NonZeroU8;

/// Who may wait for one peer at once; more are turned away.
const WAITERS_MAX: usize = 32;
/// Addresses of a node are tried one after the other, in the node's own order: two at once would often mean two
/// handshakes for one connection.
const AT_ONCE: NonZeroU8 = NonZeroU8::MIN;

/// What is to be done once a peer is connected. Dropped, if it cannot be.
pub(super) enum Waiter {
    Stream(Protocol, Opened),
    Connected(Connected),
    Nobody,
}

impl Waiter {
    /// The peer is connected. That nobody waits for the answer any more is no error.
    pub(super) fn serve(self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        match self {
            Waiter::Stream(protocol, opened) => swarm.behaviour_mut().streams.open(peer, protocol, opened),
            Waiter::Connected(connected) => {
                let _ = connected.send(address::node_id(&peer).ok_or(NetError::Unreachable));
            }
            Waiter::Nobody => {}
        }
    }

    fn fail(self, error: NetError) {
        if let Waiter::Connected(connected) = self {
            let _ = connected.send(Err(error));
        }
    }
}

/// A dial of a peer.
struct Dial {
    /// The connection, unless Kademlia was dialling the peer when we wished to.
    ours: Option<ConnectionId>,
    addresses: Vec<Multiaddr>,
    waiters: Vec<Waiter>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Dials {
    by_peer: HashMap<PeerId, Dial>,
    /// Dials of addresses, not of peers.
    by_connection: HashMap<ConnectionId, Connected>,
}

impl Dials {
    /// Dials a peer, unless that is under way already.
    pub(super) fn dial_peer(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        shared: &Shared,
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        waiter: Waiter,
    ) {
        if addresses.is_empty() {
            return waiter.fail(NetError::NoAddress);
        }
        let dial = self.by_peer.entry(peer).or_insert(Dial { ours: None, addresses, waiters: Vec::new() });
        if dial.waiters.len() >= WAITERS_MAX {
            return waiter.fail(NetError::Busy);
        }
        dial.waiters.push(waiter);
        if dial.ours.is_none() {
            self.start(swarm, shared, peer);
        }
    }

    fn start(&mut self, swarm: &mut Swarm<Behaviour>, shared: &Shared, peer: PeerId) {
        let Some(dial) = self.by_peer.get_mut(&peer) else {
            return;
        };
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::DisconnectedAndNotDialing)
            .addresses(dial.addresses.clone())
            .override_dial_concurrency_factor(AT_ONCE)
            // Two nodes that dial each other from their listening ports at once would meet as two dialers.
            .allocate_new_port()
            .build();
        let connection = options.connection_id();
        match swarm.dial(options) {
            Ok(()) => {
                shared.counters.dials.add_one();
                dial.ours = Some(connection);
            }
            // Kademlia dials it already; we wait for that dial's end.
            Err(DialError::DialPeerConditionFalse(_)) => {}
            Err(error) => self.release(peer, &error),
        }
    }

    fn release(&mut self, peer: PeerId, error: &DialError) {
        for waiter in self.by_peer.remove(&peer).into_iter().flat_map(|dial| dial.waiters) {
            waiter.fail(reason(error));
        }
    }

    /// Dials whoever is at an address.
    pub(super) fn dial_address(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        shared: &Shared,
        address: Multiaddr,
        connected: Connected,
    ) {
        if swarm.listeners().any(|ours| *ours == address) {
            let _ = connected.send(Err(NetError::Itself));
            return;
        }
        let dial = DialOpts::unknown_peer_id().address(address).allocate_new_port().build();
        let connection = dial.connection_id();
        match swarm.dial(dial) {
            Ok(()) => {
                shared.counters.dials.add_one();
                self.by_connection.insert(connection, connected);
            }
            Err(error) => {
                let _ = connected.send(Err(reason(&error)));
            }
        }
    }

    pub(super) fn on_connected(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        id: NodeId,
        connection: ConnectionId,
    ) {
        if let Some(connected) = self.by_connection.remove(&connection) {
            let _ = connected.send(Ok(id));
        }
        for waiter in self.by_peer.remove(&peer).into_iter().flat_map(|dial| dial.waiters) {
            waiter.serve(swarm, peer);
        }
    }

    /// The connection is to somebody who is no node.
    pub(super) fn on_stranger(&mut self, connection: ConnectionId) {
        if let Some(connected) = self.by_connection.remove(&connection) {
            let _ = connected.send(Err(NetError::Protocol));
        }
    }

    pub(super) fn on_failed(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        shared: &Shared,
        peer: Option<PeerId>,
        connection: ConnectionId,
        error: &DialError,
    ) {
        if let Some(connected) = self.by_connection.remove(&connection) {
            shared.counters.dial_failures.add_one();
            let _ = connected.send(Err(reason(error)));
        }
        let Some(peer) = peer.filter(|peer| !swarm.is_connected(peer)) else {
            return;
        };
        match self.by_peer.get(&peer).map(|dial| dial.ours) {
            // Not our dial: its addresses may be anybody's word, so its failure says nothing.
            None => {}
            Some(None) => self.start(swarm, shared, peer),
            Some(Some(ours)) if ours != connection => {}
            Some(Some(_)) => {
                shared.counters.dial_failures.add_one();
                self.release(peer, error);
                // Our own limits say nothing about the peer either.
                let id = address::node_id(&peer);
                if let Some(id) =
                    id.filter(|_| matches!(error, DialError::Transport(_) | DialError::WrongPeerId { .. }))
                {
                    shared.links.back_off(id);
                    if shared.directory.unreachable(&id) {
                        shared.changed.notify_one();
                    }
                }
            }
        }
    }
}

fn reason(error: &DialError) -> NetError {
    match error {
        DialError::LocalPeerId { .. } => NetError::Itself,
        DialError::WrongPeerId { .. } => NetError::SomeoneElse,
        DialError::NoAddresses => NetError::NoAddress,
        DialError::Denied { .. } => NetError::Busy,
        _ => NetError::Unreachable,
    }
}
