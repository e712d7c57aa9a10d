//! Stripes that were published when the network was nearly full: most of their shards are not where they belong.

use crate::flow::crowd::{Crowd, K, SHARDS};
use crate::flow::sim::{Machine, Manners, Reply, World, locators};
use crate::flow::{Gather, GatherVerdict};
use crate::ids::{Locator, NodeId};
use crate::params::CANDIDATES;
use crate::select::{NodeTable, place, whereabouts};
use crate::time::Moment;

/// A reader as a client is one: it knows where diverted shards may be.
struct Reader {
    gather: Gather,
    table: NodeTable,
    locators: Vec<Locator>,
}

impl Reader {
    fn new(table: &NodeTable, locators: &[Locator]) -> Reader {
        let gather = Gather::new(K, &place(table, locators, K));
        Reader { gather, table: table.clone(), locators: locators.to_vec() }
    }
}

impl Machine for Reader {
    fn next(&mut self, now: Moment, path: f64, chance: &dyn Fn(&NodeId) -> f64) -> Option<(usize, NodeId)> {
        let far = |shard: usize| whereabouts(&self.table, &self.locators[shard]);
        self.gather.poll(now, path, chance, far).map(|ask| (ask.shard.into(), ask.node))
    }
    fn tell(&mut self, now: Moment, item: usize, node: &NodeId, reply: Option<Reply>) {
        self.gather.tell(now, item, node, reply);
    }
    fn timeout(&self, now: Moment) -> Option<Moment> {
        self.gather.timeout(now)
    }
    fn done(&self) -> bool {
        self.gather.verdict().is_some()
    }
}

/// Reads stripes that were published between 94 and 95 % in a network of 200 nodes, of which then `dead` died; how many
/// requests it took for each shard that was needed.
fn read(dead: usize) -> f64 {
    let mut crowd = Crowd::new(200, 100, 0);
    crowd.publish_until(0.94);
    let mut published = Vec::new();
    let mut diverted = 0;
    while crowd.fill() < 0.95 {
        let (locators, stored, stage) = crowd.publish();
        diverted += stage.diverted;
        published.push((locators, stored));
    }
    assert!(published.len() > 2 && 3 * diverted > SHARDS * published.len(), "{diverted} of {}", published.len());
    let mut world = World::new(200, 7);
    world.table = crowd.table.clone();
    world.spoil(dead, Manners::Dead);
    let mut readers: Vec<Reader> = published.iter().map(|(locators, _)| Reader::new(&world.table, locators)).collect();
    let mut jobs: Vec<&mut dyn Machine> = readers.iter_mut().map(|r| r as &mut dyn Machine).collect();
    let took = world.run(&mut jobs, |job, item, node| published[job].1[item] == Some(*node));
    let each = world.requests as f64 / (published.len() * K) as f64;
    println!("{} stripes, {dead} of 200 nodes dead: {took:?}, {each:.1} requests per shard", published.len());
    assert!(readers.iter().all(|reader| reader.gather.verdict() == Some(GatherVerdict::Complete)));
    each
}

#[test]
fn diverted_shards_are_found() {
    let each = read(0);
    assert!(each < 10.0, "{each}");
}

#[test]
fn diverted_shards_are_found_though_half_of_the_nodes_are_dead() {
    let each = read(100);
    assert!(each < 35.0, "{each}");
}

/// Even if nobody has anything: it costs what the candidates cost.
#[test]
fn where_there_is_room_no_reader_looks_elsewhere() {
    let mut world = World::new(200, 8);
    let mut reader = Reader::new(&world.table, &locators(0, SHARDS));
    world.run(&mut [&mut reader], |_, _, _| false);
    assert!(matches!(reader.gather.verdict(), Some(GatherVerdict::Absent { .. })));
    assert!(world.requests <= SHARDS * CANDIDATES, "{}", world.requests);
}
