//! Relays that do not pass on what they should: files are published and fetched all the same, and no holder is blamed.

use super::common::{content, fetch, publish};
use palimpsest_testnet::hostile::Meddle;
use palimpsest_testnet::memory::{Network, NetworkOptions};

/// Every third node meddles with all that it passes on.
async fn survives(meddle: Meddle) {
    let meddler = move |index| (index % 3 == 1).then(|| meddle.meddler());
    let options = NetworkOptions { meddler: Box::new(meddler), ..NetworkOptions::honest(12) };
    let network = Network::start(options).await.unwrap();
    let file = content(50, 2 << 20);
    let publisher = network.client("publisher").await.unwrap();
    let link = publish(&publisher, &file).await.unwrap().link;
    let reader = network.client("reader").await.unwrap();
    let (got, fetched) = fetch(&reader, &link).await.unwrap();
    assert!(got == file);
    assert_eq!((fetched.bad_answers, fetched.culprits), (0, 0));
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped() {
    survives(Meddle::Drop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_on_the_way_to_some() {
    survives(Meddle::DropSome).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delayed() {
    survives(Meddle::Delay).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_garbled() {
    survives(Meddle::TagBody).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_garbled() {
    survives(Meddle::TagHeader).await;
}

/// A packet of another length never reaches a relay (the link's frame is as long as its class says): its end is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_short() {
    survives(Meddle::Truncate).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sent_three_times() {
    survives(Meddle::Replay).await;
}
