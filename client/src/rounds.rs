//! Many single questions, each to one node: over another path when it stays silent, later when it is busy, and so often only.

use crate::clock::moment;
use crate::lane::{Lane, Way};
use crate::policy::UNSENT_FREE;
use crate::session::{Lost, Session};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::PROBE_LOCATORS_MAX;
use palimpsest_proto::time::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// A node that does not answer a question in this many tries, over different relays, is taken for gone.
const TRIES: usize = 3;
/// How long a question pauses that was refused for the time being by a node that did not say for how long; longer with each try.
const PAUSE: Duration = Duration::from_millis(500);
/// No node holds a round up for longer with one refusal.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// What an answer says, if it is one to the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard<R> {
    /// This.
    Said(R),
    /// Ask again, after that time if the node asked for one.
    Later(Option<Duration>),
}

impl<R> Heard<R> {
    /// A refusal that may not last.
    pub(crate) fn refused(refusal: Refusal) -> Heard<R> {
        Heard::Later(match refusal {
            Refusal::Busy { retry_ms } => Some(Duration::from_millis(retry_ms.into())),
            _ => None,
        })
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply<R> {
    /// The node answered.
    Said(R),
    /// The node answered with something that is no answer to the question.
    Garbage,
    /// The node did not answer, or asked for time again and again.
    Silent,
}

/// Asks all, as many at once as the window allows; the replies are in the order of the asks. `check` makes of the i-th
/// answer what it says; `None` if it is garbage. A node that left one question unanswered in all tries is asked no more.
pub(crate) async fn ask_all<R: Send + 'static>(
    session: &Arc<Session>,
    asks: &[(NodeId, Ask)],
    check: impl Fn(usize, Answer) -> Option<Heard<R>> + Clone + Send + 'static,
) -> Vec<Reply<R>> {
    let mut replies: Vec<Reply<R>> = asks.iter().map(|_| Reply::Silent).collect();
    let mut ways: Vec<Vec<Way>> = vec![Vec::new(); asks.len()];
    let mut queue = Queue::new(asks.len());
    let mut lane: Lane<usize, Heard<R>> = Lane::new(session.clone());
    let mut gone: BTreeSet<NodeId> = BTreeSet::new();
    while !queue.is_empty() || !lane.is_idle() {
        let wake = queue.ripen(moment());
        while lane.has_room()
            && let Some(which) = queue.ripe.pop()
        {
            let (node, ask) = &asks[which];
            if gone.contains(node) {
                continue;
            }
            let check = check.clone();
            lane.start(which, *node, ask.clone(), &mut ways[which], move |answer| check(which, answer));
        }
        let Some(done) = lane.next(wake).await else { continue };
        let which = done.tag;
        match done.result {
            Ok(Heard::Said(result)) => replies[which] = Reply::Said(result),
            Ok(Heard::Later(wanted)) => queue.put_off(which, wanted, moment()),
            Err(Lost::Garbage) => replies[which] = Reply::Garbage,
            Err(lost) => {
                let free = lost == Lost::Unsent && queue.free(which);
                if !free && !queue.again(which) {
                    gone.insert(asks[which].0);
                }
            }
        }
    }
    replies
}

/// Asks nodes about things, as many in one question as it takes, to be answered with a bit for each; says each thing's bit,
/// or `None` if its node did not answer, or with garbage.
pub(crate) async fn ask_bits<T>(
    session: &Arc<Session>,
    wanted: impl IntoIterator<Item = (NodeId, T)>,
    ask: impl Fn(&[T]) -> Ask,
) -> Vec<(NodeId, T, Option<bool>)> {
    ask_each(session, wanted, ask, bits).await
}

/// What an answer to a question of bits says. "Absent" is none; yet it says that nothing is there, and is not waited upon: among Sybils
/// who deny what they have been asked for, each round of questions took 1.5 s.
fn bits(answer: Answer) -> Option<Heard<Vec<bool>>> {
    let all = |bits: u32| Heard::Said((0..u32::BITS).map(|place| bits >> place & 1 == 1).collect());
    match answer {
        Answer::Present(bits) => Some(all(bits)),
        Answer::Refused(Refusal::Absent) => Some(all(0)),
        Answer::Refused(refusal) => Some(Heard::refused(refusal)),
        _ => None,
    }
}

/// Asks nodes about things, as many in one question as it takes. `check` makes of an answer what it says of each of them, in
/// their order; what says less than was asked for is garbage. `None` for the things of a node that did not answer, or with
/// garbage.
pub(crate) async fn ask_each<T, R: Send + 'static>(
    session: &Arc<Session>,
    wanted: impl IntoIterator<Item = (NodeId, T)>,
    ask: impl Fn(&[T]) -> Ask,
    check: impl Fn(Answer) -> Option<Heard<Vec<R>>> + Clone + Send + 'static,
) -> Vec<(NodeId, T, Option<R>)> {
    let mut by_node: BTreeMap<NodeId, Vec<T>> = BTreeMap::new();
    wanted.into_iter().for_each(|(node, thing)| by_node.entry(node).or_default().push(thing));
    let (mut asks, mut asked) = (Vec::new(), Vec::new());
    for (node, all) in &by_node {
        for some in all.chunks(PROBE_LOCATORS_MAX) {
            asks.push((*node, ask(some)));
            asked.push(some.len());
        }
    }
    let replies = ask_all(session, &asks, move |which, answer| {
        check(answer).filter(|heard| !matches!(heard, Heard::Said(said) if said.len() < asked[which]))
    })
    .await;
    let mut replies = replies.into_iter();
    let mut told = Vec::new();
    for (node, all) in by_node {
        let mut said = None;
        for (place, thing) in all.into_iter().enumerate() {
            if place % PROBE_LOCATORS_MAX == 0 {
                said = match replies.next() {
                    Some(Reply::Said(said)) => Some(said.into_iter()),
                    _ => None,
                };
            }
            let one = said.as_mut().and_then(Iterator::next);
            told.push((node, thing, one));
        }
    }
    told
}

/// Which questions wait to be asked.
struct Queue {
    /// To be asked now, the next one last.
    ripe: Vec<usize>,
    paused: BTreeSet<(Moment, usize)>,
    tries: Vec<usize>,
    unsent: Vec<usize>,
}

impl Queue {
    fn new(questions: usize) -> Queue {
        let none = vec![0; questions];
        Queue { ripe: (0..questions).rev().collect(), paused: BTreeSet::new(), tries: none.clone(), unsent: none }
    }

    fn is_empty(&self) -> bool {
        self.ripe.is_empty() && self.paused.is_empty()
    }

    /// Takes up what has paused long enough; returns when the next one will have.
    fn ripen(&mut self, now: Moment) -> Option<Moment> {
        while let Some(&(at, which)) = self.paused.first()
            && at <= now
        {
            self.paused.pop_first();
            self.ripe.push(which);
        }
        self.paused.first().map(|(at, _)| *at)
    }

    /// Counts a try; whether there is another.
    fn may_again(&mut self, which: usize) -> bool {
        self.tries[which] += 1;
        self.tries[which] < TRIES
    }

    /// Once more at once without counting a try, unless that was so too often: says whether.
    fn free(&mut self, which: usize) -> bool {
        self.unsent[which] += 1;
        let free = self.unsent[which] <= UNSENT_FREE;
        if free {
            self.ripe.push(which);
        }
        free
    }

    /// Once more at once, unless it was asked often enough: says whether.
    fn again(&mut self, which: usize) -> bool {
        let more = self.may_again(which);
        if more {
            self.ripe.push(which);
        }
        more
    }

    /// Once more after a pause, unless it was asked often enough.
    fn put_off(&mut self, which: usize, wanted: Option<Duration>, now: Moment) {
        if self.may_again(which) {
            let pause = wanted.unwrap_or(PAUSE * self.tries[which] as u32).min(PAUSE_MAX);
            self.paused.insert((now + pause, which));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    #[test]
    fn a_node_that_is_busy_is_asked_when_it_wants() {
        let mut queue = Queue::new(3);
        assert_eq!(std::mem::take(&mut queue.ripe), [2, 1, 0]);
        queue.put_off(0, Some(Duration::from_millis(40)), at(0));
        queue.put_off(1, None, at(0));
        queue.put_off(2, Some(Duration::from_secs(60)), at(0));
        assert_eq!(queue.ripen(at(39)), Some(at(40)));
        assert!(queue.ripe.is_empty() && !queue.is_empty());
        assert_eq!(queue.ripen(at(40)), Some(at(500)));
        assert_eq!(queue.ripen(at(500)), Some(Moment(PAUSE_MAX)));
        assert_eq!(queue.ripe, [0, 1]);
        assert_eq!(queue.ripen(Moment(PAUSE_MAX)), None);
        assert_eq!(queue.ripe, [0, 1, 2]);
    }

    #[test]
    fn whoever_puts_off_for_ever_is_asked_so_often_only() {
        let mut queue = Queue::new(2);
        let (mut pauses, mut more) = (Vec::new(), Vec::new());
        queue.ripe.clear();
        for _ in 0..TRIES {
            queue.put_off(0, None, at(0));
            pauses.extend(queue.ripen(at(0)));
            queue.paused.clear();
            more.push(queue.again(1));
        }
        assert_eq!(pauses, [at(500), at(1_000)]);
        assert_eq!((queue.ripe, more), (vec![1, 1], vec![true, true, false]));
    }

    #[test]
    fn what_a_guard_swallows_is_free_so_often_only() {
        let mut queue = Queue::new(1);
        let free = (0..UNSENT_FREE + 2).filter(|_| queue.free(0)).count();
        assert_eq!((free, queue.tries[0]), (UNSENT_FREE, 0));
    }

    #[test]
    fn a_node_that_has_nothing_is_not_asked_again() {
        let all = |set: fn(usize) -> bool| Some(Heard::Said((0..32).map(set).collect()));
        assert_eq!(bits(Answer::Present(0b1001)), all(|place| place == 0 || place == 3));
        assert_eq!(bits(Answer::Refused(Refusal::Absent)), all(|_| false));
        assert_eq!(bits(Answer::Refused(Refusal::Full)), Some(Heard::Later(None)));
    }

    #[test]
    fn only_who_is_busy_says_for_how_long() {
        assert_eq!(Heard::<()>::refused(Refusal::Busy { retry_ms: 70 }), Heard::Later(Some(Duration::from_millis(70))));
        assert_eq!(Heard::<()>::refused(Refusal::Failed), Heard::Later(None));
    }
}
