//! Strangers that mean no good: bootstrap nodes that know only their friends, and peers that let bytes trickle.

use super::common::{DEADLINE, content, fetch, publish};
use super::start::node_config;
use palimpsest_client::net::Transport;
use palimpsest_client::{Client, ClientOptions};
use palimpsest_node::{Node, NodeConfig};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A newcomer who is told of an honest node, too, finds what the honest have, though half of those it is told of send it into a
/// circle of three that knows nobody else and has nothing. (Its guard may be one of them: then it compares it with three others.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bootstrap_node_that_knows_only_its_friends_hides_nobody() {
    let circle = Network::start(NetworkOptions::honest(3)).await.unwrap();
    let network = Network::start(NetworkOptions::honest(10)).await.unwrap();
    let file = content(90, 300 << 10);
    let publisher = network.client("publisher").await.unwrap();
    let link = publish(&publisher, &file).await.unwrap().link;

    let folder = tempfile::tempdir().unwrap();
    let address = |network: &Network| network.node(0).unwrap().addresses()[0].to_string();
    let newcomer = Client::start(ClientOptions {
        data_dir: folder.path().to_owned(),
        bootstrap: vec![address(&circle), address(&network)],
        transport: Transport::Memory,
        connect_deadline: DEADLINE,
    });
    let newcomer = newcomer.await.unwrap();
    assert!(fetch(&newcomer, &link).await.unwrap().0 == file);
    network.shutdown().await;
    circle.shutdown().await;
}

/// Fewer than the handshakes that a node has under way at once.
const SLOW: usize = 200;
/// Loopback, a port that is free.
const ANYWHERE: &str = "/ip4/127.0.0.1/tcp/0";
/// What a connection begins with; nobody gets to its end in time at a byte a second.
const GREETING: &[u8] = b"\x13/multistream/1.0.0\n\x07/noise\n";

/// Greets a byte a second, and returns when the node has hung up.
async fn trickle(address: String) {
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let writes = async {
        for byte in GREETING {
            if writing.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        std::future::pending::<()>().await;
    };
    let hung_up = async {
        let mut answer = [0; 256];
        while reading.read(&mut answer).await.is_ok_and(|read| read > 0) {}
    };
    tokio::select! {
        () = hung_up => {}
        () = writes => {}
    }
}

/// A node hangs up on who greets too slowly, however often a byte comes, and meanwhile knows others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_let_bytes_trickle_are_hung_up_on_and_keep_nobody_out() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = Node::start(node_config(one.path(), Transport::Tcp, ANYWHERE)).await.unwrap();
    let place = node.addresses()[0].to_string();
    let port = place.split('/').nth(4).unwrap();
    let mut slow = JoinSet::new();
    for _ in 0..SLOW {
        slow.spawn(trickle(format!("127.0.0.1:{port}")));
    }
    let other =
        Node::start(NodeConfig { bootstrap: vec![place.clone()], ..node_config(two.path(), Transport::Tcp, ANYWHERE) })
            .await
            .unwrap();
    let meeting = async {
        while node.known_nodes() < 2 || other.known_nodes() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while let Some(ended) = slow.join_next().await {
            ended.unwrap();
        }
    };
    tokio::time::timeout(DEADLINE, meeting).await.expect("they meet, and the slow ones are hung up on");
    other.shutdown().await;
    node.shutdown().await;
}
