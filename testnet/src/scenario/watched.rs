//! What a coalition made of what its nodes saw, and whether anybody saw what only a guard may: from the sights of all nodes, which
//! are the truth that it is judged by.

use std::collections::{BTreeSet, HashMap, HashSet};

use palimpsest_proto::ids::NodeId;

use super::stage::chosen;
use super::users::Call;
use super::{Coalition, Pooled, Watched};
use crate::anonymity::linking::guesses;
use crate::anonymity::sights::{Journey, Seen, What, complaints, journeys};

/// What is known of clients by those who sent them.
#[derive(Debug, Clone, Default)]
pub(super) struct Clients {
    /// Whom each may have been connected to.
    pub(super) guards: HashMap<NodeId, BTreeSet<NodeId>>,
    /// Whose each is: a user who comes again is another client, and has the guard that it had.
    pub(super) users: HashMap<NodeId, String>,
}

impl Clients {
    /// How many users these are. A client of whom nothing is known is somebody by itself.
    fn users_of<'a>(&'a self, clients: impl IntoIterator<Item = &'a NodeId>) -> usize {
        let user = |id: &'a NodeId| self.users.get(id).ok_or(id);
        clients.into_iter().map(user).collect::<HashSet<_>>().len()
    }
}

/// `seen` is in order; `members` are the nodes by number, dead ones too; `made_up` are no clients, either. The first `nodes` of
/// them were there from the beginning, and of those the coalition is.
pub(super) fn watched(
    seen: &[Seen],
    (members, nodes): (&[NodeId], u32),
    made_up: impl Iterator<Item = NodeId>,
    known: &Clients,
    coalition: Option<Coalition>,
) -> Watched {
    let no_clients: Vec<NodeId> = members.iter().copied().chain(made_up).collect();
    // Nodes ask, too, to keep what is there: they are nobody's clients.
    let mut journeys = journeys(seen);
    journeys.retain(|journey| !members.contains(&journey.client));
    let clients: BTreeSet<NodeId> = journeys.iter().map(|journey| journey.client).collect();
    let coalition = coalition.map(|Coalition { fraction, seed }| {
        let seats = chosen(nodes, fraction, seed);
        let bad = |node: usize| seats.iter().any(|&seat| seat as usize == node);
        let pooled: Vec<Seen> = seen.iter().filter(|one| bad(one.node)).copied().collect();
        let members = members.iter().copied().collect();
        let named: HashSet<_> = guesses(&pooled, &members).into_iter().map(|one| (one.came, one.client)).collect();
        let clients_of = |some: &dyn Fn(&Journey) -> bool| {
            journeys.iter().filter(|journey| some(journey)).map(|journey| journey.client).collect::<BTreeSet<_>>()
        };
        let guarded = clients_of(&|journey| bad(journey.guard));
        let linked = clients_of(&|journey| named.contains(&(journey.came, journey.client)));
        Pooled {
            nodes: seats.len(),
            of: nodes as usize,
            guarded: guarded.len(),
            linked: linked.len(),
            users_linked: known.users_of(&linked),
            beyond: linked.difference(&guarded).count(),
        }
    });
    Watched {
        clients: clients.len(),
        users: known.users_of(&clients),
        requests: journeys.len(),
        complaints: complaints(seen, &no_clients, &known.guards),
        coalition,
    }
}

/// Whose guards which nodes may be, where clients are programs: each call of `pal` is another client, and one ran after the
/// other. Of the guards that it has drawn it has asked only those that have answered.
pub(super) fn clients_of(seen: &[Seen], members: &[NodeId], calls: &[Call]) -> Clients {
    let mut clients = Clients::default();
    for one in seen {
        let (What::Passed { from: client, .. } | What::Asked { from: client, .. }) = one.what else { continue };
        if members.contains(&client) || clients.guards.contains_key(&client) {
            continue;
        }
        let call = calls.iter().find(|call| (call.since..=call.until).contains(&one.at));
        let those = call.map(|call| members.iter().filter(|id| call.guards.has_answered(id)).copied().collect());
        clients.guards.insert(client, those.unwrap_or_default());
        clients.users.extend(call.map(|call| (client, call.user.clone())));
    }
    clients
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use palimpsest_node::hostile::Mark;
    use palimpsest_proto::ids::NodeId;
    use palimpsest_proto::select::{GuardList, NodeTable};
    use palimpsest_proto::time::Moment;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{Call, Clients, Coalition, clients_of, watched};
    use crate::anonymity::sights::tests::{CLIENT, id, request};
    use crate::anonymity::sights::{Seen, What, complaints};
    use crate::process::Fraction;
    use crate::sim::world::{WALL, announce, key, network_of};

    #[test]
    fn a_guard_that_was_drawn_and_not_used_is_a_complaint() {
        let mut table = NodeTable::new();
        let said: Vec<_> = (0..4).map(|number| announce(&key(1, number), network_of(number), 0, 0).unwrap()).collect();
        let ids: Vec<NodeId> = said.iter().map(|node| node.id).collect();
        said.into_iter().for_each(|node| _ = table.insert(node, Moment::default()));
        // In so small a network all relays are in the sample.
        let mut guards = GuardList::new();
        guards.refill(&mut StdRng::seed_from_u64(1), &table, None, WALL);
        guards.reached(&ids[0]);
        assert!(ids.iter().all(|id| guards.contains(id)));
        let complaints_of = |node: usize, next: NodeId| {
            let what = What::Passed { from: id(CLIENT), next, came: Mark(1), left: Mark(2) };
            let seen = [Seen { node, at: Duration::from_millis(500), what }];
            let call =
                Call { since: Duration::ZERO, until: Duration::from_secs(1), guards: guards.clone(), user: "u".into() };
            complaints(&seen, &ids, &clients_of(&seen, &ids, &[call]).guards).len()
        };
        assert_eq!((complaints_of(0, ids[1]), complaints_of(1, ids[0])), (0, 1));
    }

    #[test]
    fn what_nodes_ask_for_themselves_is_no_clients() {
        let members: Vec<NodeId> = (0..6).map(id).collect();
        let seen = [request(CLIENT, [0, 1, 2, 3], 0, 1), request(5, [0, 1, 2, 3], 10, 2)].concat();
        let all = Coalition { fraction: Fraction::new(1.0).unwrap(), seed: 1 };
        let known = Clients { guards: [(id(CLIENT), [id(0)].into())].into(), ..Clients::default() };
        let found = watched(&seen, (&members, 6), std::iter::empty(), &known, Some(all));
        assert_eq!((found.clients, found.users, found.requests), (1, 1, 1));
        let pooled = found.coalition.unwrap();
        assert_eq!((pooled.guarded, pooled.linked, pooled.beyond), (1, 1, 0));
    }

    #[test]
    fn who_comes_again_is_another_client_and_the_same_user() {
        let asked = |client: u8, at: u64| {
            let what = What::Passed { from: id(client), next: id(1), came: Mark(1), left: Mark(2) };
            Seen { node: 0, at: Duration::from_secs(at), what }
        };
        let call = |at: u64, user: &str| Call {
            since: Duration::from_secs(at),
            until: Duration::from_secs(at),
            guards: GuardList::new(),
            user: user.into(),
        };
        let calls = [call(1, "publisher"), call(2, "stranger"), call(3, "publisher")];
        // Whom nobody has called is one more.
        let seen = [asked(101, 1), asked(102, 2), asked(103, 3), asked(104, 9)];
        let clients = clients_of(&seen, &[id(1)], &calls);
        assert_eq!(clients.users_of(&[101, 102, 103].map(id)), 2);
        assert_eq!(clients.users_of(&[101, 104].map(id)), 2);
        assert_eq!(Clients::default().users_of(&[101, 103].map(id)), 2);
    }
}
