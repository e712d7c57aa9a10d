use super::*;
use crate::select::testing::{network, table_of};
use proptest::prelude::*;

fn moment(seconds: u64) -> Moment {
    Moment(Duration::from_secs(seconds))
}

fn ids(count: u16) -> (NodeTable, Vec<NodeId>) {
    let nodes = network(count);
    (table_of(&nodes), nodes.iter().map(|n| n.id).collect())
}

#[test]
fn blame_goes_to_the_least_proven() {
    let (table, n) = ids(3);
    let mut outcomes = Outcomes::new();
    let now = moment(1000);
    outcomes.answer(&n[..2], now);
    assert_eq!(outcomes.silence(&table, false, &n, now), Blame::Nodes);
    assert!(outcomes.chance(&table, &n[2], now) < 0.6);
    assert!(outcomes.chance(&table, &n[0], now) > PROVEN_MIN);
    assert!(outcomes.is_proven(&table, &n[1], now) && !outcomes.is_proven(&table, &n[2], now));
}

#[test]
fn a_late_answer_takes_the_blame_back() {
    let (table, n) = ids(3);
    let mut outcomes = Outcomes::new();
    let now = moment(1000);
    (0..4).for_each(|_| _ = outcomes.silence(&table, false, &n, now));
    assert!(n.iter().all(|id| outcomes.chance(&table, id, now) < 0.5));
    outcomes.late(&n, now);
    assert!(n.iter().all(|id| outcomes.chance(&table, id, now) > 0.6 && !outcomes.is_proven(&table, id, now)), "slow");
    outcomes.answer(&n, now);
    assert!(n.iter().all(|id| outcomes.is_proven(&table, id, now)));
}

#[test]
fn silence_of_proven_nodes_is_congestion_and_soon_death() {
    let (table, n) = ids(9);
    let mut outcomes = Outcomes::new();
    let now = moment(1000);
    outcomes.answer(&n, now);
    let mut blames = Vec::new();
    // One node dies; each request takes it and two others.
    for pair in n[1..].chunks(2) {
        blames.push(outcomes.silence(&table, false, &[n[0], pair[0], pair[1]], now));
    }
    assert_eq!(blames[0], Blame::Congestion);
    assert_eq!(*blames.last().unwrap(), Blame::Nodes);
    assert!(outcomes.chance(&table, &n[0], now) < 0.1);
    assert!(n[1..].iter().all(|id| outcomes.chance(&table, id, now) > 0.6));
}

#[test]
fn estimates_fade() {
    let (table, n) = ids(2);
    let mut outcomes = Outcomes::new();
    outcomes.answer(&n[..1], moment(1000));
    (0..5).for_each(|_| _ = outcomes.silence(&table, false, &n[1..], moment(1000)));
    assert!(outcomes.chance(&table, &n[1], moment(1000)) < 0.1);
    assert!(outcomes.chance(&table, &n[1], moment(1300)) > 0.5);
}

#[test]
fn hearsay_is_only_the_starting_point() {
    let (mut table, n) = ids(3);
    let mut outcomes = Outcomes::new();
    let now = moment(1000);
    table.mark_lost(&n[0], now);
    table.mark_seen(&n[1], now);
    let chance = |o: &Outcomes, i: usize| o.chance(&table, &n[i], now);
    assert!(chance(&outcomes, 0) < 0.3 && chance(&outcomes, 1) > chance(&outcomes, 2));
    outcomes.answer(&n[..1], now);
    assert!(chance(&outcomes, 0) > 0.9, "what we saw ourselves counts");
}

#[test]
fn garbage_is_not_forgiven() {
    let (table, n) = ids(1);
    let mut outcomes = Outcomes::new();
    outcomes.answer(&n, moment(1));
    outcomes.garbage(n[0]);
    outcomes.answer(&n, moment(2));
    outcomes.forgive();
    assert_eq!((outcomes.chance(&table, &n[0], moment(2)), outcomes.distrusted()), (0.0, 1));
}

#[test]
fn full_nodes_are_asked_again_later() {
    let (_, n) = ids(1);
    let mut outcomes = Outcomes::new();
    outcomes.answer(&n, moment(1));
    outcomes.full(n[0], moment(1));
    assert!(outcomes.is_full(&n[0], moment(2)) && !outcomes.is_full(&n[0], moment(400)));
}

#[test]
fn a_dead_guard_is_seen_and_forgiven_to_the_others() {
    let (table, n) = ids(3);
    let mut outcomes = Outcomes::new();
    outcomes.answer(&n, moment(1));
    (0..31).for_each(|_| _ = outcomes.silence(&table, false, &n, moment(2)));
    assert!(!outcomes.suspects_guard());
    outcomes.silence(&table, false, &n, moment(2));
    assert_eq!((outcomes.suspects_guard(), outcomes.answered_at()), (true, Some(moment(1))));
    outcomes.forgive();
    assert!(!outcomes.suspects_guard());
    assert!(n.iter().all(|id| outcomes.chance(&table, id, moment(2)) > 0.5));
}

/// The guard dies after half of the others were found dead: these are not asked again.
#[test]
fn what_was_found_out_before_the_guard_fell_silent_stays() {
    let (table, n) = ids(6);
    let mut outcomes = Outcomes::new();
    (0..3).for_each(|_| _ = outcomes.silence(&table, false, &n[3..4], moment(1000)));
    outcomes.answer(&n[..3], moment(1001));
    let base = outcomes.base();
    (0..40).for_each(|_| _ = outcomes.silence(&table, false, &[n[0], n[1], n[4]], moment(1002)));
    assert!(outcomes.suspects_guard() && outcomes.base() < base);
    // One that was found dead is asked again meanwhile: that changes nothing.
    (0..3).for_each(|_| _ = outcomes.silence(&table, true, &n[3..4], moment(1002)));
    let chance = |outcomes: &Outcomes, of: usize| outcomes.chance(&table, &n[of], moment(1002));
    let mut all = outcomes.clone();
    outcomes.forgive_silence();
    assert!(!outcomes.suspects_guard() && outcomes.base() == base);
    assert!(chance(&outcomes, 0) > 0.9 && chance(&outcomes, 4) == base && chance(&outcomes, 3) < FOUND_DEAD);
    // A guard that let some through all the time is to blame for those, too.
    all.forgive();
    assert!(chance(&all, 3) > 0.9 && chance(&all, 4) > 0.9 && all.base() > base);
}

#[test]
fn what_scouts_found_stays_too() {
    let (table, n) = ids(6);
    let mut outcomes = Outcomes::new();
    outcomes.answer(&n[..3], moment(1000));
    (0..2).for_each(|_| outcomes.scout_lost(&table, &n[3..4], moment(1001)));
    let base = outcomes.base();
    (0..40).for_each(|_| _ = outcomes.silence(&table, false, &n[4..5], moment(1002)));
    outcomes.forgive_silence();
    assert!(outcomes.chance(&table, &n[3], moment(1002)) < 0.2);
    assert!((outcomes.base() - base).abs() < 1e-9, "{} {base}", outcomes.base());
}

/// A guard may let through small packets only, or those of witnesses.
#[test]
fn witnesses_clear_a_guard_a_few_times() {
    let (table, n) = ids(6);
    let mut outcomes = Outcomes::new();
    for _ in 0..CLEARINGS_MAX {
        (0..40).for_each(|_| _ = outcomes.silence(&table, false, &n[3..], moment(1000)));
        assert!(outcomes.suspects_guard() && outcomes.may_be_cleared());
        outcomes.cleared(&n[..3], moment(1000));
        assert!(!outcomes.suspects_guard());
    }
    assert!(!outcomes.may_be_cleared());
    outcomes.answer(&n[..3], moment(1001));
    assert!(outcomes.may_be_cleared());
}

#[test]
fn who_was_found_dead_tells_nothing_new() {
    let (table, n) = ids(3);
    let mut outcomes = Outcomes::new();
    let now = moment(1000);
    (0..3).for_each(|_| _ = outcomes.silence(&table, false, &n[2..], now));
    outcomes.answer(&n[..2], now);
    assert!(outcomes.is_hopeless(&table, &n, now) && !outcomes.is_hopeless(&table, &n[..2], now));
    let base = outcomes.base();
    (0..100).for_each(|_| _ = outcomes.silence(&table, true, &n, now));
    assert!(outcomes.base() == base && !outcomes.suspects_guard());
    // If that is all that there is, the guard is suspected in the end.
    (0..100).for_each(|_| _ = outcomes.silence(&table, true, &n, now));
    assert!(outcomes.base() == base && outcomes.suspects_guard());
}

proptest! {
    #[test]
    fn chances_stay_chances(
        steps in prop::collection::vec((0..5usize, 0..5usize, 0..5usize, any::<bool>(), 0..100u64), 0..200)
    ) {
        let (table, n) = ids(5);
        let mut outcomes = Outcomes::new();
        let mut now = moment(1000);
        for (a, b, c, answered, wait) in steps {
            now = now + Duration::from_secs(wait);
            let path = [n[a], n[b], n[c]];
            if answered { outcomes.answer(&path, now) } else { outcomes.silence(&table, false, &path, now); }
            for id in &n {
                prop_assert!((0.0..=1.0).contains(&outcomes.chance(&table, id, now)));
            }
            prop_assert!((0.0..=1.0).contains(&outcomes.path_chance()));
        }
    }
}
