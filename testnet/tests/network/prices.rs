//! Holders that ask for stamps: who pays gets its room, and nobody pays what no honest node asks for.

use super::common::{content, fetch, publish, stand};
use palimpsest_proto::fair::{FREE_FILL, PRICE_BITS_MAX};
use palimpsest_proto::message::{Answer, Refusal};
use palimpsest_testnet::memory::{Network, NetworkOptions};

/// The descriptors still say that the nodes are empty when they ask for the first stamps.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publish_pays_nodes_that_fill_on_its_way() {
    let options = NetworkOptions { quota_bytes: 16 << 20, ..NetworkOptions::honest(12) };
    let network = Network::start(options).await.unwrap();
    let client = network.client("user").await.unwrap();
    let file = content(40, 24 << 20);
    let link = publish(&client, &file).await.unwrap().link;
    let fills: Vec<u8> = (0..12).map(|index| network.node(index).unwrap().store().usage().fill()).collect();
    // How evenly they fill is chance; that some are more than half full is not, by the file's length.
    assert!(fills.iter().any(|fill| *fill > FREE_FILL + 5), "{fills:?}");
    assert!(fetch(&client, &link).await.unwrap().0 == file);
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prices_that_no_fill_explains_are_not_paid() {
    let greedy = |index: usize| {
        if index % 6 != 1 {
            return None;
        }
        stand(|_| Some(Answer::Refused(Refusal::Price { bits: PRICE_BITS_MAX })))
    };
    let options = NetworkOptions { service: Box::new(greedy), ..NetworkOptions::honest(12) };
    let network = Network::start(options).await.unwrap();
    let client = network.client("user").await.unwrap();
    let file = content(41, 1 << 20);
    let link = publish(&client, &file).await.unwrap().link;
    assert!(fetch(&client, &link).await.unwrap().0 == file);
    network.shutdown().await;
}
