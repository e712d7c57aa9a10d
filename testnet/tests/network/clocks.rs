//! Nodes whose clocks differ.

use super::common::{content, fetch, publish};
use super::forgeries::{hasty, until, whole};
use palimpsest_client::clock::Wall;
use palimpsest_node::Node;
use palimpsest_proto::params::{CLOCK_SKEW_SECONDS, RECORD_ADDRESSES};
use palimpsest_testnet::healing::{leased, stripes};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeSet;

const NODES: usize = 12;
/// Clocks are behind, right, or ahead by this: two of them differ by twice as much, which is less than may be.
const OFF_SECONDS: i64 = 25 * 60;
const _: () = assert!((2 * OFF_SECONDS as u64) < CLOCK_SKEW_SECONDS);
const DAY: i64 = 86_400;

fn refused(node: &Node) -> u64 {
    node.net().counters().descriptors_refused.get()
}

/// Whose turn it is they see differently, and when a descriptor was signed; what was published is repaired all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_clocks_differ_by_most_of_an_hour_keep_what_is_published() {
    let wall = |index| Wall::ahead_by([-OFF_SECONDS, 0, OFF_SECONDS][index % 3]);
    let options = NetworkOptions { upkeep: Some(hasty()), wall: Box::new(wall), ..NetworkOptions::honest(NODES) };
    let mut network = Network::start(options).await.unwrap();
    assert_eq!(network.running().map(refused).sum::<u64>(), 0);
    let publisher = network.client("publisher").await.unwrap();
    let file = content(90, 300 << 10);
    let published = publish(&publisher, &file).await.unwrap();
    publisher.close().await.unwrap();
    let records = published.stripes * RECORD_ADDRESSES as u64 * NODES as u64;
    let kept = |network: &Network| network.running().map(|node| node.store().usage().records).sum::<u64>();
    until("all wardens have their records", &network, |network| kept(network) >= records).await;
    let all: Vec<_> = stripes(&network).await.unwrap().into_iter().map(|(descriptor, _)| descriptor).collect();
    for index in (0..NODES).step_by(2) {
        network.kill(index).await;
    }
    until("repaired", &network, |network| whole(network, &all)).await;
    let reader = network.client("reader").await.unwrap();
    assert!(fetch(&reader, &published.link).await.unwrap().0 == file);
    network.shutdown().await;
}

/// A clock that is days ahead makes a node that nobody takes in, and one that is days behind a node that knows nobody: the
/// others lose nothing by either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_clock_is_off_by_days_does_no_harm() {
    let wall = |index| match index {
        0..NODES => Wall::default(),
        NODES => Wall::ahead_by(3 * DAY),
        _ => Wall::ahead_by(-3 * DAY),
    };
    let options = NetworkOptions { upkeep: Some(hasty()), wall: Box::new(wall), ..NetworkOptions::honest(NODES) };
    let mut network = Network::start(options).await.unwrap();
    let client = network.client("user").await.unwrap();
    let early = content(91, 300 << 10);
    let early_link = publish(&client, &early).await.unwrap().link;
    let held =
        |network: &Network| -> BTreeSet<_> { network.running().flat_map(|node| leased(node).unwrap()).collect() };
    let before = held(&network);
    network.add().await.unwrap();
    let behind = network.add().await.unwrap();
    // Both have met others: these refuse the one's descriptor, and the other refuses theirs.
    let strange = |network: &Network| {
        (0..NODES).any(|index| refused(network.node(index).unwrap()) > 0) && refused(network.node(behind).unwrap()) > 0
    };
    until("descriptors are refused", &network, strange).await;
    let late = content(92, 300 << 10);
    let late_link = publish(&client, &late).await.unwrap().link;
    assert!(fetch(&client, &early_link).await.unwrap().0 == early);
    assert!(fetch(&client, &late_link).await.unwrap().0 == late);
    // Those of the right time know each other, and perhaps the one that is behind.
    let known = |network: &Network| {
        (0..NODES).all(|index| (NODES..=NODES + 1).contains(&network.node(index).unwrap().known_nodes()))
    };
    until("all of the right time know each other", &network, known).await;
    assert!(before.is_subset(&held(&network)), "something that is leased has gone");
    network.shutdown().await;
}
