//! *Fetch*: give me the shard of this name.
//!
//! ```text
//! ask      locator 32
//! answer   the shard's bytes
//! ```

use super::{Answer, Ask, Parts};
use crate::ids::Locator;
use crate::params::SHARD_BYTES;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;

pub(super) fn encode_ask(mut head: Writer, locator: &Locator) -> Parts {
    head.raw(&locator.0);
    Parts::head(head)
}

pub(super) fn decode_ask(reader: &mut Reader) -> Result<Ask, WireError> {
    Ok(Ask::Fetch { locator: Locator(reader.array("locator")?) })
}

pub(super) fn encode_answer(head: Writer, shard: &Bytes) -> Parts {
    Parts::with_bulk(head, shard)
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<Answer, WireError> {
    Ok(Answer::Shard(reader.raw("shard", SHARD_BYTES)?))
}
