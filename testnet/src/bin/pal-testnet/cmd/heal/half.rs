//! Half of the nodes killed at once, with default upkeep, and nobody else there.

use std::time::Duration;

use palimpsest_node::work::UpkeepConfig;
use palimpsest_testnet::healing;
use palimpsest_testnet::sample::SplitMix64;
use tokio::time::Instant;

use super::report::{Report, Target};
use super::{Args, Failure, LOOK, drawn, is_whole, note, publish, spread};

/// Within which every stripe must have recovered.
const PEACE: Duration = Duration::from_secs(600);
/// To what part of its shards.
const RECOVERED: f64 = 0.95;
/// What it has moved is known a little after it was moved.
const SETTLING: Duration = Duration::from_secs(5);

pub(super) async fn run(args: &Args, report: &mut Report) -> Result<(), Failure> {
    let mut network = super::network(args, Some(UpkeepConfig::default())).await?;
    let nodes = network.numbers().count();
    report.part(
        "half",
        &format!("{nodes} nodes, upkeep as by default; the publisher gone, half of the nodes killed at once"),
    );
    let since = Instant::now();
    let subject = publish(&network, args.size, args.seed).await?;
    let (stripes, part) = spread(&network).await?;
    report.told("stripes", stripes.len() as f64, "");
    report.told("records spread when it begins", part, "");
    report.told("seconds of publishing and spreading", since.elapsed().as_secs_f64(), "s");

    let before = healing::total(&network, "warden", "bytes_moved");
    let dead = drawn(network.numbers().collect(), nodes / 2, &mut SplitMix64::new(args.seed));
    let killed_before: u64 =
        dead.iter().filter_map(|&n| network.node(n)).map(|n| healing::total_of(n, "warden", "bytes_moved")).sum();
    for &number in &dead {
        network.kill(number).await;
    }
    let since = Instant::now();
    let left = healing::present(&network, &stripes)?;
    let policy = UpkeepConfig::default().repair;
    let all_knowing: u64 = stripes
        .iter()
        .zip(&left)
        .map(|(stripe, &left)| healing::repair_bytes(&policy, stripe.geometry().n(), stripe.geometry().k(), left))
        .sum();
    let part = |present: &[usize]| {
        let parts = stripes.iter().zip(present).map(|(stripe, &there)| there as f64 / stripe.geometry().n() as f64);
        parts.fold(1.0, f64::min)
    };
    report.told("least part of a stripe's shards that is left", part(&left), "of n");

    let mut worst = part(&left);
    while worst < RECOVERED && since.elapsed() < PEACE {
        tokio::time::sleep(LOOK).await;
        worst = part(&healing::present(&network, &stripes)?);
        let seconds = since.elapsed().as_secs();
        if seconds.is_multiple_of(30) {
            note(&format!("{seconds} s: the worst stripe has {worst:.2} n"));
        }
    }
    let took = since.elapsed().as_secs_f64();
    tokio::time::sleep(SETTLING).await;
    report.figure("least part of a stripe's shards at the end", worst, "of n", Target::AtLeast(RECOVERED));
    report.figure("seconds until then", took, "s", Target::AtMost(PEACE.as_secs_f64()));
    let moved = healing::total(&network, "warden", "bytes_moved") + killed_before - before;
    report.told("moved by repairs", moved as f64 / f64::from(1 << 20), "MiB");
    report.told("what an all-knowing repairer would have moved", all_knowing as f64 / f64::from(1 << 20), "MiB");
    report.told("moved against that", moved as f64 / all_knowing as f64, "×");
    for name in ["repairs", "repairs_failed", "surveys", "samples", "lies"] {
        report.told(&format!("wardens: {name}"), healing::total(&network, "warden", name) as f64, "");
    }
    let whole = is_whole(&network, &subject, "reader").await?;
    report.figure("files fetched exact", f64::from(u8::from(whole)), "of 1", Target::AtLeast(1.0));
    network.shutdown().await;
    Ok(())
}
