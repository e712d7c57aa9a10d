//! `pal-testnet survival`.

use std::process::ExitCode;

use palimpsest_proto::coding::Survive;
use palimpsest_testnet::survival::{self, CURVE_DRAWS, Options, Report};

use super::{Failure, apart, broken, say};

/// Publish files into a network in one process, kill nodes, fetch, and compare what is left with what was predicted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Nodes.
    #[arg(long, default_value_t = 40)]
    nodes: usize,
    /// Files of 100 kB.
    #[arg(long, default_value_t = 100)]
    files: usize,
    /// What part of the nodes the files are published to survive: 10%, 30% or 50%. The less, the more there is to be measured.
    #[arg(long, default_value = "10%")]
    survive: Survive,
    /// Percent of the nodes that are dead when files are fetched, growing.
    #[arg(long, value_delimiter = ',', default_value = "30,50,60,70")]
    killed: Vec<u32>,
    /// Chooses who dies.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let Args { nodes, files, survive, killed: killed_percent, seed, json } = args;
    let options = Options { nodes, files, survive, killed_percent, deadline: survival::FETCH_DEADLINE, seed };
    let report = apart(move || async move { survival::measure(&options).await.map_err(broken) }).await?;
    if json {
        say(&serde_json::to_string(&report).map_err(broken)?);
    } else {
        table(&report);
    }
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn table(report: &Report) {
    let Report { nodes, files, survive_percent, geometry: (k, n), fetched, drawn, seed } = report;
    say(&format!(
        "{files} files, each of {n} shards of which any {k} are enough, published for the loss of {survive_percent:.0} % of {nodes} \
         nodes; seed {seed}\n"
    ));
    say("killed   predicted (95 of 100 cases)   left on disks   fetched");
    for point in fetched {
        let interval = point.predicted;
        let verdict = match (interval.contains(point.fetched), interval.is_consistent()) {
            (_, false) => "   the formula is not what dice say",
            (false, true) if interval.is_possible(point.fetched) => {
                "   outside, as one in twenty is by chance: measure again"
            }
            (false, true) => "   outside of all that dice say",
            (true, true) => "",
        };
        say(&format!(
            "{:>4} %   {:>7.1}   ({:>4} to {:>4})     {:>13}   {:>7}{verdict}",
            point.killed_percent, interval.mean, interval.low, interval.high, point.left, point.fetched
        ));
        if point.again > 0 {
            say(&format!("         {} of these not by the first who came", point.again));
        }
    }
    say(&format!("\nthe same shards, {CURVE_DRAWS} draws of who is dead, part of the files that survive"));
    say("killed   predicted   measured");
    for point in drawn {
        let verdict = if point.agrees { "" } else { "   apart" };
        say(&format!("{:>4} %   {:>9.4}   {:>8.4}{verdict}", point.killed_percent, point.predicted, point.measured));
    }
}
