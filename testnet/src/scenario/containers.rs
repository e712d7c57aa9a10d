//! The stage of containers.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libp2p::multiaddr::{Multiaddr, Protocol};
use palimpsest_proto::ids::NodeId;
use serde_json::Value;

use super::eclipse::Eclipse;
use super::parts::{Decoy, cast, conspire};
use super::stage::{Accounts, StageError, Theatre, account, broken, chosen, searched};
use super::tables::Count;
use super::users::{Users, table};
use super::watched::{clients_of, watched};
use super::{Coalition, Disk, Place, Scenario, StageKind, Step, TableLiars, Tables, Watched};
use crate::censor::eclipse::Taken;
use crate::docker::{Condition, Docker, DockerError, DockerNet, Name, NotAName, PORT, Side, Subnet, UpOptions};
use crate::hostile::{HOSTILE, Part};
use crate::liars::Plot;
use crate::process::{Transport, Way, find_program};
use crate::search::Canary;
use crate::slow::SlowProgram;

/// Time until the nodes know each other, at most.
const UP_DEADLINE: Duration = Duration::from_secs(300);
/// Time until the nodes have met each other, at most.
const MEET_DEADLINE: Duration = Duration::from_secs(120);
/// Between two questions to all nodes.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// The first of the ports at which liars take connections for nodes that they made up.
const SILENT_PORT: u16 = 5_000;

pub(super) struct Stage {
    net: DockerNet,
    pub(super) users: Users,
    nodes: u32,
    theatre: Theatre,
    coalition: Option<Coalition>,
    /// What those who lie about the table agreed on, and which nodes they are.
    lies: Option<(Arc<Plot>, Vec<u32>)>,
    pub(super) slow: Option<SlowProgram>,
    /// All nodes that were there from the beginning, by number.
    members: Vec<NodeId>,
    /// Those that came to eclipse something.
    sybils: Vec<NodeId>,
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
        let subnet = unused_subnet().await?;
        let mut cast = cast(scenario);
        // It is the hostile program that writes on a container's disk.
        cast.later |= scenario.steps.iter().any(|step| matches!(step, Step::Rot { .. }));
        let conspire = |liars: &TableLiars| (conspire(&mut cast, liars, decoys(liars, subnet)), liars.nodes.clone());
        let lies = scenario.table_liars.as_ref().map(conspire);
        let options = UpOptions {
            dir: theatre.dir.join("net"),
            name: container_name().map_err(broken)?,
            subnet,
            nodes: scenario.nodes,
            nat: scenario.nat,
            links: scenario.links,
            transport: Transport::Tcp,
            quota: Some(format!("{}M", scenario.quota_mib(StageKind::Docker.has_own_disks()))),
            disk_mib: scenario.disk_mib,
            bin_dir: theatre.bin_dir.clone(),
            cast,
            deadline: UP_DEADLINE,
        };
        let net = DockerNet::up(options).await.map_err(lacks)?;
        let (users, slow) = match around(&net, scenario, theatre) {
            Ok(around) => around,
            Err(error) => return Err(error.and(net.down().await.err())),
        };
        let (nodes, coalition, theatre) = (scenario.nodes, scenario.coalition, theatre.clone());
        let (members, sybils) = (Vec::new(), Vec::new());
        let mut stage = Self { net, users, nodes, theatre, coalition, lies, slow, members, sybils };
        let eclipses = scenario.steps.iter().any(|step| matches!(step, Step::Eclipse { .. }));
        if eclipses || stage.lies.is_some() || stage.coalition.is_some() {
            stage.members = match stage.net.ids().await {
                Ok(members) => members,
                Err(error) => return Err(broken(error).and(stage.close().await.err())),
            };
        }
        Ok(stage)
    }

    pub(super) async fn eclipse(&mut self, eclipse: Eclipse<'_>) -> Result<Taken, StageError> {
        let bootstrap = self.net.plan().bootstrap().join("\n");
        let there = self.net.plan().nodes.len();
        let (places, parts) = eclipse.parts(&self.theatre.dir, &bootstrap, there).await?;
        self.sybils.extend(parts.iter().filter_map(Part::id));
        self.net.add(parts, UP_DEADLINE).await.map_err(lacks_tool)?;
        Ok(Taken::count(&places, &self.members, &self.sybils, eclipse.drawn))
    }

    /// What the nodes wrote down, where they did.
    pub(super) async fn watched(&self) -> Result<Option<Watched>, StageError> {
        if self.coalition.is_none() {
            return Ok(None);
        }
        let seen = self.net.diaries(&self.copies()?).await.map_err(broken)?;
        let clients = clients_of(&seen, &self.members, self.users.calls());
        Ok(Some(watched(&seen, (&self.members, self.nodes), std::iter::empty(), &clients, self.coalition)))
    }

    /// What is in the tables of the honest nodes that run, which end with this, and in those that strangers kept.
    pub(super) async fn tables(&self) -> Result<Option<Tables>, StageError> {
        let Some((plot, liars)) = &self.lies else { return Ok(None) };
        let conditions = self.net.conditions().await.map_err(broken)?;
        let runs = |index: &u32| conditions.get(*index as usize) == Some(&Condition::Running);
        let running: Vec<u32> = self.net.plan().indices().filter(runs).collect();
        let is_honest = |index: &u32| *index < self.nodes && !liars.contains(index);
        let honest: Vec<u32> = running.iter().copied().filter(is_honest).collect();
        self.await_met(&running).await;
        self.net.stop().await.map_err(broken)?;
        let ids = honest.iter().filter_map(|&index| self.members.get(index as usize)).copied().collect();
        let mut count = Count::new(&self.members, ids, plot.made_up().collect());
        let copy = self.copies()?;
        for index in honest {
            self.net.copy_file(index, "table", &copy.join("table")).await.map_err(broken)?;
            count.kept(&table(&copy).ok_or_else(|| broken(format!("node {index} kept no table")))?);
        }
        self.users.known_to_strangers().iter().for_each(|known| count.newcomer(known));
        Ok(Some(count.outcome()))
    }

    /// Waits until those that run have met each other, or for a while: whom a node has not met when the other ends it forgets.
    async fn await_met(&self, running: &[u32]) {
        let met = |status: &Option<Value>| {
            status.as_ref().and_then(|status| status["met_nodes"].as_u64()).unwrap_or_default()
        };
        let meeting = async {
            while self.net.statuses(running).await.iter().any(|status| met(status) < running.len() as u64) {
                tokio::time::sleep(ASK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(MEET_DEADLINE, meeting).await;
    }

    /// A folder for copies of nodes' files.
    fn copies(&self) -> Result<PathBuf, StageError> {
        let copy: &Path = &self.theatre.dir.join("copies");
        std::fs::create_dir_all(copy).map_err(broken)?;
        Ok(copy.to_owned())
    }

    /// The way to where a user is.
    pub(super) async fn way(&self, place: Place) -> Result<Way, StageError> {
        let side = match place {
            Place::Outside => return Ok(Way::default()),
            Place::Inside => Side::Mainland,
            Place::Island => Side::Island,
        };
        self.net.inside(side).await.map_err(lacks_tool)
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
            Step::Rot { fraction, seed } => self.net.rot(fraction, seed).await,
            Step::Publish { .. }
            | Step::Fill { .. }
            | Step::Fetch { .. }
            | Step::Wait { .. }
            | Step::Flood { .. }
            | Step::EndFlood {}
            | Step::Eclipse { .. } => {
                return Ok(());
            }
        };
        done.map(|_| ()).map_err(lacks_tool)
    }

    pub(super) async fn accounts(&self) -> Result<Accounts, StageError> {
        let conditions = self.net.conditions().await.map_err(broken)?;
        let running = self.net.plan().indices().zip(conditions).filter(|(_, one)| *one == Condition::Running);
        let running: Vec<u32> = running.map(|(index, _)| index).collect();
        let statuses = self.net.statuses(&running).await;
        Ok(running.iter().zip(&statuses).map(|(&index, said)| account(index, said.as_ref()?)).collect())
    }

    pub(super) async fn disks(&self, canaries: &[Canary]) -> Result<Vec<Disk>, StageError> {
        let mut disks = Vec::new();
        for index in self.net.plan().indices() {
            let copy = self.theatre.dir.join("disk");
            disks.push(match self.net.copy_data(index, &copy).await {
                Ok(()) => searched(index, &copy, canaries),
                Err(error) => Disk { node: index, found: Err(error.to_string()), bytes: None },
            });
            let _copied = std::fs::remove_dir_all(&copy);
        }
        Ok(disks)
    }

    pub(super) async fn close(mut self) -> Result<(), StageError> {
        self.users.end_flood().await;
        let stopped = match self.slow {
            Some(slow) => slow.stop().await.map_err(broken),
            None => Ok(()),
        };
        self.net.down().await.map_err(broken)?;
        stopped
    }
}

/// Those around the nodes: users, and peers that are slow.
fn around(net: &DockerNet, scenario: &Scenario, theatre: &Theatre) -> Result<(Users, Option<SlowProgram>), StageError> {
    let users = Users::new(theatre, net.bootstrap_file())?;
    let slow = match scenario.slow_peers {
        0 => None,
        peers => {
            let program = find_program(HOSTILE, theatre.bin_dir.as_deref()).map_err(broken)?;
            let addresses: Vec<String> =
                net.plan().nodes.iter().map(|node| at(node.address, PORT).to_string()).collect();
            Some(SlowProgram::start(&program, peers, &addresses).map_err(broken)?)
        }
    };
    Ok((users, slow))
}

/// Addresses that no network of this machine has.
///
/// # Errors
/// No docker; all are taken.
pub(crate) async fn unused_subnet() -> Result<Subnet, StageError> {
    let taken = Docker::find().await.map_err(lacks)?.subnets().await.map_err(lacks)?;
    Subnet::free(std::process::id(), &taken).ok_or_else(|| broken("no subnet from 10.128 on is free"))
}

/// Addresses in the network for nodes that are made up: at every other one nobody is, at the others one of the liars takes
/// connections and says nothing.
fn decoys(liars: &TableLiars, subnet: Subnet) -> Vec<Decoy> {
    let decoy = |number: u32| {
        let turn = liars.nodes.get((number / 2) as usize % liars.nodes.len().max(1));
        let liar = turn.and_then(|&liar| Some((liar, subnet.node(u8::try_from(liar).ok()?))));
        match liar {
            Some((liar, address)) if number % 2 == 1 => {
                let port = SILENT_PORT.saturating_add(u16::try_from(number).unwrap_or_default());
                Decoy { address: at(address, port), silent: Some((liar, (address, port).into())) }
            }
            _ => Decoy { address: at(subnet.nobody(number + 1), PORT), silent: None },
        }
    };
    (0..liars.made_up).map(decoy).collect()
}

fn at(address: Ipv4Addr, port: u16) -> Multiaddr {
    Multiaddr::from(address).with(Protocol::Tcp(port))
}

/// In the middle of a play: a tool that only this step needs may be lacking, an engine that was there may not.
fn lacks_tool(error: DockerError) -> StageError {
    match error {
        error @ DockerError::Missing { .. } => StageError::Lacks(error.to_string()),
        error => broken(error),
    }
}

/// Nothing was shown, where this machine lacks something.
pub(crate) fn lacks(error: DockerError) -> StageError {
    match error {
        error if error.is_no_docker() => StageError::Lacks(format!("no docker engine ({error})")),
        error @ (DockerError::Missing { .. } | DockerError::NotStatic { .. }) => StageError::Lacks(error.to_string()),
        error => broken(error),
    }
}
