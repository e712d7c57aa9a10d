//! Whom to ask: the node table, placement, outcomes, paths, guards.
//!
//! ```text
//! table ──► placement   where a stripe's shards belong; publisher and readers compute the same
//!   │  └──► path        which relays a request and its reply cross
//!   │         ▲
//!   └──► outcomes       how likely each node answers: what others say (weak), what we saw ourselves (strong)
//! guard                 the one relay that knows our address, kept for months
//! presence              who gets into the table, who leaves it, whose word counts
//! ```

mod draw;
mod guard;
mod network;
mod not_found;
mod outcomes;
mod path;
mod placement;
mod presence;
mod table;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use draw::{below, sample};
pub use guard::GuardList;
pub use network::Network;
pub use not_found::NOT_FOUND_PAUSE_MIN;
pub(crate) use outcomes::PROVEN_MIN;
pub use outcomes::{Blame, FOUND_DEAD, Outcomes, PASSED_OVER};
pub use path::{Path, PathRules, choose_path};
pub use placement::{
    Placement, Whereabouts, candidates, diversions, living_candidates, place, whereabouts, with_region,
};
pub use presence::{Hearsay, Heed, LOST_MAX, Presence, Taken};
pub use table::{BUCKETS, Entry, Health, Inserted, NodeTable};
