//! The command line of `pald`: `run`, `status`, `scrub` and `drain`. [`Run`] is for other programs that are nodes too.

mod run;
mod status;

pub use run::{Run, RunError, runtime};

use crate::admin;
use crate::config::{ConfigError, FileConfig};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// How long a question to the running node may take.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);
/// How often it is asked whether a node is drained.
const DRAIN_LOOK: Duration = Duration::from_millis(500);

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
    Run(Box<Run>),
    /// Asks a running node how it is.
    Status(status::Status),
    /// Has a running node read everything that it stores now, and take what is damaged out of use.
    Scrub(Folder),
    /// Has a running node hand over all that it keeps, and waits until that is done. Then it may be ended for good.
    Drain(Folder),
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

/// Parses, runs, and says on standard error what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let threads = match &cli.command {
        Command::Run(run) => run.threads(),
        _ => run::threads_default(),
    };
    let runtime = match run::runtime(threads) {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let done = match cli.command {
        Command::Run(run) => runtime.block_on(run.until_ended(|_| Ok(()))).map_err(|e| e.to_string()),
        Command::Status(args) => runtime.block_on(args.show()),
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

/// Why there is no folder to work in.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The configuration file is not to be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nothing says where it is.
    #[error("no folder: give --data-dir")]
    None,
}

impl Folder {
    /// The node's folder, and what else the configuration file says.
    fn find(self) -> Result<(PathBuf, FileConfig), FolderError> {
        let mut file = match &self.config {
            Some(path) => FileConfig::read(path)?,
            None => FileConfig::default(),
        };
        let home = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let default = || {
            let base = home("XDG_DATA_HOME").or_else(|| home("HOME").map(|h| h.join(".local/share")))?;
            Some(base.join("palimpsest-node"))
        };
        let found = self.data_dir.or(file.data_dir.take()).or_else(default);
        Ok((found.ok_or(FolderError::None)?, file))
    }
}

async fn scrub(folder: Folder) -> Result<(), String> {
    let (dir, _) = folder.find().map_err(|e| e.to_string())?;
    admin::ask(&dir, "scrub", ANSWER_DEADLINE).await.map_err(|e| e.to_string())?;
    println!("the node reads its store now; `pald status` says how far it is");
    Ok(())
}

async fn drain(folder: Folder) -> Result<(), String> {
    let (dir, _) = folder.find().map_err(|e| e.to_string())?;
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
