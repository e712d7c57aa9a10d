//! What can go wrong with a network of containers.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::plan::NODES_MAX;
use crate::hostile::DiaryError;
use crate::process::TestnetError;

/// Why a command on a network of containers failed; each tells what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// There is no program of that name.
    #[error("no docker engine: the program `{program}` is not in PATH")]
    NoProgram {
        /// Its name.
        program: String,
    },
    /// The program is there and finds no engine.
    #[error("no docker engine answers: {said}")]
    NoEngine {
        /// What the program said.
        said: String,
    },
    /// Neither `docker compose` nor `docker-compose` works.
    #[error("neither `docker compose` nor `docker-compose` is installed")]
    NoCompose,
    /// This machine lacks what the wanted links, NAT or partition need.
    #[error("{what} is missing, which {purpose} needs")]
    Missing {
        /// The program, right or part of the kernel.
        what: &'static str,
        /// What for.
        purpose: &'static str,
    },
    /// A program that needs shared libraries, where the image has none.
    #[error(
        "{} is no static program, and the image holds nothing else: build one with `{}` and name its folder with --bin-dir",
        path.display(), super::BUILD
    )]
    NotStatic {
        /// The program.
        path: PathBuf,
    },
    /// A command failed.
    #[error("`{command}` failed: {said}")]
    Failed {
        /// The command, shortened.
        command: String,
        /// The last lines of what it said.
        said: String,
    },
    /// It did not come up, and what there was of it could not be removed.
    #[error("{why}; and what was started is still there: {left}")]
    Left {
        /// Why it did not come up.
        why: Box<DockerError>,
        /// Why it is still there.
        left: Box<DockerError>,
    },
    /// A command took too long.
    #[error("`{command}` was ended after {:.0} s", after.as_secs_f64())]
    TimedOut {
        /// The command, shortened.
        command: String,
        /// The time that it had.
        after: Duration,
    },
    /// A command could not be run.
    #[error("cannot run `{command}`: {source}")]
    Spawn {
        /// The command, shortened.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Containers, networks or volumes of a testnet of that name are there.
    #[error("there is a testnet `{name}` already: `pal-testnet docker down --name {name}` removes it")]
    Occupied {
        /// The testnet.
        name: String,
    },
    /// There is none of that name.
    #[error("there is no testnet `{name}`: `pal-testnet docker up --name {name}` makes one")]
    NoNetwork {
        /// The testnet.
        name: String,
    },
    /// What describes the testnet is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A number of nodes that cannot be.
    #[error("a network of containers has 2 to {NODES_MAX} nodes, and at least 3 that are not behind NAT")]
    Size,
    /// A node that is not there.
    #[error("there is no node {0}")]
    NoSuchNode(u32),
    /// A node that does not say who it is: it is dead, frozen, or too busy.
    #[error(
        "node {index} does not say who it is: `pal-testnet docker restart --name {name}` starts the dead, `heal` wakes the frozen"
    )]
    Silent {
        /// The node.
        index: u32,
        /// The testnet.
        name: String,
    },
    /// Nodes with parts cannot be added: the image has not the program for them.
    #[error("the image has no `pald-hostile`: start the network with `docker up --diary`")]
    NoHostile,
    /// Nodes cannot be added where some are behind NAT.
    #[error("no node can be added to a network in which some are behind NAT")]
    Routers,
    /// A node's diary.
    #[error(transparent)]
    Diary(#[from] DiaryError),
    /// A node's container ended.
    #[error("the container of node {index} ended; its log ends with:\n{tail}")]
    NodeEnded {
        /// The node.
        index: u32,
        /// The end of its log.
        tail: String,
    },
    /// Nodes that did not get to know all others in time.
    #[error("after {:.0} s not every node knows all {wanted}: {}", after.as_secs_f64(), missing.join(", "))]
    NotAcquainted {
        /// How long they had.
        after: Duration,
        /// How many each should know.
        wanted: usize,
        /// Which do not, and what each said last.
        missing: Vec<String>,
    },
    /// A file, or another command that is at work on the same testnet.
    #[error(transparent)]
    Process(#[from] TestnetError),
}

impl DockerError {
    /// Whether nothing is wrong but that this machine lacks something: docker, a tool, a right, a part of the kernel.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.is_no_docker() || matches!(self, Self::Missing { .. })
    }

    /// Whether nothing is wrong but that this machine has no docker: what then is not run is skipped, not failed.
    #[must_use]
    pub fn is_no_docker(&self) -> bool {
        matches!(self, Self::NoProgram { .. } | Self::NoEngine { .. } | Self::NoCompose)
    }
}
