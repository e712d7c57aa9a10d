//! Clients that store rubbish as fast as they can, and one who has something to keep.

use std::time::Duration;

use palimpsest_client::{Client, Progress, PublishOptions, Source};
use palimpsest_testnet::healing;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::report::{Report, Target};
use super::{Args, Failure, Subject, content, is_whole, note, publish};

const FLOODERS: u64 = 20;
/// How long they go on.
const LENGTH: Duration = Duration::from_secs(120);
/// Each node's. Half of it is for free; what comes then is paid for with work.
const QUOTA: u64 = 48 << 20;
/// What a flooder publishes at once, one after the other.
const PIECE_BYTES: u64 = 1 << 20;
/// When the honest one comes again: in the middle, when nodes have begun to ask for stamps.
const LATE: Duration = Duration::from_secs(60);
/// The part of the honest shards that may be displaced.
const DISPLACED: f64 = 0.01;
/// Seeds of rubbish begin here, far from those of files that are wanted.
const RUBBISH: u64 = 1 << 40;

pub(super) async fn run(args: &Args, report: &mut Report) -> Result<(), Failure> {
    let nodes = usize::try_from(args.nodes).unwrap_or(usize::MAX);
    let network = Network::start(NetworkOptions { quota_bytes: QUOTA, ..NetworkOptions::honest(nodes) }).await?;
    report.part(
        "flood",
        &format!("{nodes} nodes of {} MiB; {FLOODERS} clients store rubbish for {} s", QUOTA >> 20, LENGTH.as_secs()),
    );
    let (early, before) = timed(publish(&network, args.size, args.seed)).await?;
    report.told("an honest publish before the flood", before, "s");
    let stripes: Vec<_> = healing::stripes(&network).await?.into_iter().map(|(stripe, _)| stripe).collect();
    let held = healing::present(&network, &stripes)?;

    let mut flooders = JoinSet::new();
    for flooder in 0..FLOODERS {
        let client = super::client(&network, &format!("flooder-{flooder}")).await?;
        flooders.spawn(flood(client, RUBBISH + (flooder << 20)));
    }
    let begun = Instant::now();
    tokio::time::sleep(LATE).await;
    fills(&network, report, "after 60 s");
    let late = timed(publish(&network, args.size, args.seed + 1)).await;
    if let Err(failure) = &late {
        note(&failure.to_string());
    }
    report.figure(
        "honest publishes in the middle that succeed",
        f64::from(u8::from(late.is_ok())),
        "of 1",
        Target::AtLeast(1.0),
    );
    tokio::time::sleep_until(begun + LENGTH).await;
    let mut stored = 0;
    flooders.abort_all();
    while flooders.join_next().await.is_some() {}
    fills(&network, report, "at the end");
    for node in network.running() {
        stored += healing::leased(node)?.len();
    }
    report.told("shards in the network at the end", stored as f64, "");

    let after = healing::present(&network, &stripes)?;
    let (had, has): (usize, usize) = (held.iter().sum(), after.iter().sum());
    report.told("shards of the stripes that were there before", had as f64, "");
    report.figure("part of them displaced", 1.0 - has as f64 / had.max(1) as f64, "", Target::AtMost(DISPLACED));
    let mut whole = u8::from(is_whole(&network, &early, "reader").await?);
    let mut wanted = 1.0;
    if let Ok((late, seconds)) = &late {
        report.told("it took", *seconds, "s");
        whole += u8::from(is_whole(&network, late, "late-reader").await?);
        wanted += 1.0;
    }
    report.figure("honest files fetched exact", f64::from(whole), "", Target::AtLeast(wanted));
    network.shutdown().await;
    Ok(())
}

/// Publishes until it is ended. Whether rubbish is kept is all the same.
async fn flood(client: Client, first: u64) {
    for seed in first.. {
        let rubbish = Source::Bytes(content(PIECE_BYTES, seed));
        let _kept = client.publish(rubbish, PublishOptions::default(), &Progress::new()).await;
    }
}

async fn timed(work: impl Future<Output = Result<Subject, Failure>>) -> Result<(Subject, f64), Failure> {
    let since = Instant::now();
    Ok((work.await?, since.elapsed().as_secs_f64()))
}

fn fills(network: &Network, report: &mut Report, when: &str) {
    let mut fills: Vec<u8> = network.running().map(|node| node.store().usage().fill()).collect();
    fills.sort_unstable();
    if let (Some(least), Some(most)) = (fills.first(), fills.last()) {
        report.told(&format!("fill of the emptiest node {when}"), f64::from(*least), "%");
        report.told(&format!("fill of the fullest node {when}"), f64::from(*most), "%");
    }
}
