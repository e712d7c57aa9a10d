//! The three messages of an exchange, each in front of it its length (four bytes).

use bytes::Bytes;
use palimpsest_proto::ids::NodePrefix;
use palimpsest_proto::params::{EXCHANGE_DESCRIPTORS_MAX, NODE_DESCRIPTOR_BYTES_MAX};
use palimpsest_proto::select::{BUCKETS, LOST_MAX};
use palimpsest_proto::wire::{Reader, WireError, Writer};
use std::time::Duration;

/// A node believed lost, and for how long: in whole seconds on the wire, rounded up, so that hearsay never seems fresher
/// than what was seen.
pub(super) type Lost = (NodePrefix, Duration);

const DIGESTS_BYTES: usize = BUCKETS * 8;
const DESCRIPTORS_BYTES_MAX: usize = 4 + EXCHANGE_DESCRIPTORS_MAX * (4 + NODE_DESCRIPTOR_BYTES_MAX);
const LOST_BYTES_MAX: usize = 4 + LOST_MAX * (8 + 4);

/// A message, with the bound that is checked before it is read.
pub(super) trait Frame: Sized {
    const BYTES_MAX: usize;
    fn encode(&self) -> Vec<u8>;
    fn decode(bytes: Bytes) -> Result<Self, WireError>;
}

/// What we have, in a number for each bucket.
#[derive(Debug, PartialEq)]
pub(super) struct Offer {
    pub(super) digests: Box<[u64; BUCKETS]>,
}

/// What differs, and what the answerer has.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) digests: Box<[u64; BUCKETS]>,
    pub(super) descriptors: Vec<Bytes>,
    pub(super) lost: Vec<Lost>,
}

/// What still differs.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Return {
    pub(super) descriptors: Vec<Bytes>,
    pub(super) lost: Vec<Lost>,
}

impl Frame for Offer {
    const BYTES_MAX: usize = DIGESTS_BYTES;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::with_capacity(Self::BYTES_MAX);
        write_digests(&mut w, &self.digests);
        w.into_vec()
    }

    fn decode(bytes: Bytes) -> Result<Offer, WireError> {
        let mut r = Reader::new(bytes);
        let digests = read_digests(&mut r)?;
        r.finish()?;
        Ok(Offer { digests })
    }
}

impl Frame for Answer {
    const BYTES_MAX: usize = DIGESTS_BYTES + Return::BYTES_MAX;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        write_digests(&mut w, &self.digests);
        write_descriptors(&mut w, &self.descriptors);
        write_lost(&mut w, &self.lost);
        w.into_vec()
    }

    fn decode(bytes: Bytes) -> Result<Answer, WireError> {
        let mut r = Reader::new(bytes);
        let digests = read_digests(&mut r)?;
        let descriptors = read_descriptors(&mut r)?;
        let lost = read_lost(&mut r)?;
        r.finish()?;
        Ok(Answer { digests, descriptors, lost })
    }
}

impl Frame for Return {
    const BYTES_MAX: usize = DESCRIPTORS_BYTES_MAX + LOST_BYTES_MAX;

    fn encode(&self) -> Vec<u8> {
        let mut w = Writer::default();
        write_descriptors(&mut w, &self.descriptors);
        write_lost(&mut w, &self.lost);
        w.into_vec()
    }

    fn decode(bytes: Bytes) -> Result<Return, WireError> {
        let mut r = Reader::new(bytes);
        let descriptors = read_descriptors(&mut r)?;
        let lost = read_lost(&mut r)?;
        r.finish()?;
        Ok(Return { descriptors, lost })
    }
}

fn write_digests(w: &mut Writer, digests: &[u64; BUCKETS]) {
    for digest in digests {
        w.u64(*digest);
    }
}

fn read_digests(r: &mut Reader) -> Result<Box<[u64; BUCKETS]>, WireError> {
    let mut digests = Box::new([0; BUCKETS]);
    for digest in digests.iter_mut() {
        *digest = r.u64("digest")?;
    }
    Ok(digests)
}

fn write_descriptors(w: &mut Writer, descriptors: &[Bytes]) {
    w.u32(descriptors.len() as u32);
    for descriptor in descriptors {
        w.bytes(descriptor);
    }
}

fn read_descriptors(r: &mut Reader) -> Result<Vec<Bytes>, WireError> {
    let count = r.u32("number of descriptors")? as usize;
    if count > EXCHANGE_DESCRIPTORS_MAX {
        return Err(WireError::TooLong("descriptors"));
    }
    (0..count).map(|_| r.bytes("descriptor", NODE_DESCRIPTOR_BYTES_MAX)).collect()
}

fn write_lost(w: &mut Writer, lost: &[Lost]) {
    w.u32(lost.len() as u32);
    for (prefix, age) in lost {
        w.raw(prefix).u32(seconds(*age));
    }
}

fn seconds(age: Duration) -> u32 {
    u32::try_from(age.as_nanos().div_ceil(1_000_000_000)).unwrap_or(u32::MAX)
}

fn read_lost(r: &mut Reader) -> Result<Vec<Lost>, WireError> {
    let count = r.u32("number of lost nodes")? as usize;
    if count > LOST_MAX {
        return Err(WireError::TooLong("lost nodes"));
    }
    (0..count).map(|_| Ok((r.array("lost node")?, Duration::from_secs(r.u32("age")?.into())))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(digest: u64, descriptors in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
                                   lost in prop::collection::vec((any::<[u8; 8]>(), any::<u32>()), 0..20)) {
            let descriptors: Vec<Bytes> = descriptors.into_iter().map(Bytes::from).collect();
            let lost: Vec<Lost> = lost.into_iter().map(|(p, age)| (p, Duration::from_secs(age.into()))).collect();
            let answer = Answer { digests: Box::new([digest; BUCKETS]), descriptors: descriptors.clone(), lost: lost.clone() };
            prop_assert_eq!(Answer::decode(answer.encode().into()), Ok(answer));
            let back = Return { descriptors, lost };
            prop_assert_eq!(Return::decode(back.encode().into()), Ok(back));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let _ = Return::decode(bytes.clone().into());
            let _ = Answer::decode([vec![0; DIGESTS_BYTES], bytes].concat().into());
        }
    }

    #[test]
    fn the_longest_messages_keep_their_bounds() {
        let descriptors = vec![Bytes::from(vec![1; NODE_DESCRIPTOR_BYTES_MAX]); EXCHANGE_DESCRIPTORS_MAX];
        let lost = vec![([1; 8], Duration::MAX); LOST_MAX];
        let answer = Answer { digests: Box::new([1; BUCKETS]), descriptors, lost };
        assert_eq!(answer.encode().len(), Answer::BYTES_MAX);
        assert_eq!(Offer { digests: Box::new([1; BUCKETS]) }.encode().len(), Offer::BYTES_MAX);
    }

    #[test]
    fn numbers_beyond_the_bounds_are_refused() {
        let many = (EXCHANGE_DESCRIPTORS_MAX as u32 + 1).to_le_bytes();
        assert_eq!(Return::decode(many.to_vec().into()), Err(WireError::TooLong("descriptors")));
        let many = [&[0; 4][..], &(LOST_MAX as u32 + 1).to_le_bytes()].concat();
        assert_eq!(Return::decode(many.into()), Err(WireError::TooLong("lost nodes")));
        assert_eq!(Return::decode(vec![0; 9].into()), Err(WireError::Trailing(1)));
        assert_eq!(Offer::decode(vec![0; DIGESTS_BYTES - 1].into()), Err(WireError::Truncated("digest")));
    }
}
