//! The network: the only place where libp2p is spoken.
//!
//! ```text
//! Net ──send / send_wait──► links ──one writer task each──► streams ──► peers
//!  │                                                                     │
//!  ├─connect, walk──► endpoint (owns the swarm, dispatches) ◄────────────┤
//!  └─sync───────────► exchange of node tables                            │
//!                PacketHandler ◄──one reader task for each stream────────┘
//! gossip (servers): exchanges with random nodes, walks
//! ```
//!
//! Every task hangs on two tokens, kept in `Shared`: `cancel` ends what works, then `halt` ends the endpoint. Every queue
//! is bounded, every wait has a deadline, and nothing that a peer does is logged with its name.

mod address;
mod behaviour;
pub mod clock;
mod counters;
mod directory;
mod endpoint;
mod gossip;
mod hostile;
mod join;
mod kademlia;
mod links;
mod muxer;
mod reader;
mod room;
mod streams;
mod sync;
mod transport;

#[cfg(test)]
mod tests;

pub use counters::{Counter, Counters};
pub use hostile::{RawStream, TableLiar, Told, take_and_say_nothing};
pub use libp2p::Multiaddr;
pub use links::{LINK_FORWARD_PACKETS_MAX, LINK_QUEUE_PACKETS_MAX, QUEUED_PACKETS_MAX};
pub use room::{NoPlace, Place, Room};
pub use streams::Versions;
pub use sync::SyncReport;
pub use transport::Transport;

use behaviour::Behaviour;
use directory::Directory;
use endpoint::{Command, Endpoint};
use libp2p::Swarm;
use libp2p::core::upgrade::Version;
use libp2p::identity::{Keypair, ed25519};
use links::Links;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::Packet;
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::{Heed, NodeTable};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Commands waiting for the endpoint at most; who has one more to give waits.
const COMMANDS_MAX: usize = 256;
/// A connection on which nothing is open ends after this long.
const CONNECTION_IDLE: Duration = Duration::from_secs(600);
/// Connections of a server at most, unless configured otherwise.
pub const SERVER_CONNECTIONS_MAX: u32 = 1_024;
/// Connections of a client at most, unless configured otherwise.
pub const CLIENT_CONNECTIONS_MAX: u32 = 64;
/// At the end, queued packets have this long to be written.
const DRAIN: Duration = Duration::from_secs(1);
/// At the end, tasks have this long to notice.
const WIND_UP: Duration = Duration::from_secs(2);

/// The node table, shared between the network, which learns, and those who choose from it. The lock is held for short
/// and never across an await.
pub type SharedTable = Arc<RwLock<NodeTable>>;

/// What becomes of packets that arrive.
pub trait PacketHandler: Send + Sync {
    /// A packet came from a connected peer. Called in the link's reader task, packet after packet: may compute (an onion
    /// layer), must not wait. What it passes on goes by [`Net::send`].
    fn on_packet(&self, from: NodeId, packet: Packet);
}

/// How a network is to be started.
pub struct NetConfig {
    /// The seed of the node's signing key (Ed25519), the same as the one of its `NodeKey`.
    pub seed: Secret,
    /// Addresses to listen on; none for a client.
    pub listen: Vec<Multiaddr>,
    /// What is dialled and listened with.
    pub transport: Transport,
    /// Whether it answers Kademlia and table exchanges and gossips, or only asks.
    pub server: bool,
    /// Where a server joins the network: addresses with or without `/p2p/…`, host names allowed. A client joins by
    /// [`Net::connect`].
    pub bootstrap: Vec<Multiaddr>,
    /// Connections at most, in both directions.
    pub connections_max: u32,
    /// By which descriptors are valid or not.
    pub wall: clock::Wall,
    /// The versions of our protocols that it speaks.
    pub versions: Versions,
    /// Makes up what it tells in exchanges of tables, in tests.
    pub table_liar: Option<TableLiar>,
}

impl NetConfig {
    /// A node that serves, listening on `listen`.
    pub fn server(seed: Secret, transport: Transport, listen: Vec<Multiaddr>, bootstrap: Vec<Multiaddr>) -> NetConfig {
        let (connections_max, wall, versions) = (SERVER_CONNECTIONS_MAX, clock::Wall::default(), Versions::default());
        let table_liar = None;
        NetConfig { seed, listen, transport, server: true, bootstrap, connections_max, wall, versions, table_liar }
    }

    /// A client, which listens nowhere.
    pub fn client(seed: Secret, transport: Transport) -> NetConfig {
        let (listen, bootstrap) = (Vec::new(), Vec::new());
        let (connections_max, wall, versions) = (CLIENT_CONNECTIONS_MAX, clock::Wall::default(), Versions::default());
        let table_liar = None;
        NetConfig { seed, listen, transport, server: false, bootstrap, connections_max, wall, versions, table_liar }
    }
}

/// Why the network could not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NetError {
    /// The seed makes no key.
    #[error("the node's key is not usable")]
    Key,
    /// An address to listen on is taken, not ours, or not of the configured transport.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the system says.
        cause: String,
    },
    /// None of the node's addresses can be dialled with the configured transport.
    #[error("no address that can be dialled")]
    NoAddress,
    /// The address is our own.
    #[error("that address is this very node")]
    Itself,
    /// Another node than the expected one answered.
    #[error("another node answers at that address")]
    SomeoneElse,
    /// The dial or the stream failed.
    #[error("the node cannot be reached")]
    Unreachable,
    /// Not within the given time.
    #[error("no answer in time")]
    TimedOut,
    /// Our own limits are reached.
    #[error("too many connections or requests at once; try again later")]
    Busy,
    /// The peer said something that makes no sense, or is no node.
    #[error("the peer does not speak our protocol")]
    Protocol,
    /// The network was shut down.
    #[error("the network is shut down")]
    Closed,
}

/// Why a packet was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The link has no room, or all links together have none, or there are too many links.
    #[error("the link's queue is full")]
    QueueFull,
    /// The neighbour that it came from has its share of what waits already.
    #[error("the neighbour has its share of the queue already")]
    OverShare,
    /// The node is neither connected nor in the node table.
    #[error("the node is not known")]
    Unknown,
    /// A dial failed lately, or the link ended while we waited.
    #[error("the node cannot be reached")]
    Unreachable,
    /// There was no room within the given time.
    #[error("no room in time")]
    TimedOut,
    /// The network was shut down.
    #[error("the network is shut down")]
    Closed,
}

/// What all tasks share.
struct Shared {
    local: NodeId,
    server: bool,
    transport: Transport,
    wall: clock::Wall,
    directory: Directory,
    links: Links,
    handler: Arc<dyn PacketHandler>,
    counters: Counters,
    commands: mpsc::Sender<Command>,
    /// The table changed: gossip has news.
    changed: Notify,
    /// Exchanges that peers may have under way with us.
    exchanges: endpoint::Exchanges,
    /// Speaks in the place of the table, in tests.
    table_liar: Option<TableLiar>,
    /// Ends what works.
    cancel: CancellationToken,
    /// Ends the endpoint.
    halt: CancellationToken,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
}

impl Shared {
    /// Runs a task that minds `cancel` itself.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Runs a task that is dropped at the end.
    fn spawn_cancelled(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.spawn(async move {
            // Cancelled or done: nobody asks which.
            let _ = cancel.run_until_cancelled(task).await;
        });
    }
}

/// Ends the tasks when the last handle goes.
struct Owner {
    shared: Arc<Shared>,
    listening: watch::Receiver<Option<Vec<Multiaddr>>>,
    endpoint: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
        self.shared.halt.cancel();
    }
}

/// A handle on the network. All clones are one network; it ends by [`Net::shutdown`] or with its last handle. A handler
/// that keeps a handle keeps the network: then only `shutdown` ends it.
#[derive(Clone)]
pub struct Net(Arc<Owner>);

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Net({:?})", self.local_id())
    }
}

impl Net {
    /// Starts the network's tasks on the current tokio runtime. Fails if the key or an address to listen on is not usable.
    pub fn start(config: NetConfig, table: SharedTable, handler: Arc<dyn PacketHandler>) -> Result<Net, NetError> {
        let seed = ed25519::SecretKey::try_from_bytes(*config.seed.expose()).map_err(|_| NetError::Key)?;
        let key = Keypair::from(ed25519::Keypair::from(seed));
        let peer = key.public().to_peer_id();
        let local = address::node_id(&peer).ok_or(NetError::Key)?;
        let swarm_config = libp2p::swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(CONNECTION_IDLE)
            // What is sent first goes with the stream's name: a round trip less for each link of a path that was idle.
            .with_substream_upgrade_protocol_override(Version::V1Lazy);
        let behaviour = Behaviour::new(&config, key.public());
        let mut swarm = Swarm::new(config.transport.build(&key)?, behaviour, peer, swarm_config);
        let mut listeners_pending = HashSet::new();
        for address in &config.listen {
            let refused = |cause: String| NetError::Listen { address: address.clone(), cause };
            transport::check_free(address).map_err(|error| refused(error.to_string()))?;
            listeners_pending.insert(swarm.listen_on(address.clone()).map_err(|error| refused(error.to_string()))?);
        }

        let (commands, for_endpoint) = mpsc::channel(COMMANDS_MAX);
        let (listens, listening) = watch::channel(None);
        let shared = Arc::new(Shared {
            local,
            server: config.server,
            transport: config.transport,
            wall: config.wall,
            directory: Directory::new(table, local, config.server, config.transport, config.wall),
            links: Links::new(config.connections_max as usize),
            handler,
            counters: Counters::default(),
            commands,
            changed: Notify::new(),
            exchanges: endpoint::Exchanges::default(),
            table_liar: config.table_liar,
            cancel: CancellationToken::new(),
            halt: CancellationToken::new(),
            tasks: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
        });
        let endpoint = Endpoint::new(shared.clone(), swarm, for_endpoint, listens, listeners_pending);
        let endpoint = shared.runtime.spawn(endpoint.run());
        if config.server {
            shared.spawn_cancelled(gossip::run(shared.clone(), config.bootstrap));
        }
        Ok(Net(Arc::new(Owner { shared, listening, endpoint: std::sync::Mutex::new(Some(endpoint)) })))
    }

    /// The clock that it goes by.
    pub fn wall(&self) -> clock::Wall {
        self.0.shared.wall
    }

    /// Our own id.
    pub fn local_id(&self) -> NodeId {
        self.0.shared.local
    }

    /// Where we listen, ports resolved; waits until every configured address is listened on. Empty for a client and after
    /// the end.
    pub async fn listeners(&self) -> Vec<Multiaddr> {
        let mut listening = self.0.listening.clone();
        match listening.wait_for(Option::is_some).await {
            Ok(addresses) => addresses.clone().unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Where we listen at this moment: with an unspecified address (`0.0.0.0`) interfaces come one by one, and go.
    pub fn listeners_now(&self) -> Vec<Multiaddr> {
        self.0.listening.borrow().clone().unwrap_or_default()
    }

    /// Connects to the node at one of `addresses` (tried one after the other; host names are resolved). Without `id`
    /// whoever answers is taken, unless the address names its node. Says who it is.
    pub async fn connect(
        &self,
        id: Option<NodeId>,
        addresses: Vec<Multiaddr>,
        deadline: Duration,
    ) -> Result<NodeId, NetError> {
        self.in_time(deadline, join::connect(&self.0.shared, id, addresses)).await
    }

    /// Queues a packet for a node, or drops it: never waits. The link is opened if there is none. That a packet was queued
    /// does not mean that it arrives.
    pub fn send(&self, to: NodeId, packet: Packet) -> Result<(), SendError> {
        Links::send(&self.0.shared, to, packet)
    }

    /// Queues for `to` what the neighbour `from` sent, or drops it, as [`Net::send`] does. The room on the link, and on all
    /// links together, is shared fairly among neighbours ([`Room`]).
    pub fn forward(&self, from: NodeId, to: NodeId, packet: Packet) -> Result<(), SendError> {
        Links::forward(&self.0.shared, from, to, packet)
    }

    /// Queues a packet for a node as soon as there is room: what a client uses towards its guard. Cancel-safe.
    pub async fn send_wait(&self, to: NodeId, packet: Packet, deadline: Duration) -> Result<(), SendError> {
        let sent = timeout(deadline, Links::send_wait(&self.0.shared, to, packet));
        self.0
            .shared
            .cancel
            .run_until_cancelled(sent)
            .await
            .ok_or(SendError::Closed)?
            .map_err(|_| SendError::TimedOut)?
    }

    /// Exchanges node tables with a node that is connected or in the table. A client takes descriptors only, and tells nothing.
    pub async fn sync(&self, with: NodeId, deadline: Duration) -> Result<SyncReport, NetError> {
        let heed = if self.0.shared.server { Heed::Weighed } else { Heed::Ignored };
        self.in_time(deadline, sync::exchange(&self.0.shared, with, heed)).await
    }

    /// The same with a guard. A client takes its word on who is lost in the place of all that it heard before; a node, which sees
    /// for itself, weighs it as that of any other.
    pub async fn sync_with_guard(&self, guard: NodeId, deadline: Duration) -> Result<SyncReport, NetError> {
        let heed = if self.0.shared.server { Heed::Weighed } else { Heed::Believed };
        self.in_time(deadline, sync::exchange(&self.0.shared, guard, heed)).await
    }

    /// Asks Kademlia who is near a random place: some nodes and where they say they are. Nothing of it is checked; a
    /// [`Net::connect`] and a [`Net::sync`] with one of them bring what is.
    pub async fn walk(&self, deadline: Duration) -> Result<Vec<(NodeId, Vec<Multiaddr>)>, NetError> {
        self.in_time(deadline, gossip::walk(&self.0.shared)).await
    }

    /// Tells gossip that the table changed by other hands (our own descriptor was signed anew): spread it soon.
    pub fn announce(&self) {
        self.0.shared.changed.notify_one();
    }

    /// Who is connected.
    pub fn connected_peers(&self) -> Vec<NodeId> {
        self.0.shared.links.connected()
    }

    /// Totals since the start.
    pub fn counters(&self) -> &Counters {
        &self.0.shared.counters
    }

    /// Ends the network: queued packets are written, streams and connections closed, tasks awaited, each within a deadline.
    pub async fn shutdown(&self) {
        let shared = &self.0.shared;
        // Past its deadline what is queued is lost, as it may be anywhere on its way.
        let _ = timeout(DRAIN, shared.links.drained()).await;
        shared.cancel.cancel();
        shared.tasks.close();
        let _ = timeout(WIND_UP, shared.tasks.wait()).await;
        shared.halt.cancel();
        let endpoint = self.0.endpoint.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(endpoint) = endpoint {
            let _ = timeout(WIND_UP, endpoint).await;
        }
    }

    async fn in_time<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, NetError>>,
    ) -> Result<T, NetError> {
        let work = self.0.shared.cancel.run_until_cancelled(timeout(deadline, work));
        work.await.ok_or(NetError::Closed)?.map_err(|_| NetError::TimedOut)?
    }
}
