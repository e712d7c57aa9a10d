//! After a proof that failed: shards whose holders answered that they do not have them, though they had acknowledged them, are
//! placed anew, with others.
//!
//! ```text
//! proof ─► holders that lack what they acknowledged ─► never asked again ─► of each stripe: any k shards ─► rebuilt ─► placed ─► proof
//! ```
//!
//! Silence is no reason: the way may be to blame, and half of the holders may die between receipt and proof.

use super::Publish;
use crate::repair::repair;
use crate::survey::Found;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::ids::{Locator, NodeId};
use std::collections::BTreeSet;

/// Stripes whose holders are remembered until the proof, with 13 KiB each: 4 GiB of content. Of larger files nothing is placed anew.
const KEPT_MAX: usize = 1_024;

/// A stripe that was placed, and who has which shard.
struct Kept {
    descriptor: Descriptor,
    holders: Vec<Option<NodeId>>,
}

/// The stripes that were placed.
#[derive(Default)]
pub(super) struct Keepsake {
    stripes: Vec<Kept>,
    overflown: bool,
}

impl Keepsake {
    /// Remembers a stripe, while there is room.
    pub(super) fn keep(&mut self, descriptor: &Descriptor, holders: &[Option<NodeId>]) {
        if self.stripes.len() < KEPT_MAX {
            self.stripes.push(Kept { descriptor: descriptor.clone(), holders: holders.to_vec() });
        } else {
            self.overflown = true;
        }
    }
}

impl Publish<'_> {
    /// Places anew what the `liars` do not have; whether another proof may say something else.
    pub(super) async fn mend(&mut self, liars: &BTreeSet<NodeId>) -> bool {
        // Of a publish that is spread over time all would leave at once here, and tell which shards belong together.
        if liars.is_empty() || self.kept.overflown || self.spread.is_some() {
            return false;
        }
        for liar in liars {
            self.session.experience().outcomes.garbage(*liar);
        }
        let mut stripes = std::mem::take(&mut self.kept.stripes);
        for Kept { descriptor, holders } in &mut stripes {
            holders
                .iter_mut()
                .filter(|holder| holder.is_some_and(|id| liars.contains(&id)))
                .for_each(|one| *one = None);
            let found = Found::of(holders.clone());
            let Ok(repaired) = repair(self.session, descriptor, &found, &found.missing(), self.lease_until).await
            else {
                return false;
            };
            for (shard, holder) in repaired.placed.into_iter().zip(repaired.holders) {
                holders[usize::from(shard)] = Some(holder);
                // An entry that is not written costs sending that shard again, if the publish is resumed.
                let _ = self.journal.note(self.secret, &descriptor.locators()[usize::from(shard)], holder);
            }
            if repaired.short > 0 {
                return false;
            }
        }
        self.placed.recount(stripes.iter().map(|kept| (&kept.descriptor, kept.holders.as_slice())));
        self.kept.stripes = stripes;
        true
    }

    /// All shards that were placed, and with whom.
    pub(super) fn kept_shards(&self) -> impl Iterator<Item = (Locator, NodeId)> {
        let of = |kept: &'_ Kept| {
            let holders = kept.descriptor.locators().iter().copied().zip(kept.holders.clone());
            holders.filter_map(|(locator, holder)| Some((locator, holder?))).collect::<Vec<_>>()
        };
        self.kept.stripes.iter().flat_map(of)
    }
}
