//! The main job over a whole network in one process: what is published is fetched, whatever its size, also with half of the
//! nodes gone; and what cannot be fetched is said to be so.

use super::common::{DEADLINE, content, fetch, fetch_range, newcomer, publish};
use bytes::Bytes;
use palimpsest_client::{Client, Error, FetchOptions, Kind, Progress, PublishOptions, Source, StripeName};
use palimpsest_proto::params::{DATA_SHARDS_MAX, PACK_BYTES_MAX};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_every_kind_come_back_whole() {
    let network = Network::start(NetworkOptions::honest(12)).await.unwrap();
    let client = network.client("publisher").await.unwrap();
    let reader = network.client("reader").await.unwrap();
    let repeats = Bytes::from(content(1, 300_000).repeat(12));
    let files = [
        Bytes::new(),
        content(2, 1),
        content(3, 64),
        content(4, 65),
        content(5, 128 * 1024),
        content(6, 128 * 1024 + 1),
        content(7, 3_000_000),
        Bytes::from(vec![0; 3_000_000]),
        repeats,
    ];
    for file in files {
        let published = publish(&client, &file).await.unwrap();
        assert_eq!(published.bytes, file.len() as u64);
        let (got, fetched) = fetch(&reader, &published.link).await.unwrap();
        assert!(got == file, "{} bytes came back changed", file.len());
        assert_eq!(fetched.bad_answers, 0);
        // The same bytes, the same secret: the same link.
        if file.len() < 1_000_000 {
            assert_eq!(publish(&client, &file).await.unwrap().link, published.link);
        }
    }
    // Another user's secret: another link.
    let other = network.client("other").await.unwrap();
    let file = content(4, 65);
    assert_ne!(publish(&other, &file).await.unwrap().link, publish(&client, &file).await.unwrap().link);
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_is_exactly_that_part_and_costs_little_more() {
    let network = Network::start(NetworkOptions::honest(12)).await.unwrap();
    let client = network.client("user").await.unwrap();
    let file = content(8, 10 << 20);
    let link = publish(&client, &file).await.unwrap().link;
    for range in [0..1, 5_000_000..5_000_010, 4_193_279..4_193_281, (10 << 20) - 7..(10 << 20), 3_000_000..9_000_000] {
        let (got, fetched) = fetch_range(&client, &link, Some(range.clone())).await.unwrap();
        assert_eq!(got, &file[range.start as usize..range.end as usize], "{range:?}");
        assert_eq!(fetched.file_size, 10 << 20);
        let stripes = (range.end - range.start) / PACK_BYTES_MAX as u64 + 2;
        // And the root's two.
        assert!(fetched.shards_got <= stripes * DATA_SHARDS_MAX as u64 + 2, "{range:?}: {fetched:?}");
    }
    let outside = fetch_range(&client, &link, Some(10 << 20..11 << 20)).await.unwrap_err();
    assert_eq!(outside.kind(), Kind::Usage);
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_half_of_the_nodes_may_vanish() {
    let mut network = Network::start(NetworkOptions::honest(24)).await.unwrap();
    let file = content(9, 6 << 20);
    let publisher = network.client("publisher").await.unwrap();
    let published = publish(&publisher, &file).await.unwrap();
    assert!(published.survival[2].1 <= 1e-6, "{:?}", published.survival);
    // A reader with a table from before, and one that has never been there. (Several of the first kind: see `newcomer`.)
    for attempt in 0..4 {
        network.client(&format!("stale-{attempt}")).await.unwrap().close().await.unwrap();
    }
    network.kill_all(&(12..24).collect::<Vec<_>>()).await;
    for name in ["stale", "fresh"] {
        let reader = newcomer(&network, name).await;
        let (got, _) = fetch(&reader, &published.link).await.unwrap();
        assert!(got == file, "{name}");
        reader.close().await.unwrap();
    }
    network.shutdown().await;
}

/// Why nobody gets it. A machine that stands still for a moment hides more than what is gone, but not from everybody who comes: up to
/// four others try until one is told what is `expected`.
async fn refused(network: &Network, client: &Client, link: &str, expected: fn(&Error) -> bool) -> Error {
    let mut error = fetch(client, link).await.unwrap_err();
    for number in 0..4 {
        if expected(&error) {
            break;
        }
        let other = newcomer(network, &format!("other-{number}")).await;
        error = fetch(&other, link).await.unwrap_err();
        other.close().await.unwrap();
    }
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_published_is_absent_and_the_witnesses_are_counted() {
    let network = Network::start(NetworkOptions::honest(24)).await.unwrap();
    let client = network.client("user").await.unwrap();
    let elsewhere = Network::start(NetworkOptions::honest(6)).await.unwrap();
    let foreign = elsewhere.client("user").await.unwrap();
    let link = publish(&foreign, &content(10, 1000)).await.unwrap().link;
    match refused(&network, &client, &link, |error| matches!(error, Error::Absent { .. })).await {
        Error::Absent { nodes_said, asked } => {
            assert!(nodes_said >= 16 && nodes_said <= asked, "{nodes_said} of {asked}");
        }
        other => panic!("{other}"),
    }
    elsewhere.shutdown().await;
    network.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_too_few_shards_left_it_says_how_many() {
    let mut network = Network::start(NetworkOptions::honest(14)).await.unwrap();
    let client = network.client("user").await.unwrap();
    let file = content(11, PACK_BYTES_MAX + (300 << 10));
    let link = publish(&client, &file).await.unwrap().link;
    // Empty disks under the same names: the records and shards of 11 of 14 nodes are gone, the nodes are not. The three that
    // have least keep theirs: less than a quarter, whatever the placement, and so too little of one of the stripes at least.
    let mut order: Vec<usize> = (0..14).collect();
    order.sort_by_key(|&index| network.node(index).unwrap().store().usage().shards);
    for &index in &order[3..] {
        network.kill(index).await;
        network.restart_empty(index).await.unwrap();
    }
    network.all_met().await.unwrap();
    match refused(&network, &client, &link, |error| matches!(error, Error::NotRetrievable { .. })).await {
        Error::NotRetrievable { stripe, have, need } => {
            assert!(have < need, "{have} of {need}");
            // The references of two stripes lie in the manifest: there is no other stripe.
            assert!(stripe == StripeName::Root || stripe.number() < 2, "{stripe}");
            assert!(!matches!(stripe, StripeName::Reference { .. }), "{stripe}");
        }
        other => panic!("{other}"),
    }
    network.shutdown().await;
}

/// Shards, those that are fetched back, and the requests of a reader leave at random moments; what comes of it is as without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_and_fetches_are_spread_over_time() {
    let network = Network::start(NetworkOptions::honest(8)).await.unwrap();
    let client = network.client("patient").await.unwrap();
    let file = content(34, 4_000_000);
    let publish_over = async |source: Source, spread: Duration| {
        let options = PublishOptions { spread: Some(spread), ..PublishOptions::default() };
        tokio::time::timeout(DEADLINE, client.publish(source, options, &Progress::new())).await.unwrap()
    };
    let spread = Duration::from_secs(2);
    let published = publish_over(Source::Bytes(file.clone()), spread).await.unwrap();
    // Some two hundred exponential times: their sum is far from half of its mean.
    assert!(published.elapsed > spread / 2 && published.proven > 0, "{:?}", published.elapsed);
    let eight_days = Duration::from_secs(8 * 86_400);
    let link = published.link.parse().unwrap();
    let reader = network.client("reader").await.unwrap();
    let fetch_over = async |spread: Duration| {
        let (options, mut sink) = (FetchOptions { spread: Some(spread), ..FetchOptions::default() }, Vec::new());
        let progress = Progress::new();
        let work = reader.fetch(&link, options, &mut sink, &progress);
        tokio::time::timeout(DEADLINE, work).await.unwrap().map(|_| sink)
    };
    let begun = Instant::now();
    assert!(fetch_over(spread).await.unwrap() == file);
    // Sixty of them and more in four fifths of the time: one such sum in ten million is half of its mean.
    assert!(begun.elapsed() > spread * 2 / 5, "{:?}", begun.elapsed());
    assert_eq!(fetch_over(eight_days).await.unwrap_err().kind(), Kind::Usage);

    // What is no file may be gone after it was counted.
    let device = Source::Path("/dev/null".into());
    for (source, spread) in [(Source::Bytes(file), eight_days), (Source::Stdin, spread), (device, spread)] {
        assert_eq!(publish_over(source, spread).await.unwrap_err().kind(), Kind::Usage);
    }
    network.shutdown().await;
}
