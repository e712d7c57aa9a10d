//! A model of Kademlia look-ups as `client::net` is set up for them: buckets of 20, eight disjoint paths with up to eight
//! questions each on their way (`libp2p-kad`'s `ClosestDisjointPeersIter`, whose rules are followed line by line), buckets filled at
//! random from the node table.
//!
//! It is a model: libp2p's own code wants sockets and a clock of its own. What a node knows is not stored but computed when it
//! is asked: bucket number b of node x is drawn by dice that depend on x, b and the seed only, so that a million nodes cost the
//! memory of their places. Places are the first 64 bits of `proto`'s positions.

use super::world::{dice, some_of};
use crate::sample::SplitMix64;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::params::CANDIDATES;
use rand::rngs::StdRng;
use rand::{Rng, RngExt};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

/// Disjoint paths, and questions on their way on each of them (`set_parallelism`, `client/src/net/behaviour.rs`).
const PATHS: usize = 8;
/// A question to a dead node costs so many round trips until the dial is given up.
const DEAD_ROUNDS: u64 = 10;

/// The network: who is where, who is dead, who lies.
pub(super) struct Overlay {
    /// Ascending; a node's number is its place here.
    places: Vec<u64>,
    dead: Vec<bool>,
    liar: Vec<bool>,
    /// The places of the living liars, ascending: they know each other.
    liars: Vec<u64>,
    seed: u64,
}

/// What one look-up brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Whether the nearest living, honest node was found.
    pub(super) nearest: bool,
    /// How many of the 20 nearest living nodes, the liars among them.
    pub(super) of_true: usize,
    /// Questions in a row that led to the nearest one: to whom it was known, asking it included. Zero if it was not found.
    pub(super) hops: u32,
    /// Questions in all, and those that went to dead nodes.
    pub(super) asked: u32,
    pub(super) unanswered: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Waiting,
    Succeeded,
    Failed,
}

/// One of the disjoint paths (`ClosestPeersIter`).
struct Way {
    /// By distance: number, state, hops.
    known: BTreeMap<u64, (u32, State, u32)>,
    waiting: usize,
    no_progress: usize,
    finished: bool,
}

/// What a way wants next.
enum Next {
    Ask(u32),
    Wait,
    Finished,
}

impl Overlay {
    /// `count` nodes of which the parts `dead` die at once, after all learnt of each other, and `liars` of the rest lie.
    pub(super) fn new(seed: u64, count: usize, dead: f64, liars: f64) -> Overlay {
        let mut chance = dice(seed, "overlay", count as u64);
        let mut place = || {
            let mut id = [0; 32];
            chance.fill_bytes(&mut id);
            let position = NodeId(id).position();
            position.0.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
        };
        let mut places: Vec<u64> = (0..count).map(|_| place()).collect();
        places.sort_unstable();
        places.dedup();
        let order = some_of(&mut chance, places.len(), places.len());
        let dead_count = (dead * places.len() as f64) as usize;
        let liar_count = (liars * (places.len() - dead_count) as f64) as usize;
        let mut overlay = Overlay {
            dead: vec![false; places.len()],
            liar: vec![false; places.len()],
            liars: Vec::new(),
            places,
            seed,
        };
        order[..dead_count].iter().for_each(|&number| overlay.dead[number] = true);
        order[dead_count..dead_count + liar_count].iter().for_each(|&number| overlay.liar[number] = true);
        overlay.liars = (0..overlay.places.len()).filter(|&n| overlay.liar[n]).map(|n| overlay.places[n]).collect();
        overlay
    }

    /// A living, honest node.
    pub(super) fn someone(&self, chance: &mut StdRng) -> u32 {
        loop {
            let number = chance.random_range(0..self.places.len());
            if !self.dead[number] && !self.liar[number] {
                return number as u32;
            }
        }
    }

    fn number_of(&self, place: u64) -> Option<u32> {
        self.places.binary_search(&place).ok().map(|number| number as u32)
    }

    /// The nodes whose places share the first `bits` bits with `place`, as a range of numbers.
    fn sharing(&self, place: u64, bits: u32) -> std::ops::Range<usize> {
        let free = u64::MAX.checked_shr(bits).unwrap_or(0);
        let (low, high) = (place & !free, place | free);
        self.places.partition_point(|p| *p < low)..self.places.partition_point(|p| *p <= high)
    }

    /// Bucket `bit` of a node: at most 20 of those that share exactly so many leading bits with it.
    fn bucket(&self, number: u32, bit: u32) -> Vec<u32> {
        let place = self.places[number as usize];
        let range = self.sharing(place ^ (1 << (63 - bit)), bit + 1);
        if range.len() <= CANDIDATES {
            return range.map(|n| n as u32).collect();
        }
        let mut chance = SplitMix64::new(self.seed ^ u64::from(number) << 24 ^ u64::from(bit) << 56);
        let mut drawn: Vec<u32> = Vec::with_capacity(CANDIDATES);
        while drawn.len() < CANDIDATES {
            let one = (range.start + (chance.next_u64() % range.len() as u64) as usize) as u32;
            if !drawn.contains(&one) {
                drawn.push(one);
            }
        }
        drawn
    }

    /// The 20 nearest to `target` of whom the node knows.
    fn known_to(&self, number: u32, target: u64) -> Vec<u32> {
        let place = self.places[number as usize];
        let shared = (place ^ target).leading_zeros().min(63);
        // Those that share more bits with the target than the node does; then those that share as many; then ever fewer.
        let mut near = self.bucket(number, shared);
        if near.len() < CANDIDATES {
            for bit in shared + 1..64 {
                near.extend(self.bucket(number, bit));
                if self.sharing(place, bit + 1).len() <= 1 {
                    break;
                }
            }
        }
        for bit in (0..shared).rev() {
            if near.len() >= CANDIDATES {
                break;
            }
            near.extend(self.bucket(number, bit));
        }
        near.sort_unstable_by_key(|n| self.places[*n as usize] ^ target);
        near.truncate(CANDIDATES);
        near
    }

    /// The `count` of `places` (ascending) that are nearest to the target.
    pub(super) fn nearest_of(places: &[u64], target: u64, count: usize, keep: impl Fn(u64) -> bool) -> Vec<u64> {
        let mut bits = 64;
        loop {
            let free = u64::MAX.checked_shr(bits).unwrap_or(0);
            let range =
                places.partition_point(|p| *p < target & !free)..places.partition_point(|p| *p <= target | free);
            let mut near: Vec<u64> = places[range].iter().copied().filter(|p| keep(*p)).collect();
            if near.len() >= count || bits == 0 {
                near.sort_unstable_by_key(|p| p ^ target);
                near.truncate(count);
                return near;
            }
            bits -= 1;
        }
    }

    /// What a node answers: honest ones tell what they know, liars name the liars that are nearest to the target.
    fn answer(&self, number: u32, target: u64) -> Vec<u32> {
        if !self.liar[number as usize] {
            return self.known_to(number, target);
        }
        let fellows = Overlay::nearest_of(&self.liars, target, CANDIDATES, |_| true);
        fellows.into_iter().filter_map(|place| self.number_of(place)).collect()
    }

    /// Node `own` looks up who is nearest to `target`.
    pub(super) fn look_up(&self, own: u32, target: u64) -> Found {
        let known = self.known_to(own, target);
        let start: BTreeMap<u64, (u32, State, u32)> =
            known.iter().map(|n| (self.places[*n as usize] ^ target, (*n, State::New, 1))).collect();
        let way = || Way { known: start.clone(), waiting: 0, no_progress: 0, finished: false };
        let mut ways: Vec<Way> = (0..PATHS).map(|_| way()).collect();
        // Who was asked, by which way, and what came of it.
        let mut asked: HashMap<u32, (usize, State)> = HashMap::new();
        let mut arrivals: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
        let (mut now, mut turn, mut unanswered) = (0, 0, 0);
        loop {
            while let Some((number, by)) = next(&mut ways, &asked, &mut turn, target, &self.places) {
                asked.insert(number, (by, State::Waiting));
                let dead = self.dead[number as usize];
                unanswered += u32::from(dead);
                arrivals.push(Reverse((now + if dead { DEAD_ROUNDS } else { 1 }, number)));
            }
            if ways.iter().all(|way| way.finished) {
                break;
            }
            let Some(Reverse((at, number))) = arrivals.pop() else { break };
            now = at;
            let Some(entry) = asked.get_mut(&number) else { continue };
            let by = entry.0;
            let distance = self.places[number as usize] ^ target;
            if self.dead[number as usize] {
                entry.1 = State::Failed;
                ways.iter_mut().for_each(|way| way.failed(distance));
                continue;
            }
            entry.1 = State::Succeeded;
            let told: Vec<(u64, u32)> = self
                .answer(number, target)
                .into_iter()
                .filter(|n| *n != own)
                .map(|n| (self.places[n as usize] ^ target, n))
                .collect();
            for (i, way) in ways.iter_mut().enumerate() {
                way.succeeded(distance, if i == by { &told } else { &[] });
            }
        }
        self.judge(own, target, &ways, asked.len() as u32, unanswered)
    }

    fn judge(&self, own: u32, target: u64, ways: &[Way], asked: u32, unanswered: u32) -> Found {
        let mut found: BTreeMap<u64, u32> = BTreeMap::new();
        for way in ways {
            for (distance, (_, _, hops)) in way.results() {
                let least = found.entry(*distance).or_insert(*hops);
                *least = (*least).min(*hops);
            }
        }
        let own = self.places[own as usize];
        let index = |place: u64| self.number_of(place).map_or(0, |n| n as usize);
        let lives = |place: u64| place != own && !self.dead[index(place)];
        let honest = |place: u64| lives(place) && !self.liar[index(place)];
        let first: Vec<u64> = found.keys().copied().take(CANDIDATES).collect();
        let near = Overlay::nearest_of(&self.places, target, CANDIDATES, lives);
        let nearest = Overlay::nearest_of(&self.places, target, 1, honest).first().map(|place| place ^ target);
        let hops = nearest.filter(|d| first.contains(d)).and_then(|d| found.get(&d)).copied();
        Found {
            nearest: hops.is_some(),
            of_true: near.iter().filter(|place| first.contains(&(**place ^ target))).count(),
            hops: hops.unwrap_or(0),
            asked,
            unanswered,
        }
    }
}

/// Whom to ask next, and by which way: each way in its turn, nobody twice (`ClosestDisjointPeersIter::next`).
fn next(
    ways: &mut [Way],
    asked: &HashMap<u32, (usize, State)>,
    turn: &mut usize,
    target: u64,
    places: &[u64],
) -> Option<(u32, usize)> {
    for _ in 0..PATHS {
        let by = *turn % PATHS;
        *turn += 1;
        while let Next::Ask(number) = ways[by].next() {
            match asked.get(&number) {
                None => return Some((number, by)),
                Some((_, State::Succeeded)) => ways[by].succeeded(places[number as usize] ^ target, &[]),
                Some((_, State::Failed)) => ways[by].failed(places[number as usize] ^ target),
                // Another way waits for it, and so does this one.
                Some(_) => {}
            }
        }
    }
    None
}

impl Way {
    fn at_capacity(&self) -> bool {
        // Stalled after as many answers in a row as there may be questions: then it asks for all that are left at once.
        let most = if self.no_progress >= PATHS { CANDIDATES.max(PATHS) } else { PATHS };
        self.waiting >= most
    }

    fn next(&mut self) -> Next {
        if self.finished {
            return Next::Finished;
        }
        let full = self.at_capacity();
        let mut succeeded = Some(0);
        for (number, state, _) in self.known.values_mut() {
            match state {
                State::Waiting if full => return Next::Wait,
                State::Waiting => succeeded = None,
                State::Succeeded => {
                    if let Some(count) = &mut succeeded {
                        *count += 1;
                        if *count >= CANDIDATES {
                            self.finished = true;
                            return Next::Finished;
                        }
                    }
                }
                State::New if full => return Next::Wait,
                State::New => {
                    *state = State::Waiting;
                    self.waiting += 1;
                    return Next::Ask(*number);
                }
                State::Failed => {}
            }
        }
        if self.waiting > 0 {
            return Next::Wait;
        }
        self.finished = true;
        Next::Finished
    }

    fn failed(&mut self, distance: u64) {
        if self.finished {
            return;
        }
        if let Some((_, state, _)) = self.known.get_mut(&distance)
            && *state == State::Waiting
        {
            *state = State::Failed;
            self.waiting -= 1;
        }
    }

    fn succeeded(&mut self, distance: u64, told: &[(u64, u32)]) {
        if self.finished {
            return;
        }
        let Some((_, state, hops)) = self.known.get_mut(&distance) else { return };
        if *state != State::Waiting {
            return;
        }
        *state = State::Succeeded;
        self.waiting -= 1;
        let hops = *hops + 1;
        let range =
            self.known.keys().nth(CANDIDATES - 1).or(self.known.keys().next_back()).copied().unwrap_or(distance);
        let mut progress = self.known.len() < CANDIDATES;
        for (distance, number) in told {
            if !self.known.contains_key(distance) {
                self.known.insert(*distance, (*number, State::New, hops));
                progress |= *distance < range;
            }
        }
        self.no_progress = if progress { 0 } else { self.no_progress + 1 };
    }

    fn results(&self) -> impl Iterator<Item = (&u64, &(u32, State, u32))> {
        self.known.iter().filter(|(_, (_, state, _))| *state == State::Succeeded).take(CANDIDATES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_healthy_network_the_nearest_twenty_are_found() {
        let overlay = Overlay::new(1, 2_000, 0.0, 0.0);
        let mut chance = dice(1, "test", 0);
        for _ in 0..50 {
            let found = overlay.look_up(overlay.someone(&mut chance), chance.random());
            assert!(found.nearest && found.of_true == CANDIDATES, "{found:?}");
            assert!((1..=6).contains(&found.hops) && found.unanswered == 0, "{found:?}");
        }
    }

    #[test]
    fn what_a_node_knows_is_what_its_buckets_hold() {
        let overlay = Overlay::new(2, 500, 0.0, 0.0);
        for number in [0, 77, 499] {
            let all: Vec<u32> = (0..64).flat_map(|bit| overlay.bucket(number, bit)).collect();
            assert!(!all.contains(&number));
            for target in [0, 1 << 40, u64::MAX / 3] {
                let mut near = all.clone();
                near.sort_unstable_by_key(|n| overlay.places[*n as usize] ^ target);
                assert_eq!(overlay.known_to(number, target), near[..CANDIDATES]);
            }
        }
    }

    /// With everybody else a liar nothing honest is found but by luck: the measure can fail.
    #[test]
    fn liars_who_are_nearly_all_win() {
        let overlay = Overlay::new(3, 2_000, 0.0, 0.97);
        let mut chance = dice(3, "test", 0);
        let found = (0..50).filter(|_| overlay.look_up(overlay.someone(&mut chance), chance.random()).nearest).count();
        assert!(found < 40, "{found} of 50");
    }
}
