//! The stage of programs on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use libp2p::multiaddr::{Multiaddr, Protocol};

use super::eclipse::Eclipse;
use super::parts::{Decoy, cast, conspire};
use super::stage::{Accounts, StageError, Theatre, account, broken, chosen, searched};
use super::tables::Count;
use super::users::{Users, table};
use super::watched::{clients_of, watched};
use super::{Coalition, Disk, Scenario, StageKind, Step, TableLiars, Tables, Watched};
use crate::censor::eclipse::Taken;
use crate::hostile::{Diary, HOSTILE, Silence, Void};
use crate::liars::Plot;
use crate::memory::BOOTSTRAP;
use crate::process::{Blow, Condition, Testnet, Transport, UpOptions, find_program};
use crate::rot;
use crate::search::Canary;
use crate::slow::SlowProgram;

/// Time until the nodes know each other, at most.
const UP_DEADLINE: Duration = Duration::from_secs(120);
/// Time for a node's account of itself: who stands still for so long is silent.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// Time until the nodes have met each other, at most.
const MEET_DEADLINE: Duration = Duration::from_secs(60);
/// Time for nodes to end in order.
const DOWN_DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Stage {
    net: Testnet,
    pub(super) users: Users,
    nodes: u32,
    theatre: Theatre,
    coalition: Option<Coalition>,
    lies: Option<Lies>,
    pub(super) slow: Option<SlowProgram>,
}

/// What some agreed on who lie about the table, and what is where they say that others are.
struct Lies {
    plot: Arc<Plot>,
    liars: Vec<u32>,
    _silence: Silence,
    _voids: Vec<Void>,
}

impl Stage {
    pub(super) async fn open(scenario: &Scenario, theatre: &Theatre) -> Result<Self, StageError> {
        let pald = find_program("pald", theatre.bin_dir.as_deref()).map_err(broken)?;
        let mut cast = cast(scenario);
        let lies = match &scenario.table_liars {
            None => None,
            Some(liars) => {
                let (decoys, _silence, _voids) = decoys(liars)?;
                let plot = conspire(&mut cast, liars, decoys);
                Some(Lies { plot, liars: liars.nodes.clone(), _silence, _voids })
            }
        };
        // Nodes are started from beside `pald`, whatever part they play.
        let hostile = pald.with_file_name(HOSTILE);
        if !cast.is_empty() && !hostile.is_file() {
            return Err(StageError::Lacks(format!("no {HOSTILE} beside {}", pald.display())));
        }
        let options = UpOptions {
            dir: theatre.dir.join("net"),
            nodes: scenario.nodes,
            transport: Transport::Tcp,
            quota: Some(format!("{}M", scenario.quota_mib(StageKind::Processes.has_own_disks()))),
            pald: pald.clone(),
            cast,
            deadline: UP_DEADLINE,
        };
        let net = Testnet::up(options).await.map_err(broken)?;
        let (users, slow) = match around(&net, scenario, theatre, &hostile) {
            Ok(around) => around,
            Err(error) => {
                net.discard().await.map_err(broken)?;
                return Err(error);
            }
        };
        let (nodes, coalition, theatre) = (scenario.nodes, scenario.coalition, theatre.clone());
        Ok(Self { net, users, nodes, theatre, coalition, lies, slow })
    }

    fn folders(&self) -> impl Iterator<Item = PathBuf> {
        self.net.nodes().iter().map(|node| node.data_dir.clone())
    }

    pub(super) async fn eclipse(&mut self, eclipse: Eclipse<'_>) -> Result<Taken, StageError> {
        let bootstrap = std::fs::read_to_string(self.net.bootstrap_file()).map_err(broken)?;
        let there = self.net.nodes().len();
        let (places, parts) = eclipse.parts(&self.theatre.dir, &bootstrap, there).await?;
        self.net.add(parts, UP_DEADLINE).await.map_err(broken)?;
        let members = self.net.ids();
        let (honest, sybils) = members.split_at((self.nodes as usize).min(members.len()));
        Ok(Taken::count(&places, honest, sybils, eclipse.drawn))
    }

    /// What the nodes wrote down, where they did.
    pub(super) fn watched(&self) -> Result<Option<Watched>, StageError> {
        if self.coalition.is_none() {
            return Ok(None);
        }
        let seen = Diary::read_all(self.folders()).map_err(broken)?;
        let members = self.net.ids();
        let clients = clients_of(&seen, &members, self.users.calls());
        let nobody = std::iter::empty();
        Ok(Some(watched(&seen, (&members, self.nodes), nobody, &clients, self.coalition)))
    }

    /// What is in the tables of the honest nodes that run, which end with this, and in those that strangers kept. They end one a little
    /// before the other, and whom a node has not met by then it forgets: so first all meet, or are judged after a while as they are.
    pub(super) async fn tables(&self) -> Result<Option<Tables>, StageError> {
        let Some(lies) = &self.lies else { return Ok(None) };
        let running = self.net.running();
        let _ = self.net.await_met(MEET_DEADLINE).await;
        self.net.down(DOWN_DEADLINE).await.map_err(broken)?;
        let members = self.net.ids();
        let is_honest = |index: u32, pid: u32| !lies.liars.contains(&index) && running.contains(&pid);
        let honest: Vec<_> = self.net.nodes().iter().filter(|node| is_honest(node.index, node.pid)).collect();
        let ids = honest.iter().filter_map(|node| members.get(node.index as usize)).copied().collect();
        let mut count = Count::new(&members, ids, lies.plot.made_up().collect());
        for node in honest {
            count.kept(&table(&node.data_dir).ok_or_else(|| broken(format!("node {} kept no table", node.index)))?);
        }
        self.users.known_to_strangers().iter().for_each(|known| count.newcomer(known));
        Ok(Some(count.outcome()))
    }

    pub(super) async fn befall(&mut self, step: &Step) -> Result<(), StageError> {
        let all: Vec<u32> = (0..self.nodes).collect();
        let (hit, blow) = match *step {
            Step::Kill { fraction, seed } => (chosen(self.nodes, fraction, seed), Blow::Kill),
            Step::KillFirst { nodes } => ((0..nodes).collect(), Blow::Kill),
            Step::Pause { fraction, seed } => (chosen(self.nodes, fraction, seed), Blow::Stop),
            Step::Heal {} => (all, Blow::Continue),
            Step::Restart {} => return self.net.start(UP_DEADLINE).await.map(|_| ()).map_err(broken),
            Step::Upgrade { fraction, seed } => {
                for index in chosen(self.nodes, fraction, seed) {
                    self.net.upgrade(index, UP_DEADLINE).await.map_err(broken)?;
                }
                return Ok(());
            }
            Step::Rot { fraction, seed } => {
                let folders = self.net.nodes().iter().map(|node| node.data_dir.clone());
                return rot::flip(folders, fraction, seed).map_err(broken);
            }
            Step::Publish { .. }
            | Step::Fill { .. }
            | Step::Fetch { .. }
            | Step::Partition { .. }
            | Step::Wait { .. }
            | Step::Flood { .. }
            | Step::EndFlood {}
            | Step::Eclipse { .. } => return Ok(()),
        };
        self.net.hit_these(&hit, blow).await.map(|_| ()).map_err(broken)
    }

    pub(super) async fn accounts(&self) -> Result<Accounts, StageError> {
        let mut accounts = Accounts::default();
        for node in self.net.nodes().iter().filter(|node| node.condition() == Condition::Running) {
            let status = palimpsest_node::admin::status(&node.data_dir, ANSWER_DEADLINE).await;
            accounts.hear(status.ok().and_then(|status| account(node.index, &status)));
        }
        Ok(accounts)
    }

    pub(super) async fn disks(&self, canaries: &[Canary]) -> Result<Vec<Disk>, StageError> {
        Ok(self.net.nodes().iter().map(|node| searched(node.index, &node.data_dir, canaries)).collect())
    }

    pub(super) async fn close(mut self) -> Result<(), StageError> {
        self.users.end_flood().await;
        let stopped = match self.slow {
            Some(slow) => slow.stop().await.map_err(broken),
            None => Ok(()),
        };
        self.net.discard().await.map_err(broken).and(stopped)
    }
}

/// Those around the nodes: users, and peers that are slow.
fn around(
    net: &Testnet,
    scenario: &Scenario,
    theatre: &Theatre,
    hostile: &Path,
) -> Result<(Users, Option<SlowProgram>), StageError> {
    // Not the network's own file, which names others when all are dead that it names: newcomers are told of the first, dead or alive.
    let told_of = theatre.dir.join("told-of");
    let first = net.nodes().iter().take(BOOTSTRAP).flat_map(|node| &node.addresses);
    let lines: String = first.flat_map(|address| [address.as_str(), "\n"]).collect();
    std::fs::write(&told_of, lines).map_err(broken)?;
    let users = Users::new(theatre, told_of)?;
    let addresses: Vec<String> = net.nodes().iter().flat_map(|node| node.addresses.clone()).collect();
    let slow = match scenario.slow_peers {
        0 => None,
        peers => Some(SlowProgram::start(hostile, peers, &addresses).map_err(broken)?),
    };
    Ok((users, slow))
}

/// Ports of this machine for nodes that are made up: at every other one nobody is, at the others somebody takes connections and
/// says nothing.
fn decoys(liars: &TableLiars) -> Result<(Vec<Decoy>, Silence, Vec<Void>), StageError> {
    let all = liars.made_up as usize;
    let (silence, silent) = Silence::anywhere(all / 2).map_err(broken)?;
    let voids = std::iter::repeat_with(Void::hold).take(all - silent.len()).collect::<Result<Vec<_>, _>>();
    let voids = voids.map_err(broken)?;
    let mut silent = silent.into_iter();
    let addresses = voids.iter().flat_map(|void| [Some(void.address), silent.next()]).flatten();
    let decoy = |at: SocketAddr| Decoy { address: multiaddr(at), silent: None };
    Ok((addresses.map(decoy).collect(), silence, voids))
}

fn multiaddr(at: SocketAddr) -> Multiaddr {
    Multiaddr::from(at.ip()).with(Protocol::Tcp(at.port()))
}
