//! What can go wrong with a network of processes.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::state::NODES_MAX;

/// Why a command on a network of processes failed; each tells what to do where something can be done.
#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    /// A program of the project is neither beside this one nor in PATH.
    #[error(
        "cannot find the program `{name}` in {looked}: build it with `cargo build --release`, or name its folder with --bin-dir"
    )]
    ProgramMissing {
        /// Its name.
        name: &'static str,
        /// Where it was looked for.
        looked: String,
    },
    /// A file of the network could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// `up` in a folder that has a network.
    #[error("{} holds a network already: `start` brings it up again; for a new one remove the folder", dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
    },
    /// A command on a folder that has none.
    #[error("{} holds no network: `pal-testnet up --dir {0}` makes one", dir.display())]
    NoNetwork {
        /// The folder.
        dir: PathBuf,
    },
    /// Another command works on the same network.
    #[error("another pal-testnet is at work in {}", dir.display())]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// The state file is damaged.
    #[error("{} is damaged: {reason}", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A number of nodes that cannot be.
    #[error("a network has 1 to {NODES_MAX} nodes")]
    Size,
    /// A process could not be started.
    #[error("cannot start {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A node ended where it should have run.
    #[error("node {index} ended before it was ready; {} ends with:\n{tail}", log.display())]
    NodeEnded {
        /// The node.
        index: u32,
        /// Its log.
        log: PathBuf,
        /// The end of it.
        tail: String,
    },
    /// Nodes that did not say in time where they listen.
    #[error("not ready after {:.1} s: nodes {}", after.as_secs_f64(), List(missing))]
    NotReady {
        /// How long they were given.
        after: Duration,
        /// The nodes.
        missing: Vec<u32>,
    },
    /// Nodes that did not get to know all others in time.
    #[error("after {:.1} s not every node knows all {wanted}: {}", after.as_secs_f64(), List(missing))]
    NotAcquainted {
        /// How long they were given.
        after: Duration,
        /// How many nodes each should know.
        wanted: usize,
        /// The nodes that do not, and what each said last.
        missing: Vec<Ignorant>,
    },
    /// A signal could not be sent.
    #[error("cannot signal node {index}: {source}")]
    Signal {
        /// The node.
        index: u32,
        /// The system's reason.
        source: io::Error,
    },
    /// Nodes that outlived even SIGKILL.
    #[error("still running after {:.1} s: nodes {}", after.as_secs_f64(), List(nodes))]
    Undying {
        /// How long they were given.
        after: Duration,
        /// The nodes.
        nodes: Vec<u32>,
    },
}

/// A node that does not know enough others.
#[derive(Debug)]
pub struct Ignorant {
    /// The node.
    pub index: u32,
    /// How many it knows, or why it did not say.
    pub said: Result<u64, io::Error>,
}

impl fmt::Display for Ignorant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.said {
            Ok(known) => write!(formatter, "node {} knows {known}", self.index),
            Err(error) => write!(formatter, "node {} does not answer ({error})", self.index),
        }
    }
}

/// Things in a row, of which the first few are named.
struct List<'a, T>(&'a [T]);

/// Things named before the rest is only counted.
const NAMED_MAX: usize = 12;

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, one) in self.0.iter().take(NAMED_MAX).enumerate() {
            write!(formatter, "{}{one}", if place == 0 { "" } else { ", " })?;
        }
        match self.0.len().checked_sub(NAMED_MAX) {
            Some(more @ 1..) => write!(formatter, " and {more} more"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{List, TestnetError};

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(List(&[1, 2, 3]).to_string(), "1, 2, 3");
        assert!(List(&(0..40).collect::<Vec<_>>()).to_string().ends_with("11 and 28 more"));
        assert_eq!(List::<u32>(&[]).to_string(), "");
    }

    #[test]
    fn errors_say_what_to_do() {
        let text = TestnetError::NoNetwork { dir: "/d".into() }.to_string();
        assert_eq!(text, "/d holds no network: `pal-testnet up --dir /d` makes one");
    }
}
