//! `pal-testnet kill`.

use std::path::PathBuf;

use palimpsest_testnet::process::{Blow, Fraction, Testnet};

use super::{Failure, say};

/// Kill a share of the nodes, without warning; or hang them, or let the hung ones go on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the network.
    #[arg(long)]
    dir: PathBuf,
    /// Share of all nodes: 0.5, or 50%.
    #[arg(long)]
    fraction: Fraction,
    /// Chooses which: the same number, the same nodes.
    #[arg(long)]
    seed: u64,
    /// KILL, STOP (they hang) or CONT (the hung ones go on).
    #[arg(long, default_value = "KILL")]
    signal: Blow,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let net = Testnet::open(&args.dir)?;
    let hit = net.hit(args.fraction, args.seed, args.signal).await?;
    let done = match args.signal {
        Blow::Kill => "killed",
        Blow::Stop => "stopped",
        Blow::Continue => "continued",
    };
    let names: Vec<String> = hit.iter().map(u32::to_string).collect();
    say(&format!("{done} {} of {} nodes: {}", hit.len(), net.nodes().len(), names.join(" ")));
    Ok(())
}
