//! The simulated stage: virtual time, one seed, and nodes that are values. Users run `proto`'s encoder, placement, guards, paths and
//! state machines, and the bytes are real; the wire between users and nodes, and what nodes keep, is made up. Nodes do nothing unasked
//! (no wardens, no handover), but that they exchange tables where not all know the same; readers put nothing back.

mod failure;
mod fetch;
mod flood;
mod gossip;
mod nodes;
mod publish;
mod records;
mod sights;
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use palimpsest_client::policy::{BOOTSTRAP_WAIT, CROSS_CHECK};
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::content::{Capability, ConvergenceSecret};
use palimpsest_proto::crypto::{self, NodeKey};
use palimpsest_proto::ids::{Locator, NodeId, Position, RecordAddress};
use palimpsest_proto::record::SignedNodeDescriptor;
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::{GuardList, NodeTable};
use palimpsest_proto::time::Moment;
use rand::RngExt;
use rand::rngs::StdRng;

use self::failure::Failure;
use self::flood::Flood;
use self::gossip::Gossip;
use self::nodes::{Node, Nodes};
use self::sights::Sights;
use self::wire::{Delay, Line};
use super::eclipse::{CONNECT_DEADLINE, Eclipse};
use super::stage::{Accounts, StageError, Theatre, broken, chosen};
use super::watched::watched;
use super::{Coalition, Disk, Eclipsed, End, Lie, Place, Scenario, StageKind, Step, Tables, Watched, Who};
use crate::censor::eclipse::{Places, Taken};
use crate::memory::BOOTSTRAP;
use crate::sample::SplitMix64;
use crate::search::Canary;
use crate::sim::client::{BEGIN, Session, Wire};
use crate::sim::world::{announce, dice, key, network_of};
use crate::sybils;

/// The quota of those who come to eclipse something, and keep nothing.
const SYBIL_QUOTA_BYTES: u64 = 1 << 30;
/// Bytes of all files of a scenario at most: what nodes keep of them is five times as much, in memory.
const CONTENT_BYTES_MAX: u64 = 512 << 20;
/// Numbers of made-up nodes, from which those who eclipse something choose their keys: behind all others.
const SYBILS_FROM: u64 = 1 << 32;

/// Whether the scenario's files are more than the nodes may keep in memory.
pub(super) fn is_too_much(scenario: &Scenario) -> bool {
    let bytes = scenario.steps.iter().map(|step| match *step {
        Step::Publish { files, bytes, .. } | Step::Fill { files, bytes } => u64::from(files) * bytes,
        Step::Flood { clients, files, bytes, .. } => u64::from(clients) * u64::from(files) * bytes,
        _ => 0,
    });
    bytes.sum::<u64>() > CONTENT_BYTES_MAX
}

pub(super) struct Stage {
    seed: u64,
    now: Moment,
    known: Known,
    nodes: Nodes,
    /// Nodes that the scenario knows by their numbers.
    honest: u32,
    delay: Delay,
    secret: ConvergenceSecret,
    /// What users keep from one run to the next.
    homes: BTreeMap<User, Home>,
    strangers: u32,
    /// How many of them returned so far, one after the other.
    returned: u32,
    flood: Option<Flood>,
    /// A folder for what is published.
    dir: PathBuf,
    /// Publishes and fetches so far: each has chances of its own.
    deeds: u64,
    coalition: Option<Coalition>,
    sights: Sights,
}

/// What nodes and users know of each other.
enum Known {
    /// All the same, and at once.
    Alike(NodeTable),
    /// What each is told.
    Told(Box<Gossip>),
}

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum User {
    Publisher,
    Stranger(u32),
    Flooder(u32),
    Censor,
}

/// What a user keeps.
#[derive(Default)]
struct Home {
    guards: GuardList,
    /// Where not all know alike.
    table: Option<NodeTable>,
}

/// Where something is done, and until when.
struct Visit {
    place: Place,
    deadline: Duration,
}

impl Stage {
    pub(super) fn open(scenario: &Scenario, theatre: &Theatre) -> Result<Self, StageError> {
        let seed = theatre.seed;
        let secret = [b"publisher".as_slice(), &seed.to_le_bytes()].concat();
        let mut stage = Self {
            seed,
            now: BEGIN,
            known: Known::Alike(NodeTable::new()),
            nodes: Nodes::default(),
            honest: scenario.nodes,
            delay: Delay::new(scenario.links.latency),
            secret: ConvergenceSecret::new(Secret::new(crypto::hash(&secret))),
            homes: BTreeMap::new(),
            strangers: 0,
            returned: 0,
            flood: None,
            dir: theatre.dir.clone(),
            deeds: 0,
            coalition: scenario.coalition,
            sights: Sights::new(scenario.coalition.is_some()),
        };
        let quota = scenario.quota_mib(StageKind::Sim.has_own_disks()) << 20;
        let tells = scenario.has_own_tables();
        for number in 0..scenario.nodes {
            let key = if tells {
                // Its id is verified.
                NodeKey::search(&mut dice(seed, "worked key", number.into())).1
            } else {
                key(seed, number.into())
            };
            let mut node = Node::new(key, network_of(number.into()), quota);
            let lies = scenario.lying.iter().find(|one| one.nodes.contains(&number));
            node.lie = lies.map(|one| one.how);
            let meddles = scenario.meddling.iter().find(|one| one.nodes.contains(&number));
            node.meddle = meddles.map(|one| one.how);
            stage.add(node)?;
        }
        if tells {
            let liars = scenario.table_liars.as_ref();
            let mut gossip = Gossip::new(liars, &stage.nodes, dice(seed, "gossip", 0), stage.now)?;
            stage.nodes.iter().try_for_each(|node| says(node, 0, stage.now).map(|says| gossip.add(says)))?;
            stage.now = gossip.settle()?;
            gossip.occupy(scenario.slow_peers);
            stage.known = Known::Told(Box::new(gossip));
        }
        Ok(stage)
    }

    /// A node joins; where all know alike, they know it at once.
    fn add(&mut self, node: Node) -> Result<(), StageError> {
        let says = says(&node, 0, self.now)?;
        match &mut self.known {
            Known::Alike(table) => _ = table.insert(says, self.now),
            Known::Told(gossip) => gossip.add(says),
        }
        self.nodes.add(node);
        Ok(())
    }

    /// The stage's clock.
    pub(super) fn now(&self) -> Moment {
        self.now
    }

    /// Time passes, and nothing happens.
    pub(super) fn wait(&mut self, time: Duration) -> Result<(), StageError> {
        self.now = self.now + time;
        self.catch_up();
        self.flood_on()
    }

    /// What nodes tell each other goes on while users are busy.
    fn catch_up(&mut self) {
        if let Known::Told(gossip) = &mut self.known {
            gossip.advance(self.now);
        }
    }

    pub(super) fn publish(
        &mut self,
        file: &Path,
        place: Place,
        deadline: Duration,
    ) -> Result<(Option<String>, End), StageError> {
        let content = std::fs::read(file).map_err(broken)?;
        let link = self.publish_as(User::Publisher, Visit { place, deadline }, &content)?;
        self.flood_on()?;
        Ok(match link {
            Ok(link) => (Some(link), End::Good),
            Err(failure) => (None, End::from(&failure)),
        })
    }

    fn publish_as(&mut self, user: User, visit: Visit, content: &[u8]) -> Result<Result<String, Failure>, StageError> {
        let secret = self.secret.duplicate();
        let link = self.act(user, visit, |session| publish::publish(session, &secret, content));
        self.tell_fill()?;
        Ok(link)
    }

    pub(super) fn fetch(
        &mut self,
        link: &str,
        file: &Path,
        (who, place): (Who, Place),
        deadline: Duration,
    ) -> Result<End, StageError> {
        let link: Capability = link.parse().map_err(|_| broken("a link of our own is unreadable"))?;
        let user = match who {
            Who::Publisher => User::Publisher,
            Who::Stranger => {
                self.strangers += 1;
                User::Stranger(self.strangers)
            }
            Who::Returning => {
                self.returned += 1;
                User::Stranger((self.returned - 1) % self.strangers.max(1) + 1)
            }
        };
        let fetched = self.act(user, Visit { place, deadline }, |session| fetch::fetch(session, &link));
        self.flood_on()?;
        Ok(match fetched {
            Ok(content) if content == std::fs::read(file).map_err(broken)? => End::Good,
            Ok(_) => End::WrongBytes,
            Err(failure) => End::from(&failure),
        })
    }

    /// Somebody enters the network and does something there; the stage's clock goes on until it is done.
    fn act<T>(
        &mut self,
        user: User,
        visit: Visit,
        does: impl FnOnce(&mut Session<'_, Line<'_>>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let kept = self.homes.remove(&user);
        let is_new = matches!(user, User::Stranger(_)) && kept.is_none();
        let mut home = kept.unwrap_or_default();
        self.sights.comes(format!("{user:?}"));
        let done = self.act_from(&mut home, visit, does);
        if let (Known::Told(gossip), Some(table), true) = (&mut self.known, &home.table, is_new) {
            gossip.note_newcomer(table);
        }
        self.homes.insert(user, home);
        self.catch_up();
        done
    }

    fn act_from<T>(
        &mut self,
        home: &mut Home,
        Visit { place, deadline }: Visit,
        does: impl FnOnce(&mut Session<'_, Line<'_>>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.deeds += 1;
        let mut dice = dice(self.seed, "deeds", self.deeds);
        let user = name(&mut dice);
        let deadline = self.now + deadline;
        // Whoever is somewhere is apart from others only as long as there is a cut.
        let is_cut = self.nodes.iter().any(|node| node.cut_off);
        let place = if is_cut { place } else { Place::Outside };
        let mut line = Line::new(&mut self.nodes, &mut self.sights, self.delay, user, place);
        let Home { guards, table: kept } = home;
        let mut from = self.now;
        let table = match &mut self.known {
            Known::Alike(table) => {
                if guards.is_empty() {
                    let told_of: Vec<NodeId> = line.nodes.iter().take(BOOTSTRAP).map(|node| node.key.id()).collect();
                    let answer = told_of.iter().filter(|id| line.admits(id)).count();
                    if answer == 0 {
                        return Err(Failure::NobodyKnown);
                    }
                    from = from + if answer < told_of.len() { BOOTSTRAP_WAIT } else { CROSS_CHECK };
                }
                &*table
            }
            Known::Told(gossip) => {
                let told = gossip.tell(kept.clone(), &mut dice, guards, &mut line, &mut from)?;
                &*kept.insert(told)
            }
        };
        let opened = Session::open(table, &mut dice, guards, &mut line, (from, deadline));
        let (done, now) = match opened {
            Ok(session) => {
                let mut session = session.with_scouts();
                (does(&mut session), session.now())
            }
            Err(error) => (Err(Failure::Sim(error)), from),
        };
        self.now = now;
        done
    }

    /// Nodes whose fill has changed announce it.
    fn tell_fill(&mut self) -> Result<(), StageError> {
        for node in self.nodes.iter_mut() {
            if let Some(fill) = node.news() {
                let says = says(node, fill, self.now)?;
                match &mut self.known {
                    Known::Alike(table) => _ = table.insert(says, self.now),
                    Known::Told(gossip) => gossip.announce(&node.key.id(), says),
                }
            }
        }
        Ok(())
    }

    /// Nodes whose ids lie next to places of the root; here they have cost no work.
    pub(super) fn eclipse(&mut self, eclipse: Eclipse<'_>) -> Result<Taken, StageError> {
        let Eclipse { link, of, nodes: each, drawn, seed } = eclipse;
        let link: Capability = link.parse().map_err(|_| broken("a link of our own is unreadable"))?;
        let Capability::Read { root, .. } = link else { return Err(broken("the first file has no record")) };
        let places: Vec<Position> = match of {
            Eclipsed::Record => root.record_addresses().iter().map(RecordAddress::position).collect(),
            Eclipsed::Stripe => {
                let visit = Visit { place: Place::Outside, deadline: CONNECT_DEADLINE };
                let found = self.act(User::Censor, visit, |session| records::find_root(session, root));
                found.map_err(broken)?.locators().iter().map(Locator::position).collect()
            }
        };
        let draw = |number| (number, key(self.seed ^ seed, number).id().position());
        let pool = (SYBILS_FROM..).take(drawn).map(draw).collect();
        for number in sybils::nearest(&places, each, pool) {
            let mut node = Node::new(key(self.seed ^ seed, number), network_of(number), SYBIL_QUOTA_BYTES);
            node.lie = Some(Lie::Absent);
            self.add(node)?;
        }
        // Counted, not asked: the story goes on as if nobody had.
        let record = root.record_addresses().iter().find_map(|at| self.nodes.iter().find_map(|node| node.record(at)));
        let root = record.and_then(|record| Descriptor::decode(record.clone()).ok());
        let root = root.ok_or_else(|| broken("nobody keeps the first file's record"))?;
        let members: Vec<NodeId> = self.nodes.iter().map(|node| node.key.id()).collect();
        let (honest, sybils) = members.split_at((self.honest as usize).min(members.len()));
        Ok(Taken::count(&Places::of(&root), honest, sybils, drawn))
    }

    pub(super) fn befall(&mut self, step: &Step) -> Result<(), StageError> {
        match *step {
            Step::Kill { fraction, seed } => {
                self.nodes.each(&chosen(self.honest, fraction, seed), |node| node.runs = false);
            }
            Step::KillFirst { nodes } => {
                self.nodes.each(&(0..nodes).collect::<Vec<_>>(), |node| node.runs = false);
            }
            Step::Restart {} => self.nodes.iter_mut().for_each(|node| node.runs = true),
            Step::Pause { fraction, seed } => {
                self.nodes.each(&chosen(self.honest, fraction, seed), |node| node.hangs = true);
            }
            Step::Partition { fraction, seed } => {
                self.nodes.each(&chosen(self.honest, fraction, seed), |node| node.cut_off = true);
            }
            Step::Heal {} => self.nodes.iter_mut().for_each(|node| (node.hangs, node.cut_off) = (false, false)),
            Step::Rot { fraction, seed } => {
                let mut dice = SplitMix64::new(seed);
                self.nodes.iter_mut().for_each(|node| node.rot(fraction, &mut dice));
            }
            Step::Publish { .. }
            | Step::Fill { .. }
            | Step::Fetch { .. }
            | Step::Flood { .. }
            | Step::EndFlood {}
            | Step::Upgrade { .. }
            | Step::Wait { .. }
            | Step::Eclipse { .. } => return Ok(()),
        }
        if let Known::Told(gossip) = &mut self.known {
            gossip.befell(&self.nodes, |node| says(node, node.said(), self.now))?;
        }
        Ok(())
    }

    /// What the nodes saw of the clients, where they pool what they see.
    pub(super) fn watched(&self) -> Option<Watched> {
        let coalition = self.coalition?;
        let members: Vec<NodeId> = self.nodes.iter().map(|node| node.key.id()).collect();
        let (seen, clients) = (self.sights.in_order(), &self.sights.clients);
        Some(watched(&seen, (&members, self.honest), std::iter::empty(), clients, Some(coalition)))
    }

    /// What is in node tables, where some lie about them.
    pub(super) fn tables(&self) -> Option<Tables> {
        match &self.known {
            Known::Told(gossip) => gossip.judged(),
            Known::Alike(_) => None,
        }
    }

    /// Exchanges of slow peers that nodes have ended, where there are such peers.
    pub(super) fn ended_slow(&self) -> Option<usize> {
        match &self.known {
            Known::Told(gossip) => gossip.ended_slow(),
            Known::Alike(_) => None,
        }
    }

    pub(super) fn accounts(&self) -> Accounts {
        (0..)
            .zip(self.nodes.iter())
            .filter(|(_, node)| node.is_up())
            .map(|(number, node)| Some(node.account(number)))
            .collect()
    }

    pub(super) fn disks(&self, canaries: &[Canary]) -> Vec<Disk> {
        (0..).zip(self.nodes.iter()).map(|(number, node)| node.searched(number, canaries)).collect()
    }
}

/// What a node says of itself that is full to so many per cent.
fn says(node: &Node, fill: u8, now: Moment) -> Result<SignedNodeDescriptor, StageError> {
    let news = now.since(BEGIN).as_millis() as u64;
    announce(&node.key, node.network, fill, news).map_err(broken)
}

/// A fresh name, as each run of a client has one.
fn name(dice: &mut StdRng) -> NodeId {
    NodeId(dice.random())
}

#[cfg(test)]
mod tests;
