//! What does not start, and what it says.

use super::common::DEADLINE;
use palimpsest_client::clock::Wall;
use palimpsest_client::net::{Transport, Versions};
use palimpsest_client::{Client, ClientOptions, Error, Kind};
use palimpsest_node::{Node, NodeConfig};
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::secret::Secret;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

pub(crate) fn node_config(data_dir: &Path, transport: Transport, listen: &str) -> NodeConfig {
    NodeConfig {
        data_dir: data_dir.to_owned(),
        listen: vec![listen.parse().unwrap()],
        transport,
        bootstrap: Vec::new(),
        quota_bytes: 1 << 30,
        scrub_period: None,
        metrics_listen: None,
        upkeep: None,
        wall: Wall::default(),
        embedded: true,
        service: None,
        meddler: None,
        table_liar: None,
        versions: Versions::Today,
        onlooker: None,
    }
}

#[tokio::test]
async fn two_nodes_on_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let config = || node_config(dir.path(), Transport::Memory, "/memory/0");
    let first = Node::start(config()).await.unwrap();
    let Err(refused) = Node::start(config()).await else { panic!("two nodes on one folder") };
    let refused = refused.to_string();
    assert!(refused.contains(&*dir.path().to_string_lossy()) && refused.contains("in use"), "{refused}");
    // The first one is none the worse, and the folder is free after it.
    let id = first.id();
    assert_eq!(first.store().usage().shards, 0);
    first.shutdown().await;
    let again = Node::start(config()).await.unwrap();
    assert_eq!(again.id(), id);
    again.shutdown().await;
}

#[tokio::test]
async fn an_identity_that_cost_no_work() {
    let dir = tempfile::tempdir().unwrap();
    let cheap = (0..=u8::MAX).map(|byte| [byte; 32]);
    let cheap = cheap.into_iter().find(|seed| !NodeKey::from_seed(&Secret::new(*seed)).id().is_worked()).unwrap();
    let identity = dir.path().join("identity");
    std::fs::write(&identity, cheap).unwrap();
    let config = || node_config(dir.path(), Transport::Memory, "/memory/0");
    let Err(refused) = Node::start(config()).await else { panic!("a node that nobody takes in") };
    let refused = refused.to_string();
    assert!(refused.contains(&*identity.to_string_lossy()) && refused.contains("move the file away"), "{refused}");
    // What the message says helps.
    assert_eq!(std::fs::read(&identity).unwrap(), cheap);
    std::fs::rename(&identity, dir.path().join("identity.old")).unwrap();
    let node = Node::start(config()).await.unwrap();
    assert!(node.id().is_worked());
    node.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
    let Err(refused) = Node::start(node_config(dir.path(), Transport::Tcp, &address)).await else {
        panic!("a port for two")
    };
    assert!(refused.to_string().contains(&address), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bootstrap_answers() {
    let dir = tempfile::tempdir().unwrap();
    // One where nobody listens, and one that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let bootstrap: Vec<String> =
        [silent.local_addr().unwrap().port(), closed].map(|port| format!("/ip4/127.0.0.1/tcp/{port}")).into();
    let started = Client::start(ClientOptions {
        data_dir: dir.path().join("user"),
        bootstrap: bootstrap.clone(),
        transport: Transport::Tcp,
        connect_deadline: Duration::from_secs(2),
    });
    // It ends by its own deadline, be it a little late; without one it would go on trying.
    let started = tokio::time::timeout(DEADLINE, started).await.expect("it gives up");
    let Err(error) = started else { panic!("a network of nobody") };
    assert_eq!(error.kind(), Kind::NoNetwork);
    let Error::NoNetwork { tried } = &error else { panic!("{error}") };
    assert_eq!(*tried, bootstrap);
    assert!(bootstrap.iter().all(|address| error.to_string().contains(address)), "{error}");
}

#[tokio::test]
async fn no_bootstrap_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let started = Client::start(ClientOptions {
        data_dir: dir.path().join("user"),
        bootstrap: Vec::new(),
        transport: Transport::Memory,
        connect_deadline: Duration::from_secs(20),
    })
    .await;
    let Err(error) = started else { panic!("a network of nobody") };
    assert_eq!(error.to_string(), "no node could be reached (no address is known)");
}
