//! `pal-testnet docker speed`: a fetch by onion against the same bytes straight over TCP, through the same link.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use palimpsest_testnet::docker::speed::{LISTENING, SHARE_LEAST, SpeedOptions, SpeedReport, hand_out, measure, take};

use super::super::{Failure, say, workplace};
use super::Which;

/// Compare a fetch by onion with a straight transfer through the same link. Exit code 1: it has less than 70 % of its speed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Bytes of the file.
    #[arg(long, default_value_t = 16_000_000)]
    bytes: u64,
    /// How often each is measured; the middle counts.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Folder of `pal`; by default it is looked for beside this program.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Hand out bytes to the first who asks.
#[derive(Debug, clap::Args)]
pub(super) struct HandOut {
    address: SocketAddr,
    bytes: u64,
}

/// Take all that is handed out, and say how much it was.
#[derive(Debug, clap::Args)]
pub(super) struct Take {
    address: SocketAddr,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let net = args.which.open().await?;
    let place = workplace(&std::env::temp_dir(), "palimpsest-speed-")?;
    let dir = place.path().to_owned();
    let options = SpeedOptions { bytes: args.bytes, rounds: args.rounds, dir, bin_dir: args.bin_dir };
    let report = measure(&net, &options).await?;
    if args.json {
        say(&serde_json::to_string(&report).map_err(|error| Failure::Broken(error.to_string()))?);
    } else {
        let SpeedReport { bytes, links, direct_s, onion_s, share } = &report;
        let times = |all: &[f64]| all.iter().map(|one| format!("{one:.2}")).collect::<Vec<_>>().join(", ");
        say(&format!("{bytes} bytes to a user inside; links: {links}"));
        say(&format!("  straight over TCP  {} s", times(direct_s)));
        say(&format!("  by onion           {} s", times(onion_s)));
        say(&format!("  {:.0} % of the speed (wanted: {:.0} %)", share * 100.0, SHARE_LEAST * 100.0));
    }
    Ok(if report.share >= SHARE_LEAST { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(super) async fn give(args: HandOut) -> Result<(), Failure> {
    let ready = || {
        // Whoever waits for it gives up without it.
        let _nobody_reads = io::stdout().write_all(LISTENING.as_bytes()).and_then(|()| io::stdout().flush());
    };
    hand_out(args.address, args.bytes, ready).await.map_err(|error| Failure::Broken(error.to_string()))
}

pub(super) async fn receive(args: Take) -> Result<(), Failure> {
    let taken = take(args.address).await.map_err(|error| Failure::Broken(error.to_string()))?;
    say(&taken.to_string());
    Ok(())
}
