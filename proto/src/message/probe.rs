//! *Probe*: which of these shards are there? *Probe records*: which of these records, and with a lease that ends no earlier
//! than this? (Who has a record with a longer lease hands it on.)
//!
//! ```text
//! ask      count u16 ‖ count × locator 32;  lease until u64 ‖ count u16 ‖ count × record address 32
//! answer   bitmap u32
//! ```

use super::{Answer, Ask, Parts};
use crate::ids::{Locator, RecordAddress};
use crate::params::PROBE_LOCATORS_MAX;
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};

const _: () = assert!(PROBE_LOCATORS_MAX <= u32::BITS as usize);

/// A longer list is our own mistake, and is refused by whoever reads it.
pub(super) fn encode_names<'a>(mut head: Writer, names: impl ExactSizeIterator<Item = &'a [u8; 32]>) -> Parts {
    head.u16(names.len() as u16);
    for name in names {
        head.raw(name);
    }
    Parts::head(head)
}

/// One to [`PROBE_LOCATORS_MAX`] names.
pub(super) fn decode_names(reader: &mut Reader, what: &'static str) -> Result<Vec<[u8; 32]>, WireError> {
    let count = usize::from(reader.u16(what)?);
    if count > PROBE_LOCATORS_MAX {
        return Err(WireError::TooLong(what));
    }
    if count == 0 {
        return Err(WireError::Invalid(what));
    }
    (0..count).map(|_| reader.array(what)).collect()
}

pub(super) fn encode_ask(head: Writer, locators: &[Locator]) -> Parts {
    encode_names(head, locators.iter().map(Locator::as_bytes))
}

pub(super) fn decode_ask(reader: &mut Reader) -> Result<Ask, WireError> {
    Ok(Ask::Probe { locators: decode_names(reader, "locators")?.into_iter().map(Locator).collect() })
}

pub(super) fn encode_records(mut head: Writer, lease_until: Timestamp, addresses: &[RecordAddress]) -> Parts {
    head.u64(lease_until.0);
    encode_names(head, addresses.iter().map(RecordAddress::as_bytes))
}

pub(super) fn decode_records(reader: &mut Reader) -> Result<Ask, WireError> {
    let lease_until = Timestamp(reader.u64("lease")?);
    let addresses = decode_names(reader, "addresses")?.into_iter().map(RecordAddress).collect();
    Ok(Ask::ProbeRecords { lease_until, addresses })
}

pub(super) fn encode_answer(mut head: Writer, bitmap: u32) -> Parts {
    head.u32(bitmap);
    Parts::head(head)
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<Answer, WireError> {
    Ok(Answer::Present(reader.u32("bitmap")?))
}
