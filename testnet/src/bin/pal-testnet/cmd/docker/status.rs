//! `pal-testnet docker status`.

use palimpsest_testnet::docker::Condition;
use serde_json::{Value, json};

use super::super::{Failure, say};
use super::Which;

/// Say of each node how it is.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let net = args.which.open().await?;
    let (plan, conditions) = (net.plan(), net.conditions().await?);
    let running: Vec<u32> = plan
        .indices()
        .zip(&conditions)
        .filter(|(_, one)| **one == Condition::Running)
        .map(|(index, _)| index)
        .collect();
    let mut answers = running.iter().zip(net.statuses(&running).await);
    let mut nodes = Vec::new();
    for ((index, place), condition) in plan.indices().zip(&plan.nodes).zip(conditions) {
        let answer = if condition == Condition::Running { answers.next().and_then(|(_, answer)| answer) } else { None };
        nodes.push(json!({
            "node": index,
            "address": place.address,
            "nat": place.lan.is_some(),
            "side": if plan.island.is_empty() { Value::Null } else { json!(if plan.island.contains(&index) { "a" } else { "b" }) },
            "state": match condition {
                Condition::Running => "running",
                Condition::Paused => "paused",
                Condition::Gone => "gone",
            },
            "status": answer,
        }));
    }
    if args.json {
        let links = &plan.links;
        say(&json!({
            "name": plan.name,
            "latency": links.latency.map(|latency| latency.to_string()),
            "loss": links.loss,
            "bandwidth": links.bandwidth.map(|bandwidth| bandwidth.to_string()),
            "nodes": nodes,
        })
        .to_string());
        return Ok(());
    }
    say(&format!(
        "{:>4}  {:<15} {:<8} {:<4} {:>6} {:>7} {:>8} {:>9}",
        "node", "address", "state", "side", "knows", "shards", "records", "used MiB"
    ));
    for node in nodes {
        let number = |path: &str| match node["status"].pointer(path).and_then(Value::as_u64) {
            Some(number) => number.to_string(),
            None => "-".to_owned(),
        };
        let used = node["status"].pointer("/store/used").and_then(Value::as_u64);
        say(&format!(
            "{:>4}  {:<15} {:<8} {:<4} {:>6} {:>7} {:>8} {:>9}",
            node["node"].to_string(),
            format!("{}{}", node["address"].as_str().unwrap_or("?"), if node["nat"] == true { " NAT" } else { "" }),
            node["state"].as_str().unwrap_or("?"),
            node["side"].as_str().unwrap_or("-"),
            number("/known_nodes"),
            number("/store/shards"),
            number("/store/records"),
            used.map_or_else(|| "-".to_owned(), |bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20))),
        ));
    }
    Ok(())
}
