//! Node ids and libp2p peer ids are the same key in two coats; and which addresses we can dial.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use palimpsest_proto::ids::NodeId;
use std::net::IpAddr;

/// The bytes in front of an Ed25519 key in a peer id: identity multihash of 36 bytes, protobuf key type 1, 32 bytes.
const PEER_ID_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Addresses that one host name may stand for; more are ignored.
const RESOLVED_ADDRESSES_MAX: usize = 4;

/// The node's peer id. It holds the key itself, so nothing is looked up.
pub(super) fn peer_id(node: &NodeId) -> Option<PeerId> {
    PeerId::from_bytes(&[&PEER_ID_PREFIX[..], &node.0[..]].concat()).ok()
}

/// The node's id; none if the peer's key is not an Ed25519 key.
pub(super) fn node_id(peer: &PeerId) -> Option<NodeId> {
    let bytes = peer.to_bytes();
    Some(NodeId(bytes.strip_prefix(&PEER_ID_PREFIX)?.try_into().ok()?))
}

/// The node that an address names in its last part, and the address without that part.
pub(super) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            (address, Some(peer))
        }
        _ => (address, None),
    }
}

/// Replaces host names (`/dns/…`, `/dns4/…`, `/dns6/…`) by what the system's resolver says; an address without a name
/// is passed through. Not under a deadline of its own: the caller's covers it.
pub(super) async fn resolve(address: Multiaddr) -> Vec<Multiaddr> {
    let name = address.iter().find_map(|part| match part {
        Protocol::Dns(name) => Some((name.into_owned(), true, true)),
        Protocol::Dns4(name) => Some((name.into_owned(), true, false)),
        Protocol::Dns6(name) => Some((name.into_owned(), false, true)),
        _ => None,
    });
    let Some((name, v4, v6)) = name else {
        return vec![address];
    };
    let Ok(found) = tokio::net::lookup_host((name.as_str(), 0)).await else {
        return Vec::new();
    };
    let mut addresses: Vec<IpAddr> =
        found.map(|found| found.ip()).filter(|ip| if ip.is_ipv4() { v4 } else { v6 }).collect();
    addresses.dedup();
    addresses.truncate(RESOLVED_ADDRESSES_MAX);
    addresses.into_iter().map(|ip| with_ip(&address, ip)).collect()
}

fn with_ip(address: &Multiaddr, ip: IpAddr) -> Multiaddr {
    address
        .iter()
        .map(|part| match part {
            Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_) => Protocol::from(ip),
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    #[test]
    fn a_peer_id_holds_the_node_id() {
        let key = Keypair::generate_ed25519();
        let node = NodeId(key.public().try_into_ed25519().unwrap().to_bytes());
        let peer = key.public().to_peer_id();
        assert_eq!(peer_id(&node), Some(peer));
        assert_eq!(node_id(&peer), Some(node));
    }

    #[test]
    fn a_peer_id_of_another_kind_is_no_node() {
        assert_eq!(node_id(&PeerId::random()), None);
    }

    #[test]
    fn the_named_peer_is_split_off() {
        let peer = Keypair::generate_ed25519().public().to_peer_id();
        let bare: Multiaddr = "/ip4/10.0.0.1/tcp/4001".parse().unwrap();
        assert_eq!(split_peer(bare.clone().with(Protocol::P2p(peer))), (bare.clone(), Some(peer)));
        assert_eq!(split_peer(bare.clone()), (bare, None));
    }

    #[tokio::test]
    async fn names_become_numbers() {
        let named: Multiaddr = "/dns4/localhost/tcp/4001".parse().unwrap();
        // What else the name stands for is the machine's own affair.
        let at = resolve(named).await;
        assert!(at.contains(&"/ip4/127.0.0.1/tcp/4001".parse().unwrap()), "{at:?}");
        assert!(at.iter().all(|one| matches!(one.iter().next(), Some(Protocol::Ip4(_)))), "{at:?}");
    }
}
