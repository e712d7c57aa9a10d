//! The machines that decide: whom to send to next, when to give up, what the answers mean.
//!
//! None of them sends, waits or draws. A driver asks `poll` for the next thing to do, does it, and reports what came of
//! it to `handle`; when there is nothing to do it waits for an answer or for `poll_timeout`.
//!
//! ```text
//!            ┌── Gather      any k of a stripe's n shards            ┐
//! driver ◄───┼── Scatter     each of n shards to one holder          ├─ over `pairs`: what was asked of whom
//!            ├── RecordHunt  a record from any of its holders        │
//!            └── RecordSpread  a record to all of its holders        ┘
//!    └──────► Flights        requests on the way: window, timeouts, blame
//!
//! warden ◄───┬── Watch        whose turn it is
//!            ├── Repair       when a stripe is sampled, surveyed, repaired
//!            └── Budget       bytes that upkeep may use
//! holder ◄────── Giver        who should have a shard in its place
//! node   ◄─┬──── GossipPace   when tables are exchanged
//!          └──── Admission    whose exchange may begin, and whose gives way
//! client ◄────── Scouting     when scouts leave, to whom, by whom
//! ```
//!
//! A request that is late is reported as timed out, so that another takes its place, yet its answer still counts when
//! it comes.

mod admission;
mod budget;
mod duty;
mod flights;
mod gather;
mod gossip_pace;
mod handover;
mod hunt;
mod pairs;
mod repair;
mod scatter;
mod scouting;
mod spread;
mod window;

pub use admission::{Admission, Admitted, Allowance};
pub use budget::Budget;
pub use duty::{Watch, wardens};
pub use flights::{FlightId, Flights, Landed};
pub use gather::{Ask, Gather, GatherOutcome, GatherVerdict};
pub use gossip_pace::GossipPace;
pub use handover::Giver;
pub use hunt::{HuntAsk, HuntOutcome, HuntVerdict, RecordHunt};
pub use repair::{Audited, Duty, Repair, RepairPolicy, RepairStep};
pub use scatter::{Scatter, ScatterOutcome, ScatterVerdict, Send};
pub use scouting::Scouting;
pub use spread::{RecordSpread, SpreadOutcome, SpreadSend, root_shortfall};
pub use window::Window;

#[cfg(test)]
mod crowd;
#[cfg(test)]
mod sim;
