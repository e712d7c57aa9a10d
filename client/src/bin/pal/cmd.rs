//! The verbs, one file each.

mod completions;
mod config;
mod fetch;
mod keep;
mod publish;
mod status;

use crate::advice::Verb;
use crate::args::Command;
use crate::report::{Failure, Report};

/// Does what the command line asks for.
pub(crate) fn run(command: Command, report: &Report) -> Result<(), Failure> {
    let locally = |error| Failure { error, verb: Verb::Local };
    match command {
        Command::Publish(args) => publish::run(&args, report),
        Command::Fetch(args) => fetch::run(&args, report),
        Command::Status(args) => status::run(&args, report),
        Command::Keep(args) => keep::run(&args, report),
        Command::Config { command } => config::run(&command, report).map_err(locally),
        Command::Completions { shell } => completions::run(shell, report).map_err(locally),
    }
}
