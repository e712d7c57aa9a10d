//! Many single questions, each to one node: over another path when it stays silent, and so often only.

use crate::lane::{Lane, Way};
use crate::session::{Lost, Session};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::message::{Answer, Ask};
use std::sync::Arc;

/// A node that does not answer a question in this many tries, over different relays, is taken for gone.
pub(crate) const TRIES: usize = 3;

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
/// answer a result, `Some(None)` if the node is to be asked again (it is busy), or `None` if it is garbage.
pub(crate) async fn ask_all<R: Send + 'static>(
    session: &Arc<Session>,
    asks: &[(NodeId, Ask)],
    check: impl Fn(usize, Answer) -> Option<Option<R>> + Clone + Send + 'static,
) -> Vec<Reply<R>> {
    let mut replies: Vec<Reply<R>> = asks.iter().map(|_| Reply::Silent).collect();
    let mut ways: Vec<Vec<Way>> = vec![Vec::new(); asks.len()];
    let mut tries = vec![0; asks.len()];
    let mut waiting: Vec<usize> = (0..asks.len()).rev().collect();
    let mut lane: Lane<usize, Option<R>> = Lane::new(session.clone());
    while !waiting.is_empty() || !lane.is_idle() {
        while lane.has_room()
            && let Some(which) = waiting.pop()
        {
            let (node, ask) = &asks[which];
            let check = check.clone();
            lane.start(which, *node, ask.clone(), &mut ways[which], move |answer| check(which, answer));
        }
        let Some(done) = lane.next(None).await else { continue };
        let which = done.tag;
        match done.result {
            Ok(Some(result)) => replies[which] = Reply::Said(result),
            Err(Lost::Garbage) => replies[which] = Reply::Garbage,
            Err(Lost::Unsent) => waiting.push(which),
            Ok(None) | Err(Lost::TimedOut) => {
                tries[which] += 1;
                if tries[which] < TRIES {
                    waiting.push(which);
                }
            }
        }
    }
    replies
}
