//! One run's standing in the network: the node table, the guard, and the requests that are on their way.
//!
//! ```text
//! depart ── path ── fly ── packet ──► guard ──► middle ──► holder
//!                    ▲                                       │
//!                    └── waiting[identifier] ◄── guard ◄── back relay
//! ```
//! What is overdue, whom silence is blamed on, and whether another request may leave, `proto::flow::Flights` decides; what to
//! do next is the business of whoever asked (see [`crate::lane`]).

mod open;
mod opinion;
mod scouting;

use crate::clock::{moment, timestamp};
use crate::cpu::Account;
use crate::error::Error;
use crate::net::{Net, PacketHandler, SendError, SharedTable};
use crate::policy::{GUARD_AS_HOLDER, UNSENT_MAX};
use crate::service::Service;
use crate::stamping::Stamping;
use bytes::Bytes;
use palimpsest_proto::flow::{FlightId, Flights, Scouting};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Answer, Ask, Refusal, Request};
use palimpsest_proto::onion::{self, Arrived, Hop, Identifier, OnionPublic, Packet, Peeled, Ring, Size};
use palimpsest_proto::select::{GuardList, NodeTable, Outcomes, Path, PathRules, choose_path};
use palimpsest_proto::time::{Moment, Timestamp};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::oneshot;

pub(crate) use open::SessionOptions;
pub(crate) use opinion::OPINIONS_MAX;

/// How long a packet may wait for room on the link to the guard before it counts as never sent.
const SEND_DEADLINE: Duration = Duration::from_secs(10);
/// How long an answer is still taken; long before, the request is reported overdue and another takes its place.
const LATE_FOR: Duration = Duration::from_secs(30);
/// Leases end at multiples of this.
const LEASE_GRAIN_SECONDS: u64 = 86_400;
/// The guard is asked for news of the table when so many requests stayed silent, but not more often than that, and in any case
/// after a while: nodes that were started again have new onion keys.
const NEWS_SILENCES: usize = 16;
const NEWS_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(120));

/// Replies that are waited for, by the identifier that their reply block carries. Bounded by the window and by what is late.
#[derive(Default)]
pub struct Replies(Mutex<HashMap<Identifier, oneshot::Sender<Arrived>>>);

impl Replies {
    /// Hands over what arrived, if a request of ours waits for it; gives it back if none does.
    pub fn deliver(&self, arrived: Arrived) -> Option<Arrived> {
        match lock(&self.0).remove(&arrived.identifier()) {
            Some(waiter) => {
                // Whoever waited may have gone meanwhile.
                let _ = waiter.send(arrived);
                None
            }
            None => Some(arrived),
        }
    }
}

impl std::fmt::Debug for Replies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replies").finish_non_exhaustive()
    }
}

/// A client as the last hop of its replies. (In a node it is the node's relay that peels, with the same ring, and delivers.)
struct Inbox {
    ring: Arc<Ring>,
    replies: Arc<Replies>,
    account: Account,
}

impl PacketHandler for Inbox {
    fn on_packet(&self, _from: NodeId, packet: Packet) {
        if let Ok(Peeled::Arrived(arrived)) = self.account.onion.on(|| self.ring.peel(packet)) {
            // Whatever does not belong to a request of ours is dropped without a sign.
            drop(self.replies.deliver(arrived));
        }
    }
}

/// Takes the lock; what it guards stays usable if a holder of it panicked.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a request brought no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// Nothing came back in time.
    TimedOut,
    /// It never left, or the guard that got it has not let a single answer through: nobody behind it is to blame. Said a
    /// bounded number of times in a row ([`UNSENT_MAX`]).
    Unsent,
    /// The holder answered with something that is not what was asked for.
    Garbage,
}

/// Why there is no answer to read.
enum Unanswered {
    /// Nothing came that can be opened.
    Silent,
    /// The request never left.
    Unsent,
}

/// What a client knows by its own experience.
pub(crate) struct Experience {
    pub(crate) outcomes: Outcomes,
    pub(crate) flights: Flights,
    /// Overdue requests that their lane has not noticed yet.
    overdue: HashSet<FlightId>,
}

/// A request that is about to leave.
pub(crate) struct Departure {
    pub(crate) flight: FlightId,
    pub(crate) path: Path,
    guard: NodeId,
    forward: [Hop; 3],
    back: [Hop; 3],
}

/// See the module's description.
pub(crate) struct Session {
    pub(crate) net: Net,
    table: SharedTable,
    experience: Mutex<Experience>,
    inbox: Arc<Inbox>,
    /// What the node itself keeps, if the session belongs to one.
    own: Option<Arc<dyn Service>>,
    stamping: Stamping,
    guards: Mutex<GuardList>,
    guard: RwLock<NodeId>,
    /// Held while the guard is being mended; when that was last done, or the session began.
    mending: tokio::sync::Mutex<()>,
    mended: Mutex<Moment>,
    /// How many more requests may be called unsent; full again with each answer.
    unsent_left: AtomicU32,
    guards_found_out: AtomicU32,
    news: Mutex<News>,
    scouting: Mutex<Scouting>,
    /// Guards that were asked for a second opinion.
    opinions: Mutex<Vec<NodeId>>,
    folder: PathBuf,
    bootstrap: Vec<String>,
}

/// When the guard was last asked for news of the table, if it was, and how many requests stayed silent since.
struct News {
    at: Option<Moment>,
    silences: usize,
}

/// Withdraws a waiting reply when its request ends, however it ends.
struct Withdraw<'a>(&'a Replies, Identifier);

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        lock(&self.0.0).remove(&self.1);
    }
}

impl Session {
    /// Where this run's processor time goes.
    pub(crate) fn account(&self) -> &Account {
        &self.inbox.account
    }

    /// The guard of the moment.
    pub(crate) fn guard(&self) -> NodeId {
        *self.guard.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node table, to read. Taken before [`Session::experience`] where both are needed.
    pub(crate) fn table(&self) -> RwLockReadGuard<'_, NodeTable> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What this run has learnt of the nodes.
    pub(crate) fn experience(&self) -> MutexGuard<'_, Experience> {
        lock(&self.experience)
    }

    /// The chance that a node answers, as the state machines want it.
    pub(crate) fn chance(&self, table: &NodeTable, experience: &Experience, id: &NodeId, now: Moment) -> f64 {
        if self.own.is_some() {
            return if *id == self.net.local_id() { 1.0 } else { experience.outcomes.chance(table, id, now) };
        }
        let factor = if *id == self.guard() { GUARD_AS_HOLDER } else { 1.0 };
        experience.outcomes.chance(table, id, now) * factor
    }

    /// The nodes without the guard, unless it is the only one: it knows who asks, so it is not to learn what for. A node
    /// has nothing to hide from it: what it asks for it asks as a warden or a holder.
    pub(crate) fn without_guard(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        if self.own.is_some() {
            return nodes;
        }
        let guard = self.guard();
        if nodes.iter().any(|id| *id != guard) {
            nodes.retain(|id| *id != guard);
        }
        nodes
    }

    /// Whether it is a client's guard, which is not asked for anything itself.
    pub(crate) fn is_guard_of_ours(&self, id: Option<&NodeId>) -> bool {
        self.own.is_none() && id == Some(&self.guard())
    }

    /// The node that the session belongs to, if it does to one.
    fn own_id(&self) -> Option<NodeId> {
        self.own.is_some().then(|| self.net.local_id())
    }

    /// Who answers for `holder` without the network: the node's own service, if it is the node itself.
    pub(crate) fn own_service(&self, holder: &NodeId) -> Option<Arc<dyn Service>> {
        self.own.clone().filter(|_| *holder == self.net.local_id())
    }

    /// Whether another request may leave.
    pub(crate) fn can_depart(&self) -> bool {
        self.experience().flights.can_depart()
    }

    /// Chooses a path to `holder`, not one of `used` if there are others, and counts the request as on its way.
    pub(crate) fn depart(&self, holder: NodeId, used: &[(NodeId, NodeId)]) -> Option<Departure> {
        let choose = |table: &NodeTable, outcomes: &mut Outcomes, now| {
            let rules = PathRules { own: self.own_id(), guard: self.guard(), holder, used };
            choose_path(&mut rand::rng(), table, outcomes, &rules, now)
        };
        self.route(self.guard(), holder, choose, Flights::depart)
    }

    /// A request to `holder` by way of `guard` and the path that `choose` gives it, counted by `count` once it is known that it can
    /// leave.
    fn route(
        &self,
        guard: NodeId,
        holder: NodeId,
        choose: impl FnOnce(&NodeTable, &mut Outcomes, Moment) -> Option<Path>,
        count: impl FnOnce(&mut Flights, [NodeId; 3], bool, Moment) -> FlightId,
    ) -> Option<Departure> {
        let now = moment();
        let table = self.table();
        let mut experience = self.experience();
        let path = choose(&table, &mut experience.outcomes, now)?;
        let hop = |id: NodeId| table.get(&id).map(|node| Hop::new(id, OnionPublic(node.signed().onion)));
        let me = Hop::new(self.net.local_id(), self.inbox.ring.public());
        let forward = [hop(guard)?, hop(path.middle)?, hop(holder)?];
        let back = [hop(path.back)?, hop(guard)?, me];
        let nodes = path.nodes(holder);
        let hopeless = experience.outcomes.is_hopeless(&table, &nodes, now);
        let flight = count(&mut experience.flights, nodes, hopeless, now);
        Some(Departure { flight, path, guard, forward, back })
    }

    /// Pays for the ask, if the holder wants that, sends it, and waits for the answer. The time for which the stamp is worked is
    /// not part of the flight. A holder that asks for more, within reason, will have it: to whoever asked it is busy, and
    /// the next ask is stamped at its price.
    pub(crate) async fn fly(&self, departure: &Departure, holder: NodeId, mut ask: Ask) -> Result<Answer, Lost> {
        let Some(due) = ask.due(&holder) else { return self.fly_unpaid(departure, ask).await };
        let fill = self.table().get(&holder).map_or(0, |node| node.signed().fill);
        let bits = self.stamping.price(&due, &holder, fill);
        if bits > 0 {
            self.experience().flights.hold(departure.flight);
            self.stamping.stamp(&mut ask, due, bits).await;
            self.experience().flights.release(departure.flight, moment());
        }
        Ok(match self.fly_unpaid(departure, ask).await? {
            Answer::Refused(Refusal::Price { bits: more }) if self.stamping.demanded(&due, holder, bits, more) => {
                Answer::Refused(Refusal::Busy { retry_ms: 0 })
            }
            answer => answer,
        })
    }

    async fn fly_unpaid(&self, departure: &Departure, ask: Ask) -> Result<Answer, Lost> {
        match self.exchange(departure, ask).await {
            Ok(message) => {
                self.unsent_left.store(UNSENT_MAX, Ordering::Relaxed);
                Answer::decode(message).map_err(|_| Lost::Garbage)
            }
            Err(Unanswered::Silent) => Err(Lost::TimedOut),
            Err(Unanswered::Unsent) => {
                // Whoever tries next shall not fail for the same reason.
                self.mend_guard(moment()).await;
                Err(self.unsent())
            }
        }
    }

    /// Sends the request and waits for its answer, which is not read yet. Building and opening packets is work of a millisecond: it
    /// happens on the task of whoever calls.
    async fn exchange(&self, departure: &Departure, ask: Ask) -> Result<Bytes, Unanswered> {
        let onion = &self.account().onion;
        let (reply, key) =
            onion.on(|| onion::reply_block(&mut rand::rng(), &departure.back)).map_err(|_| Unanswered::Silent)?;
        let (sender, receiver) = oneshot::channel();
        let identifier = key.identifier();
        lock(&self.inbox.replies.0).insert(identifier, sender);
        let _withdraw = Withdraw(&self.inbox.replies, identifier);
        let packet = {
            let parts = Request { reply, ask }.encode_parts();
            let size = Size::for_message(parts.len()).ok_or(Unanswered::Silent)?;
            let wrap = || onion::wrap_parts(&mut rand::rng(), &departure.forward, size, &parts.as_slices());
            onion.on(wrap).map_err(|_| Unanswered::Silent)?
        };
        match self.net.send_wait(departure.guard, packet, SEND_DEADLINE).await {
            Ok(()) => {}
            // A slow line is not a dead guard.
            Err(SendError::TimedOut | SendError::QueueFull) => return Err(Unanswered::Silent),
            Err(_) => return Err(Unanswered::Unsent),
        }
        let Ok(Ok(arrived)) = tokio::time::timeout(LATE_FOR, receiver).await else { return Err(Unanswered::Silent) };
        let Ok(message) = onion.on(|| key.open(arrived)) else {
            // Spoilt on its way, and nobody can tell by whom: it counts as silence, whose blame the whole way shares. Held
            // against the holder, it would let one relay talk us out of all honest holders.
            tokio::time::sleep(LATE_FOR).await;
            return Err(Unanswered::Silent);
        };
        let now = moment();
        {
            let mut experience = self.experience();
            let Experience { outcomes, flights, .. } = &mut *experience;
            flights.landed(departure.flight, outcomes, now);
        }
        Ok(message)
    }

    /// Notes which requests are overdue; returns when to look again.
    pub(crate) fn sweep(&self) -> Option<Moment> {
        let now = moment();
        // A long run fills the filter of its own replies' key as any relay's.
        // (A node's ring is tended by the node, which has to announce the new key.)
        if self.own.is_none() && self.inbox.ring.needs_rotation(now) {
            self.inbox.ring.tend(&mut rand::rng(), now);
        }
        let table = self.table();
        let mut experience = self.experience();
        let Experience { outcomes, flights, overdue } = &mut *experience;
        let silent = flights.overdue(&table, outcomes, now);
        lock(&self.news).silences += silent.len();
        overdue.extend(silent);
        flights.poll_timeout()
    }

    /// Whether the guard should be asked for news; whoever is told so has to do it.
    pub(crate) fn is_news_due(&self) -> bool {
        // A node's table is kept by its gossip.
        if self.own.is_some() {
            return false;
        }
        let (now, (least, most)) = (moment(), NEWS_PAUSES);
        let mut news = lock(&self.news);
        let old = news.at.map_or(most, |at| now.since(at));
        let due = old >= most || (old >= least && news.silences >= NEWS_SILENCES);
        if due {
            *news = News { at: Some(now), silences: 0 };
        }
        due
    }

    /// When the guard should be asked for news though no request is silent; `None` if the table is kept by gossip.
    pub(crate) fn news_due_at(&self) -> Option<Moment> {
        let asked = if self.own.is_some() { None } else { lock(&self.news).at };
        asked.map(|at| at + NEWS_PAUSES.1)
    }

    /// Takes those overdue requests out that `mine` says are the caller's.
    pub(crate) fn take_overdue(&self, mine: impl Fn(&FlightId) -> bool) -> Vec<FlightId> {
        self.experience().overdue.extract_if(|id| mine(id)).collect()
    }

    /// Nobody waits for these requests any more.
    pub(crate) fn forget(&self, flights: impl Iterator<Item = FlightId>) {
        let mut experience = self.experience();
        for flight in flights {
            experience.flights.forget(flight);
            experience.overdue.remove(&flight);
        }
    }

    /// What the silence of a request says that is overdue now.
    pub(crate) fn silence(&self) -> Lost {
        let mended = *lock(&self.mended);
        let proven = self.experience().outcomes.answered_at().is_some_and(|last| last >= mended);
        if proven { Lost::TimedOut } else { self.unsent() }
    }

    fn unsent(&self) -> Lost {
        let left = self.unsent_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Lost::Unsent } else { Lost::TimedOut }
    }

    /// Whether so little comes back that the guard itself may be gone.
    pub(crate) fn suspects_guard(&self) -> bool {
        self.experience().outcomes.suspects_guard()
    }

    /// Keeps what was learnt for the next run, and leaves the network.
    pub(crate) async fn close(&self) -> Result<(), Error> {
        let saved = self.save();
        self.net.shutdown().await;
        saved
    }

    /// How many nodes this run caught lying.
    pub(crate) fn culprits(&self) -> usize {
        self.experience().outcomes.distrusted()
    }

    /// The end of a lease that begins now, rounded up to a whole day: to the second it would tell a holder which of its
    /// shards were published together.
    pub(crate) fn lease_until(seconds: u64) -> Timestamp {
        let until = timestamp().plus(seconds).0;
        Timestamp(until.div_ceil(LEASE_GRAIN_SECONDS) * LEASE_GRAIN_SECONDS)
    }
}
