//! *Last audits*: how long ago did you audit these stripes? Who names a stripe's root address has its descriptor, or the link to
//! it.
//!
//! ```text
//! ask      count u16 ‖ count × root address 32
//! answer   count u16 ‖ count × age u8: full hours; 254: so many or more; 255: none is known
//! ```

use super::probe::{decode_names, encode_names};
use super::{Answer, Ask, Parts};
use crate::ids::RootAddress;
use crate::params::PROBE_LOCATORS_MAX;
use crate::wire::{Reader, WireError, Writer};

/// The longest age that is told, in hours.
pub const AUDIT_AGE_HOURS_MAX: u8 = 254;
const UNKNOWN: u8 = 255;

pub(super) fn encode_ask(head: Writer, roots: &[RootAddress]) -> Parts {
    encode_names(head, roots.iter().map(RootAddress::as_bytes))
}

pub(super) fn decode_ask(reader: &mut Reader) -> Result<Ask, WireError> {
    Ok(Ask::LastAudits { roots: decode_names(reader, "roots")?.into_iter().map(RootAddress).collect() })
}

/// Ages beyond the longest are cut.
pub(super) fn encode_answer(mut head: Writer, ages: &[Option<u8>]) -> Parts {
    head.u16(ages.len() as u16);
    for age in ages {
        head.u8(age.map_or(UNKNOWN, |hours| hours.min(AUDIT_AGE_HOURS_MAX)));
    }
    Parts::head(head)
}

pub(super) fn decode_answer(reader: &mut Reader) -> Result<Answer, WireError> {
    let count = usize::from(reader.u16("ages")?);
    if count > PROBE_LOCATORS_MAX {
        return Err(WireError::TooLong("ages"));
    }
    if count == 0 {
        return Err(WireError::Invalid("ages"));
    }
    let age = |reader: &mut Reader| Ok(Some(reader.u8("ages")?).filter(|hours| *hours != UNKNOWN));
    Ok(Answer::Ages((0..count).map(|_| age(reader)).collect::<Result<_, WireError>>()?))
}
