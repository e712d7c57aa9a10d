//! What the network tests share.

use bytes::Bytes;
use futures::future::BoxFuture;
use palimpsest_client::{Client, Error, FetchOptions, Fetched, Kind, Progress, PublishOptions, Published, Source};
use palimpsest_node::config::Stand;
use palimpsest_node::role::holder::Service;
use palimpsest_proto::content::Capability;
use palimpsest_proto::ids::Locator;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_testnet::memory::Network;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// For what never happens: a publish, a fetch, or what a test awaits takes seconds, on a busy machine a minute.
pub(crate) const DEADLINE: Duration = Duration::from_secs(300);

/// Bytes that no two seeds share.
pub(crate) fn content(seed: u64, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    StdRng::seed_from_u64(seed).fill(&mut bytes[..]);
    Bytes::from(bytes)
}

pub(crate) async fn publish(client: &Client, bytes: &Bytes) -> Result<Published, Error> {
    let progress = Progress::new();
    let work = client.publish(Source::Bytes(bytes.clone()), PublishOptions::default(), &progress);
    tokio::time::timeout(DEADLINE, work).await.expect("a publish ends before the deadline")
}

pub(crate) async fn fetch(client: &Client, link: &str) -> Result<(Vec<u8>, Fetched), Error> {
    fetch_range(client, link, None).await
}

pub(crate) async fn fetch_range(
    client: &Client,
    link: &str,
    range: Option<std::ops::Range<u64>>,
) -> Result<(Vec<u8>, Fetched), Error> {
    let link: Capability = link.parse().expect("a link of our own");
    let mut sink = Vec::new();
    let progress = Progress::new();
    let work = client.fetch(&link, FetchOptions { range, ..FetchOptions::default() }, &mut sink, &progress);
    let fetched = tokio::time::timeout(DEADLINE, work).await.expect("a fetch ends before the deadline")?;
    Ok((sink, fetched))
}

/// Clients that are tried where most guards are dead.
const NEWCOMERS: usize = 4;

/// A client who was never there, where half of the nodes are dead. One whose sample of guards, drawn at random, has none that
/// lives (one in a million) cannot enter; then another tries.
pub(crate) async fn newcomer(network: &Network, name: &str) -> Client {
    for attempt in 0..NEWCOMERS {
        match network.client(&format!("{name}-{attempt}")).await {
            Ok(client) => return client,
            Err(error) => assert_eq!(error.kind(), Kind::NoNetwork, "{error}"),
        }
    }
    panic!("nobody gets in");
}

/// A service made of a function; `None` stays silent.
pub(crate) struct Scripted<F>(pub(crate) F);

impl<F: Fn(Ask) -> Option<Answer> + Send + Sync + 'static> Service for Scripted<F> {
    fn answer(&self, ask: Ask) -> BoxFuture<'_, Option<Answer>> {
        let answer = self.0(ask);
        Box::pin(async move { answer })
    }
}

pub(crate) fn stand(f: impl Fn(Ask) -> Option<Answer> + Send + Sync + 'static) -> Option<Stand> {
    Some(Stand(Arc::new(Scripted(f))))
}

/// What a network of nodes that keep everything in memory has stored: in order, and each shard once.
#[derive(Default)]
pub(crate) struct Asked(Mutex<(Vec<Locator>, HashSet<Locator>)>);

impl Asked {
    /// What was stored up to now, as often as it was.
    pub(crate) fn so_far(&self) -> Vec<Locator> {
        self.0.lock().unwrap().0.clone()
    }
}

/// Honest nodes in memory. They store as long as fewer than `most` different shards were, over all nodes; then they are silent,
/// but on those: who sends one again, since its receipt was slow, has it acknowledged.
pub(crate) fn counting(asked: &Arc<Asked>, most: &Arc<AtomicUsize>) -> impl Fn(usize) -> Option<Stand> + Send + use<> {
    let (asked, most) = (asked.clone(), most.clone());
    move |_| {
        let (asked, most) = (asked.clone(), most.clone());
        let (shards, records) = (Mutex::new(HashMap::new()), Mutex::new(HashMap::new()));
        stand(move |ask| {
            let absent = || Answer::Refused(Refusal::Absent);
            Some(match ask {
                Ask::Store { shard, .. } => {
                    let mut asked = asked.0.lock().unwrap();
                    let locator = shard.locator();
                    let (in_order, different) = &mut *asked;
                    if !different.contains(&locator) && different.len() >= most.load(Ordering::Relaxed) {
                        return None;
                    }
                    different.insert(locator);
                    in_order.push(locator);
                    shards.lock().unwrap().insert(locator, shard.bytes().clone());
                    Answer::Stored { locator }
                }
                Ask::Fetch { locator } => {
                    shards.lock().unwrap().get(&locator).cloned().map_or_else(absent, Answer::Shard)
                }
                Ask::Probe { .. } | Ask::Audit { .. } | Ask::Renew { .. } => return None,
                Ask::ProbeRecords { .. } | Ask::PutRecords { .. } | Ask::LastAudits { .. } => return None,
                Ask::PutRecord { address, record, .. } => {
                    records.lock().unwrap().insert(address, record);
                    Answer::RecordStored { address }
                }
                Ask::GetRecord { address } => {
                    records.lock().unwrap().get(&address).cloned().map_or_else(absent, Answer::Record)
                }
            })
        })
    }
}
