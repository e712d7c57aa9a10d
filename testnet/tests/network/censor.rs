//! What who has a link finds out.

use super::common::{content, publish};
use palimpsest_client::{Capability, Progress};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_testnet::censor::censor;
use palimpsest_testnet::healing::leased;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeMap;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_censor_with_the_link_finds_the_holders_and_what_hiding_would_cost() {
    let network = Network::start(NetworkOptions::honest(8)).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let link: Capability = publish(&publisher, &content(31, 300_000)).await.unwrap().link.parse().unwrap();
    publisher.close().await.unwrap();

    let client = network.client("censor").await.unwrap();
    let report = censor(&client, &link).await.unwrap();
    let held = client.holders(&link, 64, &Progress::new()).await.unwrap();
    let own_guard = client.connected_nodes();
    client.close().await.unwrap();

    let mut truth: BTreeMap<Locator, Vec<NodeId>> = BTreeMap::new();
    for node in network.running() {
        for locator in leased(node).unwrap() {
            truth.entry(locator).or_default().push(node.id());
        }
    }
    for stripe in &held {
        for (locator, found) in stripe.descriptor.locators().iter().zip(&stripe.found.holders) {
            match found {
                Some(holder) => assert!(truth[locator].contains(holder), "{locator:?}: said to be where it is not"),
                None => assert!(truth[locator].iter().all(|node| own_guard.contains(node)), "{locator:?}: not found"),
            }
        }
    }
    assert!(report.nodes == 8 && report.found + report.unasked <= report.shards, "{report:?}");
    assert!(report.found > report.shards / 2 && report.holders > 4, "two guards aside, all hold something: {report:?}");
    // Three addresses; of a stripe as many shards as leave too few. Each place takes more nodes than are ever asked there.
    assert_eq!(report.record.places, 3);
    assert!(report.stripe.places > 1 && report.record.nodes == 3 * 276 && report.record.ids > 276.0, "{report:?}");
    network.shutdown().await;
}
