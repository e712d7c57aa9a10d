//! A network that fills up: how many of the new shards still find a place. (PAST stored above 98 % of its space before 5 % of
//! insertions failed.)

use crate::flow::crowd::{Crowd, Stage};

/// Fills networks of `count` nodes with room for `room` shards each until `percent` of the whole is taken, one for each seed;
/// what happened until the last percent, and in it.
fn fill(count: u16, room: u32, percent: f64, seeds: u16) -> (Stage, Stage) {
    let (mut before, mut last) = (Stage::default(), Stage::default());
    let mut uneven: f64 = 0.0;
    for seed in 0..seeds {
        let mut crowd = Crowd::new(count, room, seed);
        before.add(crowd.publish_until((percent - 1.0) / 100.0));
        last.add(crowd.publish_until(percent / 100.0));
        uneven = uneven.max(crowd.unevenness());
    }
    println!(
        "{count} nodes, {percent} % full: {:.2} % of new shards placed ({:.2} % of those before), {:.0} % of them diverted, \
         {:.1} sent for each, load at most {uneven:.2} of the mean",
        100.0 * last.share(),
        100.0 * before.share(),
        100.0 * last.diverted as f64 / last.placed as f64,
        last.sent as f64 / last.placed as f64,
    );
    assert!(uneven <= 1.5);
    (before, last)
}

#[test]
fn forty_nodes_that_fill_up_take_what_comes() {
    let (before, last) = fill(40, 400, 95.0, 6);
    assert!(before.share() > 0.99 && last.share() >= 0.95);
}

/// Parts of the keyspace with few nodes are full early, and the nearest of a locator lie in one part.
#[test]
fn two_hundred_nodes_that_fill_up_take_what_comes() {
    let (before, last) = fill(200, 400, 70.0, 1);
    assert!(before.share() == 1.0 && last.share() == 1.0);
    let (before, last) = fill(200, 400, 95.0, 2);
    assert!(before.share() > 0.99 && last.share() >= 0.95);
}

#[test]
fn a_thousand_nodes_that_fill_up_take_what_comes() {
    let (before, last) = fill(1000, 200, 95.0, 1);
    assert!(before.share() > 0.99 && last.share() >= 0.95);
}

/// While there is room near by, nothing goes elsewhere.
#[test]
fn nothing_is_diverted_before_neighbourhoods_are_full() {
    let mut crowd = Crowd::new(200, 100, 0);
    let stage = crowd.publish_until(0.4);
    assert_eq!((stage.placed, stage.diverted), (stage.wanted, 0));
}
