//! What runs on each connection: Kademlia for finding nodes at random, ping for knowing who is there, limits, and our
//! own streams. Small behaviours, composed; nothing is decided here.

use super::NetConfig;
use super::kademlia::Kademlia;
use super::streams::{self, Protocol};
use libp2p::identity::PublicKey;
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, StreamProtocol, connection_limits, identify, kad, ping};
use std::num::NonZeroUsize;
use std::time::Duration;

/// Our own Kademlia: nodes of other networks do not get into it.
const KAD: StreamProtocol = StreamProtocol::new("/palimpsest/1/kad");
/// What identify says of us; the same for all, so that versions do not tell nodes apart.
const IDENTIFY: &str = "/palimpsest/1";
/// Identify repeats itself this often. Its first exchange is all we need.
const IDENTIFY_INTERVAL: Duration = Duration::from_secs(6 * 3_600);
/// A silent peer is asked for a sign of life this often.
const PING_INTERVAL: Duration = Duration::from_secs(15);
/// It has this long to give one. The second failure in a row closes the connection.
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// Disjoint paths of a query, so that one liar on a path does not decide (S/Kademlia).
const KAD_PATHS: NonZeroUsize = NonZeroUsize::new(8).unwrap();
/// A query gives up after this long.
const KAD_TIMEOUT: Duration = Duration::from_secs(20);
/// Connections to one peer: one is enough, but both ends may dial at once, and a restarted node may come back before its
/// old connection is found dead.
const CONNECTIONS_PER_PEER_MAX: u32 = 4;
/// Handshakes under way at once, each way. All nodes of a small network may start at once.
const HANDSHAKES_MAX: u32 = 256;

/// See the module.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) streams: streams::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) kad: Kademlia,
}

impl Behaviour {
    pub(super) fn new(config: &NetConfig, key: PublicKey) -> Behaviour {
        let peer = key.to_peer_id();
        // A client takes packets (replies) but answers no table exchange: what it knows is nobody's business.
        let accepted: &[Protocol] =
            if config.server { &[Protocol::Packet, Protocol::Table] } else { &[Protocol::Packet] };
        let max = config.connections_max;
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(HANDSHAKES_MAX))
            .with_max_pending_outgoing(Some(HANDSHAKES_MAX))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
            // A quarter is kept for connections that we chose ourselves: others cannot take all places.
            .with_max_established_incoming(Some(max - max / 4))
            .with_max_established(Some(max));
        let identify = identify::Config::new(IDENTIFY.to_owned(), key)
            .with_agent_version(IDENTIFY.to_owned())
            .with_interval(IDENTIFY_INTERVAL)
            .with_hide_listen_addrs(true)
            .with_cache_size(0);
        Behaviour {
            limits: connection_limits::Behaviour::new(limits),
            streams: streams::Behaviour::new(accepted, config.versions),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
            identify: identify::Behaviour::new(identify),
            kad: Kademlia::new(kad(peer, config.server)),
        }
    }
}

fn kad(peer: PeerId, server: bool) -> kad::Behaviour<MemoryStore> {
    let mut config = kad::Config::new(KAD);
    config
        .set_parallelism(KAD_PATHS)
        .disjoint_query_paths(true)
        .set_query_timeout(KAD_TIMEOUT)
        // No records live in Kademlia: ours are placed by the node table and travel by onion.
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_caching(kad::Caching::Disabled)
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_provider_publication_interval(None)
        // Its buckets are filled from the node table, whose entries are signed, and at a time of our choosing: a bucket
        // filled at each new connection starts a storm of queries when a network starts.
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_periodic_bootstrap_interval(None);
    let store =
        MemoryStoreConfig { max_records: 0, max_value_bytes: 0, max_providers_per_key: 0, max_provided_keys: 0 };
    let mut kad = kad::Behaviour::with_config(peer, MemoryStore::with_config(peer, store), config);
    kad.set_mode(Some(if server { kad::Mode::Server } else { kad::Mode::Client }));
    kad
}
