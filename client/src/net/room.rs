//! Room that neighbours share fairly: what waits is counted for each neighbour, and none may have more than is free.
//!
//! ```text
//! admit(neighbour, units)   held(neighbour) + units ≤ free ─► Place              returned when it is dropped
//!                           else ─► NoPlace::OverShare: who has much already is refused first
//! ```
//!
//! These are the dynamic thresholds of shared-memory switches (Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998; their alpha
//! is 1 here). In a queue that is served in order, a neighbour's part of what waits is its part of what leaves; so a bound
//! on the one is fair queueing of the other, with no queue for each neighbour, no clock, no dice, and nothing remembered
//! of a neighbour that has nothing waiting. A lone neighbour may have half of the room. Of N greedy ones, however fast,
//! each gets 1/(N + 1), and as much stays free for who comes with little. Rooms are made twice as large as one neighbour
//! needs.

use palimpsest_proto::ids::NodeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use thiserror::Error;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoPlace {
    /// All of the room is taken.
    #[error("no room")]
    Full,
    /// This neighbour has its share already; others would still find a place.
    #[error("the neighbour has its share of the room already")]
    OverShare,
}

/// See the module. Memory: one small entry for each neighbour that has something in it, so no more than the room's units.
#[derive(Debug)]
pub struct Room {
    units: Arc<Semaphore>,
    held: Arc<Held>,
}

#[derive(Debug, Default)]
struct Held(Mutex<HashMap<NodeId, u32>>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<NodeId, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A part of a [`Room`]; dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    _units: OwnedSemaphorePermit,
    _share: Option<Share>,
}

#[derive(Debug)]
struct Share {
    held: Arc<Held>,
    of: NodeId,
    units: u32,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(units) = held.get_mut(&self.of) {
            *units = units.saturating_sub(self.units);
            if *units == 0 {
                held.remove(&self.of);
            }
        }
    }
}

impl Room {
    /// A room of so many units.
    pub fn new(units: usize) -> Room {
        Room { units: Arc::new(Semaphore::new(units)), held: Arc::default() }
    }

    /// A place for what a neighbour sent, if its share allows.
    pub fn admit(&self, of: NodeId, units: u32) -> Result<Place, NoPlace> {
        let share = {
            let mut held = self.held.lock();
            let free = self.units.available_permits();
            if free < units as usize {
                return Err(NoPlace::Full);
            }
            let has = held.get(&of).copied().unwrap_or(0);
            if has as usize + units as usize > free {
                return Err(NoPlace::OverShare);
            }
            held.insert(of, has + units);
            Share { held: self.held.clone(), of, units }
        };
        // Fails if the node's own traffic took the room meanwhile; the share then returns by itself.
        Ok(Place { _share: Some(share), ..self.take(units)? })
    }

    /// A place for what the node itself sends, if there is room.
    pub(super) fn take(&self, units: u32) -> Result<Place, NoPlace> {
        let units = self.units.clone().try_acquire_many_owned(units).map_err(|_| NoPlace::Full)?;
        Ok(Place { _units: units, _share: None })
    }

    /// The same, as soon as there is room; fails when the room is closed. Cancel-safe.
    pub(super) async fn wait(&self, units: u32) -> Result<Place, AcquireError> {
        Ok(Place { _units: self.units.clone().acquire_many_owned(units).await?, _share: None })
    }

    /// Admits nothing more, and ends all waits.
    pub(super) fn close(&self) {
        self.units.close();
    }
}

#[cfg(test)]
mod tests;
