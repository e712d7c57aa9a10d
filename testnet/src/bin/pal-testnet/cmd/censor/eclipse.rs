//! An eclipse that is tried: nodes with drawn ids next to places of the root, and what a reader gets meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use palimpsest_client::{Capability, FetchOptions, Progress};
use palimpsest_testnet::censor::eclipse::{Taken, part};
use palimpsest_testnet::censor::holders::Search;
use palimpsest_testnet::scenario::Eclipsed;
use palimpsest_testnet::sybils;
use serde::Serialize;

use super::super::{Failure, broken};
use super::ground::Ground;
use super::{enter, failed};

/// Time for a fetch.
const FETCH_DEADLINE: Duration = Duration::from_secs(300);

/// What is to be tried.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) of: Eclipsed,
    /// Nodes next to each place.
    pub(super) nodes: u16,
    /// Ids of which these are the nearest.
    pub(super) drawn: usize,
    pub(super) seed: u64,
}

/// Who fetches before and meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) link: &'a Capability,
    /// The file by which it enters.
    pub(super) bootstrap: &'a Path,
    /// Where it has its folders.
    pub(super) place: &'a Path,
}

/// What it achieved.
#[derive(Debug, Serialize)]
pub(super) struct Attempt {
    /// Next to which places: `record`, `stripe`.
    pub(super) of: &'static str,
    /// The places.
    #[serde(flatten)]
    pub(super) taken: Taken,
    /// Seconds that drawing the ids took.
    pub(super) drawing_s: f64,
    /// A fetch before.
    pub(super) before: Fetch,
    /// A fetch while they ran, by somebody who was never there.
    pub(super) meanwhile: Fetch,
    /// Sybils that this reader knew.
    pub(super) known: usize,
}

/// How a fetch went.
#[derive(Debug, Serialize)]
pub(super) struct Fetch {
    /// Seconds, without entering the network.
    pub(super) took_s: f64,
    /// Shards that were asked for, if it succeeded.
    pub(super) shards_asked: Option<u64>,
    /// Why it failed, if it did.
    pub(super) failure: Option<String>,
}

/// Runs them, and fetches. Whoever calls this ends them.
pub(super) async fn attempt(
    net: &mut Ground,
    search: &Search,
    Wanted { of, nodes, drawn, seed }: Wanted,
    reader: Reader<'_>,
) -> Result<Attempt, Failure> {
    net.check_takes_parts()?;
    let places =
        search.places().ok_or_else(|| broken("the link has its content in itself: there is nothing to eclipse"))?;
    let honest = net.ids().await?;
    let (before, _) = fetch("reader-before", reader).await?;
    let (of, aim) = match of {
        Eclipsed::Record => ("record", places.record.clone()),
        Eclipsed::Stripe => ("stripe", places.shards.clone()),
    };
    let since = Instant::now();
    let drawing = tokio::task::spawn_blocking(move || sybils::grind(&aim, nodes.into(), drawn, seed));
    let ground = drawing.await.map_err(broken)?;
    let drawing_s = since.elapsed().as_secs_f64();
    net.add(ground.iter().map(part).collect()).await?;
    let all = net.ids().await?;
    let sybils = all.get(honest.len()..).unwrap_or_default();
    let (meanwhile, known) = fetch("reader-meanwhile", reader).await?;
    let known = sybils.iter().filter(|sybil| known.contains(sybil)).count();
    Ok(Attempt { of, taken: Taken::count(&places, &honest, sybils, drawn), drawing_s, before, meanwhile, known })
}

/// A fetch by somebody who was never there; and whom it knew. It puts nothing back.
async fn fetch(
    name: &str,
    Reader { link, bootstrap, place }: Reader<'_>,
) -> Result<(Fetch, Vec<palimpsest_proto::ids::NodeId>), Failure> {
    let client = enter(place.join(name), bootstrap).await?;
    let options = FetchOptions { heal: false, ..FetchOptions::default() };
    let (since, progress, mut sink) = (Instant::now(), Progress::new(), tokio::io::sink());
    let fetched = tokio::time::timeout(FETCH_DEADLINE, client.fetch(link, options, &mut sink, &progress)).await;
    let took_s = since.elapsed().as_secs_f64();
    let (shards_asked, failure) = match fetched {
        Ok(Ok(fetched)) => (Some(fetched.shards_asked), None),
        Ok(Err(error)) => (None, Some(error.to_string())),
        Err(_) => (None, Some(format!("it did not end within {} s", FETCH_DEADLINE.as_secs()))),
    };
    let known = client.known_holders().await.map_err(failed("look at the table"))?;
    client.close().await.map_err(failed("leave the network"))?;
    Ok((Fetch { took_s, shards_asked, failure }, known))
}
