//! The stage of programs on loopback.

use std::time::Duration;

use super::stage::{StageError, Theatre, Users, account, broken, chosen, searched};
use super::{Account, Disk, Scenario, Step, rot};
use crate::process::{Blow, Testnet, Transport, UpOptions, find_program};
use crate::search::Canary;

/// Time until the nodes know each other, at most.
const UP_DEADLINE: Duration = Duration::from_secs(120);
/// Time for a node's account of itself.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

pub(super) struct Stage {
    net: Testnet,
    pub(super) users: Users,
    nodes: u32,
}

impl Stage {
    pub(super) async fn open(scenario: &Scenario, theatre: &Theatre) -> Result<Self, StageError> {
        let options = UpOptions {
            dir: theatre.dir.join("net"),
            nodes: scenario.nodes,
            transport: Transport::Tcp,
            quota: scenario.quota_mib.or(scenario.disk_mib).map(|mib| format!("{mib}M")),
            pald: find_program("pald", theatre.bin_dir.as_deref()).map_err(broken)?,
            deadline: UP_DEADLINE,
        };
        let net = Testnet::up(options).await.map_err(broken)?;
        let users = Users::new(theatre, net.bootstrap_file())?;
        Ok(Self { net, users, nodes: scenario.nodes })
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
            | Step::Eclipse { .. } => return Ok(()),
        };
        self.net.hit_these(&hit, blow).await.map(|_| ()).map_err(broken)
    }

    pub(super) async fn accounts(&self) -> Result<Vec<Account>, StageError> {
        let mut accounts = Vec::new();
        for node in self.net.nodes() {
            if let Ok(status) = palimpsest_node::admin::status(&node.data_dir, ANSWER_DEADLINE).await {
                accounts.extend(account(&status));
            }
        }
        Ok(accounts)
    }

    pub(super) async fn disks(&self, canaries: &[Canary]) -> Result<Vec<Disk>, StageError> {
        Ok(self.net.nodes().iter().map(|node| searched(node.index, &node.data_dir, canaries)).collect())
    }

    pub(super) async fn close(self) -> Result<(), StageError> {
        self.net.discard().await.map_err(broken)
    }
}
