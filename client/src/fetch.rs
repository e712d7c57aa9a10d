//! Fetching: link → root record → root pack → manifest → stripes → bytes in order.

use crate::clock::moment;
use crate::error::Error;
use crate::gathering::{Gathering, Totals};
use crate::lane::{Lane, Way};
use crate::progress::{Phase, Progress};
use crate::refs::Refs;
use crate::session::{Lost, OPINIONS_MAX, Session};
use crate::stripe_name::StripeName;
use bytes::Bytes;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::content::{Body, Manifest, Piece, Streams, StripeKey};
use palimpsest_proto::flow::{HuntOutcome, HuntVerdict, RecordHunt};
use palimpsest_proto::ids::{NodeId, RootAddress};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::select::with_region;
use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Pieces that may wait for their packs: a file of many small repeats has many to a stripe.
const PIECES_AHEAD_MAX: usize = 4096;

/// What is wanted of a file.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Bytes from `start` to before `end`; the whole file if `None`. An end behind the file's is its end.
    pub range: Option<Range<u64>>,
    /// Whether shards that turn out to be missing are put back.
    pub heal: bool,
}

impl Default for FetchOptions {
    fn default() -> FetchOptions {
        FetchOptions { range: None, heal: true }
    }
}

/// What a fetch brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes written.
    pub bytes: u64,
    /// Bytes of the whole file.
    pub file_size: u64,
    /// Shards asked for, hedges included.
    pub shards_asked: u64,
    /// Shards that came and were right.
    pub shards_got: u64,
    /// Answers that were wrong; who gave them is not asked again.
    pub bad_answers: u64,
    /// Nodes that were caught lying.
    pub culprits: usize,
    /// Shards that were missing and were put back.
    pub healed: u64,
}

/// What a node said of the root record.
enum Found {
    Descriptor(Descriptor),
    Refused(Refusal),
}

/// The root descriptor: any of the nodes nearest to its addresses may have it, and it proves itself by its hash. Where ids
/// were ground next to an address, so are those who were nearest before.
pub(crate) async fn find_root(
    session: &Arc<Session>,
    root: RootAddress,
    totals: &mut Totals,
) -> Result<Descriptor, Error> {
    let addresses = root.record_addresses();
    let near = {
        let table = session.table();
        addresses.iter().map(|address| session.without_guard(with_region(&table, &address.position()))).collect()
    };
    let mut hunt = RecordHunt::new(near);
    let mut lane: Lane<(usize, NodeId), Found> = Lane::new(session.clone());
    let mut used: HashMap<NodeId, Vec<Way>> = HashMap::new();
    loop {
        loop {
            let now = moment();
            let ask = {
                let table = session.table();
                let experience = session.experience();
                hunt.poll(now, |id| session.chance(&table, &experience, id, now))
            };
            let Some(ask) = ask else { break };
            let address = addresses[ask.address];
            let ways = used.entry(ask.node).or_default();
            lane.start(
                (ask.address, ask.node),
                ask.node,
                Ask::GetRecord { address },
                ways,
                move |answer| match answer {
                    Answer::Record(bytes) => {
                        Descriptor::decode(bytes).ok().filter(|d| d.root_address() == root).map(Found::Descriptor)
                    }
                    Answer::Refused(refusal) => Some(Found::Refused(refusal)),
                    _ => None,
                },
            );
        }
        match hunt.verdict() {
            Some(HuntVerdict::Absent { said, asked }) => return Err(Error::Absent { nodes_said: said, asked }),
            Some(HuntVerdict::Unreachable { said, asked }) => {
                return Err(Error::RootUnreachable { answered: said, asked });
            }
            Some(HuntVerdict::Found) | None => {}
        }
        let Some(done) = lane.next(hunt.poll_timeout(moment())).await else { continue };
        let (address, node) = done.tag;
        let outcome = match done.result {
            Ok(Found::Descriptor(descriptor)) => return Ok(descriptor),
            Ok(Found::Refused(Refusal::Absent)) => HuntOutcome::Absent,
            Ok(Found::Refused(Refusal::Busy { retry_ms })) => HuntOutcome::Busy(Duration::from_millis(retry_ms.into())),
            Ok(Found::Refused(_)) => HuntOutcome::Refused,
            Err(Lost::Garbage) => {
                totals.bad += 1;
                HuntOutcome::Garbage
            }
            Err(Lost::TimedOut) => HuntOutcome::TimedOut,
            Err(Lost::Unsent) => HuntOutcome::Unsent,
        };
        hunt.handle(moment(), address, &node, outcome);
    }
}

/// The manifest under a link, the root's own descriptor, and what it took.
pub(crate) async fn find_manifest(
    session: &Arc<Session>,
    root: RootAddress,
    key: &StripeKey,
    progress: &Progress,
) -> Result<(Descriptor, Manifest, Totals), Error> {
    progress.set_phase(Phase::Looking);
    let mut opinions = 0..OPINIONS_MAX;
    loop {
        let guard = session.guard();
        let mut gathering = Gathering::new(session.clone(), progress.clone());
        let found = match find_root(session, root, &mut gathering.totals).await {
            Ok(descriptor) => gathering.root(&descriptor, key).await.map(|manifest| (descriptor, manifest)),
            Err(error) => Err(error),
        };
        match found {
            Ok((descriptor, manifest)) => return Ok((descriptor, manifest, gathering.totals)),
            // It may be the guard that keeps us from them.
            Err(Error::RootUnreachable { .. } | Error::NotRetrievable { .. })
                if opinions.next().is_some() && session.doubt_guard(guard).await => {}
            Err(error) => return Err(error),
        }
    }
}

/// The part of a file of `size` bytes that is wanted.
fn wanted(options: &FetchOptions, size: u64) -> Result<Range<u64>, Error> {
    let Some(range) = options.range.clone() else { return Ok(0..size) };
    if range.start >= range.end {
        return Err(Error::Usage("the range is empty".to_owned()));
    }
    if range.start >= size {
        return Err(Error::RangeOutside { start: range.start, size });
    }
    Ok(range.start..range.end.min(size))
}

pub(crate) async fn write(
    sink: &mut (impl AsyncWrite + Unpin + Send),
    bytes: &[u8],
    progress: &Progress,
) -> Result<(), Error> {
    let written = sink.write_all(bytes).await;
    written.map_err(|source| Error::Output { source })?;
    progress.add_bytes(bytes.len() as u64);
    Ok(())
}

/// Content that lies in a link or in a root pack.
pub(crate) async fn write_inline(
    content: &Bytes,
    options: &FetchOptions,
    sink: &mut (impl AsyncWrite + Unpin + Send),
    progress: &Progress,
) -> Result<Fetched, Error> {
    let size = content.len() as u64;
    let range = wanted(options, size)?;
    progress.set_bytes_total(range.end - range.start);
    write(sink, &content[range.start as usize..range.end as usize], progress).await?;
    Ok(Fetched { bytes: range.end - range.start, file_size: size, ..Fetched::default() })
}

/// Fetches what is under `root` into `sink`.
pub(crate) async fn fetch(
    session: &Arc<Session>,
    root: RootAddress,
    key: &StripeKey,
    options: &FetchOptions,
    sink: &mut (impl AsyncWrite + Unpin + Send),
    progress: &Progress,
) -> Result<Fetched, Error> {
    let (_, manifest, root_totals) = find_manifest(session, root, key, progress).await?;
    progress.set_phase(Phase::Fetching);
    let fetched = match manifest.body() {
        Body::Inline(content) => write_inline(content, options, sink, progress).await?,
        Body::Streams(streams) => fetch_streams(session, &manifest, streams, options, sink, progress).await?,
    };
    Ok(Fetched {
        shards_asked: fetched.shards_asked + root_totals.asked,
        shards_got: fetched.shards_got + root_totals.got,
        bad_answers: fetched.bad_answers + root_totals.bad,
        culprits: session.culprits(),
        ..fetched
    })
}

async fn fetch_streams(
    session: &Arc<Session>,
    manifest: &Manifest,
    streams: &Streams,
    options: &FetchOptions,
    sink: &mut (impl AsyncWrite + Unpin + Send),
    progress: &Progress,
) -> Result<Fetched, Error> {
    let wanted = wanted(options, manifest.size())?;
    progress.set_bytes_total(wanted.end - wanted.start);
    let mut refs = Refs::new(session.clone(), streams);
    // The pieces of the content stream that make up the wanted bytes, each inside of one stripe. Two in a row of the same
    // stripe share its pack.
    let shape = &streams.levels()[0];
    let mut pieces = manifest.map(wanted).flat_map(|run| shape.pieces(run)).peekable();
    let mut gathering = Gathering::new(session.clone(), progress.clone());
    gathering.heal = options.heal;
    let mut queue: VecDeque<Piece> = VecDeque::new();
    let mut pushed: Option<u64> = None;
    let mut current: Option<(u64, Bytes)> = None;
    let mut bytes = 0;
    loop {
        while let Some(piece) = pieces.peek()
            && queue.len() < PIECES_AHEAD_MAX
        {
            if pushed != Some(piece.stripe) {
                if !gathering.wants() {
                    break;
                }
                gathering.push(StripeName::Content(piece.stripe), refs.stripe(0, piece.stripe).await?);
                pushed = Some(piece.stripe);
            }
            queue.extend(pieces.next());
        }
        let Some(Piece { stripe, within }) = queue.pop_front() else { break };
        if current.as_ref().is_none_or(|(number, _)| *number != stripe) {
            let pack = gathering.next_pack().await?;
            current = Some((stripe, pack.ok_or_else(|| Error::Integrity { what: "the order of stripes".to_owned() })?));
        }
        if let Some((_, pack)) = &current {
            bytes += within.len() as u64;
            write(sink, &pack[within], progress).await?;
        }
    }
    let healed = gathering.finish_healing().await;
    let totals = gathering.totals;
    Ok(Fetched {
        bytes,
        file_size: manifest.size(),
        shards_asked: totals.asked,
        shards_got: totals.got,
        bad_answers: totals.bad,
        culprits: 0,
        healed,
    })
}
