//! What a node says of itself: keys, addresses, roles. Signed by the node, so that anyone may pass it on.
//!
//! `version u8 ‖ id 32 ‖ seq u64 ‖ onion key 32 ‖ valid until u64 ‖ roles u8 ‖ fill u8 ‖ count u8 ‖ count × (length u8
//! ‖ address) ‖ signature 64`. The signature is over all that is in front of it.

use crate::crypto::{self, NodeKey};
use crate::ids::NodeId;
use crate::labels;
use crate::params::{
    CLOCK_SKEW_SECONDS, NODE_ADDRESS_BYTES_MAX, NODE_ADDRESSES_MAX, NODE_DESCRIPTOR_BYTES_MAX, NODE_VALID_SECONDS_MAX,
};
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;
use std::time::Duration;
use thiserror::Error;

const VERSION: u8 = 1;
const SIGNATURE_BYTES: usize = 64;
/// Everything but the addresses: version, id, sequence number, onion key, validity, roles, fill, count, signature.
const FIXED_BYTES: usize = 1 + 32 + 8 + 32 + 8 + 1 + 1 + 1 + SIGNATURE_BYTES;

const _: () = assert!(FIXED_BYTES + NODE_ADDRESSES_MAX * (1 + NODE_ADDRESS_BYTES_MAX) <= NODE_DESCRIPTOR_BYTES_MAX);
// An address's length is one byte.
const _: () = assert!(NODE_ADDRESS_BYTES_MAX <= u8::MAX as usize);

/// Why a node descriptor was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Not the bytes of a node descriptor.
    #[error("not a node descriptor: {0}")]
    Malformed(#[from] WireError),
    /// Not signed by the node that it names.
    #[error("a node descriptor that its node did not sign")]
    Forged,
    /// The node's id has not cost its work.
    #[error("a node descriptor of an id that cost no work")]
    Unworked,
    /// No longer valid.
    #[error("an expired node descriptor")]
    Expired,
    /// Valid for longer, or signed later, than the clocks of this network allow.
    #[error("a node descriptor from the future (is this machine's clock right?)")]
    Future,
}

/// What a node does for others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Passes onion packets on.
    pub relays: bool,
    /// Stores shards and records.
    pub holds: bool,
}

impl Roles {
    /// Both.
    pub const ALL: Roles = Roles { relays: true, holds: true };

    fn to_byte(self) -> u8 {
        u8::from(self.relays) | u8::from(self.holds) << 1
    }

    fn from_byte(byte: u8) -> Option<Roles> {
        (byte < 4).then_some(Roles { relays: byte & 1 != 0, holds: byte & 2 != 0 })
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDescriptor {
    /// Name and signing key.
    pub id: NodeId,
    /// When it was signed, in milliseconds since 1970-01-01 UTC; the newer one wins.
    pub seq: u64,
    /// X25519 public key with which onion packets to this node are wrapped.
    pub onion: [u8; 32],
    /// Where it listens: binary multiaddresses, distinct, not empty, bounded in number and length.
    pub addresses: Vec<Bytes>,
    /// Until when it may be used.
    pub valid_until: Timestamp,
    /// What it does for others.
    pub roles: Roles,
    /// How full its store is, in per cent (0 to 100).
    pub fill: u8,
}

impl NodeDescriptor {
    /// Signs it. Refuses what [`SignedNodeDescriptor::decode`] would refuse, and a key that is not the node's. Whether the id
    /// is worked is seen to where keys are made.
    pub fn sign(self, key: &NodeKey) -> Result<SignedNodeDescriptor, RecordError> {
        if key.id() != self.id {
            return Err(RecordError::Forged);
        }
        let mut bytes = self.encode_body();
        let signature = key.sign(labels::NODE_DESCRIPTOR, &bytes);
        bytes.extend_from_slice(&signature);
        // Read back, so that a node never publishes what others refuse.
        let Unverified { descriptor, bytes } = SignedNodeDescriptor::decode(bytes.into())?;
        Ok(SignedNodeDescriptor { descriptor, bytes, age: Duration::ZERO })
    }

    fn encode_body(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(NODE_DESCRIPTOR_BYTES_MAX);
        w.u8(VERSION).raw(&self.id.0).u64(self.seq).raw(&self.onion).u64(self.valid_until.0);
        w.u8(self.roles.to_byte()).u8(self.fill);
        // Lengths beyond a byte are cut here and refused when read back.
        w.u8(u8::try_from(self.addresses.len()).unwrap_or(u8::MAX));
        for address in &self.addresses {
            w.u8(u8::try_from(address.len()).unwrap_or(u8::MAX)).raw(address);
        }
        w.into_vec()
    }

    fn decode_body(r: &mut Reader) -> Result<NodeDescriptor, WireError> {
        if r.u8("version")? != VERSION {
            return Err(WireError::Invalid("version"));
        }
        let id = NodeId(r.array("id")?);
        let seq = r.u64("sequence number")?;
        let onion = r.array("onion key")?;
        let valid_until = Timestamp(r.u64("validity")?);
        let roles = Roles::from_byte(r.u8("roles")?).ok_or(WireError::Invalid("roles"))?;
        let fill = r.u8("fill")?;
        if fill > 100 {
            return Err(WireError::Invalid("fill"));
        }
        let count = usize::from(r.u8("addresses")?);
        if count > NODE_ADDRESSES_MAX {
            return Err(WireError::TooLong("addresses"));
        }
        let mut addresses: Vec<Bytes> = Vec::with_capacity(count);
        for _ in 0..count {
            let length = usize::from(r.u8("address")?);
            if length > NODE_ADDRESS_BYTES_MAX {
                return Err(WireError::TooLong("address"));
            }
            let address = r.raw("address", length)?;
            if address.is_empty() || addresses.contains(&address) {
                return Err(WireError::Invalid("address"));
            }
            addresses.push(address);
        }
        Ok(NodeDescriptor { id, seq, onion, addresses, valid_until, roles, fill })
    }
}

/// A node descriptor of which only the form was checked. It opens by [`Unverified::verify`].
#[derive(Clone, Debug)]
pub struct Unverified {
    descriptor: NodeDescriptor,
    bytes: Bytes,
}

impl Unverified {
    /// Whose it claims to be: to leave out, before the costly check, what is known already.
    pub fn claimed(&self) -> (NodeId, u64) {
        (self.descriptor.id, self.descriptor.seq)
    }

    /// Checks times, the id's work, and the signature. `now` is the wall clock.
    pub fn verify(self, now: Timestamp) -> Result<SignedNodeDescriptor, RecordError> {
        let Unverified { descriptor, bytes } = self;
        if descriptor.valid_until <= now {
            return Err(RecordError::Expired);
        }
        let signed_at = Timestamp(descriptor.seq / 1000);
        if descriptor.valid_until > now.plus(NODE_VALID_SECONDS_MAX + CLOCK_SKEW_SECONDS)
            || signed_at > now.plus(CLOCK_SKEW_SECONDS)
        {
            return Err(RecordError::Future);
        }
        if !descriptor.id.is_worked() {
            return Err(RecordError::Unworked);
        }
        let (body, signature) = bytes.split_at(bytes.len() - SIGNATURE_BYTES);
        let signature = signature.try_into().map_err(|_| RecordError::Forged)?;
        crypto::verify(&descriptor.id, labels::NODE_DESCRIPTOR, body, signature).map_err(|_| RecordError::Forged)?;
        Ok(SignedNodeDescriptor { descriptor, bytes, age: Duration::from_secs(now.0.saturating_sub(signed_at.0)) })
    }
}

/// A node descriptor that its node signed and that was valid when it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNodeDescriptor {
    descriptor: NodeDescriptor,
    bytes: Bytes,
    age: Duration,
}

impl SignedNodeDescriptor {
    /// Reads one; every field is bounded before anything is allocated.
    pub fn decode(bytes: Bytes) -> Result<Unverified, RecordError> {
        if bytes.len() > NODE_DESCRIPTOR_BYTES_MAX {
            return Err(WireError::TooLong("node descriptor").into());
        }
        // A copy of its own: a slice would keep the whole message alive in which it came, for as long as the table
        // keeps it.
        let bytes = Bytes::copy_from_slice(&bytes);
        let mut r = Reader::new(bytes.clone());
        let descriptor = NodeDescriptor::decode_body(&mut r)?;
        r.raw("signature", SIGNATURE_BYTES)?;
        r.finish()?;
        Ok(Unverified { descriptor, bytes })
    }

    /// The bytes that [`SignedNodeDescriptor::decode`] reads.
    pub fn encoded(&self) -> &Bytes {
        &self.bytes
    }

    /// What the node says.
    pub fn descriptor(&self) -> &NodeDescriptor {
        &self.descriptor
    }

    /// How old the signature was when it was checked, by the checker's wall clock; zero if signed in its future.
    pub fn age(&self) -> Duration {
        self.age
    }
}

impl std::ops::Deref for SignedNodeDescriptor {
    type Target = NodeDescriptor;

    fn deref(&self) -> &NodeDescriptor {
        &self.descriptor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::select::testing::worked_seed;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn key(number: u8) -> NodeKey {
        NodeKey::from_seed(&worked_seed(number.into()))
    }

    fn descriptor(seed: u8) -> NodeDescriptor {
        NodeDescriptor {
            id: key(seed).id(),
            seq: NOW.0 * 1000,
            onion: [9; 32],
            addresses: vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 0, 80])],
            valid_until: NOW.plus(86_400),
            roles: Roles::ALL,
            fill: 17,
        }
    }

    proptest! {
        #[test]
        fn what_is_signed_is_read(seq in 0..=NOW.0 * 1000, onion: [u8; 32], count in 0..=8u8, length in 1..=128usize,
                                  valid in 1..=NODE_VALID_SECONDS_MAX, roles in 0..4u8, fill in 0..=100u8) {
            let addresses = (0..count).map(|i| Bytes::from(vec![i; length])).collect();
            let roles = Roles::from_byte(roles).unwrap();
            let (id, valid_until) = (key(1).id(), NOW.plus(valid));
            let d = NodeDescriptor { id, seq, onion, addresses, valid_until, roles, fill };
            let signed = d.clone().sign(&key(1)).unwrap();
            prop_assert!(signed.encoded().len() <= NODE_DESCRIPTOR_BYTES_MAX);
            let read = SignedNodeDescriptor::decode(signed.encoded().clone()).unwrap().verify(NOW).unwrap();
            prop_assert_eq!(read.descriptor(), &d);
            prop_assert_eq!(read.encoded(), signed.encoded());
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_reencode(bytes: Vec<u8>) {
            if let Ok(unverified) = SignedNodeDescriptor::decode(bytes.clone().into()) {
                prop_assert_eq!(&unverified.descriptor.encode_body()[..], &bytes[..bytes.len() - SIGNATURE_BYTES]);
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let signed = descriptor(1).sign(&key(1)).unwrap();
        for bit in 0..signed.encoded().len() * 8 {
            let mut bytes = signed.encoded().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let read = SignedNodeDescriptor::decode(bytes.into()).and_then(|u| u.verify(NOW));
            assert!(read.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn another_nodes_key_does_not_sign() {
        assert_eq!(descriptor(1).sign(&key(2)), Err(RecordError::Forged));
        let mut bytes = descriptor(1).encode_body();
        let signature = key(2).sign(labels::NODE_DESCRIPTOR, &bytes);
        bytes.extend_from_slice(&signature);
        let read = SignedNodeDescriptor::decode(bytes.into()).unwrap().verify(NOW);
        assert_eq!(read, Err(RecordError::Forged));
    }

    #[test]
    fn an_id_that_cost_no_work_is_refused() {
        let cheap =
            (0..=u8::MAX).map(|byte| NodeKey::from_seed(&Secret::new([byte; 32]))).find(|key| !key.id().is_worked());
        let cheap = cheap.unwrap();
        let signed = NodeDescriptor { id: cheap.id(), ..descriptor(1) }.sign(&cheap).unwrap();
        let read = SignedNodeDescriptor::decode(signed.encoded().clone()).unwrap().verify(NOW);
        assert_eq!(read, Err(RecordError::Unworked));
    }

    #[test]
    fn times_out_of_range_are_refused() {
        let verify = |change: fn(&mut NodeDescriptor)| {
            let mut d = descriptor(1);
            change(&mut d);
            let signed = d.sign(&key(1)).unwrap();
            SignedNodeDescriptor::decode(signed.encoded().clone()).unwrap().verify(NOW).map(|s| s.age().as_secs())
        };
        assert_eq!(verify(|d| d.valid_until = NOW), Err(RecordError::Expired));
        assert_eq!(verify(|d| d.valid_until = NOW.plus(30 * 86_400)), Err(RecordError::Future));
        assert_eq!(verify(|d| d.seq = NOW.plus(CLOCK_SKEW_SECONDS + 1).0 * 1000), Err(RecordError::Future));
        assert_eq!(verify(|d| d.seq = u64::MAX), Err(RecordError::Future));
        assert_eq!(verify(|d| d.seq = NOW.plus(CLOCK_SKEW_SECONDS).0 * 1000), Ok(0));
        assert_eq!(verify(|d| d.seq = NOW.minus(60).0 * 1000), Ok(60));
    }

    #[test]
    fn malformed_descriptors_are_refused_for_their_reason() {
        let refuse = |change: fn(&mut NodeDescriptor), why: WireError| {
            let mut d = descriptor(1);
            change(&mut d);
            assert_eq!(d.sign(&key(1)), Err(RecordError::Malformed(why)));
        };
        refuse(|d| d.fill = 101, WireError::Invalid("fill"));
        refuse(|d| d.addresses.push(d.addresses[0].clone()), WireError::Invalid("address"));
        refuse(|d| d.addresses = vec![Bytes::new()], WireError::Invalid("address"));
        refuse(|d| d.addresses = vec![Bytes::from(vec![1; 129])], WireError::TooLong("address"));
        refuse(|d| d.addresses = (0..9).map(|i| Bytes::from(vec![i])).collect(), WireError::TooLong("addresses"));
        let trailing = [&descriptor(1).sign(&key(1)).unwrap().encoded()[..], &[0]].concat();
        let read = SignedNodeDescriptor::decode(trailing.into());
        assert_eq!(read.err(), Some(RecordError::Malformed(WireError::Trailing(1))));
        let mut version = descriptor(1).sign(&key(1)).unwrap().encoded().to_vec();
        version[0] = 2;
        let read = SignedNodeDescriptor::decode(version.into());
        assert_eq!(read.err(), Some(RecordError::Malformed(WireError::Invalid("version"))));
    }
}
