//! Who has which shards of some stripes, by asking those who should: with probes that name many shards at once. For those
//! that none of their candidates has, and only where neighbourhoods are crowded, those are asked to whom they may have been
//! diverted.
//!
//! A node's word is taken here, since what follows from it is checked: a warden audits what it finds, and a reader who
//! repairs gathers k shards that hash to their names.

use crate::clock::moment;
use crate::lane::{Lane, Way};
use crate::progress::Progress;
use crate::rounds::{Reply, TRIES, ask_all};
use crate::session::{Lost, Session};
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::coding::audit::{self, Leaf};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::PROBE_LOCATORS_MAX;
use palimpsest_proto::select::{NodeTable, place, whereabouts};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Candidates less likely to live than this are not asked: who lives has what was placed since.
pub(crate) const DEAD_BELOW: f64 = 0.25;

/// What was found of one stripe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Who has each shard, in order of their index. One node of several, if several have it.
    pub holders: Vec<Option<NodeId>>,
    /// Shards that nobody was found to have, but that belong with our own guard, which is not asked.
    pub unasked: BTreeSet<u8>,
}

impl Found {
    /// Nothing of a stripe of `n` shards.
    pub fn nothing(n: usize) -> Found {
        Found { holders: vec![None; n], unasked: BTreeSet::new() }
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
}

impl Missing {
    /// Who is asked next, if anybody is left who is not `gone`.
    fn next(&mut self, session: &Session, gone: &BTreeSet<NodeId>) -> Option<NodeId> {
        loop {
            while let Some(node) = self.candidates.pop() {
                if !gone.contains(&node) {
                    return Some(node);
                }
            }
            if std::mem::replace(&mut self.last, true) {
                return None;
            }
            let table = session.table();
            self.candidates = living(session, &table, whereabouts(&table, &self.locator).diversions);
        }
    }
}

/// Those who likely live and are not our guard, the first last.
fn living(session: &Session, table: &NodeTable, nodes: Vec<NodeId>) -> Vec<NodeId> {
    let (now, experience) = (moment(), session.experience());
    let lives = |id: &NodeId| session.chance(table, &experience, id, now) >= DEAD_BELOW;
    session.without_guard(nodes).into_iter().rev().filter(lives).collect()
}

/// Whom to ask for which shards, and the ways that were tried.
type Probe = (NodeId, Vec<Missing>, Vec<Way>);

/// Asks for the shards of `descriptors`, all or `only` some, round by round: each missing one's next candidate.
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
                let candidates = living(session, &table, all);
                missing.push(Missing { stripe, index, locator: *locator, candidates, last: false });
            }
            found.push(Found { unasked, ..Found::nothing(descriptor.locators().len()) });
        }
    }
    progress.add_shards_needed(missing.len() as u64);
    let mut gone: BTreeSet<NodeId> = BTreeSet::new();
    while !missing.is_empty() {
        let mut by_node: BTreeMap<NodeId, Vec<Missing>> = BTreeMap::new();
        for mut shard in missing.drain(..) {
            // Whoever has nobody left stays missing.
            if let Some(node) = shard.next(session, &gone) {
                by_node.entry(node).or_default().push(shard);
            }
        }
        missing = round(session, by_node, &mut found, &mut gone, progress).await;
    }
    for stripe in &mut found {
        let holders = &stripe.holders;
        stripe.unasked.retain(|index| holders[usize::from(*index)].is_none());
    }
    found
}

/// One probe to each node for each 32 of its shards; returns those that were not there.
async fn round(
    session: &Arc<Session>,
    by_node: BTreeMap<NodeId, Vec<Missing>>,
    found: &mut [Found],
    gone: &mut BTreeSet<NodeId>,
    progress: &Progress,
) -> Vec<Missing> {
    let mut asks: Vec<Probe> = Vec::new();
    for (node, mut shards) in by_node {
        while !shards.is_empty() {
            let rest = shards.split_off(shards.len().min(PROBE_LOCATORS_MAX));
            asks.push((node, std::mem::replace(&mut shards, rest), Vec::new()));
        }
    }
    let mut lane: Lane<usize, Option<u32>> = Lane::new(session.clone());
    let mut asked: Vec<Option<Probe>> = Vec::new();
    let mut missing = Vec::new();
    while !asks.is_empty() || !lane.is_idle() {
        while lane.has_room()
            && let Some((node, shards, mut ways)) = asks.pop()
        {
            if gone.contains(&node) {
                missing.extend(shards);
                continue;
            }
            let locators = shards.iter().map(|shard| shard.locator).collect();
            lane.start(asked.len(), node, Ask::Probe { locators }, &mut ways, |answer| match answer {
                Answer::Present(bits) => Some(Some(bits)),
                Answer::Refused(_) => Some(None),
                _ => None,
            });
            asked.push(Some((node, shards, ways)));
        }
        let Some(done) = lane.next(None).await else { continue };
        // An answer that comes after its probe was given up finds nothing to tell.
        let Some((node, shards, ways)) = asked[done.tag].take() else { continue };
        match done.result {
            Ok(Some(bits)) => {
                for (place, shard) in shards.into_iter().enumerate() {
                    if bits >> place & 1 == 1 {
                        found[shard.stripe].holders[usize::from(shard.index)] = Some(node);
                        progress.add_shards(1);
                    } else {
                        missing.push(shard);
                    }
                }
            }
            // Silent, or busy: neither is a lie.
            Ok(None) | Err(Lost::TimedOut) if (1..TRIES).contains(&ways.len()) => asks.push((node, shards, ways)),
            Err(Lost::Unsent) => asks.push((node, shards, Vec::new())),
            _ => {
                gone.insert(node);
                missing.extend(shards);
            }
        }
    }
    missing
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
            audit::verify(locator, *leaf, &proof).is_ok().then_some(Some(Proof::Proven))
        }
        Answer::Refused(Refusal::Absent) => Some(Some(Proof::Lacking)),
        Answer::Refused(_) => Some(None),
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
