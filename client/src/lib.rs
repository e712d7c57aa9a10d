//! The Palimpsest client: the library behind `pal`, and the only place where libp2p is spoken ([`net`]).
//!
//! Two storeys: [`Client`] publishes and fetches in one call; below it lie the network ([`net`]) and `proto`'s state machines,
//! driven by the private modules here.

pub mod bootstrap;
pub mod clock;
pub mod config;
pub mod cpu;
pub mod keyring;
pub mod net;
pub mod policy;

mod audits;
mod client;
mod cutting;
mod error;
mod fetch;
mod gathering;
mod holders;
mod journal;
mod keep;
mod lane;
mod pace;
mod progress;
mod publish;
mod records;
mod refs;
mod repair;
mod rounds;
mod said;
mod service;
mod session;
mod stamping;
mod status;
mod steward;
mod stripe_name;
mod survey;
mod walk;

pub use audits::LastAudit;
pub use client::{Client, ClientOptions, Plan, plan};
pub use cutting::Source;
pub use error::{Error, Kind};
pub use fetch::{FetchOptions, Fetched};
pub use holders::Held;
pub use keep::{KeepOptions, Kept};
pub use palimpsest_proto::coding;
pub use palimpsest_proto::content::{Capability, LinkError};
pub use progress::{Phase, Progress, Snapshot};
pub use publish::{PublishOptions, Published};
pub use records::{RecordPut, RecordsSeen};
pub use repair::{RepairError, Repaired};
pub use service::Service;
pub use session::Replies;
pub use status::{Status, StripeStatus};
pub use steward::{Parcel, Steward, StewardOptions};
pub use stripe_name::StripeName;
pub use survey::{Claim, Found, Proof};
