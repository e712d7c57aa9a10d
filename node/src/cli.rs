//! The command line of `pald`: `run`, `status` and `scrub`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use libp2p::Multiaddr;
use palimpsest_client::clock::Wall;
use palimpsest_client::net::{Transport, Versions};
use palimpsest_node::config::{FileConfig, QUOTA_BYTES_DEFAULT, SCRUB_DAYS_DEFAULT, scrub_period};
use palimpsest_node::work::UpkeepConfig;
use palimpsest_node::{Node, NodeConfig, admin};
use serde_json::Value;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// How long a question to the running node may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How often it is asked whether a node is drained.
const DRAIN_LOOK: Duration = Duration::from_millis(500);
/// Threads of a node unless told otherwise: a packet takes a fraction of a millisecond, so four serve a fast line.
const THREADS_MAX: usize = 4;

/// A Palimpsest storage node: relays onion packets and keeps shards that it cannot read.
#[derive(Parser)]
#[command(name = "pald", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the node until SIGTERM or SIGINT.
    Run(Run),
    /// Asks a running node how it is.
    Status(Status),
    /// Has a running node read everything that it stores now, and take what is damaged out of use.
    Scrub(Folder),
    /// Has a running node hand over all that it keeps, and waits until that is done. Then it may be ended for good.
    Drain(Folder),
}

#[derive(Args)]
struct Run {
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

#[derive(Args)]
struct Folder {
    /// The node's folder: identity, store, socket. Default: $XDG_DATA_HOME/palimpsest-node.
    #[arg(long, env = "PALD_DATA_DIR", value_name = "FOLDER")]
    data_dir: Option<PathBuf>,
    /// A TOML file with any of: data_dir, listen, bootstrap, transport, quota, scrub_days, metrics_listen.
    #[arg(long, env = "PALD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Args)]
struct Status {
    #[command(flatten)]
    folder: Folder,
    /// The whole answer as JSON.
    #[arg(long)]
    json: bool,
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
    palimpsest_node::config::parse_size(text).ok_or_else(|| format!("{text:?} is not a size like 500M or 10G"))
}

fn parse_metrics_listen(text: &str) -> Result<SocketAddr, String> {
    palimpsest_node::config::parse_metrics_listen(text)
        .ok_or_else(|| format!("{text:?} is neither a port nor an address with one"))
}

/// Parses, runs, and says on standard error what went wrong.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let threads = match &cli.command {
        Command::Run(Run { threads: Some(threads), .. }) => usize::from(*threads),
        _ => std::thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX)),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let done = match cli.command {
        Command::Run(args) => runtime.block_on(run(args)),
        Command::Status(args) => runtime.block_on(status(args)),
        Command::Scrub(folder) => runtime.block_on(scrub(folder)),
        Command::Drain(folder) => runtime.block_on(drain(folder)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message),
    }
}

fn fail(message: &str) -> ExitCode {
    eprintln!("pald: {message}");
    ExitCode::FAILURE
}

impl Folder {
    /// The node's folder, and what else the configuration file says.
    fn find(self) -> Result<(PathBuf, FileConfig), String> {
        let mut file = match &self.config {
            Some(path) => FileConfig::read(path).map_err(|e| e.to_string())?,
            None => FileConfig::default(),
        };
        let home = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let default = || {
            let base = home("XDG_DATA_HOME").or_else(|| home("HOME").map(|h| h.join(".local/share")))?;
            Some(base.join("palimpsest-node"))
        };
        let found = self.data_dir.or(file.data_dir.take()).or_else(default);
        Ok((found.ok_or("no folder: give --data-dir")?, file))
    }
}

async fn run(args: Run) -> Result<(), String> {
    start_logging(args.log);
    let (data_dir, file) = args.folder.find()?;
    let transport = args.transport.map(Transport::from).or(file.transport).unwrap_or(Transport::All);
    let listen = [args.listen, file.listen].into_iter().find(|l| !l.is_empty());
    let bootstrap = if args.bootstrap.is_empty() { file.bootstrap } else { args.bootstrap };
    let metrics_listen = args.metrics_listen.or(file.metrics_listen);
    if metrics_listen.is_some_and(|address| !address.ip().is_loopback()) {
        tracing::warn!("metrics are shown to other machines: whoever sees totals grow sees when this node has traffic");
    }
    let config = NodeConfig {
        data_dir,
        listen: listen.unwrap_or_else(|| palimpsest_node::config::listen_default(transport)),
        transport,
        bootstrap: palimpsest_client::bootstrap::expand(&bootstrap).map_err(|e| e.to_string())?,
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
    // Before the node starts, so that a signal during the start ends it cleanly too.
    let mut terminate = signal(SignalKind::terminate()).map_err(|e| e.to_string())?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| e.to_string())?;
    let node = tokio::select! {
        node = Node::start(config) => node.map_err(|e| e.to_string())?,
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
    Ok(())
}

async fn scrub(folder: Folder) -> Result<(), String> {
    let (dir, _) = folder.find()?;
    admin::ask(&dir, "scrub", ANSWER_DEADLINE).await.map_err(|e| e.to_string())?;
    println!("the node reads its store now; `pald status` says how far it is");
    Ok(())
}

async fn drain(folder: Folder) -> Result<(), String> {
    let (dir, _) = folder.find()?;
    admin::ask(&dir, "drain", ANSWER_DEADLINE).await.map_err(|e| e.to_string())?;
    eprintln!("the node hands over what it keeps; it goes on though this command be interrupted");
    let mut said = (None, None);
    loop {
        let status = admin::status(&dir, ANSWER_DEADLINE).await.map_err(|e| e.to_string())?;
        let left = (status["drain_left"]["shards"].as_u64(), status["drain_left"]["records"].as_u64());
        if let (Some(shards), Some(records)) = left
            && (shards > 0 || records > 0)
            && left != said
        {
            eprintln!("nobody took {shards} shards and {records} records yet; the node tries again");
        }
        said = left;
        if status["drained"].as_bool() == Some(true) {
            println!("all is handed over; the node may be ended");
            return Ok(());
        }
        tokio::time::sleep(DRAIN_LOOK).await;
    }
}

async fn status(args: Status) -> Result<(), String> {
    let (dir, _) = args.folder.find()?;
    let status = admin::status(&dir, ANSWER_DEADLINE).await.map_err(|e| e.to_string())?;
    if args.json {
        println!("{status}");
        return Ok(());
    }
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    let mib = |path: &str| number(path) as f64 / f64::from(1 << 20);
    println!("node      {}", status["id"].as_str().unwrap_or("?"));
    println!("version   {}, up {} s", status["version"].as_str().unwrap_or("?"), number("/uptime_s"));
    for address in status["addresses"].as_array().into_iter().flatten() {
        println!("address   {}", address.as_str().unwrap_or("?"));
    }
    println!("network   {} nodes known, {} connected", number("/known_nodes"), number("/connected"));
    println!(
        "store     {} shards, {} records, {} rotten",
        number("/store/shards"),
        number("/store/records"),
        number("/store/rotten")
    );
    println!("space     {:.1} of {:.1} MiB used", mib("/store/used"), mib("/store/quota"));
    println!(
        "packets   {} passed on, {} for this node, dropped: {} invalid, {} replayed, {} without room, {} unfair",
        number("/packets/forwarded"),
        number("/packets/arrived"),
        number("/packets/dropped_invalid"),
        number("/packets/dropped_replayed"),
        number("/packets/dropped_full"),
        number("/packets/dropped_unfair"),
    );
    for work in status["work"].as_array().into_iter().flatten() {
        println!("work      {}", work_line(work));
    }
    let seconds = |path: &str| Duration::from_nanos(number(path)).as_secs_f64();
    println!(
        "cpu       {:.1} s peeling for others, {:.1} s answering, {:.1} s storing",
        seconds("/cpu/relay_ns"),
        seconds("/cpu/holder_ns"),
        seconds("/cpu/store_ns"),
    );
    Ok(())
}

/// One work in words: `scrub: idle, 3 of 10; checked 120, rotten 0; the store is closed`.
fn work_line(work: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("?").replace('_', " ");
    let mut line = format!("{}: {}", word(&work["name"]), word(&work["state"]));
    if let (Some(at), Some(of)) = (work["progress"]["at"].as_u64(), work["progress"]["of"].as_u64()) {
        line += &format!(", {at} of {of}");
    }
    let totals: Vec<_> = work["totals"].as_object().into_iter().flatten().map(|(k, v)| format!("{k} {v}")).collect();
    line += &format!("; {}", totals.join(", "));
    if let Some(error) = work["error"].as_str() {
        line += &format!("; {error}");
    }
    line
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
