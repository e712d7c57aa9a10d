//! A flood: clients that store rubbish as fast as they can, and one who has something to keep.

use super::common::{DEADLINE, content, fetch, publish};
use palimpsest_client::Client;
use palimpsest_node::Node;
use palimpsest_proto::fair::FREE_FILL;
use palimpsest_proto::ids::Locator;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;

const NODES: usize = 10;
/// Half of this is for free; the flood pays for the rest, or waits.
const QUOTA: u64 = 12 << 20;
const FLOODERS: u64 = 5;
/// What each of them publishes at once: as shards, all together are some three fifths of the network's room. A network
/// that is full of leased rubbish takes nothing more from anybody, and no promise says otherwise.
const PIECES: u64 = 2;
const PIECE_BYTES: usize = 256 << 10;
/// How often it is looked how full the nodes are: that is no event to await.
const LOOK: Duration = Duration::from_millis(20);

/// What a store lists at once; these stores have room for less.
const SHARDS_LISTED: usize = 1_024;

/// What a node holds.
fn held(node: &Node) -> BTreeSet<Locator> {
    let shards = node.store().shards_after(None, SHARDS_LISTED).unwrap();
    assert!(shards.len() < SHARDS_LISTED, "more than is listed at once");
    shards.into_iter().map(|(locator, _)| locator).collect()
}

fn fills(network: &Network) -> Vec<u8> {
    network.running().map(|node| node.store().usage().fill()).collect()
}

async fn flood(client: Client, flooder: u64) {
    let pieces = (0..PIECES).map(|piece| content(1_000 + PIECES * flooder + piece, PIECE_BYTES));
    let pieces: Vec<_> = pieces.collect();
    // Whether the rubbish is kept is all the same.
    futures::future::join_all(pieces.iter().map(|piece| publish(&client, piece))).await;
}

/// Nothing that is leased gives way, and who comes late still finds room and is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_displaces_nothing_and_an_honest_publish_gets_through() {
    let options = NetworkOptions { quota_bytes: QUOTA, ..NetworkOptions::honest(NODES) };
    let network = Network::start(options).await.unwrap();
    let honest = network.client("honest").await.unwrap();
    let early = content(50, 256 << 10);
    let early_link = publish(&honest, &early).await.unwrap().link;
    let before: Vec<_> = network.running().map(held).collect();
    println!("fills before the flood: {:?}", fills(&network));
    assert!(before.iter().map(BTreeSet::len).sum::<usize>() >= 32, "the early file is there");

    let mut flooders = JoinSet::new();
    for flooder in 0..FLOODERS {
        let client = network.client(&format!("flooder-{flooder}")).await.unwrap();
        flooders.spawn(flood(client, flooder));
    }
    // In the middle of it: the first nodes ask for stamps.
    let priced = async {
        while fills(&network).iter().all(|fill| *fill <= FREE_FILL + 5) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(DEADLINE, priced).await.expect("a flood fills some node to more than half");
    println!("fills in the middle: {:?}", fills(&network));
    let late = content(51, 256 << 10);
    let late_link = publish(&honest, &late).await.unwrap().link;
    assert!(fetch(&honest, &late_link).await.unwrap().0 == late);
    assert!(fetch(&honest, &early_link).await.unwrap().0 == early);
    while let Some(ended) = flooders.join_next().await {
        ended.unwrap();
    }

    println!("fills after the flood: {:?}", fills(&network));
    for (node, before) in network.running().zip(&before) {
        assert!(before.is_subset(&held(node)), "displaced");
    }
    assert!(fetch(&honest, &late_link).await.unwrap().0 == late);
    network.shutdown().await;
}
