//! Peers who do what no one may do, and those who are not who they should be.

use super::*;
use futures::{AsyncReadExt, AsyncWriteExt};

async fn open(node: &Node, to: NodeId, what: RawStream) -> libp2p::Stream {
    node.net.open_raw(to, what, SOON).await.unwrap()
}

async fn pair() -> (Node, Node) {
    let server = Node::server(1, Transport::Memory, Vec::new()).await;
    let client = Node::client(2, Transport::Memory).await;
    client.connect(&server).await.unwrap();
    (server, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_size_class_closes_the_stream() {
    let (server, client) = pair().await;
    let mut stream = open(&client, server.id(), RawStream::Packets).await;
    stream.write_all(&[9; 100]).await.unwrap();
    stream.flush().await.unwrap();
    eventually("closed", || server.net.counters().violations.get() == 1).await;
    assert_eq!(server.net.counters().packets_in.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_packet_is_no_packet() {
    let (server, client) = pair().await;
    let mut stream = open(&client, server.id(), RawStream::Packets).await;
    stream.write_all(&[0; 1_000]).await.unwrap();
    stream.close().await.unwrap();
    let mut nothing = [0];
    assert_eq!(timeout(SOON, stream.read(&mut nothing)).await.unwrap().unwrap_or(0), 0);
    assert_eq!(server.net.counters().packets_in.get(), 0);
    assert_eq!(server.net.counters().violations.get(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_opens_so_many_streams_and_no_more() {
    let (server, client) = pair().await;
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = open(&client, server.id(), RawStream::Packets).await;
        // A refused stream may be closed before this.
        let _ = stream.write_all(&[0]).await;
        let _ = stream.flush().await;
        streams.push(stream);
    }
    eventually("refused", || server.net.counters().streams_refused.get() == 5).await;
    drop(streams);
    // Places come back.
    eventually("accepted", || server.net.0.shared.tasks.len() < 3).await;
    client.net.send(server.id(), packet(Size::Small, 3)).unwrap();
    eventually("arrived", || server.net.counters().packets_in.get() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_table_all_the_time_is_refused_and_nobody_else() {
    let (server, greedy) = pair().await;
    let tasks = || server.net.0.shared.tasks.len();
    let (mut answered, idle) = (0, tasks());
    while greedy.net.sync(server.id(), SOON).await.is_ok() {
        answered += 1;
        assert!(answered < 10_000, "never refused");
        // One after the other: those that the server has not put away yet are bounded too, and sooner.
        eventually("put away", || tasks() <= idle).await;
    }
    assert!(answered >= 64, "a client that takes a large table is refused after {answered}");
    assert_eq!(server.net.counters().streams_refused.get(), 1);
    let other = Node::client(3, Transport::Memory).await;
    other.connect(&server).await.unwrap();
    assert!(other.net.sync(server.id(), SOON).await.is_ok());
}

/// Walks of a network of two: each is a question to the other at least.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_kademlia_all_the_time_is_hung_up_on() {
    let (server, greedy) = pair().await;
    greedy.learn(descriptor(1, &server.addresses));
    let mut walks = 0;
    while server.net.counters().violations.get() == 0 {
        // What becomes of a walk is all the same; one that is hung up on fails. Several at once outrun the budget anywhere.
        futures::future::join_all((0..8).map(|_| greedy.net.walk(SOON))).await;
        walks += 8;
        assert!(walks < 10_000, "never hung up on");
    }
    assert!(walks >= 64, "hung up on after {walks}");
    // It may come back, and others were served all along.
    let other = Node::client(3, Transport::Memory).await;
    other.connect(&server).await.unwrap();
    assert!(other.net.sync(server.id(), SOON).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_with_an_enormous_length_fails() {
    let (server, client) = pair().await;
    let mut stream = open(&client, server.id(), RawStream::Tables).await;
    stream.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    eventually("failed", || server.net.counters().sync_failures.get() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_answers_no_exchange() {
    let (server, client) = pair().await;
    assert_eq!(server.net.sync(client.id(), SOON).await, Err(NetError::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_expected_node_must_answer() {
    let server = Node::server(1, Transport::Tcp, Vec::new()).await;
    let client = Node::client(2, Transport::Tcp).await;
    let other = NodeKey::from_seed(&Secret::new([3; 32])).id();
    let at = || server.addresses.clone();
    assert_eq!(client.net.connect(Some(other), at(), SOON).await, Err(NetError::SomeoneElse));
    assert_eq!(client.net.connect(Some(server.id()), at(), SOON).await, Ok(server.id()));
    assert_eq!(server.net.connect(None, at(), SOON).await, Err(NetError::Itself));
    assert_eq!(client.net.connect(None, Vec::new(), SOON).await, Err(NetError::NoAddress));
    let quic = "/ip4/127.0.0.1/udp/9/quic-v1".parse().unwrap();
    assert_eq!(client.net.connect(None, vec![quic], SOON).await, Err(NetError::NoAddress));
    let named = "/dns4/localhost/tcp/1".parse().unwrap();
    assert_eq!(client.net.connect(None, vec![named], SOON).await, Err(NetError::Unreachable));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_does_not_hold_a_connect_beyond_its_deadline() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("/ip4/127.0.0.1/tcp/{}", silent.local_addr().unwrap().port()).parse().unwrap();
    let client = Node::client(2, Transport::Tcp).await;
    assert_eq!(client.net.connect(None, vec![at], Duration::from_millis(200)).await, Err(NetError::TimedOut));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_taken_is_named() {
    let server = Node::server(1, Transport::Tcp, Vec::new()).await;
    let config = NetConfig::server(Secret::new([2; 32]), Transport::Tcp, server.addresses.clone(), Vec::new());
    let (collect, _arrived) = channel(1);
    let refused = Net::start(config, SharedTable::default(), Arc::new(Collect(collect)));
    assert!(matches!(refused, Err(NetError::Listen { address, .. }) if address == server.addresses[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn descriptors_of_others_making_are_refused() {
    let (server, _client) = pair().await;
    let good = descriptor(5, &[elsewhere()]);
    let mut forged = descriptor(6, &[elsewhere()]).encoded().to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    let merged =
        server.net.0.shared.directory.merge(vec![forged.into(), good.encoded().clone(), Bytes::from_static(b"x")]);
    assert_eq!(merged.await, super::super::directory::Merged { learnt: 1, refused: 2, returned: Vec::new() });
    assert_eq!(server.known(), 2);
}

/// Takes the first packet, and lets its link wait until the test is over.
struct Unread(std::sync::Mutex<std::sync::mpsc::Receiver<()>>);

impl PacketHandler for Unread {
    fn on_packet(&self, _from: NodeId, _packet: Packet) {
        // An error means that the test is over.
        let _ = self.0.lock().unwrap().recv();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_does_not_read_loses_its_link_and_nobody_elses_waits() {
    let (over, waits) = std::sync::mpsc::sync_channel(0);
    let (_collect, arrived) = channel(1);
    let config = NetConfig::server(secret(1), Transport::Memory, vec![listen(Transport::Memory)], Vec::new());
    let deaf = Node::start_with(1, config, Arc::new(Unread(std::sync::Mutex::new(waits))), arrived).await;
    let mut other = Node::server(2, Transport::Memory, Vec::new()).await;
    let relay = Node::server(3, Transport::Memory, Vec::new()).await;
    relay.connect(&deaf).await.unwrap();
    relay.connect(&other).await.unwrap();
    while relay.net.send(deaf.id(), packet(Size::Large, 0)).is_ok() {}
    relay.net.send(other.id(), packet(Size::Large, 1)).unwrap();
    assert_eq!(other.next().await.1, packet(Size::Large, 1));
    // The writer gives up, and what waited is dropped: its room is free again.
    while relay.net.send_wait(deaf.id(), packet(Size::Large, 0), SOON).await.is_ok() {}
    eventually("given up", || relay.net.counters().dropped_unreachable.get() > 0).await;
    drop(over);
}

#[tokio::test(flavor = "multi_thread")]
async fn exchanges_that_are_never_ended_keep_no_newcomer_out() {
    let server = Node::server(1, Transport::Memory, Vec::new()).await;
    let (mut slow, mut begun) = (Vec::new(), Vec::new());
    // Two exchanges of each stranger: more than all of them may have.
    for seed in 2..34 {
        let stranger = Node::client(seed, Transport::Memory).await;
        stranger.connect(&server).await.unwrap();
        for _ in 0..2 {
            let mut stream = open(&stranger, server.id(), RawStream::Tables).await;
            // One that is refused may be closed already.
            let _ = stream.write_all(&[0]).await;
            let _ = stream.flush().await;
            begun.push(stream);
        }
        slow.push(stranger);
    }
    let counters = server.net.counters();
    eventually("no place left", || counters.streams_refused.get() + counters.sync_failures.get() >= 16).await;
    let newcomer = Node::client(99, Transport::Memory).await;
    newcomer.connect(&server).await.unwrap();
    // The first try may come while all of them have only begun.
    newcomer.meet(server.id()).await;
    assert!(counters.sync_failures.get() > 0, "somebody gave way");
    drop((slow, begun));
}
