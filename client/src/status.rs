//! The health of what is published: which shards are there, by asking those who should have them, and what that means for
//! survival.

use crate::audits::{LastAudit, last_audits};
use crate::error::Error;
use crate::progress::{Phase, Progress};
use crate::publish::{FRACTIONS, living_holders, networks, survival};
use crate::session::Session;
use crate::stripe_name::StripeName;
use crate::survey::survey;
use crate::walk::{Step, Walk};
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::content::{Capability, StripeKey};
use palimpsest_proto::flow::RepairPolicy;
use palimpsest_proto::ids::{NodeId, RootAddress};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Stripes probed together: their shards share probes (32 locators each), and their placements stay small in memory.
const BATCH: usize = 16;

/// One stripe's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StripeStatus {
    /// Which.
    pub name: StripeName,
    /// 0: content; 1 and up: references; the highest: the root.
    pub level: usize,
    /// Shards needed.
    pub k: usize,
    /// Shards that there should be.
    pub n: usize,
    /// Shards that holders say they have.
    pub present: usize,
    /// Shards that nobody was found to have, but that belong with our own guard, which is not asked.
    pub unasked: usize,
    /// Shards that may still be lost; none if fewer than `k` are present.
    pub spare: usize,
    /// Shards that may still be lost before wardens repair; 0 if it is due. By what nodes do unless told otherwise.
    pub until_repair: usize,
    /// When wardens audited it last, by their own word.
    pub last_audit: LastAudit,
    /// Nodes that have at least one.
    pub holders: usize,
    /// Networks that those nodes are in.
    pub networks: usize,
}

/// The health of a published file.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Bytes of the file, unless only its stripes are known.
    pub size: Option<u64>,
    /// Every stripe, the root first.
    pub stripes: Vec<StripeStatus>,
    /// For 10, 30 and 50 % of the nodes lost at once: the probability that the file is lost.
    pub survival: [(f64, f64); 3],
}

impl Status {
    /// The health of content that its link carries: nothing can be lost.
    pub(crate) fn of_inline(link: &Capability) -> Status {
        let size = if let Capability::Inline(content) = link { Some(content.len() as u64) } else { None };
        Status { size, stripes: Vec::new(), survival: FRACTIONS.map(|fraction| (fraction, 0.0)) }
    }
}

/// Asks for the health of what is under `root`.
pub(crate) async fn status(
    session: &Arc<Session>,
    root: RootAddress,
    key: &StripeKey,
    is_list: bool,
    progress: &Progress,
) -> Result<Status, Error> {
    let mut walk = Walk::begin(session, root, key, is_list, progress).await?;
    let mut survey = Survey { session, progress, stripes: Vec::new(), loads: BTreeMap::new(), waiting: Vec::new() };
    while let Some(step) = walk.next().await? {
        survey.add(step).await;
    }
    survey.probe().await;
    let holders = living_holders(&session.table());
    Ok(Status { size: walk.size, survival: survival(&survey.loads, holders), stripes: survey.stripes })
}

struct Survey<'a> {
    session: &'a Arc<Session>,
    progress: &'a Progress,
    stripes: Vec<StripeStatus>,
    loads: BTreeMap<(usize, Vec<u32>), u64>,
    waiting: Vec<Step>,
}

impl Survey<'_> {
    async fn add(&mut self, step: Step) {
        self.waiting.push(step);
        if self.waiting.len() == BATCH {
            self.probe().await;
        }
    }

    /// Asks for all shards of the waiting stripes.
    async fn probe(&mut self) {
        self.progress.set_phase(Phase::Fetching);
        let waiting = std::mem::take(&mut self.waiting);
        let descriptors: Vec<Descriptor> = waiting.iter().map(|step| step.descriptor.clone()).collect();
        let found = survey(self.session, &descriptors, None, self.progress).await;
        let audits = last_audits(self.session, &descriptors).await;
        let table = self.session.table();
        for ((Step { name, level, descriptor }, found), last_audit) in waiting.into_iter().zip(found).zip(audits) {
            let present = found.present();
            let (k, n) = (descriptor.geometry().k(), descriptor.geometry().n());
            let mut loads: BTreeMap<NodeId, u32> = BTreeMap::new();
            found.holders.iter().flatten().for_each(|node| *loads.entry(*node).or_default() += 1);
            let holders: BTreeSet<NodeId> = loads.keys().copied().collect();
            let mut counts: Vec<u32> = loads.into_values().collect();
            counts.sort_unstable();
            *self.loads.entry((k, counts)).or_default() += 1;
            self.stripes.push(StripeStatus {
                name,
                level,
                k,
                n,
                present,
                unasked: found.unasked.len(),
                spare: present.saturating_sub(k),
                until_repair: present.saturating_sub(RepairPolicy::default().threshold(n, k)),
                last_audit,
                holders: holders.len(),
                networks: networks(&table, &holders),
            });
        }
    }
}
