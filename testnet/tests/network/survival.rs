//! The measure of survival, in small.

use super::common::DEADLINE;
use palimpsest_client::coding::Survive;
use palimpsest_testnet::survival::{Options, measure};

/// Whatever k shards are left of is fetched by a stranger. So many die that files may be lost, or nothing would be measured.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_survive_as_predicted() {
    let (nodes, files, killed_percent) = (20, 16, vec![50, 70]);
    let options = Options { nodes, files, survive: Survive::Tenth, killed_percent, deadline: DEADLINE, seed: 1 };
    let report = measure(&options).await.unwrap();
    let [half, most] = &report.fetched[..] else { panic!("twice some were killed") };
    for point in [half, most] {
        assert_eq!(point.left, point.fetched, "{point:?}");
        // On a machine that stands still for a moment somebody who is there is taken for dead now and then.
        assert!(point.again * 8 <= files, "{point:?}");
    }
    // Neither all of them, nor anything, was predicted.
    assert!(most.predicted.mean < half.predicted.mean && (1..files - 2).contains(&most.predicted.low), "{most:?}");
    // Not by the intervals of 95 %, out of which honest networks fall, too, one time in twenty.
    assert!(report.is_possible(), "{report:?}");
}
