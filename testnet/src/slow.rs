//! Peers that let bytes trickle: they open what they may, begin packets and exchanges of tables, and end none.

mod program;

pub use program::SlowProgram;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::AsyncWriteExt;
use futures::future::{join_all, join3};
use palimpsest_client::net::{Multiaddr, Net, NetConfig, NetError, PacketHandler, RawStream, SharedTable, Transport};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::Packet;
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::BUCKETS;
use tokio::task::JoinSet;

/// The pause between two bytes, and before another try where one is refused.
const PAUSE: Duration = Duration::from_secs(1);
/// A connection or a stream must be there after this long.
const DEADLINE: Duration = Duration::from_secs(10);
/// Streams of packets that each peer tries to have open to a node: more than it may.
const PACKET_STREAMS: usize = 5;
/// Exchanges of tables that each peer tries to have under way with a node: more than it may.
const EXCHANGES: usize = 4;
/// The class of a large packet, of which a byte comes now and then.
const LARGE: &[u8] = &[1];
/// Bytes that a slow peer says it will send last in an exchange, and does not.
const RETURN_BYTES: u32 = 1_000;

/// Slow peers at work; dropping it ends them.
pub struct SlowPeers {
    tasks: JoinSet<()>,
    ended: Arc<AtomicUsize>,
}

/// Takes what packets come, and does nothing.
struct Deaf;

impl PacketHandler for Deaf {
    fn on_packet(&self, _from: NodeId, _packet: Packet) {}
}

impl SlowPeers {
    /// So many peers, each with a key of its own and a connection to each of the nodes: who it is (none: whoever answers), and where.
    ///
    /// # Errors
    /// A network does not start.
    pub fn start(
        peers: usize,
        nodes: &[(Option<NodeId>, Vec<Multiaddr>)],
        transport: Transport,
    ) -> Result<SlowPeers, NetError> {
        let (mut tasks, ended) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..peers {
            let config = NetConfig::client(Secret::random(&mut rand::rng()), transport);
            let net = Net::start(config, SharedTable::default(), Arc::new(Deaf))?;
            for (id, addresses) in nodes {
                let (net, id, addresses, ended) = (net.clone(), *id, addresses.clone(), ended.clone());
                tasks.spawn(async move {
                    let id = first_met(&net, id, &addresses).await;
                    Target { net, id, ended }.occupy(addresses).await;
                });
            }
        }
        Ok(SlowPeers { tasks, ended })
    }

    /// Streams that nodes have ended so far: with each a slow peer lost its place.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Ends them, and waits until they are gone.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Connects to a node for the first time, however long that takes; who it is.
async fn first_met(net: &Net, id: Option<NodeId>, addresses: &[Multiaddr]) -> NodeId {
    loop {
        if let Ok(id) = net.connect(id, addresses.to_vec(), DEADLINE).await {
            return id;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A node, as one slow peer sees it.
struct Target {
    net: Net,
    id: NodeId,
    ended: Arc<AtomicUsize>,
}

impl Target {
    /// Keeps a connection to the node, and on it all streams that can be had.
    async fn occupy(self, addresses: Vec<Multiaddr>) {
        let connect = async {
            loop {
                // Refused or not there: again after a while.
                let _ = self.net.connect(Some(self.id), addresses.clone(), DEADLINE).await;
                tokio::time::sleep(PAUSE).await;
            }
        };
        let mut offer = (u32::try_from(BUCKETS * 8).unwrap_or(u32::MAX)).to_le_bytes().to_vec();
        offer.resize(4 + BUCKETS * 8, 0);
        offer.extend(RETURN_BYTES.to_le_bytes());
        let packets = (0..PACKET_STREAMS).map(|_| self.trickle(RawStream::Packets, LARGE));
        // Every other exchange stops in its first message, the others in their last: those never read the answer.
        let exchanges = (0..EXCHANGES).map(|place| {
            let first = if place % 2 == 0 { &offer[..4] } else { &offer[..] };
            self.trickle(RawStream::Tables, first)
        });
        join3(connect, join_all(packets), join_all(exchanges)).await;
    }

    /// Opens a stream, says the `first` bytes and then one now and then, until the node ends it; and again.
    async fn trickle(&self, what: RawStream, first: &[u8]) {
        loop {
            if let Ok(mut stream) = self.net.open_raw(self.id, what, DEADLINE).await {
                let mut said = stream.write_all(first).await;
                while said.is_ok() && stream.flush().await.is_ok() {
                    tokio::time::sleep(PAUSE).await;
                    said = stream.write_all(&[0]).await;
                }
                self.ended.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
