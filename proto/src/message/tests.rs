use super::*;
use crate::fair::PRICE_BITS_MAX;
use crate::ids::NodeId;
use crate::onion::Size;
use crate::params::{PROBE_LOCATORS_MAX, PROOF_BYTES, RECORD_BYTES_MAX, SHARD_BYTES};
use proptest::prelude::*;

fn shard(byte: u8) -> Shard {
    Shard::new(vec![byte; SHARD_BYTES].into()).unwrap()
}

fn locator() -> impl Strategy<Value = Locator> {
    any::<[u8; 32]>().prop_map(Locator)
}

fn address() -> impl Strategy<Value = RecordAddress> {
    any::<[u8; 32]>().prop_map(RecordAddress)
}

fn record() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 1..=RECORD_BYTES_MAX).prop_map(Bytes::from)
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        (any::<u64>(), any::<u64>(), any::<u8>()).prop_map(|(lease, nonce, byte)| Ask::Store {
            lease_until: Timestamp(lease),
            stamp: Stamp(nonce),
            shard: shard(byte)
        }),
        locator().prop_map(|locator| Ask::Fetch { locator }),
        prop::collection::vec(locator(), 1..=PROBE_LOCATORS_MAX).prop_map(|locators| Ask::Probe { locators }),
        (any::<u64>(), any::<u64>(), address(), record()).prop_map(|(lease, nonce, address, record)| Ask::PutRecord {
            lease_until: Timestamp(lease),
            stamp: Stamp(nonce),
            address,
            record
        }),
        address().prop_map(|address| Ask::GetRecord { address }),
        (locator(), any::<u64>()).prop_map(|(locator, random)| Ask::Audit { locator, leaf: Leaf::from_random(random) }),
        (any::<u64>(), any::<u64>(), prop::collection::vec(locator(), 1..=PROBE_LOCATORS_MAX)).prop_map(
            |(lease, nonce, locators)| Ask::Renew { lease_until: Timestamp(lease), stamp: Stamp(nonce), locators }
        ),
        (any::<u64>(), prop::collection::vec(address(), 1..=PROBE_LOCATORS_MAX))
            .prop_map(|(lease, addresses)| { Ask::ProbeRecords { lease_until: Timestamp(lease), addresses } }),
        prop::collection::vec(any::<[u8; 32]>().prop_map(RootAddress), 1..=PROBE_LOCATORS_MAX)
            .prop_map(|roots| Ask::LastAudits { roots }),
    ]
}

fn refusals() -> Vec<Refusal> {
    use Refusal::*;
    vec![
        Absent,
        Full,
        Busy { retry_ms: 0 },
        Busy { retry_ms: RETRY_MS_MAX },
        LeaseTooLong,
        LeaseOver,
        BadRecord,
        ReadOnly,
        Draining,
        Malformed,
        Failed,
        Price { bits: 1 },
        Price { bits: PRICE_BITS_MAX },
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        locator().prop_map(|locator| Answer::Stored { locator }),
        any::<u8>().prop_map(|byte| Answer::Shard(vec![byte; SHARD_BYTES].into())),
        any::<u32>().prop_map(Answer::Present),
        address().prop_map(|address| Answer::RecordStored { address }),
        record().prop_map(Answer::Record),
        any::<u8>().prop_map(|byte| Answer::Proof(vec![byte; PROOF_BYTES].into())),
        prop::collection::vec(prop::option::of(0..=AUDIT_AGE_HOURS_MAX), 1..=PROBE_LOCATORS_MAX).prop_map(Answer::Ages),
        prop::sample::select(refusals()).prop_map(Answer::Refused),
    ]
}

fn request(ask: Ask) -> Request {
    Request { reply: ReplyBlock::from_bytes([0xab; REPLY_BLOCK_BYTES]), ask }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn decode_of_encode_is_identity_for_requests(ask in ask()) {
        let request = request(ask);
        let parts = request.encode_parts();
        prop_assert!(parts.len() <= parts.size().message_bytes_max());
        prop_assert_eq!(Request::decode(parts.concat()).unwrap(), request);
    }

    #[test]
    fn decode_of_encode_is_identity_for_answers(answer in answer()) {
        let parts = answer.encode_parts();
        prop_assert!(parts.len() <= parts.size().message_bytes_max());
        prop_assert_eq!(Answer::decode(parts.concat()).unwrap(), answer);
    }

    /// Canonical: what is decoded at all is encoded to the same bytes.
    #[test]
    fn encode_of_decode_is_identity(mut bytes in prop::collection::vec(any::<u8>(), 1..700), first: u8) {
        for start in [first, first % 11, 0x81 + first % 7, 0xff] {
            bytes[0] = start;
            if let Ok(request) = Request::decode(bytes.clone().into()) {
                prop_assert_eq!(&request.encode_parts().concat(), &bytes);
            }
            if let Ok(answer) = Answer::decode(bytes.clone().into()) {
                prop_assert_eq!(&answer.encode_parts().concat(), &bytes);
            }
        }
    }

    #[test]
    fn a_truncated_or_extended_message_is_refused(ask in ask(), answer in answer(), at: prop::sample::Index) {
        let bytes = request(ask).encode_parts().concat();
        prop_assert!(Request::decode(bytes.slice(..at.index(bytes.len()))).is_err());
        prop_assert_eq!(Request::decode([&bytes[..], &[0]].concat().into()), Err(WireError::Trailing(1)));
        let bytes = answer.encode_parts().concat();
        prop_assert!(Answer::decode(bytes.slice(..at.index(bytes.len()))).is_err());
        prop_assert_eq!(Answer::decode([&bytes[..], &[0]].concat().into()), Err(WireError::Trailing(1)));
    }

    #[test]
    fn an_answer_is_no_request_and_a_request_no_answer(ask in ask(), answer in answer()) {
        prop_assert_eq!(Answer::decode(request(ask).encode_parts().concat()), Err(WireError::Invalid("kind")));
        prop_assert!(Request::decode(answer.encode_parts().concat()).is_err());
    }
}

#[test]
fn bulk_is_not_copied() {
    let shard = shard(1);
    let ask = Ask::Store { lease_until: Timestamp(1), stamp: Stamp::NONE, shard: shard.clone() };
    let parts = request(ask).encode_parts();
    assert_eq!(parts.as_slices()[1].as_ptr(), shard.bytes().as_ptr());
    let bytes = parts.concat();
    let Ask::Store { shard, .. } = Request::decode(bytes.clone()).unwrap().ask else { panic!() };
    let start = bytes.as_ptr() as usize;
    assert!((start..start + bytes.len()).contains(&(shard.bytes().as_ptr() as usize)));
}

#[test]
fn shards_travel_in_large_packets_and_the_rest_in_small_ones() {
    let size = |ask| request(ask).encode_parts().size();
    let (locator, address) = (Locator([1; 32]), RecordAddress([1; 32]));
    assert_eq!(size(Ask::Store { lease_until: Timestamp(0), stamp: Stamp::NONE, shard: shard(0) }), Size::Large);
    assert_eq!(size(Ask::Fetch { locator }), Size::Small);
    assert_eq!(size(Ask::Probe { locators: vec![locator; PROBE_LOCATORS_MAX] }), Size::Small);
    assert_eq!(size(Ask::GetRecord { address }), Size::Small);
    assert_eq!(size(Ask::Audit { locator, leaf: Leaf::from_random(0) }), Size::Small);
    let locators = vec![locator; PROBE_LOCATORS_MAX];
    assert_eq!(size(Ask::Renew { lease_until: Timestamp(0), stamp: Stamp::NONE, locators }), Size::Small);
    assert_eq!(
        size(Ask::ProbeRecords { lease_until: Timestamp(1), addresses: vec![address; PROBE_LOCATORS_MAX] }),
        Size::Small
    );
    let record = |bytes| Bytes::from(vec![0; bytes]);
    let put = |bytes| Ask::PutRecord { lease_until: Timestamp(0), stamp: Stamp::NONE, address, record: record(bytes) };
    assert_eq!((size(put(154)), size(put(RECORD_BYTES_MAX))), (Size::Small, Size::Large));
    let size = |answer: Answer| answer.encode_parts().size();
    assert_eq!(size(Answer::Shard(record(SHARD_BYTES))), Size::Large);
    assert_eq!(size(Answer::Record(record(RECORD_BYTES_MAX))), Size::Large);
    for answer in [
        Answer::Stored { locator },
        Answer::Present(1),
        Answer::Proof(record(PROOF_BYTES)),
        Answer::Ages(vec![None; PROBE_LOCATORS_MAX]),
        Answer::RecordStored { address },
    ] {
        assert_eq!(size(answer), Size::Small);
    }
}

#[test]
fn every_refusal_says_what_to_do() {
    for refusal in refusals() {
        assert!(refusal.to_string().contains(": "), "{refusal}");
    }
}

/// The stamp of an ask is bound to what the ask says, and to whom.
#[test]
fn what_takes_space_is_due_and_the_rest_is_free() {
    let (holder, locator, address) = (NodeId([1; 32]), Locator([2; 32]), RecordAddress([3; 32]));
    let (lease_until, stamp) = (Timestamp(1_800_000_000), Stamp::NONE);
    let store = Ask::Store { lease_until, stamp, shard: shard(1) };
    let put = Ask::PutRecord { lease_until, stamp, address, record: Bytes::from_static(b"a") };
    let renew = Ask::Renew { lease_until, stamp, locators: vec![locator; 5] };
    let mut puzzles = Vec::new();
    for (mut ask, shards) in [(store, 1), (put, 1), (renew, 5)] {
        let due = ask.due(&holder).unwrap();
        assert_eq!((due.shards, due.lease_until, due.stamp), (shards, lease_until, stamp));
        assert_ne!(ask.due(&NodeId([9; 32])).unwrap().puzzle, due.puzzle);
        assert_eq!(due.price(95, lease_until.minus(60)), 20 + if shards == 5 { 3 } else { 0 });
        ask.set_stamp(Stamp(7));
        assert_eq!(ask.due(&holder), Some(Due { stamp: Stamp(7), ..due }));
        assert!(!puzzles.contains(&due.puzzle));
        puzzles.push(due.puzzle);
    }
    let leaf = Leaf::from_random(1);
    for mut ask in [
        Ask::Fetch { locator },
        Ask::Probe { locators: vec![locator] },
        Ask::GetRecord { address },
        Ask::Audit { locator, leaf },
        Ask::ProbeRecords { lease_until: Timestamp(1), addresses: vec![address] },
        Ask::LastAudits { roots: vec![RootAddress([4; 32])] },
    ] {
        assert_eq!(ask.due(&holder), None);
        let before = ask.clone();
        ask.set_stamp(Stamp(7));
        assert_eq!(ask, before);
    }
}

#[test]
fn a_price_out_of_range_is_cut_before_it_is_sent() {
    for (bits, sent) in [(0, 1), (255, PRICE_BITS_MAX)] {
        let answer = Answer::Refused(Refusal::Price { bits }).encode_parts().concat();
        assert_eq!(Answer::decode(answer), Ok(Answer::Refused(Refusal::Price { bits: sent })));
    }
}

#[test]
fn an_age_out_of_range_is_cut_before_it_is_sent() {
    let sent = Answer::Ages(vec![Some(255), None]).encode_parts().concat();
    assert_eq!(Answer::decode(sent), Ok(Answer::Ages(vec![Some(AUDIT_AGE_HOURS_MAX), None])));
}

#[test]
fn an_overlong_wait_is_cut_before_it_is_sent() {
    let sent = Answer::Refused(Refusal::Busy { retry_ms: u32::MAX }).encode_parts().concat();
    assert_eq!(Answer::decode(sent), Ok(Answer::Refused(Refusal::Busy { retry_ms: RETRY_MS_MAX })));
}
