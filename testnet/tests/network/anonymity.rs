//! Anonymity as far as it does not depend on luck or time: who can see what, and how many are linked for these dice.

use palimpsest_testnet::anonymity::crowd::{self, CrowdOptions};
use palimpsest_testnet::anonymity::linking::guesses;
use palimpsest_testnet::anonymity::model::{self, DRAWN_MOST, ModelOptions};
use palimpsest_testnet::anonymity::sights::{Seen, Wanted, complaints, journeys};
use std::collections::BTreeSet;
use std::time::Duration;

/// The dice are given: the figures are the same on every machine.
#[test]
fn a_client_of_one_guard_is_linked_no_oftener_than_its_guard_is_bad() {
    let options = ModelOptions { nodes: 200, clients: 300, coalition: vec![0.1, 0.2], seed: 1 };
    let report = model::measure(&options).unwrap();
    for one in &report.linking {
        for after in &one.after {
            assert!(!after.linked.is_above(one.coalition), "{one:?}");
        }
        // What the guard is for: without it, or with three, the bound does not hold after a thousand requests.
        let last = one.after.last().unwrap();
        assert!(last.linked_without > 0.99 && last.linked_with_three > 1.5 * one.coalition, "{last:?}");
        assert!(last.linked.share > one.coalition / 2.0, "a bad guard is as good as linked: {last:?}");
        let in_a_year = 1.0 - (1.0 - one.coalition).powi(3);
        assert!(!one.year.is_above(in_a_year), "{one:?}");
    }
    let usual = report.drawn.iter().filter(|drawn| drawn.prefixes > 8);
    let mut seats = BTreeSet::new();
    for one in usual {
        seats.insert(one.seats);
        assert!(!one.guards.is_above(DRAWN_MOST * one.coalition), "{one:?}");
        assert!(one.all_relays <= DRAWN_MOST * one.coalition, "{one:?}");
    }
    assert_eq!(seats.len(), 3);
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
    assert_eq!(clients.len(), 8, "six publishers, two readers");
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
