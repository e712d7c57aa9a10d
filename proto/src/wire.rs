//! The one canonical encoding: fixed-width little-endian integers and length-prefixed bytes, no options, no alternatives,
//! nothing nested without a bound. So `decode` accepts exactly what `encode` makes. Every decoding ends in
//! [`Reader::finish`], which refuses trailing bytes. Spec: docs/protocol.md §1.

use bytes::Bytes;
use thiserror::Error;

/// Why bytes were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The bytes end inside of the named field.
    #[error("ends inside of {0}")]
    Truncated(&'static str),
    /// Bytes follow the last field.
    #[error("{0} bytes too many at the end")]
    Trailing(usize),
    /// The named length is over its bound.
    #[error("{0} is longer than allowed")]
    TooLong(&'static str),
    /// The named field has a value that means nothing.
    #[error("{0} has an unknown or forbidden value")]
    Invalid(&'static str),
}

/// Writes fields, one after the other.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty writer with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(capacity) }
    }
    /// One byte.
    pub fn u8(&mut self, v: u8) -> &mut Writer {
        self.raw(&[v])
    }
    /// Two bytes, little-endian.
    pub fn u16(&mut self, v: u16) -> &mut Writer {
        self.raw(&v.to_le_bytes())
    }
    /// Four bytes, little-endian.
    pub fn u32(&mut self, v: u32) -> &mut Writer {
        self.raw(&v.to_le_bytes())
    }
    /// Eight bytes, little-endian.
    pub fn u64(&mut self, v: u64) -> &mut Writer {
        self.raw(&v.to_le_bytes())
    }
    /// Bytes whose number the reader knows.
    pub fn raw(&mut self, bytes: &[u8]) -> &mut Writer {
        self.bytes.extend_from_slice(bytes);
        self
    }
    /// Bytes with their number in front (four bytes). The bound is the reader's to check.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Writer {
        // A slice of 4 GiB never gets here: each caller's bound is far below.
        self.u32(bytes.len() as u32).raw(bytes)
    }
    /// What was written.
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads fields, one after the other, out of shared bytes: what it hands out points into them.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
}

impl Reader {
    /// A reader at the beginning of `bytes`.
    pub fn new(bytes: impl Into<Bytes>) -> Reader {
        Reader { bytes: bytes.into() }
    }
    /// `count` bytes without a copy.
    pub fn raw(&mut self, what: &'static str, count: usize) -> Result<Bytes, WireError> {
        if self.bytes.len() < count {
            return Err(WireError::Truncated(what));
        }
        Ok(self.bytes.split_to(count))
    }
    /// `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], WireError> {
        let mut array = [0; N];
        array.copy_from_slice(&self.raw(what, N)?);
        Ok(array)
    }
    /// One byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, WireError> {
        Ok(self.array::<1>(what)?[0])
    }
    /// Two bytes, little-endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.array(what)?))
    }
    /// Four bytes, little-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }
    /// Eight bytes, little-endian.
    pub fn u64(&mut self, what: &'static str) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }
    /// Bytes with their number in front, at most `max` of them; refused before anything is allocated.
    pub fn bytes(&mut self, what: &'static str, max: usize) -> Result<Bytes, WireError> {
        let count = self.u32(what)? as usize;
        if count > max {
            return Err(WireError::TooLong(what));
        }
        self.raw(what, count)
    }
    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }
    /// Ends the reading; refuses what is left over.
    pub fn finish(self) -> Result<(), WireError> {
        if self.bytes.is_empty() { Ok(()) } else { Err(WireError::Trailing(self.bytes.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(a: u8, b: u16, c: u32, d: u64, e: Vec<u8>) {
            let mut w = Writer::default();
            w.u8(a).u16(b).u32(c).u64(d).bytes(&e);
            let mut r = Reader::new(w.into_vec());
            prop_assert_eq!((r.u8("a").unwrap(), r.u16("b").unwrap(), r.u32("c").unwrap(), r.u64("d").unwrap()), (a, b, c, d));
            prop_assert_eq!(&r.bytes("e", e.len()).unwrap()[..], &e[..]);
            prop_assert_eq!(r.finish(), Ok(()));
        }
    }

    #[test]
    fn a_long_length_is_refused_before_it_is_believed() {
        let mut r = Reader::new(vec![0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(r.bytes("x", 10), Err(WireError::TooLong("x")));
    }

    #[test]
    fn truncated_and_trailing_bytes_are_refused() {
        assert_eq!(Reader::new(vec![1, 2, 3]).u32("n"), Err(WireError::Truncated("n")));
        assert_eq!(Reader::new(vec![1]).finish(), Err(WireError::Trailing(1)));
    }
}
