//! What nodes took whose ids were ground next to a root's places: counted from who is where.

use palimpsest_client::{Capability, Client, Error, Progress};
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::ids::{Locator, NodeId, Position, RecordAddress};
use palimpsest_proto::params::CANDIDATES;
use palimpsest_proto::secret::Secret;
use serde::Serialize;
use std::collections::BTreeSet;

use crate::hostile::{Hex, Lie, Part};

/// Where a root is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// The addresses of its record.
    pub record: Vec<Position>,
    /// Its shards.
    pub shards: Vec<Position>,
    /// Shards of which as many as these are enough.
    pub needed: usize,
}

impl Places {
    /// Those of a root with this descriptor.
    #[must_use]
    pub fn of(root: &Descriptor) -> Self {
        Self {
            record: root.root_address().record_addresses().iter().map(RecordAddress::position).collect(),
            shards: root.locators().iter().map(Locator::position).collect(),
            needed: root.geometry().k(),
        }
    }

    /// Those to which a link leads, as anybody finds them who has it; none, if the link carries its content itself.
    ///
    /// # Errors
    /// The root cannot be had.
    pub async fn find(censor: &Client, link: &Capability) -> Result<Option<Self>, Error> {
        let held = censor.holders(link, 1, &Progress::new()).await?;
        Ok(held.first().map(|root| Self::of(&root.descriptor)))
    }
}

/// The part of a node with this key, as a program: it says that it keeps all, keeps nothing, and denies it.
#[must_use]
pub fn part(identity: &Secret) -> Part {
    Part { lie: Some(Lie::Absent), identity: Some(Hex(*identity.expose())), ..Part::default() }
}

/// What came of it that somebody ran such nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Ids that were drawn, each of which has cost its work.
    pub drawn: usize,
    /// Nodes that came: those of the ids that lie next to the places.
    pub sybils: usize,
    /// Nodes that were there.
    pub honest: usize,
    /// At each address of the root's record: Sybils among the nodes nearest to it, [`CANDIDATES`] at most.
    pub record: Vec<usize>,
    /// Addresses whose nearest nodes are Sybils, all of them.
    pub record_taken: usize,
    /// At each shard of the root: Sybils among the nodes nearest to it.
    pub shards: Vec<usize>,
    /// Shards whose nearest nodes are Sybils, all of them.
    pub shards_taken: usize,
    /// Shards that may be taken before the root cannot be read.
    pub spare: usize,
}

impl Taken {
    /// What they took who are the `sybils` of all, `honest` and they. Whoever is dead is still asked, until it is forgotten.
    #[must_use]
    pub fn count(places: &Places, honest: &[NodeId], sybils: &[NodeId], drawn: usize) -> Self {
        let bad: BTreeSet<Position> = sybils.iter().map(NodeId::position).collect();
        let all: Vec<Position> = honest.iter().map(NodeId::position).chain(bad.iter().copied()).collect();
        // Sybils among the nearest, and whether nobody else is.
        let near = |place: &Position| {
            let mut order: Vec<&Position> = all.iter().collect();
            order.sort_by_cached_key(|node| node.distance(place));
            order.truncate(CANDIDATES);
            let count = order.iter().filter(|node| bad.contains(**node)).count();
            (count, count == order.len())
        };
        let record: Vec<(usize, bool)> = places.record.iter().map(near).collect();
        let shards: Vec<(usize, bool)> = places.shards.iter().map(near).collect();
        let taken = |places: &[(usize, bool)]| places.iter().filter(|(_, all)| *all).count();
        let counts = |places: &[(usize, bool)]| places.iter().map(|(count, _)| *count).collect();
        Self {
            drawn,
            sybils: bad.len(),
            honest: honest.len(),
            record_taken: taken(&record),
            shards_taken: taken(&shards),
            record: counts(&record),
            shards: counts(&shards),
            spare: places.shards.len() - places.needed.min(places.shards.len()),
        }
    }

    /// Whether a reader who asked the nearest nodes and nobody else would not get the root.
    #[must_use]
    pub fn hides(&self) -> bool {
        self.record_taken == self.record.len() || self.shards_taken > self.spare
    }

    /// In words.
    #[must_use]
    pub fn told(&self) -> String {
        let Self { drawn, sybils, honest, record, record_taken, shards, shards_taken, spare } = self;
        let (least, most) = (shards.iter().min().unwrap_or(&0), shards.iter().max().unwrap_or(&0));
        let counts: Vec<String> = record.iter().map(ToString::to_string).collect();
        format!(
            "{sybils} Sybils of {drawn} ids beside {honest} nodes; of the {CANDIDATES} nearest to the {} addresses of the record {} \
             are theirs, {record_taken} taken; of those nearest to the {} shards {least} to {most}, {shards_taken} taken ({} would hide it); \
             the nearest alone {} it",
            record.len(),
            counts.join(", "),
            shards.len(),
            spare + 1,
            if self.hides() { "would hide" } else { "would give" }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use palimpsest_proto::crypto::NodeKey;

    fn ids(from: u8, count: u8) -> Vec<NodeId> {
        (from..from + count).map(|byte| NodeKey::from_seed(&Secret::new([byte; 32])).id()).collect()
    }

    #[test]
    fn a_place_is_taken_when_all_who_are_nearest_are_sybils() {
        let (honest, sybils) = (ids(0, 40), ids(100, 60));
        // Next to a Sybil, and as far from it as can be.
        let near_bad = sybils[0].position();
        let near_good = Position(near_bad.0.map(|byte| !byte));
        let places = Places { record: vec![near_bad; 2], shards: vec![near_bad, near_good, near_bad], needed: 2 };
        let nobody = Taken::count(&places, &honest, &[], 7);
        assert_eq!((nobody.drawn, nobody.record, nobody.record_taken, nobody.spare), (7, vec![0, 0], 0, 1));
        let some = Taken::count(&places, &honest, &sybils, 60);
        assert!(some.record[0] > 0 && some.record[0] < CANDIDATES && some.record_taken == 0 && !some.hides());
        // Those twenty who are nearest to one place, and honest ones who are farther away.
        let mut order = ids(0, 255);
        order.sort_by_cached_key(|id| id.position().distance(&near_bad));
        let (nearest, others) = order.split_at(CANDIDATES);
        let all = Taken::count(&places, others, nearest, 255);
        assert_eq!((all.record, all.record_taken), (vec![CANDIDATES; 2], 2));
        assert!(all.shards_taken == 2 && all.shards[1] < CANDIDATES, "{:?}", all.shards);
        let all = Taken::count(&places, others, nearest, 255);
        assert!(all.hides() && all.told().contains("20, 20 are theirs, 2 taken"), "{}", all.told());
        // With one of them missing an honest node is asked.
        let less = Taken::count(&places, others, &nearest[1..], 255);
        assert_eq!((less.record_taken, less.shards_taken, less.hides()), (0, 0, false));
    }

    #[test]
    fn in_a_network_of_few_all_are_nearest() {
        let places = Places { record: vec![Position([0; 32])], shards: vec![Position([9; 32])], needed: 1 };
        let taken = Taken::count(&places, &ids(0, 3), &ids(100, 2), 2);
        assert_eq!((taken.record, taken.shards, taken.record_taken), (vec![2], vec![2], 0));
        assert_eq!(Taken::count(&places, &[], &ids(100, 2), 2).record_taken, 1);
    }
}
