//! Stripes over simulated years, in networks whose nodes leave for good or come and go, kept by `proto`'s own wardens
//! (`life`). Against it stands the Markov chain of [`crate::model`], which knows nothing of what a warden does.

mod life;

use super::{Bound, Goal, SimError};
use crate::model::{Policy, World as ModelWorld, durability};
use life::{Life, STEPS_A_DAY, Totals};
use palimpsest_proto::coding::Geometry;
use palimpsest_proto::flow::RepairPolicy;
use serde::Serialize;

/// Mean lives of servers, in days.
const LIVES: [f64; 3] = [30.0, 90.0, 180.0];
/// Mean life where nodes come and go: a month until one does not come back.
const SESSIONS_LIFE_DAYS: f64 = 30.0;

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Durable {
    /// Nodes, and stripes that were followed.
    pub nodes: usize,
    /// See `nodes`.
    pub stripes: usize,
    /// Any `k` of `n` shards rebuild a stripe.
    pub k: usize,
    /// See `k`.
    pub n: usize,
    /// One line for each kind of churn.
    pub churns: Vec<Churn>,
}

/// One kind of churn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Churn {
    /// Mean days until a node leaves for good.
    pub life_days: f64,
    /// Whether nodes come and go meanwhile, as IPFS's do.
    pub sessions: bool,
    /// Years that stripes lived, all together.
    pub stripe_years: f64,
    /// Stripes of which fewer than `k` shards are on nodes that may come back.
    pub lost: u64,
    /// The part of the time in which fewer than `k` shards could be had.
    pub unavailable: f64,
    /// The part of the n shards that could be had, on average.
    pub left: f64,
    /// Repairs of a stripe in a year, and surveys.
    pub repairs: f64,
    /// See `repairs`.
    pub surveys: f64,
    /// Shards fetched and stored for repair in a year, for each shard of the stripe.
    pub moved: f64,
    /// The same in the second half of the time: what is moved once the stripes are used to their network.
    pub moved_late: f64,
    /// Shards handed over to newcomers in a year, for each shard of the stripe.
    pub handed_over: f64,
    /// Copies that lie on disks for each shard of the stripe, on average: of a holder that is away another one is made.
    pub copies: f64,
    /// What the Markov chain says of servers: part left, repairs, shards moved.
    pub model: Option<Model>,
}

/// See [`crate::model::durability`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Model {
    /// The part of the n shards that is left, on average.
    pub left: f64,
    /// Repairs of a stripe in a year.
    pub repairs: f64,
    /// Shards fetched and stored in a year, for each shard of the stripe.
    pub moved: f64,
    /// The chance of loss in a year.
    pub loss: f64,
}

/// `stripes` stripes of `(k, n)` among `nodes` nodes: `days` days of each kind of churn.
pub(super) fn measure(
    nodes: usize,
    seed: u64,
    stripes: usize,
    geometry: (u8, u8),
    days: f64,
) -> Result<Durable, SimError> {
    let geometry = Geometry::new(geometry.0, geometry.1).map_err(|error| SimError::Node(error.to_string()))?;
    let mut churns = Vec::new();
    for (life_days, sessions) in LIVES.map(|life| (life, false)).into_iter().chain([(SESSIONS_LIFE_DAYS, true)]) {
        churns.push(live(seed, nodes, stripes, geometry, (life_days, sessions), days)?);
    }
    Ok(Durable { nodes, stripes, k: geometry.k(), n: geometry.n(), churns })
}

fn live(
    seed: u64,
    nodes: usize,
    stripes: usize,
    geometry: Geometry,
    churn: (f64, bool),
    days: f64,
) -> Result<Churn, SimError> {
    let mut life = Life::new(seed, nodes, stripes, geometry, churn)?;
    let steps = (days * STEPS_A_DAY) as u64;
    let mut early = 0;
    for step in 1..=steps {
        life.churn(step)?;
        life.keep();
        life.count()?;
        if step == steps / 2 {
            early = life.totals.moved;
        }
    }
    let Totals { lost, out, left, copies, repairs, surveys, moved, handed_over } = life.totals;
    let late = (steps - steps / 2) as f64 / steps as f64;
    let looks = (steps * stripes as u64) as f64;
    let stripe_years = looks / STEPS_A_DAY / 365.0;
    let a_year = |count: u64| count as f64 / stripe_years;
    let shards = geometry.n() as f64;
    let (life_days, sessions) = churn;
    let model = (!sessions).then(|| model(geometry, life_days, nodes));
    Ok(Churn {
        life_days,
        sessions,
        stripe_years,
        lost,
        unavailable: out as f64 / looks,
        left: left as f64 / looks / shards,
        repairs: a_year(repairs),
        surveys: a_year(surveys),
        moved: a_year(moved) / shards,
        moved_late: a_year(moved - early) / shards / late,
        handed_over: a_year(handed_over) / shards,
        copies: copies as f64 / looks / shards,
        model,
    })
}

/// The same question to the Markov chain: repair at the same number of shards.
fn model(geometry: Geometry, life_days: f64, nodes: usize) -> Model {
    let policy = RepairPolicy::default();
    let low = policy.threshold(geometry.n(), geometry.k()) as f64 / geometry.n() as f64;
    let patience = policy.patience.as_secs_f64() / 3_600.0;
    let asked = Policy { detection_hours: 1, delay_hours: 0, ..Policy::new(low, Some(patience as u32)) };
    let solved = durability(geometry, asked, ModelWorld { life_days, nodes: nodes.max(geometry.n()) }, &[]);
    Model {
        left: solved.left,
        repairs: solved.repairs_per_year,
        moved: solved.traffic_per_year,
        loss: solved.loss_per_year,
    }
}

/// The issue names no figure; that no stripe is lost, and none out of reach at any time, is what the network is there for. Where nothing
/// was repaired the time was too short for that to mean anything.
pub(super) fn bounds(durable: &Durable) -> Vec<Bound> {
    let of = |churn: &Churn| {
        let Churn { life_days, stripe_years, .. } = churn;
        let come_and_go = if churn.sessions { " and come and go as IPFS's" } else { "" };
        let when = format!("in {stripe_years:.1} stripe years, nodes live {life_days} days{come_and_go}");
        [
            Bound::at_most(Goal::Lasts, format!("stripes lost {when}"), churn.lost as f64, 0.0),
            Bound::at_most(Goal::Repaired, format!("part of the time out of reach {when}"), churn.unavailable, 0.0),
            Bound::at_least(Goal::Repaired, format!("repairs {when}"), (churn.repairs * stripe_years).round(), 1.0),
        ]
    };
    durable.churns.iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wardens_keep_stripes_alive_and_without_them_they_die() {
        let geometry = Geometry::new(8, 30).unwrap();
        let kept = live(3, 80, 2, geometry, (10.0, false), 20.0).unwrap();
        assert!(kept.lost == 0 && kept.repairs > 0.0 && kept.left > 0.7, "{kept:?}");
        let mut life = Life::new(3, 80, 2, geometry, (10.0, false)).unwrap();
        for step in 1..=(40.0 * STEPS_A_DAY) as u64 {
            life.churn(step).unwrap();
            life.count().unwrap();
        }
        assert!(life.totals.lost > 0);
    }
}
