//! Relays that answer for themselves and do not pass on what is for others.

use super::*;
use crate::select::testing::{network, table_of};
use crate::select::{Path, PathRules, choose_path};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

const NOW: Moment = Moment(Duration::from_secs(1000));

#[test]
fn who_answers_and_passes_nothing_on_is_no_relay() {
    let nodes = network(6);
    let (table, n): (_, Vec<NodeId>) = (table_of(&nodes), nodes.iter().map(|node| node.id).collect());
    let mut outcomes = Outcomes::new();
    outcomes.answer(&[n[1], n[0], n[2]], NOW);
    for relay in [n[3], n[4], n[5]] {
        outcomes.silence(&table, false, &[n[0], n[1], relay], NOW);
        // All of the others pass things on, and the one answers.
        outcomes.answer(&[relay, n[0], n[1]], NOW);
    }
    assert!(outcomes.is_proven(&table, &n[0], NOW) && outcomes.relay_chance(&table, &n[0], NOW) < 0.1);
    for other in &n[3..] {
        assert!(outcomes.is_proven(&table, other, NOW) && outcomes.relay_chance(&table, other, NOW) > PROVEN_MIN);
    }
    // It is not thought dead for that, however often it is tried.
    (0..8).for_each(|_| _ = outcomes.silence(&table, false, &[n[3], n[1], n[0]], NOW));
    assert!(outcomes.chance(&table, &n[0], NOW) > 0.9);
    // If it does pass something on, or after a while, it is tried again.
    let later = NOW + 10 * HALF_LIFE;
    assert!(outcomes.relay_chance(&table, &n[0], later) > PROVEN_MIN);
    outcomes.answer(&[n[0], n[1], n[3]], NOW);
    assert!(outcomes.relay_chance(&table, &n[0], NOW) > PROVEN_MIN);
}

#[test]
fn who_never_passed_anything_on_is_not_innocent() {
    let nodes = network(4);
    let (table, n): (_, Vec<NodeId>) = (table_of(&nodes), nodes.iter().map(|node| node.id).collect());
    let mut outcomes = Outcomes::new();
    outcomes.answer(&[n[1], n[0], n[2]], NOW);
    outcomes.answer(&[n[1], n[3], n[2]], NOW);
    let blames = |nodes: [NodeId; 3]| outcomes.clone().silence(&table, false, &nodes, NOW);
    assert_eq!(blames([n[0], n[3], n[1]]), Blame::Nodes);
    assert_eq!(blames([n[1], n[3], n[2]]), Blame::Congestion);
}

#[test]
fn a_guard_takes_the_blame_back_from_relays_too() {
    let nodes = network(4);
    let (table, n): (_, Vec<NodeId>) = (table_of(&nodes), nodes.iter().map(|node| node.id).collect());
    let mut outcomes = Outcomes::new();
    outcomes.answer(&[n[0], n[1], n[2]], NOW);
    let later = NOW + Duration::from_secs(1);
    (0..40).for_each(|_| _ = outcomes.silence(&table, false, &[n[0], n[1], n[3]], later));
    assert!(outcomes.relay_chance(&table, &n[0], later) < PROVEN_MIN);
    let mut all = outcomes.clone();
    outcomes.forgive_silence();
    assert!(outcomes.has_relayed(&n[0]) && outcomes.relay_chance(&table, &n[0], later) > 0.9);
    all.forgive();
    assert!([n[0], n[3]].iter().all(|id| all.relay_chance(&table, id, later) > 0.9));
}

/// What a relay does with what is for others.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Drops,
    /// It comes when nobody waits for it any more.
    HoldsUp,
}

/// A client that asks 20 requests at a time, each again and again of any node: of the last `looked_at` the ways, and how many were
/// blamed on congestion of how many that were lost.
fn asked(
    seed: u64,
    bad: usize,
    manner: Manner,
    loss: f64,
    requests: usize,
    looked_at: usize,
) -> (Vec<NodeId>, Vec<Path>, (usize, usize)) {
    let mut rng = StdRng::seed_from_u64(seed);
    let nodes = network(40);
    let table = table_of(&nodes);
    let guard = nodes[0].id;
    let mut others: Vec<NodeId> = nodes[1..].iter().map(|node| node.id).collect();
    others.shuffle(&mut rng);
    let bad = others[..bad].to_vec();
    let (mut outcomes, mut ways, mut now, mut congested, mut lost) = (Outcomes::new(), Vec::new(), NOW, 0, 0);
    for _ in 0..requests / 20 {
        let sent: Vec<(Path, NodeId)> = (0..20)
            .filter_map(|_| {
                let holder = others[rng.random_range(0..others.len())];
                let rules = PathRules { own: None, guard, holder, used: &[] };
                Some((choose_path(&mut rng, &table, &mut outcomes, &rules, now)?, holder))
            })
            .collect();
        now = now + Duration::from_millis(200);
        for (path, holder) in sent {
            let nodes = path.nodes(holder);
            let is_bad = bad.contains(&path.middle) || bad.contains(&path.back);
            if is_bad || rng.random_bool(loss) {
                lost += 1;
                congested += usize::from(outcomes.silence(&table, false, &nodes, now) == Blame::Congestion);
                if is_bad && matches!(manner, Manner::HoldsUp) {
                    outcomes.late(&nodes, now);
                }
            } else {
                outcomes.answer(&nodes, now);
            }
            ways.push(path);
        }
    }
    (bad, ways.split_off(ways.len() - looked_at), (congested, lost))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A third of the relays: of ways drawn by chance five in nine cross one of them.
    #[test]
    fn relays_that_pass_nothing_on_are_crossed_seldom(
        seed in any::<u64>(),
        bad in 1..=13usize,
        manner in prop_oneof![Just(Manner::Drops), Just(Manner::HoldsUp)],
    ) {
        let (bad, ways, _) = asked(seed, bad, manner, 0.0, 400, 200);
        let crossed = ways.iter().filter(|way| bad.contains(&way.middle) || bad.contains(&way.back)).count();
        prop_assert!(crossed <= 60, "{crossed} of 200");
    }

    /// Few relays rest for what is nobody's fault, and the window hears of it.
    #[test]
    fn losses_on_the_way_are_nobodys_fault(seed in any::<u64>(), loss in 0.02..0.2) {
        let (_, ways, (congested, lost)) = asked(seed, 0, Manner::Drops, loss, 2000, 1600);
        let mut drawn: BTreeMap<NodeId, usize> = BTreeMap::new();
        ways.iter().flat_map(|way| [way.middle, way.back]).for_each(|id| *drawn.entry(id).or_default() += 1);
        let fair = 2 * ways.len() / 39;
        let resting = 39 - drawn.values().filter(|drawn| **drawn >= fair / 5).count();
        prop_assert!(resting <= 4, "{resting} of 39");
        prop_assert!(congested * 2 >= lost, "{congested} of {lost}");
    }
}
