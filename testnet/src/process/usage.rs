//! What a stretch of time cost: on the clock, and in processor time of the nodes and of everything else.

use std::time::{Duration, Instant};

use super::Testnet;
use super::procfs::{self, Memory};

/// Measures from its making to [`Stopwatch::stop`]. Nodes that start or end meanwhile are not counted.
#[derive(Debug)]
pub struct Stopwatch {
    since: Instant,
    nodes: Vec<(u32, Duration)>,
    ours: Duration,
    machine: Duration,
}

/// What was used. Processor times are exact to a clock tick (10 ms) for each process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Time on the clock.
    pub wall: Duration,
    /// Processor time of all nodes together.
    pub nodes: Duration,
    /// Processor time of everything else on the machine but this program and its collected children: a large one
    /// means that the measurement was disturbed.
    pub foreign: Duration,
}

impl Stopwatch {
    /// Starts measuring.
    #[must_use]
    pub fn start(net: &Testnet) -> Self {
        let nodes = net.running().into_iter().filter_map(|pid| Some((pid, procfs::cpu(pid)?))).collect();
        Self { since: Instant::now(), nodes, ours: ours(), machine: procfs::cpu_of_machine() }
    }

    /// Ends it.
    #[must_use]
    pub fn stop(self) -> Used {
        let wall = self.since.elapsed();
        let nodes = self.nodes.iter().filter_map(|&(pid, before)| procfs::cpu(pid)?.checked_sub(before)).sum();
        let ours = ours().saturating_sub(self.ours);
        let foreign = procfs::cpu_of_machine().saturating_sub(self.machine).saturating_sub(nodes).saturating_sub(ours);
        Used { wall, nodes, foreign }
    }
}

impl Testnet {
    /// Memory of every node that runs.
    #[must_use]
    pub fn memory(&self) -> Vec<Memory> {
        self.running().into_iter().filter_map(procfs::memory).collect()
    }
}

fn ours() -> Duration {
    let (own, children) = procfs::cpu_of_self_and_children();
    own + children
}
