//! The same story told event by event, with dice: the next of a node's end, a burst, or a repair that is due, again and again.

use super::{Policy, World, YEAR_HOURS};
use palimpsest_proto::coding::Geometry;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Bursts are at least so far apart: one that comes before the repair after the last is another question.
const QUIET_HOURS: f64 = 30.0 * 24.0;

/// What was seen in so many years of stripes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Years, of all stripes together.
    pub years: f64,
    /// Stripes lost without a burst. Each was then published again.
    pub lost: u64,
    /// Bursts that came over a stripe.
    pub bursts: u64,
    /// Stripes lost in one, or before the repair after it.
    pub lost_in_bursts: u64,
    /// Repairs.
    pub repairs: u64,
    /// Shards that they fetched and stored.
    pub moved: u64,
    /// Shards left, summed over the hours.
    pub shard_hours: f64,
}

/// A stripe while it lives.
struct Stripe {
    left: usize,
    /// When a repair ends that is decided, in hours.
    repair_at: Option<f64>,
    /// A burst has struck since it was whole.
    struck: bool,
}

/// Lives through `years` of one stripe after the other, with a burst of `burst` (part of the nodes) about once in a year.
/// The same seed tells the same story.
pub fn simulate(geometry: Geometry, policy: Policy, world: World, burst: Option<f64>, years: u32, seed: u64) -> Seen {
    let mut dice = StdRng::seed_from_u64(seed);
    let end = f64::from(years) * YEAR_HOURS;
    let mut seen = Seen { years: f64::from(years), ..Seen::default() };
    let whole = || Stripe { left: geometry.n(), repair_at: None, struck: false };
    let (mut now, mut stripe) = (0.0, whole());
    let mut burst_at = burst.map_or(f64::INFINITY, |_| next_burst(&mut dice));
    loop {
        let death_at = now + waits(&mut dice, world.life_days * 24.0 / stripe.left as f64);
        let next = death_at.min(burst_at).min(stripe.repair_at.unwrap_or(f64::INFINITY)).min(end);
        seen.shard_hours += stripe.left as f64 * (next - now);
        now = next;
        if now >= end {
            return seen;
        }
        if stripe.repair_at == Some(now) {
            seen.repairs += 1;
            seen.moved += (geometry.k() + geometry.n() - stripe.left) as u64;
            stripe = whole();
            continue;
        }
        if let Some(part) = burst.filter(|_| now == burst_at) {
            burst_at = now + next_burst(&mut dice);
            seen.bursts += 1;
            let died = strike(&mut dice, stripe.left, world, part);
            // One that takes nothing is not to blame for what comes later.
            stripe.struck |= died > 0;
            stripe.left -= died;
        } else {
            stripe.left -= 1;
        }
        if stripe.left < geometry.k() {
            if stripe.struck {
                seen.lost_in_bursts += 1;
            } else {
                seen.lost += 1;
            }
            stripe = whole();
            continue;
        }
        let patient = policy.patient_hours().filter(|_| stripe.left < geometry.n() && stripe.repair_at.is_none());
        let urgent = (stripe.left <= policy.low_count(geometry)).then(|| policy.urgent_hours());
        for hours in [patient, urgent].into_iter().flatten() {
            let at = now + f64::from(hours);
            stripe.repair_at = Some(stripe.repair_at.map_or(at, |before| before.min(at)));
        }
    }
}

/// A waiting time with this mean, memoryless.
fn waits(dice: &mut StdRng, mean: f64) -> f64 {
    -mean * (1.0 - dice.random::<f64>()).ln()
}

/// Hours to the next burst: a year on average.
fn next_burst(dice: &mut StdRng) -> f64 {
    QUIET_HOURS + waits(dice, YEAR_HOURS - QUIET_HOURS)
}

/// How many of the nodes that hold `left` shards are among those that a burst takes.
pub(super) fn strike(dice: &mut StdRng, left: usize, world: World, part: f64) -> usize {
    let (nodes, dead) = (world.nodes.max(left), world.dead(part));
    let mut died = 0;
    for seen in 0..left {
        let dies = dead.saturating_sub(died) as f64 / (nodes - seen) as f64;
        died += usize::from(dice.random::<f64>() < dies);
    }
    died
}
