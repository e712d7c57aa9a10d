//! `pal-testnet`: networks of nodes on this machine, the demo, the benchmarks, and the model of durability.

mod cmd;

use std::process::ExitCode;

use clap::Parser;

/// One thread: everything here waits for other processes, and must not take their processors.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    cmd::run(cmd::Cli::parse()).await
}
