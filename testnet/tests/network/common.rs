//! What the network tests share.

use bytes::Bytes;
use futures::future::BoxFuture;
use palimpsest_client::{Client, Error, FetchOptions, Fetched, Progress, PublishOptions, Published, Source};
use palimpsest_node::config::Stand;
use palimpsest_node::role::holder::Service;
use palimpsest_proto::content::Capability;
use palimpsest_proto::ids::Locator;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// No test waits longer for one publish or fetch.
pub(crate) const DEADLINE: Duration = Duration::from_secs(120);

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
    let work = client.fetch(&link, FetchOptions { range, heal: true }, &mut sink, &progress);
    let fetched = tokio::time::timeout(DEADLINE, work).await.expect("a fetch ends before the deadline")?;
    Ok((sink, fetched))
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

/// What a network of nodes that keep everything in memory was asked to store, in order.
#[derive(Default)]
pub(crate) struct Asked(Mutex<Vec<Locator>>);

impl Asked {
    /// What was stored up to now.
    pub(crate) fn so_far(&self) -> Vec<Locator> {
        self.0.lock().unwrap().clone()
    }
}

/// Honest nodes in memory. They store as long as fewer than `most` shards were, over all nodes; then they fall silent.
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
                    if asked.len() >= most.load(Ordering::Relaxed) {
                        return None;
                    }
                    let locator = shard.locator();
                    asked.push(locator);
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
