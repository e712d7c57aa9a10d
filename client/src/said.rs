//! What holders say to a fetch and to a store, checked, and what it means to the machines that decide.

use crate::clock::moment;
use crate::session::{Lost, Session};
use palimpsest_proto::coding::Shard;
use palimpsest_proto::flow::{GatherOutcome, ScatterOutcome};
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::{Answer, Refusal};
use std::time::Duration;

/// The answer to a fetch.
pub(crate) enum Got {
    /// The shard, by its hash.
    Shard(Shard),
    /// No.
    Refused(Refusal),
}

impl Got {
    /// Checks an answer to the fetch of `locator`; `None` if it is garbage.
    pub(crate) fn check(locator: &Locator, answer: Answer) -> Option<Got> {
        match answer {
            Answer::Shard(bytes) => Shard::new(bytes).ok().filter(|shard| shard.locator() == *locator).map(Got::Shard),
            Answer::Refused(refusal) => Some(Got::Refused(refusal)),
            _ => None,
        }
    }

    /// What came of a fetch, for `Gather`.
    pub(crate) fn outcome(result: &Result<Got, Lost>) -> GatherOutcome {
        match result {
            Ok(Got::Shard(_)) => GatherOutcome::Got,
            Ok(Got::Refused(Refusal::Absent)) => GatherOutcome::Absent,
            Ok(Got::Refused(Refusal::Busy { retry_ms })) => {
                GatherOutcome::Busy(Duration::from_millis((*retry_ms).into()))
            }
            Ok(Got::Refused(_)) => GatherOutcome::Refused,
            Err(Lost::Garbage) => GatherOutcome::Garbage,
            Err(Lost::TimedOut) => GatherOutcome::TimedOut,
            Err(Lost::Unsent) => GatherOutcome::Unsent,
        }
    }
}

/// The answer to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is on disk.
    Stored,
    /// No.
    Refused(Refusal),
}

impl Put {
    /// Checks an answer to the store of the shard `locator`; `None` if it is garbage.
    pub(crate) fn check(locator: &Locator, answer: &Answer) -> Option<Put> {
        match answer {
            Answer::Stored { locator: stored } if stored == locator => Some(Put::Stored),
            Answer::Refused(refusal) => Some(Put::Refused(*refusal)),
            _ => None,
        }
    }

    /// What came of a store, for `Scatter`; that a holder is full is remembered.
    pub(crate) fn outcome(session: &Session, holder: NodeId, result: &Result<Put, Lost>) -> ScatterOutcome {
        match result {
            Ok(Put::Stored) => ScatterOutcome::Stored,
            Ok(Put::Refused(Refusal::Full)) => {
                session.experience().outcomes.full(holder, moment());
                ScatterOutcome::Full
            }
            Ok(Put::Refused(Refusal::Busy { retry_ms })) => {
                ScatterOutcome::Busy(Duration::from_millis((*retry_ms).into()))
            }
            Ok(Put::Refused(_)) | Err(Lost::Garbage) => ScatterOutcome::Refused,
            Err(Lost::TimedOut) => ScatterOutcome::TimedOut,
            Err(Lost::Unsent) => ScatterOutcome::Unsent,
        }
    }
}
