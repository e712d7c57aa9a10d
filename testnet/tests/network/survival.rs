//! The measure of survival, in small.

use super::common::DEADLINE;
use palimpsest_client::coding::Survive;
use palimpsest_testnet::survival::{Options, measure};

/// Whatever k shards are left of is fetched by a stranger, and nothing else was predicted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_survive_as_predicted() {
    let options =
        Options { nodes: 20, files: 6, survive: Survive::Third, killed_percent: vec![30], deadline: DEADLINE, seed: 1 };
    let report = measure(&options).await.unwrap();
    let [point] = &report.fetched[..] else { panic!("one part was killed") };
    assert_eq!((point.left, point.fetched), (6, 6));
    assert!(report.agrees());
}
