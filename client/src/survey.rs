//! Who has which shards of some stripes, by asking those who should: with probes that name many shards at once. For those
//! that none of their candidates has, and only where neighbourhoods are crowded, those are asked to whom they may have been
//! diverted.
//!
//! A node's word is taken here, since what follows from it is checked: a warden audits what it finds, and a reader who
//! repairs gathers k shards that hash to their names.

use crate::clock::moment;
use crate::progress::Progress;
use crate::rounds::{Heard, Reply, ask_all, ask_bits};
use crate::session::Session;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::coding::audit::{self, Leaf};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::select::{NodeTable, PASSED_OVER, place, whereabouts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Candidates of one shard that are asked at once, at most. One in the first round, since most shards are with the first; one more in
/// the second; then twice as many in each: who is far down the list, or nobody, is known after seven round trips instead of eighty.
const AT_ONCE_MAX: usize = 32;

/// What was found of one stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who has each shard, in order of their index. One node of several, if several have it.
    pub holders: Vec<Option<NodeId>>,
    /// Shards that nobody was found to have, but that belong with our own guard, which is not asked.
    pub unasked: BTreeSet<u8>,
    /// Shards that nobody was found to have, and that our own guard may have as others may: it is among their candidates.
    pub with_guard: BTreeSet<u8>,
    /// Shards that nobody was found to have, while somebody who may have them did not answer, or is taken for dead and was not asked.
    pub unanswered: BTreeSet<u8>,
}

impl Found {
    /// Nothing of a stripe of `n` shards.
    pub fn nothing(n: usize) -> Found {
        Found::of(vec![None; n])
    }

    /// What these are known to have, and nothing else.
    pub fn of(holders: Vec<Option<NodeId>>) -> Found {
        Found { holders, unasked: BTreeSet::new(), with_guard: BTreeSet::new(), unanswered: BTreeSet::new() }
    }

    /// How many shards are there.
    pub fn present(&self) -> usize {
        self.holders.iter().flatten().count()
    }

    /// Shards that are to be put back: neither found nor where we do not look.
    pub fn missing(&self) -> Vec<u8> {
        (0u8..).zip(&self.holders).filter(|(i, h)| h.is_none() && !self.unasked.contains(i)).map(|(i, _)| i).collect()
    }
}

/// A shard that has not been found yet, and who may have it, best guess last.
struct Missing {
    stripe: usize,
    index: u8,
    locator: Locator,
    candidates: Vec<NodeId>,
    /// Whether the candidates are followed by nobody else.
    last: bool,
    /// Whether our own guard is among those who may have it.
    with_guard: bool,
    /// Whether somebody who may have it did not say, or was not asked as one who is dead.
    unanswered: bool,
}

/// Whether a node has a missing shard.
struct Question {
    which: usize,
    /// How many of those who are asked at once are likelier to have it.
    rank: usize,
    locator: Locator,
}

impl Missing {
    /// Who is asked next, if anybody is left who is not `gone`.
    fn next(&mut self, session: &Session, gone: &BTreeSet<NodeId>) -> Option<NodeId> {
        loop {
            while let Some(node) = self.candidates.pop() {
                if !gone.contains(&node) {
                    return Some(node);
                }
                self.unanswered = true;
            }
            if std::mem::replace(&mut self.last, true) {
                return None;
            }
            let table = session.table();
            self.likely(session, &table, whereabouts(&table, &self.locator).diversions);
        }
    }

    /// Takes those of the nodes for the next to be asked who likely live and are not our guard; notes whether there are others.
    fn likely(&mut self, session: &Session, table: &NodeTable, nodes: Vec<NodeId>) {
        let others = session.without_guard(nodes.clone());
        self.with_guard |= others.len() < nodes.len();
        self.candidates = living(session, table, &others);
        self.unanswered |= self.candidates.len() < others.len();
    }
}

/// Those who likely live, the first last.
fn living(session: &Session, table: &NodeTable, nodes: &[NodeId]) -> Vec<NodeId> {
    let (now, experience) = (moment(), session.experience());
    let lives = |id: &NodeId| session.chance(table, &experience, id, now) >= PASSED_OVER;
    nodes.iter().rev().copied().filter(lives).collect()
}

/// Asks for the shards of `descriptors`, all or `only` some, round by round: each missing one's next candidates.
pub(crate) async fn survey(
    session: &Arc<Session>,
    descriptors: &[Descriptor],
    only: Option<&[u8]>,
    progress: &Progress,
) -> Vec<Found> {
    let mut missing: Vec<Missing> = Vec::new();
    let mut found = Vec::new();
    {
        let table = session.table();
        for (stripe, descriptor) in descriptors.iter().enumerate() {
            let placement = place(&table, descriptor.locators(), descriptor.geometry().k());
            let mut unasked = BTreeSet::new();
            for ((index, locator), place) in (0u8..).zip(descriptor.locators()).zip(0..) {
                if only.is_some_and(|only| !only.contains(&index)) {
                    continue;
                }
                let all = placement.candidates(place).to_vec();
                if session.is_guard_of_ours(all.first()) {
                    unasked.insert(index);
                }
                let (candidates, locator) = (Vec::new(), *locator);
                let (last, with_guard, unanswered) = (false, false, false);
                let mut shard = Missing { stripe, index, locator, candidates, last, with_guard, unanswered };
                shard.likely(session, &table, all);
                missing.push(shard);
            }
            found.push(Found { unasked, ..Found::nothing(descriptor.locators().len()) });
        }
    }
    progress.add_shards_needed(missing.len() as u64);
    let mut gone: BTreeSet<NodeId> = BTreeSet::new();
    let mut at_once = 1;
    for round in 0.. {
        // Of each of the missing: who is asked now, in the order of the candidates.
        let mut asked: Vec<(NodeId, Question)> = Vec::new();
        for (which, shard) in missing.iter_mut().enumerate() {
            let locator = shard.locator;
            let next = std::iter::from_fn(|| shard.next(session, &gone)).take(at_once);
            asked.extend(next.enumerate().map(|(rank, node)| (node, Question { which, rank, locator })));
        }
        // Whoever has nobody left stays missing.
        if asked.is_empty() {
            break;
        }
        let ask = |some: &[Question]| Ask::Probe { locators: some.iter().map(|question| question.locator).collect() };
        let mut best: BTreeMap<usize, (usize, NodeId)> = BTreeMap::new();
        let mut silent: BTreeSet<usize> = BTreeSet::new();
        for (node, Question { which, rank, .. }, there) in ask_bits(session, asked, ask).await {
            match there {
                Some(true) => {
                    let first = best.entry(which).or_insert((rank, node));
                    *first = (*first).min((rank, node));
                }
                Some(false) => {}
                None => {
                    gone.insert(node);
                    silent.insert(which);
                }
            }
        }
        let mut which = 0;
        missing.retain_mut(|shard| {
            let holder = best.get(&which).map(|(_, node)| *node);
            shard.unanswered |= silent.contains(&which);
            which += 1;
            found[shard.stripe].holders[usize::from(shard.index)] = holder;
            holder.is_none()
        });
        progress.add_shards(best.len() as u64);
        at_once = if round == 0 { 1 } else { (at_once * 2).min(AT_ONCE_MAX) };
    }
    for Missing { stripe, index, with_guard, unanswered, .. } in missing {
        let stripe = &mut found[stripe];
        if with_guard {
            stripe.with_guard.insert(index);
        }
        if unanswered {
            stripe.unanswered.insert(index);
        }
    }
    for stripe in &mut found {
        let holders = &stripe.holders;
        stripe.unasked.retain(|index| holders[usize::from(*index)].is_none());
    }
    found
}

/// A shard that is said to be with a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which shard.
    pub locator: Locator,
    /// Who has it.
    pub holder: NodeId,
}

/// What an audit showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The holder proved that it has the shard.
    Proven,
    /// The holder has it not, or proved something else.
    Lacking,
    /// The holder did not answer.
    Silent,
}

/// Lets the holders prove that they have the shards: each a random part of it, by the hash that names it.
pub(crate) async fn prove(session: &Arc<Session>, claims: &[Claim]) -> Vec<Proof> {
    let leaves: Arc<[(Locator, Leaf)]> =
        claims.iter().map(|claim| (claim.locator, Leaf::from_random(rand::random()))).collect();
    let asks: Vec<(NodeId, Ask)> = claims
        .iter()
        .zip(leaves.iter())
        .map(|(claim, (locator, leaf))| (claim.holder, Ask::Audit { locator: *locator, leaf: *leaf }))
        .collect();
    let replies = ask_all(session, &asks, move |which, answer| match answer {
        Answer::Proof(proof) => {
            let (locator, leaf) = &leaves[which];
            audit::verify(locator, *leaf, &proof).is_ok().then_some(Heard::Said(Proof::Proven))
        }
        Answer::Refused(Refusal::Absent) => Some(Heard::Said(Proof::Lacking)),
        Answer::Refused(refusal) => Some(Heard::refused(refusal)),
        _ => None,
    })
    .await;
    replies
        .into_iter()
        .map(|reply| match reply {
            Reply::Said(proof) => proof,
            Reply::Garbage => Proof::Lacking,
            Reply::Silent => Proof::Silent,
        })
        .collect()
}
