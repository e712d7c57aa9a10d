//! `pal-testnet docker hold`: the program that delays a container's packets. `docker up` starts it where the kernel has no
//! `netem`; nobody else does.

use std::io::{self, Write};

use palimpsest_testnet::docker::delay::{Began, hold};
use palimpsest_testnet::docker::{HOLDING, Latency};

use super::super::Failure;

/// Hold the packets that come into this network, until a process ends.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How long.
    #[arg(long)]
    latency: Latency,
    /// The process.
    #[arg(long)]
    process: u32,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let ready = |_: Began| {
        // Whoever waits for it gives up without it.
        let _nobody_reads = io::stdout().write_all(HOLDING.as_bytes()).and_then(|()| io::stdout().flush());
    };
    hold(args.latency, args.process, ready).map_err(|error| Failure::Broken(error.to_string()))
}
