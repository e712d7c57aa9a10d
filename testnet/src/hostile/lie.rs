//! Holders that lie.

use bytes::Bytes;
use futures::future::BoxFuture;
use palimpsest_node::config::Stand;
use palimpsest_node::role::holder::Service;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::SHARD_BYTES;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// How much later the late ones answer: so often that much later than others that whoever waits for them waits for little else, and
/// soon enough that they are not taken for dead by whoever is patient.
const LATE: Duration = Duration::from_secs(3);

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
    /// "I do not have it", long after.
    Late,
}

impl Lie {
    /// Its answer; none: it stays silent.
    #[must_use]
    pub fn answer(self, ask: &Ask) -> Option<Answer> {
        match (ask, self) {
            (Ask::Store { shard, .. }, _) => Some(Answer::Stored { locator: shard.locator() }),
            (Ask::PutRecord { address, .. }, _) => Some(Answer::RecordStored { address: *address }),
            (_, Lie::Silence) => None,
            (_, Lie::Absent | Lie::Late) => Some(Answer::Refused(Refusal::Absent)),
            (Ask::Fetch { .. }, Lie::Garbage) => Some(Answer::Shard(Bytes::from(vec![7; SHARD_BYTES]))),
            (_, Lie::Garbage) => Some(Answer::Record(Bytes::from_static(b"no descriptor"))),
        }
    }

    /// How long it keeps whoever asks waiting: not with a receipt, by which it comes to be asked.
    #[must_use]
    pub fn stalls(self, ask: &Ask) -> Duration {
        match (ask, self) {
            (Ask::Store { .. } | Ask::PutRecord { .. }, _) => Duration::ZERO,
            (_, Lie::Late) => LATE,
            (_, Lie::Garbage | Lie::Absent | Lie::Silence) => Duration::ZERO,
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
        let (answer, stalls) = (self.0.answer(&ask), self.0.stalls(&ask));
        Box::pin(async move {
            tokio::time::sleep(stalls).await;
            answer
        })
    }
}

#[cfg(test)]
mod tests {
    use palimpsest_proto::coding::Shard;
    use palimpsest_proto::fair::Stamp;
    use palimpsest_proto::ids::Locator;
    use palimpsest_proto::time::Timestamp;
    use tokio::time::Instant;

    use super::{Answer, Ask, Bytes, Duration, LATE, Lie, Refusal, SHARD_BYTES};

    /// Receipts come at once from all; then one of them keeps whoever asks waiting.
    #[tokio::test]
    async fn who_stalls_is_quick_to_take_and_slow_to_deny() {
        let shard = Shard::new(Bytes::from(vec![1; SHARD_BYTES])).unwrap();
        let locator = shard.locator();
        let store = Ask::Store { lease_until: Timestamp(0), stamp: Stamp::NONE, shard };
        let fetch = Ask::Fetch { locator: Locator([2; 32]) };
        for (lie, after) in [(Lie::Absent, Duration::ZERO), (Lie::Late, LATE)] {
            let stand = lie.stand();
            assert_eq!((lie.stalls(&store), lie.stalls(&fetch)), (Duration::ZERO, after));
            assert_eq!(stand.0.answer(store.clone()).await, Some(Answer::Stored { locator }));
            let since = Instant::now();
            assert_eq!(stand.0.answer(fetch.clone()).await, Some(Answer::Refused(Refusal::Absent)));
            assert!(since.elapsed() >= after, "{lie:?}");
        }
    }
}
