//! A network that fills up: how many of the new shards still find a place. Each node has room for so many, and refuses
//! more; nobody knows beforehand. (PAST stored above 98 % of its space before 5 % of insertions failed.)

use super::*;
use crate::flow::sim::locators;
use crate::select::place;
use crate::select::testing::{network, table_of};

const SHARDS: usize = 60;
const K: usize = 20;

/// What happened between two levels of fill.
#[derive(Clone, Copy, Debug, Default)]
struct Stage {
    wanted: usize,
    placed: usize,
    sent: usize,
    stripes: usize,
    whole_stripes: usize,
}

impl Stage {
    fn add(&mut self, scatter: &Scatter, sent: usize) {
        let placed = scatter.stored().iter().flatten().count();
        self.wanted += SHARDS;
        self.placed += placed;
        self.sent += sent;
        self.stripes += 1;
        self.whole_stripes += usize::from(placed == SHARDS);
    }
    fn share(&self) -> f64 {
        self.placed as f64 / self.wanted as f64
    }
}

/// Fills a network of `count` nodes with room for 400 shards each, until so much of the whole is full; returns what
/// happened until the last percent, and in it.
fn fill(count: u16, percent: u64) -> (Stage, Stage) {
    let nodes = network(count);
    let table = table_of(&nodes);
    let mut left: BTreeMap<NodeId, u32> = nodes.iter().map(|node| (node.id, 400)).collect();
    let all: u64 = left.values().map(|left| u64::from(*left)).sum();
    let (mut held, mut stripe) = (0, 0);
    let (mut before, mut last) = (Stage::default(), Stage::default());
    while held * 100 < all * percent {
        let mut scatter = Scatter::new(&place(&table, &locators(stripe, SHARDS), K), &[]);
        stripe += 1;
        let mut sent = 0;
        while let Some(Send { shard, node, .. }) = scatter.poll(Moment::default(), |_| 1.0) {
            sent += 1;
            let left = left.get_mut(&node).unwrap();
            let outcome = if *left > 0 { ScatterOutcome::Stored } else { ScatterOutcome::Full };
            if *left > 0 {
                *left -= 1;
                held += 1;
            }
            scatter.handle(Moment::default(), shard, &node, outcome);
        }
        assert!(scatter.verdict().is_some());
        let stage = if held * 100 < all * (percent - 1) { &mut before } else { &mut last };
        stage.add(&scatter, sent);
    }
    println!(
        "{count} nodes, {percent} % full: {:.2} % of new shards placed ({:.2} % of those before), {:.2} sent for each, \
         {} of {} stripes whole",
        last.share() * 100.0,
        before.share() * 100.0,
        last.sent as f64 / last.placed as f64,
        last.whole_stripes,
        last.stripes
    );
    (before, last)
}

#[test]
fn a_network_of_40_nodes_that_fills_up_places_what_comes() {
    let (before, last) = fill(40, 90);
    assert!(before.share() == 1.0 && last.share() == 1.0);
    // Of all that comes until it is full to 95 %, and of the last percent of it.
    let (before, last) = fill(40, 95);
    assert!(before.share() > 0.99 && last.share() > 0.9);
}

/// What the twenty nearest are good for where nodes are many: parts of the keyspace with few nodes are full early, and
/// their neighbours with them.
#[test]
fn in_a_larger_network_neighbourhoods_are_full_before_the_whole_is() {
    let (before, last) = fill(200, 70);
    assert!(before.share() > 0.99 && last.share() > 0.9);
    let (before, last) = fill(200, 95);
    assert!(before.share() > 0.8 && last.share() < 0.9);
}
