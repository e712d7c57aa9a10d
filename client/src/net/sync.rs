//! One exchange of node tables over one stream:
//!
//! ```text
//! A ─ digests ─────────────────────────────────────────► B     2 KiB: one number for each of 256 buckets
//! A ◄─ descriptors where the digests differ, digests, lost ─ B
//! A ─ descriptors where they still differ, lost ────────► B     a client sends none: what it knows is its own business
//! ```
//!
//! Every length is bounded before anything is allocated, the whole exchange stands under one deadline, and each
//! descriptor is checked by its own signature: the partner is trusted with nothing but the word on who is lost. For nodes that is
//! weak evidence, which a dial overrules; a client, which dials nobody, takes the word of its guard and of nobody else.

mod wire;

use super::endpoint::Command;
use super::streams::Protocol;
use super::{NetError, Shared, Told};
use crate::policy::INBOUND_EXCHANGE_DEADLINE;
use futures::channel::oneshot;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::Stream;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::params::EXCHANGE_DESCRIPTORS_MAX;
use palimpsest_proto::select::{BUCKETS, Heed, LOST_MAX};
use std::sync::Arc;
use tokio::time::timeout;
use wire::{Answer, Frame, Offer, Return};

/// What an exchange of node tables brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Descriptors that were new to us.
    pub received: u64,
    /// Descriptors that we sent.
    pub sent: u64,
    /// Nodes newly believed lost by the partner's word.
    pub lost_marks: u64,
    /// Whether the partner's answer was as long as an answer may be: there is probably more to be had.
    pub more: bool,
}

/// Begins an exchange with a node and sees it through.
pub(super) async fn exchange(shared: &Shared, with: NodeId, heed: Heed) -> Result<SyncReport, NetError> {
    let exchanged = begin(shared, with, heed).await;
    match &exchanged {
        Ok(report) => on_done(shared, *report),
        Err(_) => shared.counters.sync_failures.add_one(),
    }
    exchanged
}

/// Answers an exchange that a node began.
pub(super) async fn answer(shared: Arc<Shared>, with: NodeId, mut stream: Stream) {
    let answered = timeout(INBOUND_EXCHANGE_DEADLINE, serve(&shared, with, &mut stream));
    match shared.cancel.run_until_cancelled(answered).await {
        Some(Ok(Ok(report))) => on_done(&shared, report),
        Some(_) => shared.counters.sync_failures.add_one(),
        None => {}
    }
}

fn on_done(shared: &Shared, report: SyncReport) {
    shared.counters.syncs.add_one();
    if report.received > 0 || report.lost_marks > 0 {
        shared.changed.notify_one();
    }
}

async fn begin(shared: &Shared, with: NodeId, heed: Heed) -> Result<SyncReport, NetError> {
    let (opened, stream) = oneshot::channel();
    let open = Command::Open { to: with, protocol: Protocol::Table, opened };
    shared.commands.send(open).await.map_err(|_| NetError::Closed)?;
    let mut stream = stream.await.map_err(|_| NetError::Unreachable)?;

    write(&mut stream, &Offer { digests: Box::new(shared.directory.digests()) }).await?;
    let Answer { digests, descriptors, lost } = read(&mut stream).await?;
    let more = descriptors.len() >= EXCHANGE_DESCRIPTORS_MAX;
    let mut report = merge(shared, descriptors, &lost, heed).await;
    report.more = more;
    if !shared.server {
        // There is nothing that the partner could miss: what it told is used at once, and its end waited for beside that. (A stream
        // that is dropped before would be reset, which is a failure to the partner.)
        write(&mut stream, &Return::default()).await?;
        shared.spawn_cancelled(async move {
            let _ = timeout(INBOUND_EXCHANGE_DEADLINE, ended(&mut stream)).await;
        });
        return Ok(report);
    }
    let back = told(shared, &digests);
    report.sent = back.descriptors.len() as u64;
    write(&mut stream, &back).await?;
    ended(&mut stream).await?;
    Ok(report)
}

/// The end of the partner's side says that it has all of what it was sent.
async fn ended(stream: &mut Stream) -> Result<(), NetError> {
    let mut nothing = [0];
    match stream.read(&mut nothing).await {
        Ok(0) => Ok(()),
        _ => Err(NetError::Protocol),
    }
}

async fn serve(shared: &Shared, with: NodeId, stream: &mut Stream) -> Result<SyncReport, NetError> {
    let Offer { digests } = read(stream).await?;
    let Return { descriptors, lost } = told(shared, &digests);
    let sent = descriptors.len() as u64;
    let digests = Box::new(shared.directory.digests());
    write(stream, &Answer { digests, descriptors, lost }).await?;
    let Return { descriptors, lost } = read(stream).await?;
    // Only nodes of the table are heard: a client has no say.
    let report = if descriptors.is_empty() && !shared.directory.knows(&with) {
        SyncReport::default()
    } else {
        merge(shared, descriptors, &lost, Heed::Weighed).await
    };
    stream.close().await.map_err(|_| NetError::Unreachable)?;
    Ok(SyncReport { sent, ..report })
}

/// What a partner with these digests is told.
fn told(shared: &Shared, theirs: &[u64; BUCKETS]) -> Return {
    if let Some(liar) = &shared.table_liar {
        let Told { mut descriptors, mut lost } = shared.directory.told_by(liar);
        descriptors.truncate(EXCHANGE_DESCRIPTORS_MAX);
        lost.truncate(LOST_MAX);
        return Return { descriptors, lost };
    }
    Return { descriptors: shared.directory.differing(theirs, EXCHANGE_DESCRIPTORS_MAX), lost: shared.directory.lost() }
}

async fn merge(shared: &Shared, descriptors: Vec<bytes::Bytes>, lost: &[wire::Lost], heed: Heed) -> SyncReport {
    let merged = shared.directory.merge(descriptors).await;
    shared.counters.descriptors_learnt.add(merged.learnt);
    shared.counters.descriptors_refused.add(merged.refused);
    for id in merged.returned {
        // Fails only at the end, when nothing is left to verify.
        let _ = shared.commands.send(Command::Verify(id)).await;
    }
    let lost_marks = shared.directory.hear_lost(lost, heed, |id| shared.links.is_connected(id));
    SyncReport { received: merged.learnt, lost_marks, ..SyncReport::default() }
}

async fn write<F: Frame>(stream: &mut Stream, frame: &F) -> Result<(), NetError> {
    let body = frame.encode();
    debug_assert!(body.len() <= F::BYTES_MAX);
    let mut bytes = Vec::with_capacity(4 + body.len());
    bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&body);
    stream.write_all(&bytes).await.map_err(|_| NetError::Unreachable)?;
    stream.flush().await.map_err(|_| NetError::Unreachable)
}

async fn read<F: Frame>(stream: &mut Stream) -> Result<F, NetError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).await.map_err(|_| NetError::Unreachable)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > F::BYTES_MAX {
        return Err(NetError::Protocol);
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(|_| NetError::Unreachable)?;
    F::decode(body.into()).map_err(|_| NetError::Protocol)
}
