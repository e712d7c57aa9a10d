use super::*;
use crate::stamps::StampTotals;
use crate::store::StoreConfig;
use bytes::{Bytes, BytesMut};
use palimpsest_client::clock::timestamp;
use palimpsest_proto::coding::audit::Leaf;
use palimpsest_proto::coding::{Geometry, Shard, encode};
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::ids::{RecordAddress, RootAddress};
use palimpsest_proto::params::SHARD_BYTES;
use tempfile::TempDir;

const ID: NodeId = NodeId([1; 32]);
const DAY: u64 = 86_400;
/// Room for so few shards that a test fills it.
const QUOTA: u64 = 16 << 20;

fn keeper() -> (Keeper, TempDir) {
    let dir = TempDir::new().unwrap();
    let store = Store::open(StoreConfig::new(dir.path().join("store"), QUOTA)).unwrap();
    (Keeper::new(store, ID), dir)
}

fn shard(number: u64) -> Shard {
    let mut bytes = vec![0; SHARD_BYTES];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Shard::new(bytes.into()).unwrap()
}

fn in_days(days: u64) -> Timestamp {
    timestamp().plus(days * DAY)
}

fn store(number: u64, days: u64) -> Ask {
    Ask::Store { lease_until: in_days(days), stamp: Stamp::NONE, shard: shard(number) }
}

/// The ask with a stamp of `bits`.
fn paid(mut ask: Ask, bits: u8) -> Ask {
    let due = ask.due(&ID).unwrap();
    ask.set_stamp(Stamp::work(&due.puzzle, bits, 0).unwrap());
    ask
}

/// The ask with a stamp that pays nothing, not even by chance.
fn unpaid(mut ask: Ask) -> Ask {
    let due = ask.due(&ID).unwrap();
    ask.set_stamp((0..).map(Stamp).find(|stamp| stamp.verify(&due.puzzle, 1).is_err()).unwrap());
    ask
}

async fn answer(keeper: &Keeper, ask: Ask) -> Answer {
    keeper.answer(ask).await.unwrap()
}

#[tokio::test]
async fn an_audit_is_answered_with_a_proof_of_the_leaf_asked_for() {
    let (keeper, _dir) = keeper();
    let locator = shard(0).locator();
    let ask = |number| Ask::Audit { locator, leaf: Leaf::new(number).unwrap() };
    assert_eq!(answer(&keeper, ask(5)).await, Answer::Refused(Refusal::Absent));
    assert_eq!(answer(&keeper, store(0, 1)).await, Answer::Stored { locator });
    let Answer::Proof(proof) = answer(&keeper, ask(5)).await else { panic!("no proof") };
    assert_eq!(audit::verify(&locator, Leaf::new(5).unwrap(), &proof), Ok(()));
    assert!(audit::verify(&locator, Leaf::new(6).unwrap(), &proof).is_err());
}

#[tokio::test]
async fn a_renewal_says_what_is_there_and_refuses_leases_out_of_range() {
    let (keeper, _dir) = keeper();
    answer(&keeper, store(0, 1)).await;
    answer(&keeper, store(2, 1)).await;
    let renew = |lease_until| {
        let locators = (0..4).map(|number| shard(number).locator()).collect();
        Ask::Renew { lease_until, stamp: Stamp::NONE, locators }
    };
    assert_eq!(answer(&keeper, renew(in_days(90))).await, Answer::Present(0b101));
    assert_eq!(answer(&keeper, renew(in_days(400))).await, Answer::Refused(Refusal::LeaseTooLong));
    assert_eq!(answer(&keeper, renew(Timestamp(1))).await, Answer::Refused(Refusal::LeaseOver));
}

#[tokio::test]
async fn records_are_probed() {
    let (keeper, _dir) = keeper();
    let addresses: Vec<RecordAddress> = (0..3).map(|byte| RecordAddress([byte; 32])).collect();
    keeper.store.put_record(addresses[1], Bytes::from_static(b"a record"), in_days(1)).await.unwrap();
    assert_eq!(
        answer(&keeper, Ask::ProbeRecords { lease_until: in_days(0), addresses: addresses.clone() }).await,
        Answer::Present(0b010)
    );
    assert_eq!(answer(&keeper, Ask::ProbeRecords { lease_until: in_days(2), addresses }).await, Answer::Present(0));
}

#[tokio::test]
async fn the_wardens_audits_are_told() {
    let (keeper, _dir) = keeper();
    let audits = Audits::default();
    let keeper = keeper.with_audits(audits.clone());
    let roots = [1, 2].map(|byte| RootAddress([byte; 32]));
    audits.note(roots[1], moment());
    assert_eq!(answer(&keeper, Ask::LastAudits { roots: roots.to_vec() }).await, Answer::Ages(vec![None, Some(0)]));
}

/// The node sends a new record to all others near its address: a put that is repeated must not have it do so again.
#[tokio::test]
async fn only_what_is_new_or_prolonged_is_news() {
    let (keeper, _dir) = keeper();
    let (news_in, mut news) = mpsc::channel(8);
    let keeper = keeper.with_news(news_in);
    let geometry = Geometry::new(2, 4).unwrap();
    let data: Vec<u8> = [shard(0), shard(1)].iter().flat_map(|shard| shard.bytes().to_vec()).collect();
    let descriptor = encode(BytesMut::from(&data[..]), geometry).unwrap().descriptor;
    let (address, record) = (descriptor.root_address().record_addresses()[0], Bytes::from(descriptor.encode()));
    let first = in_days(2);
    for (lease_until, is_news) in
        [(first, true), (first, false), (first.plus(60), false), (first.minus(DAY), false), (first.plus(2 * DAY), true)]
    {
        let put = Ask::PutRecord { lease_until, stamp: Stamp::NONE, address, record: record.clone() };
        assert_eq!(answer(&keeper, put).await, Answer::RecordStored { address });
        assert_eq!(news.try_recv().ok(), is_news.then_some(address), "{lease_until:?}");
    }
}

/// A node that fills asks for stamps; the price is paid once, for one thing, and reading stays free.
#[tokio::test]
async fn a_filling_node_takes_only_what_is_paid_for() {
    let (keeper, _dir) = keeper();
    for number in 0.. {
        if keeper.store.usage().fill() >= 55 {
            break;
        }
        keeper.store.put(shard(number), in_days(1)).await.unwrap();
    }
    let (wanted, locator) = (store(1000, 1), shard(1000).locator());
    let bits = wanted.due(&ID).unwrap().price(55, timestamp());
    assert!(bits > 0);
    assert_eq!(answer(&keeper, unpaid(wanted.clone())).await, Answer::Refused(Refusal::Price { bits }));
    assert_eq!(keeper.store.get(locator).await, Ok(None));
    assert_eq!(answer(&keeper, paid(wanted, bits)).await, Answer::Stored { locator });
    // Two bits on top for four shards.
    let locators = (0..4).map(|number| shard(number).locator()).collect();
    let renew = Ask::Renew { lease_until: in_days(1), stamp: Stamp::NONE, locators };
    assert_eq!(answer(&keeper, unpaid(renew.clone())).await, Answer::Refused(Refusal::Price { bits: bits + 2 }));
    assert_eq!(answer(&keeper, paid(renew, bits + 2)).await, Answer::Present(0b1111));
    let locator = shard(0).locator();
    assert!(matches!(answer(&keeper, Ask::Fetch { locator }).await, Answer::Shard(_)));
    assert!(matches!(answer(&keeper, Ask::Audit { locator, leaf: Leaf::from_random(0) }).await, Answer::Proof(_)));
    // What is free counts for nothing.
    assert_eq!(keeper.stamps.totals(), StampTotals { paid: 2, unpaid: 2 });
}

#[tokio::test]
async fn a_node_that_drains_takes_nothing_new_and_gives_what_it_has() {
    let (keeper, _dir) = keeper();
    let locator = shard(0).locator();
    assert_eq!(answer(&keeper, store(0, 1)).await, Answer::Stored { locator });
    let draining = Draining::default();
    let keeper = keeper.until(draining.clone());
    assert_eq!(answer(&keeper, store(1, 1)).await, Answer::Stored { locator: shard(1).locator() });
    draining.start();
    let renew = Ask::Renew { lease_until: in_days(9), stamp: Stamp::NONE, locators: vec![locator] };
    for ask in [store(2, 1), renew] {
        assert_eq!(answer(&keeper, ask).await, Answer::Refused(Refusal::Draining));
    }
    assert_eq!(answer(&keeper, Ask::Fetch { locator }).await, Answer::Shard(shard(0).bytes().clone()));
}
