//! What upkeep costs when nothing happens.
//!
//! Audits come once in an hour and look at a few shards at random, so that a short window says little: the periods are made
//! shorter instead, one of them is measured, and the traffic is divided by the factor. What the same network sends without
//! upkeep (gossip, new descriptors) is taken off.

use std::time::Duration;

use palimpsest_testnet::healing;
use palimpsest_testnet::memory::Network;

use super::report::{Report, Target};
use super::{Args, Failure, MINUTE, note, publish, scaled, spread};

/// Two hours of upkeep in four minutes.
const FASTER: u32 = 30;
/// Two periods of audits and one of records, and a little more: each node begins its rounds at its own time.
const WATCHED: Duration = Duration::from_secs(250);
/// Until what publishing brought about has ended: the second keeper of a record looks at it after 23 s.
const SETTLING: Duration = Duration::from_secs(30);
/// Bytes per second and node, for each 1,000 shards that it holds.
const BYTES_MAX: f64 = 1024.0;

/// What a network sent.
struct Sent {
    /// Bytes per second and node, over all links: each hop of each packet.
    bytes: f64,
    shards_a_node: f64,
}

pub(super) async fn run(args: &Args, report: &mut Report) -> Result<(), Failure> {
    report.part(
        "idle",
        &format!(
            "{} nodes; upkeep {FASTER} times faster than by default for {} s, and none; the difference divided by {FASTER}; every hop \
             of every packet counts",
            args.nodes,
            WATCHED.as_secs()
        ),
    );
    let network = super::network(args, None).await?;
    publish(&network, args.size, args.seed).await?;
    let without = watch(&network).await;
    network.shutdown().await;

    let network = super::network(args, Some(scaled(MINUTE / FASTER))).await?;
    publish(&network, args.size, args.seed).await?;
    spread(&network).await?;
    let before: Vec<u64> = TOTALS.iter().map(|(work, name)| healing::total(&network, work, name)).collect();
    let with = watch(&network).await;
    for ((work, name), before) in TOTALS.iter().zip(before) {
        report.told(&format!("{work}: {name}"), (healing::total(&network, work, name) - before) as f64, "");
    }
    network.shutdown().await;

    let upkeep = per_thousand(&with, &without);
    report.told("shards on a node", with.shards_a_node, "");
    report.told("sent by a node without upkeep", without.bytes, "B/s");
    report.told("sent by a node with upkeep so much faster", with.bytes, "B/s");
    report.told("upkeep of a node as by default", upkeep * with.shards_a_node / 1e3, "B/s");
    report.figure("upkeep of a node for each 1,000 shards", upkeep, "B/s", Target::AtMost(BYTES_MAX));
    Ok(())
}

const TOTALS: [(&str, &str); 6] = [
    ("warden", "samples"),
    ("warden", "surveys"),
    ("warden", "repairs"),
    ("records", "rounds"),
    ("records", "spread"),
    ("handover", "handed_over"),
];

fn per_thousand(with: &Sent, without: &Sent) -> f64 {
    (with.bytes - without.bytes) / f64::from(FASTER) / with.shards_a_node * 1e3
}

async fn watch(network: &Network) -> Sent {
    tokio::time::sleep(SETTLING).await;
    let sent = || network.running().map(|node| node.net().counters().bytes_out.get()).sum::<u64>();
    let before = sent();
    tokio::time::sleep(WATCHED).await;
    let bytes = sent() - before;
    let nodes = network.numbers().count() as f64;
    let shards: u64 = network.running().map(|node| node.store().usage().shards).sum();
    note(&format!("{bytes} bytes in {} s", WATCHED.as_secs()));
    Sent { bytes: bytes as f64 / WATCHED.as_secs_f64() / nodes, shards_a_node: shards as f64 / nodes }
}

#[cfg(test)]
mod tests {
    use super::{FASTER, Sent, per_thousand};

    #[test]
    fn what_is_sent_anyway_is_taken_off_and_the_rest_is_slowed_down() {
        let without = Sent { bytes: 100.0, shards_a_node: 250.0 };
        let with = Sent { bytes: 100.0 + f64::from(FASTER) * 50.0, shards_a_node: 250.0 };
        assert!((per_thousand(&with, &without) - 200.0).abs() < 1e-9);
    }
}
