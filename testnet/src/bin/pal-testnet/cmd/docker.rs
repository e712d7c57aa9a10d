//! `pal-testnet docker`: a network of containers.

mod hold;
mod pal;
mod speed;
mod status;
mod up;

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use palimpsest_testnet::docker::{Docker, DockerError, DockerNet, LABEL, Name, Plan, remove};
use palimpsest_testnet::process::Fraction;
use tokio::process::Command as Program;

use super::{Failure, say, seconds};

/// A network of containers, each node with an address of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Up(up::Args),
    /// Kill nodes without warning.
    Kill(Blow),
    /// Freeze nodes: they hang, and their connections stay open.
    Pause(Blow),
    /// Cut nodes off from the others: packets between the two sides vanish. Those in one LAN stay together.
    Partition(Blow),
    /// End partition and pauses.
    Heal(Which),
    Restart(Restart),
    Logs(Logs),
    Status(status::Args),
    Pal(pal::Args),
    Speed(speed::Args),
    #[command(hide = true)]
    Hold(hold::Args),
    #[command(hide = true)]
    HandOut(speed::HandOut),
    #[command(hide = true)]
    Take(speed::Take),
    /// Remove the network: containers, data, networks, image.
    Down(Which),
}

/// The name of a network that was given none.
pub(super) const USUAL: &str = "testnet";

/// Which network.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Its name.
    #[arg(long, default_value = USUAL)]
    pub(super) name: Name,
    /// The folder with its description; by default one of that name below $`XDG_DATA_HOME`, else ~/.local/share.
    #[arg(long)]
    pub(super) dir: Option<PathBuf>,
}

/// What befalls whom.
#[derive(Debug, clap::Args)]
struct Blow {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    chosen: Chosen,
    /// Chooses which: the same number, the same nodes.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// Share of all nodes: 0.5, or 50%.
    #[arg(long)]
    fraction: Option<Fraction>,
    /// These nodes: 0,3,7.
    #[arg(long, value_delimiter = ',')]
    nodes: Vec<u32>,
}

/// Start the dead nodes again, on data and addresses that they had; returns when all that run know each other.
#[derive(Debug, clap::Args)]
struct Restart {
    #[command(flatten)]
    which: Which,
    /// Seconds until all nodes must know each other.
    #[arg(long, default_value = "120", value_parser = seconds)]
    timeout: Duration,
}

/// Show a node's log.
#[derive(Debug, clap::Args)]
struct Logs {
    #[command(flatten)]
    which: Which,
    /// The node.
    node: u32,
    /// Go on as it grows.
    #[arg(long)]
    follow: bool,
    /// Only so many of its last lines.
    #[arg(long)]
    tail: Option<u32>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    match args.command {
        Command::Up(args) => up::run(args).await?,
        Command::Kill(args) => {
            let (net, chosen) = args.open().await?;
            told("killed", &net.kill(&chosen).await?, net.plan());
        }
        Command::Pause(args) => {
            let (net, chosen) = args.open().await?;
            told("paused", &net.pause(&chosen).await?, net.plan());
        }
        Command::Partition(args) => {
            let (mut net, chosen) = args.open().await?;
            told("cut off", &net.partition(&chosen).await?, net.plan());
        }
        Command::Heal(which) => {
            let mut net = which.open().await?;
            told("no partition; woke up", &net.heal().await?, net.plan());
        }
        Command::Restart(args) => {
            let (net, since) = (args.which.open().await?, Instant::now());
            told("started", &net.restart(args.timeout).await?, net.plan());
            say(&format!("all know each other after {:.1} s", since.elapsed().as_secs_f64()));
        }
        Command::Logs(args) => return logs(args).await,
        Command::Status(args) => status::run(args).await?,
        Command::Pal(args) => return pal::run(args).await,
        Command::Speed(args) => return speed::run(args).await,
        Command::HandOut(args) => speed::give(args).await?,
        Command::Take(args) => speed::receive(args).await?,
        Command::Hold(args) => hold::run(&args)?,
        Command::Down(which) => down(which).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Which {
    pub(super) fn folder(&self) -> PathBuf {
        let named = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        self.dir.clone().unwrap_or_else(|| {
            let home = || named("HOME").map(|home| home.join(".local/share"));
            let data = named("XDG_DATA_HOME").or_else(home).unwrap_or_else(std::env::temp_dir);
            data.join("palimpsest-testnet").join(self.name.to_string())
        })
    }

    pub(super) async fn open(&self) -> Result<DockerNet, Failure> {
        Ok(DockerNet::open(&self.folder(), &self.name).await?)
    }
}

impl Blow {
    async fn open(&self) -> Result<(DockerNet, Vec<u32>), Failure> {
        let net = self.which.open().await?;
        let chosen = match self.chosen.fraction {
            Some(fraction) => net.plan().chosen(fraction, self.seed),
            None => self.chosen.nodes.clone(),
        };
        match chosen.iter().find(|&&index| index as usize >= net.plan().nodes.len()) {
            Some(&index) => Err(DockerError::NoSuchNode(index).into()),
            None => Ok((net, chosen)),
        }
    }
}

fn told(done: &str, hit: &[u32], plan: &Plan) {
    let names: Vec<String> = hit.iter().map(u32::to_string).collect();
    say(format!("{done} {} of {} nodes: {}", hit.len(), plan.nodes.len(), names.join(" ")).trim_end_matches([':', ' ']));
}

async fn down(which: Which) -> Result<(), Failure> {
    let removed = match DockerNet::open(&which.folder(), &which.name).await {
        Ok(net) => net.down().await?,
        // Its folder may be lost; what bears its label goes all the same.
        Err(DockerError::NoNetwork { .. }) => remove(&Docker::find().await?, &which.name).await?,
        Err(other) => return Err(other.into()),
    };
    say(&format!("{removed} containers removed"));
    Ok(())
}

async fn logs(args: Logs) -> Result<ExitCode, Failure> {
    let net = args.which.open().await?;
    if args.node as usize >= net.plan().nodes.len() {
        return Err(DockerError::NoSuchNode(args.node).into());
    }
    let mut words = vec!["logs".to_owned()];
    if args.follow {
        words.push("--follow".to_owned());
    }
    if let Some(tail) = args.tail {
        words.extend(["--tail".to_owned(), tail.to_string()]);
    }
    words.push(net.plan().container(args.node));
    let program = net.docker().program().to_owned();
    // It may go on for long, and others must be able to work on the network meanwhile.
    drop(net);
    foreground(&program, &words).await
}

/// Runs a program with the streams of this one, and ends as it does.
async fn foreground(program: &std::path::Path, words: &[String]) -> Result<ExitCode, Failure> {
    let mut command = Program::new(program);
    command.args(words).stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let failed = |source| DockerError::Spawn { command: program.display().to_string(), source };
    let status = command.status().await.map_err(failed)?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
}

/// What all that this network's containers are started with has in common.
fn labelled(plan: &Plan) -> String {
    format!("{LABEL}={}", plan.name)
}
