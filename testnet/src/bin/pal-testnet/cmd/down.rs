//! `pal-testnet down`.

use std::path::PathBuf;
use std::time::Duration;

use palimpsest_testnet::process::Testnet;

use super::{Failure, say, seconds};

/// End all nodes; their data and logs stay.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the network.
    #[arg(long)]
    dir: PathBuf,
    /// Seconds that nodes get to end by themselves before they are killed.
    #[arg(long, default_value = "20", value_parser = seconds)]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let ended = Testnet::open(&args.dir)?.down(args.timeout).await?;
    match ended.killed {
        0 => say(&format!("{} nodes ended", ended.asked)),
        killed => say(&format!("{} nodes ended, {killed} had to be killed", ended.asked)),
    }
    Ok(())
}
