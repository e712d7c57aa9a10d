use super::*;
use crate::flow::sim::{Machine, Manners, World, locators};
use crate::select::testing::{network, table_of};
use crate::select::{NodeTable, Whereabouts, diversions, place};
use proptest::prelude::*;

const K: usize = 32;
const N: usize = 118;

struct Fetched {
    took: Duration,
    requests: usize,
    verdicts: Vec<GatherVerdict>,
}

/// Stripes published with the whole network known, and fetched by `world`'s client.
fn fetch_as(world: &mut World, stripes: u64, n: usize, holds: impl Fn(&NodeId) -> bool) -> Fetched {
    let whole = table_of(&network(world.ids.len() as u16));
    let placed: Vec<Placement> = (0..stripes).map(|s| place(&whole, &locators(s, n), K)).collect();
    let mut gathers: Vec<Gather> =
        (0..stripes).map(|s| Gather::new(K, &place(&world.table, &locators(s, n), K))).collect();
    let mut jobs: Vec<&mut dyn Machine> = gathers.iter_mut().map(|g| g as &mut dyn Machine).collect();
    let before = world.requests;
    let took = world.run(&mut jobs, |job, item, node| placed[job].candidates(item)[0] == *node && holds(node));
    let verdicts = gathers.iter().map(|g| g.verdict().unwrap()).collect();
    let fetched = Fetched { took, requests: world.requests - before, verdicts };
    println!(
        "{stripes} stripes: {took:?}, {:.2} requests per shard",
        fetched.requests as f64 / (stripes as usize * K) as f64
    );
    fetched
}

fn fetch(world: &mut World, stripes: u64) -> Fetched {
    fetch_as(world, stripes, N, |_| true)
}

fn assert_complete(fetched: &Fetched) {
    assert!(fetched.verdicts.iter().all(|v| *v == GatherVerdict::Complete), "{:?}", fetched.verdicts);
}

#[test]
fn a_healthy_network_is_not_asked_for_more_than_needed() {
    let mut world = World::new(40, 1);
    let first = fetch(&mut world, 1);
    assert_complete(&first);
    assert!(first.requests <= K + 5, "{} for the first stripe", first.requests);
    let more = fetch(&mut world, 50);
    assert_complete(&more);
    assert!(more.requests <= 50 * (K + 2), "{}", more.requests);
    assert!(more.took < Duration::from_millis(1500), "{:?}", more.took);
}

/// The case that matters most: half of the network has just died, the table does not know, nobody is marked.
#[test]
fn half_of_the_nodes_dead_and_nobody_knows() {
    for seed in 0..10 {
        let mut world = World::new(40, seed);
        world.spoil(20, Manners::Dead);
        let fetched = fetch(&mut world, 50);
        assert_complete(&fetched);
        assert!(fetched.requests <= 3 * 50 * K, "seed {seed}: {}", fetched.requests);
        assert!(fetched.took < Duration::from_secs(6), "seed {seed}: {:?}", fetched.took);
    }
}

#[test]
fn after_a_few_rounds_the_client_knows_whom_it_can_use() {
    for seed in 0..10 {
        let mut world = World::new(40, seed);
        world.spoil(20, Manners::Dead);
        let first = fetch(&mut world, 3);
        assert_complete(&first);
        assert!(first.took < Duration::from_secs(4), "{:?}", first.took);
        let dead = |id: &&NodeId| world.manners[*id] == Manners::Dead;
        let chance = |id: &NodeId| world.outcomes.chance(&world.table, id, world.now);
        let suspected = world.ids.iter().filter(dead).filter(|id| chance(id) < 0.5).count();
        let proven = world.ids[1..].iter().filter(|id| !dead(id)).filter(|id| chance(id) > 0.8).count();
        assert!(suspected >= 14 && proven >= 11, "seed {seed}: {suspected} of 20 suspected, {proven} of 19 proven");
    }
}

#[test]
fn half_die_during_the_fetch() {
    let mut world = World::new(40, 3);
    assert_complete(&fetch(&mut world, 10));
    world.spoil(20, Manners::Dead);
    let fetched = fetch(&mut world, 50);
    assert_complete(&fetched);
    assert!(fetched.requests <= 2 * 50 * K, "{}", fetched.requests);
    assert!(fetched.took < Duration::from_secs(6), "{:?}", fetched.took);
}

#[test]
fn marks_in_the_table_help() {
    let mut world = World::new(40, 5);
    world.spoil(20, Manners::Dead);
    for id in &world.ids {
        if world.manners[id] == Manners::Dead {
            world.table.mark_lost(id, world.now);
        }
    }
    let fetched = fetch(&mut world, 50);
    assert_complete(&fetched);
    assert!(fetched.requests <= 50 * K * 3 / 2, "{}", fetched.requests);
}

#[test]
fn lies_in_the_table_do_little_harm() {
    let mut world = World::new(40, 6);
    world.spoil(10, Manners::Dead);
    for id in &world.ids {
        if world.manners[id] == Manners::Honest {
            world.table.mark_lost(id, world.now);
        }
    }
    let fetched = fetch(&mut world, 50);
    assert_complete(&fetched);
    assert!(fetched.requests <= 3 * 50 * K, "{}", fetched.requests);
}

#[test]
fn bad_holders_cost_a_retry_each() {
    for manners in [Manners::Garbage, Manners::Denies, Manners::Refuses] {
        let mut world = World::new(40, 7);
        world.spoil(20, manners);
        let fetched = fetch(&mut world, 20);
        assert_complete(&fetched);
        assert!(fetched.requests <= 3 * 20 * K, "{manners:?}: {}", fetched.requests);
    }
}

/// Nobody is waited for who only ever asks for patience.
#[test]
fn busy_for_ever_is_passed_over() {
    let mut world = World::new(40, 18);
    world.spoil(15, Manners::Busy(usize::MAX));
    let fetched = fetch(&mut world, 20);
    assert_complete(&fetched);
    assert!(fetched.requests <= 3 * 20 * K, "{}", fetched.requests);
    assert!(fetched.took < Duration::from_secs(3), "{:?}", fetched.took);

    let mut world = World::new(40, 19);
    world.spoil(39, Manners::Busy(usize::MAX));
    let fetched = fetch(&mut world, 1);
    assert!(matches!(fetched.verdicts[0], GatherVerdict::Unreachable { .. }), "{:?}", fetched.verdicts);
}

#[test]
fn every_bad_manner_at_once() {
    let mut world = World::new(60, 8);
    world.loss = 0.05;
    for manners in
        [Manners::Garbage, Manners::Denies, Manners::Refuses, Manners::Dead, Manners::Slow(30.0), Manners::Busy(9)]
    {
        world.spoil(6, manners);
    }
    let fetched = fetch(&mut world, 20);
    assert_complete(&fetched);
    assert!(fetched.took < Duration::from_secs(6), "{:?}", fetched.took);
}

#[test]
fn exactly_k_honest_shards_are_enough() {
    let mut world = World::new(40, 9);
    world.spoil(10, Manners::Garbage);
    world.spoil(10, Manners::Dead);
    let placed = place(&world.table, &locators(0, N), K);
    let honest: Vec<usize> =
        (0..N).filter(|&i| world.manners[&placed.candidates(i)[0]] == Manners::Honest).take(K).collect();
    let mut gather = Gather::new(K, &placed);
    world.run(&mut [&mut gather], |_, item, node| honest.contains(&item) && placed.candidates(item)[0] == *node);
    assert_eq!(gather.verdict(), Some(GatherVerdict::Complete));
}

#[test]
fn packet_loss_alone_costs_little() {
    let mut world = World::new(40, 10);
    world.loss = 0.05;
    let fetched = fetch(&mut world, 50);
    assert_complete(&fetched);
    assert!(fetched.requests <= 50 * K * 5 / 4, "{}", fetched.requests);
}

#[test]
fn a_reader_whose_table_lacks_nodes_or_has_more() {
    let mut world = World::new(40, 11);
    world.table = table_of(&network(40)[..37]);
    let fetched = fetch(&mut world, 20);
    assert_complete(&fetched);
    assert!(fetched.requests <= 20 * K * 3 / 2, "{}", fetched.requests);
    let more = table_of(&network(43));
    let mut world = World::new(43, 12);
    let placed: Vec<Placement> = (0..20).map(|s| place(&table_of(&network(40)), &locators(s, N), K)).collect();
    let mut gathers: Vec<Gather> = (0..20).map(|s| Gather::new(K, &place(&more, &locators(s, N), K))).collect();
    let mut jobs: Vec<&mut dyn Machine> = gathers.iter_mut().map(|g| g as &mut dyn Machine).collect();
    world.run(&mut jobs, |job, item, node| placed[job].candidates(item)[0] == *node);
    assert!(gathers.iter().all(|g| g.verdict() == Some(GatherVerdict::Complete)));
    assert!(world.requests <= 20 * K * 3 / 2, "{}", world.requests);
}

/// Came after half of the network had gone, and never heard of them: half of the shards it looks for are nowhere.
#[test]
fn a_reader_who_knows_only_the_survivors() {
    let mut world = World::new(40, 17);
    world.spoil(20, Manners::Dead);
    let living = |id: &NodeId| world.manners[id] != Manners::Dead;
    let survivors: Vec<_> = network(40).into_iter().filter(|node| living(&node.id)).collect();
    world.table = table_of(&survivors);
    let fetched = fetch(&mut world, 50);
    assert_complete(&fetched);
    assert!(fetched.requests <= 3 * 50 * K, "{}", fetched.requests);
    assert!(fetched.took < Duration::from_secs(3), "{:?}", fetched.took);
}

#[test]
fn a_thousand_nodes() {
    let mut world = World::new(1000, 13);
    world.rtt = Duration::from_millis(400);
    world.spoil(500, Manners::Dead);
    let fetched = fetch(&mut world, 20);
    assert_complete(&fetched);
    assert!(fetched.requests <= 4 * 20 * K, "{}", fetched.requests);
}

#[test]
fn what_nobody_has_is_absent() {
    let mut world = World::new(40, 14);
    let fetched = fetch_as(&mut world, 1, N, |_| false);
    assert!(matches!(fetched.verdicts[0], GatherVerdict::Absent { said, asked } if said > 1000 && asked >= said));
    assert!(fetched.took < Duration::from_secs(3), "{:?}", fetched.took);
}

#[test]
fn what_the_dead_had_is_unreachable_not_absent() {
    let mut world = World::new(40, 15);
    world.spoil(30, Manners::Dead);
    let fetched = fetch(&mut world, 1);
    assert!(
        matches!(fetched.verdicts[0], GatherVerdict::Unreachable { have: 1..K, need: K }),
        "{:?}",
        fetched.verdicts
    );
    assert!(fetched.took < Duration::from_secs(30), "{:?}", fetched.took);
}

#[test]
fn nobody_known_is_unreachable() {
    let gather = Gather::new(2, &place(&NodeTable::new(), &locators(0, 9), 2));
    assert_eq!(gather.verdict(), Some(GatherVerdict::Unreachable { have: 0, need: 2 }));
}

#[test]
fn one_data_shard_alone() {
    let mut world = World::new(40, 16);
    let placed = place(&world.table, &locators(0, N), K);
    let mut gather = Gather::new(1, &placed);
    gather.skip((0..N as u8).filter(|&i| i != 7));
    world.run(&mut [&mut gather], |_, item, node| item == 7 && placed.candidates(7)[0] == *node);
    assert_eq!((gather.verdict(), world.requests), (Some(GatherVerdict::Complete), 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever is answered, in whatever order, late or never: it ends, and is right.
    #[test]
    fn it_ends_and_tells_the_truth(
        answers in prop::collection::vec(0..7u8, 1..64), have in 0..12usize, nodes in 1..40u16
    ) {
        let table = table_of(&network(nodes));
        let placement = place(&table, &locators(1, 12), 4);
        let mut gather = Gather::new(4, &placement);
        let (mut now, mut step, mut got) = (Moment::default(), 0, std::collections::BTreeSet::new());
        while gather.verdict().is_none() {
            now = now + Duration::from_millis(10);
            let far = |shard: usize| {
                let diversions = diversions(&table, &locators(1, 12)[shard]);
                Whereabouts { likeliest: diversions.get(3).copied(), diversions }
            };
            let Some(ask) = gather.poll(now, 0.9, |_| 0.9, far) else {
                if gather.verdict().is_none() {
                    now = gather.poll_timeout(now).expect("else it hangs");
                }
                continue;
            };
            let outcome = match answers[step % answers.len()] {
                _ if usize::from(ask.shard) < have && step > 5000 => GatherOutcome::Got,
                0 | 6 if usize::from(ask.shard) < have => GatherOutcome::Got,
                1 => GatherOutcome::Absent,
                2 => GatherOutcome::Garbage,
                3 => GatherOutcome::Busy(Duration::from_millis(7)),
                4 => GatherOutcome::Refused,
                _ => GatherOutcome::TimedOut,
            };
            if outcome == GatherOutcome::Got { got.insert(ask.shard); }
            gather.handle(now, ask.shard, &ask.node, outcome);
            step += 1;
            prop_assert!(step < 10_000);
        }
        prop_assert_eq!(gather.verdict() == Some(GatherVerdict::Complete), got.len() >= 4);
        prop_assert_eq!(gather.have(), got.len());
        if let Some(GatherVerdict::Absent { .. }) = gather.verdict() { prop_assert!(got.is_empty()); }
    }
}
