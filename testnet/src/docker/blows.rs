//! What befalls the containers of such a network: deaths, pauses, cuts, and new beginnings.

use std::collections::BTreeMap;
use std::time::Duration;

use super::company::DATA;
use super::netns::{Tools, Wanted};
use super::{DockerError, DockerNet, IMAGE_DEADLINE, LABEL, wanted};
use crate::hostile::HOSTILE;
use crate::process::Fraction;

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It runs.
    Running,
    /// It is frozen.
    Paused,
    /// It is not there, or ended.
    Gone,
}

impl DockerNet {
    /// How each node's container is.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn conditions(&self) -> Result<Vec<Condition>, DockerError> {
        let filter = format!("label={LABEL}={}", self.plan.name);
        let format = format!("{{{{.Label \"{LABEL}.node\"}}}} {{{{.State}}}}");
        let said = self.docker.ask(&["ps", "--all", "--filter", &filter, "--format", &format]).await?;
        Ok(conditions(&said, self.plan.nodes.len()))
    }

    /// The nodes that are so.
    pub(super) async fn those(&self, condition: Condition) -> Result<Vec<u32>, DockerError> {
        let all = self.conditions().await?;
        Ok(self.plan.indices().zip(all).filter(|(_, one)| *one == condition).map(|(index, _)| index).collect())
    }

    /// Kills nodes without warning; those that were hit, because they ran.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn kill(&self, nodes: &[u32]) -> Result<Vec<u32>, DockerError> {
        self.blow("kill", nodes, Condition::Running).await
    }

    /// Freezes nodes: they hang, and their connections stay open; those that were hit.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn pause(&self, nodes: &[u32]) -> Result<Vec<u32>, DockerError> {
        self.blow("pause", nodes, Condition::Running).await
    }

    pub(super) async fn blow(&self, verb: &str, nodes: &[u32], condition: Condition) -> Result<Vec<u32>, DockerError> {
        let hit: Vec<u32> = self.those(condition).await?.into_iter().filter(|index| nodes.contains(index)).collect();
        if !hit.is_empty() {
            let mut words = vec![verb.to_owned()];
            words.extend(hit.iter().map(|&index| self.plan.container(index)));
            self.docker.ask_within(&words, IMAGE_DEADLINE).await?;
        }
        Ok(hit)
    }

    /// Flips a bit in each of a share of all slots of the nodes that run, while they do; the nodes. It takes the hostile program in the
    /// image.
    ///
    /// # Errors
    /// Those of asking the engine, and of reading and writing there.
    pub async fn rot(&self, fraction: Fraction, seed: u64) -> Result<Vec<u32>, DockerError> {
        let running = self.those(Condition::Running).await?;
        let share = fraction.share().to_string();
        for &index in &running {
            let (container, seed) = (self.plan.container(index), seed.wrapping_add(index.into()).to_string());
            let program = format!("/{HOSTILE}");
            let rot = ["rot", "--data-dir", DATA, "--fraction", &share, "--seed", &seed];
            let words: Vec<&str> = ["exec", &container, &program].into_iter().chain(rot).collect();
            self.docker.ask_within(&words, IMAGE_DEADLINE).await?;
        }
        Ok(running)
    }

    /// Cuts the chosen off from the others; those on their side, which has whole LANs.
    ///
    /// # Errors
    /// What this machine lacks, and those of the engine and the tools.
    pub async fn partition(&mut self, chosen: &[u32]) -> Result<Vec<u32>, DockerError> {
        let tools = Tools::find(Wanted { partition: true, ..wanted(&self.plan) }).await?;
        self.plan.island = self.plan.side(chosen);
        self.rewire(tools).await?;
        Ok(self.plan.island.clone())
    }

    /// Ends partition and pauses; the nodes that were frozen.
    ///
    /// # Errors
    /// As of [`DockerNet::partition`].
    pub async fn heal(&mut self) -> Result<Vec<u32>, DockerError> {
        if !self.plan.island.is_empty() {
            let tools = Tools::find(Wanted { partition: true, ..wanted(&self.plan) }).await?;
            self.plan.island.clear();
            self.rewire(tools).await?;
        }
        let paused = self.those(Condition::Paused).await?;
        self.blow("unpause", &paused, Condition::Paused).await
    }

    /// Writes the plan down and makes the running nodes' networks what it says.
    async fn rewire(&self, tools: Option<Tools>) -> Result<(), DockerError> {
        self.plan.write(&self.plan_file())?;
        let mut all = self.those(Condition::Running).await?;
        all.extend(self.those(Condition::Paused).await?);
        match tools {
            Some(tools) => self.wire(&tools, &all).await,
            None => Ok(()),
        }
    }

    /// Starts the dead nodes again on their data and addresses; those, when all that run know each other.
    ///
    /// # Errors
    /// As of [`DockerNet::up`]; what was started then runs on.
    pub async fn restart(&self, deadline: Duration) -> Result<Vec<u32>, DockerError> {
        let tools = Tools::find(wanted(&self.plan)).await?;
        self.start_around().await?;
        let dead = self.blow("start", &self.plan.indices().collect::<Vec<_>>(), Condition::Gone).await?;
        if let Some(tools) = tools {
            self.wire(&tools, &dead).await?;
        }
        self.await_acquainted(deadline).await?;
        Ok(dead)
    }

    /// Starts the containers around the nodes that ended: routers and users, as after a restart of the engine.
    async fn start_around(&self) -> Result<(), DockerError> {
        let filter = format!("label={LABEL}={}", self.plan.name);
        let format = format!("{{{{.ID}}}} {{{{.Label \"{LABEL}.node\"}}}}");
        let words = ["ps", "--all", "--filter", &filter, "--filter", "status=exited", "--format", &format];
        let said = self.docker.ask(&words).await?;
        let around = said.lines().map(str::trim).filter(|line| !line.contains(' '));
        let words: Vec<&str> = ["start"].into_iter().chain(around).collect();
        if words.len() > 1 {
            self.docker.ask_within(&words, IMAGE_DEADLINE).await?;
        }
        Ok(())
    }

    /// Replaces nodes by ones that speak a next version of the protocols beside today's: one after the other, without warning,
    /// each on its data and address. Who else is dead starts with the first.
    ///
    /// # Errors
    /// As of [`DockerNet::up`].
    pub async fn upgrade(&mut self, nodes: &[u32], deadline: Duration) -> Result<(), DockerError> {
        let tools = Tools::find(wanted(&self.plan)).await?;
        for &index in nodes {
            self.kill(&[index]).await?;
            self.plan.next_version.push(index);
            self.plan.write(&self.plan_file())?;
            self.compose_up(&[]).await?;
            if let Some(tools) = &tools {
                self.wire(tools, &self.plan.indices().collect::<Vec<_>>()).await?;
            }
            self.await_acquainted(deadline).await?;
        }
        Ok(())
    }

    /// Asks the nodes that run to end, and waits until they have.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn stop(&self) -> Result<(), DockerError> {
        self.blow("stop", &self.plan.indices().collect::<Vec<_>>(), Condition::Running).await.map(|_| ())
    }
}

/// Reads lines of a node's number and its container's state.
fn conditions(said: &str, nodes: usize) -> Vec<Condition> {
    let states: BTreeMap<usize, &str> = said
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter_map(|(index, state)| Some((index.parse().ok()?, state)))
        .collect();
    let of = |index| match states.get(&index) {
        Some(&"running") => Condition::Running,
        Some(&"paused") => Condition::Paused,
        _ => Condition::Gone,
    };
    (0..nodes).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::{Condition, conditions};

    #[test]
    fn containers_are_told_by_their_labels() {
        let said = "1 running\n0 exited\n running\n3 paused\n";
        let wanted = [Condition::Gone, Condition::Running, Condition::Gone, Condition::Paused];
        assert_eq!(conditions(said, 4), wanted);
    }
}
