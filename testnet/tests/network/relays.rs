//! Relays that do not pass on what they should: files are published and fetched all the same, and no holder is blamed.

use super::common::{content, fetch, publish};
use palimpsest_node::config::Meddler;
use palimpsest_proto::onion::Packet;
use palimpsest_proto::params::HEADER_BYTES;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::sync::Arc;

/// Every third node meddles with all that it passes on.
async fn survives(meddle: fn(Packet) -> Vec<Packet>) {
    let meddler = move |index| (index % 3 == 1).then(|| Meddler(Arc::new(meddle)));
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

/// The packet with its bytes changed.
fn changed(packet: Packet, change: impl FnOnce(&mut [u8])) -> Vec<Packet> {
    let mut bytes = packet.into_bytes();
    change(&mut bytes);
    vec![Packet::parse(bytes).unwrap()]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped() {
    survives(|_| Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_garbled() {
    survives(|packet| changed(packet, |bytes| bytes[HEADER_BYTES + 700] ^= 0x10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn header_garbled() {
    survives(|packet| changed(packet, |bytes| bytes[100] ^= 1)).await;
}

/// A packet of another length never reaches a relay (the link's frame is as long as its class says): its end is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_short() {
    survives(|packet| {
        changed(packet, |bytes| {
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sent_three_times() {
    survives(|packet| vec![packet.clone(), packet.clone(), packet]).await;
}
