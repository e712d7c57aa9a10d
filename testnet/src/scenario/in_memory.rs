//! The stage in one process, where some of the nodes may lie.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use palimpsest_client::net::{Transport, Versions};
use palimpsest_client::{Capability, Client, Error, FetchOptions, Progress, PublishOptions, Source};
use palimpsest_node::Node;
use palimpsest_proto::ids::NodeId;

use super::eclipse::Eclipse;
use super::flood::{Flood, Publishes, Wanted};
use super::stage::{Accounts, PUBLISHER, StageError, Theatre, account, broken, chosen, searched};
use super::tables::Count;
use super::watched::{Clients, watched};
use super::{Coalition, Disk, End, Held, Lie, Rubbish, Scenario, StageKind, Step, Tables, Watched, Who};
use crate::anonymity::sights::Ledger;
use crate::censor::eclipse::Taken;
use crate::liars::Plot;
use crate::memory::{Network, NetworkOptions};
use crate::rot;
use crate::sample;
use crate::search::Canary;
use crate::slow::SlowPeers;

pub(super) struct Stage {
    network: Network,
    nodes: u32,
    strangers: usize,
    /// How many of the strangers returned so far, one after the other.
    returned: usize,
    flood: Option<(Flood, Vec<(String, Client)>)>,
    /// Nodes that start as a next version from now on.
    upgraded: Arc<Mutex<BTreeSet<usize>>>,
    /// The nodes by number, dead ones too, and what all of them saw.
    members: Vec<NodeId>,
    ledger: Ledger,
    coalition: Option<Coalition>,
    /// What those who lie about the table agreed on, and which nodes they are.
    plot: Option<(Arc<Plot>, BTreeSet<usize>)>,
    slow: Option<SlowPeers>,
    /// Whom each stranger knew at the end.
    known: Vec<Vec<NodeId>>,
    /// To whom each client was connected.
    talked_to: TalkedTo,
}

/// Whose each client was, and to whom it was connected, for all who note it.
#[derive(Clone, Default)]
struct TalkedTo(Arc<Mutex<Clients>>);

impl TalkedTo {
    /// Notes whom a client talks to. Its guard may have changed meanwhile: asked again, the answers add up.
    fn note(&self, user: &str, client: &Client) {
        if let Some(id) = client.id() {
            let mut clients = self.lock();
            clients.guards.entry(id).or_default().extend(client.connected_nodes());
            clients.users.insert(id, user.to_owned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    pub(super) async fn open(scenario: &Scenario, _theatre: &Theatre) -> Result<Self, StageError> {
        let mut options = NetworkOptions::honest(scenario.nodes as usize);
        options.quota_bytes = scenario.quota_mib(StageKind::Memory.has_own_disks()) << 20;
        let (lying, honest) = (scenario.lying.clone(), scenario.nodes as usize);
        options.service = Box::new(move |index| {
            let lies = lying.iter().find(|lying| lying.nodes.iter().any(|&node| node as usize == index));
            // Whoever comes later is one of those who eclipse something.
            let lie = lies.map(|lying| lying.how).or((index >= honest).then_some(Lie::Absent));
            lie.map(Lie::stand)
        });
        let upgraded: Arc<Mutex<BTreeSet<usize>>> = Arc::default();
        let are_next = upgraded.clone();
        options.versions = Box::new(move |index| {
            let is_next = are_next.lock().is_ok_and(|all| all.contains(&index));
            if is_next { Versions::TodayAndNext } else { Versions::Today }
        });
        let meddling = scenario.meddling.clone();
        options.meddler = Box::new(move |index| {
            let does = meddling.iter().find(|meddling| meddling.nodes.iter().any(|&node| node as usize == index));
            does.map(|meddling| meddling.how.meddler())
        });
        let plot = match &scenario.table_liars {
            Some(liars) => {
                let plot = Plot::new(liars.made_up as usize, liars.unworked as usize, liars.seed).map_err(broken)?;
                Some((plot, liars.nodes.iter().map(|&node| node as usize).collect::<BTreeSet<_>>()))
            }
            None => None,
        };
        let lies = plot.clone();
        options.table_liar = Box::new(move |index| {
            let (plot, liars) = lies.as_ref()?;
            liars.contains(&index).then(|| plot.liar())
        });
        let ledger = Ledger::default();
        let watched = ledger.clone();
        options.onlooker = Box::new(move |index| Some(watched.onlooker(index)));
        let network = Network::start(options).await.map_err(broken)?;
        let members = network.running().map(Node::id).collect();
        let places: Vec<_> = network.running().map(|node| (Some(node.id()), node.addresses())).collect();
        let slow = match scenario.slow_peers as usize {
            0 => None,
            peers => Some(SlowPeers::start(peers, &places, Transport::Memory).map_err(broken)?),
        };
        let (nodes, coalition) = (scenario.nodes, scenario.coalition);
        Ok(Self {
            network,
            nodes,
            strangers: 0,
            returned: 0,
            flood: None,
            members,
            ledger,
            coalition,
            plot,
            talked_to: TalkedTo::default(),
            upgraded,
            slow,
            known: Vec::new(),
        })
    }

    /// What the nodes saw of the clients.
    pub(super) fn watched(&self) -> Watched {
        let seen = self.ledger.so_far();
        // What is for somebody made up is no client's, either.
        let made_up = self.plot.iter().flat_map(|(plot, _)| plot.made_up());
        watched(&seen, (&self.members, self.nodes), made_up, &self.talked_to.lock(), self.coalition)
    }

    /// Streams of slow peers that nodes have ended.
    pub(super) fn ended_slow(&self) -> Option<usize> {
        self.slow.as_ref().map(SlowPeers::ended)
    }

    /// What is in the tables of the honest nodes that run, and in those that strangers kept. Nodes that have just started may still
    /// believe what liars say of whom they have not met: they are looked at once they have met, or after a while as they are.
    pub(super) async fn tables(&self) -> Option<Tables> {
        let (plot, liars) = self.plot.as_ref()?;
        let _ = self.network.all_met().await;
        let honest: Vec<usize> = self.network.numbers().filter(|index| !liars.contains(index)).collect();
        let ids = honest.iter().filter_map(|&index| self.members.get(index)).copied().collect();
        let mut count = Count::new(&self.members, ids, plot.made_up().collect());
        for node in honest.iter().filter_map(|&index| self.network.node(index)) {
            node.with_table(|table| count.node(table));
        }
        self.known.iter().for_each(|known| count.newcomer(known));
        Some(count.outcome())
    }

    pub(super) async fn publish(&self, file: &Path, deadline: Duration) -> Result<(Option<String>, End), StageError> {
        let progress = Progress::new();
        let work = async {
            let client = self.network.client_of_the_first(PUBLISHER).await?;
            let source = Source::Path(file.to_owned());
            self.talked_to.note(PUBLISHER, &client);
            let published = client.publish(source, PublishOptions::default(), &progress).await;
            self.talked_to.note(PUBLISHER, &client);
            client.close().await?;
            published
        };
        Ok(match tokio::time::timeout(deadline, work).await {
            Err(_) => (None, End::TimedOut),
            Ok(Err(error)) => (None, failed(&error)),
            Ok(Ok(published)) => (Some(published.link), End::Good),
        })
    }

    pub(super) async fn fetch(
        &mut self,
        link: &str,
        file: &Path,
        by: Who,
        deadline: Duration,
    ) -> Result<(End, Option<u64>), StageError> {
        let link = link.parse().map_err(|_| broken("a link of our own is unreadable"))?;
        let name = match by {
            Who::Publisher => PUBLISHER.to_owned(),
            Who::Stranger => {
                self.strangers += 1;
                format!("stranger-{}", self.strangers)
            }
            Who::Returning => {
                self.returned += 1;
                format!("stranger-{}", (self.returned - 1) % self.strangers.max(1) + 1)
            }
        };
        let (mut sink, mut known, progress) = (Vec::new(), Vec::new(), Progress::new());
        let work = async {
            let client = self.network.client_of_the_first(&name).await?;
            self.talked_to.note(&name, &client);
            let fetched = client.fetch(&link, FetchOptions::default(), &mut sink, &progress).await;
            self.talked_to.note(&name, &client);
            known = client.known_holders().await?;
            client.close().await?;
            fetched
        };
        let ended = tokio::time::timeout(deadline, work).await;
        if by == Who::Stranger {
            self.known.push(known);
        }
        Ok(match ended {
            Err(_) => (End::TimedOut, None),
            Ok(Err(error)) => (failed(&error), None),
            Ok(Ok(fetched)) => {
                let same = sink == std::fs::read(file).map_err(broken)?;
                (if same { End::Good } else { End::WrongBytes }, Some(fetched.shards_asked))
            }
        })
    }

    pub(super) async fn flood(&mut self, wanted: Wanted) -> Result<(), StageError> {
        let (mut publishes, mut clients) = (Vec::new(), Vec::new());
        for number in 0..wanted.clients {
            let name = format!("flooder-{number}");
            let client = self.network.client_of_the_first(&name).await.map_err(broken)?;
            self.talked_to.note(&name, &client);
            clients.push((name.clone(), client.clone()));
            let (talked_to, file) = (self.talked_to.clone(), self.network.dir().join(format!("rubbish-{number}")));
            let publish: Publishes = Box::new(move |seed| {
                let (name, client, talked_to, file) = (name.clone(), client.clone(), talked_to.clone(), file.clone());
                Box::pin(async move {
                    if sample::write(&file, wanted.bytes, seed).is_err() {
                        return false;
                    }
                    let (rubbish, progress) = (Source::Path(file), Progress::new());
                    let published = client.publish(rubbish, PublishOptions::default(), &progress).await;
                    talked_to.note(&name, &client);
                    published.is_ok()
                })
            });
            publishes.push(publish);
        }
        self.flood = Some((Flood::begin(wanted, publishes), clients));
        Ok(())
    }

    pub(super) async fn end_flood(&mut self) -> Result<Rubbish, StageError> {
        let Some((flood, clients)) = self.flood.take() else { return Ok(Rubbish::default()) };
        let rubbish = flood.end().await;
        for (name, client) in clients {
            self.talked_to.note(&name, &client);
            client.close().await.map_err(broken)?;
        }
        Ok(rubbish)
    }

    /// See [`super::stage::Stage::held`].
    pub(super) async fn held(&self, links: &[String], by: &str, deadline: Duration) -> Result<Held, StageError> {
        let links: Result<Vec<Capability>, _> = links.iter().map(|link| link.parse()).collect();
        let links = links.map_err(|_| broken("a link of our own is unreadable"))?;
        let work = async {
            let client = self.network.client_of_the_first(by).await?;
            let mut held = 0;
            for link in &links {
                let status = client.status(link, &Progress::new()).await?;
                held += status.stripes.iter().map(|stripe| stripe.present + stripe.unasked).sum::<usize>();
            }
            self.talked_to.note(by, &client);
            client.close().await?;
            Ok::<usize, Error>(held)
        };
        let counted = tokio::time::timeout(deadline, work).await.ok().and_then(Result::ok);
        Ok(counted.map_or(Held::Unknown, Held::Shards))
    }

    pub(super) async fn eclipse(&mut self, eclipse: Eclipse<'_>) -> Result<Taken, StageError> {
        let censor = self.network.client_of_the_first("censor").await.map_err(broken)?;
        let places = eclipse.places(&censor).await;
        self.talked_to.note("censor", &censor);
        censor.close().await.map_err(broken)?;
        let places = places?;
        let ground = eclipse.ground(&places, self.network.numbers().count()).await?;
        for identity in ground {
            let index = self.network.add_as(identity).await.map_err(broken)?;
            self.members.extend(self.network.node(index).map(Node::id));
        }
        self.network.meet().await.map_err(broken)?;
        let (honest, sybils) = self.members.split_at(self.nodes as usize);
        Ok(Taken::count(&places, honest, sybils, eclipse.drawn))
    }

    pub(super) async fn befall(&mut self, step: &Step) -> Result<(), StageError> {
        let killed = match *step {
            Step::Kill { fraction, seed } => chosen(self.nodes, fraction, seed),
            Step::KillFirst { nodes } => (0..nodes).collect(),
            Step::Restart {} => {
                let dead = (0..self.nodes as usize).filter(|&index| self.network.node(index).is_none());
                for index in dead.collect::<Vec<_>>() {
                    self.network.restart(index).await.map_err(broken)?;
                }
                return self.network.meet().await.map_err(broken);
            }
            Step::Upgrade { fraction, seed } => {
                for index in chosen(self.nodes, fraction, seed) {
                    let index = index as usize;
                    self.network.kill(index).await;
                    if let Ok(mut upgraded) = self.upgraded.lock() {
                        upgraded.insert(index);
                    }
                    self.network.restart(index).await.map_err(broken)?;
                    self.network.meet().await.map_err(broken)?;
                }
                return Ok(());
            }
            Step::Rot { fraction, seed } => {
                let folders = (0..self.nodes as usize).map(|index| self.network.node_dir(index));
                return rot::flip(folders, fraction, seed).map_err(broken);
            }
            Step::Publish { .. } | Step::Fill { .. } | Step::Fetch { .. } => return Ok(()),
            Step::Flood { .. } | Step::EndFlood {} => return Ok(()),
            Step::Pause { .. } | Step::Partition { .. } | Step::Heal {} | Step::Wait { .. } | Step::Eclipse { .. } => {
                return Ok(());
            }
        };
        for index in killed {
            self.network.kill(index as usize).await;
        }
        Ok(())
    }

    pub(super) async fn accounts(&self) -> Result<Accounts, StageError> {
        let running = self.numbered().filter_map(|(number, index)| Some((number, self.network.node(index)?)));
        Ok(running.map(|(number, node)| account(number, &node.status())).collect())
    }

    pub(super) async fn disks(&self, canaries: &[Canary]) -> Result<Vec<Disk>, StageError> {
        Ok(self.numbered().map(|(number, index)| searched(number, &self.network.node_dir(index), canaries)).collect())
    }

    /// All nodes that ever were, those too that died or came later.
    fn numbered(&self) -> impl Iterator<Item = (u32, usize)> {
        (0..).zip(0..self.members.len())
    }

    pub(super) async fn close(mut self) -> Result<(), StageError> {
        let ended = self.end_flood().await;
        if let Some(slow) = self.slow {
            slow.stop().await;
        }
        self.network.shutdown().await;
        ended.map(|_| ())
    }
}

fn failed(error: &Error) -> End {
    End::Failed(error.to_string())
}
