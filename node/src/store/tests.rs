//! The store against a model, and against a disk that fails in each of its ways. Sudden death and all that follows from it is
//! in `tests/torture`.

mod damage;
mod full;
mod leases;
mod model;

use super::*;
use palimpsest_proto::crypto;
use palimpsest_proto::params::CLOCK_SKEW_SECONDS;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// A quota with room for a few files of shards.
const QUOTA: u64 = 32 * 1024 * 1024;
/// "Now" in these tests.
const NOW: u64 = 1_000_000;
const LATER: Timestamp = Timestamp(NOW + 100_000);

/// A lease that is over when the clock is set to [`OVER`].
const SHORT: Timestamp = Timestamp(NOW + 10);
/// When short leases are over, also by a clock that is behind.
const OVER: u64 = NOW + 11 + CLOCK_SKEW_SECONDS;

/// The wall clock, in seconds, and how far it went by itself, which is the uptime. The test sets them.
#[derive(Clone)]
struct Hands(Arc<[AtomicU64; 2]>);

impl Hands {
    fn new() -> Hands {
        Hands(Arc::new([NOW.into(), 0.into()]))
    }
    /// Time passes until `now`.
    fn set(&self, now: u64) {
        self.0[1].fetch_add(now - self.0[0].load(Relaxed), Relaxed);
        self.jump(now);
    }
    /// The wall clock is set.
    fn jump(&self, now: u64) {
        self.0[0].store(now, Relaxed);
    }
    fn config(&self, dir: &Path, quota_bytes: u64) -> StoreConfig {
        let (wall, uptime) = (self.0.clone(), self.0.clone());
        StoreConfig {
            clock: Arc::new(move || Timestamp(wall[0].load(Relaxed))),
            uptime: Arc::new(move || Duration::from_secs(uptime[1].load(Relaxed))),
            // The first free one: damage is done at known places.
            dice: Arc::new(|| 0),
            ..StoreConfig::new(dir, quota_bytes)
        }
    }
}

/// A disk whose syncs fail while it is told to.
#[derive(Debug, Default)]
struct SyncFails(AtomicBool);

impl Faults for SyncFails {
    fn check(&self, _: &Path, access: Access<'_>) -> io::Result<()> {
        match access {
            Access::Sync if self.0.load(Relaxed) => Err(io::ErrorKind::Other.into()),
            _ => Ok(()),
        }
    }
}

/// A store on such a disk.
fn open_on_failing_disk(dir: &Path) -> (Store, Arc<SyncFails>) {
    let faults = Arc::new(SyncFails::default());
    let config = StoreConfig { faults: Some(faults.clone()), ..Hands::new().config(dir, QUOTA) };
    (Store::open(config).unwrap(), faults)
}

fn open(dir: &Path, quota_bytes: u64) -> Result<Store, StoreError> {
    open_at(dir, quota_bytes, &Hands::new())
}

fn open_at(dir: &Path, quota_bytes: u64, hands: &Hands) -> Result<Store, StoreError> {
    Store::open(hands.config(dir, quota_bytes))
}

/// A shard like no other number's, made quickly.
fn shard(number: u64) -> Shard {
    let mut bytes = vec![0; SHARD_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[SHARD_BYTES - 8..].copy_from_slice(&number.to_be_bytes());
    Shard::new(bytes.into()).unwrap()
}

fn address(number: u64) -> RecordAddress {
    RecordAddress(crypto::hash(&number.to_le_bytes()))
}

/// Bytes that the folder takes on the disk.
fn disk_bytes(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(dir).unwrap();
    let inside: u64 = if metadata.is_dir() {
        std::fs::read_dir(dir).unwrap().map(|entry| disk_bytes(&entry.unwrap().path())).sum()
    } else {
        0
    };
    metadata.blocks() * 512 + inside
}

/// Puts shards `from..to` at once, so that they share batches.
async fn put_all(store: &Store, numbers: std::ops::Range<u64>, lease: Timestamp) -> Vec<Result<Put, StoreError>> {
    futures::future::join_all(numbers.map(|n| store.put(shard(n), lease))).await
}

async fn assert_all_there(store: &Store, numbers: std::ops::Range<u64>) {
    for n in numbers {
        assert_eq!(store.get(shard(n).locator()).await, Ok(Some(shard(n))), "shard {n}");
    }
}

#[tokio::test]
async fn what_is_put_is_got_also_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    assert!(put_all(&store, 0..100, LATER).await.iter().all(|put| *put == Ok(Put::New)));
    assert_eq!(store.put(shard(3), LATER).await, Ok(Put::Renewed));
    assert_eq!(store.put_record(address(1), Bytes::from_static(b"record"), LATER).await, Ok(Put::New));
    assert_all_there(&store, 0..100).await;
    assert_eq!(store.get(shard(100).locator()).await, Ok(None));
    let probe = [shard(1).locator(), shard(100).locator(), shard(2).locator()];
    assert_eq!(store.has(&probe), Ok(0b101));
    store.close().await;
    assert_eq!(store.put(shard(1), LATER).await, Err(StoreError::Closed));
    assert_eq!(store.get(shard(1).locator()).await, Err(StoreError::Closed));
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, 0..100).await;
    assert_eq!(store.get_record(address(1)).await, Ok(Some(Bytes::from_static(b"record"))));
    let usage = store.usage();
    assert_eq!((usage.shards, usage.records, usage.rotten, usage.index_in_memory), (100, 1, 0, false));
    assert!(usage.fill() > 0 && usage.fill() < 100);
}

#[tokio::test]
async fn the_same_shard_twice_in_one_batch_is_stored_once() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    let puts = futures::future::join_all((0..50).map(|_| store.put(shard(7), LATER))).await;
    assert_eq!(puts.iter().filter(|put| **put == Ok(Put::New)).count(), 1);
    assert_eq!(puts.iter().filter(|put| **put == Ok(Put::Renewed)).count(), 49);
    assert_eq!(store.usage().shards, 1);
}

#[tokio::test]
async fn a_record_is_replaced_and_its_old_slot_is_free_again() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    for round in 0..200u8 {
        let record = Bytes::from(vec![round; 1 + usize::from(round) * 40]);
        assert_eq!(store.put_record(address(5), record.clone(), LATER).await, Ok(Put::New));
        assert_eq!(store.get_record(address(5)).await, Ok(Some(record)));
    }
    // At once, and so in the same batch.
    let puts = (0..20u8).map(|n| store.put_record(address(5), Bytes::from(vec![n; 9]), LATER));
    assert!(futures::future::join_all(puts).await.iter().all(Result::is_ok));
    assert_eq!(store.usage().records, 1);
    assert_eq!(store.get_record(address(5)).await, Ok(Some(Bytes::from(vec![19; 9]))));
    let too_long = Bytes::from(vec![0; RECORD_BYTES_MAX + 1]);
    let refused = store.put_record(address(6), too_long, LATER).await;
    assert_eq!(refused, Err(StoreError::RecordTooLong(RECORD_BYTES_MAX + 1)));
    let longest = Bytes::from(vec![1; RECORD_BYTES_MAX]);
    assert_eq!(store.put_record(address(6), longest.clone(), LATER).await, Ok(Put::New));
    assert_eq!(store.get_record(address(6)).await, Ok(Some(longest)));
}

#[tokio::test]
async fn a_second_opening_is_refused_until_the_first_ends() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path(), QUOTA).unwrap();
    assert_eq!(open(dir.path(), QUOTA).err(), Some(StoreError::Locked { dir: dir.path().to_owned() }));
    let handle = first.clone();
    first.close().await;
    open(dir.path(), QUOTA).unwrap().close().await;
    drop(handle);
}

#[tokio::test]
async fn dropping_the_last_handle_ends_the_store() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    store.put(shard(1), LATER).await.unwrap();
    let ended = store.ended.lock().unwrap().take().unwrap();
    drop(store);
    ended.await.unwrap();
    assert_all_there(&open(dir.path(), QUOTA).unwrap(), 1..2).await;
}

#[tokio::test]
async fn a_put_whose_caller_went_away_does_no_harm() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    for n in 0..20 {
        let put = store.put(shard(n), LATER);
        tokio::select! { biased; _ = put => {}, _ = std::future::ready(()) => {} }
    }
    assert!(put_all(&store, 0..20, LATER).await.iter().all(Result::is_ok));
    assert_all_there(&store, 0..20).await;
    assert_eq!(store.usage().shards, 20);
}
