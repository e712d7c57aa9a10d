//! `pal-testnet up`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use palimpsest_testnet::hostile::{Cast, HOSTILE};
use palimpsest_testnet::process::{Testnet, Transport, UpOptions, find_program};

use super::{Failure, say, seconds, unless_interrupted};

/// Start a network; returns when every node knows all.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes to start.
    #[arg(long, default_value_t = 40)]
    nodes: u32,
    /// Folder of the network, made if there is none.
    #[arg(long)]
    dir: PathBuf,
    /// How nodes talk: tcp, quic, all.
    #[arg(long, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// Quota of each node, as `pald run --quota` takes it.
    #[arg(long)]
    quota: Option<String>,
    /// Folder of `pald`; by default it is looked for beside this program, then in PATH.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// All nodes write down what they handle, each in its folder: for `censor --coalition`. For networks that nobody uses; takes
    /// `pald-hostile` beside `pald`.
    #[arg(long)]
    diary: bool,
    /// Seconds until all nodes must know each other.
    #[arg(long, default_value = "60", value_parser = seconds)]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let since = Instant::now();
    let pald = find_program("pald", args.bin_dir.as_deref())?;
    let Args { nodes, dir, transport, quota, diary, timeout: deadline, .. } = args;
    let mut cast = Cast::default();
    if diary {
        find_program(HOSTILE, pald.parent())?;
        (0..nodes).for_each(|node| cast.part(node).diary = true);
    }
    let options = UpOptions { dir: dir.clone(), nodes, transport, quota, pald, cast, deadline };
    let net = unless_interrupted(&dir, async { Ok(Testnet::up(options).await?) }).await?;
    say(&format!("{nodes} nodes know each other after {:.1} s", since.elapsed().as_secs_f64()));
    say(&format!("export PAL_BOOTSTRAP={}", net.bootstrap_file().display()));
    Ok(())
}
