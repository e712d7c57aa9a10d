//! How a node stays known: it signs its descriptor anew when something in it changes. Meeting the bootstrap nodes and
//! spreading the descriptor is the gossip's work (`client::net`).

use super::{Shared, files};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use palimpsest_client::clock::moment;
use palimpsest_proto::params::{NODE_ADDRESSES_MAX, NODE_VALID_SECONDS_MAX};
use palimpsest_proto::record::{NodeDescriptor, Roles};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is checked whether the descriptor still tells the truth.
const CHECK_EVERY: Duration = Duration::from_secs(60);
/// The first check comes sooner: interfaces tell their addresses one by one.
const FIRST_CHECK: Duration = Duration::from_secs(2);
/// A descriptor is signed anew after this part of its validity at the latest.
const RENEW_SECONDS: u64 = NODE_VALID_SECONDS_MAX / 7;
/// How often the table is kept on disk.
const SAVE_EVERY: Duration = Duration::from_secs(600);
/// Percent by which the fill must change to be worth a new descriptor.
const FILL_STEP: u8 = 5;

/// The addresses at which others may reach the node: loopback only if there is nothing else.
fn reachable(mut addresses: Vec<Multiaddr>) -> Vec<Multiaddr> {
    let is_loopback = |address: &Multiaddr| match address.iter().next() {
        Some(Protocol::Ip4(ip)) => ip.is_loopback(),
        Some(Protocol::Ip6(ip)) => ip.is_loopback(),
        _ => false,
    };
    if !addresses.iter().all(is_loopback) {
        addresses.retain(|address| !is_loopback(address));
    }
    addresses.sort();
    addresses.dedup();
    addresses.truncate(NODE_ADDRESSES_MAX);
    addresses
}

/// Signs the node's descriptor.
pub(super) struct Announcer {
    shared: Arc<Shared>,
    /// What was signed last.
    said: Option<Said>,
}

/// What a descriptor says of itself that may change.
#[derive(Clone, PartialEq, Eq)]
struct Said {
    onion: [u8; 32],
    addresses: Vec<Multiaddr>,
    fill: u8,
    draining: bool,
}

impl Announcer {
    pub(super) fn new(shared: Arc<Shared>) -> Announcer {
        Announcer { shared, said: None }
    }

    fn to_say(&self) -> Said {
        let fill = self.shared.store.usage().fill();
        let addresses = reachable(self.shared.net.listeners_now());
        Said {
            onion: self.shared.ring.public().0,
            addresses,
            fill: fill / FILL_STEP * FILL_STEP,
            draining: self.shared.draining.is_on(),
        }
    }

    /// Signs what is true now, and puts it into the node's own table, from which it spreads.
    pub(super) fn announce(&mut self) {
        let said = self.to_say();
        self.sign(&said);
        self.said = Some(said);
    }

    fn sign(&self, said: &Said) {
        let wall = self.shared.config.wall;
        let descriptor = NodeDescriptor {
            id: self.shared.key.id(),
            seq: wall.unix_ms(),
            onion: said.onion,
            addresses: said.addresses.iter().map(|a| a.to_vec().into()).collect(),
            valid_until: wall.now().plus(NODE_VALID_SECONDS_MAX),
            roles: Roles { holds: !said.draining, ..Roles::ALL },
            fill: said.fill,
        };
        match descriptor.sign(&self.shared.key) {
            Ok(signed) => {
                let mut table = self.shared.table.write().unwrap_or_else(PoisonError::into_inner);
                table.insert(signed, moment());
                drop(table);
                self.shared.net.announce();
            }
            Err(error) => tracing::error!(%error, "this node's own descriptor is not valid"),
        }
    }

    /// Keeps the descriptor true, rotates the onion key when it is due, and drops what is no longer valid, until `stop`.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut said = self.said.take();
        let (mut signed_at, mut saved_at) = (moment(), moment());
        let mut pause = FIRST_CHECK;
        let mut drain_begun = self.shared.draining.begun();
        // Sooner, if the node begins to drain: others should bring nothing more. (Its sender lives as long as the node.)
        let mut next = async |pause| tokio::time::timeout(pause, drain_begun.changed()).await;
        while stop.run_until_cancelled(next(pause)).await.is_some() {
            pause = CHECK_EVERY;
            let now = moment();
            if self.shared.ring.tend(&mut rand::rng(), now) {
                tracing::info!("the onion key was rotated");
            }
            self.shared.table.write().unwrap_or_else(PoisonError::into_inner).expire(self.shared.config.wall.now());
            let due = now.since(signed_at) >= Duration::from_secs(RENEW_SECONDS);
            let to_say = self.to_say();
            if due || said.as_ref() != Some(&to_say) {
                self.sign(&to_say);
                said = Some(to_say);
                signed_at = now;
            }
            if now.since(saved_at) >= SAVE_EVERY {
                files::write_table(&self.shared.config.data_dir, &files::encoded_table(&self.shared.table));
                saved_at = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn loopback_is_announced_only_where_there_is_nothing_else() {
        let of = |texts: &[&str]| reachable(texts.iter().map(|t| t.parse().unwrap()).collect()).len();
        assert_eq!(of(&["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1"]), 2);
        assert_eq!(of(&["/ip4/127.0.0.1/tcp/1", "/ip4/192.0.2.1/tcp/1", "/ip6/::1/tcp/1"]), 1);
        assert_eq!(of(&["/memory/1"]), 1);
    }
}
