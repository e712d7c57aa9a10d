//! Packets from here to there, or not.

use super::*;
use crate::net::links::BACK_OFF_MIN;

/// The shortest of the deadlines at the end of a network (that of its goodbyes): who ends sooner has met all of them.
const END_DEADLINE_MIN: Duration = Duration::from_millis(500);

/// Both ways between a client and a server that has never heard of it, in both sizes, in order.
async fn there_and_back(transport: Transport) {
    let mut server = Node::server(1, transport, Vec::new()).await;
    let mut client = Node::client(2, transport).await;
    assert_eq!(client.connect(&server).await, Ok(server.id()));
    let sent: Vec<Packet> = (0..40).map(|i| packet(if i % 3 == 0 { Size::Large } else { Size::Small }, i)).collect();
    for one in &sent {
        client.net.send(server.id(), one.clone()).unwrap();
    }
    for one in &sent {
        assert_eq!(server.next().await, (client.id(), one.clone()));
    }
    for one in &sent {
        server.net.send(client.id(), one.clone()).unwrap();
    }
    for one in &sent {
        assert_eq!(client.next().await, (server.id(), one.clone()));
    }
    eventually("counted", || client.net.counters().packets_out.get() == 40).await;
    assert_eq!(server.net.counters().packets_in.get(), 40);
    client.net.shutdown().await;
    server.net.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_pass_in_memory() {
    there_and_back(Transport::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_pass_over_tcp() {
    there_and_back(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_pass_over_quic() {
    there_and_back(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_pass_with_both_transports() {
    there_and_back(Transport::All).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_the_table_is_dialled() {
    let mut server = Node::server(1, Transport::Memory, Vec::new()).await;
    let client = Node::client(2, Transport::Memory).await;
    assert_eq!(client.net.send(server.id(), packet(Size::Small, 1)), Err(SendError::Unknown));
    client.learn(descriptor(1, &server.addresses));
    client.net.send(server.id(), packet(Size::Small, 1)).unwrap();
    assert_eq!(server.next().await.0, client.id());
    assert_eq!(client.net.send(client.id(), packet(Size::Small, 1)), Err(SendError::Unknown));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_marked_lost_and_not_dialled_for_a_while() {
    // A port that was ours and is closed again.
    let closed = std::net::TcpListener::bind((own_loopback(), 0)).unwrap().local_addr().unwrap();
    let at: Multiaddr = format!("/ip4/{}/tcp/{}", closed.ip(), closed.port()).parse().unwrap();
    let dead = descriptor(1, &[at]);
    let id = dead.id;
    // The pause is short: whoever stood still for as long tries again.
    let until = tokio::time::Instant::now() + SOON;
    loop {
        let client = Node::client(2, Transport::Tcp).await;
        client.learn(dead.clone());
        let begun = tokio::time::Instant::now();
        client.net.send(id, packet(Size::Large, 1)).unwrap();
        eventually("lost", || client.believes_lost(&id)).await;
        eventually("dropped", || client.net.counters().dropped_unreachable.get() == 1).await;
        let sent = client.net.send(id, packet(Size::Large, 1));
        let dials = client.net.counters().dials.get();
        let sent_late = client.net.send_wait(id, packet(Size::Large, 1), SOON).await;
        if begun.elapsed() < BACK_OFF_MIN {
            assert_eq!((sent, dials), (Err(SendError::Unreachable), 1));
            assert_eq!(sent_late, Err(SendError::Unreachable));
            return;
        }
        assert!(tokio::time::Instant::now() < until, "always too slow");
    }
}

/// A handler that takes packets one by one, when the test lets it.
struct Gate(std::sync::Mutex<std::sync::mpsc::Receiver<()>>, Sender<(NodeId, Packet)>);

impl PacketHandler for Gate {
    fn on_packet(&self, from: NodeId, packet: Packet) {
        // An error means that the gate was taken away: all may pass.
        let _ = self.0.lock().unwrap().recv();
        let _ = self.1.try_send((from, packet));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_queue_drops_or_makes_wait() {
    let (open, gate) = std::sync::mpsc::sync_channel(0);
    let (collect, arrived) = channel(ARRIVED_MAX);
    let config = NetConfig::server(Secret::new([1; 32]), Transport::Tcp, vec![listen(Transport::Tcp)], Vec::new());
    let handler = Arc::new(Gate(std::sync::Mutex::new(gate), collect));
    let mut server = Node::start_with(1, config, handler, arrived).await;
    let client = Node::client(2, Transport::Tcp).await;
    client.connect(&server).await.unwrap();
    let mut queued = 0;
    let full = loop {
        match client.net.send(server.id(), packet(Size::Large, 0)) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < ARRIVED_MAX, "never full");
    };
    assert_eq!(full, SendError::QueueFull);
    assert_eq!(client.net.counters().dropped_full.get(), 1);
    // What is under way moves on until the windows are full; then nothing has room any more.
    while client.net.send_wait(server.id(), packet(Size::Large, 0), Duration::from_millis(300)).await.is_ok() {
        queued += 1;
        assert!(queued < ARRIVED_MAX, "never full");
    }
    // The gate opens: who waits gets through, and every queued packet arrives.
    let (waiting, opened) = tokio::join!(client.net.send_wait(server.id(), packet(Size::Large, 9), SOON), async {
        drop(open);
    });
    assert_eq!((waiting, opened), (Ok(()), ()));
    for _ in 0..queued {
        assert_eq!(server.next().await.1, packet(Size::Large, 0));
    }
    assert_eq!(server.next().await.1, packet(Size::Large, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_neighbour_that_floods_a_link_leaves_room_for_others() {
    let (open, gate) = std::sync::mpsc::sync_channel(0);
    let (collect, arrived) = channel(ARRIVED_MAX);
    let config = NetConfig::server(Secret::new([1; 32]), Transport::Tcp, vec![listen(Transport::Tcp)], Vec::new());
    let handler = Arc::new(Gate(std::sync::Mutex::new(gate), collect));
    let server = Node::start_with(1, config, handler, arrived).await;
    let relay = Node::client(2, Transport::Tcp).await;
    relay.connect(&server).await.unwrap();
    let (flooder, other) = (NodeId([3; 32]), NodeId([4; 32]));
    let forward = |from| relay.net.forward(from, server.id(), packet(Size::Large, 0));
    let mut queued = 0;
    let refused = loop {
        match forward(flooder) {
            Ok(()) => queued += 1,
            Err(error) => break error,
        }
        assert!(queued < ARRIVED_MAX, "never refused");
    };
    assert_eq!(refused, SendError::OverShare);
    assert!(queued >= LINK_FORWARD_PACKETS_MAX / 2, "a lone neighbour has {queued}");
    for _ in 0..LINK_FORWARD_PACKETS_MAX / 4 {
        assert_eq!(forward(other), Ok(()));
    }
    for _ in 0..LINK_QUEUE_PACKETS_MAX {
        assert_eq!(relay.net.send(server.id(), packet(Size::Large, 0)), Ok(()));
    }
    assert_eq!(relay.net.counters().dropped_full.get(), 1);
    drop(open);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_queued_before_the_end_arrives() {
    // Within deadlines that a busy machine may miss: then it may be lost, and nothing is shown.
    let until = tokio::time::Instant::now() + SOON;
    let (mut server, client) = loop {
        let server = Node::server(1, Transport::Tcp, Vec::new()).await;
        let client = Node::client(2, Transport::Tcp).await;
        client.connect(&server).await.unwrap();
        for i in 0..30 {
            client.net.send(server.id(), packet(Size::Large, i)).unwrap();
        }
        let begun = tokio::time::Instant::now();
        client.net.shutdown().await;
        if begun.elapsed() < END_DEADLINE_MIN {
            break (server, client);
        }
        assert!(tokio::time::Instant::now() < until, "always too slow");
    };
    for i in 0..30 {
        assert_eq!(server.next().await.1, packet(Size::Large, i));
    }
    assert_eq!(client.net.send(server.id(), packet(Size::Small, 0)), Err(SendError::Closed));
    assert_eq!(client.connect(&server).await, Err(NetError::Closed));
    assert_eq!(client.net.sync(server.id(), SOON).await, Err(NetError::Closed));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_outlives_its_connection() {
    let server = Node::server_at(1, Transport::Tcp, own_port(), Vec::new()).await;
    let client = Node::client(2, Transport::Tcp).await;
    client.learn(descriptor(1, &server.addresses));
    client.net.send(server.id(), packet(Size::Small, 1)).unwrap();
    eventually("arrived", || server.net.counters().packets_in.get() == 1).await;
    let (id, address) = (server.id(), server.addresses[0].clone());
    server.net.shutdown().await;
    eventually("disconnected", || client.net.connected_peers().is_empty()).await;
    eventually("lost", || client.believes_lost(&id)).await;
    // The same node at the same place: the first packets may meet the pause after the failed dial.
    let mut server = Node::server_back_at(1, address, Vec::new()).await;
    eventually("sent again", || client.net.send(id, packet(Size::Small, 2)).is_ok()).await;
    assert_eq!(server.next().await.1, packet(Size::Small, 2));
    assert!(!client.believes_lost(&id));
}
