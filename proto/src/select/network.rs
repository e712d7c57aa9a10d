//! The part of the Internet in which a node is, as far as its address tells: what one operator can easily fill with
//! nodes.

use crate::record::NodeDescriptor;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Multiaddress protocol codes (multicodec table): `/ip4`, `/ip6`.
const IP4: u8 = 0x04;
const IP6: u8 = 0x29;

/// An address prefix: /16 of IPv4 or /32 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The first two bytes of an IPv4 address.
    V4([u8; 2]),
    /// The first four bytes of an IPv6 address.
    V6([u8; 4]),
}

impl Network {
    /// The network of a binary multiaddress; none for names, memory transports and loopback, which say nothing of where
    /// a node is.
    pub fn of_address(address: &[u8]) -> Option<Network> {
        let (&code, rest) = address.split_first()?;
        match code {
            IP4 => {
                let ip = Ipv4Addr::from(*rest.first_chunk::<4>()?);
                let [a, b, ..] = ip.octets();
                (!ip.is_loopback()).then_some(Network::V4([a, b]))
            }
            IP6 => {
                let ip = Ipv6Addr::from(*rest.first_chunk::<16>()?);
                let [a, b, c, d, ..] = ip.octets();
                (!ip.is_loopback()).then_some(Network::V6([a, b, c, d]))
            }
            _ => None,
        }
    }

    /// The network of the first address that has one.
    pub fn of(descriptor: &NodeDescriptor) -> Option<Network> {
        descriptor.addresses.iter().find_map(|address| Network::of_address(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_odd_bytes_ignored() {
        assert_eq!(Network::of_address(&[4, 10, 1, 2, 3, 6, 0, 80]), Some(Network::V4([10, 1])));
        assert_eq!(Network::of_address(&[4, 127, 0, 0, 1]), None);
        assert_eq!(Network::of_address(&[4, 10, 1, 2]), None);
        assert_eq!(Network::of_address(&[]), None);
        assert_eq!(Network::of_address(&[0x35, 3, b'a', b'.', b'b']), None);
        let mut v6 = vec![0x29, 0x20, 1, 0x0d, 0xb8];
        v6.extend([0; 12]);
        assert_eq!(Network::of_address(&v6), Some(Network::V6([0x20, 1, 0x0d, 0xb8])));
    }
}
