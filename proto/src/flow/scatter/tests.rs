use super::*;
use crate::flow::sim::{Machine, Manners, World, locators};
use crate::select::{NodeTable, diversions, place};
use proptest::prelude::*;

fn scatter(world: &mut World, stripes: u64, n: usize, k: usize) -> (Vec<Scatter>, Duration) {
    let mut scatters: Vec<Scatter> =
        (0..stripes).map(|s| Scatter::new(&place(&world.table, &locators(s, n), k), &[])).collect();
    let mut jobs: Vec<&mut dyn Machine> = scatters.iter_mut().map(|s| s as &mut dyn Machine).collect();
    let took = world.run(&mut jobs, |_, _, _| true);
    println!("{took:?}, {:.2} requests per shard", world.requests as f64 / (stripes as usize * n) as f64);
    (scatters, took)
}

#[test]
fn in_a_healthy_network_every_shard_goes_where_it_belongs() {
    let mut world = World::new(40, 1);
    let (scatters, took) = scatter(&mut world, 10, 113, 32);
    for (stripe, scatter) in scatters.iter().enumerate() {
        let placement = place(&world.table, &locators(stripe as u64, 113), 32);
        assert!((0..113).all(|i| scatter.stored()[i] == Some(placement.candidates(i)[0])));
    }
    assert_eq!(world.requests, 1130);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn half_of_the_nodes_dead() {
    for seed in 0..5 {
        let mut world = World::new(40, seed);
        world.spoil(20, Manners::Dead);
        let (scatters, took) = scatter(&mut world, 20, 113, 32);
        for scatter in &scatters {
            let Some(ScatterVerdict::Placed { loads }) = scatter.verdict() else { panic!("{:?}", scatter.verdict()) };
            assert!(loads.values().all(|&load| load <= 12), "{loads:?}");
            assert!(loads.keys().all(|id| world.manners[id] != Manners::Dead));
        }
        assert!(world.requests <= 2 * 20 * 113, "{}", world.requests);
        assert!(took < Duration::from_secs(10), "{took:?}");
    }
}

#[test]
fn a_third_of_the_relays_pass_nothing_on() {
    for seed in 0..5 {
        let mut world = World::new(40, seed);
        world.rtt = Duration::from_millis(200);
        world.spoil(13, Manners::Swallows);
        let (scatters, took) = scatter(&mut world, 5, 113, 32);
        assert!(scatters.iter().all(|s| matches!(s.verdict(), Some(ScatterVerdict::Placed { .. }))));
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

/// Shards of 64 KiB over 20 Mbit/s: 26 ms each.
#[test]
fn a_link_that_fills_up_is_used_and_nobody_is_blamed() {
    for queue in [16, 64, 256] {
        let mut world = World::new(40, 5);
        world.rtt = Duration::from_millis(150);
        world.link = (Duration::from_millis(26), queue);
        let (_, took) = scatter(&mut world, 8, 113, 32);
        let resting = world.ids.iter().filter(|id| world.outcomes.relay_chance(&world.table, id, world.now) < 0.5);
        assert!(resting.count() <= 2);
        assert!(world.requests <= 8 * 113 * 11 / 10, "{}", world.requests);
        assert!(took < world.link.0 * (8 * 113) * 5 / 4, "{took:?}");
    }
}

#[test]
fn full_and_busy_nodes_are_passed_over_or_waited_for() {
    let mut world = World::new(40, 2);
    world.spoil(10, Manners::Denies);
    world.spoil(10, Manners::Busy(3));
    world.spoil(5, Manners::Refuses);
    let (scatters, _) = scatter(&mut world, 5, 113, 32);
    assert!(scatters.iter().all(|s| matches!(s.verdict(), Some(ScatterVerdict::Placed { .. }))));
    assert!(world.requests < 2 * 5 * 113, "{}", world.requests);
}

#[test]
fn one_takes_it_or_nobody() {
    let mut world = World::new(10, 3);
    world.spoil(9, Manners::Denies);
    // The guard alone takes shards, and so gets them all: better there than nowhere, and the survival computed from the
    // loads tells it.
    let (scatters, _) = scatter(&mut world, 1, 113, 32);
    let loads = [(world.ids[0], 113)].into();
    assert_eq!(scatters[0].verdict(), Some(ScatterVerdict::Placed { loads }));
    let mut scatter = Scatter::new(&place(&NodeTable::new(), &locators(1, 3), 2), &[]);
    assert_eq!(scatter.poll(Moment::default(), |_| 1.0, |_| Vec::new()), None);
    assert_eq!(scatter.verdict(), Some(ScatterVerdict::Short { placed: 0, wanted: 3 }));
}

#[test]
fn an_interrupted_scatter_goes_on_where_it_was() {
    let mut world = World::new(40, 4);
    let placement = place(&world.table, &locators(0, 113), 32);
    let already: Vec<Option<NodeId>> = (0..100).map(|i| Some(placement.candidates(i)[0])).collect();
    let mut scatter = Scatter::new(&placement, &already);
    world.run(&mut [&mut scatter], |_, item, _| item >= 100);
    assert!(matches!(scatter.verdict(), Some(ScatterVerdict::Placed { .. })));
    assert_eq!(world.requests, 13);
}

#[test]
fn a_late_receipt_counts_and_ends_the_search() {
    let world = World::new(5, 5);
    let placement = place(&world.table, &locators(0, 3), 2);
    let mut scatter = Scatter::new(&placement, &[]);
    let now = Moment::default();
    let first = scatter.poll(now, |_| 0.9, |_| Vec::new()).unwrap();
    scatter.handle(now, first.shard, &first.node, ScatterOutcome::TimedOut);
    scatter.handle(now, first.shard, &first.node, ScatterOutcome::Stored);
    let rest: Vec<Send> = std::iter::from_fn(|| scatter.poll(now, |_| 0.9, |_| Vec::new())).collect();
    assert_eq!(rest.len(), 2);
    assert!(rest.iter().all(|send| send.shard != first.shard));
    rest.iter().for_each(|send| scatter.handle(now, send.shard, &send.node, ScatterOutcome::Stored));
    assert!(matches!(scatter.verdict(), Some(ScatterVerdict::Placed { .. })));
}

/// All candidates are silent at first, since relays are dead; later some turn out to live.
#[test]
fn a_shard_for_which_all_were_silent_rests_and_goes_to_who_lives() {
    let world = World::new(6, 5);
    let placement = place(&world.table, &locators(0, 3), 2);
    let scattered = |lives: &dyn Fn(&NodeId, Moment) -> bool| {
        let mut scatter = Scatter::new(&placement, &[]);
        let (mut now, mut asked) = (Moment::default(), 0);
        while scatter.verdict().is_none() {
            let chance = |id: &NodeId| if lives(id, now) { 0.9 } else { 0.05 };
            match scatter.poll(now, chance, |_| Vec::new()) {
                Some(send) => {
                    asked += 1;
                    let came = lives(&send.node, now) && now > Moment(Duration::from_secs(2));
                    let outcome = if came { ScatterOutcome::Stored } else { ScatterOutcome::TimedOut };
                    scatter.handle(now, send.shard, &send.node, outcome);
                }
                None if scatter.verdict().is_some() => {}
                None => now = scatter.poll_timeout(now).expect("else it hangs"),
            }
        }
        (scatter.verdict().unwrap(), asked, now)
    };
    let candidates = placement.candidates(0);
    let living = candidates[1];
    let (verdict, _, took) = scattered(&|id, _| *id == living);
    assert_eq!(verdict, ScatterVerdict::Placed { loads: [(living, 3)].into() });
    assert!(took >= Moment(REST * 3) && took <= Moment(REST * 6), "{took:?}");
    // Where nobody lives nobody is asked again, and it ends.
    let (verdict, asked, took) = scattered(&|_, _| false);
    assert_eq!(verdict, ScatterVerdict::Short { placed: 0, wanted: 3 });
    assert_eq!((asked, took), (3 * candidates.len() * usize::from(TIMEOUTS_MAX), Moment(REST * 6)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn it_ends_and_no_node_can_rebuild(answers in prop::collection::vec(0..6u8, 1..64), nodes in 4..40u16) {
        let world = World::new(nodes, 1);
        let placement = place(&world.table, &locators(1, 12), 4);
        let mut scatter = Scatter::new(&placement, &[]);
        let (mut now, mut step, mut late) = (Moment::default(), 0, None);
        while scatter.verdict().is_none() {
            now = now + Duration::from_millis(1);
            let far = |shard: usize| diversions(&world.table, &locators(1, 12)[shard]);
            let Some(send) = scatter.poll(now, |_| 0.9, far) else {
                if scatter.verdict().is_none() {
                    now = scatter.poll_timeout(now).expect("else it hangs");
                }
                continue;
            };
            let outcome = match answers[step % answers.len()] {
                0 | 5 => ScatterOutcome::Stored,
                1 => ScatterOutcome::Full,
                2 if step < 1000 => ScatterOutcome::Busy(Duration::from_millis(9)),
                3 => ScatterOutcome::Refused,
                _ => ScatterOutcome::TimedOut,
            };
            scatter.handle(now, send.shard, &send.node, outcome);
            // Now and then a receipt that was given up comes after all.
            if outcome == ScatterOutcome::TimedOut {
                if let Some(Send { shard, node, .. }) = late.take() {
                    scatter.handle(now, shard, &node, ScatterOutcome::Stored);
                }
                if step % 3 == 0 { late = Some(send); }
            }
            step += 1;
            prop_assert!(step < 5000);
        }
        match scatter.verdict() {
            Some(ScatterVerdict::Placed { loads }) => prop_assert_eq!(loads.values().sum::<u32>(), 12),
            Some(ScatterVerdict::Short { placed, .. }) => {
                prop_assert_eq!(placed, scatter.stored().iter().flatten().count());
            }
            None => prop_assert!(false, "no verdict"),
        }
    }
}
