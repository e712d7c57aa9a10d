//! Disks that answer with errors: EIO at each write, no space at each level, read-only from any moment on.

use crate::disk::{Disk, ENOSPC, Plan};
use crate::life::{Life, shard};
use palimpsest_node::store::StoreError;
use palimpsest_proto::time::Timestamp;
use std::sync::Arc;

const QUOTA: u64 = 48 * 1024 * 1024;
const BATCHES: u64 = 4;
const FOREVER: Timestamp = Timestamp(20_300 * 86_400);

/// What came of a number of points.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) points: u64,
    pub(crate) acknowledged: u64,
    pub(crate) refused: u64,
    pub(crate) lost: u64,
}

/// The steps of an undisturbed life from this seed.
pub(crate) async fn steps(seed: u64) -> u64 {
    let dir = tempfile::TempDir::new().unwrap();
    let mut life = Life::new(dir.path(), QUOTA, seed);
    let disk = Arc::new(Disk::new(Plan::Sound));
    let store = life.open(&disk);
    for _ in 0..BATCHES {
        life.work(&store, &disk).await;
    }
    store.close().await;
    assert_eq!(life.lost(&life.open(&disk)).await + life.refused, 0);
    disk.steps()
}

/// The same life again and again, with an error at one of `at`, which may last.
pub(crate) async fn errors(seed: u64, at: impl Iterator<Item = u64>, errno: i32, lasts: bool) -> Outcome {
    let mut outcome = Outcome::default();
    for at in at {
        let dir = tempfile::TempDir::new().unwrap();
        let mut life = Life::new(dir.path(), QUOTA, seed);
        let disk = Arc::new(Disk::new(Plan::Fail { at, errno, lasts }));
        let store = life.open(&disk);
        for _ in 0..BATCHES {
            life.work(&store, &disk).await;
            let (readable, owed) = life.readable(&store).await;
            outcome.lost += owed - readable;
        }
        if !lasts {
            // One error, be it this put's, is not the end of it: it goes on without anybody's help.
            let first = store.put(shard(u64::MAX), FOREVER).await.is_ok();
            let is_alive = first || store.put(shard(u64::MAX), FOREVER).await.is_ok();
            assert!(is_alive, "stuck after an error at step {at}");
        }
        store.close().await;
        outcome.lost += life.check().await;
        // With the disk repaired, all is as before.
        let store = life.open(&Arc::new(Disk::new(Plan::Sound)));
        assert!(store.put(shard(u64::MAX - 1), FOREVER).await.is_ok());
        store.close().await;
        outcome.points += 1;
        outcome.acknowledged += life.acknowledged;
        outcome.refused += life.refused;
    }
    outcome
}

/// Fills a store of so many slot files, and at each percent takes all space away for a while.
pub(crate) async fn full_at_each_percent(files: u64) -> Outcome {
    let dir = tempfile::TempDir::new().unwrap();
    let mut life = Life::new(dir.path(), files * 4_132_864 * 17 / 15 + 5 * 1024 * 1024, 1);
    let disk = Arc::new(Disk::new(Plan::Sound));
    let store = life.open(&disk);
    let shards_max = store.usage().shards_max;
    let mut outcome = Outcome::default();
    let (mut stored, mut next) = (Vec::new(), 0);
    for percent in 0..100 {
        while store.usage().shards * 100 < percent * shards_max {
            let puts = futures::future::join_all((next..next + 8).map(|n| store.put(shard(n), FOREVER))).await;
            stored.extend((next..next + 8).zip(&puts).filter(|(_, put)| put.is_ok()).map(|(n, _)| n));
            next += 8;
        }
        let writes = percent % 2 == 1;
        disk.set(Plan::Full { writes });
        // More than one file has room for.
        let puts = futures::future::join_all((next..next + 8).map(|n| store.put(shard(n), FOREVER))).await;
        for (n, put) in (next..).zip(puts) {
            match put {
                Ok(_) => stored.push(n),
                Err(error) => {
                    let allowed = error == StoreError::DiskFull || error == StoreError::QuotaReached;
                    assert!(allowed, "{error} (errno {ENOSPC}) at {percent} %");
                    outcome.refused += 1;
                }
            }
        }
        next += 8;
        // Reads go on.
        for n in stored.iter().rev().take(20).chain(stored.iter().step_by(37)) {
            outcome.lost += u64::from(store.get(shard(*n).locator()).await != Ok(Some(shard(*n))));
        }
        disk.set(Plan::Sound);
        outcome.points += 1;
    }
    store.close().await;
    let store = life.open(&disk);
    for n in &stored {
        outcome.lost += u64::from(store.get(shard(*n).locator()).await != Ok(Some(shard(*n))));
    }
    outcome.acknowledged = stored.len() as u64;
    life.refused = outcome.refused;
    store.close().await;
    outcome
}
