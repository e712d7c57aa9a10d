//! What a publish leaves on nodes, beside what it says.

use super::common::{content, publish};
use palimpsest_node::config::Onlooker;
use palimpsest_node::hostile::Sight;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::ids::{Locator, RecordAddress};
use palimpsest_proto::message::Ask;
use palimpsest_proto::params::SHARD_BYTES;
use palimpsest_proto::time::Timestamp;
use palimpsest_testnet::memory::{Network, NetworkOptions};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

/// What a publish told the nodes: of each thing to be kept all that is not hash.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Leases, and what paid for them.
    terms: BTreeSet<(Timestamp, u64)>,
    /// Kinds of requests, and how many bytes each has to be kept.
    kinds: BTreeSet<(&'static str, usize)>,
}

/// What a publish left on the nodes' disks.
struct Left {
    leases: BTreeSet<Timestamp>,
    shards: BTreeMap<Locator, Vec<u8>>,
    records: BTreeMap<RecordAddress, Vec<u8>>,
}

impl Left {
    async fn on(network: &Network) -> Left {
        let mut left = Left { leases: BTreeSet::new(), shards: BTreeMap::new(), records: BTreeMap::new() };
        for node in network.running() {
            let store = node.store();
            for (locator, lease) in store.shards_after(None, 1_024).unwrap() {
                left.leases.insert(lease);
                left.shards.insert(locator, store.get(locator).await.unwrap().unwrap().bytes().to_vec());
            }
            for (address, lease) in store.records_after(None, 1_024).unwrap() {
                left.leases.insert(lease);
                left.records.insert(address, store.get_record(address).await.unwrap().unwrap().to_vec());
            }
        }
        left
    }

    /// What is there now and was not then.
    fn since(mut self, then: &Left) -> Left {
        self.shards.retain(|locator, _| !then.shards.contains_key(locator));
        self.records.retain(|address, _| !then.records.contains_key(address));
        self
    }
}

/// Two people publish files of one size. What is left of them, on disks and in requests, differs by nothing but hashes; and neither
/// has anything of its own that is in all of its shards or records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_publishers_leave_nothing_that_tells_them_apart() {
    let told: Arc<Mutex<Told>> = Arc::default();
    let listening = told.clone();
    let onlooker = Box::new(move |_| {
        let told = listening.clone();
        Some(Onlooker(Arc::new(move |sight| {
            let Sight::Asked { ask, .. } = sight else { return };
            let (terms, kind) = match ask {
                Ask::Store { lease_until, stamp, shard } => ((lease_until, stamp), ("store", shard.bytes().len())),
                Ask::PutRecord { lease_until, stamp, record, .. } => ((lease_until, stamp), ("record", record.len())),
                Ask::PutRecords { lease_until, stamp, records } => (
                    (lease_until, stamp),
                    ("records", records.iter().map(|(_, record)| record.len()).max().unwrap_or(0)),
                ),
                _ => return,
            };
            let mut told = told.lock().unwrap();
            told.terms.insert((terms.0, terms.1.0));
            told.kinds.insert(kind);
        })))
    });
    let network = Network::start(NetworkOptions { onlooker, ..NetworkOptions::honest(10) }).await.unwrap();
    let nothing = Left::on(&network).await;
    let mut all = Vec::new();
    for name in ["one", "other"] {
        let publisher = network.client(name).await.unwrap();
        publish(&publisher, &content(if name == "one" { 51 } else { 52 }, 300_000)).await.unwrap();
        publisher.close().await.unwrap();
        let said = std::mem::take(&mut *told.lock().unwrap());
        all.push((said, Left::on(&network).await));
    }
    network.shutdown().await;
    let (other_told, left) = all.pop().unwrap();
    let (one_told, then) = all.pop().unwrap();
    // A midnight between the two is no fault.
    let days = |told: &Told| told.terms.iter().map(|(lease, _)| lease.0 / 86_400).collect::<BTreeSet<_>>();
    assert!(one_told.terms.len() == 1 && other_told.terms.len() == 1, "{one_told:?} {other_told:?}");
    for (lease, stamp) in one_told.terms.iter().chain(&other_told.terms) {
        assert_eq!((lease.0 % 86_400, *stamp), (0, Stamp::NONE.0), "a day, and nothing that was worked for");
    }
    assert!(days(&other_told).first().unwrap() - days(&one_told).first().unwrap() <= 1);
    assert_eq!(one_told.kinds, other_told.kinds);

    let other = left.since(&then);
    let one = then.since(&nothing);
    assert!(other.leases.iter().chain(&one.leases).all(|lease| lease.0 % 86_400 == 0), "{:?}", other.leases);
    assert!(other.leases.len() <= 2, "{:?}", other.leases);
    // As many shards, and of records the same of all but names.
    assert!(one.shards.len() == other.shards.len() && one.shards.len() > 20, "{}", one.shards.len());
    let shapes = |left: &Left| {
        let mut shapes: Vec<(usize, usize, usize)> = left
            .records
            .values()
            .map(|record| {
                let descriptor = Descriptor::decode(record.clone().into()).unwrap();
                assert_eq!(descriptor.encode(), *record, "nothing but the geometry and names");
                (descriptor.geometry().k(), descriptor.geometry().n(), record.len())
            })
            .collect();
        shapes.sort_unstable();
        shapes
    };
    assert_eq!(shapes(&one), shapes(&other));
    for (some, others) in [(&one, &other), (&other, &one)] {
        // Eight bytes, at any place, that stand in things of both: none by chance. Of records behind the geometry.
        let words = |left: &Left| -> HashSet<[u8; 8]> {
            let records = left.records.values().map(|record| &record[2..]);
            let all = left.shards.values().map(Vec::as_slice).chain(records);
            all.flat_map(|bytes| bytes.chunks_exact(8).map(|word| word.try_into().unwrap())).collect()
        };
        assert!(words(some).is_disjoint(&words(others)));
        // A byte that all shards of a publisher have in common at some place would be a mark.
        let shards: Vec<&Vec<u8>> = some.shards.values().collect();
        assert!(shards.iter().all(|bytes| bytes.len() == SHARD_BYTES));
        let marked = (0..SHARD_BYTES).find(|&at| shards.iter().all(|bytes| bytes[at] == shards[0][at]));
        assert_eq!(marked, None);
    }
}
