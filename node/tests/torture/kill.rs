//! Sudden death: a child process stores as fast as it can and is killed without warning, again and again, in the same
//! folder. Whatever it said was stored must be there.

use crate::life::shard;
use palimpsest_node::store::{Store, StoreConfig};
use palimpsest_proto::ids::RecordAddress;
use palimpsest_proto::time::Timestamp;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Tells the child what to do: the folder, and the first number to store.
const CHILD_DIR: &str = "PAL_CRASH_DIR";
const CHILD_FROM: &str = "PAL_CRASH_FROM";
const QUOTA: u64 = 512 * 1024 * 1024;
const LATER: Timestamp = Timestamp(u64::MAX / 2);
/// Rounds after which a new folder is taken.
const ROUNDS_PER_FOLDER: u64 = 25;
/// Batches that a child stores at most, more than it is let: the parent may be slow to kill it, and all of a folder's
/// children together must not reach the quota.
const BATCHES_MAX: u64 = 16;
/// Addresses whose records are replaced over and over.
const ADDRESSES: u64 = 5;

fn address(number: u64) -> RecordAddress {
    RecordAddress(palimpsest_proto::crypto::hash(&(number % ADDRESSES).to_le_bytes()))
}

/// The record numbered `number`, at that number's address.
fn record(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 900)
}

fn open(dir: &Path) -> Store {
    Store::open(StoreConfig::new(dir, QUOTA)).unwrap()
}

/// What the child does until it is killed. Returns at once if this is not the child.
pub(crate) fn child() {
    let (Ok(dir), Ok(from)) = (std::env::var(CHILD_DIR), std::env::var(CHILD_FROM)) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&dir));
        let mut next: u64 = from.parse().unwrap();
        for _ in 0..BATCHES_MAX {
            let puts = (next..next + 8).map(|number| {
                let store = &store;
                async move {
                    store.put(shard(number), LATER).await.unwrap();
                    say('s', number);
                }
            });
            futures::future::join_all(puts).await;
            store.put_record(address(next), record(next).into(), LATER).await.unwrap();
            say('r', next);
            next += 8;
        }
        // It is killed by now, or the parent is gone.
        let _ended = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
}

/// One write, so that a line is there in full or not at all.
fn say(kind: char, number: u64) {
    let _ = std::io::stdout().write_all(format!("@{kind}{number}\n").as_bytes());
}

/// Starts this program anew, with the arguments that have it call [`child`].
fn start_child(dir: &Path, from: u64, args: &[&str]) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(args)
        .env(CHILD_DIR, dir)
        .env(CHILD_FROM, from.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// What was acknowledged by children that were killed.
#[derive(Default)]
struct Said {
    shards: Vec<u64>,
    records: BTreeMap<RecordAddress, u64>,
    /// A number that no child used.
    next: u64,
}

impl Said {
    /// Takes a line of the child's; says whether it was an acknowledgement.
    fn hear(&mut self, line: &str) -> bool {
        // The test harness writes to the same pipe, without a line's end.
        let Some((_, said)) = line.split_once('@') else { return false };
        let number: u64 = said[1..].parse().unwrap();
        self.next = self.next.max(number + 16);
        if said.starts_with('s') {
            self.shards.push(number);
        } else {
            self.records.insert(address(number), number);
        }
        true
    }

    /// How much of it is not there.
    async fn lost(&self, store: &Store) -> u64 {
        let mut lost = 0;
        for number in &self.shards {
            lost += u64::from(store.get(shard(*number).locator()).await != Ok(Some(shard(*number))));
        }
        for (address, number) in &self.records {
            let there = store.get_record(*address).await.unwrap();
            let there_number = there.as_ref().map(|there| u64::from_le_bytes(there[..8].try_into().unwrap()));
            // A later one may have been stored without a word.
            let is_right = there_number.is_some_and(|there_number| {
                there_number >= *number && there.as_deref() == Some(&record(there_number)[..])
            });
            lost += u64::from(!is_right);
        }
        lost
    }
}

/// Kills a child `rounds` times; returns the acknowledgements, and how many were broken.
pub(crate) async fn kills(rounds: u64, args: &[&str]) -> (u64, u64) {
    let (mut acknowledged, mut lost, mut dir) = (0, 0, tempfile::TempDir::new().unwrap());
    let mut said = Said::default();
    for round in 0..rounds {
        if round % ROUNDS_PER_FOLDER == 0 {
            dir = tempfile::TempDir::new().unwrap();
            said = Said::default();
        }
        let store_dir = dir.path().join("store");
        let mut child = start_child(&store_dir, said.next, args);
        // Killed after so many answers: at another point of the batches each time.
        let deadly = 1 + round * 7 % 61;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        while heard < deadly {
            // There is a next line, since the child goes on until it is killed.
            heard += u64::from(said.hear(&lines.next().unwrap().unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said until its death counts too, but for a last line that was cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        for line in rest {
            heard += u64::from(said.hear(&line));
        }
        if round % 5 == 4 {
            std::fs::remove_dir_all(store_dir.join("index")).unwrap();
        }
        let store = open(&store_dir);
        lost += said.lost(&store).await;
        let usage = store.usage();
        assert_eq!(usage.rotten, 0);
        assert!(usage.shards >= said.shards.len() as u64 && usage.records <= ADDRESSES);
        store.close().await;
        acknowledged += heard;
    }
    (acknowledged, lost)
}
