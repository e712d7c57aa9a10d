//! Which nodes came of late.

use palimpsest_proto::ids::NodeId;
use std::collections::{BTreeSet, VecDeque};

/// For so many looks a node counts as a newcomer: whoever was silent, or busy with coming, is asked again.
const LOOKS: usize = 3;

/// Those that came since there is a network, look by look.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    /// The holders there were at the last look; `None` before there is a network.
    known: Option<BTreeSet<NodeId>>,
    came: VecDeque<BTreeSet<NodeId>>,
}

impl Newcomers {
    /// Takes those that are there for old, the first time.
    pub(super) fn begin(&mut self, holders: impl FnOnce() -> BTreeSet<NodeId>) {
        self.known.get_or_insert_with(holders);
    }

    /// Those of the holders that there are now which came in the last [`LOOKS`] looks, this one included.
    pub(super) fn look(&mut self, holders: BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let known = self.known.replace(holders.clone()).unwrap_or_default();
        self.came.push_front(holders.difference(&known).copied().collect());
        self.came.truncate(LOOKS);
        self.came.iter().flatten().filter(|id| holders.contains(id)).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(numbers: &[u8]) -> BTreeSet<NodeId> {
        numbers.iter().map(|&number| NodeId([number; 32])).collect()
    }

    #[test]
    fn a_node_is_new_for_some_looks_unless_it_was_there_or_went() {
        let mut newcomers = Newcomers::default();
        newcomers.begin(|| nodes(&[1, 2]));
        newcomers.begin(|| nodes(&[9]));
        assert_eq!(newcomers.look(nodes(&[1, 2])), nodes(&[]));
        assert_eq!(newcomers.look(nodes(&[1, 2, 3, 4])), nodes(&[3, 4]));
        assert_eq!(newcomers.look(nodes(&[1, 2, 3, 5])), nodes(&[3, 5]));
        assert_eq!(newcomers.look(nodes(&[1, 2, 3, 5])), nodes(&[3, 5]));
        assert_eq!(newcomers.look(nodes(&[1, 2, 3, 5])), nodes(&[5]));
        assert_eq!(newcomers.look(nodes(&[1, 2, 3, 5])), nodes(&[]));
    }
}
