//! Clients that publish rubbish as fast as they can, while other things go on.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Rubbish;

/// Seeds of rubbish begin here, far from those of files that are wanted.
const SEEDS_FROM: u64 = 1 << 40;
/// Files of one client at most, as far as seeds are concerned.
const SEEDS_EACH: u64 = 1 << 20;

/// A flood that is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) clients: u32,
    /// Files that each of them publishes at most, one after the other, and the bytes of each file.
    pub(super) files: u32,
    pub(super) bytes: u64,
    /// How long it goes on at most.
    pub(super) length: Duration,
}

impl Wanted {
    /// What a client's file is made of: no two are alike.
    pub(super) fn seed(client: u32, file: u32) -> u64 {
        SEEDS_FROM + u64::from(client) * SEEDS_EACH + u64::from(file)
    }
}

/// How one client publishes the file of a seed: whether it found a place.
pub(super) type Publishes = Box<dyn Fn(u64) -> BoxFuture<'static, bool> + Send + Sync>;

/// A flood that goes on; dropping it ends it.
pub(super) struct Flood {
    stop: CancellationToken,
    clients: JoinSet<Rubbish>,
}

impl Flood {
    /// Each of the clients begins, and ends by itself after its files or its time.
    pub(super) fn begin(wanted: Wanted, publishes: Vec<Publishes>) -> Flood {
        let (stop, mut clients) = (CancellationToken::new(), JoinSet::new());
        for (client, publishes) in (0..).zip(publishes) {
            let stop = stop.clone();
            clients.spawn(async move {
                let mut rubbish = Rubbish::default();
                let work = async {
                    for file in 0..wanted.files {
                        rubbish.note(publishes(Wanted::seed(client, file)).await);
                    }
                };
                // What is under way then is dropped, and counts for nothing.
                let _ended_early = tokio::time::timeout(wanted.length, stop.run_until_cancelled(work)).await;
                rubbish
            });
        }
        Flood { stop, clients }
    }

    /// Ends it: what became of the rubbish.
    pub(super) async fn end(mut self) -> Rubbish {
        self.stop.cancel();
        let mut rubbish = Rubbish::default();
        while let Some(ended) = self.clients.join_next().await {
            rubbish.add(ended.unwrap_or_default());
        }
        rubbish
    }
}

impl Rubbish {
    pub(super) fn note(&mut self, placed: bool) {
        if placed { self.placed += 1 } else { self.failed += 1 }
    }

    fn add(&mut self, other: Rubbish) {
        self.placed += other.placed;
        self.failed += other.failed;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Flood, Publishes, Wanted};
    use crate::scenario::Rubbish;

    fn wanted(files: u32, length: Duration) -> Wanted {
        Wanted { clients: 2, files, bytes: 1, length }
    }

    fn clients(publishes: fn(u64) -> Publishes) -> Vec<Publishes> {
        (0..2).map(publishes).collect()
    }

    #[tokio::test]
    async fn each_client_publishes_its_files_and_no_more() {
        let every_other = |_| -> Publishes { Box::new(|seed| Box::pin(async move { seed % 2 == 0 })) };
        let mut flood = Flood::begin(wanted(4, Duration::from_secs(60)), clients(every_other));
        let mut rubbish = Rubbish::default();
        while let Some(ended) = flood.clients.join_next().await {
            rubbish.add(ended.unwrap());
        }
        assert_eq!(rubbish, Rubbish { placed: 4, failed: 4 });
        assert!(Wanted::seed(0, u32::MAX >> 12) < Wanted::seed(1, 0));
    }

    #[tokio::test]
    async fn it_ends_in_time_and_when_it_is_told_to() {
        let never = |_| -> Publishes { Box::new(|_| Box::pin(std::future::pending())) };
        let mut flood = Flood::begin(wanted(4, Duration::from_millis(20)), clients(never));
        assert_eq!(flood.clients.join_next().await.unwrap().unwrap(), Rubbish::default());
        let since = tokio::time::Instant::now();
        let flood = Flood::begin(wanted(4, Duration::from_secs(600)), clients(never));
        assert_eq!(flood.end().await, Rubbish::default());
        assert!(since.elapsed() < Duration::from_secs(300));
    }
}
