//! The Palimpsest storage node: a client that also serves. Roles: [`role::relay`] peels packets and passes them on,
//! [`role::holder`] keeps shards and records in the [`store`]. What it does unasked is a [`work`].

pub mod admin;
pub mod audits;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod draining;
pub mod hostile;
mod metrics;
pub mod role;
pub mod stamps;
pub mod store;
pub mod work;

pub use config::NodeConfig;
pub use daemon::{Node, NodeError};
