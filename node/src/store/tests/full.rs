//! Little room: the quota, leases, full and read-only disks.

use super::*;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use std::io::Write;

#[tokio::test]
async fn the_quota_holds_over_everything_in_the_folder() {
    for quota in [12 * 1024 * 1024, QUOTA, QUOTA + 4_132_863] {
        let dir = TempDir::new().unwrap();
        let store = open(dir.path(), quota).unwrap();
        let fits = store.usage().shards_max;
        let puts = put_all(&store, 0..fits + 100, LATER).await;
        // More than wait for the writer at once: whose turn it is is not said by their numbers.
        let (taken, refused): (Vec<_>, Vec<_>) = (0..).zip(puts).partition(|(_, put)| *put == Ok(Put::New));
        assert_eq!((taken.len() as u64, refused.len()), (fits, 100));
        assert!(refused.iter().all(|(_, put)| *put == Err(StoreError::QuotaReached)), "{refused:?}");
        assert_eq!(store.usage().fill(), 100);
        // Records still have their share, and end too.
        let mut records = 0;
        while store.put_record(address(records), Bytes::from(vec![1; 8000]), LATER).await.is_ok() {
            records += 1;
        }
        assert!(records >= 63);
        assert!(disk_bytes(dir.path()) <= quota, "{} of {quota}", disk_bytes(dir.path()));
        assert!(store.usage().used_bytes <= quota);
        // Renewal needs no room.
        assert_eq!(store.put(shard(taken[0].0), Timestamp(LATER.0 + 1)).await, Ok(Put::Renewed));
        store.close().await;
        assert!(disk_bytes(dir.path()) <= quota);
        let store = open(dir.path(), quota).unwrap();
        for (number, _) in taken {
            assert_all_there(&store, number..number + 1).await;
        }
    }
}

#[tokio::test]
async fn a_quota_too_small_is_refused() {
    let dir = TempDir::new().unwrap();
    let Err(StoreError::QuotaTooSmall { least_bytes, .. }) = open(dir.path(), 1000) else { panic!("must be refused") };
    let store = open(dir.path(), least_bytes).unwrap();
    assert_eq!(store.put(shard(1), LATER).await, Ok(Put::New));
}

#[tokio::test]
async fn what_expired_goes_when_space_is_short_and_not_before() {
    let dir = TempDir::new().unwrap();
    let hands = Hands::new();
    let store = open_at(dir.path(), QUOTA, &hands).unwrap();
    let fits = store.usage().shards_max;
    put_all(&store, 0..10, SHORT).await;
    put_all(&store, 10..fits - 5, LATER).await;
    hands.set(OVER);
    put_all(&store, fits - 5..fits, LATER).await;
    assert_all_there(&store, 0..fits).await;
    // Kept in time.
    assert_eq!(store.put(shard(4), LATER).await, Ok(Put::Renewed));
    let puts = put_all(&store, fits..fits + 10, LATER).await;
    assert_eq!(puts.iter().filter(|put| **put == Ok(Put::New)).count(), 9);
    assert_eq!(puts.iter().filter(|put| **put == Err(StoreError::QuotaReached)).count(), 1);
    assert_eq!(store.has(&(0..10).map(|n| shard(n).locator()).collect::<Vec<_>>()), Ok(1 << 4));
    assert_all_there(&store, 10..fits).await;
    assert_eq!(store.usage().shards, fits);
    store.close().await;
    let store = open_at(dir.path(), QUOTA, &hands).unwrap();
    assert_all_there(&store, 10..fits + 9).await;
}

#[tokio::test]
async fn a_lowered_quota_takes_what_expired_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let hands = Hands::new();
    let store = open_at(dir.path(), QUOTA, &hands).unwrap();
    put_all(&store, 0..63, LATER).await;
    put_all(&store, 63..189, Timestamp(NOW + 1)).await;
    hands.set(OVER);
    store.close().await;
    let quota = 12 * 1024 * 1024;
    let store = open_at(dir.path(), quota, &hands).unwrap();
    assert!(disk_bytes(dir.path()) <= quota);
    assert_all_there(&store, 0..63).await;
    assert_eq!(store.usage().shards, 63);
    store.close().await;
    // All of it is wanted now: it stays, and nothing new is taken.
    let store = open_at(dir.path(), QUOTA, &hands).unwrap();
    put_all(&store, 100..250, LATER).await;
    store.close().await;
    let store = open_at(dir.path(), quota, &hands).unwrap();
    assert_eq!(store.put(shard(999), LATER).await, Err(StoreError::QuotaReached));
    assert_all_there(&store, 0..63).await;
    assert_all_there(&store, 100..250).await;
}

/// A small disk in memory, unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where the test may not mount.
    fn new(bytes: u64) -> Option<SmallDisk> {
        let dir = TempDir::new().unwrap();
        let options = std::ffi::CString::new(format!("size={bytes}")).unwrap();
        match mount("tmpfs", dir.path(), "tmpfs", MountFlags::empty(), &*options) {
            Ok(()) => Some(SmallDisk(dir)),
            Err(error) => {
                eprintln!("skipped: a small disk cannot be mounted here ({error})");
                None
            }
        }
    }
    fn store(&self) -> std::path::PathBuf {
        self.0.path().join("store")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    let Some(disk) = SmallDisk::new(40 * 1024 * 1024) else { return };
    let store = open(&disk.store(), 1 << 30).unwrap();
    let mut held = 0;
    // From empty to full: someone else takes the disk bit by bit, and in between we store.
    let mut ballast = std::fs::File::create(disk.0.path().join("ballast")).unwrap();
    let full = loop {
        match store.put(shard(held), LATER).await {
            Ok(put) => assert_eq!(put, Put::New),
            Err(error) => break error,
        }
        held += 1;
        let _ = ballast.write_all(&[1; 40 * 1024]);
    };
    assert_eq!(full, StoreError::DiskFull);
    assert!(held > 100);
    while ballast.write(&[1; 4096]).is_ok() {}
    assert_all_there(&store, 0..held).await;
    // Leases can be renewed, since that needs no space.
    assert_eq!(store.put(shard(1), Timestamp(LATER.0 + 9)).await, Ok(Put::Renewed));
    store.close().await;
    // The disk is still full at the next start, and full or not afterwards.
    let store = open(&disk.store(), 1 << 30).unwrap();
    assert_all_there(&store, 0..held).await;
    assert_eq!(store.put(shard(held), LATER).await, Err(StoreError::DiskFull));
    ballast.set_len(0).unwrap();
    assert_eq!(store.put(shard(held), LATER).await, Ok(Put::New));
    store.close().await;
    let store = open(&disk.store(), 1 << 30).unwrap();
    assert_all_there(&store, 0..held + 1).await;
    assert!(!store.usage().index_in_memory);
    store.close().await;
}

#[tokio::test]
async fn an_index_without_space_goes_to_memory_and_comes_back() {
    let Some(disk) = SmallDisk::new(64 * 1024 * 1024) else { return };
    let store = open(&disk.store(), 1 << 30).unwrap();
    put_all(&store, 0..63, LATER).await;
    // Everything else of the disk goes.
    let mut fill = std::fs::File::create(disk.0.path().join("ballast")).unwrap();
    while fill.write(&[1; 4096]).is_ok() {}
    // Records churn the index until sled wants space; there is a file of shards, so freed slots are written over.
    store.put_record(address(0), Bytes::from_static(b"no room"), LATER).await.unwrap_err();
    for n in 0..20_000u64 {
        let key = crypto::hash(&n.to_le_bytes());
        let stored = store.shared.index.insert(Kind::Records, &key, Slot(1));
        let flushed = if n % 1000 == 0 { store.shared.index.flush() } else { Ok(()) };
        if stored.and(flushed).is_err() {
            break;
        }
    }
    assert!(store.shared.index.flush().is_err(), "sled ran out of space");
    for n in 0..63 {
        let got = store.get(shard(n).locator()).await;
        assert!(matches!(got, Ok(Some(_)) | Err(StoreError::Index)), "{got:?}");
    }
    assert_eq!(store.put(shard(5), Timestamp(LATER.0 + 1)).await, Ok(Put::Renewed));
    assert_all_there(&store, 0..63).await;
    store.close().await;
    let store = open(&disk.store(), 1 << 30).unwrap();
    assert_all_there(&store, 0..63).await;
    store.close().await;
    drop(fill);
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    let store = open(&disk.store(), 1 << 30).unwrap();
    assert_all_there(&store, 0..63).await;
    assert_eq!((store.usage().index_in_memory, store.usage().shards), (false, 63));
    store.close().await;
}

#[tokio::test]
async fn a_read_only_disk_is_told_from_a_broken_one() {
    let Some(disk) = SmallDisk::new(40 * 1024 * 1024) else { return };
    let store = open(&disk.store(), QUOTA).unwrap();
    put_all(&store, 0..63, LATER).await;
    store.close().await;
    // The same disk at another place, to be read only.
    let view = SmallDisk(TempDir::new().unwrap());
    mount_bind(disk.0.path(), view.0.path()).unwrap();
    mount_remount(view.0.path(), MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
    assert_eq!(open(&view.store(), QUOTA).err(), Some(StoreError::ReadOnly));
    // Slot files that turned read-only while they are in use are still read, and say what they are to who writes.
    let files = SlotFiles::new(&view.store(), Kind::Shards, None).unwrap();
    assert_eq!(files.read(Slot::at(0, 7), SHARD_BYTES).unwrap(), &shard(6).bytes()[..]);
    let refused = files.create(9).unwrap_err();
    assert_eq!(refused, StoreError::ReadOnly);
    assert_all_there(&open(&disk.store(), QUOTA).unwrap(), 0..63).await;
}
