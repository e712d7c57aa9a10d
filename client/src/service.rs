//! Who answers what is asked of a holder.

use futures::future::BoxFuture;
use palimpsest_proto::message::{Answer, Ask};

/// Answers asks. A node's honest one keeps a store; tests put liars here. A session that belongs to a node asks the node's
/// own by a call and not over the network.
pub trait Service: Send + Sync + 'static {
    /// The answer; `None` stays silent.
    fn answer(&self, ask: Ask) -> BoxFuture<'_, Option<Answer>>;
}
