//! The guard: the only node that a client talks to, and replaced when it is gone.

use super::common::{DEADLINE, content, fetch, newcomer, publish, stand};
use palimpsest_client::{Capability, Client, FetchOptions, Progress};
use palimpsest_node::config::Stand;
use palimpsest_node::hostile::{Meddler, Way};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Answer, Refusal};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_cached_table_a_client_talks_to_its_guard_alone() {
    let network = Network::start(NetworkOptions::honest(12)).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let file = content(40, 5 << 20);
    let link = publish(&publisher, &file).await.unwrap().link.parse().unwrap();
    network.client("reader").await.unwrap().close().await.unwrap();

    // Beside a guard that does not answer within a second another is tried: a machine that stands still for so long shows
    // nothing. A client that talks to others without need does so each time, since it fetches from all of them.
    let mut tries = 0..20;
    let (reader, talked_to) = loop {
        let reader = network.client("reader").await.unwrap();
        let talked_to = fetch_watched(&reader, &link, &file).await;
        if talked_to.len() == 1 {
            break (reader, talked_to);
        }
        assert!(tries.next().is_some(), "{talked_to:?}");
        reader.close().await.unwrap();
    };
    // Nor is any other node connected to a stranger, once those have noticed who have left.
    let members: BTreeSet<NodeId> = (0..12).map(|index| network.node(index).unwrap().id()).collect();
    publisher.close().await.unwrap();
    let knows_a_stranger = |id: &NodeId| {
        let node = (0..12).filter_map(|index| network.node(index)).find(|node| node.id() == *id);
        node.unwrap().net().connected_peers().iter().any(|peer| !members.contains(peer))
    };
    let until = Instant::now() + DEADLINE;
    loop {
        let connected: BTreeSet<NodeId> = members.iter().filter(|id| knows_a_stranger(id)).copied().collect();
        if connected == talked_to {
            break;
        }
        assert!(Instant::now() < until, "{connected:?}, and not {talked_to:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(reader);
    network.shutdown().await;
}

/// Fetches, and says whom the reader was connected to meanwhile.
async fn fetch_watched(reader: &Client, link: &Capability, file: &[u8]) -> BTreeSet<NodeId> {
    let mut talked_to: BTreeSet<NodeId> = reader.connected_nodes().into_iter().collect();
    let (progress, mut got) = (Progress::new(), Vec::new());
    let mut fetching = Box::pin(reader.fetch(link, FetchOptions::default(), &mut got, &progress));
    let fetched = loop {
        talked_to.extend(reader.connected_nodes());
        if let Ok(fetched) = tokio::time::timeout(Duration::from_millis(1), &mut fetching).await {
            break fetched.unwrap();
        }
    };
    drop(fetching);
    talked_to.extend(reader.connected_nodes());
    assert!(got == file && fetched.bad_answers == 0);
    talked_to
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
    for round in 0..2 {
        let guards = guards_of(&network, &client, 16);
        assert!(!guards.is_empty());
        // On a machine that stands still now and then, guards were tried beside the guard: half of the nodes shall live.
        if network.running().count() - guards.len() < 8 {
            assert!(round > 0 || guards.len() > 8, "{guards:?}");
            break;
        }
        network.kill_all(&guards).await;
        let (got, _) = fetch(&client, &link).await.unwrap();
        assert!(got == file);
    }
    network.shutdown().await;
}

const NODES: usize = 16;
/// Those that drop whatever goes to others, and do else what nodes do.
const FRIENDS: usize = 5;
/// An entry of a client's list of guards: id, date, whether it has ever answered. Before them: version, and how many.
const GUARD_BYTES: usize = 32 + 8 + 1;

/// A network of which some nodes are friends, as soon as they are told who is not.
struct WithFriends {
    network: Network,
    others: Arc<OnceLock<BTreeSet<NodeId>>>,
}

impl WithFriends {
    async fn start(service: impl Fn() -> Option<Stand> + Send + 'static) -> WithFriends {
        let others: Arc<OnceLock<BTreeSet<NodeId>>> = Arc::default();
        let known = others.clone();
        let drops = move |way: Way, packet| {
            let is_for_others = known.get().is_some_and(|others| others.contains(&way.next));
            if is_for_others { Vec::new() } else { vec![(Duration::ZERO, packet)] }
        };
        let meddler = Meddler(Arc::new(drops));
        let options = NetworkOptions {
            meddler: Box::new(move |index| (index < FRIENDS).then(|| meddler.clone())),
            service: Box::new(move |index| if index < FRIENDS { service() } else { None }),
            ..NetworkOptions::honest(NODES)
        };
        WithFriends { network: Network::start(options).await.unwrap(), others }
    }

    fn honest(&self) -> BTreeSet<NodeId> {
        (FRIENDS..NODES).map(|index| self.network.node(index).unwrap().id()).collect()
    }

    /// From now on they drop.
    fn begin(&self) {
        self.others.set(self.honest()).unwrap();
    }

    /// Who has one of them as guard, and none else in its sample.
    async fn captive(&self, folder: &Path) -> Client {
        self.network.client_at(folder.to_owned()).await.unwrap().close().await.unwrap();
        let others = self.honest();
        let path = folder.join("guards");
        let drawn = std::fs::read(&path).unwrap();
        let is_other = |entry: &&[u8]| others.iter().any(|id| entry.starts_with(&id.0));
        let (good, bad): (Vec<&[u8]>, Vec<&[u8]>) = drawn[2..].chunks(GUARD_BYTES).partition(is_other);
        // Of 16 nodes 12 are in the sample, so that one of the friends is.
        let sample: Vec<&[u8]> = bad.into_iter().take(1).chain(good).collect();
        let sample = [&[drawn[0], sample.len() as u8], sample.concat().as_slice()].concat();
        // Where the friend does not answer within a second another is tried beside it, and may be quicker.
        for _ in 0..20 {
            std::fs::write(&path, &sample).unwrap();
            let client = self.network.client_at(folder.to_owned()).await.unwrap();
            let friends = guards_of(&self.network, &client, FRIENDS);
            if friends.len() == 1 && guards_of(&self.network, &client, NODES) == friends {
                return client;
            }
            client.close().await.unwrap();
        }
        panic!("its guard is always another one")
    }
}

/// Who has a guard that lets through what stays among its friends finds out, and takes another one for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_lets_only_its_friends_through_is_found_out() {
    // They have nothing themselves, so that nothing can be had among them.
    let all = WithFriends::start(|| stand(|_| Some(Answer::Refused(Refusal::Absent)))).await;
    let file = content(43, 300 << 10);
    let publisher = all.network.client("publisher").await.unwrap();
    let link = publish(&publisher, &file).await.unwrap().link;
    publisher.close().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let captive = all.captive(folder.path()).await;
    // Something came by it: it is not simply dead.
    assert!(fetch(&captive, &link).await.unwrap().0 == file);
    all.begin();
    assert!(fetch(&captive, &link).await.unwrap().0 == file);
    captive.close().await.unwrap();
    // The next runs do not begin with it: it may be tried where the one that they begin with does not answer within a second.
    let mut tries = 0..5;
    loop {
        let again = all.network.client_at(folder.path().to_owned()).await.unwrap();
        if guards_of(&all.network, &again, FRIENDS).is_empty() {
            break;
        }
        again.close().await.unwrap();
        assert!(tries.next().is_some(), "they begin with it");
    }
    all.network.shutdown().await;
}

/// What was placed with a guard's friends is placed with others when the guard is found out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_published_among_a_guards_friends_outlives_them() {
    let mut all = WithFriends::start(|| None).await;
    let folder = tempfile::tempdir().unwrap();
    let captive = all.captive(folder.path()).await;
    all.begin();
    let file = content(44, 300 << 10);
    let link = publish(&captive, &file).await.unwrap().link;
    all.network.kill_all(&(0..FRIENDS).collect::<Vec<_>>()).await;
    let reader = newcomer(&all.network, "reader").await;
    assert!(fetch(&reader, &link).await.unwrap().0 == file);
    all.network.shutdown().await;
}

/// Its table and its guards are of a network that is gone, as after a second `pal-testnet up`: nobody of its guards is known here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_another_network_enters_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let other = Network::start(NetworkOptions::honest(14)).await.unwrap();
    other.client_at(folder.path().to_owned()).await.unwrap().close().await.unwrap();
    other.shutdown().await;

    let network = Network::start(NetworkOptions::honest(8)).await.unwrap();
    let client = network.client_at(folder.path().to_owned()).await.unwrap();
    let file = content(42, 100_000);
    let link = publish(&client, &file).await.unwrap().link;
    client.close().await.unwrap();
    let again = network.client_at(folder.path().to_owned()).await.unwrap();
    assert!(fetch(&again, &link).await.unwrap().0 == file);
    network.shutdown().await;
}
