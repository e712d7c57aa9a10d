//! Clearing away: whatever bears a network's label goes, also when a part of it does not want to.

use std::time::{Duration, Instant};

use super::LABEL;
use super::company::ASK_EVERY;
use super::engine::Docker;
use super::error::DockerError;
use super::names::Name;

/// Time for all of it.
const REMOVE_DEADLINE: Duration = Duration::from_secs(600);
/// Time that a kind of things is tried again for when the engine refuses: a busy one still counts containers that are gone among a
/// network's.
const REFUSED_FOR: Duration = Duration::from_secs(20);

/// What is removed, in this order: how it is listed, and how removed.
const KINDS: [(&[&str], &[&str]); 4] = [
    (&["ps", "--all", "--quiet"], &["rm", "--force"]),
    (&["network", "ls", "--quiet"], &["network", "rm"]),
    (&["volume", "ls", "--quiet"], &["volume", "rm"]),
    (&["images", "--quiet"], &["rmi", "--force"]),
];

/// The same of a node; both have its container's name.
const OF_NODES: [(&[&str], &[&str]); 2] = [
    (&["ps", "--all", "--format", "{{.Names}}"], &["rm", "--force"]),
    (&["volume", "ls", "--quiet"], &["volume", "rm"]),
];

/// Removes all that bears a network's label, whatever is known of it; how many containers that were. What the engine keeps does not
/// keep the rest.
///
/// # Errors
/// The first of what the engine refused; all else is gone.
pub async fn remove(docker: &Docker, name: &Name) -> Result<usize, DockerError> {
    remove_patiently(docker, name, REFUSED_FOR).await
}

async fn remove_patiently(docker: &Docker, name: &Name, refused_for: Duration) -> Result<usize, DockerError> {
    let end = Instant::now() + REMOVE_DEADLINE;
    let (mut containers, mut refused) = (0, None);
    for (kind, (list, rm)) in KINDS.into_iter().enumerate() {
        match remove_kind(docker, name, (list, rm), end, refused_for).await {
            Ok(gone) if kind == 0 => containers = gone,
            Ok(_) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    refused.map_or(Ok(containers), Err)
}

/// Removes all of one kind; how many there were.
async fn remove_kind(
    docker: &Docker,
    name: &Name,
    (list, rm): (&[&str], &[&str]),
    end: Instant,
    refused_for: Duration,
) -> Result<usize, DockerError> {
    let patience = end.min(Instant::now() + refused_for);
    let mut ids = listed(docker, name, list).await?;
    let all = ids.len();
    while !ids.is_empty() {
        let words: Vec<&str> = rm.iter().copied().chain(ids.iter().map(String::as_str)).collect();
        match docker.ask_within(&words, end.saturating_duration_since(Instant::now())).await {
            Ok(_) => break,
            Err(error) if Instant::now() >= patience => return Err(error),
            Err(_) => tokio::time::sleep(ASK_EVERY).await,
        }
        let left = listed(docker, name, list).await?;
        ids.retain(|id| left.contains(id));
    }
    Ok(all)
}

/// Removes the containers and data of these nodes, until there are none: the engine may still be at work on what was broken off.
///
/// # Errors
/// What the engine refuses for a while.
pub(super) async fn remove_nodes(docker: &Docker, name: &Name, nodes: &[String]) -> Result<(), DockerError> {
    let end = Instant::now() + REMOVE_DEADLINE;
    let mut refused_since = None;
    loop {
        let (mut left, mut refused) = (false, None);
        for (list, rm) in OF_NODES {
            let mut there = listed(docker, name, list).await?;
            there.retain(|one| nodes.contains(one));
            if there.is_empty() {
                continue;
            }
            left = true;
            let words: Vec<&str> = rm.iter().copied().chain(there.iter().map(String::as_str)).collect();
            let asked = docker.ask_within(&words, end.saturating_duration_since(Instant::now())).await;
            refused = refused.or(asked.err());
        }
        match refused {
            None if !left => return Ok(()),
            None => refused_since = None,
            Some(error) => {
                if refused_since.get_or_insert_with(Instant::now).elapsed() >= REFUSED_FOR {
                    return Err(error);
                }
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
    }
}

/// What there is of a name: containers, networks, data.
pub(super) async fn of_label(docker: &Docker, name: &Name) -> Result<Vec<String>, DockerError> {
    let mut all = Vec::new();
    for (list, _) in KINDS.into_iter().take(3) {
        all.extend(listed(docker, name, list).await?);
    }
    Ok(all)
}

/// The ids of one kind, each once.
async fn listed(docker: &Docker, name: &Name, list: &[&str]) -> Result<Vec<String>, DockerError> {
    let filter = format!("label={LABEL}={name}");
    let said = docker.ask(&[list, &["--filter", &filter]].concat()).await?;
    let mut ids: Vec<String> = said.split_whitespace().map(str::to_owned).collect();
    ids.dedup();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{remove_nodes, remove_patiently};
    use crate::docker::engine::tests::script;
    use crate::docker::{Docker, Name};

    /// An engine that has one thing of each kind, and keeps its network.
    const STUBBORN: &str = r#"cd "$(dirname "$0")"
case "$1 $2" in
  "version "*|"compose version") echo 1 ;;
  "ps "*) [ -e no-ps ] || echo c1 ;;
  "network ls") echo n1 ;;
  "volume ls") [ -e no-volume ] || echo v1 ;;
  "images "*) [ -e no-images ] || echo i1 ;;
  "rm "*) touch no-ps ;;
  "network rm") echo "has active endpoints" >&2; exit 1 ;;
  "volume rm") touch no-volume ;;
  "rmi "*) touch no-images ;;
esac"#;

    /// An engine that has two nodes, and has just begun to make a container of a third one, whose volume is in use until that is gone.
    const BUSY: &str = r#"cd "$(dirname "$0")"
case "$*" in
  "version "*|"compose version") echo 1 ;;
  "ps "*) echo n-0; [ -e late ] && [ ! -e no-late ] && echo n-2; [ -e no-1 ] || echo n-1 ;;
  "volume ls "*) echo n-0; [ -e no-volume ] || echo n-2 ;;
  "rm --force n-1") touch no-1 late ;;
  "rm --force n-2") touch no-late ;;
  "volume rm n-2") [ -e no-late ] || { echo "in use" >&2; exit 1; }; touch no-volume ;;
esac"#;

    #[tokio::test]
    async fn nodes_that_are_still_being_made_go_too_and_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let engine = script(dir.path(), "docker", BUSY);
        let docker = Docker::find_as(&engine, Path::new("none")).await.unwrap();
        let nodes = ["n-1", "n-2"].map(str::to_owned);
        remove_nodes(&docker, &"busy".parse().unwrap(), &nodes).await.unwrap();
        for gone in ["no-1", "no-late", "no-volume"] {
            assert!(dir.path().join(gone).exists(), "{gone}");
        }
    }

    #[tokio::test]
    async fn what_an_engine_keeps_does_not_keep_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let engine = script(dir.path(), "docker", STUBBORN);
        let docker = Docker::find_as(&engine, Path::new("none")).await.unwrap();
        let name: Name = "stubborn".parse().unwrap();
        let error = remove_patiently(&docker, &name, Duration::ZERO).await.unwrap_err();
        assert!(error.to_string().contains("has active endpoints"), "{error}");
        for gone in ["no-ps", "no-volume", "no-images"] {
            assert!(dir.path().join(gone).exists(), "{gone}");
        }
    }
}
