//! How long a stripe lives in a network whose nodes do not: a model of loss and repair, computed in two ways that share
//! nothing but the question.
//!
//! - [`durability`]: a Markov chain in steps of minutes, solved exactly. It sees 1e-20 as well as 0.1.
//! - [`simulate`]: a seeded Monte-Carlo in continuous time: one stripe after the other, event by event. It sees what is not rare,
//!   and keeps the chain honest.
//!
//! The story: the n shards of a stripe lie on n nodes. Each node's life is exponential with one mean; it leaves for good,
//! without a word. Wardens notice after [`Policy::detection_hours`], and decide by [`Policy`]; what is due is repaired after
//! [`Policy::delay_hours`]: all that is missing at that moment is rebuilt onto new nodes. Less than k shards left is a loss.
//! A burst takes a part of all nodes at once.
//!
//! It does not cover: nodes that come back, lives that are not memoryless, shards of one stripe that share a node or an
//! operator, wardens that die with their holders, shortage of bandwidth or space, and mistakes in the program.

mod chain;
mod life;

#[cfg(test)]
mod tests;

pub use chain::{Durability, durability};
pub use life::{Seen, simulate};

use palimpsest_proto::coding::Geometry;
use std::fmt;

/// Hours in a year of the model.
pub const YEAR_HOURS: f64 = 365.0 * 24.0;

/// When wardens repair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// At this part of n or less, at once.
    pub low: f64,
    /// When a shard has been known missing for so long, whatever is left; `None`: never for that reason.
    pub patience_hours: Option<u32>,
    /// From a node's end until the wardens know of it.
    pub detection_hours: u32,
    /// From the decision to the end of the repair.
    pub delay_hours: u32,
}

impl Policy {
    /// Repairs when `low` of the shards are left, and at `patience_hours`; knows within two hours (an audit an hour, and a
    /// second look), repairs within one.
    pub fn new(low: f64, patience_hours: Option<u32>) -> Policy {
        Policy { low, patience_hours, detection_hours: 2, delay_hours: 1 }
    }

    /// Shards left at which it is repaired at once; never all of them.
    fn low_count(&self, geometry: Geometry) -> usize {
        // A hundredth of a shard for rounding: 0.7 × 10 is 7.
        let count = (self.low.clamp(0.0, 1.0) * geometry.n() as f64 + 0.01).floor() as usize;
        count.min(geometry.n() - 1)
    }

    /// Hours from the shard that is one too many until the repair's end.
    fn urgent_hours(&self) -> u32 {
        self.detection_hours.saturating_add(self.delay_hours).max(1)
    }

    /// Hours from the first missing shard until the repair's end, if nothing else is the reason before.
    fn patient_hours(&self) -> Option<u32> {
        self.patience_hours.map(|hours| self.urgent_hours().saturating_add(hours))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.patience_hours {
            Some(hours) => write!(f, "at {} n, or after {hours} h", self.low),
            None => write!(f, "at {} n", self.low),
        }
    }
}

/// The network around a stripe.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct World {
    /// A node's mean life.
    pub life_days: f64,
    /// How many nodes there are; not fewer than a stripe has shards.
    pub nodes: usize,
}

impl World {
    /// The chance that a node ends within so many hours.
    fn ends_within(&self, hours: f64) -> f64 {
        -(-hours / (self.life_days * 24.0)).exp_m1()
    }

    /// The nodes that a burst of this part takes.
    fn dead(&self, part: f64) -> usize {
        (part * self.nodes as f64).round() as usize
    }
}

/// The chance that at least one of `stripes` is lost, if each is lost with `chance` and all are needed.
pub fn any_of(stripes: u64, chance: f64) -> f64 {
    -(stripes as f64 * (-chance.min(1.0)).ln_1p()).exp_m1()
}
