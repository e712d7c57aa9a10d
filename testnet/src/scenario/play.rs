//! Plays a scenario step by step, and writes down what happened.

use std::path::PathBuf;
use std::time::Duration;

use super::eclipse::Eclipse;
use super::flood::Wanted;
use super::stage::{PUBLISHER, Stage, StageError, broken};
use super::{Deed, Flooded, Held, Kind, Place, Scenario, StageKind, Step, Story, Theatre};
use crate::sample;
use crate::search::Canary;

/// Bytes of a file's beginning, and of its middle, that are looked for on disks.
const CANARY_BYTES: usize = 32;

/// Why there is no story.
pub type PlayError = StageError;

/// What became of a scenario.
#[derive(Debug)]
pub enum Played {
    /// It was played to its end; and why what was started is still there, if it is.
    Story(Box<Story>, Option<String>),
    /// It was not, for this reason.
    Skipped(String),
}

/// A file, and its link once it is published.
struct File {
    path: PathBuf,
    link: String,
    from: Place,
}

/// How often shards are counted after a flood, until none is missed: what is gone stays gone, and who was busy answers the next time. Each
/// time but the first somebody else counts, who has another guard.
const COUNTS_MAX: usize = 5;

/// Plays a scenario; `tell` hears of each step before it is taken.
///
/// # Errors
/// The stage broke. What it had started is ended as far as that goes.
pub async fn play(
    scenario: &Scenario,
    kind: StageKind,
    theatre: &Theatre,
    tell: impl Fn(usize, &Step),
) -> Result<Played, PlayError> {
    let mut stage = match Stage::open(kind, scenario, theatre).await {
        Ok(stage) => stage,
        Err(StageError::Lacks(what)) => return Ok(Played::Skipped(what)),
        Err(error) => return Err(error),
    };
    let story = perform(scenario, &mut stage, theatre, tell).await.map(|story| {
        let quota = scenario.quota_mib(kind.has_own_disks()) << 20;
        Story { quota, ..story }
    });
    let closed = stage.close().await;
    match story {
        Ok(story) => Ok(Played::Story(Box::new(story), closed.err().map(|left| left.to_string()))),
        Err(StageError::Lacks(what)) => closed.map(|()| Played::Skipped(what)),
        Err(error) => Err(error.and(closed.err())),
    }
}

async fn perform(
    scenario: &Scenario,
    stage: &mut Stage,
    theatre: &Theatre,
    tell: impl Fn(usize, &Step),
) -> Result<Story, StageError> {
    let deadline = Duration::from_secs(scenario.deadline_s);
    let (mut story, mut files, mut canaries, mut seed) = (Story::default(), Vec::new(), Vec::new(), 0);
    let mut there: Option<There> = None;
    for (step, what) in scenario.steps.iter().enumerate() {
        tell(step, what);
        match *what {
            Step::Publish { files: count, bytes, .. } | Step::Fill { files: count, bytes } => {
                let from = if let Step::Publish { from, .. } = *what { from } else { Place::Outside };
                for _ in 0..count {
                    seed += 1;
                    let path = theatre.dir.join(format!("file-{seed}"));
                    sample::write(&path, bytes, seed).map_err(broken)?;
                    let since = stage.now();
                    let (link, end) = stage.publish(&path, from, deadline).await?;
                    let took = stage.now().since(since);
                    if matches!(what, Step::Publish { .. }) {
                        story.deeds.push(Deed { step, kind: Kind::Publish, took, end, asked: None });
                        canaries.extend(pieces(&path, bytes)?);
                        canaries.extend(link.iter().flat_map(|link| Canary::link(link)));
                        files.extend(link.map(|link| File { path, link, from }));
                    }
                }
            }
            Step::Fetch { by, from, of } => {
                for File { path, link, .. } in files.iter().filter(|file| of.is_none_or(|of| of == file.from)) {
                    let since = stage.now();
                    let (end, asked) = stage.fetch(link, path, (by, from), deadline).await?;
                    let took = stage.now().since(since);
                    story.deeds.push(Deed { step, kind: Kind::Fetch, took, end, asked });
                }
            }
            Step::Eclipse { of, nodes, drawn, seed } => {
                if let Some(File { link, .. }) = files.first() {
                    let (nodes, drawn) = (nodes as usize, drawn as usize);
                    let taken = stage.eclipse(Eclipse { link, of, nodes, drawn, seed }).await?;
                    story.eclipses.insert(step, taken);
                }
            }
            Step::Flood { clients, files: each, bytes, seconds } => {
                let links: Vec<String> = files.iter().map(|File { link, .. }| link.clone()).collect();
                let before = stage.held(&links, PUBLISHER, deadline).await?;
                stage.flood(Wanted { clients, files: each, bytes, length: Duration::from_secs(seconds) }).await?;
                there = Some(There { links, before });
            }
            Step::EndFlood {} => story.flood = end_flood(stage, there.take(), deadline).await?.or(story.flood),
            Step::Wait { seconds } => stage.wait(Duration::from_secs(seconds)).await?,
            _ => stage.befall(what).await?,
        }
    }
    story.flood = end_flood(stage, there, deadline).await?.or(story.flood);
    let accounts = stage.accounts().await?;
    (story.accounts, story.silent) = (accounts.said, accounts.silent);
    story.disks = stage.disks(&canaries).await?;
    story.watched = stage.watched().await?;
    story.ended_slow = stage.ended_slow().await?;
    story.tables = stage.tables().await?;
    Ok(story)
}

/// What was published before a flood began, and how many shards of it nodes had.
struct There {
    links: Vec<String>,
    before: Held,
}

/// Ends a flood if there is one.
async fn end_flood(stage: &mut Stage, there: Option<There>, deadline: Duration) -> Result<Option<Flooded>, StageError> {
    let Some(There { links, before }) = there else { return Ok(None) };
    let rubbish = stage.end_flood().await?;
    let mut after = stage.held(&links, PUBLISHER, deadline).await?;
    for number in 1..COUNTS_MAX {
        if !misses(before, after) {
            break;
        }
        after = most(after, stage.held(&links, &format!("counter-{number}"), deadline).await?);
    }
    Ok(Some(Flooded { rubbish, before, after }))
}

/// Whether a count found less than there was.
fn misses(before: Held, after: Held) -> bool {
    match (before, after) {
        (Held::Shards(before), Held::Shards(after)) => after < before,
        (Held::Shards(_), Held::Unknown) => true,
        _ => false,
    }
}

/// The better of two counts: who counts may miss some, and finds none that is not there.
fn most(one: Held, other: Held) -> Held {
    match (one, other) {
        (Held::Shards(one), Held::Shards(other)) => Held::Shards(one.max(other)),
        (Held::Shards(_), _) => one,
        _ => other,
    }
}

/// Pieces of a file that are found nowhere by chance; none of a file that is too short for them.
fn pieces(path: &std::path::Path, bytes: u64) -> Result<Vec<Canary>, StageError> {
    if bytes < 2 * CANARY_BYTES as u64 {
        return Ok(Vec::new());
    }
    [0, bytes / 2]
        .iter()
        .map(|&from| Ok(Canary::bytes("content", &sample::part(path, from, CANARY_BYTES).map_err(broken)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Held, misses, most};

    #[test]
    fn the_best_count_holds_and_only_what_is_missed_is_counted_again() {
        let (some, all) = (Held::Shards(117), Held::Shards(118));
        assert!(misses(all, some) && misses(all, Held::Unknown) && !misses(some, all) && !misses(all, all));
        assert!(!misses(Held::Unknown, some) && !misses(Held::Uncounted, Held::Uncounted));
        assert_eq!([most(some, Held::Unknown), most(Held::Unknown, some), most(all, some)], [some, some, all]);
    }
}
