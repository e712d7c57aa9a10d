//! `pald`: the Palimpsest storage node.

use std::process::ExitCode;

fn main() -> ExitCode {
    palimpsest_node::cli::main()
}
