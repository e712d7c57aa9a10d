//! Many nodes come to know each other, and who is gone.

use super::*;

async fn network(count: u8, transport: Transport) -> Vec<Node> {
    network_at(count, transport, || listen(transport)).await
}

/// The same, each node where `place` says.
async fn network_at(count: u8, transport: Transport, place: impl Fn() -> Multiaddr) -> Vec<Node> {
    let mut nodes = vec![Node::server_at(1, transport, place(), Vec::new()).await];
    for seed in 2..=count {
        let bootstrap = nodes[0].addresses.clone();
        nodes.push(Node::server_at(seed, transport, place(), bootstrap).await);
    }
    nodes
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_makes_two_tables_one() {
    let a = Node::server(1, Transport::Memory, Vec::new()).await;
    let b = Node::server(2, Transport::Memory, Vec::new()).await;
    // At addresses of another transport nobody can find out that they are not there.
    (10..60).for_each(|seed| a.learn(descriptor(seed, &[elsewhere()])));
    (40..90).for_each(|seed| b.learn(descriptor(seed, &[elsewhere()])));
    let id = a.connect(&b).await.unwrap();
    let report = a.net.sync(id, SOON).await.unwrap();
    assert_eq!((a.known(), b.known()), (82, 82));
    assert!(report.received >= 31 && report.sent >= 31 && !report.more, "{report:?}");
    assert_eq!(a.table.read().unwrap().digests(), b.table.read().unwrap().digests());
    assert_eq!(a.net.sync(id, SOON).await, Ok(SyncReport::default()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_learns_and_tells_nothing() {
    let server = Node::server(1, Transport::Memory, Vec::new()).await;
    let client = Node::client(2, Transport::Memory).await;
    client.learn(descriptor(77, &server.addresses));
    let id = client.connect(&server).await.unwrap();
    let report = client.net.sync(id, SOON).await.unwrap();
    assert_eq!((report.received, report.sent), (1, 0));
    assert_eq!((client.known(), server.known()), (2, 1));
    for _ in 1..20 {
        client.net.sync(id, SOON).await.unwrap();
    }
    // It does not wait for the end, and to the server the exchange is whole all the same.
    let counters = server.net.counters();
    eventually("ended", || counters.syncs.get() + counters.sync_failures.get() == 20).await;
    assert_eq!(counters.sync_failures.get(), 0);
}

/// A node that tells of itself only.
async fn closed_circle(seed: u8) -> Node {
    let own = descriptor(seed, &[elsewhere()]).encoded().clone();
    let liar = TableLiar(Arc::new(move |_, _: &NodeTable| Told { descriptors: vec![own.clone()], lost: Vec::new() }));
    let config = NetConfig::server(secret(seed), Transport::Memory, vec![listen(Transport::Memory)], Vec::new());
    let node = Node::start(seed, NetConfig { table_liar: Some(liar), ..config }).await;
    node.announce();
    node
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_asks_all_its_bootstrap_nodes_since_one_may_name_its_friends_only() {
    let (liar, honest) = (closed_circle(1).await, Node::server(2, Transport::Memory, Vec::new()).await);
    let bootstrap = [liar.addresses.clone(), honest.addresses.clone()].concat();
    for seed in 3..9 {
        let newcomer = Node::server(seed, Transport::Memory, bootstrap.clone()).await;
        let knows = |node: &Node, id: &NodeId| node.table.read().unwrap().get(id).is_some();
        eventually("met", || knows(&newcomer, &honest.id()) && knows(&honest, &newcomer.id())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_come_to_know_all_and_who_is_gone() {
    let mut nodes = network(20, Transport::Memory).await;
    eventually("full tables", || nodes.iter().all(|node| node.known() == 20)).await;
    let gone = nodes.pop().unwrap();
    // Half of them meet it, so that its end is seen, not only heard of.
    for node in &nodes[..10] {
        node.meet(gone.id()).await;
    }
    gone.net.shutdown().await;
    let lost = |node: &Node| node.table.read().unwrap().lost().count();
    // Who never met it had only others' word that it was there, and has none now.
    let knows_better = |node: &Node| node.believes_lost(&gone.id()) || node.known() == 19;
    eventually("known to be lost", || nodes.iter().all(knows_better)).await;
    // Nobody else is thought lost for long.
    eventually("nobody else lost", || nodes.iter().all(|node| lost(node) == usize::from(node.known() == 20))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_is_found_again() {
    let mut nodes = network_at(5, Transport::Tcp, own_port).await;
    eventually("full tables", || nodes.iter().all(|node| node.known() == 5)).await;
    let gone = nodes.pop().unwrap();
    nodes[1].meet(gone.id()).await;
    let (id, address) = (gone.id(), gone.addresses[0].clone());
    gone.net.shutdown().await;
    // Who met it believes it lost; to others it is nobody any more.
    let knows = |node: &Node| node.table.read().unwrap().get(&id).is_some();
    eventually("lost", || nodes.iter().all(|node| node.believes_lost(&id) || !knows(node))).await;
    let back = Node::server_back_at(5, address, nodes[0].addresses.clone()).await;
    assert_eq!(back.id(), id);
    eventually("found", || nodes.iter().all(|node| knows(node) && !node.believes_lost(&id))).await;
    eventually("full again", || back.known() == 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_node_may_come_late() {
    let place = std::net::TcpListener::bind((own_loopback(), 0)).unwrap().local_addr().unwrap();
    let at: Multiaddr = format!("/ip4/{}/tcp/{}", place.ip(), place.port()).parse().unwrap();
    let early = Node::server(2, Transport::Tcp, vec![at.clone()]).await;
    eventually("a first try", || early.net.counters().dial_failures.get() > 0).await;
    let late = Node::server_at(1, Transport::Tcp, at, Vec::new()).await;
    eventually("joined", || early.known() == 2 && late.known() == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_finds_nodes_and_where_they_are() {
    let nodes = network(8, Transport::Tcp).await;
    eventually("full tables", || nodes.iter().all(|node| node.known() == 8)).await;
    // A node that is slow to answer is left out of a walk; the next one has it.
    let until = tokio::time::Instant::now() + SOON;
    loop {
        let found = nodes[3].net.walk(SOON).await.unwrap();
        assert!(found.len() <= 7, "{found:?}");
        for (id, addresses) in &found {
            let node = nodes.iter().find(|node| node.id() == *id).unwrap();
            assert!(node.addresses.iter().all(|address| addresses.contains(address)));
        }
        if found.len() == 7 {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "{found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_ends_every_task() {
    let nodes = network(3, Transport::Memory).await;
    eventually("full tables", || nodes.iter().all(|node| node.known() == 3)).await;
    for node in &nodes {
        node.net.shutdown().await;
        // Within its deadlines if it can; on a machine that stands still for seconds a little later.
        eventually("all ended", || node.net.0.shared.tasks.is_empty()).await;
        assert!(node.net.listeners().await.is_empty() || node.net.0.endpoint.lock().unwrap().is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspicion_is_not_passed_on_before_it_is_verified() {
    // A client: a server's gossip would find out by itself that the node is not there.
    let a = Node::client(1, Transport::Memory).await;
    let id = descriptor(9, &[]).id;
    a.learn(descriptor(9, &[]));
    let directory = &a.net.0.shared.directory;
    // The signing counts as a sign of life; the suspicion must be later.
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert!(directory.suspect(&id));
    assert!(a.believes_lost(&id));
    assert_eq!(directory.lost(), []);
    assert!(directory.mark_lost(&id));
    assert_eq!(directory.lost().len(), 1);
    directory.mark_seen(&id);
    assert_eq!(directory.lost(), []);
    assert!(!a.believes_lost(&id));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_others_does_not_count_against_our_own_eyes() {
    // A client: a server's gossip would find out by itself that the node is not there.
    let a = Node::client(1, Transport::Memory).await;
    let b = Node::server(2, Transport::Memory, Vec::new()).await;
    a.connect(&b).await.unwrap();
    a.meet(b.id()).await;
    a.learn(descriptor(1, &[]));
    assert_eq!(a.known(), 2);
    let gone = descriptor(9, &[]).id;
    a.learn(descriptor(9, &[]));
    tokio::time::sleep(Duration::from_millis(2)).await;
    let word = |id: NodeId| [(id.0[..8].try_into().unwrap(), Duration::ZERO)];
    let shared = &a.net.0.shared;
    let hear = |id: NodeId| shared.directory.hear_lost(&word(id), Heed::Weighed, |id| shared.links.is_connected(id));
    assert_eq!((hear(gone), hear(b.id()), hear(a.id())), (1, 0, 0));
    assert!(a.believes_lost(&gone) && !a.believes_lost(&b.id()));
}
