//! The store under attack by reality. Here in short; in full: `cargo bench -p palimpsest-node --bench torture`.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

mod disk;
mod errors;
mod kill;
mod life;
mod power;
mod rot;

use disk::{EIO, ENOSPC, EROFS};

/// Not a test by itself: what the child of the next one runs.
#[test]
fn child() {
    kill::child();
}

#[tokio::test]
async fn what_was_acknowledged_outlives_kill_9() {
    let args = ["child", "--exact", "--nocapture", "--test-threads=1"];
    let (acknowledged, lost) = kill::kills(25, &args).await;
    assert!(acknowledged > 25);
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn what_was_acknowledged_outlives_power_loss_with_torn_and_lost_writes() {
    let (acknowledged, lost) = power::power_losses(60, 1).await;
    assert!(acknowledged > 60);
    assert_eq!(lost, 0);
}

#[tokio::test]
async fn an_error_at_any_step_costs_nothing_that_was_acknowledged() {
    let steps = errors::steps(5).await;
    let mut refused = 0;
    for (errno, lasts) in [(EIO, false), (EIO, true), (EROFS, true), (ENOSPC, false)] {
        // Every eleventh step, another set for each.
        let at = (errno as u64 % 11..steps).step_by(11);
        let outcome = errors::errors(5, at, errno, lasts).await;
        assert!(outcome.points > 3, "{outcome:?}");
        assert_eq!(outcome.lost, 0, "{outcome:?}");
        refused += outcome.refused;
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn a_disk_that_is_full_at_any_percent_costs_nothing_that_was_acknowledged() {
    let outcome = errors::full_at_each_percent(4).await;
    assert_eq!((outcome.points, outcome.lost), (100, 0));
    assert!(outcome.refused > 100 && outcome.acknowledged > 100, "{outcome:?}");
}

#[tokio::test]
async fn every_flipped_bit_is_found_by_one_scrub_and_none_is_served() {
    let rot = rot::rot(100, 3).await;
    assert_eq!(rot, rot::Rot { flipped: 100, found: 100, served: 0, restored: 100 });
}
