//! A network of `pald` in containers, each with an address of its own; it outlives the command that started it.
//!
//! ```text
//!   D/docker.json      who is where (plan)             D/testnet.lock   one command at a time
//!   D/compose.yaml     what compose was given          D/image/         what the image was built from
//!   D/bootstrap        where a newcomer begins, one multiaddr a line
//! ```
//!
//! The engine is asked, never the file, what runs. Only what bears this network's label is ever touched: containers,
//! networks, volumes, image. Links, NAT and partitions are made inside the containers' own networks (`netns`).

mod blows;
mod company;
mod compose;
pub mod delay;
mod engine;
mod error;
mod link;
mod names;
mod neighbours;
mod netns;
mod plan;
mod programs;
mod remove;
pub mod speed;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};

pub use blows::Condition;
use company::ASKED_AT_ONCE;
pub use engine::{Compose, Docker};
pub use error::DockerError;
pub use link::{Bandwidth, Latency, Links, Loss, NotABandwidth, NotALatency, NotALoss};
pub use names::{Name, NotAName, NotASubnet, Subnet};
pub use netns::HOLDING;
use netns::{Tools, Wanted};
pub(crate) use plan::PORT;
pub use plan::{NODES_MAX, Plan, Side};
use remove::of_label;
pub use remove::remove;

use crate::hostile::{Cast, Part};
use crate::process::{Fraction, TestnetError, Transport, Way};

/// The label of all that belongs to a testnet; its value is the network's name.
pub const LABEL: &str = "org.palimpsest.testnet";
/// How the image's programs are built: an alias in `.cargo/config.toml`.
pub const BUILD: &str = "cargo static";
/// The recipe of the image.
const DOCKERFILE: &str = include_str!("../docker/Dockerfile");
/// Time for building the image, and for other work on all containers.
const IMAGE_DEADLINE: Duration = Duration::from_secs(600);

/// What a network shall be.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// Its folder, made if there is none.
    pub dir: PathBuf,
    /// Its name.
    pub name: Name,
    /// Its addresses.
    pub subnet: Subnet,
    /// How many nodes.
    pub nodes: u32,
    /// The share of them that is behind NAT.
    pub nat: Fraction,
    /// What the links are like.
    pub links: Links,
    /// How nodes talk.
    pub transport: Transport,
    /// The quota of each in `pald`'s notation; none: its default.
    pub quota: Option<String>,
    /// MiB of the disk that each has, in memory and lost when it ends; none: this machine's.
    pub disk_mib: Option<u64>,
    /// Folder of the static programs; none: beside this one.
    pub bin_dir: Option<PathBuf>,
    /// Who of the nodes is not honest.
    pub cast: Cast,
    /// Time until all must know each other.
    pub deadline: Duration,
}

/// What is to be done in the containers' networks.
fn wanted(plan: &Plan) -> Wanted {
    let (nat, partition) = (!plan.lans.is_empty(), !plan.island.is_empty());
    Wanted { links: plan.links, nat, partition, crowded: neighbours::is_crowded(plan) }
}

/// A network of containers, held by this command alone.
#[derive(Debug)]
pub struct DockerNet {
    dir: PathBuf,
    docker: Docker,
    plan: Plan,
    _lock: crate::process::Lock,
}

impl DockerNet {
    /// Starts a network, and returns when every node knows all. If that fails, nothing of it is left.
    ///
    /// Dropped before its end, this leaves containers: see [`remove()`].
    ///
    /// # Errors
    /// No docker, what the links need and this machine lacks, programs that are not static, a name that is taken, a container
    /// that ends, the deadline.
    pub async fn up(options: UpOptions) -> Result<Self, DockerError> {
        let docker = Docker::find().await?;
        let UpOptions { dir, name, subnet, nodes, nat, links, transport, quota, disk_mib, bin_dir, cast, deadline } =
            options;
        let mut plan = Plan::new(name, subnet, nodes, nat)?;
        (plan.links, plan.transport, plan.quota, plan.disk_mib, plan.cast) = (links, transport, quota, disk_mib, cast);
        let tools = Tools::find(wanted(&plan)).await?;
        plan.held = tools.as_ref().is_some_and(Tools::hold);
        let bin_dir = programs::find(bin_dir.as_deref(), !plan.cast.is_empty())?;
        let in_dir = |path: &Path, source| TestnetError::File { doing: "make", path: path.to_owned(), source };
        fs::create_dir_all(&dir).map_err(|source| in_dir(&dir, source))?;
        let lock = crate::process::lock(&dir)?;
        if Plan::read(&dir.join("docker.json"))?.is_some() || !of_label(&docker, &plan.name).await?.is_empty() {
            return Err(DockerError::Occupied { name: plan.name.to_string() });
        }
        let net = Self { dir, docker, plan, _lock: lock };
        net.plan.write(&net.plan_file())?;
        match net.raise(tools, &bin_dir, deadline).await {
            Ok(()) => Ok(net),
            Err(why) => Err(match net.down().await {
                Ok(_) => why,
                Err(left) => DockerError::Left { why: Box::new(why), left: Box::new(left) },
            }),
        }
    }

    async fn raise(&self, tools: Option<Tools>, bin_dir: &Path, deadline: Duration) -> Result<(), DockerError> {
        let image = self.dir.join("image");
        let failed = |source| TestnetError::File { doing: "make", path: image.clone(), source };
        fs::create_dir_all(&image).map_err(failed)?;
        programs::copy(bin_dir, &image, !self.plan.cast.is_empty())?;
        crate::process::replace(&image.join("Dockerfile"), DOCKERFILE.as_bytes())?;
        let bootstrap: String = self.plan.bootstrap().iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        crate::process::replace(&self.bootstrap_file(), bootstrap.as_bytes())?;

        let label = format!("{LABEL}={}", self.plan.name);
        let tag = self.plan.image();
        let folder = image.display().to_string();
        let build = ["build", "--quiet", "--label", &label, "--tag", &tag, &folder];
        self.docker.ask_within(&build, IMAGE_DEADLINE).await?;
        self.compose_up(&[]).await?;
        if let Some(tools) = tools {
            self.wire(&tools, &self.plan.indices().collect::<Vec<_>>()).await?;
        }
        self.await_acquainted(deadline).await
    }

    /// Makes the containers of these nodes what the plan says; of all, and what is around them, if none is named. Those that are so
    /// already stay.
    async fn compose_up(&self, nodes: &[u32]) -> Result<(), DockerError> {
        let file = self.write_compose()?;
        let names: Vec<String> = nodes.iter().map(|&index| plan::node_name(index)).collect();
        let words: Vec<&str> =
            ["up", "--detach", "--no-build"].into_iter().chain(names.iter().map(String::as_str)).collect();
        self.docker.compose(&self.plan.project(), &file, &words, IMAGE_DEADLINE).await.map(|_| ())
    }

    /// Writes down what compose is given.
    fn write_compose(&self) -> Result<PathBuf, DockerError> {
        let file = self.dir.join("compose.yaml");
        crate::process::replace(&file, compose::render(&self.plan).as_bytes())?;
        Ok(file)
    }

    /// The network in a folder.
    ///
    /// # Errors
    /// No docker, no network there, a damaged file, or another command at work.
    pub async fn open(dir: &Path, name: &Name) -> Result<Self, DockerError> {
        let docker = Docker::find().await?;
        let none = || DockerError::NoNetwork { name: name.to_string() };
        let path = dir.join("docker.json");
        if !path.exists() {
            return Err(none());
        }
        let lock = crate::process::lock(dir)?;
        let plan = Plan::read(&path)?.ok_or_else(none)?;
        Ok(Self { dir: dir.to_owned(), docker, plan, _lock: lock })
    }

    /// Who is where.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The engine.
    #[must_use]
    pub fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The file that `PAL_BOOTSTRAP` takes, on this machine.
    #[must_use]
    pub fn bootstrap_file(&self) -> PathBuf {
        self.dir.join("bootstrap")
    }

    fn plan_file(&self) -> PathBuf {
        self.dir.join("docker.json")
    }

    /// Starts a node more for each of these parts, all of them beside those of the beginning, which have no LANs; returns when all
    /// know each other.
    ///
    /// # Errors
    /// As of [`DockerNet::up`].
    pub async fn add(&mut self, parts: Vec<Part>, deadline: Duration) -> Result<(), DockerError> {
        let mut plan = self.plan.clone();
        plan.add(parts)?;
        let added: Vec<u32> = plan.indices().skip(self.plan.nodes.len()).collect();
        let tools = Tools::find(wanted(&plan)).await?;
        self.plan = plan;
        self.plan.write(&self.plan_file())?;
        if !added.is_empty() {
            self.compose_up(&added).await?;
        }
        if let Some(tools) = &tools {
            self.wire(tools, &self.plan.indices().collect::<Vec<_>>()).await?;
        }
        self.await_acquainted(deadline).await
    }

    /// Makes the networks of these nodes, and of all routers, what the plan says.
    async fn wire(&self, tools: &Tools, nodes: &[u32]) -> Result<(), DockerError> {
        for (number, lan) in self.plan.lans.iter().enumerate() {
            for pid in self.pids(&[self.plan.router(number)]).await?.into_iter().flatten() {
                tools.wire_router(&self.plan, lan, pid).await?;
            }
        }
        for (side, pid) in self.user_pids().await? {
            tools.wire_user(&self.plan, side, pid).await?;
        }
        let names: Vec<String> = nodes.iter().map(|&index| self.plan.container(index)).collect();
        let pids = self.pids(&names).await?;
        let alive = nodes.iter().zip(pids).filter_map(|(&index, pid)| Some((index, pid?)));
        let each: Vec<_> = alive.map(|(index, pid)| tools.wire_node(&self.plan, index, pid)).collect();
        futures::stream::iter(each).buffer_unordered(ASKED_AT_ONCE).try_collect::<()>().await?;
        if neighbours::is_crowded(&self.plan) { self.introduce(tools).await } else { Ok(()) }
    }

    /// The processes in whose networks users are.
    async fn user_pids(&self) -> Result<Vec<(Side, u32)>, DockerError> {
        let sides = Side::ALL.into_iter().take(self.plan.users.len());
        let names: Vec<String> = sides.clone().map(|side| self.plan.user(side)).collect();
        let pids = self.pids(&names).await?;
        Ok(sides.zip(pids).filter_map(|(side, pid)| Some((side, pid?))).collect())
    }

    /// How a program of this machine is run where a user of that side is: with a link as that of nodes, and on that side of
    /// a partition.
    ///
    /// # Errors
    /// What this machine lacks, those of asking the engine, or there is no such user.
    pub async fn inside(&self, side: Side) -> Result<Way, DockerError> {
        let nsenter = netns::enterer("a user inside")?;
        let pids = self.user_pids().await?;
        let Some((_, pid)) = pids.into_iter().find(|(one, _)| *one == side) else {
            let (command, said) = ("enter the network of a user".to_owned(), "its container ended".to_owned());
            return Err(DockerError::Failed { command, said });
        };
        Ok(Way::through(nsenter, netns::network_of(pid)?))
    }

    /// The process numbers of containers, in their order; none of those that ended.
    async fn pids(&self, containers: &[String]) -> Result<Vec<Option<u32>>, DockerError> {
        if containers.is_empty() {
            return Ok(Vec::new());
        }
        let mut words = ["inspect", "--type", "container", "--format", "{{.State.Pid}}"].map(str::to_owned).to_vec();
        words.extend_from_slice(containers);
        let said = self.docker.ask(&words).await?;
        Ok(said.lines().map(|line| line.trim().parse().ok().filter(|&pid| pid > 0)).collect())
    }

    /// Removes the network: containers, data, networks, image, and what was written in its folder.
    ///
    /// # Errors
    /// Those of asking the engine.
    pub async fn down(self) -> Result<usize, DockerError> {
        let removed = remove(&self.docker, &self.plan.name).await?;
        let _built = fs::remove_dir_all(self.dir.join("image"));
        for name in ["compose.yaml", "bootstrap", "docker.json", "testnet.lock"] {
            let _gone = fs::remove_file(self.dir.join(name));
        }
        // Not if somebody keeps something else there.
        let _left = fs::remove_dir(&self.dir);
        Ok(removed)
    }
}
