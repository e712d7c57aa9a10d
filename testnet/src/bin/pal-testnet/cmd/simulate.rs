//! `pal-testnet simulate`.

use palimpsest_testnet::sim::{Options, Part, measure};
use std::process::ExitCode;

use super::{Failure, say};

/// Look at networks that no machine has, in virtual time: look-ups, movement, load, durability, tables, adversaries.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to look at.
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL.map(|part| part.name().to_owned()), value_parser = named)]
    parts: Vec<String>,
    /// Nodes in the network.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(300..=1_000_000))]
    nodes: u64,
    /// Chooses the story: the same number, the same story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often a stripe is fetched from a hostile network; of other things a part of it. More make finer figures.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    trials: u64,
    /// For how many years stripes are followed, for each kind of churn. A year for 10,000 trials if it is not said.
    #[arg(long, value_parser = years)]
    years: Option<f64>,
    /// How often a stripe is fetched from a neighbourhood of ground ids. A tenth of the trials if it is not said.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    eclipsed: Option<u64>,
    /// One JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

fn named(text: &str) -> Result<String, String> {
    text.parse::<Part>().map(|part| part.name().to_owned())
}

fn years(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(years) if (0.01..=100.0).contains(&years) => Ok(years),
        _ => Err("a number of years from 0.01 to 100".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    let parts = args.parts.iter().filter_map(|name| name.parse().ok()).collect();
    let options = Options {
        years: args.years,
        eclipsed: args.eclipsed.map(|count| count as usize),
        ..Options::new(parts, args.nodes as usize, args.seed, args.trials as usize)
    };
    let report = measure(&options).map_err(|error| Failure::Broken(format!("{error}; replay: {options}")))?;
    if args.json {
        say(&serde_json::to_string(&report).map_err(|error| Failure::Broken(error.to_string()))?);
    } else {
        report.lines().iter().for_each(|line| say(line));
    }
    match report.verdict() {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(broken) => {
            eprintln!("pal-testnet: {broken}");
            Ok(ExitCode::FAILURE)
        }
    }
}
