//! The guard: the only node that a client talks to, and replaced when it is gone.

use super::common::{content, fetch, publish};
use palimpsest_client::{Client, FetchOptions, Progress};
use palimpsest_proto::ids::NodeId;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_cached_table_a_client_talks_to_its_guard_alone() {
    let network = Network::start(NetworkOptions::honest(12)).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let file = content(40, 5 << 20);
    let link = publish(&publisher, &file).await.unwrap().link.parse().unwrap();
    network.client("reader").await.unwrap().close().await.unwrap();

    let reader = network.client("reader").await.unwrap();
    let mut talked_to: BTreeSet<NodeId> = reader.connected_nodes().into_iter().collect();
    let (progress, mut got) = (Progress::new(), Vec::new());
    let mut fetching = Box::pin(reader.fetch(&link, FetchOptions::default(), &mut got, &progress));
    let fetched = loop {
        talked_to.extend(reader.connected_nodes());
        if let Ok(fetched) = tokio::time::timeout(Duration::from_millis(1), &mut fetching).await {
            break fetched.unwrap();
        }
    };
    drop(fetching);
    talked_to.extend(reader.connected_nodes());
    assert!(got == file && fetched.bad_answers == 0);
    assert_eq!(talked_to.len(), 1, "{talked_to:?}");
    // Nor is any other node connected to a stranger, once those have noticed who have left.
    let members: BTreeSet<NodeId> = (0..12).map(|index| network.node(index).unwrap().id()).collect();
    publisher.close().await.unwrap();
    let knows_a_stranger = |id: &NodeId| {
        let node = (0..12).filter_map(|index| network.node(index)).find(|node| node.id() == *id);
        node.unwrap().net().connected_peers().iter().any(|peer| !members.contains(peer))
    };
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let connected: BTreeSet<NodeId> = members.iter().filter(|id| knows_a_stranger(id)).copied().collect();
        if connected == talked_to {
            break;
        }
        assert!(Instant::now() < until, "{connected:?}, and not {talked_to:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    network.shutdown().await;
}

/// The nodes that a client is connected to: its guard, and any that was tried beside it when it was slow.
fn guards_of(network: &Network, client: &Client, nodes: usize) -> Vec<usize> {
    let connected = client.connected_nodes();
    (0..nodes).filter(|&index| network.node(index).is_some_and(|node| connected.contains(&node.id()))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_dies_is_replaced() {
    let mut network = Network::start(NetworkOptions::honest(16)).await.unwrap();
    let file = content(41, 3 << 20);
    network.client("user").await.unwrap().close().await.unwrap();
    let client = network.client("user").await.unwrap();
    let link = publish(&client, &file).await.unwrap().link;
    for _ in 0..2 {
        let guards = guards_of(&network, &client, 16);
        assert!((1..4).contains(&guards.len()), "{guards:?}");
        for guard in guards {
            network.kill(guard).await;
        }
        let (got, _) = fetch(&client, &link).await.unwrap();
        assert!(got == file);
    }
    network.shutdown().await;
}
