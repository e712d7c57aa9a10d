//! Who the nodes of such a network are, what they say and wrote down, and the end of those that were added.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::StreamExt;
use palimpsest_proto::ids::NodeId;
use serde_json::Value;

use super::remove::remove_nodes;
use super::{Condition, DockerError, DockerNet, IMAGE_DEADLINE, engine};
use crate::anonymity::sights::Seen;
use crate::hostile::{DIARY_FILE, Diary, Hex};

/// Questions to nodes at once: each is a program started in a container.
pub(super) const ASKED_AT_ONCE: usize = 4;
/// Time between two rounds of questions.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(500);
/// Lines of a log's end that an error shows.
const TAIL_LINES: &str = "12";
/// What the program of the image that talks to the nodes is told first.
pub(super) const DATA: &str = "/data";

impl DockerNet {
    /// A running node's own account of itself.
    ///
    /// # Errors
    /// It does not answer, or not in JSON.
    pub async fn status(&self, index: u32) -> Result<Value, DockerError> {
        let container = self.plan.container(index);
        let said = self.docker.ask(&["exec", &container, "/pald", "status", "--data-dir", DATA, "--json"]).await?;
        serde_json::from_str(&said).map_err(|error| DockerError::Failed {
            command: format!("pald status in {container}"),
            said: error.to_string(),
        })
    }

    /// The accounts of several nodes, in their order; none of those that do not answer.
    pub async fn statuses(&self, nodes: &[u32]) -> Vec<Option<Value>> {
        let each = nodes.iter().map(|&index| async move { self.status(index).await.ok() });
        futures::stream::iter(each.collect::<Vec<_>>()).buffered(ASKED_AT_ONCE).collect().await
    }

    /// Copies a node's data, also that of a dead one, to a folder that is not there yet. Sockets are left out.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn copy_data(&self, index: u32, to: &Path) -> Result<(), DockerError> {
        let (from, to) = (format!("{}:{DATA}", self.plan.container(index)), to.display().to_string());
        self.docker.ask_within(&["cp", &from, &to], IMAGE_DEADLINE).await.map(|_| ())
    }

    /// Copies one file of a node's data folder, also of a dead one's.
    ///
    /// # Errors
    /// Those of asking the engine; the file is not there.
    pub async fn copy_file(&self, index: u32, name: &str, to: &Path) -> Result<(), DockerError> {
        let (from, to) = (format!("{}:{DATA}/{name}", self.plan.container(index)), to.display().to_string());
        self.docker.ask_within(&["cp", &from, &to], IMAGE_DEADLINE).await.map(|_| ())
    }

    /// The end of a node's log.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn tail(&self, index: u32) -> Result<String, DockerError> {
        // What the node wrote on standard error comes on that of the engine's program.
        let (docker, container) = (self.docker.program().display().to_string(), self.plan.container(index));
        let line = ["-c", "exec \"$0\" logs --tail \"$1\" \"$2\" 2>&1", &docker, TAIL_LINES, &container];
        engine::run(Path::new("/bin/sh"), &line, None, IMAGE_DEADLINE).await
    }

    /// Waits until every node that runs knows as many of whom it does not believe that they are lost, itself among them.
    pub(super) async fn await_acquainted(&self, deadline: Duration) -> Result<(), DockerError> {
        let end = Instant::now() + deadline;
        let running = self.those(Condition::Running).await?;
        let wanted = running.len();
        let mut asked = running.clone();
        loop {
            let answers = self.statuses(&asked).await;
            let known = |status: &Option<Value>| status.as_ref().and_then(|status| status["living_nodes"].as_u64());
            let short: Vec<(u32, Option<u64>)> = asked
                .iter()
                .zip(&answers)
                .map(|(&index, status)| (index, known(status)))
                .filter(|(_, known)| known.is_none_or(|known| known < wanted as u64))
                .collect();
            if short.is_empty() {
                return Ok(());
            }
            let alive = self.those(Condition::Running).await?;
            if let Some(&index) = running.iter().find(|index| !alive.contains(index)) {
                return Err(DockerError::NodeEnded { index, tail: self.tail(index).await? });
            }
            if Instant::now() >= end {
                let say = |(index, known): &(u32, Option<u64>)| match known {
                    Some(known) => format!("node {index} knows {known}"),
                    None => format!("node {index} does not answer"),
                };
                return Err(DockerError::NotAcquainted {
                    after: deadline,
                    wanted,
                    missing: short.iter().map(say).collect(),
                });
            }
            asked = short.into_iter().map(|(index, _)| index).collect();
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// All ids by number, of nodes which all run.
    ///
    /// # Errors
    /// [`DockerError::Silent`]: one does not say who it is.
    pub async fn ids(&self) -> Result<Vec<NodeId>, DockerError> {
        let all: Vec<u32> = self.plan.indices().collect();
        let statuses = self.statuses(&all).await;
        let id = |status: &Value| Hex::try_from(status["id"].as_str()?.to_owned()).ok().map(|Hex(id)| NodeId(id));
        let ids = all.iter().zip(&statuses).map(|(&index, status)| {
            status.as_ref().and_then(id).ok_or_else(|| DockerError::Silent { index, name: self.plan.name.to_string() })
        });
        ids.collect()
    }

    /// The nodes that keep no diary, by number.
    #[must_use]
    pub fn without_diary(&self) -> Vec<u32> {
        self.plan.indices().filter(|index| !self.keeps_diary(*index)).collect()
    }

    fn keeps_diary(&self, index: u32) -> bool {
        self.plan.cast.parts.get(&index).is_some_and(|part| part.diary)
    }

    /// What the nodes saw that keep diaries, also the dead, in order. The diaries are copied into this folder, one after the other.
    ///
    /// # Errors
    /// Those of asking the engine and of reading a diary.
    pub async fn diaries(&self, copies: &Path) -> Result<Vec<Seen>, DockerError> {
        let mut seen = Vec::new();
        for index in self.plan.indices().filter(|&index| self.keeps_diary(index)) {
            self.copy_file(index, DIARY_FILE, &copies.join(DIARY_FILE)).await?;
            seen.extend(Diary::read(copies, index as usize)?);
        }
        seen.sort_by_key(|one| one.at);
        Ok(seen)
    }

    /// Whether nodes with parts can be added.
    ///
    /// # Errors
    /// [`DockerError::NoHostile`], [`DockerError::Routers`]: why not.
    pub fn check_takes_parts(&self) -> Result<(), DockerError> {
        if self.plan.cast.is_empty() {
            return Err(DockerError::NoHostile);
        }
        if self.plan.lans.is_empty() { Ok(()) } else { Err(DockerError::Routers) }
    }

    /// Kills the nodes from this number on, which were added, and forgets them with their data. Others remember them for a while, as
    /// they do the dead.
    ///
    /// # Errors
    /// Those of asking the engine, and of writing files.
    pub async fn dismiss(&mut self, first: u32) -> Result<(), DockerError> {
        let those = self.plan.indices().filter(|&index| index >= first);
        let names: Vec<String> = those.map(|index| self.plan.container(index)).collect();
        remove_nodes(&self.docker, &self.plan.name, &names).await?;
        self.plan.dismiss(first);
        self.plan.write(&self.plan_file())?;
        self.write_compose().map(|_| ())
    }
}
