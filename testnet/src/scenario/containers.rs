//! The stage of containers.

use std::path::PathBuf;
use std::time::Duration;

use super::stage::{StageError, Theatre, Users, account, broken, chosen, searched};
use super::{Account, Disk, Place, Scenario, Step};
use crate::docker::{Condition, DockerError, DockerNet, Name, NotAName, Side, UpOptions};
use crate::process::{Transport, Way};
use crate::search::Canary;

/// Time until the nodes know each other, at most.
const UP_DEADLINE: Duration = Duration::from_secs(300);
/// Addresses of played scenarios, other than those of a network that is up all the while: one of so many subnets from 10.128
/// on, so that several can be played at once.
const SUBNETS: u32 = 120;

pub(super) struct Stage {
    net: DockerNet,
    pub(super) users: Users,
    nodes: u32,
    dir: PathBuf,
}

/// The name of the network that this process plays on.
///
/// # Errors
/// None that happens: a number is part of a name.
pub fn container_name() -> Result<Name, NotAName> {
    format!("run-{}", std::process::id()).parse()
}

impl Stage {
    pub(super) async fn open(scenario: &Scenario, theatre: &Theatre) -> Result<Self, StageError> {
        let options = UpOptions {
            dir: theatre.dir.join("net"),
            name: container_name().map_err(broken)?,
            subnet: format!("10.{}.0.0/16", 128 + std::process::id() % SUBNETS).parse().map_err(broken)?,
            nodes: scenario.nodes,
            nat: scenario.nat,
            links: scenario.links,
            transport: Transport::Tcp,
            quota: scenario.quota_mib.map(|mib| format!("{mib}M")),
            disk_mib: scenario.disk_mib,
            bin_dir: theatre.bin_dir.clone(),
            deadline: UP_DEADLINE,
        };
        let net = DockerNet::up(options).await.map_err(lacks)?;
        let users = Users::new(theatre, net.bootstrap_file())?;
        Ok(Self { net, users, nodes: scenario.nodes, dir: theatre.dir.clone() })
    }

    /// The way to where a user is.
    pub(super) async fn way(&self, place: Place) -> Result<Way, StageError> {
        let side = match place {
            Place::Outside => return Ok(Way::default()),
            Place::Inside => Side::Mainland,
            Place::Island => Side::Island,
        };
        self.net.inside(side).await.map_err(lacks)
    }

    pub(super) async fn befall(&mut self, step: &Step) -> Result<(), StageError> {
        let done = match *step {
            Step::Kill { fraction, seed } => self.net.kill(&chosen(self.nodes, fraction, seed)).await,
            Step::KillFirst { nodes } => self.net.kill(&(0..nodes).collect::<Vec<_>>()).await,
            Step::Pause { fraction, seed } => self.net.pause(&chosen(self.nodes, fraction, seed)).await,
            Step::Partition { fraction, seed } => self.net.partition(&chosen(self.nodes, fraction, seed)).await,
            Step::Heal {} => self.net.heal().await,
            Step::Upgrade { fraction, seed } => {
                self.net.upgrade(&chosen(self.nodes, fraction, seed), UP_DEADLINE).await.map(|()| Vec::new())
            }
            Step::Restart {} => self.net.restart(UP_DEADLINE).await,
            Step::Publish { .. }
            | Step::Fill { .. }
            | Step::Fetch { .. }
            | Step::Rot { .. }
            | Step::Wait { .. }
            | Step::Eclipse { .. } => {
                return Ok(());
            }
        };
        done.map(|_| ()).map_err(lacks)
    }

    pub(super) async fn accounts(&self) -> Result<Vec<Account>, StageError> {
        let conditions = self.net.conditions().await.map_err(broken)?;
        let running = (0..self.nodes).zip(conditions).filter(|(_, one)| *one == Condition::Running);
        let running: Vec<u32> = running.map(|(index, _)| index).collect();
        Ok(self.net.statuses(&running).await.iter().flatten().filter_map(account).collect())
    }

    pub(super) async fn disks(&self, canaries: &[Canary]) -> Result<Vec<Disk>, StageError> {
        let mut disks = Vec::new();
        for index in 0..self.nodes {
            let copy = self.dir.join("disk");
            disks.push(match self.net.copy_data(index, &copy).await {
                Ok(()) => searched(index, &copy, canaries),
                Err(error) => Disk { node: index, found: Err(error.to_string()) },
            });
            let _copied = std::fs::remove_dir_all(&copy);
        }
        Ok(disks)
    }

    pub(super) async fn close(self) -> Result<(), StageError> {
        self.net.down().await.map(|_| ()).map_err(broken)
    }
}

/// Nothing was shown, where this machine lacks something.
fn lacks(error: DockerError) -> StageError {
    match error {
        error if error.is_no_docker() => StageError::Lacks(format!("no docker engine ({error})")),
        error @ (DockerError::Missing { .. } | DockerError::NotStatic { .. }) => StageError::Lacks(error.to_string()),
        error => broken(error),
    }
}
