//! The packet: one of two exact lengths, checked before anything else is looked at.

use super::Dropped;
use crate::params::{
    HEADER_BYTES, LARGE_MESSAGE_BYTES_MAX, LARGE_PACKET_BYTES, SMALL_MESSAGE_BYTES_MAX, SMALL_PACKET_BYTES,
};
use std::fmt;

/// The two sizes of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Size {
    /// Requests, receipts, refusals.
    Small,
    /// A shard or a record.
    Large,
}

impl Size {
    /// Bytes of the whole packet.
    pub const fn packet_bytes(self) -> usize {
        match self {
            Size::Small => SMALL_PACKET_BYTES,
            Size::Large => LARGE_PACKET_BYTES,
        }
    }

    /// Bytes behind the header.
    pub const fn body_bytes(self) -> usize {
        self.packet_bytes() - HEADER_BYTES
    }

    /// Bytes of the longest message.
    pub const fn message_bytes_max(self) -> usize {
        match self {
            Size::Small => SMALL_MESSAGE_BYTES_MAX,
            Size::Large => LARGE_MESSAGE_BYTES_MAX,
        }
    }

    /// The smallest size that a message of `bytes` bytes fits, if there is one.
    pub const fn for_message(bytes: usize) -> Option<Size> {
        if bytes <= SMALL_MESSAGE_BYTES_MAX {
            Some(Size::Small)
        } else if bytes <= LARGE_MESSAGE_BYTES_MAX {
            Some(Size::Large)
        } else {
            None
        }
    }
}

/// A packet of an exact length. Nothing else is known of it until it is peeled.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    size: Size,
    bytes: Vec<u8>,
}

impl Packet {
    /// Takes over what came in, if it has the length of a packet.
    pub fn parse(bytes: Vec<u8>) -> Result<Packet, Dropped> {
        let size = match bytes.len() {
            SMALL_PACKET_BYTES => Size::Small,
            LARGE_PACKET_BYTES => Size::Large,
            _ => return Err(Dropped::Length),
        };
        Ok(Packet { size, bytes })
    }

    /// A packet with this header and a body of zeros.
    pub(super) fn with_header(size: Size, header: &[u8; HEADER_BYTES]) -> Packet {
        let mut packet = Packet { size, bytes: vec![0; size.packet_bytes()] };
        packet.header_mut().copy_from_slice(header);
        packet
    }

    /// Which of the sizes it has.
    pub fn size(&self) -> Size {
        self.size
    }

    /// All of its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All of its bytes, handed over.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.bytes[..HEADER_BYTES]
    }

    pub(super) fn header_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..HEADER_BYTES]
    }

    pub(super) fn body_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[HEADER_BYTES..]
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packet({:?})", self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_exact_lengths_are_packets() {
        for size in [Size::Small, Size::Large] {
            let exact = size.packet_bytes();
            assert_eq!(Packet::parse(vec![0; exact]).unwrap().size(), size);
            for wrong in [0, 1, HEADER_BYTES, exact - 100, exact - 1, exact + 1, 2 * exact] {
                assert_eq!(Packet::parse(vec![0; wrong]), Err(Dropped::Length));
            }
        }
    }

    #[test]
    fn a_message_gets_the_smallest_size_that_it_fits() {
        assert_eq!(Size::for_message(0), Some(Size::Small));
        assert_eq!(Size::for_message(Size::Small.message_bytes_max()), Some(Size::Small));
        assert_eq!(Size::for_message(Size::Small.message_bytes_max() + 1), Some(Size::Large));
        assert_eq!(Size::for_message(Size::Large.message_bytes_max()), Some(Size::Large));
        assert_eq!(Size::for_message(Size::Large.message_bytes_max() + 1), None);
    }
}
