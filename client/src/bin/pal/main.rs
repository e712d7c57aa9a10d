//! `pal`: publishes files and fetches them back. Standard output carries the answer only; all else goes to standard
//! error.
//!
//! ```text
//! args ─► cmd/<verb> ─► watch (deadline, Ctrl-C) ─► the client library
//!                          │ reads Progress
//!                          └─► meter (terminal) or report (JSON lines)
//! ```

mod advice;
mod args;
mod cmd;
mod link;
mod meter;
mod report;
mod sink;
mod units;
mod watch;

use args::Cli;
use clap::Parser;
use std::process::ExitCode;

/// The exit code for a command line that makes no sense, unless the parser says otherwise.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => {
            // Help and version come this way too. If they cannot be printed, there is nobody to tell.
            let _nobody_listens = refused.print();
            return ExitCode::from(u8::try_from(refused.exit_code()).unwrap_or(USAGE));
        }
    };
    log_if_wanted();
    let report = cli.report();
    match cmd::run(cli.command, &report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report.error(&failure);
            ExitCode::from(failure.error.kind().exit_code())
        }
    }
}

/// A client logs nothing, unless whoever looks for a fault sets `PAL_LOG`, which has the syntax of `RUST_LOG`.
fn log_if_wanted() {
    if let Ok(filter) = tracing_subscriber::EnvFilter::try_from_env("PAL_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
}
