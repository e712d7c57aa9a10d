//! *Put record* and *get record*.
//!
//! ```text
//! put      lease u64 ‖ stamp u64 ‖ address 32 ‖ length u32 ‖ the record's bytes        answer   address 32
//! get      address 32                                                                  answer   length u32 ‖ the record's bytes
//! ```

use super::{Answer, Ask, Parts};
use crate::fair::Stamp;
use crate::ids::RecordAddress;
use crate::params::RECORD_BYTES_MAX;
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;

pub(super) fn encode_put(
    mut head: Writer,
    lease_until: Timestamp,
    stamp: Stamp,
    address: &RecordAddress,
    record: &Bytes,
) -> Parts {
    head.u64(lease_until.0).u64(stamp.0).raw(&address.0).u32(record.len() as u32);
    Parts::with_bulk(head, record)
}

pub(super) fn decode_put(reader: &mut Reader) -> Result<Ask, WireError> {
    let lease_until = Timestamp(reader.u64("lease")?);
    let stamp = Stamp(reader.u64("stamp")?);
    let address = RecordAddress(reader.array("address")?);
    Ok(Ask::PutRecord { lease_until, stamp, address, record: decode_record(reader)? })
}

pub(super) fn encode_get(mut head: Writer, address: &RecordAddress) -> Parts {
    head.raw(&address.0);
    Parts::head(head)
}

pub(super) fn decode_get(reader: &mut Reader) -> Result<Ask, WireError> {
    Ok(Ask::GetRecord { address: RecordAddress(reader.array("address")?) })
}

pub(super) fn encode_stored(mut head: Writer, address: &RecordAddress) -> Parts {
    head.raw(&address.0);
    Parts::head(head)
}

pub(super) fn decode_stored(reader: &mut Reader) -> Result<Answer, WireError> {
    Ok(Answer::RecordStored { address: RecordAddress(reader.array("address")?) })
}

pub(super) fn encode_answer(mut head: Writer, record: &Bytes) -> Parts {
    head.u32(record.len() as u32);
    Parts::with_bulk(head, record)
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<Answer, WireError> {
    Ok(Answer::Record(decode_record(reader)?))
}

/// An empty record is none.
pub(super) fn decode_record(reader: &mut Reader) -> Result<Bytes, WireError> {
    let record = reader.bytes("record", RECORD_BYTES_MAX)?;
    if record.is_empty() { Err(WireError::Invalid("record")) } else { Ok(record) }
}
