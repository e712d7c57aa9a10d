//! A flood of records that name no stripe: whoever puts them keeps no warden from its work, nor has it do the same twice.

use super::common::{DEADLINE, content, fetch, publish};
use palimpsest_client::{LastAudit, Progress};
use palimpsest_node::Node;
use palimpsest_node::work::UpkeepConfig;
use palimpsest_proto::coding::{Descriptor, Geometry, Shard};
use palimpsest_proto::flow::RepairPolicy;
use palimpsest_proto::ids::Locator;
use palimpsest_proto::params::{RECORD_ADDRESSES, SHARD_BYTES};
use palimpsest_testnet::healing::{leased, present, stripes, total_of};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

const NODES: usize = 12;
/// Forged stripes; the honest file has two or three. Each has records at three addresses.
const FORGED: u8 = 40;
/// How often it is looked whether the network has healed: what is on disks is no event to await.
const LOOK: Duration = Duration::from_millis(250);

/// Everything sooner than in life; a repair that failed is tried again at the next look.
pub(crate) fn hasty() -> UpkeepConfig {
    UpkeepConfig {
        turn: Duration::from_secs(4),
        audit_every: Duration::from_secs(8),
        records_every: Duration::from_secs(8),
        spread_every: Duration::from_secs(2),
        handover_every: Duration::from_secs(4),
        bytes_per_second: 64 << 20,
        repair: RepairPolicy { retry: Duration::from_millis(100), ..RepairPolicy::default() },
    }
}

fn shard(filled: u8) -> Shard {
    Shard::new(vec![filled; SHARD_BYTES].into()).unwrap()
}

/// Descriptors of two shards that exist and two that do not and cannot: each stripe seems worth a repair.
fn forgeries() -> Vec<Descriptor> {
    let real = [shard(1), shard(2)].map(|shard| shard.locator());
    let forged = |number| {
        let made_up = [Locator([number; 32]), Locator([255 - number; 32])];
        Descriptor::new(Geometry::new(2, 4).unwrap(), [real, made_up].concat()).unwrap()
    };
    (0..FORGED).map(forged).collect()
}

/// Puts the forgeries where they belong: with so few nodes, everywhere.
async fn flood(node: &Node, forgeries: &[Descriptor]) {
    let lease = palimpsest_client::clock::timestamp().plus(86_400);
    for filled in [1, 2] {
        node.store().put(shard(filled), lease).await.unwrap();
    }
    let puts = forgeries.iter().flat_map(|descriptor| {
        let record = descriptor.encode();
        let addresses = descriptor.root_address().record_addresses();
        addresses.map(|address| node.store().put_record(address, record.clone().into(), lease))
    });
    for put in futures::future::join_all(puts).await {
        put.unwrap();
    }
}

fn held(network: &Network) -> BTreeSet<Locator> {
    network.running().flat_map(|node| leased(node).unwrap()).collect()
}

/// Waits until it is so; the deadline is for what never happens.
pub(crate) async fn until(what: &str, network: &Network, so: impl Fn(&Network) -> bool) {
    let end = Instant::now() + DEADLINE;
    while !so(network) {
        let works = || network.running().map(|node| node.status()["work"].to_string()).collect::<Vec<_>>().join("\n");
        assert!(Instant::now() < end, "never {what}: {}", works());
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether of each stripe as much is there as no warden would still repair.
pub(crate) fn whole(network: &Network, stripes: &[Descriptor]) -> bool {
    let (policy, left) = (hasty().repair, present(network, stripes).unwrap());
    let enough = |d: &Descriptor| policy.threshold(d.geometry().n(), d.geometry().k());
    stripes.iter().zip(left).all(|(descriptor, left)| left > enough(descriptor))
}

/// How many forgeries each node has found out.
fn hopeless(network: &Network) -> Vec<u64> {
    network.running().map(|node| total_of(node, "warden", "hopeless")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_forged_records_keeps_no_warden_from_repairing() {
    let options = NetworkOptions { upkeep: Some(hasty()), ..NetworkOptions::honest(NODES) };
    let mut network = Network::start(options).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let file = content(80, 300 << 10);
    let published = publish(&publisher, &file).await.unwrap();
    publisher.close().await.unwrap();
    // All of so few nodes are near each of a stripe's addresses.
    let records = published.stripes * RECORD_ADDRESSES as u64 * NODES as u64;
    let kept = |network: &Network| network.running().map(|node| node.store().usage().records).sum::<u64>();
    until("all wardens have their records", &network, |network| kept(network) >= records).await;
    let honest: Vec<Descriptor> =
        stripes(&network).await.unwrap().into_iter().map(|(descriptor, _)| descriptor).collect();
    assert_eq!(honest.len() as u64, published.stripes);

    let forgeries = forgeries();
    for node in network.running() {
        flood(node, &forgeries).await;
    }
    for index in (0..NODES).step_by(2) {
        network.kill(index).await;
    }
    until("the honest stripes are repaired", &network, |network| whole(network, &honest)).await;
    until("a forgery is found out", &network, |network| hopeless(network).iter().any(|&forged| forged > 0)).await;
    // No warden tries one a second time, though it might at each look.
    let found_out = hopeless(&network);
    assert!(found_out.iter().all(|&times| times <= u64::from(FORGED)), "{found_out:?}");
    let made_up: BTreeSet<Locator> = forgeries.iter().flat_map(|forged| forged.locators()[2..].to_vec()).collect();
    assert!(held(&network).is_disjoint(&made_up));
    let reader = network.client("reader").await.unwrap();
    // Its guard is not asked; wardens take turns.
    let link = published.link.parse().unwrap();
    let end = Instant::now() + DEADLINE;
    loop {
        let status = tokio::time::timeout(DEADLINE, reader.status(&link, &Progress::new())).await.unwrap().unwrap();
        let audits: Vec<LastAudit> = status.stripes.iter().map(|stripe| stripe.last_audit).collect();
        if audits.iter().all(|audit| audit.hours == Some(0) && audit.wardens > 0) {
            break;
        }
        assert!(Instant::now() < end, "{audits:?}");
        tokio::time::sleep(LOOK).await;
    }
    assert!(fetch(&reader, &published.link).await.unwrap().0 == file);
    network.shutdown().await;
}
