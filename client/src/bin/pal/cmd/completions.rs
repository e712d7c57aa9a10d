//! `pal completions SHELL`

use crate::args::Cli;
use crate::report::Report;
use clap::CommandFactory;
use clap_complete::{Shell, generate};
use palimpsest_client::Error;

/// Prints the script.
pub(crate) fn run(shell: Shell, report: &Report) -> Result<(), Error> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "pal", &mut script);
    report.answer(&String::from_utf8_lossy(&script), ())
}
