//! What it costs that everybody knows everybody: table exchanges in a network in which nothing happens but that each node signs its
//! descriptor anew once a day.
//!
//! A model of `client::net::{gossip, sync}`, whose rules and frames it follows: every node exchanges tables with another drawn at
//! random, quickly after news and ever more rarely without (`proto`'s own [`GossipPace`]); an exchange finds the buckets, of 256, that differ, and
//! sends all descriptors in them, at most 1,024 a message. Descriptors have the length of real signed ones. Who knows what is kept
//! as one bit for each node and descriptor that not all know yet.

use super::SimError;
use super::world::{dice, node};
use palimpsest_proto::flow::GossipPace;
use palimpsest_proto::params::{EXCHANGE_DESCRIPTORS_MAX, TABLE_NODES_MAX};
use palimpsest_proto::select::BUCKETS;
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, RngExt};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// The longest pause of a [`GossipPace`], in milliseconds: nodes that have been there for long begin within it.
const SLOW: u64 = 60_000;
/// Doublings of a pause after which it is the longest one.
const SLOWED: usize = 8;
/// Descriptors in one message.
const DESCRIPTORS_MAX: u32 = EXCHANGE_DESCRIPTORS_MAX as u32;
/// Bytes of an exchange without any descriptor: two digests, lengths and counts of three frames.
const EMPTY_BYTES: u64 = 2 * 8 * BUCKETS as u64 + 3 * 4 + 2 * 8;
/// A node signs anew once in so many milliseconds.
const RENEW: f64 = 86_400_000.0;
/// News that may be on their way at once.
const SLOTS: usize = 8_192;
const WORDS: usize = SLOTS / 64;
/// Milliseconds until the figures are taken, and for which they are.
const SETTLE: u64 = 300_000;
const MEASURE: u64 = 300_000;
/// Networks that are looked at, besides the one asked for.
const SIZES: [usize; 3] = [1_000, 10_000, TABLE_NODES_MAX];

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sync {
    /// Bytes of one signed descriptor with two addresses, and of a whole table for who joins, by the size of the network.
    pub descriptor_bytes: usize,
    /// By the size of the network.
    pub sizes: Vec<Size>,
}

/// Table exchanges in a network of one size.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Size {
    /// Nodes.
    pub nodes: usize,
    /// Bytes of the table that a newcomer takes.
    pub join_bytes: u64,
    /// Exchanges that a node begins in a minute.
    pub exchanges: f64,
    /// Bytes that a node sends in a second.
    pub bytes_a_second: f64,
    /// Descriptors sent for each that was news to the receiver.
    pub sent_for_news: f64,
    /// Seconds until 99 % of the nodes know a descriptor, on average; none if none got so far.
    pub spread_seconds: Option<f64>,
    /// News that were not told, since too many were on their way: the network does not keep up if there are any.
    pub untold: u64,
}

/// News on its way: a descriptor of this bucket, `rank`-th in it.
#[derive(Clone, Copy)]
struct News {
    bucket: u8,
    rank: u32,
    born: u64,
    known: u32,
}

struct Node {
    bucket: u8,
    next: u64,
    pace: GossipPace,
}

/// The pace of a node that has been there for long: slow, and with no quick round saved up.
fn settled() -> GossipPace {
    let mut pace = GossipPace::new(Moment::default());
    let slow_down = |pace: &mut GossipPace| (0..SLOWED).for_each(|_| _ = pace.pause());
    slow_down(&mut pace);
    while pace.quicken(Moment::default()).is_some() {
        slow_down(&mut pace);
    }
    pace
}

struct Gossip {
    nodes: Vec<Node>,
    /// For each node, a bit for each slot: whether it knows the news there.
    known: Vec<u64>,
    slots: Vec<Option<News>>,
    free: Vec<usize>,
    bucket_sizes: [u32; BUCKETS],
    wakes: BinaryHeap<Reverse<(u64, u32)>>,
    chance: StdRng,
    totals: Totals,
}

#[derive(Clone, Copy, Default)]
struct Totals {
    exchanges: u64,
    descriptors: u64,
    news: u64,
    untold: u64,
    spread: u64,
    spread_ms: u64,
}

impl Gossip {
    fn new(seed: u64, count: usize) -> Gossip {
        let mut chance = dice(seed, "sync", count as u64);
        let pace = settled();
        let mut node = || Node { bucket: chance.random(), next: chance.random_range(0..SLOW), pace: pace.clone() };
        let nodes: Vec<Node> = (0..count).map(|_| node()).collect();
        let mut bucket_sizes = [0; BUCKETS];
        nodes.iter().for_each(|node| bucket_sizes[usize::from(node.bucket)] += 1);
        let wakes = nodes.iter().enumerate().map(|(number, node)| Reverse((node.next, number as u32))).collect();
        Gossip {
            known: vec![0; count * WORDS],
            slots: vec![None; SLOTS],
            free: (0..SLOTS).rev().collect(),
            nodes,
            bucket_sizes,
            wakes,
            chance,
            totals: Totals::default(),
        }
    }

    fn run(&mut self, until: u64, next_news: &mut f64) {
        let every = RENEW / self.nodes.len() as f64;
        while let Some(&Reverse((at, number))) = self.wakes.peek() {
            if *next_news < until as f64 && *next_news <= at as f64 {
                self.announce(*next_news as u64);
                *next_news += -every * (1.0 - self.chance.random::<f64>()).ln();
                continue;
            }
            if at >= until {
                return;
            }
            self.wakes.pop();
            // Another time was set since.
            if self.nodes[number as usize].next != at {
                continue;
            }
            let pause = millis(self.nodes[number as usize].pace.pause());
            let next = at + jitter(&mut self.chance, pause);
            self.wake(number, next);
            let partner = self.chance.random_range(0..self.nodes.len() as u32);
            if partner != number {
                self.exchange(at, number, partner);
            }
        }
    }

    fn wake(&mut self, number: u32, at: u64) {
        self.nodes[number as usize].next = at;
        self.wakes.push(Reverse((at, number)));
    }

    /// Somebody signs anew.
    fn announce(&mut self, now: u64) {
        let number = self.chance.random_range(0..self.nodes.len());
        let bucket = self.nodes[number].bucket;
        let Some(slot) = self.free.pop() else {
            self.totals.untold += 1;
            return;
        };
        let size = self.bucket_sizes[usize::from(bucket)];
        self.slots[slot] = Some(News { bucket, rank: self.chance.random_range(0..size), born: now, known: 1 });
        self.known[number * WORDS + slot / 64] |= 1 << (slot % 64);
        self.told(now, number as u32);
    }

    /// A node has news.
    fn told(&mut self, now: u64, number: u32) {
        if let Some(pause) = self.nodes[number as usize].pace.quicken(Moment(Duration::from_millis(now))) {
            let at = now + jitter(&mut self.chance, millis(pause));
            if at < self.nodes[number as usize].next {
                self.wake(number, at);
            }
        }
    }

    fn word(&self, number: u32, word: usize) -> u64 {
        self.known[number as usize * WORDS + word]
    }

    /// What both do not know alike: slots, and whether `one` knows it.
    fn differing(&self, one: u32, other: u32) -> Vec<(usize, bool)> {
        let mut all = Vec::new();
        for word in 0..WORDS {
            let (a, b) = (self.word(one, word), self.word(other, word));
            let mut differs = a ^ b;
            while differs != 0 {
                let bit = differs.trailing_zeros() as usize;
                all.push((word * 64 + bit, a >> bit & 1 == 1));
                differs &= differs - 1;
            }
        }
        all
    }

    /// `giver` sends what it has in the buckets that differ, in random order until the message is full; how many of it were news.
    fn give(&mut self, now: u64, giver: u32, taker: u32) -> u64 {
        let differing = self.differing(giver, taker);
        let mut buckets: Vec<u8> = Vec::new();
        let mut seen = [false; BUCKETS];
        for (slot, _) in &differing {
            if let Some(news) = self.slots[*slot]
                && !std::mem::replace(&mut seen[usize::from(news.bucket)], true)
            {
                buckets.push(news.bucket);
            }
        }
        buckets.shuffle(&mut self.chance);
        let mut taken = [0; BUCKETS];
        let mut left = DESCRIPTORS_MAX;
        for bucket in buckets {
            taken[usize::from(bucket)] = self.bucket_sizes[usize::from(bucket)].min(left);
            left -= taken[usize::from(bucket)];
        }
        self.totals.descriptors += u64::from(DESCRIPTORS_MAX - left);
        let mut news_told = 0;
        for (slot, has) in differing {
            let Some(news) = &mut self.slots[slot] else { continue };
            if !has || news.rank >= taken[usize::from(news.bucket)] {
                continue;
            }
            self.known[taker as usize * WORDS + slot / 64] |= 1 << (slot % 64);
            news.known += 1;
            news_told += 1;
            let (known, born) = (news.known as usize, news.born);
            if known == (self.nodes.len() * 99).div_ceil(100) {
                self.totals.spread += 1;
                self.totals.spread_ms += now - born;
            }
            if known == self.nodes.len() {
                self.slots[slot] = None;
                self.free.push(slot);
                (0..self.nodes.len()).for_each(|n| self.known[n * WORDS + slot / 64] &= !(1 << (slot % 64)));
            }
        }
        self.totals.news += news_told;
        news_told
    }

    /// `one` begins an exchange with `other`, which answers first.
    fn exchange(&mut self, now: u64, one: u32, other: u32) {
        self.totals.exchanges += 1;
        let got = self.give(now, other, one);
        let gave = self.give(now, one, other);
        if got > 0 {
            self.told(now, one);
        }
        if gave > 0 {
            self.told(now, other);
        }
    }
}

/// A pause of a pace in milliseconds: a minute at most.
fn millis(pause: Duration) -> u64 {
    pause.as_millis() as u64
}

/// Give or take a quarter.
fn jitter(chance: &mut StdRng, pause: u64) -> u64 {
    pause * 3 / 4 + chance.next_u64() % (pause / 2 + 1)
}

/// The figures for networks of the usual sizes and of `nodes`, none larger than that, nor than a table.
pub(super) fn measure(nodes: usize, seed: u64) -> Result<Sync, SimError> {
    let descriptor_bytes = node(seed, 0, 0)?.encoded().len();
    let mut sizes: Vec<usize> =
        SIZES.into_iter().chain([nodes]).filter(|size| *size <= nodes.min(TABLE_NODES_MAX)).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let sizes = sizes.into_iter().map(|size| look(size, seed, descriptor_bytes as u64 + 4)).collect();
    Ok(Sync { descriptor_bytes, sizes })
}

fn look(nodes: usize, seed: u64, each: u64) -> Size {
    let mut gossip = Gossip::new(seed, nodes);
    let mut next_news = 0.0;
    gossip.run(SETTLE, &mut next_news);
    let before = std::mem::take(&mut gossip.totals);
    gossip.run(SETTLE + MEASURE, &mut next_news);
    let Totals { exchanges, descriptors, news, untold, spread, spread_ms } = gossip.totals;
    let a_node = nodes as f64;
    let seconds = MEASURE as f64 / 1e3;
    Size {
        nodes,
        join_bytes: EMPTY_BYTES + nodes as u64 * each,
        exchanges: exchanges as f64 / a_node / (seconds / 60.0),
        bytes_a_second: (exchanges * EMPTY_BYTES + descriptors * each) as f64 / a_node / seconds,
        sent_for_news: descriptors as f64 / news.max(1) as f64,
        spread_seconds: (spread > 0).then(|| spread_ms as f64 / 1e3 / spread as f64),
        untold: before.untold + untold,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_gets_to_all_and_quiet_networks_are_cheap() {
        let (mut gossip, mut never) = (Gossip::new(1, 200), f64::INFINITY);
        gossip.run(60_000, &mut never);
        assert_eq!(gossip.totals.descriptors, 0);
        gossip.announce(60_000);
        let slot = (0..SLOTS).find(|slot| gossip.slots[*slot].is_some()).unwrap();
        gossip.run(180_000, &mut never);
        assert!(gossip.slots[slot].is_none(), "known to all");
        assert_eq!(gossip.totals.news, 199);
        assert_eq!(gossip.totals.spread, 1);
    }

    #[test]
    fn more_nodes_cost_each_of_them_more() {
        let (small, large) = (look(100, 1, 200), look(1_000, 1, 200));
        assert!(large.bytes_a_second > small.bytes_a_second && small.untold == 0 && large.untold == 0);
    }
}
