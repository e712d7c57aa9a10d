//! The commands, one file each, and what they share: failures, deadlines on the command line, and Ctrl-C.

mod anonymity;
mod bench;
mod censor;
mod demo;
mod docker;
mod down;
mod durability;
mod heal;
mod kill;
mod results;
mod run;
mod simulate;
mod size;
mod start;
mod survival;
mod up;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use palimpsest_testnet::docker::DockerError;
use palimpsest_testnet::memory::NetworkError;
use palimpsest_testnet::process::{Testnet, TestnetError};
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

/// Networks of Palimpsest nodes on this machine, for tests and demonstrations.
#[derive(Debug, Parser)]
#[command(name = "pal-testnet", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Args),
    Kill(kill::Args),
    Start(start::Args),
    Down(down::Args),
    Demo(demo::Args),
    Docker(docker::Args),
    Bench(bench::Args),
    Censor(censor::Args),
    Durability(durability::Args),
    Heal(heal::Args),
    Run(run::Args),
    Survival(survival::Args),
    Results(results::Args),
    Simulate(simulate::Args),
    Anonymity(anonymity::Args),
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Net(#[from] TestnetError),
    #[error("cannot {doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("`pal {doing}` failed: {complaint}")]
    Pal { doing: &'static str, complaint: String },
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("cannot {doing}: {source}")]
    Client { doing: &'static str, source: Box<palimpsest_client::Error> },
    #[error("the store of a node: {0}")]
    Store(#[from] palimpsest_node::store::StoreError),
    #[error("the scenario {name}: {source}")]
    Scenario { name: String, source: palimpsest_testnet::scenario::ScenarioError },
    #[error("the measurement broke off: {0}")]
    Broken(String),
    #[error("what was fetched is not what was published")]
    Differs,
    #[error("interrupted; what was started was ended")]
    Interrupted,
}

/// What a shell sees of a process that SIGINT ended.
const EXIT_INTERRUPTED: u8 = 130;
/// Nothing is wrong but that this machine has no docker, or lacks what the wanted links need: who tests can call it skipped.
const EXIT_UNAVAILABLE: u8 = 69;

/// Runs a command to its end, and says on standard error why it failed if it did.
pub(crate) async fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Up(args) => up::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Kill(args) => kill::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Start(args) => start::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Down(args) => down::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Demo(args) => demo::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Docker(args) => docker::run(args).await,
        Command::Censor(args) => censor::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(args).await,
        Command::Durability(args) => durability::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Heal(args) => heal::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Survival(args) => survival::run(args).await,
        Command::Results(args) => results::run(args).await,
        Command::Simulate(args) => simulate::run(&args),
        Command::Anonymity(args) => anonymity::run(args).await,
    };
    outcome.unwrap_or_else(|failure| {
        eprintln!("pal-testnet: {failure}");
        match failure {
            Failure::Interrupted => ExitCode::from(EXIT_INTERRUPTED),
            Failure::Docker(error) if error.is_unavailable() => ExitCode::from(EXIT_UNAVAILABLE),
            _ => ExitCode::FAILURE,
        }
    })
}

/// Returns when somebody wants this program to end: Ctrl-C, SIGTERM, or the end of the terminal.
async fn interrupted() {
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut arrivals) => _ = arrivals.recv().await,
            // Not to be heard: then it ends the program in its usual way.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

/// Does work on threads of its own, since this program's one thread waits for Ctrl-C; the work is dropped then.
async fn apart<T, F>(work: impl FnOnce() -> F + Send + 'static) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
    T: Send + 'static,
{
    let done = tokio::task::spawn_blocking(move || {
        let runtime = Builder::new_multi_thread().enable_all().build().map_err(broken)?;
        runtime.block_on(async {
            tokio::select! {
                outcome = work() => outcome,
                () = interrupted() => Err(Failure::Interrupted),
            }
        })
    });
    done.await.map_err(broken)?
}

/// A measurement that broke off.
fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::Broken(error.to_string())
}

/// Runs work that makes a network in `dir`, and gives up when interrupted; nothing of the network is left then.
async fn unless_interrupted<T>(dir: &Path, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // The work is dropped at the end of this statement, and with it its hold on the network.
    let outcome = tokio::select! {
        outcome = work => Some(outcome),
        () = interrupted() => None,
    };
    match outcome {
        Some(outcome) => outcome,
        None => {
            discard(dir).await?;
            Err(Failure::Interrupted)
        }
    }
}

/// Ends the network in `dir`, if there is one, and forgets it.
async fn discard(dir: &Path) -> Result<(), Failure> {
    match Testnet::open(dir) {
        Ok(net) => Ok(net.discard().await?),
        Err(TestnetError::NoNetwork { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A line on standard output. Nobody reading it is no reason to end half-way and leave a network behind.
fn say(line: &str) {
    let mut out = io::stdout().lock();
    let _nobody_reads = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// A folder to work in below `parent`, removed when dropped. Its path is absolute: others are told of it.
fn workplace(parent: &Path, prefix: &str) -> Result<TempDir, Failure> {
    let failed = |source| Failure::File { doing: "make a folder in", path: parent.to_owned(), source };
    let parent = parent.canonicalize().map_err(failed)?;
    tempfile::Builder::new().prefix(prefix).tempdir_in(parent).map_err(failed)
}

/// Seconds on the command line: `20`, `0.5`.
fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 =
        text.strip_suffix('s').unwrap_or(text).parse().map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

/// Turns a file's error into a failure that names it.
fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Failure + 'a {
    move |source| Failure::File { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{CommandFactory, Parser};

    use super::{Cli, seconds};

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_of_the_documentation_are_understood() {
        for line in [
            "up --nodes 40 --dir /tmp/net --transport quic",
            "kill --dir /tmp/net --fraction 0.5 --seed 7",
            "kill --dir /tmp/net --fraction 50% --seed 7 --signal STOP",
            "start --dir /tmp/net",
            "down --dir /tmp/net",
            "demo",
            "demo photo.jpg",
            "bench --json",
            "censor pal:link --dir /tmp/net --json",
            "censor pal:link --dir /tmp/net --coalition 20% --seed 3 --all-holders",
            "censor pal:link --dir /tmp/net --coalition 0,3 --eclipse stripe --nodes 2 --drawn 100",
            "censor pal:link --docker --coalition 25%",
            "censor pal:link --docker=other --json",
            "censor pal:link --docker --dir /d --eclipse record --nodes 3",
            "up --nodes 12 --dir /tmp/net --diary",
            "durability",
            "heal",
            "heal --parts half,churn --nodes 40 --size 16MiB --seed 3 --minute 6 --json",
            "durability --survive 30% --size 1GiB --life-days 30 --low 0.7,0.9 --patience-hours never,24 --json",
            "bench --parts idle,large,kill --size 1GiB --seeds 10 --tahoe results",
            "run half-dies --docker --json",
            "run scenarios/mine.toml --memory",
            "run half-dies --docker --seed 3",
            "run list",
            "simulate",
            "simulate --parts lookups,load --nodes 100000 --seed 7 --trials 1000 --json",
            "simulate --parts durability,adversaries --nodes 500 --years 3.5 --eclipsed 3500",
            "results",
            "results --docker",
            "results --quick --docker=slow-links,speed --bin-dir /d --with bench.json --dir /docs",
            "anonymity",
            "anonymity --memory --memory-nodes 20 --files 4",
            "anonymity --model --nodes 300 --clients 500 --coalition 5%,0.2 --seed 7 --json",
            "docker up --nodes 24 --nat 25% --latency 50ms±10 --loss 1% --bandwidth 20mbit",
            "docker up --name other --subnet 10.78.0.0/16 --bin-dir /d --quota 1G --transport all",
            "docker up --diary",
            "docker kill --fraction 50% --seed 7",
            "docker pause --nodes 0,3",
            "docker partition --fraction 50%",
            "docker heal",
            "docker restart --name other",
            "docker logs 3 --follow --tail 20",
            "docker status --json",
            "docker pal -- publish file --json",
            "docker pal --island -- fetch link",
            "docker speed --bytes 8000000 --rounds 5 --json",
            "docker down --dir /d",
        ] {
            let words = std::iter::once("pal-testnet").chain(line.split(' '));
            Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in [
            "",
            "up",
            "kill --dir /d --fraction 2 --seed 1",
            "up --dir /d --transport sctp",
            "bench --parts all",
            "durability --low 2",
            "heal --minute 0",
            "censor pal:link",
            "censor pal:link --docker other",
            "censor pal:link --docker=Name",
            "censor pal:link --dir /d --all-holders",
            "censor pal:link --dir /d --eclipse record",
            "censor pal:link --dir /d --eclipse all --nodes 2",
            "censor pal:link --dir /d --coalition most",
            "heal --nodes 5",
            "run",
            "run rot --memory --docker",
            "simulate --parts weather",
            "simulate --nodes 3",
            "results --docker=rot",
            "results --bin-dir /d",
            "anonymity --coalition 101%",
            "anonymity --nodes 1",
            "anonymity --model --memory",
            "docker",
            "docker up --latency 50",
            "docker up --loss 100%",
            "docker up --bandwidth 20",
            "docker up --nat 101%",
            "docker up --name Name",
            "docker up --subnet 8.8.0.0/16",
            "docker kill",
            "docker kill --nodes 1 --fraction 50%",
            "docker pal",
        ] {
            let words = std::iter::once("pal-testnet").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn seconds_are_numbers() {
        assert_eq!(seconds("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(seconds("20s"), Ok(Duration::from_secs(20)));
        for bad in ["", "-1", "NaN", "1e300", "soon"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
