//! *Audit*: prove that you have this shard, by one of its leaves.
//!
//! ```text
//! ask      locator 32 ‖ leaf u8 (below 64)
//! answer   proof 1,216 (see coding/audit.rs)
//! ```

use super::{Answer, Ask, Parts};
use crate::coding::audit::Leaf;
use crate::ids::Locator;
use crate::params::PROOF_BYTES;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;

pub(super) fn encode_ask(mut head: Writer, locator: &Locator, leaf: Leaf) -> Parts {
    head.raw(&locator.0).u8(leaf.number());
    Parts::head(head)
}

pub(super) fn decode_ask(reader: &mut Reader) -> Result<Ask, WireError> {
    let locator = Locator(reader.array("locator")?);
    let leaf = Leaf::new(reader.u8("leaf")?).ok_or(WireError::Invalid("leaf"))?;
    Ok(Ask::Audit { locator, leaf })
}

pub(super) fn encode_answer(head: Writer, proof: &Bytes) -> Parts {
    Parts::with_bulk(head, proof)
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<Answer, WireError> {
    Ok(Answer::Proof(reader.raw("proof", PROOF_BYTES)?))
}
