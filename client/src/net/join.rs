//! Connecting to a node by addresses that somebody was told: a bootstrap list, a walk's result.

use super::endpoint::{Command, Connected};
use super::{NetError, Shared, address};
use futures::channel::oneshot;
use libp2p::{Multiaddr, PeerId};
use palimpsest_proto::ids::NodeId;

/// Addresses that are tried for one node.
const ADDRESSES_MAX: usize = 16;

/// Connects to the node at these addresses, one after the other, until one answers. If no id is given, an address may
/// name its node (`/p2p/…`) or not; then whoever answers is the node. Under the caller's deadline.
pub(super) async fn connect(
    shared: &Shared,
    id: Option<NodeId>,
    addresses: Vec<Multiaddr>,
) -> Result<NodeId, NetError> {
    let named = id.as_ref().map(|id| address::peer_id(id).ok_or(NetError::Unreachable)).transpose()?;
    let mut failed = NetError::NoAddress;
    for one in addresses.into_iter().take(ADDRESSES_MAX) {
        let (bare, inside) = address::split_peer(one);
        if let (Some(named), Some(inside)) = (named, inside)
            && named != inside
        {
            failed = NetError::SomeoneElse;
            continue;
        }
        for at in address::resolve(bare).await {
            if !shared.transport.dials(&at) {
                failed = NetError::NoAddress;
                continue;
            }
            match dial(shared, named.or(inside), at).await {
                Ok(id) => return Ok(id),
                Err(NetError::Closed) => return Err(NetError::Closed),
                Err(error) => failed = error,
            }
        }
    }
    Err(failed)
}

/// Connects to a node at one of the addresses that it signed.
pub(super) async fn dial_node(shared: &Shared, id: NodeId, addresses: Vec<Multiaddr>) -> Result<NodeId, NetError> {
    let to = address::peer_id(&id).ok_or(NetError::Unreachable)?;
    let (connected, result): (Connected, _) = oneshot::channel();
    let command = Command::Connect { to, addresses, connected };
    shared.commands.send(command).await.map_err(|_| NetError::Closed)?;
    result.await.map_err(|_| NetError::Unreachable)?
}

async fn dial(shared: &Shared, peer: Option<PeerId>, at: Multiaddr) -> Result<NodeId, NetError> {
    let (connected, result): (Connected, _) = oneshot::channel();
    let command = match peer {
        Some(to) => Command::Connect { to, addresses: vec![at], connected },
        None => Command::Discover { address: at, connected },
    };
    shared.commands.send(command).await.map_err(|_| NetError::Closed)?;
    result.await.map_err(|_| NetError::Unreachable)?
}
