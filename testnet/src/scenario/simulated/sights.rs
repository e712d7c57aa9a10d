//! What simulated nodes see of the requests that cross them, as operators of real ones would write it down.

use palimpsest_node::hostile::Mark;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::time::Moment;

use crate::anonymity::sights::{SIGHTS_MAX, Seen, What};
use crate::scenario::watched::Clients;
use crate::sim::client::BEGIN;

/// What all nodes saw, where somebody looks over their shoulders.
pub(super) struct Sights {
    /// Whether anybody looks.
    open: bool,
    seen: Vec<Seen>,
    /// Whose each client was, and to whom it was ever connected.
    pub(super) clients: Clients,
    /// Who is there now.
    user: String,
    marks: u64,
}

impl Sights {
    pub(super) fn new(open: bool) -> Sights {
        Sights { open, seen: Vec::new(), clients: Clients::default(), user: String::new(), marks: 0 }
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

    /// This user comes, as another client than before.
    pub(super) fn comes(&mut self, user: String) {
        self.user = user;
    }

    /// A client connected to a node.
    pub(super) fn connected(&mut self, client: NodeId, node: NodeId) {
        if self.open {
            self.clients.guards.entry(client).or_default().insert(node);
            self.clients.users.insert(client, self.user.clone());
        }
    }

    /// What was seen, in order.
    pub(super) fn in_order(&self) -> Vec<Seen> {
        let mut seen = self.seen.clone();
        seen.sort_by_key(|one| one.at);
        seen
    }
}
