//! Any sequence of operations, restarts and losses of the index leaves what a map would hold.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Op {
    Put {
        number: u64,
        lease: u64,
    },
    PutMany {
        from: u64,
        count: u64,
    },
    Get {
        number: u64,
    },
    Has {
        from: u64,
    },
    PutRecord {
        number: u64,
        content: u8,
        lease: u64,
    },
    GetRecord {
        number: u64,
    },
    Restart,
    /// The last handle is dropped without `close`, and the index lost.
    LoseIndex,
}

fn op() -> impl Strategy<Value = Op> {
    let number = 0..40u64;
    let lease = NOW + 1..NOW + 100;
    prop_oneof![
        4 => (number.clone(), lease.clone()).prop_map(|(number, lease)| Op::Put { number, lease }),
        2 => (number.clone(), 1..80u64).prop_map(|(from, count)| Op::PutMany { from, count }),
        4 => number.clone().prop_map(|number| Op::Get { number }),
        2 => number.clone().prop_map(|from| Op::Has { from }),
        4 => (number.clone(), 0..4u8, lease).prop_map(|(number, content, lease)| Op::PutRecord { number, content, lease }),
        3 => number.prop_map(|number| Op::GetRecord { number }),
        1 => Just(Op::Restart),
        1 => Just(Op::LoseIndex),
    ]
}

async fn run(ops: Vec<Op>) {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), QUOTA).unwrap();
    let mut shards: BTreeMap<u64, ()> = BTreeMap::new();
    let mut records: BTreeMap<u64, Bytes> = BTreeMap::new();
    for op in ops {
        match op {
            Op::Put { number, lease } => {
                let expected = if shards.insert(number, ()).is_some() { Put::Renewed } else { Put::New };
                assert_eq!(store.put(shard(number), Timestamp(lease)).await, Ok(expected));
            }
            Op::PutMany { from, count } => {
                assert!(put_all(&store, from..from + count, LATER).await.iter().all(Result::is_ok));
                shards.extend((from..from + count).map(|n| (n, ())));
            }
            Op::Get { number } => {
                let expected = shards.get(&number).map(|()| shard(number));
                assert_eq!(store.get(shard(number).locator()).await, Ok(expected));
            }
            Op::Has { from } => {
                let locators: Vec<_> = (from..from + 32).map(|n| shard(n).locator()).collect();
                let expected = (0..32).map(|i| u32::from(shards.contains_key(&(from + i))) << i).sum();
                assert_eq!(store.has(&locators), Ok(expected));
            }
            Op::PutRecord { number, content, lease } => {
                let record = Bytes::from(vec![content; 1 + usize::from(content) * 2000]);
                let old = records.insert(number, record.clone());
                let expected = if old.as_ref() == Some(&record) { Put::Renewed } else { Put::New };
                assert_eq!(store.put_record(address(number), record, Timestamp(lease)).await, Ok(expected));
            }
            Op::GetRecord { number } => {
                assert_eq!(store.get_record(address(number)).await, Ok(records.get(&number).cloned()));
            }
            Op::Restart => {
                store.close().await;
                store = open(dir.path(), QUOTA).unwrap();
            }
            Op::LoseIndex => {
                store.close().await;
                std::fs::remove_dir_all(dir.path().join("index")).unwrap();
                store = open(dir.path(), QUOTA).unwrap();
            }
        }
        let usage = store.usage();
        assert_eq!((usage.shards, usage.records, usage.rotten), (shards.len() as u64, records.len() as u64, 0));
    }
    for number in shards.keys() {
        assert_eq!(store.get(shard(*number).locator()).await, Ok(Some(shard(*number))));
    }
    store.close().await;
    assert!(disk_bytes(dir.path()) <= QUOTA);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_store_is_a_map(ops in prop::collection::vec(op(), 1..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(ops));
    }
}
