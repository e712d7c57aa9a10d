//! The model: thousands of clients that choose guards, relays and holders by `proto`'s own code, and a coalition that holds a part
//! of the nodes. There are no packets and no time between them: what a coalition can learn of who asked whom follows from who was
//! chosen. Timing is taken to be perfect: a bad guard and a bad holder always find each other.
//!
//! Every request is answered. What relays that drop on purpose change, it does not show.

use palimpsest_proto::ids::NodeId;
use palimpsest_proto::record::RecordError;
use palimpsest_proto::select::{GuardList, NodeTable, Outcomes, PathRules, choose_path};
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use std::time::Duration;

use super::chance::Rate;
use super::world::{Seats, WALL, World};
use super::{About, Seating, Verdict};

/// After how many requests a client is looked at.
pub const REQUESTS: [usize; 3] = [1, 64, 1_000];
/// From one request of a client to the next.
const BETWEEN: Duration = Duration::from_millis(100);
/// Days for which guards are kept, and how often they are chosen in a year of 360 days.
const GUARD_DAYS: u64 = 120;
const GUARDS_A_YEAR: u64 = 3;
/// How much oftener than its part of the nodes a coalition may be drawn.
pub const DRAWN_MOST: f64 = 1.2;
/// Requests of each client whose relays are counted.
const DRAWS: usize = 64;
/// Nodes of a coalition from which on all relays that are drawn are judged, without allowance for chance. Of fewer it is chance how many
/// others are beside them where they sit, and they are judged by one relay of each client.
const JUDGED_MEMBERS: usize = 10;
/// Bits by which numbers of clients are smaller than what tells one crowd of them from another.
const CROWD_SHIFT: u32 = 32;

/// What to play.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelOptions {
    /// Nodes of the network.
    pub nodes: usize,
    /// Clients, each for itself.
    pub clients: usize,
    /// The parts of the nodes that a coalition holds.
    pub coalition: Vec<f64>,
    /// Chooses the dice: the same number, the same story.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelReport {
    /// Nodes of the network.
    pub nodes: usize,
    /// Clients.
    pub clients: usize,
    /// The dice.
    pub seed: u64,
    /// Who is linked to what, for each coalition.
    pub linking: Vec<Linking>,
    /// How often a coalition is drawn.
    pub drawn: Vec<Drawn>,
}

/// What one coalition learns of the clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Linking {
    /// Its part of the nodes.
    pub coalition: f64,
    /// After each number of [`REQUESTS`].
    pub after: Vec<After>,
    /// Clients that had a bad guard in a year of 360 days.
    pub year: Rate,
    /// Clients with a bad one in the sample of guards: what somebody gains who can knock down guards one after the other.
    pub sample: Rate,
}

/// What is known after so many requests of each client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct After {
    /// So many.
    pub requests: usize,
    /// Clients linked to at least one thing that they asked for: guard and holder were the coalition's.
    pub linked: Rate,
    /// The same, had they three guards and used them by turns.
    pub linked_with_three: Rate,
    /// The same, had they no guard, and a first relay of its own for each request.
    pub linked_without: Rate,
    /// Clients of whom the coalition knows one holder that they asked, though not for what: guard and middle.
    pub holder_known: f64,
    /// Clients whose guard the coalition knows for something that was asked for: holder, and middle or back relay. Whose guard it
    /// is it does not know.
    pub guard_known: f64,
}

/// How often a coalition is drawn, as it sits.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drawn {
    /// Its part of the nodes.
    pub coalition: f64,
    /// Where its nodes are.
    pub seats: &'static str,
    /// Address prefixes of the other nodes.
    pub prefixes: usize,
    /// Its nodes.
    pub members: usize,
    /// Its part of all samples of guards, in which each client's guard is the first.
    pub guards: Rate,
    /// Its part of the back relays, one of each client.
    pub relays: Rate,
    /// Its part of all relays of all paths.
    pub all_relays: f64,
}

/// Plays the model.
///
/// # Errors
/// A node descriptor of ours is refused, which is a mistake.
pub fn measure(options: &ModelOptions) -> Result<ModelReport, RecordError> {
    let ModelOptions { nodes, clients, seed, .. } = *options;
    let drawn = drawn(options)?;
    Ok(ModelReport { nodes, clients, seed, linking: linking(options)?, drawn })
}

impl ModelReport {
    /// Which bounds hold.
    #[must_use]
    pub fn verdicts(&self) -> Vec<Verdict> {
        let linked = self.linking.iter().flat_map(|one| {
            let c = one.coalition;
            one.after
                .iter()
                .map(move |after| Verdict::rate(About::Linked { requests: after.requests }, c, after.linked, c))
        });
        let drawn = self.drawn.iter().flat_map(|one| {
            let (c, seating) = (one.coalition, Seating { seats: one.seats, prefixes: one.prefixes });
            let most = DRAWN_MOST * c;
            let relays = if one.members < JUDGED_MEMBERS {
                Verdict::rate(About::Relays(seating), c, one.relays, most)
            } else {
                Verdict::at_most(About::Relays(seating), Some(c), one.all_relays, most)
            };
            [Verdict::rate(About::Guards(seating), c, one.guards, most), relays]
        });
        linked.chain(drawn).collect()
    }
}

/// One user of the network.
struct Client {
    rng: StdRng,
    list: GuardList,
    outcomes: Outcomes,
    now: Moment,
}

impl Client {
    fn new(seed: u64, number: usize, table: &NodeTable) -> Self {
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number as u64);
        let mut list = GuardList::new();
        list.refill(&mut rng, table, None, WALL);
        Self { rng, list, outcomes: Outcomes::new(), now: Moment::default() }
    }

    /// The first guard that is none of `tried`; it answers.
    fn guard(&mut self, table: &NodeTable, tried: &[NodeId]) -> Option<NodeId> {
        let guard = self.list.choose(table, self.now, tried)?;
        self.list.reached(&guard);
        Some(guard)
    }

    /// All of its guards, the one that it would use first.
    fn sample(&self, table: &NodeTable) -> Vec<NodeId> {
        let mut sample = Vec::new();
        while let Some(id) = self.list.choose(table, self.now, &sample) {
            sample.push(id);
        }
        sample
    }

    /// The relays of a request that is answered.
    fn request(&mut self, table: &NodeTable, guard: NodeId, holder: NodeId) -> Option<[NodeId; 2]> {
        let rules = PathRules { own: None, guard, holder, used: &[] };
        let path = choose_path(&mut self.rng, table, &mut self.outcomes, &rules, self.now)?;
        self.outcomes.answer(&path.nodes(holder), self.now);
        self.now = self.now + BETWEEN;
        Some([path.middle, path.back])
    }

    /// A stripe of which it fetches.
    fn stripe<'a>(&mut self, world: &'a World) -> &'a [NodeId] {
        &world.stripes[self.rng.random_range(0..world.stripes.len())]
    }
}

/// What one client did, as numbers of nodes.
struct Life {
    guards: Vec<usize>,
    sample: Vec<usize>,
    year: Vec<usize>,
    requests: Vec<Request>,
}

/// Who was on the way of one request.
struct Request {
    holder: usize,
    middle: usize,
    back: usize,
    /// The first relay, had it three guards, and had it none.
    one_of_three: usize,
    any: usize,
}

fn live(world: &World, seed: u64, number: usize) -> Option<Life> {
    let table = &world.table;
    let number_of = |id: &NodeId| world.numbers.get(id).copied();
    let mut client = Client::new(seed, number, table);
    let mut guards = Vec::new();
    let sample = client.sample(table);
    for _ in 0..3 {
        guards.extend(client.guard(table, &guards));
    }
    let guard = *guards.first()?;
    let most = REQUESTS.iter().max().copied().unwrap_or_default();
    let mut requests = Vec::with_capacity(most);
    while requests.len() < most {
        for &holder in client.stripe(world) {
            // What belongs with the guard is not asked for.
            if holder != guard && requests.len() < most {
                let [middle, back] = client.request(table, guard, holder)?;
                let one_of_three = guards[client.rng.random_range(0..guards.len())];
                let any = table.relays()[client.rng.random_range(0..table.relays().len())];
                requests.push(Request {
                    holder: number_of(&holder)?,
                    middle: number_of(&middle)?,
                    back: number_of(&back)?,
                    one_of_three: number_of(&one_of_three)?,
                    any: number_of(&any)?,
                });
            }
        }
    }
    let year = (1..GUARDS_A_YEAR).map_while(|turn| {
        client.list.refill(&mut client.rng, table, None, WALL.plus(turn * GUARD_DAYS * 86_400));
        client.guard(table, &[])
    });
    let mut year: Vec<NodeId> = year.collect();
    year.push(guard);
    let numbers = |ids: &[NodeId]| ids.iter().filter_map(number_of).collect::<Vec<_>>();
    Some(Life { guards: numbers(&guards), sample: numbers(&sample), year: numbers(&year), requests })
}

/// Clients in one network, seen by one coalition after the other: the first half of [`measure`].
///
/// # Errors
/// As [`measure`].
pub fn linking(options: &ModelOptions) -> Result<Vec<Linking>, RecordError> {
    let ModelOptions { nodes, clients, ref coalition, seed } = *options;
    let world = World::new(nodes, 0, Seats::Scattered, World::prefixes_of(nodes), seed)?;
    let mut tallies: Vec<Tally> = coalition.iter().map(|&part| Tally::new(part, nodes, seed)).collect();
    for number in 0..clients {
        if let Some(life) = live(&world, seed, number) {
            tallies.iter_mut().for_each(|tally| tally.take(&life));
        }
    }
    Ok(tallies.iter().map(Tally::linking).collect())
}

/// What a coalition learnt up to now.
struct Tally {
    bad: Vec<bool>,
    clients: u64,
    /// Clients by number of [`REQUESTS`]: linked with one guard, with three, without; holder known; guard known.
    known: [[u64; 5]; REQUESTS.len()],
    year: u64,
    sample: u64,
}

impl Tally {
    fn new(part: f64, nodes: usize, seed: u64) -> Self {
        let mut bad = vec![false; nodes];
        bad[..members(part, nodes)].fill(true);
        bad.shuffle(&mut StdRng::seed_from_u64(seed ^ part.to_bits()));
        Self { bad, clients: 0, known: Default::default(), year: 0, sample: 0 }
    }

    fn take(&mut self, life: &Life) {
        let bad = |number: &usize| self.bad[*number];
        let guard = life.guards.first().is_some_and(bad);
        let learnt = |request: &Request| {
            let holder = bad(&request.holder);
            let (middle, back) = (bad(&request.middle), bad(&request.back));
            let links = [guard, bad(&request.one_of_three), bad(&request.any)].map(|first| first && holder);
            [links[0], links[1], links[2], guard && (middle || holder), holder && (middle || back || guard)]
        };
        let mut so_far = [false; 5];
        let learnt = life.requests.iter().map(learnt).enumerate();
        for (place, news) in learnt {
            so_far.iter_mut().zip(news).for_each(|(known, new)| *known |= new);
            for (counts, _) in self.known.iter_mut().zip(REQUESTS).filter(|(_, requests)| *requests == place + 1) {
                counts.iter_mut().zip(so_far).for_each(|(count, known)| *count += u64::from(known));
            }
        }
        self.clients += 1;
        self.year += u64::from(life.year.iter().any(|number| self.bad[*number]));
        self.sample += u64::from(life.sample.iter().any(|number| self.bad[*number]));
    }

    fn linking(&self) -> Linking {
        let rate = |hits: u64| Rate::of(hits, self.clients);
        let after = |(requests, known): (usize, &[u64; 5])| After {
            requests,
            linked: rate(known[0]),
            linked_with_three: rate(known[1]),
            linked_without: rate(known[2]),
            holder_known: rate(known[3]).share,
            guard_known: rate(known[4]).share,
        };
        let bad = self.bad.iter().filter(|bad| **bad).count();
        Linking {
            coalition: bad as f64 / self.bad.len() as f64,
            after: REQUESTS.into_iter().zip(&self.known).map(after).collect(),
            year: Rate::of(self.year, self.clients),
            sample: Rate::of(self.sample, self.clients),
        }
    }
}

/// The nodes of a coalition: at least one.
pub(super) fn members(part: f64, nodes: usize) -> usize {
    ((part * nodes as f64).round() as usize).clamp(1, nodes)
}

/// A network, and clients, for each coalition and each of its ways to sit: the second half of [`measure`].
///
/// # Errors
/// As [`measure`].
pub fn drawn(options: &ModelOptions) -> Result<Vec<Drawn>, RecordError> {
    let ModelOptions { nodes, clients, ref coalition, seed } = *options;
    let many = World::prefixes_of(nodes);
    let ways = [
        (Seats::Scattered, "scattered", many),
        (Seats::Ground, "ground into one prefix", many),
        (Seats::Apart, "each in a prefix of its own", many),
        (Seats::Apart, "each in a prefix of its own", 8),
        (Seats::Apart, "each in a prefix of its own", 2),
    ];
    let mut drawn = Vec::new();
    for (size, &part) in coalition.iter().enumerate() {
        for (way, (seats, name, prefixes)) in ways.into_iter().enumerate() {
            let bad = members(part, nodes);
            // A crowd and a network of their own: else each line would show the same luck.
            let crowd = seed ^ ((size * ways.len() + way) as u64 + 1) << CROWD_SHIFT;
            let world = World::new(nodes, bad, seats, prefixes, crowd)?;
            let (mut guards, mut sampled, mut relays, mut all, mut paths) = (0, 0, 0, 0, 0);
            let bad_one = |id: &NodeId| u64::from(world.numbers.get(id).is_some_and(|number| *number < bad));
            for number in 0..clients {
                let mut client = Client::new(crowd, number, &world.table);
                let sample = client.sample(&world.table);
                guards += sample.iter().map(bad_one).sum::<u64>();
                sampled += sample.len() as u64;
                let Some(guard) = client.guard(&world.table, &[]) else { continue };
                let mut last = 0;
                for &holder in client.stripe(&world).iter().filter(|holder| **holder != guard).take(DRAWS) {
                    let Some(path) = client.request(&world.table, guard, holder) else { continue };
                    all += path.iter().map(bad_one).sum::<u64>();
                    paths += 1;
                    last = bad_one(&path[1]);
                }
                relays += last;
            }
            drawn.push(Drawn {
                coalition: bad as f64 / nodes as f64,
                seats: name,
                prefixes,
                members: bad,
                guards: Rate::of(guards, sampled),
                relays: Rate::of(relays, clients as u64),
                all_relays: all as f64 / (2 * paths).max(1) as f64,
            });
        }
    }
    Ok(drawn)
}
