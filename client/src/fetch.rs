//! Fetching: link → root record → root pack → manifest → stripes → bytes in order.

use crate::clock::moment;
use crate::config::show_duration;
use crate::error::Error;
use crate::gathering::{Gathering, Totals};
use crate::lane::{Lane, Way};
use crate::pace::{Pace, SPREAD_MAX};
use crate::progress::{Phase, Progress};
use crate::refs::Refs;
use crate::session::{Lost, OPINIONS_MAX, Session};
use crate::stripe_name::StripeName;
use bytes::Bytes;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::content::{Body, Manifest, Piece, StreamShape, Streams, StripeKey};
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
/// The part of the time of a fetch that is spread in which the root's shards leave: until it is read nobody knows how many others
/// there are.
const SPREAD_ROOT: f64 = 0.2;
/// Pieces that are looked at to know how many shards will leave; of the others as many are taken for granted for their bytes. A hostile
/// manifest has 2^46 of them.
const PIECES_COUNTED_MAX: usize = 1 << 16;

/// What is wanted of a file.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Bytes from `start` to before `end`; the whole file if `None`. An end behind the file's is its end.
    pub range: Option<Range<u64>>,
    /// Whether shards that turn out to be missing are put back.
    pub heal: bool,
    /// Over about how long the shards are asked for, at random moments, so that holders cannot tell those of a file by their times;
    /// `None`: as fast as they come. At most 7 days; a file that lies in its root takes a fifth of it. What is missing is not put back
    /// then: that would leave at once.
    pub spread: Option<Duration>,
}

impl Default for FetchOptions {
    fn default() -> FetchOptions {
        FetchOptions { range: None, heal: true, spread: None }
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

/// Whether a fetch can be spread as it is asked to be.
///
/// # Errors
/// `Usage`, with what may be asked for.
pub(crate) fn check_spread(options: &FetchOptions) -> Result<(), Error> {
    match options.spread {
        Some(spread) if spread > SPREAD_MAX => {
            Err(Error::Usage(format!("a fetch can be spread over {} at most", show_duration(SPREAD_MAX))))
        }
        _ => Ok(()),
    }
}

/// The manifest under a link, the root's own descriptor, and what it took; the root's shards leave over a part of the time of
/// `spread`, if there is one.
pub(crate) async fn find_manifest(
    session: &Arc<Session>,
    root: RootAddress,
    key: &StripeKey,
    spread: Option<Duration>,
    progress: &Progress,
) -> Result<(Descriptor, Manifest, Totals), Error> {
    progress.set_phase(Phase::Looking);
    let spread_until = spread.map(|over| moment() + over.mul_f64(SPREAD_ROOT));
    let mut opinions = 0..OPINIONS_MAX;
    loop {
        let guard = session.guard();
        let mut gathering = Gathering::new(session.clone(), progress.clone());
        let found = match find_root(session, root, &mut gathering.totals).await {
            Ok(descriptor) => {
                let shards = descriptor.geometry().k() as u64;
                // What is left of the time: another guard does not get as much again.
                gathering.pace = spread_until.map(|end| Pace::new(end.since(moment()), shards, moment()));
                gathering.root(&descriptor, key).await.map(|manifest| (descriptor, manifest))
            }
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
    let (_, manifest, root_totals) = find_manifest(session, root, key, options.spread, progress).await?;
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

/// About how many shards it takes to read these pieces of level 0, which are so many bytes: those of the same pack in a row are read at
/// once, and so it is with the packs of references above.
fn shards_wanted(levels: &[StreamShape], bytes: u64, pieces: impl Iterator<Item = Piece>) -> u64 {
    let (mut shards, mut counted, mut last) = (0, 0, vec![None; levels.len()]);
    for Piece { stripe, within } in pieces.take(PIECES_COUNTED_MAX) {
        counted += within.len() as u64;
        let mut number = stripe;
        for (level, shape) in levels.iter().enumerate() {
            if last[level].replace(number) == Some(number) {
                break;
            }
            shards += shape.geometry(number).map_or(0, |geometry| geometry.k() as u64);
            number = levels.get(level + 1).map_or(0, |above| above.stripe_of(shape.ref_range(number).start));
        }
    }
    // Never less than what was counted.
    (shards as f64 * (bytes as f64 / counted.max(1) as f64).max(1.0)) as u64
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
    // The pieces of the content stream that make up the wanted bytes, each inside of one stripe. Two in a row of the same
    // stripe share its pack.
    let shape = &streams.levels()[0];
    let pieces = || manifest.map(wanted.clone()).flat_map(|run| shape.pieces(run));
    let pace = options.spread.map(|over| {
        let shards = shards_wanted(streams.levels(), wanted.end - wanted.start, pieces());
        Pace::new(over.mul_f64(1.0 - SPREAD_ROOT), shards, moment())
    });
    let mut pieces = pieces().peekable();
    let mut refs = Refs::new(session.clone(), streams);
    refs.pace.clone_from(&pace);
    let mut gathering = Gathering::new(session.clone(), progress.clone());
    gathering.heal = options.heal && pace.is_none();
    gathering.pace = pace;
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

#[cfg(test)]
mod tests {
    use super::{FetchOptions, SPREAD_MAX, check_spread, shards_wanted};
    use palimpsest_proto::content::{Piece, StreamShape};
    use palimpsest_proto::params::{DATA_SHARDS_MAX, PACK_BYTES_MAX};
    use std::ops::Range;
    use std::time::Duration;

    #[test]
    fn as_many_shards_are_reckoned_with_as_the_wanted_stripes_need() {
        let (pack, k) = (PACK_BYTES_MAX as u64, DATA_SHARDS_MAX as u64);
        // Two full stripes, and one of a few bytes.
        let shape = StreamShape::new(2 * pack + 100, 200, 25).unwrap();
        let count = |run: Range<u64>| shards_wanted(&[shape], run.end - run.start, shape.pieces(run));
        assert_eq!(count(0..shape.len()), 2 * k + 2);
        assert_eq!(count(pack - 1..pack + 1), 2 * k);
        assert_eq!(count(0..0), 0);
        // Pieces in a row of one stripe take its pack once; those that come back to it, again.
        let runs = [0..10, 20..30, pack..pack + 1, 0..10];
        assert_eq!(shards_wanted(&[shape], 31, runs.into_iter().flat_map(|run| shape.pieces(run))), 3 * k);
    }

    #[test]
    fn packs_of_references_count() {
        let (pack, k) = (PACK_BYTES_MAX as u64, DATA_SHARDS_MAX as u64);
        // References of 200 locators: some 650 to a pack.
        let content = StreamShape::new(2_000 * pack, 200, 0).unwrap();
        let refs = StreamShape::new(content.refs_len(), 200, 200).unwrap();
        let levels = [content, refs];
        assert_eq!(shards_wanted(&levels, 10, content.pieces(0..10)), 2 * k, "one stripe, and its references");
        let whole = shards_wanted(&levels, content.len(), content.pieces(0..content.len()));
        assert_eq!(
            whole,
            2_000 * k + (0..refs.stripe_count()).map(|i| refs.geometry(i).unwrap().k() as u64).sum::<u64>()
        );
    }

    /// Of a manifest that nobody could count.
    #[test]
    fn of_more_pieces_than_are_looked_at_the_others_are_taken_to_be_alike() {
        let (pack, k) = (PACK_BYTES_MAX as u64, DATA_SHARDS_MAX as u64);
        let shape = StreamShape::new(2 * pack, 200, 0).unwrap();
        let to_and_fro = [0, 1].into_iter().cycle().map(|stripe| Piece { stripe, within: 0..1 });
        let endless = 1 << 40;
        assert_eq!(shards_wanted(&[shape], endless, to_and_fro), endless * k);
    }

    #[test]
    fn a_fetch_is_spread_over_seven_days_at_most() {
        let over = |spread| check_spread(&FetchOptions { spread, ..FetchOptions::default() });
        assert!(over(None).is_ok() && over(Some(SPREAD_MAX)).is_ok());
        let said = over(Some(SPREAD_MAX + Duration::from_secs(1))).unwrap_err().to_string();
        assert!(said.contains("7d"), "{said}");
    }
}
