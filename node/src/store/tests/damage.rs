//! Rot, torn writes, lost files, failing syncs.

use super::*;
use crate::store::format::VERSION;
use crate::store::format::tests::take_back;
use std::os::unix::fs::FileExt;

/// Changes bytes of a file in the store's folder.
fn overwrite(dir: &Path, name: &str, offset: u64, bytes: &[u8]) {
    std::fs::OpenOptions::new().write(true).open(dir.join(name)).unwrap().write_all_at(bytes, offset).unwrap();
}

/// Where slot `cell` of the first file of shards begins.
fn content_of(cell: u64) -> u64 {
    4096 + (cell - 1) * SHARD_BYTES as u64
}

/// Waits until the writer has done all that was asked before.
async fn settle(store: &Store) {
    store.put(shard(u64::MAX), LATER).await.unwrap();
}

const FIRST: &str = "shards/00000000.pal";

#[tokio::test]
async fn a_rotten_shard_is_never_handed_out_and_may_be_stored_again() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..10, LATER).await;
    overwrite(dir.path(), FIRST, content_of(4) + 1000, b"x");
    assert_eq!(store.get(shard(3).locator()).await, Ok(None));
    settle(&store).await;
    assert_eq!(store.usage().rotten, 1);
    assert_eq!(store.has(&[shard(3).locator()]), Ok(0));
    assert_eq!(store.put(shard(3), LATER).await, Ok(Put::New));
    assert_all_there(&store, 0..10).await;
    store.close().await;
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, 0..10).await;
    assert_eq!(store.usage().rotten, 1, "the slot stays out of use");
}

#[tokio::test]
async fn renewing_a_rotten_shard_stores_it_anew() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..3, LATER).await;
    overwrite(dir.path(), FIRST, content_of(2), b"rotten!!");
    assert_eq!(store.put(shard(1), LATER).await, Ok(Put::New));
    assert_all_there(&store, 0..3).await;
    assert_eq!((store.usage().rotten, store.usage().shards), (1, 3));
}

#[tokio::test]
async fn a_rotten_record_is_never_handed_out() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    store.put_record(address(1), Bytes::from_static(b"a record"), LATER).await.unwrap();
    overwrite(dir.path(), "records/00000000.pal", 4096, b"b");
    assert_eq!(store.get_record(address(1)).await, Ok(None));
    settle(&store).await;
    assert_eq!((store.usage().rotten, store.usage().records), (1, 0));
    store.put_record(address(1), Bytes::from_static(b"a record"), LATER).await.unwrap();
    assert_eq!(store.get_record(address(1)).await, Ok(Some(Bytes::from_static(b"a record"))));
}

#[tokio::test]
async fn one_scrub_finds_every_flipped_bit() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..130, LATER).await;
    for cell in 1..=63 {
        let place = content_of(cell) + cell * 1000;
        let mut byte = [0];
        let file = std::fs::File::open(dir.path().join(FIRST)).unwrap();
        file.read_exact_at(&mut byte, place).unwrap();
        overwrite(dir.path(), FIRST, place, &[byte[0] ^ (1 << (cell % 8))]);
    }
    let (mut sum, mut step) = (Scrubbed::default(), 0);
    while let Some(found) = store.scrub(step).unwrap() {
        sum.checked += found.checked;
        sum.rotten += found.rotten;
        step += 1;
    }
    assert_eq!(sum, Scrubbed { checked: 130, rotten: 63 });
    settle(&store).await;
    assert_eq!((store.usage().rotten, store.usage().shards), (63, 130 - 63 + 1));
}

#[tokio::test]
async fn a_write_torn_before_it_was_acknowledged_leaves_a_free_slot() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..10, LATER).await;
    store.close().await;
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    // The cell reached the disk, half of the content did not.
    overwrite(dir.path(), FIRST, content_of(10) + 30_000, &[7; 30_000]);
    let store = open(dir.path(), QUOTA).unwrap();
    assert_eq!(store.usage().shards, 9);
    assert_eq!(store.has(&[shard(9).locator()]), Ok(0));
    assert_all_there(&store, 0..9).await;
    assert_eq!(store.put(shard(9), LATER).await, Ok(Put::New));
    assert_all_there(&store, 0..10).await;
    assert_eq!(store.usage().rotten, 0);
}

#[tokio::test]
async fn a_shard_outlives_the_rot_of_its_cell() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..10, LATER).await;
    store.close().await;
    overwrite(dir.path(), FIRST, 5 * 64 + 33, b"x");
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, 0..10).await;
    // Nor does a start after a crash harm it, where the index is gone through.
    store.shared.index.insert(Kind::Shards, &[9; 32], Slot(40)).unwrap();
    store.close().await;
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, 0..10).await;
}

#[tokio::test]
async fn a_garbled_index_is_made_anew() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..100, LATER).await;
    store.put_record(address(1), Bytes::from_static(b"record"), LATER).await.unwrap();
    store.close().await;
    let db = dir.path().join("index/db");
    for garbage in [vec![], vec![0xa5; 100], vec![0; 300_000], vec![0xff; 300_000]] {
        std::fs::write(&db, garbage).unwrap();
        let store = open(dir.path(), QUOTA).unwrap();
        assert_all_there(&store, 0..100).await;
        assert_eq!(store.get_record(address(1)).await, Ok(Some(Bytes::from_static(b"record"))));
        assert_eq!((store.usage().shards, store.usage().rotten), (100, 0));
        store.close().await;
    }
}

#[tokio::test]
async fn an_index_that_runs_ahead_or_behind_is_put_right() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..20, LATER).await;
    // As if a removal, an insertion and a move had been lost with the power.
    let index = &store.shared.index;
    let slot = index.get(Kind::Shards, &shard(0).locator().0).unwrap().unwrap();
    index.insert(Kind::Shards, &shard(500).locator().0, slot).unwrap();
    index.remove(Kind::Shards, &shard(1).locator().0, Slot(2)).unwrap();
    index.insert(Kind::Shards, &shard(2).locator().0, Slot(55)).unwrap();
    store.close().await;
    // The note of a clean end is true only of an index that was not tampered with.
    assert_eq!(notes::take_clean(dir.path()), Ok(true));
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, 0..20).await;
    assert_eq!(store.has(&[shard(500).locator(), shard(1).locator()]), Ok(0b10));
}

#[tokio::test]
async fn an_index_failing_at_work_is_replaced_from_the_cells() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..70, LATER).await;
    store.shared.index.close(0);
    // A reader's refusal has the writer make a new index.
    assert_eq!(store.get(shard(0).locator()).await, Err(StoreError::Index));
    assert_eq!(store.put(shard(70), LATER).await, Ok(Put::New));
    assert!(store.usage().index_in_memory);
    assert_all_there(&store, 0..71).await;
    store.close().await;
    let store = open(dir.path(), QUOTA).unwrap();
    assert!(!store.usage().index_in_memory);
    assert_all_there(&store, 0..71).await;
}

#[tokio::test]
async fn a_file_that_fails_to_sync_acknowledges_nothing_and_is_not_written_again() {
    let dir = TempDir::new().unwrap();
    let (store, sync_fails) = open_on_failing_disk(dir.path());
    put_all(&store, 0..10, LATER).await;
    sync_fails.0.store(true, Relaxed);
    assert!(matches!(store.put(shard(10), LATER).await, Err(StoreError::Disk { .. })));
    assert_eq!(store.get(shard(10).locator()).await, Ok(None));
    sync_fails.0.store(false, Relaxed);
    assert_eq!(store.put(shard(11), LATER).await, Ok(Put::New));
    assert_all_there(&store, 0..10).await;
    let slot = store.find(Kind::Shards, &shard(11).locator().0).unwrap().unwrap();
    assert_eq!(slot.file(), 1, "the first file is not trusted");
}

#[tokio::test]
async fn a_file_left_short_by_a_crash_is_mended() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..63, LATER).await;
    store.close().await;
    std::fs::write(dir.path().join("shards/00000001.pal"), b"").unwrap();
    std::fs::write(dir.path().join("shards/a note"), b"not ours").unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 63..80, LATER).await;
    assert_all_there(&store, 0..80).await;
}

#[tokio::test]
async fn a_lost_slot_file_loses_its_shards_only() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..100, LATER).await;
    store.close().await;
    std::fs::remove_file(dir.path().join(FIRST)).unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    assert_eq!(store.usage().shards, 37);
    let mut there = 0;
    for n in 0..100 {
        there += u32::from(store.get(shard(n).locator()).await.unwrap().is_some());
    }
    assert_eq!(there, 37);
}

#[tokio::test]
async fn an_index_as_it_was_at_an_earlier_clean_end_is_not_trusted() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..20, SHORT).await;
    store.close().await;
    let copy = TempDir::new().unwrap();
    let index = |dir: &Path, name: &str| dir.join("index").join(name);
    for name in ["db", "conf"] {
        std::fs::copy(index(dir.path(), name), copy.path().join(name)).unwrap();
    }
    // As many names as before, but others.
    let store = open(dir.path(), QUOTA).unwrap();
    store.release(shard(3).locator(), SHORT).await.unwrap();
    let fits = store.usage().shards_max;
    assert!(put_all(&store, 20..fits + 1, LATER).await.iter().all(Result::is_ok));
    for n in 20..fits {
        store.release(shard(n).locator(), LATER).await.unwrap();
    }
    let ended = store.ended.lock().unwrap().take().unwrap();
    drop(store);
    ended.await.unwrap();
    // Nothing that sled wrote since has reached the disk.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    std::fs::create_dir(dir.path().join("index")).unwrap();
    for name in ["db", "conf"] {
        std::fs::copy(copy.path().join(name), index(dir.path(), name)).unwrap();
    }
    let _ = std::fs::remove_file(dir.path().join("clean"));
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, fits..fits + 1).await;
    assert_all_there(&store, 4..20).await;
}

const FORMATS: [(Kind, &str); 2] = [(Kind::Shards, "shards"), (Kind::Records, "records")];

#[tokio::test]
async fn files_of_an_unknown_format_are_refused_and_nothing_is_changed() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..100, LATER).await;
    store.put_record(address(1), Bytes::from_static(b"record"), LATER).await.unwrap();
    store.close().await;
    // The first file could be carried over, the second is newer.
    take_back(&dir.path().join(FIRST), Kind::Shards, 0, 0);
    let second = dir.path().join("shards/00000001.pal");
    take_back(&second, Kind::Shards, 1, VERSION + 1);
    let before = std::fs::read(dir.path().join(FIRST)).unwrap();
    let refused = open(dir.path(), QUOTA).err();
    assert_eq!(refused, Some(StoreError::Version(VERSION + 1)));
    assert!(refused.unwrap().to_string().contains("format 2"));
    assert!(std::fs::read(dir.path().join(FIRST)).unwrap() == before);
    // A damaged own cell is no other version.
    take_back(&second, Kind::Shards, 1, 0);
    overwrite(dir.path(), "records/00000000.pal", 0, &[0xee; 64]);
    let store = open(dir.path(), QUOTA).unwrap();
    assert_all_there(&store, 0..100).await;
    assert!(store.get_record(address(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn a_store_of_an_older_format_is_carried_over() {
    let dir = TempDir::new().unwrap();
    let store = open(dir.path(), QUOTA).unwrap();
    put_all(&store, 0..100, LATER).await;
    store.put_record(address(1), Bytes::from_static(b"record"), LATER).await.unwrap();
    store.close().await;
    for (kind, folder) in FORMATS {
        let files: Vec<_> = std::fs::read_dir(dir.path().join(folder)).unwrap().flatten().map(|e| e.path()).collect();
        for path in files {
            let number = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            take_back(&path, kind, number, 0);
        }
    }
    // A crash within an earlier attempt left this.
    std::fs::write(dir.path().join("shards/00000000.new-77"), b"half of it").unwrap();
    for _ in 0..2 {
        let store = open(dir.path(), QUOTA).unwrap();
        assert_all_there(&store, 0..100).await;
        assert_eq!(store.get_record(address(1)).await, Ok(Some(Bytes::from_static(b"record"))));
        assert_eq!((store.usage().shards, store.usage().records, store.usage().rotten), (100, 1, 0));
        store.close().await;
    }
    assert!(!dir.path().join("shards/00000000.new-77").exists());
}

#[test]
fn errors_and_debug_output_name_nothing_stored() {
    let errors = [
        StoreError::Locked { dir: "/x".into() },
        StoreError::ReadOnly,
        StoreError::QuotaReached,
        StoreError::DiskFull,
        StoreError::Disk { doing: "reading a slot", kind: io::ErrorKind::Other },
    ];
    for error in errors {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains("Locator"), "{text}");
    }
}
