//! The library's upper storey: one type, one call for each thing that people want.

use crate::cpu::ClientCpu;
use crate::cutting::{self, Cut, Source};
use crate::error::Error;
use crate::fetch::{self, FetchOptions, Fetched};
use crate::holders::{self, Held};
use crate::keep::{self, KeepOptions, Kept};
use crate::keyring;
use crate::net::{Multiaddr, Transport};
use crate::progress::{Phase, Progress};
use crate::publish::{self, PublishOptions, Published};
use crate::session::{Session, SessionOptions};
use crate::status::{self, Status};
use crate::walk::{self, rooted};
use palimpsest_proto::coding::Survive;
use palimpsest_proto::content::{Capability, ConvergenceSecret};
use palimpsest_proto::ids::NodeId;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::sync::OnceCell;

/// How a client enters the network.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The user's folder: convergence secret, cached table, guards, journals.
    pub data_dir: PathBuf,
    /// Multiaddrs of nodes to meet first; not needed once a table is cached.
    pub bootstrap: Vec<String>,
    /// What to speak.
    pub transport: Transport,
    /// How long finding the network may take.
    pub connect_deadline: Duration,
}

/// What a publish would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes that stand in it more than once.
    pub bytes_deduplicated: u64,
    /// Stripes, those of the manifest included.
    pub stripes: u64,
    /// Shards to place.
    pub shards: u64,
    /// Bytes of shards to send.
    pub bytes_to_place: u64,
    /// Data shards of the widest stripe.
    pub k: usize,
    /// All shards of the widest stripe.
    pub n: usize,
}

/// A client. It enters the network when it first has to: a link that carries its content needs none. Clones share one
/// standing in the network.
#[derive(Clone)]
pub struct Client {
    session: Arc<OnceCell<Arc<Session>>>,
    options: ClientOptions,
}

fn secret_of(data_dir: &Path) -> Result<ConvergenceSecret, Error> {
    let path = data_dir.join("convergence-secret");
    keyring::private_folder(data_dir)
        .and_then(|()| keyring::load_or_create(&path))
        .map(ConvergenceSecret::new)
        .map_err(|source| Error::Disk { path, doing: "read or make", source })
}

/// What publishing `source` would send, without a network.
pub async fn plan(data_dir: &Path, source: Source, survive: Survive, progress: &Progress) -> Result<Plan, Error> {
    let mut cuts = cutting::start(source, secret_of(data_dir)?, survive)?;
    let mut plan = Plan::default();
    progress.set_phase(Phase::Placing);
    while let Some(cut) = cuts.recv().await {
        match cut {
            Cut::Stripe(stripe) => {
                let shards = stripe.shards.len() as u64;
                plan.stripes += 1;
                plan.shards += shards;
                plan.bytes_to_place += shards * palimpsest_proto::params::SHARD_BYTES as u64;
                plan.k = plan.k.max(stripe.descriptor.geometry().k());
                plan.n = plan.n.max(stripe.shards.len());
                progress.add_shards(shards);
            }
            Cut::Finished(_, stats, _) => {
                return Ok(Plan { bytes: stats.bytes, bytes_deduplicated: stats.bytes_deduplicated, ..plan });
            }
            Cut::Failed(error) => return Err(error),
        }
    }
    Err(Error::Interrupted)
}

impl Client {
    /// A client that is not in the network yet.
    pub fn new(options: ClientOptions) -> Client {
        Client { session: Arc::default(), options }
    }

    /// A client that has entered the network.
    ///
    /// # Errors
    /// `NoNetwork` naming who was tried, `Disk` for the data folder.
    pub async fn start(options: ClientOptions) -> Result<Client, Error> {
        let client = Client::new(options);
        client.session(&Progress::new()).await?;
        Ok(client)
    }

    async fn session(&self, progress: &Progress) -> Result<&Arc<Session>, Error> {
        let enter = || {
            progress.set_phase(Phase::Connecting);
            let ClientOptions { data_dir, bootstrap, transport, connect_deadline } = self.options.clone();
            Session::open(SessionOptions { folder: data_dir, bootstrap, transport, connect_deadline })
        };
        self.session.get_or_try_init(enter).await
    }

    /// Publishes `source` and returns its link when every shard has been acknowledged, and a sample of them fetched back.
    pub async fn publish(
        &self,
        source: Source,
        options: PublishOptions,
        progress: &Progress,
    ) -> Result<Published, Error> {
        if let Some(published) = publish::into_link(&source)? {
            return Ok(published);
        }
        publish::check_spread(&source, &options)?;
        let secret = secret_of(&self.options.data_dir)?;
        let session = self.session(progress).await?;
        let journals = self.options.data_dir.join("publishing");
        let spread = match options.spread {
            // How many will leave must be known, so that they leave evenly.
            Some(over) => {
                let plan = plan(&self.options.data_dir, source.clone(), options.survive, &Progress::new()).await?;
                Some((over, plan.shards))
            }
            None => None,
        };
        publish::publish(session, &secret, &journals, source, &options, spread, progress).await
    }

    /// Fetches what `link` names into `sink`, in order; every byte is verified before it is written.
    pub async fn fetch(
        &self,
        link: &Capability,
        options: FetchOptions,
        sink: &mut (impl AsyncWrite + Unpin + Send),
        progress: &Progress,
    ) -> Result<Fetched, Error> {
        match link {
            Capability::Inline(content) => fetch::write_inline(content, &options, sink, progress).await,
            Capability::Repair { .. } => {
                Err(Error::Usage("this link lets you keep the file alive (pal keep), not read it".to_owned()))
            }
            Capability::Read { root, key } => {
                fetch::check_spread(&options)?;
                fetch::fetch(self.session(progress).await?, *root, key, &options, sink, progress).await
            }
        }
    }

    /// The health of what `link` names.
    pub async fn status(&self, link: &Capability, progress: &Progress) -> Result<Status, Error> {
        let Some((root, key, is_list)) = rooted(link) else { return Ok(Status::of_inline(link)) };
        status::status(self.session(progress).await?, root, key, is_list, progress).await
    }

    /// Who holds what `link` names, of at most so many stripes: what anybody who has the link can find out.
    pub async fn holders(
        &self,
        link: &Capability,
        stripes_max: usize,
        progress: &Progress,
    ) -> Result<Vec<Held>, Error> {
        let Some(named) = rooted(link) else { return Ok(Vec::new()) };
        holders::holders(self.session(progress).await?, named, stripes_max, progress).await
    }

    /// All nodes that this client knows and that hold shards.
    pub async fn known_holders(&self) -> Result<Vec<NodeId>, Error> {
        let table = self.session(&Progress::new()).await?.table();
        Ok(table.iter().filter(|(_, node)| node.signed().roles.holds).map(|(id, _)| *id).collect())
    }

    /// Where a node says that it is: what everybody knows who has its descriptor. Nothing of a node that this client does not know.
    pub async fn addresses(&self, node: &NodeId) -> Result<Vec<Multiaddr>, Error> {
        let table = self.session(&Progress::new()).await?.table();
        let all = table.get(node).map(|entry| entry.signed().addresses.as_slice()).unwrap_or_default();
        Ok(all.iter().filter_map(|bytes| Multiaddr::try_from(bytes.to_vec()).ok()).collect())
    }

    /// Prolongs the leases of all that `link` names, and puts back what is missing.
    pub async fn keep(&self, link: &Capability, options: KeepOptions, progress: &Progress) -> Result<Kept, Error> {
        let Some((root, key, is_list)) = rooted(link) else { return Ok(Kept::default()) };
        keep::keep(self.session(progress).await?, root, key, is_list, options, progress).await
    }

    /// A link with which whoever has it can keep what `link` names alive, and cannot read it. It leads to a list of stripes
    /// that is published for it, as any content is.
    pub async fn repair_link(
        &self,
        link: &Capability,
        options: PublishOptions,
        progress: &Progress,
    ) -> Result<Capability, Error> {
        let Some((root, key, false)) = rooted(link) else {
            return Err(Error::Usage(
                "a repair link is made of a link that can read, to a file in the network".to_owned(),
            ));
        };
        let list = walk::list(self.session(progress).await?, root, key, progress).await?;
        let published = self.publish(Source::Bytes(list.encode().into()), options, progress).await?;
        match published.link.parse() {
            Ok(Capability::Read { root, key }) => Ok(Capability::Repair { root, key }),
            // A list is longer than what a link carries.
            _ => Err(Error::Integrity { what: "the link of the list".to_owned() }),
        }
    }

    /// The processor time that this client has spent, as far as it is counted.
    pub fn cpu(&self) -> ClientCpu {
        self.session.get().map_or_else(ClientCpu::default, |session| session.account().read())
    }

    /// The name by which its guard knows it, another one in each run; none before it has entered the network.
    pub fn id(&self) -> Option<NodeId> {
        self.session.get().map(|session| session.net.local_id())
    }

    /// Its guard now, which it asks for nothing while it can ask others; none before it has entered the network.
    pub fn guard(&self) -> Option<NodeId> {
        self.session.get().map(|session| session.guard())
    }

    /// The nodes that this client has a connection to: once it has a table, its guard and nobody else.
    pub fn connected_nodes(&self) -> Vec<NodeId> {
        self.session.get().map_or_else(Vec::new, |session| session.net.connected_peers())
    }

    /// Keeps what was learnt of the network for the next run, and leaves it.
    pub async fn close(self) -> Result<(), Error> {
        match self.session.get() {
            Some(session) => session.close().await,
            None => Ok(()),
        }
    }
}
