//! An interrupted publish goes on where it was.

use super::common::{Asked, DEADLINE, content, counting, fetch, publish};
use palimpsest_client::{Progress, PublishOptions, Source};
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Shards acknowledged before the interruption: the first stripe and a part of the second.
const BEFORE: usize = 150;
/// Of these, those that may have been on their way a second time when the publish was interrupted: none but on a machine
/// that stood still.
const STRAGGLERS_MAX: usize = BEFORE / 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_an_interruption_is_not_sent_again() {
    let (asked, most) = (Arc::new(Asked::default()), Arc::new(AtomicUsize::new(BEFORE)));
    let options = NetworkOptions { service: Box::new(counting(&asked, &most)), ..NetworkOptions::honest(12) };
    let network = Network::start(options).await.unwrap();
    let file = content(30, 5 << 20);

    let client = network.client("user").await.unwrap();
    let progress = Progress::new();
    let acknowledged = async {
        // The receipts are on their way when the last shard is stored.
        while progress.snapshot().shards_done < BEFORE as u64 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::select! {
        published = client.publish(Source::Bytes(file.clone()), PublishOptions::default(), &progress) => {
            panic!("not interrupted: {published:?}");
        }
        ended = tokio::time::timeout(DEADLINE, acknowledged) => ended.expect("every receipt comes"),
    }
    client.close().await.unwrap();
    let before: HashSet<_> = asked.so_far().into_iter().collect();
    assert_eq!(before.len(), BEFORE);

    most.store(usize::MAX, Ordering::Relaxed);
    let client = network.client("user").await.unwrap();
    let begun = asked.so_far().len();
    let published = publish(&client, &file).await.unwrap();
    assert_eq!(published.shards_resumed, BEFORE as u64);
    let after: HashSet<_> = asked.so_far().drain(begun..).collect();
    // But for what was still under way: shards whose receipts were slow had been sent twice.
    let again = after.intersection(&before).count();
    assert!(again <= STRAGGLERS_MAX, "{again} again");
    assert!(after.len() as u64 >= published.shards_placed - BEFORE as u64);
    let (got, _) = fetch(&client, &published.link).await.unwrap();
    assert!(got == file);

    // Done is done: nothing of it is taken for granted the next time.
    assert_eq!(publish(&client, &file).await.unwrap().shards_resumed, 0);
    network.shutdown().await;
}
