//! Unlinkability: nobody but a guard sees a client, and whoever is linked to a request had a guard in the coalition.

use super::Verdict;
use crate::anonymity::chance::Rate;
use crate::scenario::Story;

/// What this oracle is called.
pub(super) const NAME: &str = "unlinkability";
/// What is left to chance in who has a guard in the coalition. Scenarios are played again and again; that nobody else is linked is left
/// to no chance at all.
const DOUBT: f64 = 1e-6;

pub(super) fn judge(story: &Story) -> Verdict {
    let promise = "only a guard sees a client".to_owned();
    let Some(watched) = &story.watched else {
        let seen = "nobody could look over the nodes' shoulders".to_owned();
        return Verdict { oracle: NAME, promise, seen, kept: None };
    };
    let first = watched.complaints.first().map(|what| format!("; {what}")).unwrap_or_default();
    let coalition = match &watched.coalition {
        Some(one) => format!(
            "; {} of {} nodes that pool what they see link {} of {} clients ({} of {} users), of whom {} have a guard among them, {} of those \
             without",
            one.nodes, one.of, one.linked, watched.clients, one.users_linked, watched.users, one.guarded, one.beyond
        ),
        None => String::new(),
    };
    // Nobody without a guard among them is linked, and no more users than their share of all nodes has one, but for chance. Clients of
    // one user have its guard, and its luck.
    let beyond = watched.coalition.as_ref().is_some_and(|one| {
        let linked = Rate::of(one.users_linked as u64, watched.users as u64);
        one.beyond > 0 || linked.is_above_but_for(one.nodes as f64 / one.of.max(1) as f64, DOUBT)
    });
    Verdict {
        oracle: NAME,
        promise,
        seen: format!("{} complaints of {} requests{first}{coalition}", watched.complaints.len(), watched.requests),
        // Whoever looks on and sees no request does not look on.
        kept: Some(watched.requests > 0 && watched.complaints.is_empty() && !beyond),
    }
}
