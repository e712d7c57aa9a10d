//! Fetching in virtual time: link → root's record → manifest → stripes → bytes, driven as `client::fetch` drives it, but that
//! all bytes of a stream are held at once.

use bytes::{Bytes, BytesMut};
use palimpsest_proto::coding::{Descriptor, Shard, rebuild};
use palimpsest_proto::content::{
    Body, Capability, Manifest, StreamShape, StripeKey, StripeRef, open_root, open_segment_onto,
};
use palimpsest_proto::flow::GatherOutcome;
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::PACK_BYTES_MAX;

use super::failure::Failure;
use super::records::find_root;
use super::wire::Line;
use crate::sim::client::Session;
use crate::sim::reader::{Beside, Wanted, gather};

/// The bytes that a link stands for.
pub(super) fn fetch(session: &mut Session<'_, Line<'_>>, link: &Capability) -> Result<Bytes, Failure> {
    let (root, key) = match link {
        Capability::Inline(content) => return Ok(content.clone()),
        Capability::Read { root, key } => (*root, key),
        Capability::Repair { .. } => return Err(Failure::Spoilt),
    };
    let descriptor = find_root(session, root)?;
    let manifest = manifest(session, &descriptor, key)?;
    let streams = match manifest.body() {
        Body::Inline(content) => return Ok(content.clone()),
        Body::Streams(streams) => streams,
    };
    // The references of a stream are the stream above it; the lowest is the content.
    let mut stream = streams.top_refs().clone();
    for shape in streams.levels().iter().rev() {
        stream = level(session, shape, &stream)?;
    }
    let mut content = BytesMut::new();
    for run in manifest.map(0..manifest.size()) {
        // Fits: the stream is in memory.
        content.extend_from_slice(stream.get(run.start as usize..run.end as usize).ok_or(Failure::Spoilt)?);
    }
    Ok(content.freeze())
}

fn manifest(session: &mut Session<'_, Line<'_>>, root: &Descriptor, key: &StripeKey) -> Result<Manifest, Failure> {
    let shards = gather_all(session, std::slice::from_ref(root))?.pop().unwrap_or_default();
    Ok(open_root(key, root, &rebuild(root, shards)?)?)
}

/// A stream's bytes, by the references of its stripes.
fn level(session: &mut Session<'_, Line<'_>>, shape: &StreamShape, refs: &Bytes) -> Result<Bytes, Failure> {
    let stripes = (0..shape.stripe_count()).map(|number| {
        let range = shape.ref_range(number);
        if range.end > refs.len() as u64 {
            return Err(Failure::Spoilt);
        }
        shape.parse_ref(number, refs.slice(range.start as usize..range.end as usize)).map_err(|_| Failure::Spoilt)
    });
    let stripes = stripes.collect::<Result<Vec<StripeRef>, Failure>>()?;
    let descriptors: Vec<Descriptor> = stripes.iter().map(|stripe| stripe.descriptor.clone()).collect();
    let gathered = gather_all(session, &descriptors)?;
    let mut stream = BytesMut::new();
    for (stripe, shards) in stripes.iter().zip(gathered) {
        let mut pack = Vec::with_capacity(PACK_BYTES_MAX);
        for (index, shard) in (0_u8..).zip(rebuild(&stripe.descriptor, shards)?) {
            open_segment_onto(&stripe.key, index, &shard, &mut pack).map_err(|_| Failure::Spoilt)?;
        }
        pack.truncate(stripe.len);
        stream.extend_from_slice(&pack);
    }
    Ok(stream.freeze())
}

/// Enough shards of each of the stripes, with their numbers.
pub(super) fn gather_all(
    session: &mut Session<'_, Line<'_>>,
    stripes: &[Descriptor],
) -> Result<Vec<Vec<(u8, Shard)>>, Failure> {
    let wanted = stripes.iter().map(|one| Wanted { k: one.geometry().k(), locators: one.locators() });
    let wanted: Vec<Wanted<'_>> = wanted.collect();
    let mut got: Vec<Vec<(u8, Shard)>> = vec![Vec::new(); stripes.len()];
    let locator = |stripe: usize, shard: u8| stripes[stripe].locators()[usize::from(shard)];
    let ask = |stripe, shard| Ask::Fetch { locator: locator(stripe, shard) };
    let take = |stripe: usize, number, answer| match answer {
        Answer::Shard(bytes) => match Shard::new(bytes) {
            Ok(shard) if shard.locator() == locator(stripe, number) => {
                if !got[stripe].iter().any(|(there, _)| *there == number) {
                    got[stripe].push((number, shard));
                }
                GatherOutcome::Got
            }
            _ => GatherOutcome::Garbage,
        },
        Answer::Refused(Refusal::Absent) => GatherOutcome::Absent,
        Answer::Refused(_) => GatherOutcome::Refused,
        _ => GatherOutcome::Garbage,
    };
    gather(session, &wanted, Beside::Whereabouts, ask, take)?;
    Ok(got)
}
