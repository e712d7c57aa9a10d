//! `pal-testnet anonymity`.

use std::process::ExitCode;
use std::time::Duration;

use palimpsest_testnet::anonymity::chance::Rate;
use palimpsest_testnet::anonymity::crowd::{self, CrowdOptions, CrowdReport};
use palimpsest_testnet::anonymity::model::{self, ModelOptions, ModelReport};
use palimpsest_testnet::anonymity::{Outcome, Verdict};
use palimpsest_testnet::process::Fraction;
use serde_json::json;

use super::{Failure, apart, broken, say};

/// Most nodes and clients of the model: what one machine plays in some minutes.
const NODES: std::ops::RangeInclusive<i64> = 20..=20_000;
const CLIENTS: std::ops::RangeInclusive<i64> = 100..=50_000;
/// The network in one process: its nodes, its files and their readers, and the bytes of a file (a root and two stripes).
const CROWD_NODES: std::ops::RangeInclusive<i64> = 10..=200;
const CROWD_FILES: u64 = 8;
const CROWD_READERS: usize = 2;
const CROWD_BYTES: usize = 5 << 20;
const CROWD_SPREAD: Duration = Duration::from_secs(30);

/// Measure what a coalition of nodes learns of readers and publishers, against the bounds that are promised. Exit code 1: one of
/// them is broken of which that was not known.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// The parts of the nodes that the coalition holds.
    #[arg(long, value_delimiter = ',', default_value = "1%,5%,10%,20%,40%")]
    coalition: Vec<Fraction>,
    #[command(flatten)]
    part: Part,
    /// Nodes of the network in one process.
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(CROWD_NODES))]
    memory_nodes: u32,
    /// Files that are published one after the other in it, as many at once, and as many spread over half a minute.
    #[arg(long, default_value_t = CROWD_FILES, value_parser = clap::value_parser!(u64).range(2..=50))]
    files: u64,
    /// Nodes of the model's network.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(NODES))]
    nodes: u32,
    /// Clients of the model.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(CLIENTS))]
    clients: u32,
    /// Chooses the dice: the same number, the same story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of tables.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
struct Part {
    /// Only the model.
    #[arg(long)]
    model: bool,
    /// Only real nodes and clients in one process.
    #[arg(long)]
    memory: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let coalition: Vec<f64> = args.coalition.iter().map(|part| part.share()).collect();
    let (mut verdicts, mut model, mut crowd) = (Vec::new(), None, None);
    if !args.part.memory {
        let options = ModelOptions {
            nodes: args.nodes as usize,
            clients: args.clients as usize,
            coalition: coalition.clone(),
            seed: args.seed,
        };
        let report = apart(move || async move { model::measure(&options).map_err(broken) }).await?;
        verdicts.extend(report.verdicts());
        model = Some(report);
    }
    if !args.part.model {
        let options = CrowdOptions {
            nodes: args.memory_nodes as usize,
            files: args.files as usize,
            bytes: CROWD_BYTES,
            readers: CROWD_READERS,
            spread: CROWD_SPREAD,
            coalition,
            seed: args.seed,
        };
        let report = apart(move || async move { crowd::measure(&options).await.map_err(broken) }).await?;
        verdicts.extend(report.verdicts());
        crowd = Some(report);
    }
    let outcome = Outcome::of(&verdicts);
    if args.json {
        say(&json!({"model": model, "memory": crowd, "verdicts": verdicts, "outcome": outcome}).to_string());
    } else {
        model.iter().for_each(show_model);
        crowd.iter().for_each(show_crowd);
        show_verdicts(&verdicts);
        say(outcome.words());
    }
    Ok(if outcome == Outcome::NewMisses { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

fn with_interval(rate: Rate) -> String {
    format!("{:>5.1} % ({:.1} to {:.1})", rate.share * 100.0, rate.low * 100.0, rate.high * 100.0)
}

fn show_model(model: &ModelReport) {
    say(&format!("The model: {} nodes, {} clients, seed {}", model.nodes, model.clients, model.seed));
    say("  coalition  requests  linked (95 %)           3 guards  no guard   knows a holder  knows a guard");
    for one in &model.linking {
        for after in &one.after {
            say(&format!(
                "  {:>9}  {:>8}  {:<22}  {:>8}  {:>8}   {:>14}  {:>13}",
                percent(one.coalition),
                after.requests,
                with_interval(after.linked),
                percent(after.linked_with_three.share),
                percent(after.linked_without.share),
                percent(after.holder_known),
                percent(after.guard_known),
            ));
        }
    }
    say("  coalition  bad guard in 360 days   bad one in the sample of guards");
    for one in &model.linking {
        say(&format!(
            "  {:>9}  {:<22}  {}",
            percent(one.coalition),
            with_interval(one.year),
            percent(one.sample.share)
        ));
    }
    say(
        "  coalition  sits, among so many prefixes           guards                  back relays             all relays, to c",
    );
    for one in &model.drawn {
        say(&format!(
            "  {:>9}  {:<32} {:>5}  {:<22}  {:<22}  {:>6}  {:.2}",
            percent(one.coalition),
            one.seats,
            one.prefixes,
            with_interval(one.guards),
            with_interval(one.relays),
            percent(one.all_relays),
            one.all_relays / one.coalition,
        ));
    }
}

fn show_crowd(crowd: &CrowdReport) {
    let CrowdReport { nodes, clients, requests, .. } = crowd;
    say(&format!(
        "Real nodes in one process: {nodes} nodes, {clients} clients, {requests} requests seen from end to end"
    ));
    say(&format!("  requests for what only the client's own guard has: {}", crowd.guards_asked));
    say(&format!("  sights that only a guard may have, elsewhere: {}", crowd.complaints.len()));
    crowd.complaints.iter().take(5).for_each(|complaint| say(&format!("    {complaint}")));
    say("  coalition  linked to the first request  to one of 64  to any  one of each coalition (95 %)  wrong guesses");
    for one in &crowd.linking {
        say(&format!(
            "  {:>9}  {:>27}  {:>12}  {:>6}  {:<28}  {:>13}",
            percent(one.coalition),
            percent(one.after[0]),
            percent(one.after[1]),
            percent(one.ever),
            with_interval(one.one_each),
            percent(one.wrong),
        ));
    }
    say("  coalition  files published     two shards of one file are told by               AUC    either way");
    for one in &crowd.affinity {
        let order = one.batch.name();
        let (clue, auc, worth) = (one.clue.name(), one.auc, one.worth());
        say(&format!("  {:>9}  {order:<19} {clue:<46}  {auc:>5.3}  {worth:>5.3}", percent(one.coalition)));
    }
}

fn show_verdicts(verdicts: &[Verdict]) {
    let broken: Vec<&Verdict> = verdicts.iter().filter(|verdict| !verdict.kept).collect();
    say(&format!("{} of {} bounds hold", verdicts.len() - broken.len(), verdicts.len()));
    for verdict in broken {
        let Verdict { what, seen, bound, .. } = verdict;
        say(&format!("  {}: {what}: {seen:.3}, and at most {bound:.3} is promised", verdict.words()));
    }
}
