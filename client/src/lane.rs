//! Requests as tasks, as many at once as the window allows. A lane belongs to one publish or fetch; dropping it ends its
//! tasks, and what they may have brought about: an exchange with the guard, scouts. A request that is overdue is reported as timed out,
//! and once more if its answer comes late after all.

use crate::clock::{moment, sleep_until};
use crate::session::{Lost, Session};
use palimpsest_proto::flow::FlightId;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Answer, Ask};
use palimpsest_proto::time::Moment;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::task::JoinSet;

/// The relays of a path: what must differ between two requests for the same thing.
pub(crate) type Way = (NodeId, NodeId);

/// What came of one request, with the tag that its starter gave it.
pub(crate) struct Done<T, R> {
    /// The starter's tag.
    pub(crate) tag: T,
    /// What the check made of the answer.
    pub(crate) result: Result<R, Lost>,
}

struct Running<T> {
    tag: T,
    overdue: bool,
}

/// See the module's description. `T` tags a request, `R` is what a checked answer becomes.
pub(crate) struct Lane<T, R> {
    session: Arc<Session>,
    tasks: JoinSet<(FlightId, Result<R, Lost>)>,
    /// The table's news being taken from the guard: mostly none, and one at a time.
    learning: JoinSet<()>,
    /// Scouts on their way: mostly none, and one party at a time.
    scouting: JoinSet<()>,
    /// The guard being mended: mostly none. A task of its own, since it takes a while, and whoever waits for news may break off.
    mending: JoinSet<()>,
    running: HashMap<FlightId, Running<T>>,
    awaited: usize,
    news: VecDeque<Done<T, R>>,
}

impl<T, R> Drop for Lane<T, R> {
    fn drop(&mut self) {
        self.session.forget(self.running.keys().copied());
    }
}

impl<T: Clone, R: Send + 'static> Lane<T, R> {
    pub(crate) fn new(session: Arc<Session>) -> Lane<T, R> {
        Lane {
            session,
            tasks: JoinSet::new(),
            learning: JoinSet::new(),
            scouting: JoinSet::new(),
            mending: JoinSet::new(),
            running: HashMap::new(),
            awaited: 0,
            news: VecDeque::new(),
        }
    }

    /// Whether one more may leave: the window allows it, or nothing of this lane is awaited. The second keeps a lane going
    /// whose window others have filled: it never waits for nothing.
    pub(crate) fn has_room(&self) -> bool {
        self.awaited == 0 || self.session.can_depart()
    }

    /// Whether nothing is awaited: what is overdue may still come, and is not waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.awaited == 0 && self.news.is_empty()
    }

    /// Asks `holder` over relays that are not among `used`, and adds them there. `check` turns the answer into a result;
    /// `None` says that the holder answered with garbage, which is held against it. The check runs on the request's own
    /// task: hashing does not hold up the lane.
    pub(crate) fn start(
        &mut self,
        tag: T,
        holder: NodeId,
        ask: Ask,
        used: &mut Vec<Way>,
        check: impl FnOnce(Answer) -> Option<R> + Send + 'static,
    ) {
        if let Some(own) = self.session.own_service(&holder) {
            let flight = self.session.experience().flights.skip();
            self.running.insert(flight, Running { tag, overdue: false });
            self.awaited += 1;
            self.tasks.spawn(async move {
                let answer = own.answer(ask).await.ok_or(Lost::TimedOut);
                (flight, answer.and_then(|answer| check(answer).ok_or(Lost::Garbage)))
            });
            return;
        }
        let Some(departure) = self.session.depart(holder, used) else {
            self.news.push_back(Done { tag, result: Err(Lost::TimedOut) });
            return;
        };
        used.push((departure.path.middle, departure.path.back));
        self.running.insert(departure.flight, Running { tag, overdue: false });
        self.awaited += 1;
        let session = self.session.clone();
        self.tasks.spawn(async move {
            let answer = session.fly(&departure, holder, ask).await;
            // The check is one of hashes.
            let check = |answer| session.account().coding.on(|| check(answer)).ok_or(Lost::Garbage);
            let result = answer.and_then(check);
            if matches!(result, Err(Lost::Garbage)) {
                session.experience().outcomes.garbage(holder);
            }
            (departure.flight, result)
        });
    }

    /// The next news; `None` at the moment `wake`, or when nothing is awaited and no moment is given. Cancel-safe.
    pub(crate) async fn next(&mut self, wake: Option<Moment>) -> Option<Done<T, R>> {
        loop {
            let sweep = self.sweep();
            while self.learning.try_join_next().is_some() {}
            if self.learning.is_empty() && self.session.is_news_due() {
                let session = self.session.clone();
                self.learning.spawn(async move { session.take_news().await });
            }
            while self.scouting.try_join_next().is_some() {}
            if self.scouting.is_empty() && self.session.is_scouting_due() {
                let session = self.session.clone();
                self.scouting.spawn(async move { session.scout().await });
            }
            if self.mending.is_empty() && self.session.suspects_guard() {
                let session = self.session.clone();
                self.mending.spawn(async move { session.heed_silence().await });
            }
            // Nothing leaves meanwhile: it would be lost.
            while self.mending.join_next().await.is_some() {}
            if !self.news.is_empty() {
                // News may come without a wait, one after the other: deadlines and signals want their turn.
                tokio::task::yield_now().await;
                return self.news.pop_front();
            }
            if self.awaited == 0 && wake.is_none() {
                return None;
            }
            // Who sleeps for hours takes the news meanwhile: else the next request would leave by keys of yesterday.
            let news = if self.learning.is_empty() { self.session.news_due_at() } else { None };
            let until = [wake, sweep, news].into_iter().flatten().min();
            let pause = async {
                match until {
                    Some(until) => sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => {
                    // A task that panicked is a mistake of ours; its request is reported as overdue.
                    if let Ok((flight, result)) = ended {
                        self.end(flight, result);
                    }
                }
                () = pause => {
                    if wake.is_some_and(|wake| wake <= moment()) {
                        return None;
                    }
                }
            }
        }
    }

    fn end(&mut self, flight: FlightId, result: Result<R, Lost>) {
        let Some(Running { tag, overdue }) = self.running.remove(&flight) else { return };
        self.awaited -= usize::from(!overdue);
        if matches!(result, Err(Lost::TimedOut | Lost::Unsent)) {
            // It never left, or nobody takes its answer any more.
            self.session.forget(std::iter::once(flight));
            if overdue {
                return;
            }
        }
        self.news.push_back(Done { tag, result });
    }

    fn sweep(&mut self) -> Option<Moment> {
        let next = self.session.sweep();
        let running = &self.running;
        for flight in self.session.take_overdue(|id| running.contains_key(id)) {
            if let Some(running) = self.running.get_mut(&flight)
                && !running.overdue
            {
                running.overdue = true;
                self.awaited -= 1;
                self.news.push_back(Done { tag: running.tag.clone(), result: Err(self.session.silence()) });
            }
        }
        next
    }
}
