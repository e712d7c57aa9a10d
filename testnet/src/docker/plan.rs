//! Who is where in a network of containers: names, addresses, NAT. Kept in `docker.json` from one command to the next.

use std::fs::File;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::DockerError;
use super::link::Links;
use super::names::{Name, Subnet};
use crate::hostile::{Cast, Part};
use crate::memory::BOOTSTRAP;
use crate::process::{Fraction, TestnetError, Transport, choose};

/// Nodes of one network at most: what one machine runs as containers.
pub const NODES_MAX: u32 = 200;
/// The port of every node; each has an address of its own.
pub(crate) const PORT: u16 = 4646;
/// Nodes that are not behind NAT, at least, where others are: nobody else can be reached by those who come.
const PUBLIC_MIN: u32 = 3;
/// Users inside of the network: one where most nodes are, and one that a partition cuts off with the island.
const USERS: u8 = 2;
/// Nodes behind one router, as in a home.
const LAN_NODES: u32 = 4;
/// Bytes of the file at most.
const STATE_BYTES_MAX: u64 = 1 << 20;

/// A network behind a router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lan {
    /// Its addresses.
    pub subnet: String,
    /// The router's address in it.
    pub inside: Ipv4Addr,
    /// The router's address where all reach each other.
    pub outside: Ipv4Addr,
}

/// Where a user inside of the network is, when that is cut into two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// With those who were not chosen.
    Mainland,
    /// With those who were cut off.
    Island,
}

impl Side {
    /// Both, in the order of [`Plan::users`].
    pub(super) const ALL: [Self; USERS as usize] = [Self::Mainland, Self::Island];
}

/// A node's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its address, fixed as long as the network is there.
    pub address: Ipv4Addr,
    /// The LAN in which it is; none: it can be reached by all.
    pub lan: Option<usize>,
}

/// The whole network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name.
    pub name: Name,
    /// Its addresses.
    pub subnet: Subnet,
    /// What the links are like.
    pub links: Links,
    /// Whether the delay of links is made by a program of ours, since the kernel has no `netem`.
    #[serde(default)]
    pub held: bool,
    /// How nodes talk.
    pub transport: Transport,
    /// The quota of each in `pald`'s notation; none: its default.
    pub quota: Option<String>,
    /// MiB of the disk that each has; none: this machine's.
    #[serde(default)]
    pub disk_mib: Option<u64>,
    /// Addresses of users inside of the network, one for each [`Side`]. Their links are as those of nodes.
    #[serde(default)]
    pub users: Vec<Ipv4Addr>,
    /// All nodes, by index.
    pub nodes: Vec<Place>,
    /// All LANs.
    pub lans: Vec<Lan>,
    /// One side of a partition; empty: there is none.
    pub island: Vec<u32>,
    /// Nodes that speak a next version of the protocols beside today's.
    #[serde(default)]
    pub next_version: Vec<u32>,
    /// Who of the nodes is not honest.
    #[serde(default)]
    pub cast: Cast,
}

impl Plan {
    /// Gives so many nodes their places; a share of them, the last ones, is behind NAT.
    ///
    /// # Errors
    /// [`DockerError::Size`]: too few or too many of them, or too many behind NAT.
    pub fn new(name: Name, subnet: Subnet, nodes: u32, nat: Fraction) -> Result<Self, DockerError> {
        if !(2..=NODES_MAX).contains(&nodes) {
            return Err(DockerError::Size);
        }
        let hidden = u32::try_from(nat.of(nodes as usize)).map_err(|_| DockerError::Size)?;
        let public = nodes - hidden;
        if hidden > 0 && public < PUBLIC_MIN {
            return Err(DockerError::Size);
        }
        let byte = |number: u32| u8::try_from(number).map_err(|_| DockerError::Size);
        // The first of a network's addresses is the engine's.
        let mut places = Vec::new();
        for index in 0..public {
            places.push(Place { address: subnet.node(byte(index)?), lan: None });
        }
        for index in 0..hidden {
            let (lan, place) = (byte(index / LAN_NODES)?, byte(index % LAN_NODES)?);
            places.push(Place { address: subnet.at(16 + lan, place + 3), lan: Some(lan.into()) });
        }
        let mut lans = Vec::new();
        for lan in 0..byte(hidden.div_ceil(LAN_NODES))? {
            let (inside, outside) = (subnet.at(16 + lan, 2), subnet.at(1, lan + 2));
            lans.push(Lan { subnet: subnet.lan(lan), inside, outside });
        }
        let users = (0..USERS).map(|user| subnet.at(2, user + 2)).collect();
        let (links, transport, quota, island) = (Links::default(), Transport::Tcp, None, Vec::new());
        let (held, disk_mib, nodes, next_version, cast) = (false, None, places, Vec::new(), Cast::default());
        Ok(Self {
            name,
            subnet,
            links,
            held,
            transport,
            quota,
            disk_mib,
            users,
            nodes,
            lans,
            island,
            next_version,
            cast,
        })
    }

    /// Gives a place to a node more for each of these parts.
    ///
    /// # Errors
    /// [`DockerError::Size`]: too many of them; [`DockerError::Routers`]: some nodes are behind these, whose numbers the new ones would
    /// have.
    pub fn add(&mut self, parts: Vec<Part>) -> Result<(), DockerError> {
        if !self.lans.is_empty() {
            return Err(DockerError::Routers);
        }
        for part in parts {
            let index = self.nodes.len();
            if index >= NODES_MAX as usize {
                return Err(DockerError::Size);
            }
            let number = u8::try_from(index).map_err(|_| DockerError::Size)?;
            self.nodes.push(Place { address: self.subnet.node(number), lan: None });
            self.cast.parts.insert(number.into(), part);
        }
        Ok(())
    }

    /// Forgets the nodes from this number on.
    pub fn dismiss(&mut self, first: u32) {
        self.nodes.truncate(first as usize);
        self.cast.parts.retain(|&index, _| index < first);
        self.island.retain(|&index| index < first);
        self.next_version.retain(|&index| index < first);
    }

    /// The name under which the engine knows all of it.
    #[must_use]
    pub fn project(&self) -> String {
        format!("palimpsest-{}", self.name)
    }

    /// The image.
    #[must_use]
    pub fn image(&self) -> String {
        format!("{}:local", self.project())
    }

    /// The name of a node's container.
    #[must_use]
    pub fn container(&self, index: u32) -> String {
        format!("{}-{}", self.project(), node_name(index))
    }

    /// The name of the container in whose network a user is.
    #[must_use]
    pub fn user(&self, side: Side) -> String {
        format!("{}-{}", self.project(), user_name(side))
    }

    /// The name of a router's container.
    #[must_use]
    pub fn router(&self, lan: usize) -> String {
        format!("{}-{}-router", self.project(), lan_name(lan))
    }

    /// All numbers.
    pub fn indices(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)
    }

    /// Where newcomers begin: the first few nodes' addresses.
    #[must_use]
    pub fn bootstrap(&self) -> Vec<String> {
        let first = self.nodes.iter().filter(|place| place.lan.is_none()).take(BOOTSTRAP);
        first.map(|place| multiaddr(self.transport, place.address)).collect()
    }

    /// The nodes that a share and a seed choose, see [`choose`].
    #[must_use]
    pub fn chosen(&self, fraction: Fraction, seed: u64) -> Vec<u32> {
        choose(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX), fraction, seed)
    }

    /// One side of a partition made of the chosen. Who is in the LAN of others is where the first of them is: their router
    /// is on one side.
    #[must_use]
    pub fn side(&self, chosen: &[u32]) -> Vec<u32> {
        let first_of = |place: &Place| self.nodes.iter().position(|other| other.lan == place.lan);
        let is_in = |(index, place): &(u32, &Place)| match place.lan {
            None => chosen.contains(index),
            Some(_) => first_of(place).and_then(|first| u32::try_from(first).ok()).is_some_and(|i| chosen.contains(&i)),
        };
        self.indices().zip(&self.nodes).filter(is_in).map(|(index, _)| index).collect()
    }

    /// The addresses from which a node hears of those on the other side, and to which it writes: those of the routers of
    /// LANs among them. Empty if there is no partition.
    #[must_use]
    pub fn beyond(&self, index: u32) -> Vec<Ipv4Addr> {
        self.beyond_side(if self.island.contains(&index) { Side::Island } else { Side::Mainland })
    }

    /// The same for all on one side.
    #[must_use]
    pub fn beyond_side(&self, here: Side) -> Vec<Ipv4Addr> {
        if self.island.is_empty() {
            return Vec::new();
        }
        let is_here = |index| self.island.contains(&index) == (here == Side::Island);
        let others = self.indices().zip(&self.nodes).filter(|&(other, _)| !is_here(other));
        let mut addresses: Vec<Ipv4Addr> = others
            .map(|(_, place)| place.lan.and_then(|lan| self.lans.get(lan)).map_or(place.address, |lan| lan.outside))
            .collect();
        addresses.dedup();
        addresses
            .extend(self.users.iter().zip(Side::ALL).filter(|(_, side)| *side != here).map(|(address, _)| address));
        addresses
    }

    /// Reads the file; `None` if there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, DockerError> {
        let failed = |source| TestnetError::File { doing: "read", path: path.to_owned(), source };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error).into()),
        };
        let mut text = Vec::new();
        file.take(STATE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
        let bad = |reason: String| DockerError::State { path: path.to_owned(), reason };
        let plan: Self = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if plan.nodes.len() > NODES_MAX as usize {
            return Err(bad(format!("more than {NODES_MAX} nodes")));
        }
        if plan.nodes.iter().any(|place| place.lan.is_some_and(|lan| lan >= plan.lans.len())) {
            return Err(bad("a node is in a LAN that is not there".to_owned()));
        }
        Ok(Some(plan))
    }

    /// Writes the file, whole or not at all.
    pub(super) fn write(&self, path: &Path) -> Result<(), DockerError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| DockerError::State { path: path.to_owned(), reason: error.to_string() })?;
        Ok(crate::process::replace(path, &text)?)
    }
}

/// A node's name within its network.
pub(super) fn node_name(index: u32) -> String {
    format!("node-{index:03}")
}

/// A user's name within its network.
pub(super) fn user_name(side: Side) -> &'static str {
    match side {
        Side::Mainland => "user",
        Side::Island => "islander",
    }
}

/// A LAN's name within its network.
pub(super) fn lan_name(lan: usize) -> String {
    format!("lan-{lan:02}")
}

/// A node's first address, as `pald` takes it.
pub(super) fn multiaddr(transport: Transport, address: Ipv4Addr) -> String {
    match transport {
        Transport::Tcp | Transport::All => format!("/ip4/{address}/tcp/{PORT}"),
        Transport::Quic => format!("/ip4/{address}/udp/{PORT}/quic-v1"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{NODES_MAX, Plan};
    use crate::docker::DockerError;
    use crate::hostile::{Lie, Part};
    use crate::process::Fraction;

    fn plan(nodes: u32, nat: f64) -> Result<Plan, DockerError> {
        let (name, subnet) = ("t".parse().unwrap(), "10.77.0.0/16".parse().unwrap());
        Plan::new(name, subnet, nodes, Fraction::new(nat).unwrap())
    }

    #[test]
    fn every_node_has_an_address_of_its_own() {
        for (nodes, nat) in [(2, 0.0), (24, 0.25), (NODES_MAX, 0.0), (NODES_MAX, 0.9)] {
            let plan = plan(nodes, nat).unwrap();
            let mut addresses: BTreeSet<_> = plan.nodes.iter().map(|place| place.address).collect();
            addresses.extend(plan.lans.iter().flat_map(|lan| [lan.inside, lan.outside]));
            addresses.extend(&plan.users);
            assert_eq!(addresses.len(), nodes as usize + 2 * plan.lans.len() + 2);
            assert!(plan.nodes.iter().all(|place| place.lan.is_none_or(|lan| lan < plan.lans.len())));
        }
        let quarter = plan(24, 0.25).unwrap();
        assert_eq!(quarter.nodes.iter().filter(|place| place.lan.is_some()).count(), 6);
        assert_eq!(quarter.lans.len(), 2);
        assert_eq!(quarter.bootstrap()[0], "/ip4/10.77.0.2/tcp/4646");
    }

    #[test]
    fn refused_are_networks_that_cannot_be() {
        for (nodes, nat) in [(0, 0.0), (1, 0.0), (NODES_MAX + 1, 0.0), (24, 1.0), (4, 0.5)] {
            assert!(matches!(plan(nodes, nat), Err(DockerError::Size)), "{nodes} {nat}");
        }
    }

    #[test]
    fn who_was_added_and_dismissed_leaves_nothing() {
        let mut plan = plan(4, 0.0).unwrap();
        plan.cast.part(1).diary = true;
        let before = plan.clone();
        plan.add(vec![Part { lie: Some(Lie::Absent), ..Part::default() }; 2]).unwrap();
        assert_eq!((plan.nodes.len(), plan.cast.parts.len()), (6, 3));
        (plan.island, plan.next_version) = (vec![4], vec![5]);
        plan.dismiss(4);
        assert_eq!(plan, before);
        plan.dismiss(4);
        assert_eq!(plan, before);
    }

    #[test]
    fn nobody_is_added_beyond_the_bound_or_beside_routers() {
        let parts = |count| vec![Part::default(); count];
        assert!(matches!(plan(NODES_MAX, 0.0).unwrap().add(parts(1)), Err(DockerError::Size)));
        assert!(matches!(plan(24, 0.25).unwrap().add(parts(1)), Err(DockerError::Routers)));
    }

    #[test]
    fn sides_keep_lans_whole_and_know_each_other_by_routers() {
        let mut plan = plan(8, 0.5).unwrap();
        assert!(plan.beyond(0).is_empty(), "no partition");
        // 4 to 7 are one LAN: the first decides.
        assert_eq!(plan.side(&[0, 5]), [0]);
        assert_eq!(plan.side(&[0, 4]), [0, 4, 5, 6, 7]);
        plan.island = plan.side(&[0, 4]);
        let told = |index| plan.beyond(index).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told(0), ["10.77.0.3", "10.77.0.4", "10.77.0.5", "10.77.2.2"]);
        assert_eq!(told(1), ["10.77.0.2", "10.77.1.2", "10.77.2.3"]);
    }

    #[test]
    fn what_is_written_is_read_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("docker.json");
        assert!(Plan::read(&path).unwrap().is_none());
        let mut plan = plan(24, 0.25).unwrap();
        plan.links.latency = Some("50ms±10".parse().unwrap());
        plan.write(&path).unwrap();
        assert_eq!(Plan::read(&path).unwrap().unwrap(), plan);
        plan.nodes[23].lan = Some(9);
        plan.write(&path).unwrap();
        assert!(matches!(Plan::read(&path), Err(DockerError::State { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Plan::read(&path), Err(DockerError::State { .. })));
    }
}
