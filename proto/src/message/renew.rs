//! *Renew*: keep these shards for longer, without sending them.
//!
//! ```text
//! ask      lease u64 (seconds since 1970) ‖ stamp u64 ‖ count u16 ‖ count × locator 32
//! answer   bitmap u32, as of a probe: what is there, its lease ending no earlier than asked
//! ```

use super::{Ask, Parts, probe};
use crate::fair::Stamp;
use crate::ids::Locator;
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};

pub(super) fn encode_ask(mut head: Writer, lease_until: Timestamp, stamp: Stamp, locators: &[Locator]) -> Parts {
    head.u64(lease_until.0).u64(stamp.0);
    probe::encode_names(head, locators.iter().map(Locator::as_bytes))
}

pub(super) fn decode_ask(reader: &mut Reader) -> Result<Ask, WireError> {
    let lease_until = Timestamp(reader.u64("lease")?);
    let stamp = Stamp(reader.u64("stamp")?);
    let locators = probe::decode_names(reader, "locators")?.into_iter().map(Locator).collect();
    Ok(Ask::Renew { lease_until, stamp, locators })
}
