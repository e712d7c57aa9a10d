//! Strangers that mean no good: bootstrap nodes that know only their friends, and peers that let bytes trickle.

use super::common::{DEADLINE, content, fetch, publish};
use super::start::node_config;
use palimpsest_client::clock::{moment, timestamp};
use palimpsest_client::net::Transport;
use palimpsest_client::policy::CROSS_CHECK;
use palimpsest_client::{Capability, Client, ClientOptions, Error, FetchOptions, Kind, Progress};
use palimpsest_node::{Node, NodeConfig};
use palimpsest_proto::select::NodeTable;
use palimpsest_testnet::hostile::Lie;
use palimpsest_testnet::liars::Plot;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

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

/// All whom a newcomer is told of lie: they name each other and nodes that nobody is. It lives among them, and others are nowhere: what it
/// asks for ends with a reason and no wrong byte, whether they keep what they are given or hand out garbage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_told_of_liars_only_gets_an_end_and_no_wrong_byte() {
    let network = Network::start(NetworkOptions::honest(10)).await.unwrap();
    let file = content(91, 300 << 10);
    let publisher = network.client("publisher").await.unwrap();
    let link: Capability = publish(&publisher, &file).await.unwrap().link.parse().unwrap();
    for (seed, (made_up, lie)) in (1..).zip([(0, None), (6, Some(Lie::Garbage))]) {
        let plot = Plot::new(made_up, 0, seed).unwrap();
        let circle = Network::start(NetworkOptions {
            service: Box::new(move |_| lie.map(Lie::stand)),
            table_liar: Box::new(move |_| Some(plot.liar())),
            ..NetworkOptions::honest(6)
        });
        let circle = circle.await.unwrap();
        let newcomer = circle.client("newcomer").await.unwrap();
        let (mut sink, progress) = (Vec::new(), Progress::new());
        let fetching = newcomer.fetch(&link, FetchOptions::default(), &mut sink, &progress);
        let fetched = tokio::time::timeout(DEADLINE, fetching).await.expect("a fetch ends");
        let why = fetched.unwrap_err();
        println!("{made_up} made up, {lie:?}: fetch: {why}");
        assert!(matches!(why.kind(), Kind::Absent | Kind::NotRetrievable) && sink.is_empty(), "{why}");

        let own = content(92, 100 << 10);
        let published = publish(&newcomer, &own).await;
        println!("{made_up} made up, {lie:?}: publish: {:?}", published.as_ref().map_err(ToString::to_string));
        match (lie, published) {
            // Those who keep what they are given are all that there is.
            (None, published) => assert!(fetch(&newcomer, &published.unwrap().link).await.unwrap().0 == own),
            (Some(_), Ok(_)) => panic!("nobody has it"),
            (Some(_), Err(why)) => assert!(matches!(why.kind(), Kind::Placement | Kind::NotRetrievable), "{why}"),
        }
        circle.shutdown().await;
    }
    network.shutdown().await;
}

/// Of fewer nodes than a path takes no network can be made, and the newcomer is told so: not that none could be reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_few_nodes_are_no_network_and_are_counted() {
    let few = Network::start(NetworkOptions::honest(3)).await.unwrap();
    // A machine that stands still does not get to know three nodes within five seconds.
    let mut seconds = 5;
    let why = loop {
        let folder = tempfile::tempdir().unwrap();
        let newcomer = Client::start(ClientOptions {
            data_dir: folder.path().to_owned(),
            bootstrap: vec![few.node(0).unwrap().addresses()[0].to_string()],
            transport: Transport::Memory,
            connect_deadline: Duration::from_secs(seconds),
        });
        let Err(why) = newcomer.await else { panic!("no path leads over three nodes") };
        if matches!(why, Error::TooFewNodes { known: 3, .. }) || seconds > 60 {
            break why;
        }
        seconds *= 4;
    };
    assert!(matches!(why, Error::TooFewNodes { known: 3, needed: 5, .. }), "{why}");
    assert_eq!(why.kind(), Kind::NoNetwork);
    few.shutdown().await;
}

/// A port that leads to the node at the address of this TCP port, after a while.
async fn slow_way(port: u16, pause: Duration) -> (String, AbortOnDropHandle<()>) {
    let door = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = format!("/ip4/127.0.0.1/tcp/{}", door.local_addr().unwrap().port());
    let passing = tokio::spawn(async move {
        let mut guests = JoinSet::new();
        while let Ok((mut guest, _)) = door.accept().await {
            guests.spawn(async move {
                tokio::time::sleep(pause).await;
                let mut node = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = copy_bidirectional(&mut guest, &mut node).await;
            });
        }
    });
    (address, AbortOnDropHandle::new(passing))
}

/// Whoever lies is quick, and names enough friends to go on with. The honest one is slower than tables are compared with those that are
/// named, and heard nevertheless: by one of a few newcomers, should the machine stand still for a second. Were it not waited for, by none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_bootstrap_node_is_heard_beside_a_quick_one() {
    let folders: Vec<_> = (0..6).map(|_| tempfile::tempdir().unwrap()).collect();
    let start = async |number: usize, bootstrap: &[String]| {
        let config = node_config(folders[number].path(), Transport::Tcp, ANYWHERE);
        Node::start(NodeConfig { bootstrap: bootstrap.to_vec(), ..config }).await.unwrap()
    };
    let honest = start(0, &[]).await;
    let first = start(1, &[]).await;
    let quick = first.addresses()[0].to_string();
    let mut circle = vec![first];
    for number in 2..6 {
        circle.push(start(number, std::slice::from_ref(&quick)).await);
    }
    let meeting = async {
        while circle[0].known_nodes() < circle.len() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, meeting).await.expect("they meet");

    let (slow, _passing) = slow_way(port_of(&honest), CROSS_CHECK * 2).await;
    let mut is_heard = false;
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let newcomer = Client::start(ClientOptions {
            data_dir: folder.path().to_owned(),
            bootstrap: vec![quick.clone(), slow.clone()],
            transport: Transport::Tcp,
            connect_deadline: DEADLINE,
        });
        newcomer.await.unwrap().close().await.unwrap();
        let table = std::fs::read(folder.path().join("table")).unwrap();
        let table = NodeTable::decode(table.into(), timestamp(), moment()).unwrap();
        is_heard = table.get(&honest.id()).is_some();
        if is_heard {
            break;
        }
    }
    assert!(is_heard);
    for node in circle {
        node.shutdown().await;
    }
    honest.shutdown().await;
}

/// The TCP port at which a node listens.
fn port_of(node: &Node) -> u16 {
    node.addresses()[0].to_string().split('/').nth(4).unwrap().parse().unwrap()
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
    let port = port_of(&node);
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
