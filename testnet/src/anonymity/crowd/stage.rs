//! The publishers and readers, and the network that they are in.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use palimpsest_client::{Client, FetchOptions, Progress, PublishOptions, Source};
use palimpsest_proto::ids::NodeId;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{Batch, CrowdError, CrowdOptions, Record};
use crate::anonymity::affinity::places;
use crate::anonymity::sights::Ledger;
use crate::healing;
use crate::memory::{Network, NetworkOptions};

/// The part of the time over which files of [`Batch::Spread`] are spread in which all publishes, or all fetches, are begun.
const SPREAD_BEGUN: f64 = 0.2;
/// For what never happens: a publish or fetch takes seconds.
const DEADLINE: Duration = Duration::from_secs(600);

/// A client, and what must be known of it at the end.
struct User {
    client: Client,
    id: NodeId,
    talked_to: BTreeSet<NodeId>,
}

impl User {
    /// It comes twice: the first run learns the table, the second knows nobody but its guard.
    async fn enter(network: &Network, name: &str) -> Result<Self, CrowdError> {
        network.client(name).await?.close().await?;
        let client = network.client(name).await?;
        let id = client.id().ok_or(CrowdError::Broken("a client has no name"))?;
        let talked_to = client.connected_nodes().into_iter().collect();
        Ok(Self { client, id, talked_to })
    }

    async fn publish(&mut self, file: Bytes, spread: Option<Duration>) -> Result<String, CrowdError> {
        let (progress, options) = (Progress::new(), PublishOptions { spread, ..PublishOptions::default() });
        let work = self.client.publish(Source::Bytes(file), options, &progress);
        let published = tokio::time::timeout(DEADLINE, work).await;
        self.talked_to.extend(self.client.connected_nodes());
        Ok(published.map_err(|_| CrowdError::Broken("a publish does not end"))??.link)
    }

    async fn fetch(&mut self, link: &str, file: &Bytes, spread: Option<Duration>) -> Result<(), CrowdError> {
        let link = link.parse().map_err(|_| CrowdError::Broken("a link of our own is unreadable"))?;
        let (mut sink, progress) = (Vec::new(), Progress::new());
        let work = self.client.fetch(&link, FetchOptions { spread, ..FetchOptions::default() }, &mut sink, &progress);
        let fetched = tokio::time::timeout(DEADLINE, work).await;
        self.talked_to.extend(self.client.connected_nodes());
        fetched.map_err(|_| CrowdError::Broken("a fetch does not end"))??;
        if sink == **file { Ok(()) } else { Err(CrowdError::Broken("what was fetched is not what was published")) }
    }
}

/// Plays the publishers and readers in a network whose nodes all look on.
///
/// # Errors
/// The network does not start, or somebody in it fails.
pub async fn record(options: &CrowdOptions) -> Result<Record, CrowdError> {
    let ledger = Ledger::default();
    let watched = ledger.clone();
    let onlooker = Box::new(move |index| Some(watched.onlooker(index)));
    let network = Network::start(NetworkOptions { onlooker, ..NetworkOptions::honest(options.nodes) }).await?;
    let outcome = play(&network, options, &ledger).await;
    network.shutdown().await;
    outcome
}

async fn play(network: &Network, options: &CrowdOptions, ledger: &Ledger) -> Result<Record, CrowdError> {
    let mut users = Vec::new();
    let mut files = Vec::new();
    for number in 0..options.files {
        let mut user = User::enter(network, &format!("alone-{number}")).await?;
        user.publish(content(options, number), None).await?;
        files.push((user.id, Batch::Alone));
        users.push(user);
    }
    for (batch, spread, first) in
        [(Batch::AtOnce, None, options.files), (Batch::Spread, Some(options.spread), 2 * options.files)]
    {
        let (publishers, readers) = batch_of(network, options, spread, first).await?;
        files.extend(publishers.iter().map(|user| (user.id, batch)));
        users.extend(publishers.into_iter().chain(readers));
    }
    let (mut guards, mut closing) = (HashMap::new(), Vec::new());
    for User { client, id, mut talked_to } in users {
        talked_to.extend(client.connected_nodes());
        guards.insert(id, talked_to);
        closing.push(client.close());
    }
    try_join_all(closing).await?;
    let stripes = healing::stripes(network).await?.into_iter().enumerate();
    let stripes =
        stripes.flat_map(|(stripe, (d, _))| d.locators().iter().map(move |l| (*l, stripe)).collect::<Vec<_>>());
    let disks = (0..options.nodes).map(|index| Ok(places(&network.node_dir(index))?.into_iter().collect()));
    Ok(Record {
        seen: ledger.so_far(),
        members: (0..options.nodes).filter_map(|index| network.node(index).map(|node| node.id())).collect(),
        guards,
        places: disks.collect::<Result<_, std::io::Error>>()?,
        stripes: stripes.collect(),
        files,
    })
}

/// Has files published, those with the numbers from `first` on, and then read, by users of their own: all at once, or `spread` over so
/// long, one begun after the other. Returns publishers, in the order of the files, and readers.
async fn batch_of(
    network: &Network,
    options: &CrowdOptions,
    spread: Option<Duration>,
    first: usize,
) -> Result<(Vec<User>, Vec<User>), CrowdError> {
    let pause = |users: usize| spread.unwrap_or_default().mul_f64(SPREAD_BEGUN / users.max(1) as f64);
    let mut publishers = enter_all(network, &format!("publisher-{first}"), options.files).await?;
    let begun = pause(publishers.len());
    let publishes = publishers.iter_mut().zip(0..).map(|(user, number): (_, u32)| async move {
        tokio::time::sleep(begun * number).await;
        user.publish(content(options, first + number as usize), spread).await
    });
    let links = try_join_all(publishes).await?;
    let mut readers = enter_all(network, &format!("reader-{first}"), options.files * options.readers).await?;
    let begun = pause(readers.len());
    let fetches = readers.iter_mut().zip(0..).zip(links.iter().enumerate().cycle()).map(
        |((user, number), (file, link)): ((_, u32), _)| async move {
            tokio::time::sleep(begun * number).await;
            user.fetch(link, &content(options, first + file), spread).await
        },
    );
    try_join_all(fetches).await?;
    Ok((publishers, readers))
}

async fn enter_all(network: &Network, name: &str, count: usize) -> Result<Vec<User>, CrowdError> {
    let mut users = Vec::new();
    for number in 0..count {
        users.push(User::enter(network, &format!("{name}-{number}")).await?);
    }
    Ok(users)
}

/// The content of a file: no two are alike.
fn content(options: &CrowdOptions, number: usize) -> Bytes {
    let mut bytes = vec![0; options.bytes];
    StdRng::seed_from_u64(options.seed.wrapping_mul(1_000) + number as u64).fill_bytes(&mut bytes);
    bytes.into()
}
