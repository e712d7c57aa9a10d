//! What nodes of a network in one process saw, written down as their operators could, and what of it belongs together.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use palimpsest_node::hostile::{Mark, Onlooker, Sight};
use palimpsest_proto::ids::{Locator, NodeId, RecordAddress};
use palimpsest_proto::message::Ask;
use palimpsest_proto::time::Timestamp;

/// Sights that are written down at most; later ones are not. A publish of 8 MiB makes some 10,000.
pub(crate) const SIGHTS_MAX: usize = 4_000_000;

/// Something that a node saw, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The number of the node.
    pub node: usize,
    /// Since the beginning of the record, all nodes by one clock.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What a node saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It passed a packet on.
    Passed {
        /// From whom.
        from: NodeId,
        /// To whom.
        next: NodeId,
        /// As it came.
        came: Mark,
        /// As it left.
        left: Mark,
    },
    /// It was asked for something.
    Asked {
        /// By this neighbour.
        from: NodeId,
        /// As it came.
        came: Mark,
        /// What.
        wanted: Wanted,
    },
    /// It answered.
    Answered {
        /// To this neighbour.
        to: NodeId,
        /// The request.
        came: Mark,
        /// As it left.
        left: Mark,
    },
}

impl From<Sight> for What {
    fn from(sight: Sight) -> What {
        match sight {
            Sight::Passed { way, came, left, .. } => What::Passed { from: way.from, next: way.next, came, left },
            Sight::Asked { from, came, ask } => What::Asked { from, came, wanted: Wanted::from(&ask) },
            Sight::Answered { came, to, left, .. } => What::Answered { to, came, left },
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// That a shard is kept, until then.
    Store(Locator, Timestamp),
    /// A shard.
    Fetch(Locator),
    /// That a record is kept.
    PutRecord(RecordAddress),
    /// A record.
    GetRecord(RecordAddress),
    /// Something else.
    Other,
}

impl From<&Ask> for Wanted {
    fn from(ask: &Ask) -> Wanted {
        match ask {
            Ask::Store { lease_until, shard, .. } => Wanted::Store(shard.locator(), *lease_until),
            Ask::Fetch { locator } => Wanted::Fetch(*locator),
            Ask::PutRecord { address, .. } => Wanted::PutRecord(*address),
            Ask::GetRecord { address } => Wanted::GetRecord(*address),
            _ => Wanted::Other,
        }
    }
}

/// Writes down what nodes see. Clones write into the same.
#[derive(Debug, Clone)]
pub struct Ledger {
    since: Instant,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { since: Instant::now(), seen: Arc::default() }
    }
}

impl Ledger {
    /// Looks on at one node.
    #[must_use]
    pub fn onlooker(&self, node: usize) -> Onlooker {
        let ledger = self.clone();
        Onlooker(Arc::new(move |sight| ledger.note(node, sight)))
    }

    fn note(&self, node: usize, sight: Sight) {
        let what = sight.into();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() < SIGHTS_MAX {
            seen.push(Seen { node, at: self.since.elapsed(), what });
        }
    }

    /// What was seen up to now, in order.
    #[must_use]
    pub fn so_far(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        seen.sort_by_key(|one| one.at);
        seen
    }
}

/// A request and who was on its way, as nobody knows it who does not hold all nodes: the truth that guesses are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Journey {
    /// Who asked.
    pub client: NodeId,
    /// The first relay.
    pub guard: usize,
    /// The second.
    pub middle: usize,
    /// Who was asked.
    pub holder: usize,
    /// The request, as the holder got it.
    pub came: Mark,
    /// When the holder got it.
    pub at: Duration,
    /// For what.
    pub wanted: Wanted,
}

/// The journeys of all requests whose every hop was seen, in the order of their arrival.
#[must_use]
pub fn journeys(seen: &[Seen]) -> Vec<Journey> {
    let mut left_by: HashMap<Mark, &Seen> = HashMap::new();
    for one in seen {
        if let What::Passed { left, .. } = one.what {
            left_by.insert(left, one);
        }
    }
    let before = |mark: Mark| match left_by.get(&mark) {
        Some(Seen { node, what: What::Passed { from, came, .. }, .. }) => Some((*node, *from, *came)),
        _ => None,
    };
    let journey = |one: &Seen| {
        let What::Asked { came, wanted, .. } = one.what else { return None };
        let (middle, _, earlier) = before(came)?;
        let (guard, client, _) = before(earlier)?;
        Some(Journey { client, guard, middle, holder: one.node, came, at: one.at, wanted })
    };
    seen.iter().filter_map(journey).collect()
}

/// What is seen that a coalition of one node could not have but as it must: the structure that anonymity rests on. Of a list of
/// complaints, none should be there.
///
/// `members` are the nodes in the order of their numbers; `guards` says to whom each client was ever connected.
#[must_use]
pub fn complaints(seen: &[Seen], members: &[NodeId], guards: &HashMap<NodeId, BTreeSet<NodeId>>) -> Vec<String> {
    let known: BTreeSet<&NodeId> = members.iter().collect();
    let is_client = |id: &NodeId| !known.contains(id);
    let mut complaints = Vec::new();
    for one in seen {
        let Some(own) = members.get(one.node) else { continue };
        match one.what {
            What::Passed { from, next, .. } => {
                if is_client(&from) && is_client(&next) {
                    complaints.push(format!("node {} passes from a client to a client", one.node));
                }
                for client in [from, next].iter().filter(|id| is_client(id)) {
                    if !guards.get(client).is_some_and(|guards| guards.contains(own)) {
                        complaints.push(format!("node {} sees a client whose guard it is not", one.node));
                    }
                }
            }
            What::Asked { from, .. } if is_client(&from) => {
                complaints.push(format!("node {} is asked by a client itself", one.node));
            }
            What::Answered { to, .. } if is_client(&to) => {
                complaints.push(format!("node {} answers a client itself", one.node));
            }
            _ => {}
        }
    }
    complaints
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{Journey, Seen, Wanted, What, complaints, journeys};
    use palimpsest_node::hostile::Mark;
    use palimpsest_proto::ids::{Locator, NodeId};
    use std::collections::{BTreeSet, HashMap};
    use std::time::Duration;

    pub(crate) const CLIENT: u8 = 200;

    pub(crate) fn id(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    pub(crate) fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// One request of a client and its answer over these nodes, each hop a millisecond, at `start`. Nodes are numbered by their ids.
    pub(crate) fn request(client: u8, way: [u8; 4], start: u64, seed: u64) -> Vec<Seen> {
        let [guard, middle, holder, back] = way;
        let mark = |hop: u64| Mark(seed * 100 + hop);
        let seen = |node: u8, after: u64, what| Seen { node: node.into(), at: ms(start + after), what };
        let passed = |from: u8, next: u8, hop: u64| What::Passed {
            from: id(from),
            next: id(next),
            came: mark(hop),
            left: mark(hop + 1),
        };
        let wanted = Wanted::Fetch(Locator([seed as u8; 32]));
        vec![
            seen(guard, 0, passed(client, middle, 0)),
            seen(middle, 1, passed(guard, holder, 1)),
            seen(holder, 2, What::Asked { from: id(middle), came: mark(2), wanted }),
            seen(holder, 3, What::Answered { to: id(back), came: mark(2), left: mark(10) }),
            seen(back, 4, passed(holder, guard, 10)),
            seen(guard, 5, passed(back, client, 11)),
        ]
    }

    #[test]
    fn a_request_is_followed_back_to_who_asked() {
        let seen = request(CLIENT, [0, 1, 2, 3], 7, 5);
        let found = journeys(&seen);
        let wanted = Wanted::Fetch(Locator([5; 32]));
        let truth = Journey { client: id(CLIENT), guard: 0, middle: 1, holder: 2, came: Mark(502), at: ms(9), wanted };
        assert_eq!(found, [truth]);
        assert!(journeys(&seen[1..]).is_empty(), "a hop that nobody saw");
    }

    #[test]
    fn what_must_not_be_seen_is_complained_of() {
        let members: Vec<NodeId> = (0..4).map(id).collect();
        let guards = |of: u8| HashMap::from([(id(CLIENT), BTreeSet::from([id(of)]))]);
        let seen = request(CLIENT, [0, 1, 2, 3], 0, 1);
        assert!(complaints(&seen, &members, &guards(0)).is_empty());
        // Another node is the guard: two packets are seen by who should not see them.
        assert_eq!(complaints(&seen, &members, &guards(1)).len(), 2);
        // A holder that a client asks itself, and answers itself.
        let mut direct = seen.clone();
        direct[2].what = What::Asked { from: id(CLIENT), came: Mark(0), wanted: Wanted::Other };
        direct[3].what = What::Answered { to: id(CLIENT), came: Mark(0), left: Mark(1) };
        assert_eq!(complaints(&direct, &members, &guards(0)).len(), 2);
    }
}
