//! What a lying holder answers.

use bytes::Bytes;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::SHARD_BYTES;

use super::Lie;

impl Lie {
    /// What a holder answers that acknowledges whatever it is given, keeps nothing, and lies so when it is asked; none: it stays
    /// silent.
    pub(super) fn answer(self, ask: &Ask) -> Option<Answer> {
        match (ask, self) {
            (Ask::Store { shard, .. }, _) => Some(Answer::Stored { locator: shard.locator() }),
            (Ask::PutRecord { address, .. }, _) => Some(Answer::RecordStored { address: *address }),
            (_, Lie::Silence) => None,
            (_, Lie::Absent) => Some(Answer::Refused(Refusal::Absent)),
            (Ask::Fetch { .. }, Lie::Garbage) => Some(Answer::Shard(Bytes::from(vec![7; SHARD_BYTES]))),
            (_, Lie::Garbage) => Some(Answer::Record(Bytes::from_static(b"no descriptor"))),
        }
    }
}
