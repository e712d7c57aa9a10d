//! Anonymity as far as it does not depend on luck or time: who can see what, and how many are linked for these dice.

use super::common::{content, fetch, publish};
use palimpsest_proto::ids::Locator;
use palimpsest_proto::params::{DATA_SHARDS_MAX, PACK_BYTES_MAX};
use palimpsest_testnet::anonymity::chance::Rate;
use palimpsest_testnet::anonymity::crowd::{self, CrowdOptions};
use palimpsest_testnet::anonymity::linking::guesses;
use palimpsest_testnet::anonymity::model::{self, DRAWN_MOST, ModelOptions};
use palimpsest_testnet::anonymity::sights::{Ledger, Seen, Wanted, What, complaints, journeys};
use palimpsest_testnet::healing;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::BTreeSet;
use std::time::Duration;

/// Whether a share may be as calculated: within a tenth of it, as far as so many clients tell.
fn is_near(rate: Rate, calculated: f64) -> bool {
    rate.low <= 1.1 * calculated && rate.high >= 0.9 * calculated
}

/// The dice are given: the figures are the same on every machine.
#[test]
fn a_client_of_one_guard_is_linked_no_oftener_than_its_guard_is_bad() {
    let coalition = vec![0.01, 0.05, 0.1, 0.2, 0.4];
    let linking = model::linking(&ModelOptions { nodes: 200, clients: 1_500, coalition, seed: 1 }).unwrap();
    assert_eq!(linking.iter().map(|one| one.coalition).collect::<Vec<_>>(), [0.01, 0.05, 0.1, 0.2, 0.4]);
    for one in &linking {
        for after in &one.after {
            assert!(!after.linked.is_above(one.coalition), "{one:?}");
        }
        // A bad guard is as good as linked after a thousand requests: the bound is no looser than it must be.
        let last = one.after.last().unwrap();
        assert!(is_near(last.linked, one.coalition), "{last:?}");
        let in_a_year = 1.0 - (1.0 - one.coalition).powi(3);
        assert!(!one.year.is_above(in_a_year), "{one:?}");
    }
    // What the guard is for, as it was calculated before anything was built: with three, or with none, the bound does not hold.
    let tenth = linking[2].after.last().unwrap();
    assert_eq!(tenth.requests, 1_000);
    for (rate, calculated) in [(tenth.linked, 0.1), (tenth.linked_with_three, 0.27), (tenth.linked_without, 1.0)] {
        assert!(is_near(rate, calculated), "{calculated}: {rate:?}");
    }
}

/// Wherever a coalition sits, it is drawn little oftener than others; and each line is a crowd of its own.
#[test]
fn a_coalition_is_drawn_little_oftener_than_others() {
    let options = ModelOptions { nodes: 200, clients: 300, coalition: vec![0.1, 0.2], seed: 1 };
    let drawn = model::drawn(&options).unwrap();
    let usual = drawn.iter().filter(|drawn| drawn.prefixes > 8);
    let mut seats = BTreeSet::new();
    for one in usual {
        seats.insert(one.seats);
        assert!(!one.guards.is_above(DRAWN_MOST * one.coalition), "{one:?}");
        assert!(one.all_relays <= DRAWN_MOST * one.coalition, "{one:?}");
    }
    assert_eq!(seats.len(), 3);
    for lines in drawn.chunks(drawn.len() / 2) {
        let guards: BTreeSet<u64> = lines.iter().map(|one| one.guards.hits).collect();
        assert!(guards.len() > 2, "the same luck in each line: {lines:?}");
    }
}

/// Shards of the stripes that are on their way leave by turns, and so do a reader's requests: which came first tells holders little of
/// which belong together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stripes_of_a_file_come_mixed() {
    // On a busy machine the second stripe is cut when much of the first has left: not of each file.
    let mut order = order_of_stripes(35).await;
    for seed in [36, 37] {
        if !is_mixed(order) {
            order = order_of_stripes(seed).await;
        }
    }
    assert!(is_mixed(order), "{order:?}");
}

fn is_mixed((stored, fetched): (f64, f64)) -> bool {
    let mixed = 0.05..0.95;
    mixed.contains(&stored) && mixed.contains(&fetched)
}

/// In how many pairs of shards of a file's two stripes the first stripe's came before the second's, stored and fetched: in all of them, if
/// one stripe waits for the other.
async fn order_of_stripes(seed: u64) -> (f64, f64) {
    let ledger = Ledger::default();
    let watched = ledger.clone();
    let onlooker = Box::new(move |index| Some(watched.onlooker(index)));
    let network = Network::start(NetworkOptions { onlooker, ..NetworkOptions::honest(12) }).await.unwrap();
    let publisher = network.client("publisher").await.unwrap();
    let file = content(seed, 2 * PACK_BYTES_MAX);
    let link = publish(&publisher, &file).await.unwrap().link;
    publisher.close().await.unwrap();
    let stripes = healing::stripes(&network).await.unwrap();
    let full: Vec<BTreeSet<_>> = stripes
        .iter()
        .filter(|(stripe, _)| stripe.geometry().k() == DATA_SHARDS_MAX)
        .map(|(stripe, _)| stripe.locators().iter().copied().collect())
        .collect();
    assert_eq!(full.len(), 2);
    let share = |seen: &[Seen], locator_of: fn(Wanted) -> Option<Locator>| {
        let came = seen.iter().filter_map(|one| match one.what {
            What::Asked { wanted, .. } => locator_of(wanted),
            _ => None,
        });
        let (mut first, mut second, mut before) = (0_usize, 0_usize, 0_usize);
        for stripe in came.filter_map(|locator| full.iter().position(|stripe| stripe.contains(&locator))) {
            if stripe == 0 {
                first += 1;
            } else {
                second += 1;
                before += first;
            }
        }
        before as f64 / (first * second) as f64
    };
    let published = ledger.so_far();
    let stored = share(&published, |wanted| match wanted {
        Wanted::Store(locator, _) => Some(locator),
        _ => None,
    });

    let reader = network.client("reader").await.unwrap();
    assert!(fetch(&reader, &link).await.unwrap().0 == file);
    reader.close().await.unwrap();
    let fetched = share(&ledger.so_far()[published.len()..], |wanted| match wanted {
        Wanted::Fetch(locator) => Some(locator),
        _ => None,
    });
    network.shutdown().await;
    (stored, fetched)
}

/// Real nodes, all of which look on. What holds for the sights of all of them holds for any coalition.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_a_guard_sees_a_client_and_no_holder_is_asked_by_one() {
    let (spread, coalition) = (Duration::from_secs(2), vec![0.25]);
    let options = CrowdOptions { nodes: 12, files: 2, bytes: 600 << 10, readers: 1, spread, coalition, seed: 1 };
    let record = crowd::record(&options).await.unwrap();
    let wrong = complaints(&record.seen, &record.members, &record.guards);
    assert!(wrong.is_empty(), "{wrong:?}");

    let truth = journeys(&record.seen);
    let clients: BTreeSet<_> = truth.iter().map(|journey| journey.client).collect();
    assert_eq!(clients.len(), 10, "six publishers, four readers");
    assert!(truth.iter().any(|journey| matches!(journey.wanted, Wanted::Store(..))));
    assert!(truth.iter().any(|journey| matches!(journey.wanted, Wanted::Fetch(..))));
    // All nodes but those that were a client's guard know nothing of it.
    let members: BTreeSet<_> = record.members.iter().copied().collect();
    for client in clients {
        let guards: BTreeSet<usize> =
            truth.iter().filter(|journey| journey.client == client).map(|journey| journey.guard).collect();
        let others: Vec<Seen> = record.seen.iter().filter(|one| !guards.contains(&one.node)).copied().collect();
        assert!(guesses(&others, &members).iter().all(|guess| guess.client != client));
    }
    // And all nodes together know everybody: the guess is one.
    let guessed = guesses(&record.seen, &members);
    let right = |journey: &&palimpsest_testnet::anonymity::sights::Journey| {
        guessed.iter().any(|guess| (guess.came, guess.client) == (journey.came, journey.client))
    };
    assert_eq!(truth.iter().filter(right).count(), truth.len());
}
