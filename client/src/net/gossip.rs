//! How nodes come to know each other: table exchanges with nodes chosen at random, quickly while there is news, rarely
//! when there is none; now and then a walk to a random place of the keyspace, for what gossip has not reached; and a dial of
//! each node that was never met, since descriptors are cheap, and now and then of those that are lost, which may be back.
//! Only servers gossip; a client asks for what it needs.

use super::endpoint::Command;
use super::{NetError, Shared, clock, join, sync};
use crate::policy::{MEETING_PAUSES, MEETINGS_MAX};
use futures::channel::oneshot;
use libp2p::Multiaddr;
use palimpsest_proto::flow::GossipPace;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::Heed;
use rand::seq::SliceRandom;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

/// An exchange must be over after this long, dialling included.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(12);
/// Exchanges under way that we began.
const EXCHANGES_MAX: usize = 4;
/// Bootstrap nodes that are asked at once; of more, others come with the next try.
const BOOTSTRAP_MAX: usize = 8;
/// The first pause when no bootstrap node answers; doubled up to the last.
const JOIN_PAUSE: Range<Duration> = Duration::from_millis(250)..Duration::from_secs(30);
/// The first walk comes after a while out of this range (s): when a network starts, gossip is cheaper. It is the costliest
/// (Kademlia bootstraps on it), and nodes that started together shall not walk together.
const FIRST_WALK_SECONDS: Range<u64> = 60..360;
/// The pause between walks (s).
const WALK_SECONDS: Range<u64> = 240..360;
/// A walk ends after this long.
const WALK_DEADLINE: Duration = Duration::from_secs(25);
/// Nodes that Kademlia is told of before a walk, at most.
const TAUGHT_MAX: usize = 256;
/// Nodes found by a walk that are joined, if they are unknown.
const WALK_JOINS_MAX: usize = 3;
/// The first node that was never met is dialled after a while out of this range (ms): when a network starts, many meet anyway.
const FIRST_MEETING_MS: Range<u64> = 1_000..2_000;
/// Expired descriptors are forgotten this often.
const EXPIRE: Duration = Duration::from_secs(60);
/// How long a node that starts may take to say who it is, before it joins and says nothing of itself.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(1);

/// Gossips until the network ends.
pub(super) async fn run(shared: Arc<Shared>, bootstrap: Vec<Multiaddr>) {
    // Else those whom it joins by would hear of it by chance later, and the pauses grow.
    let announced = async {
        while !shared.directory.knows(&shared.local) {
            shared.changed.notified().await;
        }
    };
    let _ = timeout(ANNOUNCED_WITHIN, announced).await;
    // Its tasks end with this future, which is dropped at the end.
    let mut exchanges = JoinSet::new();
    let mut walk = JoinSet::new();
    let mut joining = JoinSet::new();
    let mut join_pause = JOIN_PAUSE.start;
    while shared.directory.others() == 0 && !join(&shared, &bootstrap, &mut joining).await {
        // A node that starts a network has nobody to join; it is found by others.
        tokio::select! {
            () = tokio::time::sleep(jitter(join_pause)) => {}
            () = shared.changed.notified() => {}
        }
        join_pause = (join_pause * 2).min(JOIN_PAUSE.end);
    }
    let mut pace = GossipPace::new(clock::moment());
    let mut next = Instant::now() + jitter(pace.pause());
    let mut next_walk = Instant::now() + seconds(FIRST_WALK_SECONDS);
    let mut next_expiry = Instant::now() + EXPIRE;
    let mut meetings = Meetings::default();
    let mut next_meeting = Instant::now() + Duration::from_millis(rand::random_range(FIRST_MEETING_MS));
    loop {
        tokio::select! {
            () = shared.changed.notified() => {
                if let Some(pause) = pace.quicken(clock::moment()) {
                    next = next.min(Instant::now() + jitter(pause));
                }
            }
            () = sleep_until(next) => {
                next = Instant::now() + jitter(pace.pause());
                match shared.directory.partner() {
                    Some(partner) if exchanges.len() < EXCHANGES_MAX => {
                        exchanges.spawn(exchange(shared.clone(), partner));
                    }
                    Some(_) => {}
                    // All that we knew has expired.
                    None => begin_joining(&shared, &bootstrap, &mut joining),
                }
            }
            () = sleep_until(next_walk) => {
                next_walk = Instant::now() + seconds(WALK_SECONDS);
                if walk.is_empty() {
                    walk.spawn(explore(shared.clone()));
                }
            }
            () = sleep_until(next_expiry) => {
                next_expiry = Instant::now() + EXPIRE;
                shared.directory.expire();
            }
            () = sleep_until(next_meeting) => {
                next_meeting = Instant::now() + jitter(meetings.begin(&shared));
            }
            Some(_) = exchanges.join_next() => {}
            Some(met) = meetings.tasks.join_next() => meetings.ended(met.ok()),
            Some(_) = joining.join_next() => {}
            Some(_) = walk.join_next() => {}
        }
    }
}

/// Joins the network at the bootstrap addresses, and returns when the first has answered, or none. The others go on in
/// `joining`: all are asked, since one of them may name its friends only.
async fn join(shared: &Arc<Shared>, bootstrap: &[Multiaddr], joining: &mut JoinSet<bool>) -> bool {
    begin_joining(shared, bootstrap, joining);
    while let Some(joined) = joining.join_next().await {
        if matches!(joined, Ok(true)) {
            return true;
        }
    }
    false
}

/// Begins to exchange tables with some of the bootstrap nodes, unless that is under way. Each says whether it answered.
fn begin_joining(shared: &Arc<Shared>, bootstrap: &[Multiaddr], joining: &mut JoinSet<bool>) {
    if !joining.is_empty() {
        return;
    }
    let mut addresses = bootstrap.to_vec();
    addresses.shuffle(&mut rand::rng());
    for address in addresses.into_iter().take(BOOTSTRAP_MAX) {
        let shared = shared.clone();
        joining.spawn(async move {
            let joined = async {
                let id = join::connect(&shared, None, vec![address]).await?;
                sync::exchange(&shared, id, Heed::Weighed).await
            };
            matches!(timeout(EXCHANGE_DEADLINE, joined).await, Ok(Ok(_)))
        });
    }
}

/// One exchange. Failures show in the counters, and a failed dial in the table.
async fn exchange(shared: Arc<Shared>, partner: NodeId) {
    let _ = timeout(EXCHANGE_DEADLINE, sync::exchange(&shared, partner, Heed::Weighed)).await;
}

/// Dials of nodes that were never met, or are believed lost: whether there is such a node shows only there.
#[derive(Default)]
struct Meetings {
    tasks: JoinSet<NodeId>,
    with: BTreeSet<NodeId>,
}

impl Meetings {
    /// Begins one, if there is somebody to be met. Returns when to look again.
    fn begin(&mut self, shared: &Arc<Shared>) -> Duration {
        if self.tasks.len() < MEETINGS_MAX
            && let Some((id, addresses)) = shared.directory.to_meet(&self.with)
        {
            self.with.insert(id);
            let shared = shared.clone();
            self.tasks.spawn(async move {
                // What comes of it is noted by the endpoint.
                let _ = timeout(EXCHANGE_DEADLINE, join::dial_node(&shared, id, addresses)).await;
                id
            });
        }
        MEETING_PAUSES[usize::from(shared.links.are_many())]
    }

    fn ended(&mut self, with: Option<NodeId>) {
        with.iter().for_each(|id| _ = self.with.remove(id));
    }
}

/// A walk to a random place; unknown nodes found there are joined.
async fn explore(shared: Arc<Shared>) {
    let walked = timeout(WALK_DEADLINE, walk(&shared)).await;
    let Ok(Ok(mut found)) = walked else {
        return;
    };
    found.retain(|(id, addresses)| *id != shared.local && !addresses.is_empty() && !shared.directory.knows(id));
    found.shuffle(&mut rand::rng());
    for (id, addresses) in found.into_iter().take(WALK_JOINS_MAX) {
        let joined = async {
            join::connect(&shared, Some(id), addresses).await?;
            sync::exchange(&shared, id, Heed::Weighed).await
        };
        // A node that is not there any more is found at random places too.
        let _ = timeout(EXCHANGE_DEADLINE, joined).await;
    }
}

/// Teaches Kademlia a sample of the table and asks it who is near a random place.
pub(super) async fn walk(shared: &Shared) -> Result<Vec<(NodeId, Vec<Multiaddr>)>, NetError> {
    let taught = Command::Teach(shared.directory.sample(TAUGHT_MAX));
    shared.commands.send(taught).await.map_err(|_| NetError::Closed)?;
    let (found, nodes) = oneshot::channel();
    shared.commands.send(Command::Walk { found }).await.map_err(|_| NetError::Closed)?;
    nodes.await.map_err(|_| NetError::Busy)
}

/// The pause, give or take a quarter, so that nodes do not march in step.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.75..1.25))
}

fn seconds(range: Range<u64>) -> Duration {
    Duration::from_secs(rand::random_range(range))
}
