//! Unlinkability: nobody but a guard sees a client, and whoever is linked to a request had a guard in the coalition.

use super::Verdict;
use crate::scenario::Story;

pub(super) fn judge(story: &Story) -> Verdict {
    let promise = "only a guard sees a client".to_owned();
    let Some(watched) = &story.watched else {
        let seen = "nobody could look over the nodes' shoulders".to_owned();
        return Verdict { oracle: "unlinkability", promise, seen, kept: None };
    };
    let first = watched.complaints.first().map(|what| format!("; {what}")).unwrap_or_default();
    let coalition = match &watched.coalition {
        Some(one) => format!(
            "; {} nodes that pool what they see link {} of {} clients, of whom {} have a guard among them",
            one.nodes, one.linked, watched.clients, one.guarded
        ),
        None => String::new(),
    };
    let beyond = watched.coalition.as_ref().is_some_and(|one| one.linked > one.guarded);
    Verdict {
        oracle: "unlinkability",
        promise,
        seen: format!("{} complaints of {} requests{first}{coalition}", watched.complaints.len(), watched.requests),
        kept: (watched.requests > 0).then_some(watched.complaints.is_empty() && !beyond),
    }
}
