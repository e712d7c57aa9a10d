//! Who the nodes of such a network are, what they wrote down, and the end of those that were added.

use std::path::Path;

use palimpsest_proto::ids::NodeId;
use serde_json::Value;

use super::remove::remove_nodes;
use super::{DockerError, DockerNet};
use crate::anonymity::sights::Seen;
use crate::hostile::{DIARY_FILE, Diary, Hex};

impl DockerNet {
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
