//! Scouts: small requests to many nodes at once, for a client that finds most of the untried dead. Each asks for a shard that nobody
//! has: whoever answers lives. A shard costs 64 KiB and a party of its own; scouts cost 2 KiB, and tell in one round trip whom
//! to ask for shards (`docs/decisions/0015-who-is-there.md`).
//!
//! They go over relays drawn by chance, whatever is said of these: liars name each other as living and all others as lost, and
//! must not lead them astray.

use crate::ids::NodeId;
use crate::select::{FOUND_DEAD, NodeTable, Outcomes, Path, sample};
use crate::time::Moment;
use rand_core::Rng;
use std::time::Duration;

/// Scouts that leave at once: 256 KB.
const SCOUTS_MAX: usize = 128;
/// They leave when less than this is assumed of nodes that were not tried.
const SCOUTED_BELOW: f64 = 0.75;
/// They stop leaving when so many nodes have proven themselves: paths are drawn from these.
const PROVEN_ENOUGH: usize = 64;
/// Times that they leave in one run, and the pause between two of them. What is not known then is found out by requests.
const TIMES_MAX: u32 = 12;
const PAUSE: Duration = Duration::from_millis(500);
/// After so many times the guard may be doubted.
const DOUBTED_AFTER: u32 = 3;
/// From so many proven relays on, scouts go by them.
const PROVEN_RELAYS_MIN: usize = 4;
/// Nodes of those that have answered that are asked whether the guard lets anything through, and the least for a way to one of
/// them by two others.
const WITNESSES_MAX: usize = 8;
const WITNESSES_MIN: usize = 3;

/// When scouts left last, and how often.
#[derive(Clone, Debug, Default)]
pub struct Scouting {
    at: Option<Moment>,
    times: u32,
}

impl Scouting {
    /// Whether scouts should leave now; a driver that is told so sends them.
    pub fn poll(&mut self, table: &NodeTable, outcomes: &Outcomes, now: Moment) -> bool {
        let early = self.at.is_some_and(|at| now.since(at) < PAUSE);
        if outcomes.base() >= SCOUTED_BELOW || self.times >= TIMES_MAX || early {
            return false;
        }
        if outcomes.proven(table, now).nth(PROVEN_ENOUGH - 1).is_some() {
            return false;
        }
        self.times += 1;
        self.at = Some(now);
        true
    }

    /// Whether they left so often that it may be the guard's doing that nobody answers.
    pub fn left_often(&self) -> bool {
        self.times >= DOUBTED_AFTER
    }

    /// To whom they go: holders that may live and have not shown it.
    pub fn sought(
        rng: &mut impl Rng,
        table: &NodeTable,
        outcomes: &Outcomes,
        guard: &NodeId,
        now: Moment,
    ) -> Vec<NodeId> {
        let is_open =
            |id: &NodeId| !outcomes.is_proven(table, id, now) && outcomes.chance(table, id, now) >= FOUND_DEAD;
        let unknown = table.iter().filter(|(id, node)| node.signed().roles.holds && *id != guard && is_open(id));
        sample(rng, unknown.map(|(id, _)| *id), SCOUTS_MAX)
    }

    /// By whom they go: the relays that have `proven` themselves, or all while such are few; not by the guard.
    pub fn relays(table: &NodeTable, proven: Vec<NodeId>, guard: &NodeId) -> Vec<NodeId> {
        let relays_at_all = |id: &NodeId| table.get(id).is_some_and(|node| node.signed().roles.relays);
        let mut relays = if proven.len() >= PROVEN_RELAYS_MIN { proven } else { table.relays().to_vec() };
        relays.retain(|id| id != guard && relays_at_all(id));
        relays
    }

    /// Who could say, after many silences, that it is not the guard who is silent: nodes that have proven themselves of late, to
    /// be sought by way of each other. None if there are too few for that, or if such cleared the guard too often.
    pub fn witnesses(
        rng: &mut impl Rng,
        table: &NodeTable,
        outcomes: &Outcomes,
        guard: &NodeId,
        now: Moment,
    ) -> Vec<NodeId> {
        // Each is sought by two others.
        let roles = |id: &NodeId| table.get(id).map(|node| node.signed().roles);
        let does_both = |id: &&NodeId| roles(id).is_some_and(|roles| roles.relays && roles.holds);
        let proven = outcomes.proven(table, now).filter(|id| *id != guard).filter(does_both).copied();
        let some = sample(rng, proven, WITNESSES_MAX);
        if some.len() < WITNESSES_MIN || !outcomes.may_be_cleared() { Vec::new() } else { some }
    }

    /// A way to a holder by two of the relays; none if there are too few.
    pub fn path(rng: &mut impl Rng, relays: &[NodeId], holder: &NodeId) -> Option<Path> {
        let two = sample(rng, relays.iter().filter(|id| *id != holder), 2);
        let (&&middle, &&back) = (two.first()?, two.get(1)?);
        Some(Path { middle, back, diverse: false })
    }

    /// Those by these nodes did not come back: they share the blame. If not `some_came` of those that left with them, it may be
    /// the guard that lets none through, and nobody is blamed.
    pub fn lost(table: &NodeTable, outcomes: &mut Outcomes, silent: &[[NodeId; 3]], some_came: bool, now: Moment) {
        if some_came {
            silent.iter().for_each(|nodes| outcomes.scout_lost(table, nodes, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::select::testing::{network, table_of};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    const NOW: Moment = Moment(Duration::from_secs(1_000));

    /// A hundred nodes, of which `found_dead` were found so.
    fn found(found_dead: usize) -> (NodeTable, Outcomes, Vec<NodeId>) {
        let nodes = network(100);
        let (table, mut outcomes) = (table_of(&nodes), Outcomes::new());
        let ids: Vec<NodeId> = nodes.iter().map(|node| node.id).collect();
        for id in &ids[..found_dead] {
            (0..3).for_each(|_| _ = outcomes.silence(&table, false, &[*id], NOW));
        }
        (table, outcomes, ids)
    }

    #[test]
    fn they_leave_where_most_seem_dead_and_only_so_often() {
        let (table, outcomes, _) = found(0);
        assert!(!Scouting::default().poll(&table, &outcomes, NOW), "all is well");
        let (table, mut outcomes, ids) = found(30);
        let mut scouting = Scouting::default();
        assert!(scouting.poll(&table, &outcomes, NOW) && !scouting.poll(&table, &outcomes, NOW + PAUSE / 2));
        let mut now = NOW;
        let mut times = 1;
        for _ in 0..100 {
            now = now + PAUSE;
            times += u32::from(scouting.poll(&table, &outcomes, now));
            assert_eq!(scouting.left_often(), times >= DOUBTED_AFTER);
        }
        assert_eq!(times, TIMES_MAX);
        // Once so many have answered, paths are drawn from these.
        ids[30..30 + PROVEN_ENOUGH].iter().for_each(|id| outcomes.answer(&[*id], NOW));
        (0..20).for_each(|_| _ = outcomes.silence(&table, false, &[ids[99]], NOW));
        assert!(!Scouting::default().poll(&table, &outcomes, NOW));
    }

    #[test]
    fn they_go_to_the_unknown_by_whoever_has_answered() {
        let (table, mut outcomes, ids) = found(30);
        let mut rng = StdRng::seed_from_u64(1);
        let guard = ids[99];
        outcomes.answer(&ids[30..33], NOW);
        let sought = Scouting::sought(&mut rng, &table, &outcomes, &guard, NOW);
        assert!(sought.len() == 66 && sought.iter().all(|id| ids[33..99].contains(id)), "{}", sought.len());
        let proven = |outcomes: &Outcomes| outcomes.proven(&table, NOW).copied().collect::<Vec<_>>();
        // Three are too few to go by: nobody's word on the others counts.
        let relays = Scouting::relays(&table, proven(&outcomes), &guard);
        assert!(relays.len() == 99 && !relays.contains(&guard));
        outcomes.answer(&ids[33..36], NOW);
        let relays = Scouting::relays(&table, proven(&outcomes), &ids[35]);
        assert!(relays.len() == 5 && relays.iter().all(|id| ids[30..35].contains(id)));
        for _ in 0..50 {
            let Path { middle, back, .. } = Scouting::path(&mut rng, &relays, &relays[0]).unwrap();
            assert!(middle != back && ![middle, back].contains(&relays[0]));
        }
        assert_eq!(Scouting::path(&mut rng, &relays[..2], &relays[0]), None);
    }

    #[test]
    fn who_has_answered_is_a_witness_for_the_guard() {
        let (table, mut outcomes, ids) = found(30);
        let mut rng = StdRng::seed_from_u64(1);
        outcomes.answer(&ids[30..32], NOW);
        assert!(Scouting::witnesses(&mut rng, &table, &outcomes, &ids[99], NOW).is_empty(), "no way to one of two");
        outcomes.answer(&ids[32..50], NOW);
        let witnesses = Scouting::witnesses(&mut rng, &table, &outcomes, &ids[31], NOW);
        assert!(witnesses.len() == WITNESSES_MAX && witnesses.iter().all(|id| ids[30..50].contains(id)));
        assert!(!witnesses.contains(&ids[31]), "nobody is a witness for himself");
    }

    #[test]
    fn a_guard_that_lets_none_through_puts_the_blame_on_nobody() {
        let (table, mut outcomes, ids) = found(0);
        let silent = [[ids[0], ids[1], ids[2]]];
        Scouting::lost(&table, &mut outcomes, &silent, false, NOW);
        let before = outcomes.chance(&table, &ids[0], NOW);
        Scouting::lost(&table, &mut outcomes, &silent, true, NOW);
        assert!(outcomes.chance(&table, &ids[0], NOW) < before && !outcomes.suspects_guard());
    }
}
