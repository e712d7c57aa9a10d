use std::collections::BTreeSet;

use palimpsest_proto::ids::{Locator, NodeId};

use super::{Names, Role, Seats, users};
use crate::anonymity::sights::tests::{CLIENT, id, request};
use crate::anonymity::sights::{Seen, Wanted, What};

/// Requests of three clients: a publisher (guard 0) and a reader (guard 1) of the file, and somebody who reads another one (guard 0).
fn seen() -> Vec<Seen> {
    let mut seen = request(CLIENT, [0, 2, 4, 3], 100, 1);
    let store = |one: &mut Seen| {
        if let What::Asked { wanted, .. } = &mut one.what {
            *wanted = Wanted::Store(Locator([1; 32]), palimpsest_proto::time::Timestamp(0));
        }
    };
    seen.iter_mut().for_each(store);
    seen.extend(request(CLIENT + 1, [1, 2, 4, 3], 200, 2));
    seen.extend(request(CLIENT + 1, [1, 3, 5, 2], 220, 3));
    seen.extend(request(CLIENT + 2, [0, 3, 5, 2], 300, 4));
    seen
}

fn names() -> Names {
    Names { locators: [1, 2, 3].map(|byte| Locator([byte; 32])).into(), ..Names::default() }
}

fn members() -> Vec<NodeId> {
    (0..6).map(id).collect()
}

fn seats(nodes: &[usize], holders: &[usize]) -> Seats {
    Seats { nodes: nodes.iter().copied().collect(), holders: holders.iter().copied().collect() }
}

#[test]
fn guard_and_holder_name_who_used_the_file_and_for_what() {
    let found = users(&seen(), &members(), &seats(&[0], &[4, 5]), &names());
    assert_eq!((found.publishers, found.readers, found.guarded, found.requests), (1, 1, 1, 3));
    assert_eq!((found.nodes, found.seats, found.seats_as_holders), (6, 1, 2));
    assert_eq!((found.right, found.wrong, found.beyond, found.linked), (1, 0, 0, 1));
    let one = &found.named[0];
    assert_eq!((one.client.0, one.role, one.requests, one.followed), ([CLIENT; 32], Role::Publisher, 1, 0));
    assert_eq!((found.parts.guard, found.parts.middle, found.parts.back, found.parts.holder), (1, 0, 0, 3));
    assert_eq!(found.guards_found, 0);
}

#[test]
fn a_middle_relay_makes_it_sure_and_betrays_the_guards_of_others() {
    let found = users(&seen(), &members(), &seats(&[0, 2], &[4, 5]), &names());
    assert_eq!((found.right, found.named[0].followed), (1, 1));
    // As the middle relay of one request of the reader, and as the back relay of another: one guard.
    assert_eq!((found.parts.middle, found.parts.back, found.guards_found), (2, 1, 1));
}

#[test]
fn all_holders_and_relays_without_a_guard_name_nobody() {
    let found = users(&seen(), &members(), &seats(&[2, 3], &[4, 5]), &names());
    assert!(found.named.is_empty() && found.parts.holder == 3 && found.guarded == 0, "{found:?}");
    assert_eq!((found.bound, found.guards_found), (0.0, 2));
    // What a holder sees as a relay is not had of those that are holders only.
    let found = users(&seen(), &members(), &seats(&[], &[0, 1, 2, 3, 4, 5]), &names());
    assert!(found.named.is_empty() && found.guards_found == 0, "{found:?}");
}

#[test]
fn who_asked_for_something_else_is_no_user_and_is_wrongly_named() {
    let mut seen = seen();
    // Somebody else's packet leaves the same guard for the same relay, later than the publisher's, whose own was not written down.
    seen.remove(0);
    seen.extend(request(CLIENT + 2, [0, 2, 5, 3], 100, 5));
    seen.sort_by_key(|one| one.at);
    let found = users(&seen, &members(), &seats(&[0], &[4]), &names());
    assert_eq!((found.right, found.wrong, found.beyond), (0, 1, 0), "{found:?}");
    assert!(!found.named[0].right && found.named[0].true_requests == 0);
}

#[test]
fn holders_are_those_that_were_asked_to_keep_it() {
    assert_eq!(names().holders(&seen()), BTreeSet::from([4]));
}
