//! What is in node tables, where some nodes lie about them.

use std::collections::BTreeSet;

use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::NodeTable;

use super::Tables;

/// Counts over many tables.
pub(super) struct Count<'a> {
    /// All that ever were members.
    members: &'a [NodeId],
    /// Those of them that are honest and live.
    honest: Vec<NodeId>,
    made_up: BTreeSet<NodeId>,
    seen: Tables,
}

impl<'a> Count<'a> {
    pub(super) fn new(members: &'a [NodeId], honest: Vec<NodeId>, made_up: BTreeSet<NodeId>) -> Self {
        Self { members, honest, made_up, seen: Tables::default() }
    }

    /// A node's table, as it is while the node runs.
    pub(super) fn node(&mut self, table: &NodeTable) {
        self.kept(table);
        let living = table.iter().filter(|(id, entry)| self.made_up.contains(id) && entry.health().lost.is_none());
        *self.seen.believed.get_or_insert_default() += living.count();
        let lost = |id: &&NodeId| table.get(id).is_some_and(|entry| entry.health().lost.is_some());
        self.seen.forsaken += self.honest.iter().filter(lost).count();
    }

    /// A node's table, as it was kept when the node ended: it does not say whom the node believed lost.
    pub(super) fn kept(&mut self, table: &NodeTable) {
        self.seen.tables += 1;
        self.seen.missing += self.honest.iter().filter(|id| table.get(id).is_none()).count();
        for (id, _) in table.iter().filter(|(id, _)| !self.members.contains(id)) {
            let count = if self.made_up.contains(id) { &mut self.seen.made_up } else { &mut self.seen.unknown };
            *count += 1;
        }
    }

    /// Whom a newcomer knew.
    pub(super) fn newcomer(&mut self, known: &[NodeId]) {
        self.seen.newcomers += 1;
        let missing = self.honest.iter().filter(|id| !known.contains(id)).count();
        self.seen.missing += missing;
        self.seen.untold += missing;
        self.seen.told += known.iter().filter(|id| self.made_up.contains(id)).count();
        let unknown = |id: &&NodeId| !self.made_up.contains(id) && !self.members.contains(id);
        self.seen.unknown += known.iter().filter(unknown).count();
    }

    pub(super) fn outcome(self) -> Tables {
        self.seen
    }
}
