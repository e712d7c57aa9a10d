//! How fast the store is: `cargo bench -p palimpsest-node --bench store [-- <shards to open with>]`.

#![expect(clippy::unwrap_used, reason = "a benchmark may stop at the first mishap")]

use palimpsest_node::store::{Store, StoreConfig};
use palimpsest_proto::coding::Shard;
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::time::Timestamp;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Tell a child which store to open, and how to end.
const CHILD_DIR: &str = "PAL_BENCH_DIR";
const CHILD_END: &str = "PAL_BENCH_END";
const QUOTA: u64 = 16 << 30;
const LATER: Timestamp = Timestamp(u64::MAX / 2);

fn shard(number: u64) -> Shard {
    let bytes: Vec<u8> = number.to_le_bytes().repeat(SHARD_BYTES / 8);
    Shard::new(bytes.into()).unwrap()
}

/// Makes and stores shards, so many at a time, and returns how long it took.
async fn put_all(store: &Store, from: u64, count: u64, at_once: u64) -> Duration {
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..at_once {
        let store = store.clone();
        tasks.spawn(async move {
            for number in (from + lane..from + count).step_by(at_once as usize) {
                store.put(shard(number), LATER).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    begin.elapsed()
}

/// Seconds of processor time that this process used.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat.split(' ').skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

fn report(what: &str, count: u64, took: Duration) {
    let (count, seconds) = (count as f64, took.as_secs_f64());
    println!("{what:32} {:>8.0} /s {:>8.1} µs each", count / seconds, seconds * 1e6 / count);
}

fn status(name: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim_start_matches(':').trim().to_owned()
}

async fn run(dir: &Path, opened_with: u64) {
    let config = StoreConfig::new(dir.join("store"), QUOTA);
    let store = Store::open(config.clone()).unwrap();
    println!("resident when open and empty: {}, threads: {}", status("VmRSS"), status("Threads"));
    let mut next = 0;
    for (at_once, count) in [(1, 300), (8, 2000), (64, 6000), (128, 6000)] {
        let used = processor_seconds();
        let took = put_all(&store, next, count, at_once).await;
        let used = (processor_seconds() - used) * 1e6 / count as f64;
        next += count;
        report(&format!("durable puts, {at_once} at once"), count, took);
        println!("{:32} {used:>24.0} µs of processor each, making the shard included", "");
    }
    let locators: Vec<_> = (0..next).map(|number| shard(number).locator()).collect();
    let begin = Instant::now();
    for locator in &locators {
        assert!(store.get(*locator).await.unwrap().is_some());
    }
    report("gets, in memory, hash checked", next, begin.elapsed());
    let begin = Instant::now();
    for chunk in locators.chunks(32) {
        assert!(store.has(chunk).unwrap() > 0);
    }
    report("looked up", next, begin.elapsed());
    let begin = Instant::now();
    for n in 0..300u32 {
        let address = palimpsest_proto::ids::RecordAddress(palimpsest_proto::crypto::hash(&n.to_le_bytes()));
        store.put_record(address, vec![1; 4000].into(), LATER).await.unwrap();
    }
    report("durable records, 1 at once", 300, begin.elapsed());
    println!("resident: {}, threads: {}, {:?}", status("VmRSS"), status("Threads"), store.usage());
    while next < opened_with {
        let count = 2000.min(opened_with - next);
        put_all(&store, next, count, 128).await;
        next += count;
    }
    let used = processor_seconds();
    tokio::time::sleep(Duration::from_secs(5)).await;
    println!("idle: {:.2} % of a processor", (processor_seconds() - used) * 20.0);
    let begin = Instant::now();
    store.close().await;
    println!("closing {next} shards: {:?}", begin.elapsed());
    open_anew("after a clean end", &config.dir, "close");
    open_anew("once more, and then it is killed with 1000 more", &config.dir, "crash");
    open_anew("after a crash", &config.dir, "close");
    std::fs::remove_dir_all(config.dir.join("index")).unwrap();
    open_anew("without an index", &config.dir, "close");
}

/// Has another process open the store, so that its memory is its own.
fn open_anew(when: &str, dir: &Path, end: &str) {
    print!("opening {when}: ");
    std::io::stdout().flush().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.env(CHILD_DIR, dir).env(CHILD_END, end).status().unwrap();
}

/// Opens the store in `dir`, tells how long it took, and ends well or not.
async fn opened(dir: &Path, end: &str) {
    let begin = Instant::now();
    let store = Store::open(StoreConfig::new(dir, QUOTA)).unwrap();
    let took = begin.elapsed();
    println!(
        "{took:?} for {} shards, resident: {}, at most {}",
        store.usage().shards,
        status("VmRSS"),
        status("VmHWM")
    );
    if end == "crash" {
        put_all(&store, 1 << 40, 1000, 64).await;
        std::process::abort();
    }
    store.close().await;
}

fn main() {
    let child = std::env::var(CHILD_DIR).and_then(|dir| Ok((dir, std::env::var(CHILD_END)?)));
    let opened_with = std::env::args().filter_map(|arg| arg.parse().ok()).next().unwrap_or(0);
    let dir = tempfile::TempDir::new().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match child {
        Ok((dir, end)) => runtime.block_on(opened(Path::new(&dir), &end)),
        Err(_) => runtime.block_on(run(dir.path(), opened_with)),
    }
}
