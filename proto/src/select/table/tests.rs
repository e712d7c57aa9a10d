use super::*;
use crate::crypto::NodeKey;
use crate::record::{NodeDescriptor, Roles};
use crate::select::testing::worked_seed;
use proptest::prelude::*;
use std::time::Duration;

const WALL: Timestamp = Timestamp(1_800_000_000);

fn moment(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn signed_by(number: u16, seq_ms: u64, roles: Roles, ip: [u8; 4]) -> SignedNodeDescriptor {
    let key = NodeKey::from_seed(&worked_seed(number));
    let address = [&[4], &ip[..], &[6, 0, 80]].concat();
    let descriptor = NodeDescriptor {
        id: key.id(),
        seq: seq_ms,
        onion: [1; 32],
        addresses: vec![address.into()],
        valid_until: WALL.plus(1000 + u64::from(number)),
        roles,
        fill: 0,
    };
    let signed = descriptor.sign(&key).unwrap();
    SignedNodeDescriptor::decode(signed.encoded().clone()).unwrap().verify(WALL).unwrap()
}

fn node(number: u16) -> SignedNodeDescriptor {
    signed_by(number, WALL.0 * 1000, Roles::ALL, [127, 0, 0, 1])
}

/// Everything that the indices say must follow from the map.
fn check_indices(table: &NodeTable) {
    let mut digests = [0; BUCKETS];
    let (mut holders, mut relays, mut relaying) = (0, 0, BTreeMap::new());
    for (id, entry) in table.iter() {
        assert_eq!(id.position(), *entry.position());
        digests[usize::from(entry.position.0[0])] ^= fingerprint(&entry.signed);
        assert_eq!(table.holders.get(&entry.position) == Some(id), entry.signed.roles.holds);
        assert_eq!(entry.relay.is_some(), entry.signed.roles.relays);
        assert!(entry.relay.is_none_or(|place| table.relays[place] == *id));
        assert!(table.networks[&entry.network].contains(id));
        assert_eq!(table.lost.contains(id), entry.health.lost.is_some());
        holders += usize::from(entry.signed.roles.holds);
        relays += usize::from(entry.signed.roles.relays);
        if let Some(network) = entry.network.filter(|_| entry.signed.roles.relays) {
            *relaying.entry(network).or_insert(0) += 1;
        }
    }
    assert_eq!(relaying, table.relaying);
    assert_eq!(digests, *table.digests());
    assert_eq!((holders, relays), (table.holders.len(), table.relays.len()));
    assert!(table.lost.iter().all(|id| table.get(id).is_some()));
    assert_eq!(table.networks.values().map(BTreeSet::len).sum::<usize>(), table.len());
}

#[test]
fn the_newer_descriptor_wins() {
    let mut table = NodeTable::new();
    let older = signed_by(1, WALL.0 * 1000 - 5, Roles::ALL, [127, 0, 0, 1]);
    let newer = signed_by(1, WALL.0 * 1000, Roles { relays: true, holds: false }, [10, 0, 0, 1]);
    assert_eq!(table.insert(older.clone(), moment(100)), Inserted::New);
    assert_eq!(table.insert(older.clone(), moment(100)), Inserted::Same);
    assert_eq!(table.insert(newer.clone(), moment(100)), Inserted::Newer);
    check_indices(&table);
    assert_eq!(table.insert(older, moment(100)), Inserted::Older);
    assert_eq!(table.get(&newer.id).unwrap().signed(), &newer);
    assert_eq!((table.len(), table.holder_count(), table.relays().len()), (1, 0, 1));
}

#[test]
fn a_node_is_lost_until_it_is_seen_or_signs_again() {
    let mut table = NodeTable::new();
    let id = node(1).id;
    table.insert(node(1), moment(10));
    assert!(!table.mark_lost(&id, moment(9)), "seen later than that");
    assert!(table.mark_lost(&id, moment(20)));
    assert!(!table.mark_lost(&id, moment(21)), "no news");
    assert_eq!(table.lost().collect::<Vec<_>>(), [(&id, moment(21))]);
    check_indices(&table);
    table.mark_seen(&id, moment(22));
    assert_eq!(table.lost().count(), 0);
    table.mark_lost(&id, moment(30));
    table.insert(signed_by(1, WALL.0 * 1000 + 1, Roles::ALL, [127, 0, 0, 1]), moment(40));
    assert_eq!(table.lost().count(), 0, "signed after it was lost");
    check_indices(&table);
    assert!(!table.mark_lost(&id, moment(35)), "an old rumour");
    table.set_lost(&id, Some(moment(50)));
    check_indices(&table);
    table.set_lost(&id, None);
    table.set_lost(&node(2).id, Some(moment(50)));
    check_indices(&table);
    table.mark_lost(&id, moment(60));
    table.expire(WALL.plus(u64::from(u32::MAX)));
    check_indices(&table);
}

#[test]
fn a_signature_from_before_the_clock_began_is_no_sign_of_life() {
    let mut table = NodeTable::new();
    let stale = signed_by(1, (WALL.0 - 500) * 1000, Roles::ALL, [127, 0, 0, 1]);
    let id = stale.id;
    table.insert(stale, moment(3));
    assert_eq!(table.get(&id).unwrap().health(), Health::default());
    assert!(table.mark_lost(&id, moment(0)));
}

#[test]
fn who_fills_one_network_crowds_out_nobody_else() {
    let mut table = NodeTable::with_limit(10);
    for number in 0..30 {
        table.insert(signed_by(number, WALL.0 * 1000, Roles::ALL, [10, 0, 0, 1]), moment(100));
    }
    assert_eq!(table.len(), 10);
    for number in 30..35 {
        let other = signed_by(number, WALL.0 * 1000, Roles::ALL, [20, number as u8, 0, 1]);
        assert_eq!(table.insert(other, moment(100)), Inserted::New);
    }
    assert_eq!(table.insert(signed_by(40, WALL.0 * 1000, Roles::ALL, [10, 0, 0, 9]), moment(100)), Inserted::Full);
    assert_eq!((table.len(), table.networks.len()), (10, 6));
    check_indices(&table);
}

#[test]
fn the_expired_are_forgotten() {
    let mut table = NodeTable::new();
    (0..50).for_each(|number| _ = table.insert(node(number), moment(1)));
    assert_eq!(table.expire(WALL.plus(1019)), 20);
    assert_eq!(table.len(), 30);
    check_indices(&table);
}

#[test]
fn two_tables_find_their_differences() {
    let (mut a, mut b) = (NodeTable::new(), NodeTable::new());
    (0..60).for_each(|number| _ = a.insert(node(number), moment(1)));
    (5..70).for_each(|number| _ = b.insert(node(number), moment(1)));
    let to_b = a.in_buckets(&a.differing(b.digests()), usize::MAX);
    let to_a = b.in_buckets(&b.differing(a.digests()), usize::MAX);
    assert!(to_b.len() < 40, "{} of 60 sent for 15 differences", to_b.len());
    for (bytes, table) in
        to_b.into_iter().map(|x| (x, false)).chain(to_a.into_iter().map(|x| (x, true))).collect::<Vec<_>>()
    {
        let signed = SignedNodeDescriptor::decode(bytes).unwrap().verify(WALL).unwrap();
        if table {
            a.insert(signed, moment(1))
        } else {
            b.insert(signed, moment(1))
        };
    }
    assert_eq!(a.digests(), b.digests());
    assert_eq!((a.len(), b.len()), (70, 70));
    assert!(a.differing(b.digests()).is_empty());
    assert_eq!(a.in_buckets(&(0..=255).collect::<Vec<_>>(), 7).len(), 7);
}

#[test]
fn the_cache_is_read_back_and_verified_again() {
    let mut table = NodeTable::new();
    (0..20).for_each(|number| _ = table.insert(node(number), moment(1)));
    let bytes = table.encode();
    let read = NodeTable::decode(bytes.clone().into(), WALL, moment(2)).unwrap();
    assert_eq!(read.digests(), table.digests());
    let later = NodeTable::decode(bytes.clone().into(), WALL.plus(1009), moment(2)).unwrap();
    assert_eq!(later.len(), 10, "the expired ones are left out");
    let mut forged = bytes.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(NodeTable::decode(forged.into(), WALL, moment(2)).unwrap().len(), 19);
    assert!(NodeTable::decode(bytes[..bytes.len() - 1].to_vec().into(), WALL, moment(2)).is_err());
    assert!(NodeTable::decode(vec![1, 0xff, 0xff, 0xff, 0xff].into(), WALL, moment(2)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn indices_follow_the_map(steps in prop::collection::vec((0..12u16, 0..4u64, 0..4u8, 0..3u8), 1..80)) {
        let mut table = NodeTable::with_limit(8);
        for (number, age, roles, network) in steps {
            let roles = Roles { relays: roles & 1 != 0, holds: roles & 2 != 0 };
            let network = if network == 0 { [127, 0, 0, 1] } else { [10, network, 0, 1] };
            table.insert(signed_by(number, WALL.0 * 1000 - age, roles, network), moment(9));
            if age == 3 {
                table.expire(WALL.plus(1000 + u64::from(number)));
            }
            check_indices(&table);
            prop_assert!(table.len() <= 8);
        }
    }
}
