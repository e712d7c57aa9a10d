//! Starting nodes: in waves, since the later ones need somebody to begin with, and all of a wave at once.
//!
//! A node that is ready says so in `node.json`; that all know each other is asked of each through its admin socket.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::task::JoinSet;

use super::error::{Ignorant, TestnetError};
use super::procfs::{Condition, Process};
use super::state::Node;
use super::{LOOK_EVERY, Testnet, admin};
use crate::hostile::HOSTILE;

/// Threads of each node, as `pald --threads` takes them.
const THREADS: &str = "1";
/// Nodes that must be ready before all others are started: the first alone, and enough that no single one of them
/// decides whether the others find in.
const FIRST_NODES: u32 = 3;
/// How many of `living_nodes` and `met_nodes` are the node itself: its own descriptor is in its table, as any other.
const SELF_KNOWN: usize = 1;
/// Time between two questions to a node that does not know all yet.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Time that a node gets for one answer; a machine that starts forty programs at once lets it wait.
const ANSWER_DEADLINE: Duration = Duration::from_secs(2);
/// Bytes of `node.json` at most.
const READY_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of a log's end that an error shows.
const TAIL_BYTES: u64 = 2048;

/// What a node writes into `node.json` when it is ready.
#[derive(Debug, Deserialize)]
struct Ready {
    pid: u32,
    id: String,
    addresses: Vec<String>,
}

/// Where nodes shall listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ports {
    /// Wherever the system finds a free port.
    Any,
    /// Where they listened before.
    Before,
}

impl Testnet {
    /// Starts all nodes of a new network.
    pub(super) async fn raise(&mut self, deadline: Duration) -> Result<(), TestnetError> {
        let end = Instant::now() + deadline;
        let all = u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX);
        let first = FIRST_NODES.min(all);
        for wave in [0..1, 1..first, first..all] {
            let wave: Vec<u32> = wave.collect();
            self.launch(&wave, Ports::Any)?;
            self.await_ready(&wave, end, deadline).await?;
            // The first few nodes, as far as they are up.
            self.write_bootstrap(&self.state.nodes.iter().collect::<Vec<_>>())?;
        }
        self.await_acquainted(end, deadline).await
    }

    /// Starts dead nodes where they were. Their ports may have been taken meanwhile (by any outgoing connection of the
    /// machine): who does not get them tries others.
    pub(super) async fn revive(&mut self, dead: &[u32], end: Instant, deadline: Duration) -> Result<(), TestnetError> {
        self.launch(dead, Ports::Before)?;
        let mut waiting = dead.to_vec();
        loop {
            match self.await_ready(&waiting, end, deadline).await {
                Err(TestnetError::NodeEnded { index, .. }) if waiting.contains(&index) => {
                    self.launch(&[index], Ports::Any)?;
                    self.await_ready(&[index], end, deadline).await?;
                    waiting.retain(|&other| other != index);
                }
                other => return other,
            }
        }
    }

    /// Starts processes and writes them down before anything is awaited: an interruption leaves none unknown.
    pub(super) fn launch(&mut self, indices: &[u32], ports: Ports) -> Result<(), TestnetError> {
        let mut outcome = Ok(());
        for &index in indices {
            outcome = self.launch_one(index, ports);
            if outcome.is_err() {
                break;
            }
        }
        self.save()?;
        outcome
    }

    fn launch_one(&mut self, index: u32, ports: Ports) -> Result<(), TestnetError> {
        let bootstrap = self.bootstrap_file();
        let Some(node) = self.state.nodes.get_mut(index as usize) else { return Ok(()) };
        let in_log = |source| TestnetError::File { doing: "write", path: node.log.clone(), source };
        let log = OpenOptions::new().create(true).append(true).open(&node.log).map_err(in_log)?;
        let errors = log.try_clone().map_err(in_log)?;
        // What an earlier life left behind must not pass for this one's word; the process number in it is checked too.
        let _none_there = fs::remove_file(node.data_dir.join("node.json"));

        let part = self.state.cast.parts.get(&index);
        let program = part.map_or_else(|| self.state.pald.clone(), |_| self.state.pald.with_file_name(HOSTILE));
        let mut command = Command::new(&program);
        // Whoever runs this may have settings for a node of their own.
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PALD_")) {
            command.env_remove(name);
        }
        command.arg("run").arg("--data-dir").arg(&node.data_dir);
        if let Some(part) = part {
            command.arg("--part").arg(part.text());
        }
        // Many nodes share this machine's processors: one thread each wakes fewer others.
        command.args(["--transport", &self.state.transport.to_string(), "--log", "text", "--threads", THREADS]);
        let before = if ports == Ports::Before { node.listen_again() } else { Vec::new() };
        let anywhere = self.state.transport.listen().iter().map(|&address| address.to_owned());
        let listen: Vec<String> = if before.is_empty() { anywhere.collect() } else { before };
        for address in &listen {
            command.args(["--listen", address]);
        }
        if bootstrap.exists() {
            command.arg("--bootstrap").arg(&bootstrap);
        }
        if let Some(quota) = &self.state.quota {
            command.args(["--quota", quota]);
        }
        if node.next_version {
            command.arg("--next-version");
        }
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let spawned = |source| TestnetError::Spawn { program: program.clone(), source };
        let child = command.spawn().map_err(spawned)?;
        let process = Process::of(child.id()).map_err(spawned)?;
        (node.pid, node.started_ticks) = (process.pid, process.started_ticks);
        Ok(())
    }

    /// Waits until these nodes have said where they listen, and notes it.
    pub(super) async fn await_ready(
        &mut self,
        indices: &[u32],
        end: Instant,
        deadline: Duration,
    ) -> Result<(), TestnetError> {
        let mut missing = indices.to_vec();
        loop {
            let mut ended = None;
            missing.retain(|&index| {
                let Some(node) = self.state.nodes.get_mut(index as usize) else { return false };
                // In this order: one that gets ready and ends in between is seen as ended the next time.
                let gone = node.condition() == Condition::Gone;
                if let Some(ready) = read_ready(&node.data_dir).filter(|ready| ready.pid == node.pid) {
                    (node.id, node.addresses) = (ready.id, ready.addresses);
                    return false;
                }
                if gone {
                    ended = Some(index);
                }
                true
            });
            if let Some(node) = ended.and_then(|index| self.state.nodes.get(index as usize)) {
                let tail = tail(&node.log).unwrap_or_else(|error| error.to_string());
                return Err(TestnetError::NodeEnded { index: node.index, log: node.log.clone(), tail });
            }
            if missing.is_empty() {
                return self.save();
            }
            if Instant::now() >= end {
                return Err(TestnetError::NotReady { after: deadline, missing });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until every node that runs and is not stopped knows as many of whom it does not believe that they are lost.
    pub(super) async fn await_acquainted(&self, end: Instant, deadline: Duration) -> Result<(), TestnetError> {
        self.await_figure("living_nodes", end, deadline).await
    }

    /// Waits until every node that runs and is not stopped has met each other one. Whom it has not met it forgets if he is not there.
    ///
    /// # Errors
    /// `NotAcquainted` after the deadline; `NodeEnded`.
    pub(crate) async fn await_met(&self, deadline: Duration) -> Result<(), TestnetError> {
        self.await_figure("met_nodes", Instant::now() + deadline, deadline).await
    }

    /// Waits until this figure of each status counts all nodes that run and are not stopped.
    async fn await_figure(&self, figure: &'static str, end: Instant, deadline: Duration) -> Result<(), TestnetError> {
        let mut asked: Vec<&Node> =
            self.state.nodes.iter().filter(|node| node.condition() == Condition::Running).collect();
        let wanted = asked.len();
        loop {
            let mut answers = JoinSet::new();
            for node in &asked {
                let (index, data_dir) = (node.index, node.data_dir.clone());
                answers.spawn(async move { (index, asked_for(figure, &data_dir).await) });
            }
            let mut missing = Vec::new();
            while let Some(answer) = answers.join_next().await {
                let Ok((index, said)) = answer else { continue };
                if !said.as_ref().is_ok_and(|&known| known as usize >= wanted - 1 + SELF_KNOWN) {
                    missing.push(Ignorant { index, said });
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            if let Some(node) = asked.iter().find(|node| node.condition() == Condition::Gone) {
                let tail = tail(&node.log).unwrap_or_else(|error| error.to_string());
                return Err(TestnetError::NodeEnded { index: node.index, log: node.log.clone(), tail });
            }
            if Instant::now() >= end {
                missing.sort_by_key(|one| one.index);
                return Err(TestnetError::NotAcquainted { after: deadline, wanted, missing });
            }
            asked.retain(|node| missing.iter().any(|one| one.index == node.index));
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

async fn asked_for(figure: &str, data_dir: &Path) -> io::Result<u64> {
    let status = admin::status(data_dir, ANSWER_DEADLINE).await?;
    status[figure]
        .as_u64()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no {figure} in its status")))
}

/// The node's word that it is ready, if there is one; half a word is none.
fn read_ready(data_dir: &Path) -> Option<Ready> {
    let file = File::open(data_dir.join("node.json")).ok()?;
    let ready: Ready = serde_json::from_reader(file.take(READY_BYTES_MAX)).ok()?;
    (!ready.addresses.is_empty()).then_some(ready)
}

/// The end of a log, from the start of a line.
fn tail(log: &Path) -> io::Result<String> {
    let mut file = File::open(log)?;
    let start = file.metadata()?.len().saturating_sub(TAIL_BYTES);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let whole = if start == 0 { &*text } else { text.split_once('\n').map_or(&*text, |(_, rest)| rest) };
    Ok(whole.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::{TAIL_BYTES, read_ready, tail};

    #[test]
    fn a_node_is_ready_when_it_says_where_it_listens() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.json");
        assert!(read_ready(dir.path()).is_none());
        for not_yet in ["", r#"{"pid":1,"id":"a"#, r#"{"pid":1,"id":"ab","addresses":[]}"#] {
            std::fs::write(&path, not_yet).unwrap();
            assert!(read_ready(dir.path()).is_none(), "{not_yet}");
        }
        std::fs::write(&path, r#"{"pid":1,"id":"ab","addresses":["/ip4/127.0.0.1/tcp/1/p2p/x"],"more":0}"#).unwrap();
        assert_eq!(read_ready(dir.path()).unwrap().pid, 1);
    }

    #[test]
    fn the_tail_of_a_log_begins_with_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(tail(&log).unwrap(), "one\ntwo");
        let long: String = (0..1000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&log, long).unwrap();
        let end = tail(&log).unwrap();
        assert!(end.starts_with("line ") && end.ends_with("line 999") && end.len() as u64 <= TAIL_BYTES);
    }
}
