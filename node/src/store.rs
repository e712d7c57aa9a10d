//! Shards and records on the disk.
//!
//! All shards have one size, so they lie in preallocated files of equal slots: no fragments, no compaction. A header
//! page in each file says what its slots hold, and is the truth; an index finds a name's slot, and can be made anew.
//! What is acknowledged is synced; what is read is hashed. The quota counts everything in the folder.
//!
//! ```text
//! Store ── put ──► writer thread ──► files (cells, contents) ──► index      one thread changes
//!       ── get ──────────────────────► index ──► files                      any thread reads
//! lock            one process per folder
//! quota           what may be on the disk
//! clock           when a lease is over, whatever the machine's clock says
//! format          versions of the files, and from one to the next
//! rebuild         files → free slots, index, at the start
//! ```
//!
//! A node's disk shows blocks, their hashes and leases; nothing here knows more, and no error or log line shows that.

mod cell;
mod clock;
mod error;
mod faults;
mod files;
mod format;
mod index;
mod leases;
mod lock;
mod notes;
mod quota;
mod rebuild;
mod slots;
mod writer;

#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use faults::{Access, Faults};

use bytes::Bytes;
use cell::{Cell, Entry, Key};
use clock::LeaseClock;
use files::{Kind, Slot, SlotFiles};
use index::{Broken, Index};
use lock::Lock;
use palimpsest_client::cpu::Spent;
use palimpsest_proto::coding::Shard;
use palimpsest_proto::ids::{Locator, RecordAddress};
use palimpsest_proto::params::{PROBE_LOCATORS_MAX, RECORD_BYTES_MAX, SHARD_BYTES};
use palimpsest_proto::time::Timestamp;
use quota::Quota;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, oneshot};
use writer::{Command, QUEUE_COMMANDS_MAX, Writer};

/// How long a put waits for its turn and for the disk, and closing for the disk.
const DISK_WAIT: Duration = Duration::from_secs(30);
/// How often a read looks again, if the slot was given away under it.
const READ_TRIES: usize = 3;
/// Bytes of the writer's stack: it calls into sled, which is not deep.
const WRITER_STACK_BYTES: usize = 512 * 1024;
const _: () = assert!(PROBE_LOCATORS_MAX <= u32::BITS as usize);

/// Tells the wall-clock time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Tells how long something has been up: it runs evenly and never goes back.
pub type Uptime = Arc<dyn Fn() -> Duration + Send + Sync>;

/// Rolls any number.
pub type Dice = Arc<dyn Fn() -> u32 + Send + Sync>;

/// How a store is opened.
#[derive(Clone)]
pub struct StoreConfig {
    /// The folder, made if there is none. One process at a time has it.
    pub dir: PathBuf,
    /// Bytes that the folder may take on the disk, all told.
    pub quota_bytes: u64,
    /// What leases are measured by.
    pub clock: Clock,
    /// What the clock is checked against.
    pub uptime: Uptime,
    /// Chooses among the free slots of a file: by chance, but in tests.
    pub dice: Dice,
    /// Lets the disk fail, in tests.
    pub faults: Option<Arc<dyn Faults>>,
}

impl StoreConfig {
    /// A store in `dir` of at most `quota_bytes` bytes, by the system's clock.
    pub fn new(dir: impl Into<PathBuf>, quota_bytes: u64) -> StoreConfig {
        let since_epoch = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let start = Instant::now();
        StoreConfig {
            dir: dir.into(),
            quota_bytes,
            clock: Arc::new(move || Timestamp(since_epoch())),
            uptime: Arc::new(move || start.elapsed()),
            dice: Arc::new(rand::random),
            faults: None,
        }
    }
}

/// What a put did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The content is stored now.
    New,
    /// The content was there; its lease ends no earlier than asked.
    Renewed,
}

/// How full a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes allowed.
    pub quota_bytes: u64,
    /// Bytes taken on the disk, reserved slots and index included.
    pub used_bytes: u64,
    /// Shards stored.
    pub shards: u64,
    /// Shards that the quota has room for.
    pub shards_max: u64,
    /// Records stored.
    pub records: u64,
    /// Slots out of use, since what they held was found damaged.
    pub rotten: u64,
    /// The index lies in memory, since the disk would not take it.
    pub index_in_memory: bool,
}

impl Usage {
    /// How much of the room for shards is taken, in percent.
    pub fn fill(&self) -> u8 {
        let percent = self.shards.saturating_mul(100).checked_div(self.shards_max).unwrap_or(100);
        u8::try_from(percent.min(100)).unwrap_or(100)
    }
}

/// What [`Store::scrub`] found in one file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Contents read.
    pub checked: u64,
    /// Of these, damaged, and reported to the writer.
    pub rotten: u64,
}

/// An open store. Cheap to clone; [`Store::close`] ends it, as does dropping the last handle.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
}

/// What the writer and the readers share.
struct Shared {
    files: [SlotFiles; 2],
    index: Index,
    usage: Counters,
    quota: Quota,
    cpu: Spent,
}

#[derive(Debug, Default)]
struct Counters {
    used_bytes: AtomicU64,
    shards: AtomicU64,
    records: AtomicU64,
    rotten: AtomicU64,
}

impl Shared {
    fn files(&self, kind: Kind) -> &SlotFiles {
        &self.files[kind as usize]
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store, and makes its index anew if it is lost or behind. Blocks: milliseconds after a clean end, longer
    /// after a crash, and as long as reading everything takes if the index is lost.
    pub fn open(config: StoreConfig) -> Result<Store, StoreError> {
        use error::Doing;
        let quota = Quota::new(config.quota_bytes)?;
        DirBuilder::new().recursive(true).mode(0o700).create(&config.dir).doing("making the folder")?;
        let lock = Lock::take(&config.dir)?;
        let slot_files = |kind| SlotFiles::new(&config.dir, kind, config.faults.clone());
        let files = [slot_files(Kind::Shards)?, slot_files(Kind::Records)?];
        for files in &files {
            files.check_formats()?;
        }
        let was_closed_well = notes::take_clean(&config.dir)?;
        let index = Index::open(&config.dir);
        let slots = rebuild::load(&files, &index, (config.clock)(), was_closed_well)?;
        let index_bytes = index.disk_bytes();
        let shared = Arc::new(Shared { files, index, usage: Counters::default(), quota, cpu: Spent::default() });
        let mut writer = Writer {
            shared: shared.clone(),
            slots,
            quota,
            index_bytes,
            index_changes: 0,
            clock: LeaseClock::new(config.clock, config.uptime, notes::kept_time(&config.dir)),
            keep_time_at: Timestamp(0),
            dice: config.dice,
            disk_told: false,
            dir: config.dir,
            lock,
        };
        writer.shrink();
        writer.publish_usage();
        let (commands, receiver) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let (ended, end) = oneshot::channel();
        std::thread::Builder::new()
            .name("store".to_owned())
            .stack_size(WRITER_STACK_BYTES)
            .spawn(move || writer.run(receiver, ended))
            .doing("starting a thread")?;
        Ok(Store { shared, commands, ended: Arc::new(Mutex::new(Some(end))) })
    }

    /// Stores a shard until `lease_until` at least, or renews its lease. When it returns `Ok`, the shard outlives a
    /// crash and power loss. Dropping the future early leaves open whether it is stored.
    pub async fn put(&self, shard: Shard, lease_until: Timestamp) -> Result<Put, StoreError> {
        let entry = Entry::of_shard(&shard, lease_until);
        self.write(Kind::Shards, entry, shard.bytes().clone()).await
    }

    /// Reads a shard, and checks it. `None` if there is none, or if it is damaged; then it is taken out of the store.
    pub async fn get(&self, locator: Locator) -> Result<Option<Shard>, StoreError> {
        for _ in 0..READ_TRIES {
            let Some(slot) = self.find(Kind::Shards, &locator.0)? else { return Ok(None) };
            let content = self.read(Kind::Shards, slot, SHARD_BYTES).await;
            match content.map(|content| self.shared.cpu.on(|| Shard::new(content.into()))) {
                Ok(Ok(shard)) if shard.locator() == locator => return Ok(Some(shard)),
                other => self.suspect(Kind::Shards, &locator.0, slot, other.err())?,
            }
        }
        Ok(None)
    }

    /// Which of the locators are stored: bit i for `locators[i]`. Looks at the first [`PROBE_LOCATORS_MAX`].
    pub fn has(&self, locators: &[Locator]) -> Result<u32, StoreError> {
        let mut bitmap = 0;
        for (i, locator) in locators.iter().take(PROBE_LOCATORS_MAX).enumerate() {
            bitmap |= u32::from(self.find(Kind::Shards, &locator.0)?.is_some()) << i;
        }
        Ok(bitmap)
    }

    /// Stores a record like a shard; one with another content takes the place of the one that was there. Whether
    /// `record` belongs under `address` is the caller's to check.
    pub async fn put_record(
        &self,
        address: RecordAddress,
        record: Bytes,
        lease_until: Timestamp,
    ) -> Result<Put, StoreError> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(StoreError::RecordTooLong(record.len()));
        }
        let entry = Entry::of(address.0, lease_until, &record);
        self.write(Kind::Records, entry, record).await
    }

    /// Reads a record, and checks it against the hash it was stored with.
    pub async fn get_record(&self, address: RecordAddress) -> Result<Option<Bytes>, StoreError> {
        for _ in 0..READ_TRIES {
            let Some(slot) = self.find(Kind::Records, &address.0)? else { return Ok(None) };
            let cell = self.shared.files(Kind::Records).cell(slot);
            let failure = match cell {
                Ok(Cell::Held(entry)) if entry.key == address.0 => {
                    match self.read(Kind::Records, slot, entry.len as usize).await {
                        Ok(content) if entry.fits(&content) => return Ok(Some(content.into())),
                        other => other.err(),
                    }
                }
                other => other.err(),
            };
            self.suspect(Kind::Records, &address.0, slot, failure)?;
        }
        Ok(None)
    }

    /// Reads everything in one file of shards, and reports what is damaged to the writer. `step` counts the files;
    /// `None` is behind the last one. Blocks for as long as reading 4 MiB takes.
    pub fn scrub(&self, step: usize) -> Result<Option<Scrubbed>, StoreError> {
        use error::Doing;
        let files = self.shared.files(Kind::Shards);
        let Some(number) = files.list()?.get(step).copied() else { return Ok(None) };
        let mut scrubbed = Scrubbed::default();
        for (slot, cell) in files.cells(number).doing("reading a slot file")? {
            let Cell::Held(entry) = cell else { continue };
            scrubbed.checked += 1;
            let content = files.read(slot, entry.len as usize);
            if content.is_ok_and(|content| entry.fits(&content)) || self.find(Kind::Shards, &entry.key)? != Some(slot) {
                continue;
            }
            scrubbed.rotten += 1;
            self.report(Command::Distrust { kind: Kind::Shards, key: entry.key, slot });
        }
        Ok(Some(scrubbed))
    }

    /// How many steps [`Store::scrub`] has. Blocks for as long as listing a folder takes.
    pub fn scrub_steps(&self) -> Result<usize, StoreError> {
        Ok(self.shared.files(Kind::Shards).list()?.len())
    }

    /// How full the store is.
    pub fn usage(&self) -> Usage {
        let usage = &self.shared.usage;
        Usage {
            quota_bytes: self.shared.quota.bytes(),
            used_bytes: usage.used_bytes.load(Relaxed),
            shards: usage.shards.load(Relaxed),
            shards_max: self.shared.quota.shards_max(),
            records: usage.records.load(Relaxed),
            rotten: usage.rotten.load(Relaxed),
            index_in_memory: self.shared.index.is_in_memory(),
        }
    }

    /// Processor time spent on writing, syncing, reading and hashing what is read.
    pub fn cpu(&self) -> Duration {
        self.shared.cpu.total()
    }

    /// Finishes what was asked, writes the index and lets go of the folder. All other calls fail from then on, on every
    /// handle. Should the disk hang, it returns after a while all the same.
    pub async fn close(&self) {
        let end = async {
            // An error means that it is closed already, or is closing.
            let _ = self.commands.send(Command::Close).await;
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(ended) = ended {
                let _ = ended.await;
            }
        };
        let _ = tokio::time::timeout(DISK_WAIT, end).await;
    }

    async fn write(&self, kind: Kind, entry: Entry, content: Bytes) -> Result<Put, StoreError> {
        self.ask(|reply| Command::Put { kind, entry, content, reply }).await
    }

    /// Has the writer do something, and waits until it is done, which may be too long.
    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Command,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.commands.send(command(reply)).await.map_err(|_| StoreError::Closed)?;
            answer.await.map_err(|_| StoreError::Closed)?
        };
        tokio::time::timeout(DISK_WAIT, asked).await.unwrap_or(Err(StoreError::Busy))
    }

    /// The first `len` bytes of a slot: at once if they lie in memory, else on a thread that may wait.
    async fn read(&self, kind: Kind, slot: Slot, len: usize) -> io::Result<Vec<u8>> {
        if let Some(content) = self.shared.cpu.on(|| self.shared.files(kind).read_at_once(slot, len))? {
            return Ok(content);
        }
        let shared = self.shared.clone();
        let read = tokio::task::spawn_blocking(move || shared.cpu.on(|| shared.files(kind).read(slot, len)));
        read.await.map_err(io::Error::other)?
    }

    fn find(&self, kind: Kind, key: &Key) -> Result<Option<Slot>, StoreError> {
        self.shared.index.get(kind, key).map_err(|e| self.broken(e))
    }

    fn broken(&self, Broken: Broken) -> StoreError {
        if self.commands.is_closed() {
            return StoreError::Closed;
        }
        self.report(Command::ReplaceIndex);
        StoreError::Index
    }

    /// What to do about a slot in which the named content was not found: nothing if the index says something else by
    /// now, for then it was given away meanwhile. Else the writer looks, being the only one to know for sure.
    fn suspect(&self, kind: Kind, key: &Key, slot: Slot, failure: Option<io::Error>) -> Result<(), StoreError> {
        if self.find(kind, key)? != Some(slot) {
            return Ok(());
        }
        self.report(Command::Distrust { kind, key: *key, slot });
        match failure.map(|error| StoreError::from_io("reading a slot", &error)) {
            // The disk says so itself that the content is lost.
            Some(StoreError::Disk { .. }) | None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Tells the writer what a reader found. If the queue is full it is not told: the next reader will find the same.
    fn report(&self, command: Command) {
        let _ = self.commands.try_send(command);
    }
}
