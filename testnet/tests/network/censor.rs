//! What who has a link finds out, alone and with nodes of his own.

use super::common::{content, publish};
use futures::future::join_all;
use palimpsest_client::{Capability, Client, FetchOptions, Progress};
use palimpsest_node::Node;
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_testnet::anonymity::sights::{Journey, Ledger, Wanted, What, journeys};
use palimpsest_testnet::censor::holders::Search;
use palimpsest_testnet::censor::users::{Role, Seats, users};
use palimpsest_testnet::healing::leased;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use palimpsest_testnet::process::{Fraction, choose};
use std::collections::{BTreeMap, BTreeSet};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_censor_with_the_link_names_the_holders_and_tells_missing_from_unasked() {
    let mut network = Network::start(NetworkOptions::honest(8)).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let link: Capability = publish(&publisher, &content(31, 300_000)).await.unwrap().link.parse().unwrap();
    publisher.close().await.unwrap();

    // A node that stands still for a moment is asked by the next client.
    let mut number = 0;
    let (mut search, held, own_guard) = loop {
        let client = network.client(&format!("censor-{number}")).await.unwrap();
        let search = Search::begin(&client, &link).await.unwrap();
        let held = client.holders(&link, 64, &Progress::new()).await.unwrap();
        let own_guard = client.connected_nodes();
        client.close().await.unwrap();
        let all_answered = search.report().stripes.iter().all(|stripe| stripe.unanswered == 0);
        number += 1;
        if all_answered && held.iter().all(|stripe| stripe.found.unanswered.is_empty()) || number == 5 {
            break (search, held, own_guard);
        }
    };

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

    // What a dead node had is not called missing: nobody says so. (Who dies before others have met it is forgotten by them.)
    network.all_met().await.unwrap();
    // Nobody else has it: one that has nothing, as the publisher's guard, would not be missed.
    let dead = NodeId(report.holders[0].id.0);
    let index = network.numbers().find(|index| network.node(*index).map(Node::id) == Some(dead)).unwrap();
    network.kill(index).await;
    let client = network.client("late").await.unwrap();
    let mut search = Search::begin(&client, &link).await.unwrap();
    client.close().await.unwrap();
    settle(&network, &mut search, &link, "later").await;
    let late = search.report();
    assert!(late.found < late.shards && late.holders.iter().all(|holder| holder.id.0 != dead.0), "{late:?}");
    assert!(late.stripes.iter().all(|stripe| stripe.missing == 0), "{:?}", late.stripes);
    assert!(late.stripes.iter().any(|stripe| stripe.unanswered > 0), "{:?}", late.stripes);
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
    // What looks missing on a busy machine they do not put back.
    join_all(readers.iter().map(|(reader, link)| async move {
        let (options, progress) = (FetchOptions { heal: false, ..FetchOptions::default() }, Progress::new());
        reader.fetch(&link.parse().unwrap(), options, &mut Vec::new(), &progress).await.unwrap();
    }))
    .await;
    for (reader, _) in readers {
        reader.close().await.unwrap();
    }
    let seen = ledger.so_far();
    let members: Vec<NodeId> = network.running().map(Node::id).collect();
    let censor = network.client("censor").await.unwrap();
    let link = links[0].parse().unwrap();
    let names = Search::begin(&censor, &link).await.unwrap().names();
    let held = censor.holders(&link, 64, &Progress::new()).await.unwrap();
    censor.close().await.unwrap();
    let locators: BTreeSet<Locator> = held.iter().flat_map(|one| one.descriptor.locators()).copied().collect();
    network.shutdown().await;

    let holders = names.holders(&seen);
    assert!(holders.len() > 10, "{} holders", holders.len());
    // Who passed on anything of a client's: its guards. On a busy machine it tries more than one.
    let mut guards: BTreeMap<NodeId, BTreeSet<usize>> = BTreeMap::new();
    for one in &seen {
        if let What::Passed { from, .. } = one.what
            && !members.contains(&from)
        {
            guards.entry(from).or_default().insert(one.node);
        }
    }
    // All nodes know everybody, and as what.
    let all_seats = Seats { nodes: (0..all).collect(), ..Seats::default() };
    let found = users(&seen, &members, &all_seats, &names);
    assert_eq!((found.publishers, found.readers, found.right, found.wrong), (1, 10, 11, 0), "{found:?}");
    assert_eq!((found.linked, found.guards_found, found.beyond), (found.requests, 0, 0), "{found:?}");
    assert_eq!(found.named.iter().filter(|named| named.role == Role::Publisher).count(), 1);
    let clients: Vec<NodeId> = found.named.iter().map(|named| NodeId(named.client.0)).collect();
    // Records are with others.
    let is_for_shard = |journey: &&Journey| match journey.wanted {
        Wanted::Store(locator, _) | Wanted::Fetch(locator) => {
            locators.contains(&locator) && clients.contains(&journey.client)
        }
        _ => false,
    };
    let journeys = journeys(&seen);
    let (at_holders, elsewhere): (Vec<&Journey>, Vec<&Journey>) =
        journeys.iter().filter(is_for_shard).partition(|journey| holders.contains(&journey.holder));
    assert!(at_holders.len() > 50 && at_holders.len() > 4 * elsewhere.len(), "{elsewhere:?}");

    let mut right = 0;
    for seed in 0..draws {
        let nodes: BTreeSet<usize> = choose(all as u32, tenth, seed).into_iter().map(|node| node as usize).collect();
        let theirs = |nodes: &BTreeSet<usize>, client: &NodeId| !guards[client].is_disjoint(nodes);
        let found = users(&seen, &members, &Seats { nodes: nodes.clone(), holders: holders.clone() }, &names);
        assert!(found.parts.holder >= at_holders.len(), "{found:?}");
        assert!(found.beyond == 0 && found.right <= found.guarded, "{found:?}");
        assert!(found.named.iter().all(|named| theirs(&nodes, &NodeId(named.client.0))), "{found:?}");
        right += found.right;
        // With all that holders see as relays too, who are many here: no more than those whose guard they are.
        let many = &nodes | &holders;
        let whole = users(&seen, &members, &Seats { nodes: many.clone(), ..Seats::default() }, &names);
        assert!(whole.beyond == 0 && whole.right <= whole.guarded, "{whole:?}");
        assert!(whole.named.iter().all(|named| theirs(&many, &NodeId(named.client.0))), "{whole:?}");
    }
    assert!(right > 0, "a bad guard is as good as named");

    // Everybody but the guards: nobody is named, and the guards are found.
    let guards: BTreeSet<usize> = guards.into_values().flatten().collect();
    let others: BTreeSet<usize> = (0..all).filter(|node| !guards.contains(node)).collect();
    let found = users(&seen, &members, &Seats { nodes: others, holders }, &names);
    assert!(found.named.is_empty() && found.guarded == 0 && found.guards_found > 0, "{found:?}");
}

/// A client that comes twice: the second time it knows nobody but its guard.
async fn again(network: &Network, name: &str) -> Client {
    network.client(name).await.unwrap().close().await.unwrap();
    network.client(name).await.unwrap()
}
