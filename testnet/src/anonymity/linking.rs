//! Who asked for what: the guess of a coalition that pools what its guards and its holders saw.
//!
//! A guard sees which client sends a packet to which middle relay, and when; a holder sees what is asked for, which middle relay
//! it came from, and to which back relay the answer goes, and when. Where the middle relay is the coalition's too, it follows the
//! packet itself. Else it takes the client whose packet left for that relay just before, and to whom one came from that back relay
//! just after; where nothing came back, it names nobody. Without the guard there is nobody to name.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use palimpsest_node::hostile::Mark;
use palimpsest_proto::ids::NodeId;

use super::sights::{Seen, What};

/// How long a packet may take from the guard to the holder, and back: later ones are not considered.
const WINDOW: Duration = Duration::from_secs(30);
/// Packets from guards that are considered for a request at most, the latest before it.
const CONSIDERED: usize = 64;

/// Whom a coalition takes for the client of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guess {
    /// The request, as the holder got it.
    pub came: Mark,
    /// Who it was, as it is believed.
    pub client: NodeId,
    /// Why.
    pub by: Evidence,
}

/// What a guess goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// Guard, middle relay and holder are the coalition's: it is the same packet.
    Packet,
    /// Guard and holder are: the client's packet left for the relay from which the request came, at such a time.
    TimeAndRelays,
}

/// A packet that a guard passed on for a client, or to one.
#[derive(Clone, Copy)]
struct AtGuard {
    at: Duration,
    client: NodeId,
}

/// Guesses for as many requests as there is anything to guess by. `pooled` is what the coalition saw, in order; `members` are all
/// nodes: whoever is none of them is a client.
#[must_use]
pub fn guesses(pooled: &[Seen], members: &BTreeSet<NodeId>) -> Vec<Guess> {
    let mut leaving: HashMap<NodeId, Vec<AtGuard>> = HashMap::new();
    let mut coming: HashMap<(NodeId, NodeId), Vec<Duration>> = HashMap::new();
    let mut passed: HashMap<Mark, Mark> = HashMap::new();
    let mut answered: HashMap<Mark, (Duration, NodeId)> = HashMap::new();
    let mut clients: HashMap<Mark, NodeId> = HashMap::new();
    for Seen { at, what, .. } in pooled.iter().copied() {
        match what {
            What::Passed { from, next, left, .. } if !members.contains(&from) => {
                leaving.entry(next).or_default().push(AtGuard { at, client: from });
                clients.insert(left, from);
            }
            What::Passed { from, next, .. } if !members.contains(&next) => {
                coming.entry((next, from)).or_default().push(at);
            }
            What::Passed { came, left, .. } => _ = passed.insert(left, came),
            What::Answered { to, came, .. } => _ = answered.insert(came, (at, to)),
            What::Asked { .. } => {}
        }
    }
    let guess = |one: &Seen| {
        let What::Asked { from, came, .. } = one.what else { return None };
        // The middle relay is ours: no need to guess.
        if let Some(earlier) = passed.get(&came) {
            return clients.get(earlier).map(|client| Guess { came, client: *client, by: Evidence::Packet });
        }
        let before = leaving.get(&from)?;
        let end = before.partition_point(|packet| packet.at <= one.at);
        let considered = before[end.saturating_sub(CONSIDERED)..end].iter().rev();
        let recent = considered.take_while(|packet| one.at - packet.at <= WINDOW);
        let strangeness = |packet: &AtGuard| {
            let way_there = one.at - packet.at;
            let Some((at, to)) = answered.get(&came) else { return way_there };
            let after = coming.get(&(packet.client, *to)).map_or(&[][..], Vec::as_slice);
            let back = after.get(after.partition_point(|time| time < at)).map(|time| *time - *at);
            way_there + back.unwrap_or(2 * WINDOW)
        };
        let best = recent.min_by_key(|packet| strangeness(packet))?;
        (strangeness(best) <= WINDOW).then_some(Guess { came, client: best.client, by: Evidence::TimeAndRelays })
    };
    pooled.iter().filter_map(guess).collect()
}

#[cfg(test)]
mod tests {
    use super::super::sights::tests::{CLIENT, id, request};
    use super::super::sights::{Seen, journeys};
    use super::{Evidence, guesses};
    use palimpsest_proto::ids::NodeId;
    use std::collections::BTreeSet;

    /// Two clients of one guard ask two holders over one middle relay, the packets a hair apart.
    fn two_clients() -> Vec<Seen> {
        let mut seen = request(CLIENT, [0, 1, 2, 3], 100, 1);
        seen.extend(request(CLIENT + 1, [0, 1, 4, 5], 101, 2));
        seen.sort_by_key(|one| one.at);
        seen
    }

    /// How many of the two requests such a coalition names rightly, and wrongly.
    fn named(nodes: &[usize]) -> (usize, usize) {
        let seen = two_clients();
        let members: BTreeSet<NodeId> = (0..6).map(id).collect();
        let pooled: Vec<Seen> = seen.iter().filter(|one| nodes.contains(&one.node)).copied().collect();
        let truth = journeys(&seen);
        let guesses = guesses(&pooled, &members);
        let right = |guess: &&super::Guess| truth.iter().any(|j| (j.came, j.client) == (guess.came, guess.client));
        let right = guesses.iter().filter(right).count();
        (right, guesses.len() - right)
    }

    #[test]
    fn guard_and_holder_name_the_client_by_time_and_relays() {
        assert_eq!(named(&[0, 2, 4]), (2, 0));
        assert_eq!(named(&[0, 1, 2, 4]), (2, 0));
        assert_eq!(named(&[0, 2]), (1, 0));
        let members = (0..6).map(id).collect();
        let by = |nodes: &[usize]| {
            let pooled: Vec<Seen> = two_clients().into_iter().filter(|one| nodes.contains(&one.node)).collect();
            guesses(&pooled, &members).iter().map(|guess| guess.by).collect::<Vec<_>>()
        };
        assert_eq!((by(&[0, 1, 2]), by(&[0, 2])), (vec![Evidence::Packet], vec![Evidence::TimeAndRelays]));
    }

    #[test]
    fn without_the_guard_or_without_a_holder_nobody_is_named() {
        assert_eq!(named(&[1, 2, 3, 4, 5]), (0, 0));
        assert_eq!(named(&[0, 1, 3, 5]), (0, 0));
    }

    /// The guard of another client, which asks something else over the same middle relay.
    #[test]
    fn who_got_no_answer_is_not_named_for_another() {
        let mut seen = request(CLIENT, [0, 1, 2, 3], 100, 1);
        seen.extend(request(CLIENT + 1, [4, 1, 5, 6], 101, 2));
        seen.sort_by_key(|one| one.at);
        let members: BTreeSet<NodeId> = (0..7).map(id).collect();
        let pooled: Vec<Seen> = seen.iter().filter(|one| [0, 5].contains(&one.node)).copied().collect();
        assert!(guesses(&pooled, &members).is_empty());
    }
}
