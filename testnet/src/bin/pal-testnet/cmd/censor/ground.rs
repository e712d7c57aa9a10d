//! The network that a censor looks at, of whichever kind: programs, or containers.

use std::path::{Path, PathBuf};
use std::time::Duration;

use palimpsest_proto::ids::NodeId;
use palimpsest_testnet::anonymity::sights::Seen;
use palimpsest_testnet::docker::{DockerError, DockerNet, Name};
use palimpsest_testnet::hostile::{Diary, Part};
use palimpsest_testnet::process::Testnet;

use super::super::docker::{USUAL, Which};
use super::super::{Failure, broken};

/// Time until nodes that come know all others: programs, and containers, which share the same processors and start more slowly.
const PROCESSES_DEADLINE: Duration = Duration::from_secs(120);
const CONTAINERS_DEADLINE: Duration = Duration::from_secs(300);

/// Where the network is.
#[derive(Debug, Clone, clap::Args)]
#[group(required = true, multiple = true)]
pub(super) struct Where {
    /// Folder of the network; with --docker only needed where it is not the usual one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The network is one of containers (`docker up`), with this name.
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = USUAL)]
    docker: Option<Name>,
}

impl Where {
    /// The containers that are meant, if these are.
    fn containers(&self) -> Option<Which> {
        self.docker.clone().map(|name| Which { name, dir: self.dir.clone() })
    }

    /// The folder that was named; where no containers are meant, one was.
    fn folder(&self) -> PathBuf {
        self.dir.clone().unwrap_or_default()
    }

    /// The file that names the nodes by which one enters. It is there as long as the network is.
    pub(super) fn bootstrap(&self) -> Result<PathBuf, Failure> {
        let Some(containers) = self.containers() else { return Ok(self.folder().join("bootstrap")) };
        let file = containers.folder().join("bootstrap");
        let none = || DockerError::NoNetwork { name: containers.name.to_string() };
        if file.exists() { Ok(file) } else { Err(none().into()) }
    }

    /// Takes hold of it.
    pub(super) async fn open(&self) -> Result<Ground, Failure> {
        match self.containers() {
            Some(containers) => Ok(Ground::Containers(Box::new(containers.open().await?))),
            None => Ok(Ground::Processes(Testnet::open(&self.folder())?)),
        }
    }
}

/// A network, held by this command alone.
pub(super) enum Ground {
    Processes(Testnet),
    Containers(Box<DockerNet>),
}

impl Ground {
    /// How many nodes it has, dead ones too.
    pub(super) fn count(&self) -> Result<u32, Failure> {
        let count = match self {
            Self::Processes(net) => net.nodes().len(),
            Self::Containers(net) => net.plan().nodes.len(),
        };
        u32::try_from(count).map_err(broken)
    }

    /// All ids by number.
    pub(super) async fn ids(&self) -> Result<Vec<NodeId>, Failure> {
        match self {
            Self::Processes(net) => Ok(net.ids()),
            Self::Containers(net) => Ok(net.ids().await?),
        }
    }

    /// What the nodes saw, all of which must keep a diary; in order. Copies lie in `place`.
    pub(super) async fn diaries(&self, place: &Path) -> Result<Vec<Seen>, Failure> {
        let (silent, up) = match self {
            Self::Processes(net) => (net.without_diary(), "up --diary"),
            Self::Containers(net) => (net.without_diary(), "docker up --diary"),
        };
        if !silent.is_empty() {
            let all = self.count()?;
            return Err(broken(format!("{} of {all} nodes keep no diary: start them with `{up}`", silent.len())));
        }
        match self {
            Self::Processes(net) => {
                Diary::read_all(net.nodes().iter().map(|node| node.data_dir.clone())).map_err(broken)
            }
            Self::Containers(net) => Ok(net.diaries(place).await?),
        }
    }

    /// Whether nodes with parts can be added.
    pub(super) fn check_takes_parts(&self) -> Result<(), Failure> {
        match self {
            Self::Processes(net) => Ok(net.hostile_program().map(|_| ())?),
            Self::Containers(net) => Ok(net.check_takes_parts()?),
        }
    }

    /// Starts a node more for each of these parts.
    pub(super) async fn add(&mut self, parts: Vec<Part>) -> Result<(), Failure> {
        match self {
            Self::Processes(net) => Ok(net.add(parts, PROCESSES_DEADLINE).await?),
            Self::Containers(net) => Ok(net.add(parts, CONTAINERS_DEADLINE).await?),
        }
    }

    /// Ends the nodes from this number on, which were added, and forgets them.
    pub(super) async fn dismiss(&mut self, first: u32) -> Result<(), Failure> {
        match self {
            Self::Processes(net) => Ok(net.dismiss(first).await?),
            Self::Containers(net) => Ok(net.dismiss(first).await?),
        }
    }
}
