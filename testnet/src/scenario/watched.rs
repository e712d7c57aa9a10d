//! What a coalition made of what its nodes saw, and whether anybody saw what only a guard may: from the sights of all nodes, which
//! are the truth that it is judged by.

use std::collections::{BTreeSet, HashMap, HashSet};

use palimpsest_proto::ids::NodeId;

use super::stage::chosen;
use super::users::Call;
use super::{Coalition, Pooled, Watched};
use crate::anonymity::linking::guesses;
use crate::anonymity::sights::{Journey, Seen, What, complaints, journeys};

/// Whom each client may have been connected to.
pub(super) type Guards = HashMap<NodeId, BTreeSet<NodeId>>;

/// `seen` is in order; `members` are the nodes by number, dead ones too; `made_up` are no clients, either. The first `nodes` of
/// them were there from the beginning, and of those the coalition is.
pub(super) fn watched(
    seen: &[Seen],
    (members, nodes): (&[NodeId], u32),
    made_up: impl Iterator<Item = NodeId>,
    guards: &Guards,
    coalition: Option<Coalition>,
) -> Watched {
    let known: Vec<NodeId> = members.iter().copied().chain(made_up).collect();
    let journeys = journeys(seen);
    let clients: BTreeSet<NodeId> = journeys.iter().map(|journey| journey.client).collect();
    let coalition = coalition.map(|Coalition { fraction, seed }| {
        let seats = chosen(nodes, fraction, seed);
        let bad = |node: usize| seats.iter().any(|&seat| seat as usize == node);
        let pooled: Vec<Seen> = seen.iter().filter(|one| bad(one.node)).copied().collect();
        let members = members.iter().copied().collect();
        let named: HashSet<_> = guesses(&pooled, &members).into_iter().map(|one| (one.came, one.client)).collect();
        let clients_of = |some: &dyn Fn(&Journey) -> bool| {
            journeys.iter().filter(|journey| some(journey)).map(|journey| journey.client).collect::<BTreeSet<_>>().len()
        };
        Pooled {
            nodes: seats.len(),
            of: nodes as usize,
            guarded: clients_of(&|journey| bad(journey.guard)),
            linked: clients_of(&|journey| named.contains(&(journey.came, journey.client))),
        }
    });
    Watched {
        clients: clients.len(),
        requests: journeys.len(),
        complaints: complaints(seen, &known, guards),
        coalition,
    }
}

/// Whose guards which nodes may be, where clients are programs: each call of `pal` is another client, and one ran after the
/// other. It is connected to one node of the guards that it has chosen.
pub(super) fn guards_of(seen: &[Seen], members: &[NodeId], calls: &[Call]) -> Guards {
    let mut guards = Guards::new();
    for one in seen {
        let (What::Passed { from: client, .. } | What::Asked { from: client, .. }) = one.what else { continue };
        if members.contains(&client) || guards.contains_key(&client) {
            continue;
        }
        let call = calls.iter().find(|call| (call.since..=call.until).contains(&one.at));
        let those = call.map(|call| members.iter().filter(|id| call.guards.contains(id)).copied().collect());
        guards.insert(client, those.unwrap_or_default());
    }
    guards
}
