//! `pald`: the Palimpsest storage node.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
