//! Leases changed and listed without the contents.

use super::*;

fn locators(numbers: std::ops::Range<u64>) -> Vec<Locator> {
    numbers.map(|n| shard(n).locator()).collect()
}

/// Every stored shard with its lease, listed in pieces of `count`.
fn listed(store: &Store, count: usize) -> Vec<(Locator, Timestamp)> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let some = store.shards_after(after, count).unwrap();
        after = some.last().map(|(locator, _)| *locator);
        all.extend(some.iter().copied());
        if some.len() < count {
            return all;
        }
    }
}

#[tokio::test]
async fn a_renewal_prolongs_what_is_there_and_shortens_nothing() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..5, SHORT).await;
    put_all(&store, 7..9, Timestamp(LATER.0 + 5000)).await;
    assert_eq!(store.renew(&locators(0..32), LATER).await, Ok(0b1_1001_1111));
    assert_eq!(store.renew(&locators(20..30), LATER).await, Ok(0));
    store.close().await;
    let store = open(dir.path(), QUOTA).unwrap();
    for (locator, lease) in listed(&store, 100) {
        let long = locators(7..9).contains(&locator);
        assert_eq!(lease, if long { Timestamp(LATER.0 + 5000) } else { LATER });
    }
    // Only so many are looked at.
    put_all(&store, 0..40, LATER).await;
    assert_eq!(store.renew(&locators(0..40), LATER).await, Ok(u32::MAX));
    store.close().await;
    assert_eq!(store.renew(&locators(0..1), LATER).await, Err(StoreError::Closed));
}

#[tokio::test]
async fn a_renewal_in_the_batch_that_stores_the_shard_finds_it() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    let locators = locators(0..3);
    let later = Timestamp(LATER.0 + 7);
    let (puts, renewed) = tokio::join!(put_all(&store, 0..3, LATER), store.renew(&locators, later));
    assert!(puts.iter().all(|put| *put == Ok(Put::New)));
    assert_eq!(renewed, Ok(0b111));
    assert!(listed(&store, 9).iter().all(|(_, lease)| *lease == later));
}

#[tokio::test]
async fn a_renewal_whose_sync_fails_is_not_acknowledged_now_or_later() {
    let dir = TempDir::new().unwrap();
    let (store, sync_fails) = open_on_failing_disk(dir.path());
    put_all(&store, 0..70, SHORT).await;
    sync_fails.0.store(true, Relaxed);
    assert!(matches!(store.renew(&locators(0..2), LATER).await, Err(StoreError::Disk { .. })));
    sync_fails.0.store(false, Relaxed);
    // The cells in memory have the lease; whether the disk has it is unknown, and asking again does not help.
    assert!(matches!(store.renew(&locators(0..2), LATER).await, Err(StoreError::Disk { .. })));
    // Slots of another file do not suffer from it.
    assert_eq!(store.renew(&[shard(0).locator(), shard(69).locator()], LATER).await, Ok(0b10));
    // Who sends the shard has it stored anew, where it lasts.
    assert_eq!(store.put(shard(0), LATER).await, Ok(Put::New));
    assert_eq!(store.renew(&locators(0..1), LATER).await, Ok(1));
    assert_eq!(store.find(Kind::Shards, &shard(0).locator().0).unwrap().unwrap().file(), 1);
    assert_all_there(&store, 0..70).await;
    assert_eq!(store.usage().shards, 70);
    store.close().await;
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, 0..70).await;
    assert_eq!(store.usage().shards, 70);
}

#[tokio::test]
async fn what_is_released_is_served_and_is_the_first_to_go() {
    let dir = TempDir::new().unwrap();
    let hands = Hands::new();
    let store = open_at(dir.path(), QUOTA, &hands).unwrap();
    let fits = store.usage().shards_max;
    // The first file's leases are over too, but ended later than a released one's.
    put_all(&store, 0..63, SHORT).await;
    put_all(&store, 63..fits, LATER).await;
    hands.set(OVER);
    let last = shard(fits - 1).locator();
    assert_eq!(store.release(last, SHORT).await, Ok(false), "the lease was prolonged since");
    assert_eq!(store.release(shard(fits).locator(), LATER).await, Ok(false), "not stored");
    assert_eq!(store.release(last, LATER).await, Ok(true));
    assert_all_there(&store, 0..fits).await;
    assert_eq!(store.put(shard(fits), LATER).await, Ok(Put::New));
    assert_eq!(store.get(last).await, Ok(None));
    assert_all_there(&store, 63..fits - 1).await;
}

#[tokio::test]
async fn a_released_shard_that_is_wanted_again_stays() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    let fits = store.usage().shards_max;
    put_all(&store, 0..fits, LATER).await;
    for n in 0..2 {
        assert_eq!(store.release(shard(n).locator(), LATER).await, Ok(true));
    }
    assert_eq!(store.put(shard(0), LATER).await, Ok(Put::Renewed));
    assert_eq!(store.renew(&locators(1..2), LATER).await, Ok(1));
    assert_eq!(store.put(shard(fits), LATER).await, Err(StoreError::QuotaReached));
    assert_all_there(&store, 0..fits).await;
}

#[tokio::test]
async fn shards_are_listed_in_order_with_their_leases() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    for n in 0..50 {
        store.put(shard(n), Timestamp(NOW + n)).await.unwrap();
    }
    let mut expected: Vec<_> = (0..50).map(|n| (shard(n).locator(), Timestamp(NOW + n))).collect();
    expected.sort();
    for count in [1, 7, 50, 1000] {
        assert_eq!(listed(&store, count), expected);
    }
    // A name whose cell says something else does not end the list.
    let (first, _) = expected.remove(0);
    let slot = store.find(Kind::Shards, &first.0).unwrap().unwrap();
    store.shared.files(Kind::Shards).write_cell(slot, &Cell::Bad).unwrap();
    assert_eq!(listed(&store, 1), expected);
}

#[tokio::test]
async fn records_are_listed_in_order_with_their_leases_and_released() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    let mut expected: Vec<_> = (0..50).map(|n| (address(n), Timestamp(NOW + n))).collect();
    for (address, lease) in &expected {
        store.put_record(*address, Bytes::from_static(b"r"), *lease).await.unwrap();
    }
    expected.sort();
    assert_eq!(store.records_after(None, 1000), Ok(expected.clone()));
    assert_eq!(store.records_after(Some(expected[9].0), 3), Ok(expected[10..13].to_vec()));
    assert_eq!(store.records_after(Some(expected[49].0), 3), Ok(vec![]));
    let (first, lease) = expected[0];
    assert_eq!(store.release_record(first, lease).await, Ok(true));
    assert_eq!(store.records_after(None, 1), Ok(vec![(first, Timestamp(0))]));
    assert_eq!(store.get_record(first).await, Ok(Some(Bytes::from_static(b"r"))));
    assert_eq!(store.has_records(&[address(99), first, address(3)], Timestamp(0)), Ok(0b110));
}

#[tokio::test]
async fn leaping_clocks_evict_nothing_that_is_leased() {
    const YEAR: u64 = 365 * 86_400;
    let dir = TempDir::new().unwrap();
    let hands = Hands::new();
    hands.set(10 * YEAR);
    let store = open_at(dir.path(), QUOTA, &hands).unwrap();
    let fits = store.usage().shards_max;
    let lease = Timestamp(10 * YEAR + 90 * 86_400);
    put_all(&store, 0..fits, lease).await;
    for wall in [10 * YEAR - 3600, 10 * YEAR + 3600, 15 * YEAR, 0] {
        hands.jump(wall);
        assert_eq!(store.put(shard(fits), lease).await, Err(StoreError::QuotaReached));
    }
    // Nor does a start believe a clock that leapt while the node was off.
    store.close().await;
    hands.jump(15 * YEAR);
    let store = open_at(dir.path(), QUOTA, &hands).unwrap();
    assert_eq!(store.put(shard(fits), lease).await, Err(StoreError::QuotaReached));
    assert_all_there(&store, 0..fits).await;
    // With the right clock they end in time, and give way.
    hands.jump(10 * YEAR);
    hands.set(10 * YEAR + 91 * 86_400);
    assert_eq!(store.put(shard(fits), Timestamp(10 * YEAR + 100 * 86_400)).await, Ok(Put::New));
}
