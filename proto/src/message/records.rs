//! *Put records*: several at once, from one warden to another. A record is a twentieth of a large packet.
//!
//! ```text
//! ask      lease u64 ‖ stamp u64 ‖ count u16 ‖ count × (address 32 ‖ length u32 ‖ the record's bytes)
//! answer   bitmap u32: which are on disk
//! ```

use super::record::decode_record;
use super::{Ask, Parts};
use crate::fair::Stamp;
use crate::ids::RecordAddress;
use crate::params::RECORDS_PUT_MAX;
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;

const _: () = assert!(RECORDS_PUT_MAX <= u32::BITS as usize);

/// A longer list is our own mistake, and is refused by whoever reads it.
pub(super) fn encode_ask(
    mut head: Writer,
    lease_until: Timestamp,
    stamp: Stamp,
    records: &[(RecordAddress, Bytes)],
) -> Parts {
    head.u64(lease_until.0).u64(stamp.0).u16(records.len() as u16);
    for (address, record) in records {
        head.raw(&address.0).u32(record.len() as u32).raw(record);
    }
    Parts::head(head)
}

pub(super) fn decode_ask(reader: &mut Reader) -> Result<Ask, WireError> {
    let lease_until = Timestamp(reader.u64("lease")?);
    let stamp = Stamp(reader.u64("stamp")?);
    let count = usize::from(reader.u16("records")?);
    if count > RECORDS_PUT_MAX {
        return Err(WireError::TooLong("records"));
    }
    if count == 0 {
        return Err(WireError::Invalid("records"));
    }
    let one = |reader: &mut Reader| Ok((RecordAddress(reader.array("address")?), decode_record(reader)?));
    let records = (0..count).map(|_| one(reader)).collect::<Result<_, WireError>>()?;
    Ok(Ask::PutRecords { lease_until, stamp, records })
}
