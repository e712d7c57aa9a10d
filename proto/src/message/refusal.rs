//! A holder's *no*. Each says what to do next.
//!
//! ```text
//! reason u8 [‖ retry u32 (milliseconds), if busy] [‖ bits u8, if the price is not paid]
//! ```

use super::Parts;
use crate::fair::PRICE_BITS_MAX;
use crate::wire::{Reader, WireError, Writer};
use thiserror::Error;

/// The longest wait that a busy holder may ask for, in milliseconds: nobody can put a reader off for days.
pub const RETRY_MS_MAX: u32 = 60_000;

/// Why a holder does not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum Refusal {
    /// It does not have that.
    #[error("the node does not have it: ask the next candidate")]
    Absent,
    /// Its quota is used up.
    #[error("the node is full: store on the next candidate")]
    Full,
    /// It has too much to do. Busy is not dead.
    #[error("the node is busy: ask again in {retry_ms} ms, or another candidate now")]
    Busy {
        /// After how many milliseconds to ask again; at most [`RETRY_MS_MAX`].
        retry_ms: u32,
    },
    /// The lease is longer than it grants.
    #[error("the lease is longer than the node grants: ask for a shorter one")]
    LeaseTooLong,
    /// The lease is over already; mostly somebody's clock is wrong.
    #[error("the lease is over already: compare the clock")]
    LeaseOver,
    /// The record does not belong to the address.
    #[error("the record does not belong to its address: this is a fault of the publisher's software")]
    BadRecord,
    /// It can read and not write: its disk is full, read-only or failing.
    #[error("the node cannot write: store on the next candidate")]
    ReadOnly,
    /// It is being emptied by its operator and takes nothing new.
    #[error("the node is leaving: store on the next candidate")]
    Draining,
    /// It could not read the request.
    #[error("the node does not understand the request: one of the two programs is out of date")]
    Malformed,
    /// Something failed on its side.
    #[error("the node failed: ask the next candidate")]
    Failed,
    /// The stamp does not pay what it asks by now.
    #[error("the node asks for a stamp of {bits} bits: work it and ask again, or store on the next candidate")]
    Price {
        /// Zero bits that the stamp must have; 1 to [`PRICE_BITS_MAX`].
        bits: u8,
    },
}

impl Refusal {
    pub(super) fn encode(self, mut head: Writer) -> Parts {
        head.u8(match self {
            Refusal::Absent => 1,
            Refusal::Full => 2,
            Refusal::Busy { .. } => 3,
            Refusal::LeaseTooLong => 4,
            Refusal::LeaseOver => 5,
            Refusal::BadRecord => 6,
            Refusal::ReadOnly => 7,
            Refusal::Draining => 8,
            Refusal::Malformed => 9,
            Refusal::Failed => 10,
            Refusal::Price { .. } => 11,
        });
        match self {
            Refusal::Busy { retry_ms } => _ = head.u32(retry_ms.min(RETRY_MS_MAX)),
            Refusal::Price { bits } => _ = head.u8(bits.clamp(1, PRICE_BITS_MAX)),
            _ => {}
        }
        Parts::head(head)
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Refusal, WireError> {
        Ok(match reader.u8("refusal")? {
            1 => Refusal::Absent,
            2 => Refusal::Full,
            3 => {
                let retry_ms = reader.u32("retry")?;
                if retry_ms > RETRY_MS_MAX {
                    return Err(WireError::TooLong("retry"));
                }
                Refusal::Busy { retry_ms }
            }
            4 => Refusal::LeaseTooLong,
            5 => Refusal::LeaseOver,
            6 => Refusal::BadRecord,
            7 => Refusal::ReadOnly,
            8 => Refusal::Draining,
            9 => Refusal::Malformed,
            10 => Refusal::Failed,
            11 => match reader.u8("price")? {
                0 => return Err(WireError::Invalid("price")),
                bits if bits > PRICE_BITS_MAX => return Err(WireError::TooLong("price")),
                bits => Refusal::Price { bits },
            },
            _ => return Err(WireError::Invalid("refusal")),
        })
    }
}
