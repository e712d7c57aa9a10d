//! A store's life, whatever its disk does: what is asked of it, and what it must remember.

use crate::disk::{Dice, Disk, Plan};
use palimpsest_node::store::{Store, StoreConfig};
use palimpsest_proto::coding::Shard;
use palimpsest_proto::crypto;
use palimpsest_proto::ids::{Locator, RecordAddress};
use palimpsest_proto::params::{CLOCK_SKEW_SECONDS, SHARD_BYTES};
use palimpsest_proto::time::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const DAY: u64 = 86_400;
const START: u64 = 20_000 * DAY;
/// Addresses whose records are replaced over and over.
const ADDRESSES: u64 = 5;

pub(crate) fn shard(number: u64) -> Shard {
    let mut bytes = vec![0; SHARD_BYTES];
    // Not the same in any two sectors, so that a torn write shows.
    for (sector, chunk) in bytes.chunks_mut(512).enumerate() {
        chunk[..8].copy_from_slice(&number.to_le_bytes());
        chunk[8] = sector as u8;
    }
    Shard::new(bytes.into()).unwrap()
}

fn address(number: u64) -> RecordAddress {
    RecordAddress(crypto::hash(&(number % ADDRESSES).to_le_bytes()))
}

/// The record numbered `number`, at that number's address.
fn record(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 900)
}

/// What was acknowledged.
#[derive(Debug, Default)]
struct Owed {
    /// Shards by number, with the locator and the lease.
    shards: BTreeMap<u64, (Locator, Timestamp)>,
    /// At each address the latest record acknowledged, the latest one tried, and the lease.
    records: BTreeMap<RecordAddress, (u64, u64, Timestamp)>,
}

/// A store's folder, its clock, and what is owed to those who stored there.
pub(crate) struct Life {
    pub(crate) dir: PathBuf,
    quota: u64,
    /// Seconds since the start.
    now: Arc<AtomicU64>,
    pub(crate) dice: Dice,
    owed: Owed,
    next: u64,
    /// Acknowledgements so far.
    pub(crate) acknowledged: u64,
    /// Refusals and failures so far.
    pub(crate) refused: u64,
}

impl Life {
    pub(crate) fn new(dir: &Path, quota: u64, seed: u64) -> Life {
        let (now, owed) = (Arc::default(), Owed::default());
        Life { dir: dir.to_owned(), quota, now, dice: Dice(seed), owed, next: 0, acknowledged: 0, refused: 0 }
    }

    pub(crate) fn open(&self, disk: &Arc<Disk>) -> Store {
        self.try_open(disk).unwrap()
    }

    pub(crate) fn try_open(&self, disk: &Arc<Disk>) -> Result<Store, palimpsest_node::store::StoreError> {
        let (wall, uptime) = (self.now.clone(), self.now.clone());
        let slots = AtomicU32::new(self.next as u32);
        Store::open(StoreConfig {
            clock: Arc::new(move || Timestamp(START + wall.load(Relaxed))),
            uptime: Arc::new(move || Duration::from_secs(uptime.load(Relaxed))),
            // Any of them, and the same ones for the same seed.
            dice: Arc::new(move || slots.fetch_add(0x9e37_79b9, Relaxed)),
            faults: Some(disk.clone()),
            ..StoreConfig::new(&self.dir, self.quota)
        })
    }

    fn now(&self) -> u64 {
        START + self.now.load(Relaxed)
    }

    /// What is owed no more, since its lease is over, is forgotten.
    fn forget(&mut self) {
        let over = Timestamp(self.now().saturating_sub(CLOCK_SKEW_SECONDS));
        self.owed.shards.retain(|_, (_, lease)| *lease >= over);
        self.owed.records.retain(|_, (_, _, lease)| *lease >= over);
    }

    /// Some puts, renewals and releases at once; what is acknowledged while the disk lives is owed from then on.
    pub(crate) async fn work(&mut self, store: &Store, disk: &Disk) {
        self.now.fetch_add(self.dice.below(2) * DAY / 2, Relaxed);
        self.forget();
        let lease = Timestamp(self.now() + DAY + self.dice.below(4 * DAY));
        let mut numbers: Vec<u64> = (self.next..self.next + 1 + self.dice.below(12)).collect();
        self.next += numbers.len() as u64;
        // Some that there are, perhaps.
        numbers.extend((0..self.dice.below(3)).map(|_| self.dice.below(self.next)));
        let known: Vec<_> = self.owed.shards.iter().map(|(n, (locator, lease))| (*n, *locator, *lease)).collect();
        let renewed: Vec<_> = known.iter().copied().filter(|_| self.dice.below(4) == 0).take(32).collect();
        let released = known.get(self.dice.below(known.len() as u64 * 3 + 1) as usize).copied();
        let record_number = self.next;
        let tried = self.owed.records.entry(address(record_number)).or_insert((0, 0, lease));
        tried.1 = record_number;
        // Asked before the rest, which may renew it.
        if let Some((number, locator, lease)) = released {
            self.owed.shards.remove(&number);
            let _ = store.release(locator, lease).await;
        }
        let puts = futures::future::join_all(numbers.iter().map(|n| store.put(shard(*n), lease)));
        let locators: Vec<_> = renewed.iter().map(|(_, locator, _)| *locator).collect();
        let renewal = store.renew(&locators, lease);
        let put_record = store.put_record(address(record_number), record(record_number).into(), lease);
        let (puts, renewal, put_record) = tokio::join!(puts, renewal, put_record);
        if disk.is_dead() {
            return;
        }
        for (number, put) in numbers.iter().zip(puts) {
            if put.is_ok() {
                let locator = shard(*number).locator();
                let owed = self.owed.shards.entry(*number).or_insert((locator, lease));
                owed.1 = owed.1.max(lease);
                self.acknowledged += 1;
            } else {
                self.refused += 1;
            }
        }
        for (i, (number, _, _)) in renewed.iter().enumerate() {
            if renewal.as_ref().is_ok_and(|bitmap| bitmap >> i & 1 == 1)
                && let Some(owed) = self.owed.shards.get_mut(number)
            {
                owed.1 = owed.1.max(lease);
                self.acknowledged += 1;
            }
        }
        if put_record.is_ok() {
            self.owed.records.insert(address(record_number), (record_number, record_number, lease));
            self.acknowledged += 1;
        }
    }

    /// How much of what is owed is not there, or not for as long as was said. Nothing that is there may be wrong.
    pub(crate) async fn lost(&mut self, store: &Store) -> u64 {
        self.forget();
        let mut leases = BTreeMap::new();
        let mut after = None;
        loop {
            let listed = store.shards_after(after, 500).unwrap();
            after = listed.last().map(|(locator, _)| *locator);
            leases.extend(listed);
            if after.is_none() {
                break;
            }
        }
        let mut lost = 0;
        for (number, (locator, lease)) in &self.owed.shards {
            let there = store.get(*locator).await.unwrap();
            let is_kept = leases.get(locator).is_some_and(|there| there >= lease);
            if there.as_ref() != Some(&shard(*number)) || !is_kept {
                eprintln!("lost: shard {number}, there: {}, lease kept: {is_kept}", there.is_some());
                lost += 1;
            }
        }
        for (address, (acknowledged, tried, _)) in &self.owed.records {
            let there = store.get_record(*address).await.unwrap();
            let number = there.as_ref().map(|there| u64::from_le_bytes(there[..8].try_into().unwrap()));
            if let (Some(there), Some(number)) = (&there, number) {
                assert!(*there == record(number), "a record that was never stored");
            }
            let is_right = number.is_some_and(|number| (*acknowledged..=*tried).contains(&number));
            if !is_right && *acknowledged > 0 {
                eprintln!("lost: a record, {number:?} instead of {acknowledged} to {tried}");
                lost += 1;
            }
        }
        lost
    }

    /// The owed shards that can be read now.
    pub(crate) async fn readable(&self, store: &Store) -> (u64, u64) {
        let mut readable = 0;
        for (number, (locator, _)) in &self.owed.shards {
            readable += u64::from(store.get(*locator).await == Ok(Some(shard(*number))));
        }
        (readable, self.owed.shards.len() as u64)
    }

    /// Opens the store on a disk that works, counts what is lost, and closes it.
    pub(crate) async fn check(&mut self) -> u64 {
        let store = self.open(&Arc::new(Disk::new(Plan::Sound)));
        let lost = self.lost(&store).await;
        store.close().await;
        lost
    }
}
