//! Scouts of this session: `proto::flow::Scouting` says when they leave, to whom and by whom.

use super::{Departure, Session, lock};
use crate::clock::moment;
use futures::stream::{FuturesUnordered, StreamExt};
use palimpsest_proto::flow::Scouting;
use palimpsest_proto::ids::{Locator, NodeId};
use palimpsest_proto::message::Ask;
use std::time::Duration;

impl Session {
    /// Whether scouts should leave; whoever is told so has to send them. A node learns by its connections.
    pub(crate) fn is_scouting_due(&self) -> bool {
        let table = self.table();
        let experience = self.experience();
        self.own.is_none() && lock(&self.scouting).poll(&table, &experience.outcomes, moment())
    }

    /// Sends scouts, and notes which came back. Ends within the time after which a request is overdue, or, where nearly nobody
    /// answers though some were sent out before, after a second opinion.
    pub(crate) async fn scout(&self) {
        let guard = self.guard();
        let (sought, relays) = self.scouted(&guard);
        let mut flying = self.scouts(guard, sought, &relays, Duration::ZERO);
        let mut silent = Vec::new();
        let mut some_came = false;
        while let Some((nodes, came)) = flying.next().await {
            if came {
                some_came = true;
                self.experience().outcomes.scout_back(&nodes, moment());
            } else {
                silent.push(nodes);
            }
        }
        {
            let table = self.table();
            Scouting::lost(&table, &mut self.experience().outcomes, &silent, some_came, moment());
        }
        let left_often = lock(&self.scouting).left_often();
        if left_often && self.is_guard_doubtful() {
            self.compare_guard(guard).await;
        }
    }

    /// Many requests in a row went unanswered. If somebody who has answered before does so now, it is not the guard's fault; else
    /// the guard is mended. Who is sought is sought at once: others may be comparing guards meanwhile, for seconds.
    pub(crate) async fn heed_silence(&self) {
        let (guard, asked) = (self.guard(), moment());
        let witnesses = {
            let table = self.table();
            Scouting::witnesses(&mut rand::rng(), &table, &self.experience().outcomes, &guard, asked)
        };
        let mut flying = self.scouts(guard, witnesses.clone(), &witnesses, Duration::ZERO);
        while let Some((nodes, came)) = flying.next().await {
            if came && self.guard() == guard {
                // Other lanes may have heard of witnesses first: one suspicion is cleared once.
                let outcomes = &mut self.experience().outcomes;
                if outcomes.suspects_guard() {
                    outcomes.cleared(&nodes, moment());
                }
                return;
            }
        }
        // Something may have come meanwhile, or somebody else have changed the guard.
        if self.suspects_guard() && self.guard() == guard {
            self.mend_guard(asked).await;
        }
    }

    /// Scouts to the `holders` by way of `guard` and two of the `relays` each: by which nodes they went, and whether an answer came within
    /// the time after which a request is overdue, or `wait_min` if that is longer.
    pub(super) fn scouts(
        &self,
        guard: NodeId,
        holders: Vec<NodeId>,
        relays: &[NodeId],
        wait_min: Duration,
    ) -> FuturesUnordered<impl Future<Output = ([NodeId; 3], bool)>> {
        let wait = self.experience().flights.window().timeout().max(wait_min);
        // The number counts for nothing: scouts are not part of the window.
        let depart = |holder| {
            let by_chance = || Scouting::path(&mut rand::rng(), relays, &holder);
            self.route(guard, holder, |_, _, _| by_chance(), |flights, _, _, _| flights.skip())
        };
        let departing = holders.into_iter().filter_map(|holder| Some((holder, depart(holder)?)));
        departing
            .map(|(holder, departure)| async move {
                let came = matches!(tokio::time::timeout(wait, self.seek(&departure)).await, Ok(true));
                (departure.path.nodes(holder), came)
            })
            .collect()
    }

    /// Asks for a shard that nobody has. Whatever is answered shows that there is an answer.
    async fn seek(&self, departure: &Departure) -> bool {
        let ask = Ask::Probe { locators: vec![Locator(rand::random())] };
        self.exchange(departure, ask).await.is_ok()
    }

    /// To whom scouts go, and by which relays.
    fn scouted(&self, guard: &NodeId) -> (Vec<NodeId>, Vec<NodeId>) {
        let now = moment();
        let table = self.table();
        let experience = self.experience();
        let proven = experience.outcomes.proven(&table, now).copied().collect();
        let sought = Scouting::sought(&mut rand::rng(), &table, &experience.outcomes, guard, now);
        (sought, Scouting::relays(&table, proven, guard))
    }
}
