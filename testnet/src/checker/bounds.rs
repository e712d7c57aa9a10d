//! Bounds: no node takes more than its operator gave, by its own word and by what lies on its disk.

use super::Verdict;
use crate::scenario::{Account, Story};

/// What one node has of what it was given.
struct Taken {
    said: u64,
    /// None: its disk could not be counted.
    seen: Option<u64>,
    given: u64,
}

pub(super) fn judge(story: &Story) -> Verdict {
    let taken: Vec<Taken> = story.accounts.iter().map(|account| taken(story, account)).collect();
    let over = taken.iter().filter(|one| one.said.max(one.seen.unwrap_or_default()) > one.given).count();
    let uncounted = taken.iter().filter(|one| one.seen.is_none()).count();
    let fullest = |part: fn(&Taken) -> u64| {
        taken.iter().map(|one| part(one) as f64 / one.given.max(1) as f64).fold(0.0, f64::max) * 100.0
    };
    let (said, seen) = (fullest(|one| one.said), fullest(|one| one.seen.unwrap_or_default()));
    let unknown = match story.silent + uncounted {
        0 => String::new(),
        _ => format!("; {} say nothing, {uncounted} disks could not be counted", story.silent),
    };
    let slow = story.ended_slow.map_or_else(String::new, |ended| format!("; {ended} streams of slow peers ended"));
    Verdict {
        oracle: "bounds",
        promise: "no node is over its quota".to_owned(),
        seen: format!(
            "{over} of {} nodes; the fullest says {said:.0} %, {seen:.0} % counted on disks{unknown}{slow}",
            taken.len()
        ),
        // Who says nothing may take anything.
        kept: match over {
            0 => (!taken.is_empty() && story.silent == 0 && uncounted == 0).then_some(true),
            _ => Some(false),
        },
    }
}

fn taken(story: &Story, account: &Account) -> Taken {
    let disk = story.disks.iter().find(|disk| disk.node == account.node);
    // Whatever a node says that it may use, it was given so much.
    Taken { said: account.used, seen: disk.and_then(|disk| disk.bytes), given: story.quota.min(account.quota) }
}
