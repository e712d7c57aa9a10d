//! One bit flipped in each of many slots.

use crate::disk::Dice;
use crate::life::shard;
use palimpsest_node::store::{Put, Scrubbed, Store, StoreConfig};
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::time::Timestamp;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

const LATER: Timestamp = Timestamp(u64::MAX / 2);
/// Slots of a file, and where the first begins.
const SLOTS: u64 = 63;
const HEADER_BYTES: u64 = 4096;

/// What became of the flipped bits.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Rot {
    pub(crate) flipped: u64,
    /// By one scrub.
    pub(crate) found: u64,
    /// Rotten ones handed out, before the scrub or after.
    pub(crate) served: u64,
    /// Stored anew afterwards, and read back.
    pub(crate) restored: u64,
}

/// Fills `count` slots, flips a bit in each, has every seventh read, scrubs once, reads all, and stores all anew.
pub(crate) async fn rot(count: u64, seed: u64) -> Rot {
    let dir = tempfile::TempDir::new().unwrap();
    // Slots are given out in their order, so that it is known where something lies.
    let config = StoreConfig { dice: Arc::new(|| 0), ..StoreConfig::new(dir.path(), 1 << 30) };
    let store = Store::open(config).unwrap();
    for from in (0..count).step_by(64) {
        let puts = (from..count.min(from + 64)).map(|n| store.put(shard(n), LATER));
        assert!(futures::future::join_all(puts).await.iter().all(Result::is_ok));
    }
    let (mut rot, mut dice) = (Rot::default(), Dice(seed));
    for slot in 0..count {
        let path = dir.path().join(format!("shards/{:08}.pal", slot / SLOTS));
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let offset = HEADER_BYTES + slot % SLOTS * SHARD_BYTES as u64 + dice.below(SHARD_BYTES as u64);
        let mut byte = [0];
        file.read_exact_at(&mut byte, offset).unwrap();
        file.write_all_at(&[byte[0] ^ 1 << dice.below(8)], offset).unwrap();
        rot.flipped += 1;
    }
    let mut read_before = 0;
    for n in (0..count).step_by(7) {
        rot.served += u64::from(store.get(shard(n).locator()).await.unwrap().is_some());
        read_before += 1;
        // A put waits for the writer to have done what readers reported.
        store.put(shard(u64::MAX), LATER).await.unwrap();
    }
    let (mut sum, mut step) = (Scrubbed::default(), 0);
    while let Some(scrubbed) = store.scrub(step).unwrap() {
        sum.checked += scrubbed.checked;
        sum.rotten += scrubbed.rotten;
        store.put(shard(u64::MAX), LATER).await.unwrap();
        step += 1;
    }
    // What a reader found is out of use already, and no scrub sees it.
    rot.found = sum.rotten + read_before;
    assert_eq!(store.usage().rotten, count);
    for n in 0..count {
        rot.served += u64::from(store.get(shard(n).locator()).await.unwrap().is_some());
        rot.served += u64::from(store.has(&[shard(n).locator()]).unwrap());
    }
    for n in 0..count {
        let put = store.put(shard(n), LATER).await;
        let is_back = store.get(shard(n).locator()).await == Ok(Some(shard(n)));
        rot.restored += u64::from(put == Ok(Put::New) && is_back);
    }
    store.close().await;
    rot
}
