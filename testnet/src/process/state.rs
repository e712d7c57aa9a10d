//! `testnet.json`: what the commands know of a network between one call and the next, and scripts may read.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::TestnetError;
use super::procfs::{Condition, Process};
use crate::hostile::Cast;

/// Bytes of the file at most, well above what [`NODES_MAX`] nodes need.
const STATE_BYTES_MAX: u64 = 16 << 20;
/// Nodes of one network at most: what one machine has ports and memory for, and three digits can number.
pub const NODES_MAX: u32 = 1000;

/// The way that nodes talk to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP, Noise, Yamux.
    Tcp,
    /// QUIC.
    Quic,
    /// Both at once.
    All,
}

/// Why a text is no [`Transport`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a transport is one of tcp, quic, all")]
pub struct NotATransport;

impl Transport {
    /// The addresses to listen on: loopback, and a port that the system picks.
    #[must_use]
    pub fn listen(self) -> &'static [&'static str] {
        const TCP: &str = "/ip4/127.0.0.1/tcp/0";
        const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
        match self {
            Self::Tcp => &[TCP],
            Self::Quic => &[QUIC],
            Self::All => &[TCP, QUIC],
        }
    }
}

impl FromStr for Transport {
    type Err = NotATransport;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Tcp, Self::Quic, Self::All].into_iter().find(|one| one.to_string() == text).ok_or(NotATransport)
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::All => "all",
        })
    }
}

/// A network as it was last left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The program that the nodes run.
    pub pald: PathBuf,
    /// How they talk.
    pub transport: Transport,
    /// The quota of each, as given; none: the program's own default.
    pub quota: Option<String>,
    /// Who of the nodes is not honest.
    #[serde(default, skip_serializing_if = "Cast::is_empty")]
    pub cast: Cast,
    /// All nodes, by index.
    pub nodes: Vec<Node>,
}

/// One node as it was last started. Whether it still runs is asked of the system, never of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its place among the nodes, from 0.
    pub index: u32,
    /// The number of its last process; 0 before the first.
    pub pid: u32,
    /// When that process started, in clock ticks since the machine's start: tells it from later ones of this number.
    pub started_ticks: u64,
    /// The node's name in hexadecimal; empty until it was first ready.
    pub id: String,
    /// Where it listens, as multiaddrs; empty until it was first ready.
    pub addresses: Vec<String>,
    /// Its data folder.
    pub data_dir: PathBuf,
    /// Its log, of all its lives.
    pub log: PathBuf,
    /// Whether it speaks a next version beside today's, from its next start on.
    #[serde(default)]
    pub next_version: bool,
}

impl Node {
    /// A node that was never started.
    pub(super) fn new(dir: &Path, index: u32) -> Self {
        let name = format!("node-{index:03}");
        let (data_dir, log) = (dir.join(&name), dir.join(format!("{name}.log")));
        let (id, addresses) = (String::new(), Vec::new());
        Self { index, pid: 0, started_ticks: 0, id, addresses, data_dir, log, next_version: false }
    }

    /// How its process is now.
    pub(crate) fn condition(&self) -> Condition {
        self.process().condition(&self.data_dir)
    }

    /// Its process, running or not.
    pub(super) fn process(&self) -> Process {
        Process { pid: self.pid, started_ticks: self.started_ticks }
    }

    /// The addresses that it had, to listen on again: without the name at their end.
    pub(super) fn listen_again(&self) -> Vec<String> {
        self.addresses.iter().map(|address| address.split("/p2p/").next().unwrap_or(address).to_owned()).collect()
    }
}

impl State {
    /// Reads the file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, TestnetError> {
        let failed = |source| TestnetError::File { doing: "read", path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        file.take(STATE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        let bad = |reason: String| TestnetError::State { path: path.to_owned(), reason };
        let state: Self = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if state.nodes.len() > NODES_MAX as usize {
            return Err(bad(format!("more than {NODES_MAX} nodes")));
        }
        if !state.nodes.iter().zip(0..).all(|(node, index)| node.index == index) {
            return Err(bad("the nodes are not numbered from 0".to_owned()));
        }
        Ok(Some(state))
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), TestnetError> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|error| TestnetError::State { path: path.to_owned(), reason: error.to_string() })?;
        text.push(b'\n');
        replace(path, &text)
    }
}

/// Replaces a file, so that a reader sees the old or the new content and nothing between.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), TestnetError> {
    let new = path.with_extension("new");
    fs::write(&new, content).and_then(|()| fs::rename(&new, path)).map_err(|source| TestnetError::File {
        doing: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Cast, Node, State, Transport};
    use crate::hostile::Lie;
    use crate::process::error::TestnetError;

    fn sample(dir: &Path) -> State {
        let mut nodes: Vec<Node> = (0..3).map(|index| Node::new(dir, index)).collect();
        nodes[1].pid = 17;
        nodes[1].id = "ab".repeat(32);
        nodes[1].addresses = vec!["/ip4/127.0.0.1/udp/4001/quic-v1/p2p/12D3Koo".to_owned()];
        let mut cast = Cast::default();
        cast.part(1).lie = Some(Lie::Absent);
        State { pald: "/bin/pald".into(), transport: Transport::Quic, quota: Some("1GiB".to_owned()), cast, nodes }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("testnet.json");
        assert_eq!(State::read(&path).unwrap(), None);
        let state = sample(dir.path());
        state.write(&path).unwrap();
        assert_eq!(State::read(&path).unwrap(), Some(state));
    }

    #[test]
    fn scripts_find_the_promised_keys() {
        let value = serde_json::to_value(sample(Path::new("/d"))).unwrap();
        let node = &value["nodes"][1];
        assert_eq!(node["index"], 1);
        assert_eq!(node["pid"], 17);
        assert_eq!(node["data_dir"], "/d/node-001");
        assert_eq!(node["log"], "/d/node-001.log");
        assert!(node["id"].is_string() && node["addresses"].is_array());
        assert_eq!(value["transport"], "quic");
    }

    #[test]
    fn refused_are_damaged_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("testnet.json");
        let mut misnumbered = sample(dir.path());
        misnumbered.nodes.swap(0, 1);
        for text in ["".to_owned(), "{}".to_owned(), "[".to_owned(), serde_json::to_string(&misnumbered).unwrap()] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(State::read(&path), Err(TestnetError::State { .. })));
        }
    }

    #[test]
    fn a_node_listens_again_where_it_was() {
        let state = sample(Path::new("/d"));
        assert_eq!(state.nodes[1].listen_again(), ["/ip4/127.0.0.1/udp/4001/quic-v1"]);
        assert!(state.nodes[0].listen_again().is_empty());
    }

    #[test]
    fn transports_have_names() {
        for one in [Transport::Tcp, Transport::Quic, Transport::All] {
            assert_eq!(one.to_string().parse(), Ok(one));
            assert!(!one.listen().is_empty());
        }
        assert!("sctp".parse::<Transport>().is_err());
    }
}
