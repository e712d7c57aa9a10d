//! What simulated nodes see of the requests that cross them, as operators of real ones would write it down.

use palimpsest_node::hostile::Mark;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::time::Moment;

use crate::anonymity::sights::{SIGHTS_MAX, Seen, What};
use crate::scenario::watched::Guards;
use crate::sim::client::BEGIN;

/// What all nodes saw, where somebody looks over their shoulders.
pub(super) struct Sights {
    /// Whether anybody looks.
    open: bool,
    seen: Vec<Seen>,
    /// To whom each client was ever connected.
    pub(super) guards: Guards,
    marks: u64,
}

impl Sights {
    pub(super) fn new(open: bool) -> Sights {
        Sights { open, seen: Vec::new(), guards: Guards::new(), marks: 0 }
    }

    /// The mark of one more packet.
    pub(super) fn mark(&mut self) -> Mark {
        self.marks += 1;
        Mark(self.marks)
    }

    /// The node with this number saw something. More than can be written down is not.
    pub(super) fn note(&mut self, node: usize, at: Moment, what: What) {
        if self.open && self.seen.len() < SIGHTS_MAX {
            self.seen.push(Seen { node, at: at.since(BEGIN), what });
        }
    }

    /// A client connected to a node.
    pub(super) fn connected(&mut self, client: NodeId, node: NodeId) {
        if self.open {
            self.guards.entry(client).or_default().insert(node);
        }
    }

    /// What was seen, in order.
    pub(super) fn in_order(&self) -> Vec<Seen> {
        let mut seen = self.seen.clone();
        seen.sort_by_key(|one| one.at);
        seen
    }
}
