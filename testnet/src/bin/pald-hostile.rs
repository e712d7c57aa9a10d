//! `pald-hostile`: a node with `pald`'s command line, configuration, socket and folder, which plays a part, peers that let
//! bytes trickle, and rot. For networks that nobody uses: scenarios on processes and in containers (`docs/testnet.md`).

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use palimpsest_client::net::{Multiaddr, Transport};
use palimpsest_node::cli::{Run, runtime};
use palimpsest_testnet::hostile::Part;
use palimpsest_testnet::process::Fraction;
use palimpsest_testnet::rot;
use palimpsest_testnet::slow::SlowPeers;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Threads of the slow peers.
const SLOW_THREADS: usize = 1;

/// A node, or peers, that keep to no rule. For tests of networks only.
#[derive(Parser)]
#[command(name = "pald-hostile", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a node until SIGTERM or SIGINT, as `pald run` does, and plays a part.
    Run(Box<Hostile>),
    /// Peers that begin packets and exchanges with nodes, and end none, until standard input ends. Answers each line with the
    /// number of streams that nodes have ended.
    Slow(Slow),
    /// Flips a bit in slots of the store below a node's folder, used or not, and ends.
    Rot(Rot),
}

#[derive(Args)]
struct Rot {
    /// The node's folder.
    #[arg(long)]
    data_dir: PathBuf,
    /// In which share of all slots: 0.1, 10%.
    #[arg(long)]
    fraction: Fraction,
    /// Chooses which, and the bit.
    #[arg(long)]
    seed: u64,
}

#[derive(Args)]
struct Hostile {
    /// What it does that an honest node does not, as JSON: `{"lie":"garbage"}`, `{"meddle":"drop"}`, `{"diary":true}`.
    #[arg(long, value_name = "JSON", default_value = "{}")]
    part: Part,
    #[command(flatten)]
    node: Run,
}

#[derive(Args)]
struct Slow {
    /// How many, each with a key of its own.
    #[arg(long, default_value_t = 32)]
    peers: u16,
    /// The nodes.
    #[arg(required = true, value_name = "MULTIADDR")]
    nodes: Vec<Multiaddr>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(hostile) => run(*hostile),
        Command::Slow(slow) => trickle(slow),
        Command::Rot(Rot { data_dir, fraction, seed }) => {
            rot::flip([data_dir].into_iter(), fraction, seed).map_err(Into::into)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pald-hostile: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(Hostile { part, node }: Hostile) -> Result<(), Box<dyn Error>> {
    Ok(runtime(node.threads())?.block_on(node.until_ended(|config| part.play(config).map_err(Into::into)))?)
}

fn trickle(Slow { peers, nodes }: Slow) -> Result<(), Box<dyn Error>> {
    raise_file_limit();
    let nodes: Vec<_> = nodes.into_iter().map(|address| (None, vec![address])).collect();
    let runtime = runtime(SLOW_THREADS)?;
    let slow = runtime.block_on(async { SlowPeers::start(peers.into(), &nodes, Transport::Tcp) })?;
    // The peers are on a thread of their own; this one waits for questions.
    for question in std::io::stdin().lines() {
        question?;
        println!("{}", slow.ended());
    }
    runtime.block_on(slow.stop());
    Ok(())
}

/// Each peer has a connection to each node. Where that is refused, so be it.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _refused = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn a_hostile_node_takes_what_a_node_takes() {
        Cli::command().debug_assert();
        for line in [
            "run --data-dir /d",
            "run --part {\"lie\":\"absent\"} --data-dir /d --threads 1",
            "slow /ip4/127.0.0.1/tcp/9",
            "rot --data-dir /d --fraction 10% --seed 1",
        ] {
            let words = std::iter::once("pald-hostile").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        for line in ["", "run --part {\"lie\":\"white\"}", "slow", "rot --data-dir /d"] {
            let words = std::iter::once("pald-hostile").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
