//! The network against itself: in memory, and over TCP and QUIC on the loopback.

mod hostile;
mod mesh;
mod packets;
mod strangers;

use super::*;
use bytes::Bytes;
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::onion::Size;
use palimpsest_proto::record::{NodeDescriptor, Roles};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Everything in these tests is over long before, on a machine however busy: it is there for what never happens.
const SOON: Duration = Duration::from_secs(120);

/// Packets that have arrived and that the test has not looked at: no test lets so many wait.
const ARRIVED_MAX: usize = 8_192;

/// Passes what arrives to the test.
struct Collect(Sender<(NodeId, Packet)>);

impl PacketHandler for Collect {
    fn on_packet(&self, from: NodeId, packet: Packet) {
        // The test may be over. Where there is no room, it misses a packet.
        let _ = self.0.try_send((from, packet));
    }
}

/// A network with its table, and what arrived.
struct Node {
    net: Net,
    table: SharedTable,
    seed: u8,
    addresses: Vec<Multiaddr>,
    arrived: Receiver<(NodeId, Packet)>,
}

fn listen(transport: Transport) -> Multiaddr {
    match transport {
        Transport::Memory => "/memory/0",
        Transport::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        Transport::Tcp | Transport::All => "/ip4/127.0.0.1/tcp/0",
    }
    .parse()
    .unwrap()
}

/// Where who speaks in memory cannot look.
fn elsewhere() -> Multiaddr {
    "/ip4/127.0.0.1/tcp/9".parse().unwrap()
}

/// A loopback address at which nobody else on the machine listens: where a test gives a port up and takes it again, it was
/// not given to another test meanwhile.
fn own_loopback() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(0);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 64 + NEXT.fetch_add(1, Ordering::Relaxed) % 128, high, low)
}

/// A port of such an address, which the system chooses.
fn own_port() -> Multiaddr {
    format!("/ip4/{}/tcp/0", own_loopback()).parse().unwrap()
}

/// The seed of that number's node; its id has cost its work.
fn secret(seed: u8) -> Secret {
    NodeKey::search(&mut StdRng::seed_from_u64(seed.into())).0
}

/// A server's descriptor, signed now.
fn descriptor(seed: u8, addresses: &[Multiaddr]) -> palimpsest_proto::record::SignedNodeDescriptor {
    let key = NodeKey::from_seed(&secret(seed));
    let descriptor = NodeDescriptor {
        id: key.id(),
        seq: std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64,
        onion: [7; 32],
        addresses: addresses.iter().map(|a| Bytes::from(a.to_vec())).collect(),
        valid_until: clock::timestamp().plus(3_600),
        roles: Roles::ALL,
        fill: 0,
    };
    descriptor.sign(&key).unwrap()
}

impl Node {
    async fn server(seed: u8, transport: Transport, bootstrap: Vec<Multiaddr>) -> Node {
        Node::server_at(seed, transport, listen(transport), bootstrap).await
    }

    async fn server_at(seed: u8, transport: Transport, at: Multiaddr, bootstrap: Vec<Multiaddr>) -> Node {
        let node = Node::start(seed, NetConfig::server(secret(seed), transport, vec![at], bootstrap)).await;
        node.announce();
        node
    }

    /// A server at the place of one that has ended.
    async fn server_back_at(seed: u8, at: Multiaddr, bootstrap: Vec<Multiaddr>) -> Node {
        eventually("given up", || transport::check_free(&at).is_ok()).await;
        Node::server_at(seed, Transport::Tcp, at, bootstrap).await
    }

    async fn client(seed: u8, transport: Transport) -> Node {
        Node::start(seed, NetConfig::client(secret(seed), transport)).await
    }

    async fn start(seed: u8, config: NetConfig) -> Node {
        let (collect, arrived) = channel(ARRIVED_MAX);
        Node::start_with(seed, config, Arc::new(Collect(collect)), arrived).await
    }

    async fn start_with(
        seed: u8,
        config: NetConfig,
        handler: Arc<dyn PacketHandler>,
        arrived: Receiver<(NodeId, Packet)>,
    ) -> Node {
        let table = SharedTable::default();
        let net = Net::start(config, table.clone(), handler).unwrap();
        let addresses = net.listeners().await;
        Node { net, table, seed, addresses, arrived }
    }

    fn id(&self) -> NodeId {
        self.net.local_id()
    }

    /// Signs its descriptor and puts it into its own table.
    fn announce(&self) {
        self.learn(descriptor(self.seed, &self.addresses));
        self.net.announce();
    }

    fn learn(&self, signed: palimpsest_proto::record::SignedNodeDescriptor) {
        self.table.write().unwrap().insert(signed, clock::moment());
    }

    async fn connect(&self, to: &Node) -> Result<NodeId, NetError> {
        self.net.connect(None, to.addresses.clone(), SOON).await
    }

    async fn next(&mut self) -> (NodeId, Packet) {
        timeout(SOON, self.arrived.recv()).await.unwrap().unwrap()
    }

    /// Exchanges tables with a node: again if the two of them were just dialling each other.
    async fn meet(&self, id: NodeId) {
        let until = tokio::time::Instant::now() + SOON;
        while let Err(error) = self.net.sync(id, SOON).await {
            assert!(tokio::time::Instant::now() < until, "never met: {error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn believes_lost(&self, id: &NodeId) -> bool {
        self.table.read().unwrap().get(id).is_some_and(|entry| entry.health().lost.is_some())
    }

    fn known(&self) -> usize {
        self.table.read().unwrap().len()
    }
}

fn packet(size: Size, filled: u8) -> Packet {
    Packet::parse(vec![filled; size.packet_bytes()]).unwrap()
}

/// Waits for what shows in a table or a counter only.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, waited).await.unwrap_or_else(|_| panic!("never came: {what}"));
}
