//! Oracles: they know what was promised and what happened, and nothing of how it is done.

mod blindness;
mod bounds;
mod flood;
mod liveness;
mod survival;
mod tables;
mod unlinkability;

use serde::Serialize;

use crate::scenario::{Promises, Story};

/// What an oracle says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// Which kind of promise.
    pub oracle: &'static str,
    /// What was promised.
    pub promise: String,
    /// What was seen.
    pub seen: String,
    /// Whether the promise was kept; none: nothing was there to judge by.
    pub kept: Option<bool>,
}

/// All oracles' verdicts.
#[must_use]
pub fn judge(promises: &Promises, story: &Story) -> Vec<Verdict> {
    let mut verdicts = survival::judge(promises, story);
    verdicts.extend(liveness::judge(promises, story));
    verdicts.push(bounds::judge(story));
    verdicts.push(blindness::judge(story));
    verdicts.push(unlinkability::judge(story));
    verdicts.extend(tables::judge(story));
    verdicts.extend(flood::judge(story));
    verdicts
}

/// Whether all promises were kept: what could not be judged is not called kept, with one exception. Unlinkability shows only where
/// somebody looks over the nodes' shoulders.
#[must_use]
pub fn is_kept(verdicts: &[Verdict]) -> bool {
    let is_shown = |one: &Verdict| one.kept == Some(true) || (one.kept.is_none() && one.oracle == unlinkability::NAME);
    verdicts.iter().all(is_shown) && verdicts.iter().any(|one| one.kept == Some(true))
}

#[cfg(test)]
mod tests;
