//! What who has a link finds out, alone and with nodes of his own.

use super::common::{content, fetch, publish};
use futures::future::join_all;
use palimpsest_client::{Capability, Client, Progress};
use palimpsest_node::config::Onlooker;
use palimpsest_node::hostile::Sight;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::ids::{Locator, NodeId, RecordAddress};
use palimpsest_proto::message::Ask;
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::time::Timestamp;
use palimpsest_testnet::anonymity::chance::Rate;
use palimpsest_testnet::anonymity::sights::Ledger;
use palimpsest_testnet::censor::holders::Search;
use palimpsest_testnet::censor::users::{Role, Seats, users};
use palimpsest_testnet::healing::leased;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use palimpsest_testnet::process::{Fraction, choose};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_censor_with_the_link_names_the_holders_and_tells_missing_from_unasked() {
    let mut network = Network::start(NetworkOptions::honest(8)).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let link: Capability = publish(&publisher, &content(31, 300_000)).await.unwrap().link.parse().unwrap();
    publisher.close().await.unwrap();

    let client = network.client("censor").await.unwrap();
    let mut search = Search::begin(&client, &link).await.unwrap();
    let held = client.holders(&link, 64, &Progress::new()).await.unwrap();
    let own_guard = client.connected_nodes();
    client.close().await.unwrap();

    let mut truth: BTreeMap<Locator, Vec<NodeId>> = BTreeMap::new();
    for node in network.running() {
        for locator in leased(node).unwrap() {
            truth.entry(locator).or_default().push(node.id());
        }
    }
    for stripe in &held {
        for (locator, found) in stripe.descriptor.locators().iter().zip(&stripe.found.holders) {
            match found {
                Some(holder) => assert!(truth[locator].contains(holder), "{locator:?}: said to be where it is not"),
                None => assert!(truth[locator].iter().all(|node| own_guard.contains(node)), "{locator:?}: not found"),
            }
        }
    }
    // All is there: what was not found was not asked for.
    let report = search.report();
    assert!(report.nodes == 8 && report.stripes.len() == held.len() && report.clients == 1, "{report:?}");
    assert!(report.stripes.iter().all(|stripe| (stripe.missing, stripe.unanswered) == (0, 0)), "{:?}", report.stripes);
    assert!(report.stripes.iter().all(|stripe| stripe.found + stripe.unasked == stripe.shards));
    assert!(report.found > report.shards / 2 && report.holders_per_s > 0.0, "{report:?}");
    // Each is named, with an address and with what it has.
    let named: BTreeSet<NodeId> = report.holders.iter().map(|holder| NodeId(holder.id.0)).collect();
    assert!(
        named.len() == report.holders.len()
            && named.len() > 4
            && report.holders.iter().all(|h| !h.addresses.is_empty())
    );
    let counted: usize = report.holders.iter().flat_map(|holder| &holder.shards).sum();
    assert_eq!(counted, report.found);

    // As others with other guards it asks for the rest.
    settle(&network, &mut search, &link, "another").await;
    let report = search.report();
    assert!(report.found == report.shards && report.holders.len() >= 7, "{report:?}");

    // Three addresses; of a stripe as many shards as leave too few. Each place takes more nodes than are ever asked there.
    let (record, stripe) = search.costs();
    assert!(
        record.places == 3 && record.nodes == 3 * 276 && record.ids > 276.0 && stripe.places > 1,
        "{record:?} {stripe:?}"
    );

    // What a dead node had is not called missing: nobody says so.
    let dead = network.running().next().map(palimpsest_node::Node::id).unwrap();
    network.kill(0).await;
    let client = network.client("late").await.unwrap();
    let mut search = Search::begin(&client, &link).await.unwrap();
    client.close().await.unwrap();
    settle(&network, &mut search, &link, "later").await;
    let late = search.report();
    assert!(late.found < late.shards && late.holders.iter().all(|holder| holder.id.0 != dead.0), "{late:?}");
    assert!(late.stripes.iter().all(|stripe| stripe.missing == 0), "{:?}", late.stripes);
    // Who is believed lost is not even asked.
    assert!(late.stripes.iter().any(|stripe| stripe.unanswered + stripe.unasked > 0), "{:?}", late.stripes);
    network.shutdown().await;
}

/// Asks as clients that were never there, until each node was asked by one of them.
async fn settle(network: &Network, search: &mut Search, link: &Capability, name: &str) {
    for number in 0..20 {
        if !search.is_settled() {
            let other = network.client(&format!("{name}-{number}")).await.unwrap();
            search.again(&other, link).await.unwrap();
            other.close().await.unwrap();
        }
    }
}

/// Readers and publisher against who has all holders of a file, with its link, and a tenth of the relays: he names those
/// whose guard is his, and nobody else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_holders_and_a_tenth_of_the_relays_name_nobody_whose_guard_is_another() {
    let (all, tenth, draws) = (30, Fraction::new(0.1).unwrap(), 100);
    let ledger = Ledger::default();
    let watched = ledger.clone();
    let onlooker = Box::new(move |index| Some(watched.onlooker(index)));
    let network = Network::start(NetworkOptions { onlooker, ..NetworkOptions::honest(all) }).await.unwrap();
    let mut links = Vec::new();
    for file in 0..2 {
        let publisher = again(&network, &format!("publisher-{file}")).await;
        links.push(publish(&publisher, &content(40 + file, 30_000)).await.unwrap().link);
        publisher.close().await.unwrap();
    }
    // Readers of the file, and of another one at the same time.
    let mut readers = Vec::new();
    for number in 0..15 {
        readers.push((again(&network, &format!("reader-{number}")).await, &links[usize::from(number % 3 == 0)]));
    }
    join_all(readers.iter().map(|(reader, link)| async move { fetch(reader, link).await.unwrap() })).await;
    for (reader, _) in readers {
        reader.close().await.unwrap();
    }
    let seen = ledger.so_far();
    let members: Vec<NodeId> = network.running().map(palimpsest_node::Node::id).collect();
    let censor = network.client("censor").await.unwrap();
    let names = Search::begin(&censor, &links[0].parse().unwrap()).await.unwrap().names();
    censor.close().await.unwrap();
    network.shutdown().await;

    let holders = names.holders(&seen);
    assert!(holders.len() > 10, "{} holders", holders.len());
    let (mut hits, mut right, mut guarded) = (0, 0, 0);
    for seed in 0..draws {
        let nodes: BTreeSet<usize> = choose(all as u32, tenth, seed).into_iter().map(|node| node as usize).collect();
        let found = users(&seen, &members, &Seats { nodes: nodes.clone(), holders: holders.clone() }, &names);
        assert_eq!((found.publishers, found.readers), (1, 10), "{found:?}");
        // Records are with others.
        assert!(found.parts.holder * 10 > found.requests * 8, "{found:?}");
        assert!(found.beyond == 0 && found.right <= found.guarded, "{found:?}");
        (right, guarded) = (right + found.right, guarded + found.guarded);
        // One client of each draw: then chance has its bounds.
        let clients: BTreeSet<NodeId> = everybody(&seen, &members, &names);
        let one = clients.iter().nth(seed as usize % clients.len()).unwrap();
        hits += u64::from(found.named.iter().any(|named| named.right && named.client.0 == one.0));
        // With all that holders see as relays too, who are many here: no more than those whose guard they are.
        let whole = users(&seen, &members, &Seats { nodes: &nodes | &holders, ..Seats::default() }, &names);
        assert!(whole.beyond == 0 && whole.right <= whole.guarded, "{whole:?}");
    }
    assert!(right > 0 && right * 2 > guarded, "a bad guard is as good as named: {right} of {guarded}");
    assert!(!Rate::of(hits, draws).is_above(tenth.share()), "{hits} of {draws}");

    // Everybody but the guards: nobody is named, and the guards are found.
    let guards: BTreeSet<usize> =
        palimpsest_testnet::anonymity::sights::journeys(&seen).iter().map(|journey| journey.guard).collect();
    let others: BTreeSet<usize> = (0..all).filter(|node| !guards.contains(node)).collect();
    let found = users(&seen, &members, &Seats { nodes: others, holders: holders.clone() }, &names);
    assert!(found.named.is_empty() && found.guarded == 0 && found.guards_found > 0, "{found:?}");
    // All nodes know everybody, and as what.
    let found = users(&seen, &members, &Seats { nodes: (0..all).collect(), ..Seats::default() }, &names);
    assert_eq!((found.right, found.wrong, found.beyond, found.linked), (11, 0, 0, found.requests), "{found:?}");
    assert_eq!(found.named.iter().filter(|named| named.role == Role::Publisher).count(), 1);
}

/// A client that comes twice: the second time it knows nobody but its guard.
async fn again(network: &Network, name: &str) -> Client {
    network.client(name).await.unwrap().close().await.unwrap();
    network.client(name).await.unwrap()
}

/// The clients that used a file.
fn everybody(
    seen: &[palimpsest_testnet::anonymity::sights::Seen],
    members: &[NodeId],
    names: &palimpsest_testnet::censor::users::Names,
) -> BTreeSet<NodeId> {
    let seats = Seats { nodes: (0..members.len()).collect(), ..Seats::default() };
    users(seen, members, &seats, names).named.iter().map(|named| NodeId(named.client.0)).collect()
}

/// What a publish told the nodes: of each thing to be kept all that is not hash.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Leases, and what paid for them.
    terms: BTreeSet<(Timestamp, u64)>,
    /// Kinds of requests, and how many bytes each has to be kept.
    kinds: BTreeSet<(&'static str, usize)>,
}

/// What a publish left on the nodes' disks.
struct Left {
    leases: BTreeSet<Timestamp>,
    shards: BTreeMap<Locator, Vec<u8>>,
    records: BTreeMap<RecordAddress, Vec<u8>>,
}

impl Left {
    async fn on(network: &Network) -> Left {
        let mut left = Left { leases: BTreeSet::new(), shards: BTreeMap::new(), records: BTreeMap::new() };
        for node in network.running() {
            let store = node.store();
            for (locator, lease) in store.shards_after(None, 1_024).unwrap() {
                left.leases.insert(lease);
                left.shards.insert(locator, store.get(locator).await.unwrap().unwrap().bytes().to_vec());
            }
            for (address, lease) in store.records_after(None, 1_024).unwrap() {
                left.leases.insert(lease);
                left.records.insert(address, store.get_record(address).await.unwrap().unwrap().to_vec());
            }
        }
        left
    }

    /// What is there now and was not then.
    fn since(mut self, then: &Left) -> Left {
        self.shards.retain(|locator, _| !then.shards.contains_key(locator));
        self.records.retain(|address, _| !then.records.contains_key(address));
        self
    }
}

/// Two people publish files of one size. What is left of them, on disks and in requests, differs by nothing but hashes; and neither
/// has anything of its own that is in all of its shards or records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_leave_nothing_that_tells_them_apart() {
    let told: Arc<Mutex<Told>> = Arc::default();
    let listening = told.clone();
    let onlooker = Box::new(move |_| {
        let told = listening.clone();
        Some(Onlooker(Arc::new(move |sight| {
            let Sight::Asked { ask, .. } = sight else { return };
            let (terms, kind) = match ask {
                Ask::Store { lease_until, stamp, shard } => ((lease_until, stamp), ("store", shard.bytes().len())),
                Ask::PutRecord { lease_until, stamp, record, .. } => ((lease_until, stamp), ("record", record.len())),
                Ask::PutRecords { lease_until, stamp, records } => (
                    (lease_until, stamp),
                    ("records", records.iter().map(|(_, record)| record.len()).max().unwrap_or(0)),
                ),
                _ => return,
            };
            let mut told = told.lock().unwrap();
            told.terms.insert((terms.0, terms.1.0));
            told.kinds.insert(kind);
        })))
    });
    let network = Network::start(NetworkOptions { onlooker, ..NetworkOptions::honest(10) }).await.unwrap();
    let nothing = Left::on(&network).await;
    let mut all = Vec::new();
    for name in ["one", "other"] {
        let publisher = network.client(name).await.unwrap();
        publish(&publisher, &content(if name == "one" { 51 } else { 52 }, 300_000)).await.unwrap();
        publisher.close().await.unwrap();
        let said = std::mem::take(&mut *told.lock().unwrap());
        all.push((said, Left::on(&network).await));
    }
    network.shutdown().await;
    let (other_told, left) = all.pop().unwrap();
    let (one_told, then) = all.pop().unwrap();
    // A midnight between the two is no fault.
    let days = |told: &Told| told.terms.iter().map(|(lease, _)| lease.0 / 86_400).collect::<BTreeSet<_>>();
    assert!(one_told.terms.len() == 1 && other_told.terms.len() == 1, "{one_told:?} {other_told:?}");
    for (lease, stamp) in one_told.terms.iter().chain(&other_told.terms) {
        assert_eq!((lease.0 % 86_400, *stamp), (0, Stamp::NONE.0), "a day, and nothing that was worked for");
    }
    assert!(days(&other_told).first().unwrap() - days(&one_told).first().unwrap() <= 1);
    assert_eq!(one_told.kinds, other_told.kinds);

    let other = left.since(&then);
    let one = then.since(&nothing);
    assert!(other.leases.iter().chain(&one.leases).all(|lease| lease.0 % 86_400 == 0), "{:?}", other.leases);
    assert!(other.leases.len() <= 2, "{:?}", other.leases);
    // As many shards, and of records the same of all but names.
    assert!(one.shards.len() == other.shards.len() && one.shards.len() > 20, "{}", one.shards.len());
    let shapes = |left: &Left| {
        let mut shapes: Vec<(usize, usize, usize)> = left
            .records
            .values()
            .map(|record| {
                let descriptor = Descriptor::decode(record.clone().into()).unwrap();
                assert_eq!(descriptor.encode(), *record, "nothing but the geometry and names");
                (descriptor.geometry().k(), descriptor.geometry().n(), record.len())
            })
            .collect();
        shapes.sort_unstable();
        shapes
    };
    assert_eq!(shapes(&one), shapes(&other));
    for (some, others) in [(&one, &other), (&other, &one)] {
        // Eight bytes, at any place, that stand in things of both: none by chance. Of records behind the geometry.
        let words = |left: &Left| -> HashSet<[u8; 8]> {
            let records = left.records.values().map(|record| &record[2..]);
            let all = left.shards.values().map(Vec::as_slice).chain(records);
            all.flat_map(|bytes| bytes.chunks_exact(8).map(|word| word.try_into().unwrap())).collect()
        };
        assert!(words(some).is_disjoint(&words(others)));
        // A byte that all shards of a publisher have in common at some place would be a mark.
        let shards: Vec<&Vec<u8>> = some.shards.values().collect();
        assert!(shards.iter().all(|bytes| bytes.len() == SHARD_BYTES));
        let marked = (0..SHARD_BYTES).find(|&at| shards.iter().all(|bytes| bytes[at] == shards[0][at]));
        assert_eq!(marked, None);
    }
}
