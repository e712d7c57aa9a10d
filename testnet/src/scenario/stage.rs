//! The stages on which a scenario is played, behind one face.

use std::path::{Path, PathBuf};
use std::time::Duration;

use palimpsest_client::clock::moment;
use palimpsest_proto::time::Moment;
use serde_json::Value;

use super::eclipse::Eclipse;
use super::flood::Wanted;
use super::{
    Account, Disk, End, Held, Place, Rubbish, Scenario, Step, Tables, Watched, Who, containers, in_memory, processes,
    simulated,
};
use crate::censor::eclipse::Taken;
use crate::docker::Links;
use crate::process::{Fraction, Way};
use crate::search::{Canary, folder_bytes, search_folder};
use crate::slow::SlowProgram;

/// Where a scenario is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Nodes and clients in one process.
    Memory,
    /// Programs on loopback.
    Processes,
    /// Containers.
    Docker,
    /// Made-up nodes, in virtual time.
    Sim,
}

impl StageKind {
    /// Whether each of its nodes has a disk of a size of its own, where a scenario wants that.
    pub(super) fn has_own_disks(self) -> bool {
        self == Self::Docker
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Docker => "docker",
            Self::Sim => "sim",
        }
    }
}

/// The user who publishes, on all stages.
pub(super) const PUBLISHER: &str = "publisher";

/// What a stage is built from.
#[derive(Debug, Clone)]
pub struct Theatre {
    /// An empty folder for all that is written.
    pub dir: PathBuf,
    /// Folder of the programs; none: beside this one.
    pub bin_dir: Option<PathBuf>,
    /// Decides what the scenario leaves to chance, where that can be decided: in a simulation.
    pub seed: u64,
}

/// Why a scenario was not played to its end.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// This stage, or this machine, lacks something.
    #[error("{0}")]
    Lacks(String),
    /// The stage itself broke.
    #[error("the stage broke: {0}")]
    Broken(String),
}

impl StageError {
    /// What happened, and what went wrong in clearing away after it, if anything did.
    pub(crate) fn and(self, left: Option<impl std::fmt::Display>) -> StageError {
        match left {
            Some(left) => broken(format!("{self}; and what was started is still there: {left}")),
            None => self,
        }
    }
}

/// Turns any error into that of a broken stage.
pub(crate) fn broken(error: impl std::fmt::Display) -> StageError {
    StageError::Broken(error.to_string())
}

/// A network on which a scenario is played.
pub(super) enum Stage {
    Memory(in_memory::Stage),
    Processes(processes::Stage),
    Docker(Box<containers::Stage>),
    Sim(Box<simulated::Stage>),
}

impl Stage {
    pub(super) async fn open(kind: StageKind, scenario: &Scenario, theatre: &Theatre) -> Result<Self, StageError> {
        if let Some(lack) = lacks(kind, scenario) {
            return Err(StageError::Lacks(lack.to_owned()));
        }
        Ok(match kind {
            StageKind::Memory => Self::Memory(in_memory::Stage::open(scenario, theatre).await?),
            StageKind::Processes => Self::Processes(processes::Stage::open(scenario, theatre).await?),
            StageKind::Docker => Self::Docker(Box::new(containers::Stage::open(scenario, theatre).await?)),
            StageKind::Sim => Self::Sim(Box::new(simulated::Stage::open(scenario, theatre)?)),
        })
    }

    /// The stage's own clock: what a deed took is the difference of two looks at it.
    pub(super) fn now(&self) -> Moment {
        match self {
            Self::Memory(_) | Self::Processes(_) | Self::Docker(_) => moment(),
            Self::Sim(stage) => stage.now(),
        }
    }

    /// Nothing happens for so long, by the stage's own clock.
    pub(super) async fn wait(&mut self, time: Duration) -> Result<(), StageError> {
        match self {
            Self::Memory(_) | Self::Processes(_) | Self::Docker(_) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Self::Sim(stage) => stage.wait(time),
        }
    }

    /// Publishes a file; its link, if that succeeded.
    pub(super) async fn publish(
        &mut self,
        file: &Path,
        from: Place,
        deadline: Duration,
    ) -> Result<(Option<String>, End), StageError> {
        match self {
            Self::Memory(stage) => stage.publish(file, deadline).await,
            Self::Processes(stage) => stage.users.publish(file, &Way::default(), deadline).await,
            Self::Docker(stage) => {
                let way = stage.way(from).await?;
                stage.users.publish(file, &way, deadline).await
            }
            Self::Sim(stage) => stage.publish(file, from, deadline),
        }
    }

    /// Fetches what a link stands for, and compares it with the file; says how many shards were asked for, where that is known.
    pub(super) async fn fetch(
        &mut self,
        link: &str,
        file: &Path,
        (by, from): (Who, Place),
        deadline: Duration,
    ) -> Result<(End, Option<u64>), StageError> {
        match self {
            Self::Memory(stage) => stage.fetch(link, file, by, deadline).await,
            Self::Processes(stage) => stage.users.fetch(link, file, by, &Way::default(), deadline).await,
            Self::Docker(stage) => {
                let way = stage.way(from).await?;
                stage.users.fetch(link, file, by, &way, deadline).await
            }
            Self::Sim(stage) => stage.fetch(link, file, (by, from), deadline).map(|end| (end, None)),
        }
    }

    /// Lets something happen to the nodes.
    pub(super) async fn befall(&mut self, step: &Step) -> Result<(), StageError> {
        match self {
            Self::Memory(stage) => stage.befall(step).await,
            Self::Processes(stage) => stage.befall(step).await,
            Self::Docker(stage) => stage.befall(step).await,
            Self::Sim(stage) => stage.befall(step),
        }
    }

    /// Nodes appear next to what a link leads to; says what they took.
    pub(super) async fn eclipse(&mut self, eclipse: Eclipse<'_>) -> Result<Taken, StageError> {
        match self {
            Self::Memory(stage) => stage.eclipse(eclipse).await,
            Self::Sim(stage) => stage.eclipse(eclipse),
            Self::Processes(stage) => stage.eclipse(eclipse).await,
            Self::Docker(stage) => stage.eclipse(eclipse).await,
        }
    }

    /// Clients begin to publish rubbish.
    pub(super) async fn flood(&mut self, wanted: Wanted) -> Result<(), StageError> {
        match self {
            Self::Memory(stage) => stage.flood(wanted).await,
            Self::Processes(stage) => stage.users.flood(wanted),
            Self::Docker(stage) => stage.users.flood(wanted),
            Self::Sim(stage) => {
                stage.flood(wanted);
                Ok(())
            }
        }
    }

    /// They end: what became of the rubbish.
    pub(super) async fn end_flood(&mut self) -> Result<Rubbish, StageError> {
        match self {
            Self::Memory(stage) => stage.end_flood().await,
            Self::Processes(stage) => Ok(stage.users.end_flood().await),
            Self::Docker(stage) => Ok(stage.users.end_flood().await),
            Self::Sim(stage) => Ok(stage.end_flood()),
        }
    }

    /// Shards of what these links stand for that nodes have, as this user finds them; none where nobody could count them. Those that belong
    /// with its guard it does not ask for, and takes for there: of n shards so many less can be found missing as the guard is to have.
    pub(super) async fn held(&mut self, links: &[String], by: &str, deadline: Duration) -> Result<Held, StageError> {
        match self {
            Self::Memory(stage) => stage.held(links, by, deadline).await,
            Self::Processes(stage) => stage.users.held(links, by, deadline).await,
            Self::Docker(stage) => stage.users.held(links, by, deadline).await,
            // Simulated nodes give up nothing that they have.
            Self::Sim(_) => Ok(Held::Uncounted),
        }
    }

    pub(super) async fn accounts(&self) -> Result<Accounts, StageError> {
        match self {
            Self::Memory(stage) => stage.accounts().await,
            Self::Processes(stage) => stage.accounts().await,
            Self::Docker(stage) => stage.accounts().await,
            Self::Sim(stage) => Ok(stage.accounts()),
        }
    }

    pub(super) async fn disks(&self, canaries: &[Canary]) -> Result<Vec<Disk>, StageError> {
        match self {
            Self::Memory(stage) => stage.disks(canaries).await,
            Self::Processes(stage) => stage.disks(canaries).await,
            Self::Docker(stage) => stage.disks(canaries).await,
            Self::Sim(stage) => Ok(stage.disks(canaries)),
        }
    }

    /// What the nodes saw of clients, where somebody can look over their shoulders.
    pub(super) async fn watched(&self) -> Result<Option<Watched>, StageError> {
        match self {
            Self::Memory(stage) => Ok(Some(stage.watched())),
            Self::Processes(stage) => stage.watched(),
            Self::Docker(stage) => stage.watched().await,
            Self::Sim(stage) => Ok(stage.watched()),
        }
    }

    /// What is in node tables, where nodes lie about them. Programs are ended for it: they write their tables down then.
    pub(super) async fn tables(&self) -> Result<Option<Tables>, StageError> {
        match self {
            Self::Memory(stage) => Ok(stage.tables().await),
            Self::Processes(stage) => stage.tables().await,
            Self::Docker(stage) => stage.tables().await,
            Self::Sim(stage) => Ok(stage.tables()),
        }
    }

    /// Streams of slow peers that nodes have ended, where there are such peers.
    pub(super) async fn ended_slow(&mut self) -> Result<Option<usize>, StageError> {
        match self {
            Self::Memory(stage) => Ok(stage.ended_slow()),
            Self::Processes(stage) => ended_slow(stage.slow.as_mut()).await,
            Self::Docker(stage) => ended_slow(stage.slow.as_mut()).await,
            Self::Sim(stage) => Ok(stage.ended_slow()),
        }
    }

    pub(super) async fn close(self) -> Result<(), StageError> {
        match self {
            Self::Memory(stage) => stage.close().await,
            Self::Processes(stage) => stage.close().await,
            Self::Docker(stage) => stage.close().await,
            Self::Sim(_) => Ok(()),
        }
    }
}

/// What a stage cannot do of what a scenario wants; none: it can be played.
pub(super) fn lacks(kind: StageKind, scenario: &Scenario) -> Option<&'static str> {
    let any = |wanted: fn(&Step) -> bool| scenario.steps.iter().any(wanted);
    let has_partition = any(|step| matches!(step, Step::Partition { .. }));
    let has_inside = any(|step| match *step {
        Step::Publish { from, .. } | Step::Fetch { from, .. } => from != Place::Outside,
        _ => false,
    });
    match kind {
        StageKind::Sim => {
            let Links { latency: _, loss, bandwidth } = scenario.links;
            if loss.is_some() || bandwidth.is_some() {
                return Some("simulated links only delay: what loss and bandwidth do to a connection is not simulated");
            }
            if scenario.nat.share() > 0.0 {
                return Some("simulated nodes have no routers in front of them");
            }
            if any(|step| matches!(step, Step::Upgrade { .. })) {
                return Some("simulated nodes speak no protocol of which there could be a next version");
            }
            if simulated::is_too_much(scenario) {
                return Some("simulated nodes keep everything in memory, and this is more than they may");
            }
        }
        StageKind::Memory | StageKind::Processes => {
            if !scenario.links.are_plain() {
                return Some("only containers have links of their own");
            }
            if has_partition {
                return Some("only containers and simulated nodes can be cut off from each other");
            }
            if scenario.nat.share() > 0.0 || has_inside {
                return Some("only containers have a network of their own, with users and routers in it");
            }
            if kind == StageKind::Memory && any(|step| matches!(step, Step::Pause { .. })) {
                return Some("nodes in one process do not hang alone");
            }
        }
        StageKind::Docker => {}
    }
    let has_flood = any(|step| matches!(step, Step::Flood { .. }));
    if matches!(kind, StageKind::Processes | StageKind::Docker) && has_flood && scenario.coalition.is_some() {
        return Some("nobody notes which guards the programs of a flood have, and diaries are judged by that");
    }
    if kind == StageKind::Sim && scenario.has_own_tables() && any(|step| matches!(step, Step::Eclipse { .. })) {
        return Some("simulated ids are ground without the work that nodes ask for which exchange tables");
    }
    None
}

async fn ended_slow(slow: Option<&mut SlowProgram>) -> Result<Option<usize>, StageError> {
    match slow {
        Some(slow) => slow.ended().await.map(Some).map_err(broken),
        None => Ok(None),
    }
}

/// What a node's status says of its space; none if it says nothing.
pub(super) fn account(node: u32, status: &Value) -> Option<Account> {
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64);
    let [paid, unpaid] = [number("/stamps/paid")?, number("/stamps/unpaid")?];
    Some(Account { node, used: number("/store/used")?, quota: number("/store/quota")?, paid, unpaid })
}

/// What nodes say of their space, and how many of those that run say nothing.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    pub(super) said: Vec<Account>,
    pub(super) silent: usize,
}

impl Accounts {
    pub(super) fn hear(&mut self, said: Option<Account>) {
        match said {
            Some(account) => self.said.push(account),
            None => self.silent += 1,
        }
    }
}

impl FromIterator<Option<Account>> for Accounts {
    fn from_iter<I: IntoIterator<Item = Option<Account>>>(all: I) -> Self {
        let mut accounts = Self::default();
        all.into_iter().for_each(|said| accounts.hear(said));
        accounts
    }
}

/// Searches one node's disk.
pub(super) fn searched(node: u32, dir: &Path, canaries: &[Canary]) -> Disk {
    let found = match search_folder(dir, canaries) {
        Ok(hits) => Ok(hits.into_iter().map(|hit| format!("{} in {}", hit.what, hit.place)).collect()),
        Err(error) => Err(error.to_string()),
    };
    Disk { node, found, bytes: folder_bytes(&dir.join("store")).ok() }
}

/// Those of nodes `0..all` that a step of a share and a seed means.
pub(super) fn chosen(all: u32, fraction: Fraction, seed: u64) -> Vec<u32> {
    crate::process::choose(all, fraction, seed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Accounts, StageKind, account, lacks};
    use crate::scenario::{Account, SHIPPED, Scenario};

    #[test]
    fn every_scenario_has_a_stage_and_none_is_played_where_it_cannot_be() {
        let where_to = |name: &str| {
            let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name).unwrap();
            let scenario: Scenario = text.parse().unwrap();
            let all = [StageKind::Memory, StageKind::Processes, StageKind::Docker, StageKind::Sim];
            all.into_iter().filter(|&kind| lacks(kind, &scenario).is_none()).map(StageKind::name).collect::<Vec<_>>()
        };
        assert!(SHIPPED.iter().all(|(name, _)| !where_to(name).is_empty()));
        assert_eq!(where_to("half-dies"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("hanging"), ["processes", "docker", "sim"]);
        assert_eq!(where_to("slow-links"), ["docker"]);
        assert_eq!(where_to("partition-and-heal"), ["docker", "sim"]);
        assert_eq!(where_to("nat"), ["docker"]);
        assert_eq!(where_to("eclipse"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("rolling-upgrade"), ["memory", "processes", "docker"]);
        assert_eq!(where_to("halves-publish"), ["docker", "sim"]);
        assert_eq!(where_to("lying-holders"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("hostile-relays"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("colluding-relays"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("eclipse-stripe"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("made-up-nodes"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("table-liars"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("slow-loris"), ["memory", "processes", "docker", "sim"]);
        assert_eq!(where_to("rot"), ["memory", "processes", "docker", "sim"]);
    }

    #[test]
    fn a_node_that_does_not_tell_is_counted_apart() {
        let status = json!({"store": {"used": 1, "quota": 2}, "stamps": {"paid": 3, "unpaid": 4}});
        let all: Accounts = [account(7, &status), account(8, &json!({"store": {"used": 1}}))].into_iter().collect();
        let said = Account { node: 7, used: 1, quota: 2, paid: 3, unpaid: 4 };
        assert_eq!((all.said, all.silent), (vec![said], 1));
    }
}
