//! What an ask's stamp must pay for: one answer for whoever works stamps and whoever checks them.

use super::Ask;
use crate::fair::{self, Puzzle, Stamp};
use crate::ids::NodeId;
use crate::time::Timestamp;
use std::slice;

/// What is to be paid for an ask that takes space, and what is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// What the stamp is for.
    pub puzzle: Puzzle,
    /// Shards or records to be kept.
    pub shards: usize,
    /// Until when.
    pub lease_until: Timestamp,
    /// The stamp in the ask.
    pub stamp: Stamp,
}

impl Due {
    /// The price, in bits, at a holder of which `fill` per cent are taken ([`fair::price`]).
    pub fn price(&self, fill: u8, now: Timestamp) -> u8 {
        fair::price(fill, self.shards, now, self.lease_until)
    }
}

impl Ask {
    /// What is due to `holder` for it; `None` if it takes no space there.
    pub fn due(&self, holder: &NodeId) -> Option<Due> {
        let (lease_until, stamp, puzzle, shards) = match self {
            Ask::Store { lease_until, stamp, shard } => {
                let locator = shard.locator();
                (*lease_until, *stamp, Puzzle::of_shards(holder, slice::from_ref(&locator), *lease_until), 1)
            }
            Ask::PutRecord { lease_until, stamp, address, .. } => {
                (*lease_until, *stamp, Puzzle::of_records(holder, [address], *lease_until), 1)
            }
            Ask::PutRecords { lease_until, stamp, records } => {
                let addresses = records.iter().map(|(address, _)| address);
                (*lease_until, *stamp, Puzzle::of_records(holder, addresses, *lease_until), records.len())
            }
            Ask::Renew { lease_until, stamp, locators } => {
                (*lease_until, *stamp, Puzzle::of_shards(holder, locators, *lease_until), locators.len())
            }
            Ask::Fetch { .. } | Ask::Probe { .. } | Ask::GetRecord { .. } => return None,
            Ask::Audit { .. } | Ask::ProbeRecords { .. } | Ask::LastAudits { .. } => return None,
        };
        Some(Due { puzzle, shards, lease_until, stamp })
    }

    /// Puts another stamp into it, if it has one.
    pub fn set_stamp(&mut self, new: Stamp) {
        match self {
            Ask::Store { stamp, .. } | Ask::PutRecord { stamp, .. } => *stamp = new,
            Ask::PutRecords { stamp, .. } | Ask::Renew { stamp, .. } => *stamp = new,
            _ => {}
        }
    }
}
