//! A link's writer: opens its stream when there is something to write, writes all that waits in large pieces, and ends
//! when the link has been idle for long or its node cannot be reached.
//!
//! On the wire a packet is one byte of size class and the packet.

use super::Queued;
use crate::net::Shared;
use crate::net::endpoint::Command;
use crate::net::room::Room;
use crate::net::streams::Protocol;
use futures::AsyncWriteExt;
use futures::channel::oneshot;
use libp2p::Stream;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::{Packet, Size};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The size class in front of a small packet.
pub(in crate::net) const CLASS_SMALL: u8 = 0;
/// The size class in front of a large packet.
pub(in crate::net) const CLASS_LARGE: u8 = 1;
/// A link without packets ends after this long; its connection may then end too.
const IDLE: Duration = Duration::from_secs(300);
/// A stream must be open after this long, dialling included.
const OPEN_DEADLINE: Duration = Duration::from_secs(12);
/// A packet must have been taken by the stream after this long; else the peer does not read, and the link ends.
const STALL: Duration = Duration::from_secs(10);
/// What a closing stream may take at the end.
const CLOSE_DEADLINE: Duration = Duration::from_millis(500);
/// Packets written between two flushes. They are written again if the stream breaks before the flush.
const BATCH_PACKETS: usize = 16;
/// Bytes collected before they are written: one frame of the muxer.
const PIECE_BYTES: usize = 16 * 1024;
/// How often a batch is written: a stream that has been idle may be dead without our knowing.
const TRIES: usize = 2;

/// Runs a link until its end.
pub(super) async fn run(shared: Arc<Shared>, to: NodeId, own: Arc<Room>, mut packets: mpsc::Receiver<Queued>) {
    let mut writer = Writer { shared: &shared, to, stream: None, piece: Vec::new() };
    let ended = shared.cancel.clone().run_until_cancelled(writer.serve(&mut packets)).await;
    if ended.is_none() {
        // We shut down: what was written shall arrive.
        writer.close().await;
    }
    shared.links.remove(&to, &own);
    own.close();
    packets.close();
    while packets.try_recv().is_ok() {
        shared.counters.dropped_unreachable.add_one();
    }
}

struct Writer<'a> {
    shared: &'a Arc<Shared>,
    to: NodeId,
    stream: Option<Stream>,
    /// What is not yet given to the stream.
    piece: Vec<u8>,
}

impl Writer<'_> {
    async fn serve(&mut self, packets: &mut mpsc::Receiver<Queued>) {
        let mut batch = Vec::with_capacity(BATCH_PACKETS);
        loop {
            match timeout(IDLE, packets.recv_many(&mut batch, BATCH_PACKETS)).await {
                Ok(0) => return,
                Ok(_) => {
                    if !self.write_batch(&batch).await {
                        self.shared.counters.dropped_unreachable.add(batch.len() as u64);
                        return;
                    }
                    self.shared.counters.packets_out.add(batch.len() as u64);
                    let bytes = batch.iter().map(|queued| queued.packet.as_bytes().len() as u64).sum();
                    self.shared.counters.bytes_out.add(bytes);
                    batch.clear();
                }
                Err(_) => {
                    if self.shared.links.retire(&self.to, packets) {
                        self.close().await;
                        return;
                    }
                }
            }
        }
    }

    async fn write_batch(&mut self, batch: &[Queued]) -> bool {
        for _ in 0..TRIES {
            if self.stream.is_none() {
                self.stream = open(self.shared, self.to).await;
            }
            let Some(stream) = &mut self.stream else {
                return false;
            };
            self.piece.clear();
            match write(stream, &mut self.piece, batch).await {
                Ok(()) => return true,
                Err(error) => {
                    self.stream = None;
                    // A peer who does not read is not asked again.
                    if error.kind() == io::ErrorKind::TimedOut {
                        self.shared.links.back_off(self.to);
                        return false;
                    }
                }
            }
        }
        false
    }

    async fn close(&mut self) {
        if let Some(mut stream) = self.stream.take() {
            let _ = timeout(CLOSE_DEADLINE, stream.close()).await;
        }
    }
}

async fn open(shared: &Shared, to: NodeId) -> Option<Stream> {
    let (opened, stream) = oneshot::channel();
    let command = Command::Open { to, protocol: Protocol::Packet, opened };
    let open = async {
        shared.commands.send(command).await.ok()?;
        stream.await.ok()
    };
    timeout(OPEN_DEADLINE, open).await.ok().flatten()
}

/// Writes and flushes a batch. Small packets are collected into pieces; of a large one only the beginning is copied, so
/// that its class byte does not travel as a frame of its own.
async fn write(stream: &mut Stream, piece: &mut Vec<u8>, batch: &[Queued]) -> io::Result<()> {
    piece.reserve_exact(PIECE_BYTES);
    for queued in batch {
        in_time(write_packet(stream, piece, &queued.packet)).await?;
    }
    in_time(async {
        stream.write_all(piece).await?;
        stream.flush().await
    })
    .await
}

async fn write_packet(stream: &mut Stream, piece: &mut Vec<u8>, packet: &Packet) -> io::Result<()> {
    piece.push(match packet.size() {
        Size::Small => CLASS_SMALL,
        Size::Large => CLASS_LARGE,
    });
    let bytes = packet.as_bytes();
    let (head, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES - piece.len()));
    piece.extend_from_slice(head);
    if piece.len() == PIECE_BYTES {
        stream.write_all(piece).await?;
        piece.clear();
        if rest.len() < PIECE_BYTES {
            piece.extend_from_slice(rest);
        } else {
            stream.write_all(rest).await?;
        }
    }
    Ok(())
}

async fn in_time(write: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    timeout(STALL, write).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
