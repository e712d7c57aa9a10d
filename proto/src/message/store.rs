//! *Store*: keep this shard.
//!
//! ```text
//! ask      lease u64 (seconds since 1970) ‖ stamp u64 ‖ the shard's bytes
//! answer   locator 32
//! ```

use super::{Answer, Ask, Parts};
use crate::coding::Shard;
use crate::fair::Stamp;
use crate::ids::Locator;
use crate::params::SHARD_BYTES;
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};

pub(super) fn encode_ask(mut head: Writer, lease_until: Timestamp, stamp: Stamp, shard: &Shard) -> Parts {
    head.u64(lease_until.0).u64(stamp.0);
    Parts::with_bulk(head, shard.bytes())
}

pub(super) fn decode_ask(reader: &mut Reader) -> Result<Ask, WireError> {
    let lease_until = Timestamp(reader.u64("lease")?);
    let stamp = Stamp(reader.u64("stamp")?);
    let shard = Shard::new(reader.raw("shard", SHARD_BYTES)?).map_err(|_| WireError::Invalid("shard"))?;
    Ok(Ask::Store { lease_until, stamp, shard })
}

pub(super) fn encode_answer(mut head: Writer, locator: &Locator) -> Parts {
    head.raw(&locator.0);
    Parts::head(head)
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<Answer, WireError> {
    Ok(Answer::Stored { locator: Locator(reader.array("locator")?) })
}
