//! How a session comes to stand: the cached table and guard of the last run where there are any, the bootstrap nodes where
//! there are not. With a cache, nobody but the guard is talked to.

use super::{Experience, Inbox, News, Replies, Session, UNSENT_MAX, lock};
use crate::clock::{moment, timestamp};
use crate::cpu::Account;
use crate::error::Error;
use crate::keyring::{private_folder, replace_file};
use crate::net::{Net, NetConfig, SharedTable, Transport};
use crate::policy::{BOOTSTRAP_WAIT, CROSS_CHECK, CROSS_CHECKED, GUARD_STAGGER, GUARDS_TRIED_MAX, SYNC_ROUNDS_MAX};
use crate::service::Service;
use crate::stamping::Stamping;
use futures::future::join_all;
use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::Multiaddr;
use palimpsest_proto::flow::Flights;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::Ring;
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::{GuardList, NodeTable, Outcomes};
use palimpsest_proto::time::Moment;
use rand::seq::IteratorRandom;
use std::collections::{BTreeMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

/// Nodes that a table must hold before paths are built on it: guard, middle, holder, back, and one to choose.
const TABLE_NODES_MIN: usize = 5;
/// The pause before the network is entered anew.
const ENTER_PAUSE: Duration = Duration::from_millis(300);
/// Rounds in which no bootstrap node answers, until nobody is there: each ends at once if all refuse, or within [`SYNC_DEADLINE`].
const ENTER_TRIES_MAX: u32 = 3;
/// How long one exchange of tables may take.
const SYNC_DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a cached table or guard list at most.
const CACHE_BYTES_MAX: u64 = 128 << 20;

/// What a session needs to know.
#[derive(Clone, Debug)]
pub(crate) struct SessionOptions {
    /// Where table and guards are kept.
    pub(crate) folder: PathBuf,
    /// Multiaddrs of nodes to meet first.
    pub(crate) bootstrap: Vec<String>,
    /// What to speak.
    pub(crate) transport: Transport,
    /// How long finding the network may take.
    pub(crate) connect_deadline: Duration,
}

/// With whom tables are exchanged. Who is lost is the word of the guard alone: it is relied on anyway, and liars who are asked
/// on a first run would call all others lost.
#[derive(Clone, Copy)]
enum Partner {
    Guard,
    Other,
}

fn read_cache(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(CACHE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn disk(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, doing, source }
}

impl Session {
    /// Enters the network.
    ///
    /// # Errors
    /// `NoNetwork` when nobody answers before the deadline, naming who was tried, `TooFewNodes` when those who do know hardly any; `Disk`
    /// for the folder.
    pub(crate) async fn open(options: SessionOptions) -> Result<Arc<Session>, Error> {
        let SessionOptions { folder, bootstrap, transport, connect_deadline } = options;
        private_folder(&folder).map_err(disk(&folder, "make the folder"))?;
        let (now, wall) = (moment(), timestamp());
        // Damaged caches are as good as none: the network gives new ones.
        let cached = read_cache(&folder.join("table")).and_then(|b| NodeTable::decode(b.into(), wall, now).ok());
        let guards = read_cache(&folder.join("guards")).and_then(|b| GuardList::decode(b.into()).ok());
        let table: SharedTable = Arc::new(RwLock::new(cached.unwrap_or_default()));
        let ring = Arc::new(Ring::new(&mut rand::rng(), now));
        let inbox = Arc::new(Inbox { ring, replies: Arc::default(), account: Account::default() });
        // A fresh name for each run: a guard cannot tell that two runs are one person's.
        let seed = Secret::random(&mut rand::rng());
        let net = Net::start(NetConfig::client(seed, transport), table.clone(), inbox.clone())
            .map_err(|e| Error::Net(e.to_string()))?;
        let mut session = Session::new(net, table, inbox, None, folder);
        session.guards = Mutex::new(guards.unwrap_or_default());
        session.bootstrap = bootstrap;
        let (mut tried, mut told) = (Vec::new(), 0);
        let entered = tokio::time::timeout(connect_deadline, session.enter(&mut tried, &mut told)).await;
        if !matches!(entered, Ok(true)) {
            session.net.shutdown().await;
            return Err(match told {
                1..TABLE_NODES_MIN => Error::TooFewNodes { known: told, needed: TABLE_NODES_MIN, tried },
                _ => Error::NoNetwork { tried },
            });
        }
        session.save()?;
        Ok(Arc::new(session))
    }

    /// A session of a node, over the node's own network, table and onion keys. It has no guard until
    /// [`Session::find_own_guard`].
    pub(crate) fn embedded(
        net: Net,
        table: SharedTable,
        ring: Arc<Ring>,
        replies: Arc<Replies>,
        own: Arc<dyn Service>,
        folder: PathBuf,
    ) -> Arc<Session> {
        let guards = read_cache(&folder.join("guards")).and_then(|b| GuardList::decode(b.into()).ok());
        let mut session =
            Session::new(net, table, Arc::new(Inbox { ring, replies, account: Account::default() }), Some(own), folder);
        session.guards = Mutex::new(guards.unwrap_or_default());
        Arc::new(session)
    }

    fn new(net: Net, table: SharedTable, inbox: Arc<Inbox>, own: Option<Arc<dyn Service>>, folder: PathBuf) -> Session {
        let wall = net.wall();
        Session {
            guard: RwLock::new(net.local_id()),
            mending: tokio::sync::Mutex::new(()),
            mended: Mutex::new(moment()),
            unsent_left: AtomicU32::new(UNSENT_MAX),
            guards_found_out: AtomicU32::new(0),
            news: Mutex::new(News { at: None, silences: 0 }),
            scouting: Mutex::default(),
            opinions: Mutex::default(),
            net,
            table,
            experience: Mutex::new(Experience {
                outcomes: Outcomes::new(),
                flights: Flights::new(),
                overdue: HashSet::new(),
            }),
            inbox,
            own,
            stamping: Stamping::new(wall),
            guards: Mutex::new(GuardList::new()),
            folder,
            bootstrap: Vec::new(),
        }
    }

    /// Sees to it that a node's session has a guard. False: there is none yet, since too few nodes are known or none of
    /// them answers.
    pub(crate) async fn find_own_guard(&self) -> bool {
        if self.guard() != self.net.local_id() {
            return true;
        }
        self.table_len() >= TABLE_NODES_MIN
            && self.find_guard(false, &mut Vec::new()).await
            && self.save_guards().is_ok()
    }

    fn table_len(&self) -> usize {
        self.table().len()
    }

    /// `told`: how many nodes were known when a bootstrap node had answered last.
    async fn enter(&mut self, tried: &mut Vec<String>, told: &mut usize) -> bool {
        let mut met = BTreeMap::new();
        let mut silences = 0;
        let mut entered = false;
        loop {
            let cached = self.table_len() >= TABLE_NODES_MIN;
            if cached && self.find_guard(entered, tried).await {
                return true;
            }
            let before = std::mem::take(&mut *self.table_mut());
            entered = self.meet_bootstrap(tried, &mut met).await;
            self.restore(&before);
            if entered {
                *told = self.table_len();
            } else {
                // On lossy links, or beside a network that is just cut in two, the next try may do.
                silences += 1;
                if silences == ENTER_TRIES_MAX {
                    return false;
                }
            }
            if !entered || cached || self.table_len() < TABLE_NODES_MIN {
                // Guards that are down, or a network that is still coming together; the caller's deadline bounds the wait.
                tokio::time::sleep(ENTER_PAUSE).await;
            }
        }
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, NodeTable> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts back what was known before the bootstrap nodes were asked, unless they know nobody of the sample of guards, of whom
    /// nobody answers: then that was another network, or one that is gone, and its guards would be tried for ever.
    fn restore(&self, before: &NodeTable) {
        let mut table = self.table_mut();
        let guards = lock(&self.guards);
        if table.is_empty() || guards.any_in(&table) || !guards.any_in(before) {
            let now = moment();
            before.iter().for_each(|(_, entry)| _ = table.insert(entry.signed().clone(), now));
        }
    }

    /// Connects to the first guard of the sample that answers, in the sample's order, and takes the news from it unless the
    /// table `is_new`: then they come soon. A guard that is slow is not waited for: after [`GUARD_STAGGER`] the next one is tried beside it.
    async fn find_guard(&self, is_new: bool, tried: &mut Vec<String>) -> bool {
        let mut waiting = FuturesUnordered::new();
        let mut asked: Vec<NodeId> = Vec::new();
        loop {
            let next = (asked.len() < GUARDS_TRIED_MAX).then(|| self.next_guard(&asked)).flatten();
            match next {
                Some(id) => {
                    asked.push(id);
                    let addresses = self.addresses_of(&id);
                    tried.extend(addresses.first().map(ToString::to_string).filter(|text| !tried.contains(text)));
                    waiting.push(async move {
                        let connected = self.net.connect(Some(id), addresses, SYNC_DEADLINE).await.is_ok();
                        (id, connected && (is_new || self.sync_whole(id, Partner::Guard).await))
                    });
                }
                None if waiting.is_empty() => return false,
                None => {}
            }
            let pause = if next.is_some() { GUARD_STAGGER } else { SYNC_DEADLINE * 2 };
            match tokio::time::timeout(pause, waiting.next()).await {
                Ok(Some((id, true))) => {
                    lock(&self.guards).reached(&id);
                    lock(&self.news).at = (!is_new).then(moment);
                    *self.guard.write().unwrap_or_else(PoisonError::into_inner) = id;
                    return true;
                }
                Ok(Some((id, false))) => lock(&self.guards).failed(&id, moment()),
                // Slow: it counts as failed for now, and may still win.
                Err(_) => {
                    if let Some(id) = next {
                        lock(&self.guards).failed(&id, moment());
                    }
                }
                Ok(None) => {}
            }
        }
    }

    /// Takes all that a node knows and this client does not: exchanges are bounded, so it may take several.
    async fn sync_whole(&self, id: NodeId, partner: Partner) -> bool {
        for round in 0..SYNC_ROUNDS_MAX {
            let exchanged = match partner {
                Partner::Guard => self.net.sync_with_guard(id, SYNC_DEADLINE).await,
                Partner::Other => self.net.sync(id, SYNC_DEADLINE).await,
            };
            match exchanged {
                Ok(report) if report.more => {}
                Ok(_) => return true,
                Err(_) => return round > 0,
            }
        }
        true
    }

    /// The next guard to try. The sample is filled up if none was `asked` yet: who was may still answer, and stays in it.
    pub(super) fn next_guard(&self, asked: &[NodeId]) -> Option<NodeId> {
        let table = self.table();
        let mut guards = lock(&self.guards);
        if asked.is_empty() {
            guards.refill(&mut rand::rng(), &table, self.own_id(), self.net.wall().now());
        }
        guards.choose(&table, moment(), asked)
    }

    pub(super) fn addresses_of(&self, id: &NodeId) -> Vec<Multiaddr> {
        let table = self.table();
        let Some(node) = table.get(id) else { return Vec::new() };
        node.signed().addresses.iter().filter_map(|a| Multiaddr::try_from(a.to_vec()).ok()).collect()
    }

    /// Takes the table from the first bootstrap nodes that answer, and compares it with that of a few nodes that it names: who lies
    /// about the table can name friends only, and a walk of the overlay that begins with a liar meets nobody else either, but takes
    /// a dozen round trips. Bootstrap nodes are waited for until [`BOOTSTRAP_WAIT`] is over, those that are named until [`CROSS_CHECK`] is.
    /// `known` remembers who was found at which address: there is no second connection to it.
    async fn meet_bootstrap(&self, tried: &mut Vec<String>, known: &mut BTreeMap<String, NodeId>) -> bool {
        let addresses: Vec<&String> = self.bootstrap.iter().filter(|text| !tried.contains(text)).collect();
        tried.extend(addresses.into_iter().cloned());
        let mut meetings: FuturesUnordered<_> = self
            .bootstrap
            .iter()
            .filter_map(|text| Some((text, text.parse::<Multiaddr>().ok()?, known.get(text).copied())))
            .map(|(text, address, id)| async move {
                let peer = self.net.connect(id, vec![address], SYNC_DEADLINE).await.ok()?;
                self.sync_whole(peer, Partner::Other).await.then_some((text, peer))
            })
            .collect();
        let mut found = Vec::new();
        let met = loop {
            match meetings.next().await {
                Some(Some(one)) => {
                    found.push(one);
                    break true;
                }
                Some(None) => {}
                None => break false,
            }
        };
        if met {
            // The others, and those whom the first one named, have so long to add to it. One that does not answer is simply not
            // compared with.
            let named = self.to_compare(&found);
            let compare = join_all(named.iter().map(|id| self.sync_whole(*id, Partner::Other)));
            let others = async {
                while let Some(met) = meetings.next().await {
                    found.extend(met);
                }
            };
            let (compare, others) =
                (tokio::time::timeout(CROSS_CHECK, compare), tokio::time::timeout(BOOTSTRAP_WAIT, others));
            let _ = tokio::join!(compare, others);
        }
        known.extend(found.into_iter().map(|(text, peer)| (text.clone(), peer)));
        met
    }

    /// Nodes of the table, by chance, but for those that were `met` already.
    fn to_compare(&self, met: &[(&String, NodeId)]) -> Vec<NodeId> {
        let table = self.table();
        let strangers = table.iter().map(|(id, _)| *id).filter(|id| met.iter().all(|(_, known)| known != id));
        strangers.sample(&mut rand::rng(), CROSS_CHECKED)
    }

    /// Takes what the guard knows and this client does not. Ends by itself: each exchange has its deadline.
    pub(crate) async fn take_news(&self) {
        // Without news it goes on with what it has.
        self.sync_whole(self.guard(), Partner::Guard).await;
    }

    /// Makes sure that the guard still answers; takes another one if not. Whoever was blamed meanwhile is forgiven. Who
    /// `asked` for it before it was done waits for the end: what leaves before would be lost.
    pub(crate) async fn mend_guard(&self, asked: Moment) {
        let _mending = self.mending.lock().await;
        let mended = *lock(&self.mended);
        if mended >= asked {
            return;
        }
        // Nothing came back since it was chosen or mended: it gives out its table and drops everybody's packets. Found out
        // at the first suspicion, since each of its silences uses up somebody's chances.
        let (deaf, heard) = {
            let outcomes = &self.experience().outcomes;
            let last = outcomes.answered_at();
            let silent = last.is_none_or(|last| last < mended) || !outcomes.may_be_cleared();
            (outcomes.suspects_guard() && silent, last.is_some())
        };
        let guard = self.guard();
        // It may have let through what went by its friends.
        if deaf && heard && self.compare(guard).await {
            return;
        }
        if deaf || self.net.sync(guard, GUARD_STAGGER * 2).await.is_err() {
            lock(&self.guards).failed(&guard, moment());
            self.find_guard(false, &mut Vec::new()).await;
        }
        self.experience().outcomes.forgive_silence();
        *lock(&self.mended) = moment();
    }

    /// Keeps table and guards for the next run.
    pub(crate) fn save(&self) -> Result<(), Error> {
        let path = self.folder.join("table");
        let table = self.table().encode();
        replace_file(&path, &table).map_err(disk(&path, "write"))?;
        self.save_guards()
    }

    pub(super) fn save_guards(&self) -> Result<(), Error> {
        let path = self.folder.join("guards");
        let guards = lock(&self.guards).encode();
        replace_file(&path, &guards).map_err(disk(&path, "write"))
    }
}
