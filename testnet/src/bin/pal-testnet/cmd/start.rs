//! `pal-testnet start`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use palimpsest_testnet::process::Testnet;

use super::{Failure, say, seconds};

/// Start the dead nodes again, on the data they had; returns when all know each other.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the network.
    #[arg(long)]
    dir: PathBuf,
    /// Seconds until all nodes must know each other.
    #[arg(long, default_value = "60", value_parser = seconds)]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let since = Instant::now();
    let mut net = Testnet::open(&args.dir)?;
    let started = net.start(args.timeout).await?;
    say(&format!("{} of {} nodes started in {:.1} s", started.len(), net.nodes().len(), since.elapsed().as_secs_f64()));
    Ok(())
}
