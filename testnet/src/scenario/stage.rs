//! The stages on which a scenario is played, behind one face.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{
    Account, Disk, Eclipsed, End, Place, Scenario, Step, Tables, Watched, Who, containers, in_memory, processes,
};
use crate::process::{Fraction, Home, Pal, Run, Way, find_program};
use crate::sample;
use crate::search::{Canary, search_folder};

/// Where a scenario is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Nodes and clients in one process.
    Memory,
    /// Programs on loopback.
    Processes,
    /// Containers.
    Docker,
}

impl StageKind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Processes => "processes",
            Self::Docker => "docker",
        }
    }
}

/// What a stage is built from.
#[derive(Debug, Clone)]
pub struct Theatre {
    /// An empty folder for all that is written.
    pub dir: PathBuf,
    /// Folder of the programs; none: beside this one.
    pub bin_dir: Option<PathBuf>,
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

/// Turns any error into that of a broken stage.
pub(super) fn broken(error: impl std::fmt::Display) -> StageError {
    StageError::Broken(error.to_string())
}

/// A network on which a scenario is played.
pub(super) enum Stage {
    Memory(in_memory::Stage),
    Processes(processes::Stage),
    Docker(containers::Stage),
}

/// Calls the same on whichever stage it is.
macro_rules! on {
    ($stage:expr, $one:ident => $call:expr) => {
        match $stage {
            Stage::Memory($one) => $call,
            Stage::Processes($one) => $call,
            Stage::Docker($one) => $call,
        }
    };
}

impl Stage {
    pub(super) async fn open(kind: StageKind, scenario: &Scenario, theatre: &Theatre) -> Result<Self, StageError> {
        if let Some(lack) = lacks(kind, scenario) {
            return Err(StageError::Lacks(lack.to_owned()));
        }
        Ok(match kind {
            StageKind::Memory => Self::Memory(in_memory::Stage::open(scenario, theatre).await?),
            StageKind::Processes => Self::Processes(processes::Stage::open(scenario, theatre).await?),
            StageKind::Docker => Self::Docker(containers::Stage::open(scenario, theatre).await?),
        })
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
            Self::Docker(stage) => stage.users.publish(file, &stage.way(from).await?, deadline).await,
        }
    }

    /// Fetches what a link stands for, and compares it with the file.
    pub(super) async fn fetch(
        &mut self,
        link: &str,
        file: &Path,
        (by, from): (Who, Place),
        deadline: Duration,
    ) -> Result<End, StageError> {
        match self {
            Self::Memory(stage) => stage.fetch(link, file, by, deadline).await,
            Self::Processes(stage) => stage.users.fetch(link, file, by, &Way::default(), deadline).await,
            Self::Docker(stage) => {
                let way = stage.way(from).await?;
                stage.users.fetch(link, file, by, &way, deadline).await
            }
        }
    }

    /// Lets something happen to the nodes.
    pub(super) async fn befall(&mut self, step: &Step) -> Result<(), StageError> {
        on!(self, stage => stage.befall(step).await)
    }

    /// Nodes appear next to what a link leads to.
    pub(super) async fn eclipse(
        &mut self,
        link: &str,
        of: Eclipsed,
        nodes: usize,
        drawn: usize,
        seed: u64,
    ) -> Result<(), StageError> {
        match self {
            Self::Memory(stage) => stage.eclipse(link, of, nodes, drawn, seed).await,
            Self::Processes(_) | Self::Docker(_) => Ok(()),
        }
    }

    pub(super) async fn accounts(&self) -> Result<Vec<Account>, StageError> {
        on!(self, stage => stage.accounts().await)
    }

    pub(super) async fn disks(&self, canaries: &[Canary]) -> Result<Vec<Disk>, StageError> {
        on!(self, stage => stage.disks(canaries).await)
    }

    /// What the nodes saw of clients, where somebody can look over their shoulders.
    pub(super) fn watched(&self) -> Option<Watched> {
        match self {
            Self::Memory(stage) => Some(stage.watched()),
            Self::Processes(_) | Self::Docker(_) => None,
        }
    }

    /// What is in node tables, where nodes lie about them.
    pub(super) fn tables(&self) -> Option<Tables> {
        match self {
            Self::Memory(stage) => stage.tables(),
            Self::Processes(_) | Self::Docker(_) => None,
        }
    }

    /// Streams of slow peers that nodes have ended, where there are such peers.
    pub(super) fn ended_slow(&self) -> Option<usize> {
        match self {
            Self::Memory(stage) => stage.ended_slow(),
            Self::Processes(_) | Self::Docker(_) => None,
        }
    }

    pub(super) async fn close(self) -> Result<(), StageError> {
        on!(self, stage => stage.close().await)
    }
}

/// What a stage cannot do of what a scenario wants; none: it can be played.
pub(super) fn lacks(kind: StageKind, scenario: &Scenario) -> Option<&'static str> {
    let any = |wanted: fn(&Step) -> bool| scenario.steps.iter().any(wanted);
    let docker = kind == StageKind::Docker;
    if !docker && !scenario.links.are_plain() {
        return Some("only containers have links of their own");
    }
    if !docker && any(|step| matches!(step, Step::Partition { .. })) {
        return Some("only containers can be cut off from each other");
    }
    let is_inside = |step: &Step| match *step {
        Step::Publish { from, .. } | Step::Fetch { from, .. } => from != Place::Outside,
        _ => false,
    };
    if !docker && (scenario.nat.share() > 0.0 || scenario.steps.iter().any(is_inside)) {
        return Some("only containers have a network of their own, with users and routers in it");
    }
    if kind == StageKind::Memory && any(|step| matches!(step, Step::Pause { .. })) {
        return Some("nodes in one process do not hang alone");
    }
    if kind != StageKind::Memory && (scenario.adversary.is_some() || any(|step| matches!(step, Step::Eclipse { .. }))) {
        return Some("liars are only among nodes in one process");
    }
    if kind != StageKind::Memory && !scenario.meddling.is_empty() {
        return Some("relays meddle only among nodes in one process");
    }
    if kind != StageKind::Memory && scenario.table_liars.is_some() {
        return Some("only nodes in one process lie about the table");
    }
    if kind != StageKind::Memory && scenario.slow_peers > 0 {
        return Some("slow peers are only in one process with the nodes");
    }
    if kind != StageKind::Memory && scenario.coalition.is_some() {
        return Some("only nodes in one process can be looked over their shoulders");
    }
    if docker && any(|step| matches!(step, Step::Rot { .. })) {
        return Some("the disks of containers are not ours to write on");
    }
    None
}

/// What a node's status says of its space; none if it says nothing.
pub(super) fn account(status: &Value) -> Option<Account> {
    let number = |path: &str| status.pointer(path).and_then(Value::as_u64);
    Some(Account { used: number("/store/used")?, quota: number("/store/quota")? })
}

/// Searches one node's disk.
pub(super) fn searched(node: u32, dir: &Path, canaries: &[Canary]) -> Disk {
    let found = match search_folder(dir, canaries) {
        Ok(hits) => Ok(hits.into_iter().map(|hit| format!("{} in {}", hit.what, hit.place)).collect()),
        Err(error) => Err(error.to_string()),
    };
    Disk { node, found }
}

/// The users of a network of programs: each runs `pal` in a home of its own.
pub(super) struct Users {
    pal: Pal,
    dir: PathBuf,
    publisher: Home,
    strangers: usize,
}

impl Users {
    pub(super) fn new(theatre: &Theatre, bootstrap: PathBuf) -> Result<Self, StageError> {
        let program = find_program("pal", theatre.bin_dir.as_deref()).map_err(broken)?;
        let publisher = Home::fresh(theatre.dir.join("publisher")).map_err(broken)?;
        Ok(Self { pal: Pal { program, bootstrap }, dir: theatre.dir.clone(), publisher, strangers: 0 })
    }

    pub(super) async fn publish(
        &self,
        file: &Path,
        way: &Way,
        deadline: Duration,
    ) -> Result<(Option<String>, End), StageError> {
        let words = ["publish".as_ref(), "--quiet".as_ref(), file.as_os_str()];
        let run = self.pal.run_by(way, &self.publisher, &words, deadline).await.map_err(broken)?;
        Ok(match (run.done(), run.link()) {
            (true, Some(link)) => (Some(link), End::Good),
            _ => (None, failure(&run)),
        })
    }

    pub(super) async fn fetch(
        &mut self,
        link: &str,
        file: &Path,
        by: Who,
        way: &Way,
        deadline: Duration,
    ) -> Result<End, StageError> {
        let home = match by {
            Who::Publisher => self.publisher.clone(),
            Who::Stranger => {
                self.strangers += 1;
                Home::fresh(self.dir.join(format!("stranger-{}", self.strangers))).map_err(broken)?
            }
        };
        let copy = self.dir.join("copy");
        let words = ["fetch".as_ref(), link.as_ref(), "--force".as_ref(), "-o".as_ref(), copy.as_os_str()];
        let run = self.pal.run_by(way, &home, &words, deadline).await.map_err(broken)?;
        if !run.done() {
            return Ok(failure(&run));
        }
        Ok(if sample::same(file, &copy).map_err(broken)? { End::Good } else { End::WrongBytes })
    }
}

fn failure(run: &Run) -> End {
    if run.timed_out { End::TimedOut } else { End::Failed(run.complaint()) }
}

/// Those of nodes `0..all` that a step of a share and a seed means.
pub(super) fn chosen(all: u32, fraction: Fraction, seed: u64) -> Vec<u32> {
    crate::process::choose(all, fraction, seed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{StageKind, account, lacks};
    use crate::scenario::{Account, SHIPPED, Scenario};

    #[test]
    fn every_scenario_has_a_stage_and_none_is_played_where_it_cannot_be() {
        let where_to = |name: &str| {
            let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name).unwrap();
            let scenario: Scenario = text.parse().unwrap();
            let all = [StageKind::Memory, StageKind::Processes, StageKind::Docker];
            all.into_iter().filter(|&kind| lacks(kind, &scenario).is_none()).map(StageKind::name).collect::<Vec<_>>()
        };
        assert!(SHIPPED.iter().all(|(name, _)| !where_to(name).is_empty()));
        assert_eq!(where_to("half-dies"), ["memory", "processes", "docker"]);
        assert_eq!(where_to("hanging"), ["processes", "docker"]);
        assert_eq!(where_to("slow-links"), ["docker"]);
        assert_eq!(where_to("partition-and-heal"), ["docker"]);
        assert_eq!(where_to("nat"), ["docker"]);
        assert_eq!(where_to("eclipse"), ["memory"]);
        assert_eq!(where_to("rolling-upgrade"), ["memory", "processes", "docker"]);
        assert_eq!(where_to("halves-publish"), ["docker"]);
        assert_eq!(where_to("lying-holders"), ["memory"]);
        assert_eq!(where_to("hostile-relays"), ["memory"]);
        assert_eq!(where_to("colluding-relays"), ["memory"]);
        assert_eq!(where_to("eclipse-stripe"), ["memory"]);
        assert_eq!(where_to("slow-loris"), ["memory"]);
        assert_eq!(where_to("table-liars"), ["memory"]);
        assert_eq!(where_to("rot"), ["memory", "processes"]);
    }

    #[test]
    fn a_node_that_does_not_tell_is_not_counted() {
        let status = json!({"store": {"used": 1, "quota": 2}});
        assert_eq!(account(&status), Some(Account { used: 1, quota: 2 }));
        assert_eq!(account(&json!({"store": {"used": 1}})), None);
    }
}
