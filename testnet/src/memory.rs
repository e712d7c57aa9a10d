//! A whole network in one process, over libp2p's memory transport: real nodes with real stores, no sockets. It does not
//! cover process death (`process`), TCP, or QUIC.

use palimpsest_client::clock::Wall;
use palimpsest_client::net::{TableLiar, Transport, Versions};
use palimpsest_client::{Client, ClientOptions, Error, keyring};
use palimpsest_node::config::{Meddler, Onlooker, Stand};
use palimpsest_node::work::UpkeepConfig;
use palimpsest_node::{Node, NodeConfig, NodeError};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::NodeTable;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use thiserror::Error as ThisError;
use tokio::time::Instant;

/// How long a network may take until all know each other.
const MEET_DEADLINE: Duration = Duration::from_secs(180);
/// How often it is looked whether they do: tables are shared state without an event to await.
const MEET_PAUSE: Duration = Duration::from_millis(50);
/// How long a client may take to enter. It takes less than a second; on a busy machine some.
const CONNECT_DEADLINE: Duration = Duration::from_secs(60);
/// Nodes that a newcomer is told of on all stages, the first ones: as many as `docs/operations.md` tells everybody to name.
pub(crate) const BOOTSTRAP: usize = 5;

/// Why a network did not start.
#[derive(Debug, ThisError)]
pub enum NetworkError {
    /// No folder could be made.
    #[error("no folder for the nodes: {0}")]
    Folder(#[source] std::io::Error),
    /// A node did not start.
    #[error("node {index} did not start: {source}")]
    Node {
        /// Which.
        index: usize,
        /// Why.
        #[source]
        source: NodeError,
    },
    /// They did not all find each other.
    #[error("after {} s the least informed node knows {known} of {nodes}", MEET_DEADLINE.as_secs())]
    Strangers {
        /// Nodes that the least informed one knows.
        known: usize,
        /// Nodes there are.
        nodes: usize,
    },
}

/// What network to make.
pub struct NetworkOptions {
    /// How many nodes.
    pub nodes: usize,
    /// Each node's quota in bytes.
    pub quota_bytes: u64,
    /// When and how much the nodes work for what was published; `None`: nothing heals.
    pub upkeep: Option<UpkeepConfig>,
    /// The clock that a node goes by, by index.
    pub wall: Box<dyn Fn(usize) -> Wall + Send>,
    /// A service in the honest one's place, by index.
    pub service: Box<dyn Fn(usize) -> Option<Stand> + Send>,
    /// What a relay does to the packets of others, by index.
    pub meddler: Box<dyn Fn(usize) -> Option<Meddler> + Send>,
    /// What a node tells of the node table instead of what it knows, by index.
    pub table_liar: Box<dyn Fn(usize) -> Option<TableLiar> + Send>,
    /// The versions of the protocols that a node speaks when it starts, by index.
    pub versions: Box<dyn Fn(usize) -> Versions + Send>,
    /// Who is told of all that a node handles, by index.
    pub onlooker: Box<dyn Fn(usize) -> Option<Onlooker> + Send>,
}

impl NetworkOptions {
    /// Honest nodes with room enough.
    pub fn honest(nodes: usize) -> NetworkOptions {
        NetworkOptions {
            nodes,
            quota_bytes: 1 << 30,
            upkeep: None,
            wall: Box::new(|_| Wall::default()),
            service: Box::new(|_| None),
            meddler: Box::new(|_| None),
            table_liar: Box::new(|_| None),
            versions: Box::new(|_| Versions::Today),
            onlooker: Box::new(|_| None),
        }
    }
}

/// Lets this process open as many files as it may: each node has some seven, and where as many networks run at once as there
/// are cores, the usual 1,024 are not enough. Where that is refused, so be it.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// A running network; dropping it removes its folders.
pub struct Network {
    nodes: Vec<Option<Node>>,
    /// All that were ever started.
    members: Vec<NodeId>,
    /// Where the first nodes are, or were when they died.
    first: [Option<String>; BOOTSTRAP],
    options: NetworkOptions,
    dir: TempDir,
}

impl Network {
    /// Starts the nodes and waits until each knows all.
    pub async fn start(options: NetworkOptions) -> Result<Network, NetworkError> {
        raise_file_limit();
        let dir = TempDir::new().map_err(NetworkError::Folder)?;
        let mut network = Network { nodes: Vec::new(), members: Vec::new(), first: Default::default(), dir, options };
        for index in 0..network.options.nodes {
            let node = network.start_node(index).await?;
            network.members.push(node.id());
            network.nodes.push(Some(node));
            network.note_first(index);
        }
        network.meet().await?;
        Ok(network)
    }

    async fn start_node(&self, index: usize) -> Result<Node, NetworkError> {
        let config = NodeConfig {
            data_dir: self.node_dir(index),
            listen: palimpsest_node::config::listen_default(Transport::Memory),
            transport: Transport::Memory,
            bootstrap: self.bootstrap(),
            quota_bytes: self.options.quota_bytes,
            scrub_period: None,
            metrics_listen: None,
            upkeep: self.options.upkeep,
            wall: (self.options.wall)(index),
            embedded: true,
            service: (self.options.service)(index),
            meddler: (self.options.meddler)(index),
            table_liar: (self.options.table_liar)(index),
            versions: (self.options.versions)(index),
            onlooker: (self.options.onlooker)(index),
        };
        Node::start(config).await.map_err(|source| NetworkError::Node { index, source })
    }

    /// Where to begin: at some that run now.
    fn bootstrap(&self) -> Vec<String> {
        let first = |node: &Node| node.addresses().first().map(ToString::to_string);
        self.running().filter_map(first).take(BOOTSTRAP).collect()
    }

    /// Waits until each running node knows all that were ever started.
    pub async fn meet(&self) -> Result<(), NetworkError> {
        let nodes = self.options.nodes;
        let until = Instant::now() + MEET_DEADLINE;
        loop {
            let known = self.nodes.iter().flatten().map(|node| self.known_to(node)).min().unwrap_or(0);
            if known >= nodes {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(NetworkError::Strangers { known, nodes });
            }
            tokio::time::sleep(MEET_PAUSE).await;
        }
    }

    /// Waits until each running node was connected to each other one and believes it to live: whom it never met it forgets if he is not
    /// there, and believes to be lost if liars say so.
    pub async fn all_met(&self) -> Result<(), NetworkError> {
        let until = Instant::now() + MEET_DEADLINE;
        let ids: Vec<NodeId> = self.running().map(Node::id).collect();
        let met_by = |node: &Node| {
            let met = |table: &NodeTable, id: &NodeId| {
                table.get(id).is_some_and(|entry| entry.health().met && entry.health().lost.is_none())
            };
            node.with_table(|table| ids.iter().filter(|id| **id == node.id() || met(table, id)).count())
        };
        loop {
            let known = self.running().map(met_by).min().unwrap_or(0);
            if known >= ids.len() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(NetworkError::Strangers { known, nodes: ids.len() });
            }
            tokio::time::sleep(MEET_PAUSE).await;
        }
    }

    /// How many of its members a node knows: its table may have others, of whom somebody lied.
    fn known_to(&self, node: &Node) -> usize {
        if node.known_nodes() < self.members.len() {
            return node.known_nodes();
        }
        node.with_table(|table| self.members.iter().filter(|id| table.get(id).is_some()).count())
    }

    /// The folder of a node.
    pub fn node_dir(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("node-{index:03}"))
    }

    /// The folder under which all others lie.
    pub fn dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// A running node.
    pub fn node(&self, index: usize) -> Option<&Node> {
        self.nodes.get(index)?.as_ref()
    }

    /// Ends a node without a word to anybody.
    pub async fn kill(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index).and_then(Option::take) {
            node.abandon().await;
        }
    }

    /// Ends nodes as [`Network::kill`] does, all at the same time.
    pub async fn kill_all(&mut self, indices: &[usize]) {
        let ending: Vec<Node> =
            indices.iter().filter_map(|&index| self.nodes.get_mut(index).and_then(Option::take)).collect();
        futures::future::join_all(ending.into_iter().map(Node::abandon)).await;
    }

    /// Starts one node more, and waits until all know it; its index.
    pub async fn join(&mut self) -> Result<usize, NetworkError> {
        let index = self.add().await?;
        self.meet().await?;
        Ok(index)
    }

    /// Starts one node more, whoever knows it; its index.
    pub async fn add(&mut self) -> Result<usize, NetworkError> {
        let index = self.nodes.len();
        let node = self.start_node(index).await?;
        self.members.push(node.id());
        self.nodes.push(Some(node));
        self.options.nodes += 1;
        Ok(index)
    }

    /// The same with an identity that somebody chose.
    pub async fn add_as(&mut self, identity: Secret) -> Result<usize, NetworkError> {
        let dir = self.node_dir(self.nodes.len());
        keyring::private_folder(&dir).map_err(NetworkError::Folder)?;
        keyring::load_or_make(&dir.join("identity"), || identity).map_err(NetworkError::Folder)?;
        self.add().await
    }

    /// Starts a dead node again with an empty store: its disk was lost, and its identity was not.
    pub async fn restart_empty(&mut self, index: usize) -> Result<(), NetworkError> {
        std::fs::remove_dir_all(self.node_dir(index).join("store")).map_err(NetworkError::Folder)?;
        self.restart(index).await
    }

    /// The numbers of the nodes that run.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        (0..self.nodes.len()).filter(|&index| self.node(index).is_some())
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().flatten()
    }

    /// Starts a dead node again on its folder.
    pub async fn restart(&mut self, index: usize) -> Result<(), NetworkError> {
        let node = self.start_node(index).await?;
        self.nodes[index] = Some(node);
        self.note_first(index);
        Ok(())
    }

    /// A client with the data folder of that name, kept from one call to the next.
    pub async fn client(&self, name: &str) -> Result<Client, Error> {
        self.client_at(self.dir.path().join(name)).await
    }

    /// A client with that data folder, which may come from elsewhere.
    pub async fn client_at(&self, data_dir: PathBuf) -> Result<Client, Error> {
        self.client_told_of(data_dir, self.bootstrap()).await
    }

    /// The same, told of the first nodes that there ever were, dead or alive.
    pub async fn client_of_the_first(&self, name: &str) -> Result<Client, Error> {
        let first = self.first.iter().flatten().cloned().collect();
        self.client_told_of(self.dir.path().join(name), first).await
    }

    /// Notes where a node is that has started, if newcomers are told of it.
    fn note_first(&mut self, index: usize) {
        let place = self.node(index).and_then(|node| node.addresses().first().map(ToString::to_string));
        if let Some(first) = self.first.get_mut(index) {
            *first = place;
        }
    }

    async fn client_told_of(&self, data_dir: PathBuf, bootstrap: Vec<String>) -> Result<Client, Error> {
        Client::start(ClientOptions {
            data_dir,
            bootstrap,
            transport: Transport::Memory,
            connect_deadline: CONNECT_DEADLINE,
        })
        .await
    }

    /// Ends everything in order.
    pub async fn shutdown(mut self) {
        for node in self.nodes.iter_mut().filter_map(Option::take) {
            node.shutdown().await;
        }
    }
}
