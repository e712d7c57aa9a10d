//! `pald run`.

use super::{Folder, FolderError};
use crate::config::{self, NodeConfig, QUOTA_BYTES_DEFAULT, SCRUB_DAYS_DEFAULT, scrub_period};
use crate::work::UpkeepConfig;
use crate::{Node, NodeError};
use clap::{Args, ValueEnum};
use libp2p::Multiaddr;
use palimpsest_client::clock::Wall;
use palimpsest_client::net::{Transport, Versions};
use std::error::Error;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Threads of a node unless told otherwise: a packet takes a fraction of a millisecond, so four serve a fast line.
const THREADS_MAX: usize = 4;

/// How a node is to run: what `pald run` takes.
#[derive(Args)]
pub struct Run {
    #[command(flatten)]
    folder: Folder,
    /// Where to listen, as multiaddr; repeatable. Port 0: the port of the last run, or any.
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<Multiaddr>,
    /// A node to meet first: a multiaddr, or a file with one a line; repeatable.
    #[arg(long, env = "PALD_BOOTSTRAP", value_name = "MULTIADDR|FILE", value_delimiter = ',')]
    bootstrap: Vec<String>,
    /// What to speak.
    #[arg(long, env = "PALD_TRANSPORT", value_enum)]
    transport: Option<TransportName>,
    /// Space on disk in all, index included: bytes, or with K, M, G, T (powers of 1024).
    #[arg(long, env = "PALD_QUOTA", value_name = "SIZE", value_parser = parse_size)]
    quota: Option<u64>,
    /// Days in which the whole store is read again, to find what is damaged. 0: only at `pald scrub`. Default: 14.
    #[arg(long, env = "PALD_SCRUB_DAYS", value_name = "DAYS")]
    scrub_days: Option<u16>,
    /// Where to show /metrics, /healthz and /readyz: a port on loopback, or an address with its port. Default: nowhere.
    #[arg(long, env = "PALD_METRICS_LISTEN", value_name = "PORT|ADDRESS", value_parser = parse_metrics_listen)]
    metrics_listen: Option<SocketAddr>,
    /// Threads that work on packets. Default: one for each processor, at most 4.
    #[arg(long, env = "PALD_THREADS", value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Speak a made-up next version of the protocols beside today's, for tests of upgrades.
    #[arg(long, hide = true)]
    next_version: bool,
    #[command(flatten)]
    upkeep: UpkeepArgs,
    /// How to write the log, on standard error.
    #[arg(long, env = "PALD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
}

/// When and how much the node works for what others published.
#[derive(Args)]
#[command(next_help_heading = "Upkeep")]
struct UpkeepArgs {
    /// Seconds for which one warden is on duty for a stripe.
    #[arg(long, env = "PALD_TURN_SECONDS", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(2..=86_400))]
    turn_seconds: Option<u32>,
    /// Seconds after which a stripe is audited again.
    #[arg(long, env = "PALD_AUDIT_SECONDS", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(2..=2_678_400))]
    audit_seconds: Option<u32>,
    /// Seconds after which it is looked again whether records and shards are where they belong.
    #[arg(long, env = "PALD_ROUND_SECONDS", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(2..=2_678_400))]
    round_seconds: Option<u32>,
    /// Seconds for which a shard may be missing before it is put back, while enough others are there.
    #[arg(long, env = "PALD_PATIENCE_SECONDS", value_name = "SECONDS")]
    patience_seconds: Option<u32>,
    /// Bytes a second that all of it may move: with K, M, G (powers of 1024). Default: 256K.
    #[arg(long, env = "PALD_UPKEEP_RATE", value_name = "SIZE", value_parser = parse_size)]
    upkeep_rate: Option<u64>,
}

impl UpkeepArgs {
    fn config(&self) -> UpkeepConfig {
        let default = UpkeepConfig::default();
        let seconds = |given: Option<u32>| given.map(|seconds| Duration::from_secs(seconds.into()));
        let mut repair = default.repair;
        repair.patience = seconds(self.patience_seconds).unwrap_or(repair.patience);
        UpkeepConfig {
            turn: seconds(self.turn_seconds).unwrap_or(default.turn),
            audit_every: seconds(self.audit_seconds).unwrap_or(default.audit_every),
            records_every: seconds(self.round_seconds).unwrap_or(default.records_every),
            spread_every: seconds(self.round_seconds).unwrap_or(default.spread_every).min(default.spread_every),
            handover_every: seconds(self.round_seconds).unwrap_or(default.handover_every),
            repair,
            bytes_per_second: self.upkeep_rate.unwrap_or(default.bytes_per_second),
        }
    }
}

/// Why a node did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no folder for it.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A list of bootstrap nodes is not to be read.
    #[error(transparent)]
    Bootstrap(#[from] palimpsest_client::Error),
    /// Signals are not to be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(#[source] io::Error),
    /// Whoever was shown its configuration refused.
    #[error(transparent)]
    Change(Box<dyn Error + Send + Sync>),
    /// It did not start.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// Threads of a node that was told nothing.
pub(super) fn threads_default() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX))
}

/// What a node runs on, with so many threads.
///
/// # Errors
/// The system gives no threads.
pub fn runtime(threads: usize) -> io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

impl Run {
    /// Threads that it asks for, or as many as a node takes on this machine.
    pub fn threads(&self) -> usize {
        self.threads.map_or_else(threads_default, usize::from)
    }

    /// Runs the node until SIGTERM or SIGINT. Before it starts, `change` is shown its configuration, for a node that is not
    /// quite like others; what it returns is kept until the node has ended.
    ///
    /// # Errors
    /// There is no folder, a bootstrap list is not to be read, what `change` says, or the node does not start.
    pub async fn until_ended<K>(
        self,
        change: impl FnOnce(&mut NodeConfig) -> Result<K, Box<dyn Error + Send + Sync>>,
    ) -> Result<(), RunError> {
        let args = self;
        start_logging(args.log);
        let (data_dir, file) = args.folder.find()?;
        let transport = args.transport.map(Transport::from).or(file.transport).unwrap_or(Transport::All);
        let listen = [args.listen, file.listen].into_iter().find(|l| !l.is_empty());
        let bootstrap = if args.bootstrap.is_empty() { file.bootstrap } else { args.bootstrap };
        let metrics_listen = args.metrics_listen.or(file.metrics_listen);
        if metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
            tracing::warn!(
                "metrics are shown to other machines: whoever sees totals grow sees when this node has traffic"
            );
        }
        let mut config = NodeConfig {
            data_dir,
            listen: listen.unwrap_or_else(|| config::listen_default(transport)),
            transport,
            bootstrap: palimpsest_client::bootstrap::expand(&bootstrap)?,
            quota_bytes: args.quota.or(file.quota).unwrap_or(QUOTA_BYTES_DEFAULT),
            scrub_period: scrub_period(args.scrub_days.or(file.scrub_days).unwrap_or(SCRUB_DAYS_DEFAULT)),
            metrics_listen,
            upkeep: Some(args.upkeep.config()),
            wall: Wall::default(),
            embedded: false,
            service: None,
            meddler: None,
            table_liar: None,
            versions: if args.next_version { Versions::TodayAndNext } else { Versions::Today },
            onlooker: None,
        };
        let kept = change(&mut config).map_err(RunError::Change)?;
        // Before the node starts, so that a signal during the start ends it cleanly too.
        let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
        let node = tokio::select! {
            node = Node::start(config) => node?,
            // A store that is being rebuilt may take long; it is safe to leave at any moment.
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        tracing::info!(version = env!("CARGO_PKG_VERSION"), "the node is up");
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("the node ends");
        node.shutdown().await;
        drop(kept);
        Ok(())
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum TransportName {
    Tcp,
    Quic,
    All,
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

impl From<TransportName> for Transport {
    fn from(name: TransportName) -> Transport {
        match name {
            TransportName::Tcp => Transport::Tcp,
            TransportName::Quic => Transport::Quic,
            TransportName::All => Transport::All,
        }
    }
}

fn parse_size(text: &str) -> Result<u64, String> {
    config::parse_size(text).ok_or_else(|| format!("{text:?} is not a size like 500M or 10G"))
}

fn parse_metrics_listen(text: &str) -> Result<SocketAddr, String> {
    config::parse_metrics_listen(text).ok_or_else(|| format!("{text:?} is neither a port nor an address with one"))
}

fn start_logging(format: LogFormat) {
    // What libraries say of connections would name addresses; ours name no object, link or client.
    let filter = EnvFilter::try_from_env("PALD_LOG")
        .unwrap_or_else(|_| EnvFilter::new("off,pald=info,palimpsest_node=info,palimpsest_client=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().init(),
    }
}
