//! A network of `pald` processes on loopback, which outlives the command that started it.
//!
//! ```text
//!   D/testnet.json     what the next command must know (state)        D/testnet.lock   one command at a time
//!   D/bootstrap        where a newcomer begins, one multiaddr a line
//!   D/node-007/        data folder: node.json when ready, admin.sock to ask it
//!   D/node-007.log     what it logs
//! ```
//!
//! Nodes run in process groups of their own, so that neither Ctrl-C nor the end of the terminal reaches them. A process
//! is signalled only after its start time and its data folder were found to be those that were written down (procfs):
//! numbers are used again. Every wait has a deadline. Dropping a [`Testnet`] leaves its nodes running.

mod account;
mod admin;
mod choice;
mod company;
mod error;
mod launch;
mod pal;
mod procfs;
mod programs;
mod state;
mod usage;

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::hostile::{Cast, Part};
use crate::memory::BOOTSTRAP;

pub use account::NodesCpu;
pub use choice::{Fraction, NotAFraction, choose};
pub use error::{Ignorant, TestnetError};
pub use pal::{Home, Pal, Run, Way};
pub(crate) use procfs::Condition;
pub use procfs::Memory;
pub use programs::find_program;
pub(crate) use state::replace;
pub use state::{NODES_MAX, Node, NotATransport, State, Transport};
pub use usage::{Stopwatch, Used};

/// Time between two looks at processes and files that nothing announces.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Time that killed processes get to vanish: the system needs milliseconds, a machine short of memory more.
const KILLED_DEADLINE: Duration = Duration::from_secs(30);

/// What a network shall be.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// Its folder, made if there is none.
    pub dir: PathBuf,
    /// How many nodes, 1 to [`NODES_MAX`].
    pub nodes: u32,
    /// How they talk.
    pub transport: Transport,
    /// The quota of each in `pald`'s notation; none: its default.
    pub quota: Option<String>,
    /// The program of the nodes, see [`find_program`].
    pub pald: PathBuf,
    /// Who of the nodes is not honest.
    pub cast: Cast,
    /// Time until all must know each other.
    pub deadline: Duration,
}

/// What can happen to a node without warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// SIGKILL: it dies on the spot.
    Kill,
    /// SIGSTOP: it hangs, its connections stay open.
    Stop,
    /// SIGCONT: a hung one goes on.
    Continue,
}

/// Why a text is no [`Blow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signal is one of KILL, STOP, CONT")]
pub struct NotABlow;

impl FromStr for Blow {
    type Err = NotABlow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "KILL" => Ok(Self::Kill),
            "STOP" => Ok(Self::Stop),
            "CONT" => Ok(Self::Continue),
            _ => Err(NotABlow),
        }
    }
}

/// How nodes ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// Those that ended by themselves when asked to.
    pub asked: usize,
    /// Those that had to be killed.
    pub killed: usize,
}

/// A network of processes, held by this command alone.
#[derive(Debug)]
pub struct Testnet {
    dir: PathBuf,
    state: State,
    _lock: Lock,
}

impl Testnet {
    /// Starts a network, and returns when every node knows all. If that fails, nothing of it runs on.
    ///
    /// Dropped before its end, this leaves nodes running, all of them written down: see [`Testnet::discard`].
    ///
    /// # Errors
    /// A folder that is occupied or not writable, a program that does not start or end up ready, the deadline.
    pub async fn up(options: UpOptions) -> Result<Self, TestnetError> {
        if !(1..=NODES_MAX).contains(&options.nodes) {
            return Err(TestnetError::Size);
        }
        let failed = |source| TestnetError::File { doing: "make", path: options.dir.clone(), source };
        fs::create_dir_all(&options.dir).map_err(failed)?;
        let dir = fs::canonicalize(&options.dir).map_err(failed)?;
        let lock = lock(&dir)?;
        if State::read(&state_file(&dir))?.is_some() {
            return Err(TestnetError::Occupied { dir });
        }
        let nodes = (0..options.nodes).map(|index| Node::new(&dir, index)).collect();
        let UpOptions { pald, transport, quota, cast, .. } = options;
        let state = State { pald, transport, quota, cast, nodes };
        let mut net = Self { dir, state, _lock: lock };
        match net.raise(options.deadline).await {
            Ok(()) => Ok(net),
            Err(error) => {
                net.discard().await?;
                Err(error)
            }
        }
    }

    /// The network in a folder.
    ///
    /// # Errors
    /// No network there, a damaged state file, or another command at work.
    pub fn open(dir: &Path) -> Result<Self, TestnetError> {
        let none = |_| TestnetError::NoNetwork { dir: dir.to_owned() };
        let dir = fs::canonicalize(dir).map_err(none)?;
        let path = state_file(&dir);
        // Looked for before the lock is taken, which leaves a file behind.
        if !path.exists() {
            return Err(TestnetError::NoNetwork { dir });
        }
        let lock = lock(&dir)?;
        let state = State::read(&path)?.ok_or_else(|| TestnetError::NoNetwork { dir: dir.clone() })?;
        Ok(Self { dir, state, _lock: lock })
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All nodes, running or not.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.state.nodes
    }

    /// The numbers of the processes that live now, stopped ones among them.
    #[must_use]
    pub fn running(&self) -> Vec<u32> {
        let lives = |node: &&Node| node.condition() != Condition::Gone;
        self.state.nodes.iter().filter(lives).map(|node| node.pid).collect()
    }

    /// The file that `--bootstrap` and `PAL_BOOTSTRAP` take.
    #[must_use]
    pub fn bootstrap_file(&self) -> PathBuf {
        self.dir.join("bootstrap")
    }

    /// Lets a share of all nodes be hit, chosen by the seed (see [`choose`]); returns those that were hit: the chosen
    /// that ran. After [`Blow::Kill`] they are gone when this returns.
    ///
    /// The bootstrap file keeps naming the dead, as such files do in life; only when nobody in it is left it is
    /// written anew, since who knows of no living node is not part of a network at all.
    ///
    /// # Errors
    /// A signal that is not permitted, or a process that does not vanish.
    pub async fn hit(&self, fraction: Fraction, seed: u64, blow: Blow) -> Result<Vec<u32>, TestnetError> {
        let all = u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX);
        self.hit_these(&choose(all, fraction, seed), blow).await
    }

    /// The same with these nodes.
    ///
    /// # Errors
    /// As of [`Testnet::hit`].
    pub async fn hit_these(&self, chosen: &[u32], blow: Blow) -> Result<Vec<u32>, TestnetError> {
        let signal = match blow {
            Blow::Kill => Signal::KILL,
            Blow::Stop => Signal::STOP,
            Blow::Continue => Signal::CONT,
        };
        let mut hit = Vec::with_capacity(chosen.len());
        for node in chosen.iter().filter_map(|&index| self.state.nodes.get(index as usize)) {
            if send(node, signal)? {
                hit.push(node.index);
            }
        }
        if blow == Blow::Kill {
            let left = self.await_gone(&hit, KILLED_DEADLINE).await;
            if !left.is_empty() {
                return Err(TestnetError::Undying { after: KILLED_DEADLINE, nodes: left });
            }
        }
        if blow != Blow::Continue {
            self.renew_bootstrap(&hit)?;
        }
        Ok(hit)
    }

    /// Ends a node without warning and starts it again, on its data, as one that speaks a next version of the protocols beside
    /// today's. Who else is dead starts with it.
    ///
    /// # Errors
    /// As of [`Testnet::start`].
    pub async fn upgrade(&mut self, index: u32, deadline: Duration) -> Result<(), TestnetError> {
        self.hit_these(&[index], Blow::Kill).await?;
        if let Some(node) = self.state.nodes.get_mut(index as usize) {
            node.next_version = true;
        }
        self.start(deadline).await.map(|_| ())
    }

    /// Starts the dead nodes again, on the data and (if still free) the ports they had; returns them when every node
    /// that is not stopped knows as many.
    ///
    /// # Errors
    /// As of [`Testnet::up`]; what was started then runs on.
    pub async fn start(&mut self, deadline: Duration) -> Result<Vec<u32>, TestnetError> {
        let end = Instant::now() + deadline;
        let dead: Vec<u32> =
            self.state.nodes.iter().filter(|node| node.condition() == Condition::Gone).map(|node| node.index).collect();
        self.revive(&dead, end, deadline).await?;
        self.await_acquainted(end, deadline).await?;
        Ok(dead)
    }

    /// Starts a node more for each of these parts; returns when every node that is not stopped knows as many.
    ///
    /// # Errors
    /// As of [`Testnet::up`]; what was started then runs on.
    pub async fn add(&mut self, parts: Vec<Part>, deadline: Duration) -> Result<(), TestnetError> {
        let end = Instant::now() + deadline;
        let first = u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX);
        let added: Vec<u32> = (first..).zip(&parts).map(|(index, _)| index).collect();
        if self.state.nodes.len() + parts.len() > NODES_MAX as usize {
            return Err(TestnetError::Size);
        }
        for (&index, part) in added.iter().zip(parts) {
            self.state.nodes.push(Node::new(&self.dir, index));
            self.state.cast.parts.insert(index, part);
        }
        self.launch(&added, launch::Ports::Any)?;
        self.await_ready(&added, end, deadline).await?;
        self.await_acquainted(end, deadline).await
    }

    /// Ends all nodes: asks them to, and kills those that have not ended at the deadline. Data and logs stay.
    ///
    /// # Errors
    /// A signal that is not permitted, or processes that do not vanish even so.
    pub async fn down(&self, deadline: Duration) -> Result<Ended, TestnetError> {
        let mut asked = Vec::new();
        for node in &self.state.nodes {
            if send(node, Signal::TERM)? {
                // A stopped process hears nothing until it goes on.
                send(node, Signal::CONT)?;
                asked.push(node.index);
            }
        }
        let stubborn = self.await_gone(&asked, deadline).await;
        for node in stubborn.iter().filter_map(|&index| self.state.nodes.get(index as usize)) {
            send(node, Signal::KILL)?;
        }
        let undying = self.await_gone(&stubborn, KILLED_DEADLINE).await;
        if !undying.is_empty() {
            return Err(TestnetError::Undying { after: deadline + KILLED_DEADLINE, nodes: undying });
        }
        Ok(Ended { asked: asked.len() - stubborn.len(), killed: stubborn.len() })
    }

    /// Kills all nodes and forgets the network, so that `up` can be called again; data and logs stay.
    ///
    /// # Errors
    /// As of [`Testnet::down`].
    pub async fn discard(self) -> Result<(), TestnetError> {
        self.down(Duration::ZERO).await?;
        for path in [state_file(&self.dir), self.bootstrap_file()] {
            if let Err(source) = fs::remove_file(&path)
                && source.kind() != std::io::ErrorKind::NotFound
            {
                return Err(TestnetError::File { doing: "remove", path, source });
            }
        }
        Ok(())
    }

    /// Waits until none of these runs; returns those that still do at the deadline.
    async fn await_gone(&self, indices: &[u32], deadline: Duration) -> Vec<u32> {
        let end = Instant::now() + deadline;
        let mut left = indices.to_vec();
        loop {
            left.retain(|&index| {
                self.state.nodes.get(index as usize).is_some_and(|node| node.condition() != Condition::Gone)
            });
            if left.is_empty() || Instant::now() >= end {
                return left;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn save(&self) -> Result<(), TestnetError> {
        self.state.write(&state_file(&self.dir))
    }

    /// Writes the bootstrap file if it names no address of a node that answers. Those just hit do not, even if the
    /// system has not stopped them yet.
    fn renew_bootstrap(&self, hit: &[u32]) -> Result<(), TestnetError> {
        let path = self.bootstrap_file();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let named: BTreeSet<&str> = text.lines().collect();
        let answers = |node: &&Node| !hit.contains(&node.index) && node.condition() == Condition::Running;
        let answering: Vec<&Node> = self.state.nodes.iter().filter(answers).collect();
        let useful = answering.iter().flat_map(|node| &node.addresses).any(|address| named.contains(address.as_str()));
        if useful || answering.is_empty() {
            return Ok(());
        }
        self.write_bootstrap(&answering)
    }

    /// Writes the bootstrap file from the first few of these nodes.
    fn write_bootstrap(&self, nodes: &[&Node]) -> Result<(), TestnetError> {
        let lines = nodes.iter().take(BOOTSTRAP).flat_map(|node| &node.addresses);
        let text: String = lines.flat_map(|address| [address.as_str(), "\n"]).collect();
        state::replace(&self.bootstrap_file(), text.as_bytes())
    }
}

fn state_file(dir: &Path) -> PathBuf {
    dir.join("testnet.json")
}

/// Keeps other commands away from a folder until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough while a child of this process, forked just now, has the file too.
        let _ = self.0.unlock();
    }
}

/// Takes the lock of a folder, or says at once that another has it.
pub(crate) fn lock(dir: &Path) -> Result<Lock, TestnetError> {
    let path = dir.join("testnet.lock");
    let failed = |path: &Path, source| TestnetError::File { doing: "lock", path: path.to_owned(), source };
    let file = File::create(&path).map_err(|source| failed(&path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(TestnetError::Busy { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(&path, source)),
    }
}

/// Signals a node's process; tells whether it ran.
fn send(node: &Node, signal: Signal) -> Result<bool, TestnetError> {
    node.process().signal(&node.data_dir, signal).map_err(|source| TestnetError::Signal { index: node.index, source })
}

#[cfg(test)]
mod tests;
