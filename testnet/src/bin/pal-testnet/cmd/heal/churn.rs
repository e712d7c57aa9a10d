//! One node after the other dies for good with its disk, and a fresh one joins, until all have been replaced.

use std::collections::BTreeSet;

use palimpsest_testnet::healing::{self, Fate};
use palimpsest_testnet::memory::Network;
use palimpsest_testnet::sample::SplitMix64;
use tokio::time::Instant;

use super::report::{Report, Target};
use super::{Args, Failure, LOOK, drawn, is_whole, note, publish, scaled, spread};

/// How much more than an all-knowing repairer the wardens may move.
const AGAINST_ALL_KNOWING: f64 = 1.5;
/// Stories of the all-knowing: where he puts what, dice say.
const STORIES: u64 = 32;
/// Minutes after the last death until what is under way has ended.
const AFTERWARDS: u32 = 5;

/// What the nodes' works did, those of the dead included up to their deaths. A repair that dies with its warden is not counted.
#[derive(Default)]
struct Done {
    moved: u64,
    repaired: u64,
    repairs: u64,
    failed: u64,
    surveys: u64,
    handed_over: u64,
}

impl Done {
    fn add(&mut self, network: &Network, number: usize) {
        let Some(node) = network.node(number) else { return };
        let warden = |name| healing::total_of(node, "warden", name);
        self.moved += warden("bytes_moved");
        self.repaired += warden("shards_repaired");
        self.repairs += warden("repairs");
        self.failed += warden("repairs_failed");
        self.surveys += warden("surveys");
        self.handed_over += healing::total_of(node, "handover", "handed_over");
    }
}

pub(super) async fn run(args: &Args, report: &mut Report) -> Result<(), Failure> {
    let config = scaled(args.minute);
    let mut network = super::network(args, Some(config)).await?;
    let old: Vec<usize> = network.numbers().collect();
    let seconds = args.minute.as_secs_f64();
    report.part(
        "churn",
        &format!(
            "{} nodes, all replaced, one every {seconds} s, which stand for a minute: turns of {} s, audits every {} s, records every \
             {} s, hand-over every {} s, {:.0} MiB/s for each node",
            old.len(),
            config.turn.as_secs_f64(),
            config.audit_every.as_secs_f64(),
            config.records_every.as_secs_f64(),
            config.handover_every.as_secs_f64(),
            config.bytes_per_second as f64 / f64::from(1 << 20)
        ),
    );
    let subject = publish(&network, args.size, args.seed).await?;
    let (stripes, part) = spread(&network).await?;
    report.told("stripes", stripes.len() as f64, "");
    report.told("records spread when it begins", part, "");
    let holders = healing::holders(&network, &stripes)?;

    let mut dice = SplitMix64::new(args.seed);
    let (mut fates, mut done) = (Vec::new(), Done::default());
    let mut least = f64::INFINITY;
    let mut least_shards = usize::MAX;
    let mut look = |network: &Network| -> Result<(), Failure> {
        for (stripe, there) in stripes.iter().zip(healing::present(network, &stripes)?) {
            least = least.min(there as f64 / stripe.geometry().k() as f64);
            least_shards = least_shards.min(there);
        }
        Ok(())
    };
    let begun = Instant::now();
    for (turn, dying) in (0u32..).zip(drawn(old.clone(), old.len(), &mut dice)) {
        done.add(&network, dying);
        network.kill(dying).await;
        std::fs::remove_dir_all(network.node_dir(dying))
            .map_err(super::super::at("remove", &network.node_dir(dying)))?;
        fates.push(Fate::Dies(dying));
        fates.push(Fate::Joins(network.add().await?));
        let until = begun + args.minute * (turn + 1);
        loop {
            look(&network)?;
            if Instant::now() + LOOK > until {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        tokio::time::sleep_until(until).await;
        if turn % 5 == 4 {
            let there = healing::present(&network, &stripes)?;
            note(&format!("{} replaced; the worst stripe has {:?} shards", turn + 1, there.iter().min()));
        }
    }
    tokio::time::sleep(args.minute * AFTERWARDS).await;
    look(&network)?;
    network.numbers().for_each(|number| done.add(&network, number));

    report.told("least shards that a stripe had", least_shards as f64, "");
    report.figure("of k, the least that a stripe had", least, "× k", Target::AtLeast(1.0));
    let whole = is_whole(&network, &subject, "reader").await?;
    report.figure("files fetched exact at the end", f64::from(u8::from(whole)), "of 1", Target::AtLeast(1.0));
    let nodes: BTreeSet<usize> = old.iter().copied().collect();
    let mut ideal = 0;
    for story in 0..STORIES {
        let mut dice = SplitMix64::new(args.seed ^ story << 32);
        for (stripe, holders) in stripes.iter().zip(&holders) {
            ideal += healing::all_knowing(&config.repair, stripe.geometry().k(), holders, &nodes, &fates, &mut dice);
        }
    }
    let ideal = ideal as f64 / STORIES as f64;
    let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
    report.told("moved by repairs", mebibytes(done.moved as f64), "MiB");
    report.told("what an all-knowing repairer would have moved", mebibytes(ideal), "MiB");
    report.figure("moved against that", done.moved as f64 / ideal, "×", Target::AtMost(AGAINST_ALL_KNOWING));
    report.told("shards repaired", done.repaired as f64, "");
    report.told("repairs", done.repairs as f64, "");
    report.told("repairs that failed", done.failed as f64, "");
    report.told("surveys", done.surveys as f64, "");
    let shards: usize = stripes.iter().map(|stripe| stripe.geometry().n()).sum();
    report.told("shards handed over for each that joined", done.handed_over as f64 / old.len() as f64, "");
    report.told("all shards by the number of nodes", shards as f64 / old.len() as f64, "");
    network.shutdown().await;
    Ok(())
}
