//! What who has a link finds out.

use super::common::{content, publish};
use palimpsest_client::Capability;
use palimpsest_testnet::censor::censor;
use palimpsest_testnet::memory::{Network, NetworkOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_censor_with_the_link_finds_the_holders_and_what_hiding_would_cost() {
    let network = Network::start(NetworkOptions::honest(8)).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let link: Capability = publish(&publisher, &content(31, 300_000)).await.unwrap().link.parse().unwrap();
    publisher.close().await.unwrap();

    let client = network.client("censor").await.unwrap();
    let report = censor(&client, &link).await.unwrap();
    client.close().await.unwrap();
    // Who does not answer in time is not found: so not all need be.
    assert!(report.nodes == 8 && report.found + report.unasked <= report.shards, "{report:?}");
    assert!(report.found > report.shards / 2 && report.holders > 4, "two guards aside, all hold something: {report:?}");
    // Three addresses; of a stripe as many shards as leave too few. Each place takes more nodes than are ever asked there.
    assert_eq!(report.record.places, 3);
    assert!(report.stripe.places > 1 && report.record.nodes == 3 * 276 && report.record.ids > 276.0, "{report:?}");
    network.shutdown().await;
}
