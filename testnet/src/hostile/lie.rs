//! Holders that lie.

use bytes::Bytes;
use futures::future::BoxFuture;
use palimpsest_node::config::Stand;
use palimpsest_node::role::holder::Service;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::SHARD_BYTES;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a holder answers, when it is asked, that acknowledges whatever it is given and keeps nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lie {
    /// Something else.
    Garbage,
    /// "I do not have it."
    Absent,
    /// Nothing.
    Silence,
}

impl Lie {
    /// Its answer; none: it stays silent.
    #[must_use]
    pub fn answer(self, ask: &Ask) -> Option<Answer> {
        match (ask, self) {
            (Ask::Store { shard, .. }, _) => Some(Answer::Stored { locator: shard.locator() }),
            (Ask::PutRecord { address, .. }, _) => Some(Answer::RecordStored { address: *address }),
            (_, Lie::Silence) => None,
            (_, Lie::Absent) => Some(Answer::Refused(Refusal::Absent)),
            (Ask::Fetch { .. }, Lie::Garbage) => Some(Answer::Shard(Bytes::from(vec![7; SHARD_BYTES]))),
            (_, Lie::Garbage) => Some(Answer::Record(Bytes::from_static(b"no descriptor"))),
        }
    }

    /// One holder that lies so.
    #[must_use]
    pub fn stand(self) -> Stand {
        Stand(Arc::new(Liar(self)))
    }
}

struct Liar(Lie);

impl Service for Liar {
    fn answer(&self, ask: Ask) -> BoxFuture<'_, Option<Answer>> {
        let answer = self.0.answer(&ask);
        Box::pin(async move { answer })
    }
}
