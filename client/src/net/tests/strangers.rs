//! Nodes that nobody is, and what becomes of them in tables.

use super::*;
use palimpsest_proto::record::SignedNodeDescriptor;
use palimpsest_proto::select::NOT_FOUND_PAUSE_MIN;
use std::sync::Mutex;

/// An address in memory at which nobody listens.
fn nowhere() -> Multiaddr {
    Multiaddr::from(libp2p::multiaddr::Protocol::Memory(rand::random_range(1 << 40..u64::MAX)))
}

/// A server that tells of whom it made up, freshly signed each time, and of itself.
async fn inventor(seed: u8, made_up: std::ops::Range<u8>) -> Node {
    let of_itself: Arc<Mutex<Option<SignedNodeDescriptor>>> = Arc::default();
    let (itself, place) = (of_itself.clone(), nowhere());
    let liar = TableLiar(Arc::new(move |_, _: &NodeTable| {
        let invented = made_up.clone().map(|seed| descriptor(seed, std::slice::from_ref(&place)));
        let descriptors = invented.chain(itself.lock().unwrap().clone()).map(|signed| signed.encoded().clone());
        Told { descriptors: descriptors.collect(), lost: Vec::new() }
    }));
    let config = NetConfig::server(secret(seed), Transport::Memory, vec![listen(Transport::Memory)], Vec::new());
    let node = Node::start(seed, NetConfig { table_liar: Some(liar), ..config }).await;
    *of_itself.lock().unwrap() = Some(descriptor(seed, &node.addresses));
    node.announce();
    node
}

fn knows(node: &Node, seed: u8) -> bool {
    node.table.read().unwrap().get(&descriptor(seed, &[]).id).is_some()
}

fn names_lost(node: &Node, seed: u8) -> bool {
    let prefix = descriptor(seed, &[]).id.0[..8].to_vec();
    node.net.0.shared.directory.lost().iter().any(|(named, _)| named[..] == prefix)
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_is_stays_in_no_table() {
    let liar = inventor(1, 20..30).await;
    // The while is short: whoever stood still for as long begins anew.
    let until = tokio::time::Instant::now() + SOON;
    loop {
        let begun = tokio::time::Instant::now();
        let honest = Node::server(2, Transport::Memory, liar.addresses.clone()).await;
        eventually("found out", || (20..30).all(|seed| names_lost(&honest, seed) && !knows(&honest, seed))).await;
        // However often the liar names them anew, for a while they are not even tried.
        let dials = honest.net.counters().dial_failures.get();
        for _ in 0..3 {
            honest.meet(liar.id()).await;
        }
        let known = (20..30).filter(|&seed| knows(&honest, seed)).count();
        let dials_since = honest.net.counters().dial_failures.get() - dials;
        // Others do not hear of them from who knows better, and hear from it of those who are there.
        let other = Node::server(3, Transport::Memory, honest.addresses.clone()).await;
        eventually("heard of", || knows(&other, 1)).await;
        other.net.shutdown().await;
        let client = Node::client(4, Transport::Memory).await;
        client.connect(&honest).await.unwrap();
        client.meet(honest.id()).await;
        let told = (20..30).filter(|&seed| knows(&client, seed)).count();
        assert!(knows(&client, 1) && knows(&client, 2));
        if begun.elapsed() < NOT_FOUND_PAUSE_MIN {
            return assert_eq!((known, dials_since, told), (0, 0, 0));
        }
        assert!(tokio::time::Instant::now() < until, "always too slow");
        client.net.shutdown().await;
        honest.net.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_address_is_taken_by_nobody() {
    let node = Node::server(1, Transport::Memory, Vec::new()).await;
    let without = descriptor(9, &[]).encoded().clone();
    let merged = node.net.0.shared.directory.merge(vec![without]).await;
    assert_eq!((merged.learnt, knows(&node, 9)), (0, false));
}

/// A node that was met and is gone, and a liar who signs in its name: it had its key all along.
#[tokio::test(flavor = "multi_thread")]
async fn a_signature_alone_brings_nobody_back() {
    let node = Node::server(1, Transport::Memory, Vec::new()).await;
    let gone = Node::server(2, Transport::Memory, node.addresses.clone()).await;
    let id = gone.id();
    eventually("met", || knows(&node, 2)).await;
    node.connect(&gone).await.unwrap();
    gone.net.shutdown().await;
    eventually("lost", || node.believes_lost(&id)).await;
    let directory = &node.net.0.shared.directory;
    let merged = directory.merge(vec![descriptor(2, &[nowhere()]).encoded().clone()]).await;
    assert_eq!(merged.learnt, 1);
    assert!(node.believes_lost(&id));
    directory.mark_seen(&id);
    assert!(!node.believes_lost(&id));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_takes_its_guards_word_on_who_is_lost_and_nobody_elses() {
    let gone = descriptor(9, &[nowhere()]);
    let word = |lost: bool| {
        let lost = lost.then(|| (gone.id.0[..8].try_into().unwrap(), Duration::ZERO));
        let told = Told { descriptors: vec![gone.encoded().clone()], lost: lost.into_iter().collect() };
        TableLiar(Arc::new(move |_, _: &NodeTable| Told {
            descriptors: told.descriptors.clone(),
            lost: told.lost.clone(),
        }))
    };
    let teller = async |seed, lost| {
        let config = NetConfig::server(secret(seed), Transport::Memory, vec![listen(Transport::Memory)], Vec::new());
        let node = Node::start(seed, NetConfig { table_liar: Some(word(lost)), ..config }).await;
        node.announce();
        node
    };
    let (calls_lost, does_not) = (teller(1, true).await, teller(2, false).await);
    let client = Node::client(3, Transport::Memory).await;
    for node in [&calls_lost, &does_not] {
        client.connect(node).await.unwrap();
        client.learn(descriptor(node.seed, &node.addresses));
    }
    client.meet(calls_lost.id()).await;
    assert!(knows(&client, 9) && !client.believes_lost(&gone.id), "it is not its guard");
    for (guard, lost) in [(&calls_lost, true), (&does_not, false), (&calls_lost, true)] {
        client.net.sync_with_guard(guard.id(), SOON).await.unwrap();
        assert_eq!(client.believes_lost(&gone.id), lost);
    }
}

/// After a start without a line nobody is found. That says nothing of those who were in the table.
#[tokio::test(flavor = "multi_thread")]
async fn who_meets_nobody_forgets_nobody() {
    let node = Node::server(1, Transport::Memory, Vec::new()).await;
    let merged = node.net.0.shared.directory.merge(vec![descriptor(9, &[nowhere()]).encoded().clone()]).await;
    assert_eq!(merged.learnt, 1);
    eventually("dialled", || node.believes_lost(&descriptor(9, &[]).id)).await;
    assert!(knows(&node, 9));
}
