//! What a node does for others. Roles do not know each other; the daemon connects them by one bounded queue.

pub mod holder;
pub mod relay;

use palimpsest_client::cpu::Spent;

/// Processor time that the roles have spent; what the store spends, it counts itself.
#[derive(Debug, Default)]
pub struct RoleCpu {
    /// Peeling packets that were passed on, or dropped.
    pub relay: Spent,
    /// Peeling and opening requests, building and sealing answers.
    pub holder: Spent,
    /// Reading requests, which names a shard that is to be stored by its hash.
    pub naming: Spent,
}
