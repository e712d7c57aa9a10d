//! Who published and who read a file whose link a censor has, as far as nodes tell that are the censor's. From the link it knows all
//! names by which the file is asked for; its holders see them, its guards see clients, and what joins the two is guessed as any
//! coalition does ([`crate::anonymity::linking`]). What is true is known only from the diaries of all nodes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use palimpsest_node::hostile::Mark;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::ids::{Locator, NodeId, RecordAddress};
use serde::Serialize;

use crate::anonymity::linking::{Evidence, guesses};
use crate::anonymity::sights::{Journey, Seen, Wanted, What, journeys};
use crate::hostile::Hex;

/// All by which requests for one file are known: what its link leads to.
#[derive(Debug, Clone, Default)]
pub struct Names {
    locators: BTreeSet<Locator>,
    addresses: BTreeSet<RecordAddress>,
}

impl Names {
    /// Those of these stripes.
    #[must_use]
    pub fn of<'a>(stripes: impl IntoIterator<Item = &'a Descriptor>) -> Self {
        let mut names = Self::default();
        for stripe in stripes {
            names.locators.extend(stripe.locators());
            names.addresses.extend(stripe.root_address().record_addresses());
        }
        names
    }

    fn have(&self, wanted: &Wanted) -> bool {
        match wanted {
            Wanted::Store(locator, _) | Wanted::Fetch(locator) => self.locators.contains(locator),
            Wanted::PutRecord(address) | Wanted::GetRecord(address) => self.addresses.contains(address),
            Wanted::Other => false,
        }
    }

    /// The numbers of the nodes that were asked to keep a shard.
    #[must_use]
    pub fn holders(&self, seen: &[Seen]) -> BTreeSet<usize> {
        let holds = |one: &&Seen| match one.what {
            What::Asked { wanted: Wanted::Store(locator, _), .. } => self.locators.contains(&locator),
            _ => false,
        };
        seen.iter().filter(holds).map(|one| one.node).collect()
    }
}

/// The nodes that are a censor's, by their numbers.
#[derive(Debug, Clone, Default)]
pub struct Seats {
    /// It has all that these see.
    pub nodes: BTreeSet<usize>,
    /// Of these, what they see as holders: what is asked of them, and whom they answer.
    pub holders: BTreeSet<usize>,
}

impl Seats {
    fn pool(&self, seen: &[Seen]) -> Vec<Seen> {
        let has = |one: &&Seen| {
            let as_holder = !matches!(one.what, What::Passed { .. });
            self.nodes.contains(&one.node) || as_holder && self.holders.contains(&one.node)
        };
        seen.iter().filter(has).copied().collect()
    }
}

/// What somebody did with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It was published by it.
    Publisher,
    /// It was read by it.
    Reader,
}

/// A client that a censor takes for a user of the file. Its guard, which is the censor's, knows its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The name under which it came.
    pub client: Hex,
    /// As what: a publisher, if most of what it is believed to have asked is that something is kept.
    pub role: Role,
    /// Requests for this file that it is believed to have made.
    pub requests: usize,
    /// Of these, those whose packet was the censor's from the guard to the holder; the others go by time and relays.
    pub followed: usize,
    /// Of these, those that it made.
    pub true_requests: usize,
    /// Whether it is what it is taken for.
    pub right: bool,
}

/// Requests for the file of which nodes of the censor's had a part, by which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// The first relay, which knows the client.
    pub guard: usize,
    /// The second, which knows the guard.
    pub middle: usize,
    /// The first of the answer, which knows the guard.
    pub back: usize,
    /// Who was asked, and knows for what.
    pub holder: usize,
}

/// What a censor learnt of those who used a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Users {
    /// Nodes of the network.
    pub nodes: usize,
    /// Those that are the censor's.
    pub seats: usize,
    /// Those of which it has what they see as holders, beside these.
    pub seats_as_holders: usize,
    /// Clients that published the file, in truth.
    pub publishers: usize,
    /// Clients that read it.
    pub readers: usize,
    /// Of both, those whose guard is the censor's: of whom one of its nodes passed something on, for this file or for another.
    pub guarded: usize,
    /// The bound: the part of the clients whose guard is the censor's.
    pub bound: f64,
    /// Requests of theirs for the file.
    pub requests: usize,
    /// Of these, those of which the censor's nodes had a part.
    pub parts: Parts,
    /// Of these, those that the censor knows the client of.
    pub linked: usize,
    /// Nodes not its own that it found to be the guard of somebody who used the file: whom it may press.
    pub guards_found: usize,
    /// Whom it takes for users of the file, those with most requests first.
    pub named: Vec<Named>,
    /// Of these, those who are what they are taken for.
    pub right: usize,
    /// Of these, the others.
    pub wrong: usize,
    /// Of these, those who used the file and whose guard is none of the censor's: there must be none.
    pub beyond: usize,
}

/// What a censor makes of what its nodes saw of a file. `seen` is what all saw, in order; `members` are the nodes by number.
#[must_use]
pub fn users(seen: &[Seen], members: &[NodeId], seats: &Seats, names: &Names) -> Users {
    let known: BTreeSet<NodeId> = members.iter().copied().collect();
    let of_file = |journey: &Journey| names.have(&journey.wanted) && !known.contains(&journey.client);
    let truth: Vec<Journey> = journeys(seen).into_iter().filter(of_file).collect();
    let mut used: BTreeMap<NodeId, Vec<&Journey>> = BTreeMap::new();
    truth.iter().for_each(|journey| used.entry(journey.client).or_default().push(journey));
    let by_request: HashMap<Mark, NodeId> = truth.iter().map(|journey| (journey.came, journey.client)).collect();
    // Who publishes begins with something to be kept, who reads with asking for the record.
    let roles: BTreeMap<NodeId, Role> =
        used.iter().filter_map(|(client, all)| Some((*client, role(&all.first()?.wanted)))).collect();
    let guarded: BTreeSet<NodeId> = seen
        .iter()
        .filter(|one| seats.nodes.contains(&one.node))
        .flat_map(|one| match one.what {
            What::Passed { from, next, .. } => [from, next],
            What::Asked { from: id, .. } | What::Answered { to: id, .. } => [id; 2],
        })
        .filter(|id| used.contains_key(id))
        .collect();

    let pooled = seats.pool(seen);
    let mut votes: BTreeMap<NodeId, Votes> = BTreeMap::new();
    let asked = asked(&pooled, names);
    for guess in guesses(&pooled, &known) {
        let Some(wanted) = asked.get(&guess.came) else { continue };
        let is_true = by_request.get(&guess.came) == Some(&guess.client);
        votes.entry(guess.client).or_default().add(wanted, guess.by, is_true);
    }
    let mut named: Vec<Named> = votes.iter().map(|(client, votes)| votes.named(client, roles.get(client))).collect();
    named.sort_by_key(|one| std::cmp::Reverse(one.requests));
    let right = named.iter().filter(|one| one.right).count();
    let is_beyond = |one: &&Named| used.contains_key(&NodeId(one.client.0)) && !guarded.contains(&NodeId(one.client.0));
    Users {
        nodes: members.len(),
        seats: seats.nodes.len(),
        seats_as_holders: seats.holders.difference(&seats.nodes).count(),
        publishers: roles.values().filter(|role| **role == Role::Publisher).count(),
        readers: roles.values().filter(|role| **role == Role::Reader).count(),
        guarded: guarded.len(),
        bound: guarded.len() as f64 / used.len().max(1) as f64,
        requests: truth.len(),
        parts: parts(seen, &truth, seats),
        linked: votes.values().map(|votes| votes.right).sum(),
        guards_found: guards_found(&pooled, &asked, members, seats),
        right,
        wrong: named.len() - right,
        beyond: named.iter().filter(is_beyond).count(),
        named,
    }
}

fn role(wanted: &Wanted) -> Role {
    match wanted {
        Wanted::Store(..) | Wanted::PutRecord(_) => Role::Publisher,
        Wanted::Fetch(_) | Wanted::GetRecord(_) | Wanted::Other => Role::Reader,
    }
}

/// Guesses that fell on one client.
#[derive(Default)]
struct Votes {
    publisher: usize,
    reader: usize,
    followed: usize,
    right: usize,
}

impl Votes {
    fn add(&mut self, wanted: &Wanted, by: Evidence, is_true: bool) {
        *(if role(wanted) == Role::Publisher { &mut self.publisher } else { &mut self.reader }) += 1;
        self.followed += usize::from(by == Evidence::Packet);
        self.right += usize::from(is_true);
    }

    fn named(&self, client: &NodeId, truth: Option<&Role>) -> Named {
        let role = if self.publisher > self.reader { Role::Publisher } else { Role::Reader };
        Named {
            client: Hex(client.0),
            role,
            requests: self.publisher + self.reader,
            followed: self.followed,
            true_requests: self.right,
            right: truth == Some(&role),
        }
    }
}

/// Requests for the file that came to holders of the censor's.
fn asked(pooled: &[Seen], names: &Names) -> HashMap<Mark, Wanted> {
    let of_file = |one: &Seen| match one.what {
        What::Asked { came, wanted, .. } if names.have(&wanted) => Some((came, wanted)),
        _ => None,
    };
    pooled.iter().filter_map(of_file).collect()
}

/// Requests of which the censor's nodes had a part.
fn parts(seen: &[Seen], truth: &[Journey], seats: &Seats) -> Parts {
    let (mut answers, mut passed): (HashMap<Mark, Mark>, HashMap<Mark, usize>) = (HashMap::new(), HashMap::new());
    for one in seen {
        match one.what {
            What::Answered { came, left, .. } => _ = answers.insert(came, left),
            What::Passed { came, .. } => _ = passed.insert(came, one.node),
            What::Asked { .. } => {}
        }
    }
    let back = |journey: &Journey| passed.get(answers.get(&journey.came)?);
    let count = |has: &dyn Fn(&Journey) -> bool| truth.iter().filter(|journey| has(journey)).count();
    Parts {
        guard: count(&|one| seats.nodes.contains(&one.guard)),
        middle: count(&|one| seats.nodes.contains(&one.middle)),
        back: count(&|one| back(one).is_some_and(|node| seats.nodes.contains(node))),
        holder: count(&|one| seats.nodes.contains(&one.holder) || seats.holders.contains(&one.holder)),
    }
}

/// Nodes through which requests for the file came to a middle relay, or answers left a back relay, that is the censor's.
fn guards_found(pooled: &[Seen], asked: &HashMap<Mark, Wanted>, members: &[NodeId], seats: &Seats) -> usize {
    let answers: BTreeSet<Mark> = pooled
        .iter()
        .filter_map(|one| match one.what {
            What::Answered { came, left, .. } if asked.contains_key(&came) => Some(left),
            _ => None,
        })
        .collect();
    let guard = |one: &Seen| match one.what {
        What::Passed { from, left, .. } if asked.contains_key(&left) => Some(from),
        What::Passed { next, came, .. } if answers.contains(&came) => Some(next),
        _ => None,
    };
    let own: BTreeSet<&NodeId> = seats.nodes.iter().filter_map(|&node| members.get(node)).collect();
    let found: BTreeSet<NodeId> = pooled.iter().filter_map(guard).collect();
    found.iter().filter(|id| members.contains(id) && !own.contains(id)).count()
}

#[cfg(test)]
mod tests;
