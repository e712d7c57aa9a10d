//! The proof: some of the shards that were placed are fetched back over other paths.

use crate::lane::{Done, Lane, Way};
use crate::policy::{PROOF_TRIES, UNSENT_FREE};
use crate::said::Got;
use crate::session::{Lost, Session};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Ask, Refusal};
use palimpsest_proto::time::Moment;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A shard that is to come back.
struct Sampled {
    locator: Locator,
    holder: NodeId,
    ways: Vec<Way>,
    tries: usize,
    unsent: usize,
    came: bool,
}

/// See the module.
pub(super) struct Proof {
    lane: Lane<usize, Got>,
    sampled: Vec<Sampled>,
    waiting: Vec<usize>,
    liars: BTreeSet<NodeId>,
}

impl Proof {
    pub(super) fn new(session: Arc<Session>) -> Proof {
        Proof { lane: Lane::new(session), sampled: Vec::new(), waiting: Vec::new(), liars: BTreeSet::new() }
    }

    /// Has this shard fetched back.
    pub(super) fn add(&mut self, locator: Locator, holder: NodeId) {
        self.waiting.push(self.sampled.len());
        self.sampled.push(Sampled { locator, holder, ways: Vec::new(), tries: 0, unsent: 0, came: false });
    }

    /// Whether something waits to be asked for.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether nothing is to be asked for, nor awaited.
    pub(super) fn is_done(&self) -> bool {
        self.waiting.is_empty() && self.lane.is_idle()
    }

    /// Asks for one shard, if one waits and there is room.
    pub(super) fn send_one(&mut self) -> bool {
        if !self.lane.has_room() {
            return false;
        }
        let Some(which) = self.waiting.pop() else { return false };
        let Sampled { locator, holder, ways, .. } = &mut self.sampled[which];
        let locator = *locator;
        let check = move |answer| Got::check(&locator, answer);
        self.lane.start(which, *holder, Ask::Fetch { locator }, ways, check);
        true
    }

    /// Whether anything may come.
    pub(super) fn awaits(&self) -> bool {
        !self.lane.is_idle()
    }

    /// What comes next; `None` at the moment `wake`. Cancel-safe.
    pub(super) async fn next(&mut self, wake: Option<Moment>) -> Option<Done<usize, Got>> {
        self.lane.next(wake).await
    }

    pub(super) fn take(&mut self, done: &Done<usize, Got>) {
        let which = done.tag;
        let sampled = &mut self.sampled[which];
        sampled.tries += 1;
        match &done.result {
            Ok(Got::Shard(_)) => sampled.came = true,
            // It had acknowledged the shard.
            Ok(Got::Refused(Refusal::Absent)) | Err(Lost::Garbage) => _ = self.liars.insert(sampled.holder),
            Err(Lost::TimedOut) if sampled.tries < PROOF_TRIES => self.waiting.push(which),
            Err(Lost::Unsent) if sampled.unsent < UNSENT_FREE => {
                sampled.unsent += 1;
                sampled.tries -= 1;
                self.waiting.push(which);
            }
            Err(Lost::Unsent) if sampled.tries < PROOF_TRIES => self.waiting.push(which),
            _ => {}
        }
    }

    /// Holders that answered, and do not have what they acknowledged.
    pub(super) fn liars(&self) -> &BTreeSet<NodeId> {
        &self.liars
    }

    /// How many came, and of how many.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.sampled.iter().filter(|one| one.came).count(), self.sampled.len())
    }
}
