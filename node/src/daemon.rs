//! The node as a whole: identity, store, network and roles, started in order and ended in reverse.
//!
//! ```text
//! Net (client::net) ──on_packet──► role::relay ──arrivals──► role::holder ──► store
//!        ▲                             │                          │
//!        └────────── send ◄────────────┴──────────────────────────┘
//! announcer: signs the node's descriptor anew (start, key rotation, change of address or fill, daily), keeps the table
//! works: what the node does unasked (node::work)
//! admin: one line in, one JSON object out, on a unix socket in the data folder
//! metrics: three pages over HTTP, where the configuration says so (node::metrics)
//! ```

mod announce;
mod files;
mod status;

use crate::admin;
use crate::audits::Audits;
use crate::config::NodeConfig;
use crate::draining::Draining;
use crate::metrics::{self, Face};
use crate::role::RoleCpu;
use crate::role::holder::{self, Keeper, Service, Serving};
use crate::role::relay::{ARRIVALS_MAX, Relay, RelayCounters};
use crate::stamps::Stamps;
use crate::store::{Store, StoreConfig, StoreError};
use crate::work::{Handover, Pace, RecordKeeper, ScrubNow, Scrubber, SharedBudget, Upkeep, Warden, Works};
use announce::Announcer;
use libp2p::Multiaddr;
use palimpsest_client::clock::moment;
use palimpsest_client::keyring;
use palimpsest_client::net::{Net, NetConfig, NetError, SharedTable};
use palimpsest_client::{Steward, StewardOptions};
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::Ring;
use palimpsest_proto::select::NodeTable;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a clean end may take before what is left is abandoned: acknowledged data is safe at any moment.
const END_DEADLINE: Duration = Duration::from_secs(10);
/// Where the scrubber keeps its position, in the data folder.
const SCRUB_FILE: &str = "scrub";
/// Records that came and that the work which spreads them has not noticed; those beyond it are found in its next round.
const NEWS_MAX: usize = 4_096;
/// How long the first addresses may take to appear.
const LISTEN_DEADLINE: Duration = Duration::from_secs(10);

/// Why a node did not start.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The data folder cannot be used.
    #[error("cannot {doing} {}: {source}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store did not open.
    #[error("the store in {} does not open: {source}", path.display())]
    Store {
        /// The data folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// Other nodes would not take this node in.
    #[error(
        "the node id in {} cost no work, so that no other node takes it: move the file away, and the next start makes a new id \
         (shards and records stay)",
        .0.display()
    )]
    Unworked(PathBuf),
    /// The thread that opens the store ended early.
    #[error("the store could not be opened")]
    StoreThread,
    /// The network did not start; a port may be taken.
    #[error("the network does not start: {0}")]
    Net(#[source] NetError),
    /// The metrics cannot be shown where the configuration says.
    #[error("cannot listen for metrics on {address}: {source}")]
    Metrics {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No address to be reached under.
    #[error("no listening address came up within {} s", LISTEN_DEADLINE.as_secs())]
    NoAddress,
}

/// A running node. Dropping it abandons its tasks; [`Node::shutdown`] ends it cleanly.
pub struct Node {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What the node's tasks share.
pub(crate) struct Shared {
    pub(crate) config: NodeConfig,
    pub(crate) key: NodeKey,
    pub(crate) ring: Arc<Ring>,
    pub(crate) net: Net,
    pub(crate) table: SharedTable,
    pub(crate) store: Store,
    pub(crate) works: Works,
    scrub: ScrubNow,
    pub(crate) draining: Draining,
    pub(crate) stamps: Stamps,
    relay: Arc<RelayCounters>,
    cpu: Arc<RoleCpu>,
    /// Where the metrics are shown.
    metrics_at: OnceLock<SocketAddr>,
    started: Instant,
}

impl Node {
    /// Starts a node: returns when it listens, holds the lock on its folder, and has signed its descriptor.
    pub async fn start(config: NodeConfig) -> Result<Node, NodeError> {
        let folder = |doing, path: PathBuf| move |source| NodeError::Folder { path, doing, source };
        let dir = config.data_dir.clone();
        keyring::private_folder(&dir).map_err(folder("make the data folder", dir.clone()))?;
        // The store first: its lock keeps a second node out of everything else in the folder.
        let wall = config.wall;
        let leases_by = Arc::new(move || wall.now());
        let store_config = StoreConfig { clock: leases_by, ..StoreConfig::new(dir.join("store"), config.quota_bytes) };
        let clock = store_config.clock.clone();
        let opened = tokio::task::spawn_blocking(move || Store::open(store_config)).await;
        let store = opened
            .map_err(|_| NodeError::StoreThread)?
            .map_err(|source| NodeError::Store { path: dir.clone(), source })?;
        let pages = match config.metrics_listen {
            Some(address) => {
                Some(TcpListener::bind(address).await.map_err(|source| NodeError::Metrics { address, source })?)
            }
            None => None,
        };
        let identity = dir.join("identity");
        let made = keyring::load_or_make(&identity, || NodeKey::search(&mut rand::rng()).0);
        let seed = made.map_err(folder("read or make", identity.clone()))?;
        let key = NodeKey::from_seed(&seed);
        if !key.id().is_worked() {
            store.close().await;
            return Err(NodeError::Unworked(identity));
        }

        let ring = Arc::new(Ring::new(&mut rand::rng(), moment()));
        let table: SharedTable = Arc::new(RwLock::new(files::read_table(&dir, wall)));
        let (arrivals_in, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let (news_in, news) = mpsc::channel(NEWS_MAX);
        let cpu = Arc::new(RoleCpu::default());
        let relay = Arc::new(Relay::new(ring.clone(), arrivals_in, cpu.clone(), &config));
        let bootstrap: Vec<_> = config.bootstrap.iter().filter_map(|text| text.parse().ok()).collect();
        let net = files::start_net(&config, &dir, |listen| {
            let of = NetConfig::server(seed.duplicate(), config.transport, listen, bootstrap.clone());
            let net_config = NetConfig { wall, versions: config.versions, table_liar: config.table_liar.clone(), ..of };
            Net::start(net_config, table.clone(), relay.clone())
        })
        .await
        .map_err(NodeError::Net)?;
        relay.connect(net.clone());

        let addresses = tokio::time::timeout(LISTEN_DEADLINE, net.listeners()).await.unwrap_or_default();
        if addresses.is_empty() {
            net.shutdown().await;
            return Err(NodeError::NoAddress);
        }
        let (draining, audits, stamps) = (Draining::default(), Audits::default(), Stamps::default());
        let service: Arc<dyn Service> = match &config.service {
            Some(service) => service.0.clone(),
            None => {
                let keeper = Keeper::new(store.clone(), key.id()).with_news(news_in).with_audits(audits.clone());
                Arc::new(keeper.with_stamps(stamps.clone()).until(draining.clone()).by(wall))
            }
        };
        let steward = Steward::new(StewardOptions {
            net: net.clone(),
            table: table.clone(),
            ring: ring.clone(),
            replies: relay.replies(),
            own: Arc::new(Keeper::own(store.clone(), key.id()).until(draining.clone()).by(wall)),
            folder: dir.clone(),
        });
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let scrubber = Scrubber::new(store.clone(), clock, dir.join(SCRUB_FILE), config.scrub_period);
        let shared = Arc::new(Shared {
            key,
            ring,
            net: net.clone(),
            table,
            store,
            works: Works::new(Pace::default(), tasks.clone(), stop.child_token()),
            scrub: scrubber.now(),
            draining: draining.clone(),
            stamps,
            relay: relay.counters(),
            cpu: cpu.clone(),
            metrics_at: OnceLock::new(),
            started: Instant::now(),
            config,
        });
        let node = Node { shared: shared.clone(), tasks, stop };
        shared.works.spawn(scrubber);
        if let Some(upkeep) = shared.config.upkeep {
            let upkeep = Upkeep {
                store: shared.store.clone(),
                steward,
                own: shared.key.id(),
                config: upkeep,
                draining,
                budget: SharedBudget::new(upkeep.bytes_per_second),
                audits,
            };
            shared.works.spawn(RecordKeeper::new(upkeep.clone(), news));
            shared.works.spawn(Handover::new(upkeep.clone()));
            shared.works.spawn(Warden::new(upkeep));
        }
        let serving = Serving { service, net, cpu, onlooker: shared.config.onlooker.clone() };
        node.tasks.spawn(holder::serve(arrivals, serving, node.stop.child_token()));
        let mut announcer = Announcer::new(shared.clone());
        announcer.announce();
        node.tasks.spawn(announcer.run(node.stop.child_token()));
        if let Some(pages) = pages {
            // It is for the status only: where it listens is known to whoever configured it.
            pages.local_addr().ok().and_then(|address| shared.metrics_at.set(address).ok());
            node.tasks.spawn(metrics::serve(pages, shared.clone(), node.stop.child_token()));
        }
        if !shared.config.embedded {
            let (asked, dir2) = (shared.clone(), dir.clone());
            let listener = admin::listen(&dir).map_err(folder("open the admin socket in", dir.clone()))?;
            let stop = node.stop.child_token();
            node.tasks.spawn(admin::serve(listener, dir2, move |question| asked.answer(question), stop));
            files::write_node_file(&dir, &shared.key.id(), &addresses).map_err(folder("write into", dir))?;
        }
        node.tasks.close();
        Ok(node)
    }

    /// The node's name.
    pub fn id(&self) -> NodeId {
        self.shared.key.id()
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.shared.net.listeners_now()
    }

    /// How many nodes it knows, itself included.
    pub fn known_nodes(&self) -> usize {
        self.shared.known_nodes()
    }

    /// Hands all that it keeps over to others; [`Node::status`] says when that is done.
    pub fn drain(&self) {
        self.shared.draining.start();
    }

    /// Looks into its table, for tests.
    pub fn with_table<T>(&self, look: impl FnOnce(&NodeTable) -> T) -> T {
        look(&self.shared.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.shared.store
    }

    /// Its network handle, for tests that watch or disturb it.
    pub fn net(&self) -> &Net {
        &self.shared.net
    }

    /// Totals for operators; no object id is in it.
    pub fn status(&self) -> serde_json::Value {
        self.shared.status()
    }

    /// The text that `/metrics` shows; it is had also where no page is.
    pub fn metrics(&self) -> String {
        self.shared.metrics()
    }

    /// Ends the node as a crash would, as far as that is possible inside of a living process: it leaves the network at
    /// once, and nothing is finished first. For tests.
    pub async fn abandon(self) {
        self.shared.net.shutdown().await;
        self.stop.cancel();
        self.tasks.close();
        // The folder's lock must be free before the node can be started again.
        if tokio::time::timeout(END_DEADLINE, self.tasks.wait()).await.is_ok() {
            self.shared.store.close().await;
        }
    }

    /// Ends the node: takes nothing new, finishes and syncs what it has begun, and leaves the network.
    pub async fn shutdown(self) {
        // Who goes down together with it, as all do when a machine does, is not to be forgotten as somebody who was never there.
        let known = files::encoded_table(&self.shared.table);
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(END_DEADLINE, async {
            self.tasks.wait().await;
            self.shared.net.shutdown().await;
            self.shared.store.close().await;
        });
        if ended.await.is_err() {
            tracing::warn!("the node did not end in time; what was acknowledged is on disk");
        }
        files::write_table(&self.shared.config.data_dir, &known);
        if !self.shared.config.embedded {
            files::remove_node_file(&self.shared.config.data_dir);
        }
    }
}
