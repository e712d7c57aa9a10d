//! The exact solution: a Markov chain in steps of a few minutes, whose state is the number of shards left and the steps until
//! a repair that is decided. (What happens within a step counts from its end, so that a repair comes half a step late.)
//!
//! Between two repairs the steps only run down and the shards only get fewer, so that a whole cycle from "all there" to "all
//! there again" is one pass over the states, and the chance of a loss from any state another. Only sums and products of
//! positive numbers: tiny chances are as exact as large ones. (Renewal-reward: what happens in a year is what happens in a
//! cycle, times the cycles in a year.)

use super::{Policy, World, YEAR_HOURS};
use palimpsest_proto::coding::{Geometry, loss};

/// Steps of the chain in an hour.
const HOUR: usize = 10;
/// Deaths within a step that are rarer are left out.
const RARE: f64 = 1e-30;

/// What becomes of a stripe.
#[derive(Clone, Debug, PartialEq)]
pub struct Durability {
    /// The chance of loss within a year without bursts.
    pub loss_per_year: f64,
    /// For each burst asked for: its part of the nodes, and the chance that it costs the stripe, coming at any moment.
    pub bursts: Vec<(f64, f64)>,
    /// The same, coming right after a repair: what `coding::loss` says, and `pal` prints.
    pub bursts_when_whole: Vec<(f64, f64)>,
    /// Repairs in a year.
    pub repairs_per_year: f64,
    /// Bytes fetched and stored for repair in a year, for each byte that the stripe's shards take on disks.
    pub traffic_per_year: f64,
    /// The part of the n shards that there is, on average.
    pub left: f64,
}

/// Solves the chain for one stripe.
pub fn durability(geometry: Geometry, policy: Policy, world: World, bursts: &[f64]) -> Durability {
    let chain = Chain::new(geometry, policy, world);
    let cycle = chain.cycle();
    let cycles = YEAR_HOURS * HOUR as f64 / cycle.steps;
    let end = chain.loss_before_repair();
    let whole = |part: f64| loss(geometry.k(), &loads(geometry.n(), world.nodes), world.dead(part));
    Durability {
        loss_per_year: -(-cycles * cycle.lost).exp_m1(),
        bursts: bursts.iter().map(|&part| (part, chain.burst(&cycle, &end, world, part))).collect(),
        bursts_when_whole: bursts.iter().map(|&part| (part, whole(part))).collect(),
        repairs_per_year: cycles * cycle.repaired,
        traffic_per_year: cycles * cycle.moved / geometry.n() as f64,
        left: cycle.shard_steps / cycle.steps / geometry.n() as f64,
    }
}

/// One shard on each of the first `held` of `nodes` nodes.
fn loads(held: usize, nodes: usize) -> Vec<u32> {
    (0..nodes.max(held)).map(|node| u32::from(node < held)).collect()
}

/// `deaths[i]`: the chance that i of `left` nodes end, each with `chance`; without the rare end of the list.
fn deaths(left: usize, chance: f64) -> Vec<f64> {
    let mut terms = vec![(1.0 - chance).powi(left as i32)];
    let mean = left as f64 * chance;
    for i in 0..left {
        let last = terms[i];
        if last < RARE && i as f64 > mean {
            break;
        }
        terms.push(last * (left - i) as f64 / (i + 1) as f64 * chance / (1.0 - chance));
    }
    terms
}

/// `dead[h][i]`: the chance that a burst which takes `dead` of `nodes` takes i of h given ones.
fn struck(held_max: usize, nodes: usize, dead: usize) -> Vec<Vec<f64>> {
    let nodes = nodes.max(held_max);
    let mut rows = vec![vec![1.0]];
    for seen in 0..held_max {
        let last = &rows[seen];
        let mut row = vec![0.0; seen + 2];
        for (i, p) in last.iter().enumerate() {
            let dies = dead.saturating_sub(i) as f64 / (nodes - seen) as f64;
            row[i] += p * (1.0 - dies).max(0.0);
            row[i + 1] += p * dies.min(1.0);
        }
        rows.push(row);
    }
    rows
}

/// The steps until a repair; `None` while nothing is decided.
type Wait = Option<usize>;

/// Where a stripe is after a step or a burst.
enum Next {
    Lost,
    Repaired,
    At(Wait),
}

struct Chain {
    k: usize,
    n: usize,
    low: usize,
    urgent: usize,
    patient: Wait,
    /// For each number of shards left, the chances of how many go within a step.
    deaths: Vec<Vec<f64>>,
}

/// A quantity for each state: shards left, for each wait; the first row is for [`None`].
struct States(Vec<Vec<f64>>);

impl States {
    fn at(&mut self, wait: Wait, left: usize) -> &mut f64 {
        &mut self.0[wait.unwrap_or(0)][left]
    }

    fn get(&self, wait: Wait, left: usize) -> f64 {
        self.0[wait.unwrap_or(0)][left]
    }
}

/// What happens from "all there" to the next repair, or loss.
struct Cycle {
    /// Steps spent in each state.
    stay: States,
    steps: f64,
    /// The same, times the shards left.
    shard_steps: f64,
    lost: f64,
    repaired: f64,
    /// Shards fetched and stored by the repair.
    moved: f64,
}

impl Chain {
    fn new(geometry: Geometry, policy: Policy, world: World) -> Chain {
        let chance = world.ends_within(1.0 / HOUR as f64);
        Chain {
            k: geometry.k(),
            n: geometry.n(),
            low: policy.low_count(geometry),
            urgent: policy.urgent_hours() as usize * HOUR,
            patient: policy.patient_hours().map(|hours| hours as usize * HOUR),
            deaths: (0..=geometry.n()).map(|left| deaths(left, chance)).collect(),
        }
    }

    fn wait_max(&self) -> usize {
        self.urgent.max(self.patient.unwrap_or(0))
    }

    fn states(&self) -> States {
        States(vec![vec![0.0; self.n + 1]; self.wait_max() + 1])
    }

    /// After `passed` steps, with `left` shards.
    fn next(&self, wait: Wait, left: usize, passed: usize) -> Next {
        if left < self.k {
            return Next::Lost;
        }
        let patient = match wait {
            Some(wait) => Some(wait - passed),
            None if left < self.n => self.patient,
            None => None,
        };
        let wait = if left <= self.low { Some(patient.unwrap_or(self.urgent).min(self.urgent)) } else { patient };
        if wait == Some(0) { Next::Repaired } else { Next::At(wait) }
    }

    fn cycle(&self) -> Cycle {
        let mut cycle =
            Cycle { stay: self.states(), steps: 0.0, shard_steps: 0.0, lost: 0.0, repaired: 0.0, moved: 0.0 };
        *cycle.stay.at(None, self.n) = 1.0;
        // Undecided, then from the longest wait to the shortest: whatever flows, flows to what is still to come.
        for wait in std::iter::once(None).chain((1..=self.wait_max()).rev().map(Some)) {
            for left in (self.k..=self.n).rev() {
                let arrived = cycle.stay.get(wait, left);
                if arrived == 0.0 {
                    continue;
                }
                let deaths = &self.deaths[left];
                // Only who is undecided can be in the same state a step later.
                let (stay, from) = match wait {
                    None => (arrived / deaths.iter().skip(1).sum::<f64>(), 1),
                    Some(_) => (arrived, 0),
                };
                *cycle.stay.at(wait, left) = stay;
                cycle.steps += stay;
                cycle.shard_steps += stay * left as f64;
                for (died, chance) in deaths.iter().enumerate().skip(from) {
                    let (left, mass) = (left - died, stay * chance);
                    match self.next(wait, left, 1) {
                        Next::Lost => cycle.lost += mass,
                        Next::Repaired => {
                            cycle.repaired += mass;
                            cycle.moved += mass * (self.k + self.n - left) as f64;
                        }
                        Next::At(wait) => *cycle.stay.at(wait, left) += mass,
                    }
                }
            }
        }
        cycle
    }

    /// For each state, the chance that the stripe is lost before it is repaired.
    fn loss_before_repair(&self) -> States {
        let mut lost = self.states();
        // A decided state leads to such with a shorter wait, an undecided one to decided ones and those with fewer shards.
        for wait in (1..=self.wait_max()).map(Some).chain([None]) {
            for left in self.k..=self.n {
                let deaths = &self.deaths[left];
                let from = usize::from(wait.is_none());
                let mut sum = 0.0;
                for (died, chance) in deaths.iter().enumerate().skip(from) {
                    sum += chance
                        * match self.next(wait, left - died, 1) {
                            Next::Lost => 1.0,
                            Next::Repaired => 0.0,
                            Next::At(next) => lost.get(next, left - died),
                        };
                }
                let leaves = if wait.is_none() { deaths.iter().skip(1).sum::<f64>() } else { 1.0 };
                *lost.at(wait, left) = sum / leaves;
            }
        }
        lost
    }

    /// The chance that a burst at any moment costs the stripe, then or before the next repair.
    fn burst(&self, cycle: &Cycle, lost_later: &States, world: World, part: f64) -> f64 {
        let struck = struck(self.n, world.nodes, world.dead(part));
        let mut sum = 0.0;
        for wait in std::iter::once(None).chain((1..=self.wait_max()).map(Some)) {
            for (left, struck) in struck.iter().enumerate().skip(self.k) {
                let share = cycle.stay.get(wait, left) / cycle.steps;
                if share == 0.0 {
                    continue;
                }
                for (died, chance) in struck.iter().enumerate() {
                    sum += share
                        * chance
                        * match self.next(wait, left - died, 0) {
                            Next::Lost => 1.0,
                            Next::Repaired => 0.0,
                            Next::At(next) => lost_later.get(next, left - died),
                        };
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_strike_as_coding_computes() {
        for (k, n, nodes, part) in [(32, 113, 1_000, 0.5), (32, 60, 80, 0.5), (2, 9, 9, 0.3), (16, 40, 5_000, 0.7)] {
            let dead = World { life_days: 90.0, nodes }.dead(part);
            let rows = struck(n, nodes, dead);
            for held in [k, (k + n) / 2, n] {
                let fewer: f64 = rows[held].iter().skip(held - k + 1).sum();
                let exact = loss(k, &loads(held, nodes), dead);
                assert!((fewer - exact).abs() <= 1e-9 * exact, "{held} of {nodes}: {fewer} is not {exact}");
            }
        }
    }

    #[test]
    fn deaths_within_a_step_are_all_there_are() {
        for (left, chance) in [(113, 0.001), (10, 0.5), (1, 0.9), (0, 0.5)] {
            let deaths = deaths(left, chance);
            assert!((deaths.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{left} {chance}");
            let mean: f64 = deaths.iter().enumerate().map(|(i, p)| i as f64 * p).sum();
            assert!((mean - left as f64 * chance).abs() < 1e-12, "{left} {chance}");
        }
    }
}
