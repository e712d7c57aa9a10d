//! Yamux over libp2p's interface for muxers. libp2p's own wrapper leaves yamux's limit for receive windows at 1 GiB a
//! connection; here it is ours to set.

use futures::future::{Ready, ready};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use palimpsest_proto::params::LARGE_PACKET_BYTES;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use yamux::{Config, Connection, ConnectionError, DEFAULT_CREDIT, Mode, Stream};

/// Streams that may be open at once on a connection, whoever opened them; with one more the connection ends. Of two honest
/// nodes each needs some fifteen: one link, four table exchanges, eight walks, ping, identify.
pub(super) const STREAMS_MAX: usize = 64;
/// What streams that are read as fast as they come may be sent ahead of our reading, above the 256 KiB (`DEFAULT_CREDIT`)
/// that yamux grants to each: some thirty large packets more for the one link that needs it on a long fast line.
const GROWTH_BYTES: usize = 2 << 20;
/// What a peer may make us hold on one connection: 18 MiB.
const CONNECTION_BYTES: usize = STREAMS_MAX * DEFAULT_CREDIT as usize + GROWTH_BYTES;

/// Bytes of a frame that we send, at most: a large packet in one piece and not in five, each of which would be encrypted, written
/// and woken up for by itself. Small packets behind it wait for 64 KiB, not longer than for the large one itself.
const FRAME_BYTES: usize = LARGE_PACKET_BYTES + 1;

/// The upgrade of an authenticated connection to a [`Muxer`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Yamux;

fn config() -> Config {
    let mut config = Config::default();
    // In this order: yamux asserts at each step that the window suffices for the streams.
    config.set_max_num_streams(STREAMS_MAX).set_max_connection_receive_window(Some(CONNECTION_BYTES));
    config.set_split_send_size(FRAME_BYTES);
    config
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = std::iter::Once<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        std::iter::once("/yamux/1.0.0")
    }
}

impl<C: futures::AsyncRead + futures::AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<C>, Infallible>>;

    fn upgrade_inbound(self, io: C, _: &'static str) -> Self::Future {
        ready(Ok(Muxer::new(io, Mode::Server)))
    }
}

impl<C: futures::AsyncRead + futures::AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Yamux {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Muxer<C>, Infallible>>;

    fn upgrade_outbound(self, io: C, _: &'static str) -> Self::Future {
        ready(Ok(Muxer::new(io, Mode::Client)))
    }
}

/// A connection's streams.
pub(super) struct Muxer<C> {
    connection: Connection<C>,
    /// Streams of the peer's that came while the connection was driven for others. Yamux bounds their number.
    arrived: VecDeque<Stream>,
    /// Who waits for such a stream.
    waker: Option<Waker>,
}

impl<C: futures::AsyncRead + futures::AsyncWrite + Unpin> Muxer<C> {
    fn new(io: C, mode: Mode) -> Muxer<C> {
        Muxer { connection: Connection::new(io, config(), mode), arrived: VecDeque::new(), waker: None }
    }

    /// Drives the whole connection until the peer opens a stream.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        Poll::Ready(ready!(self.connection.poll_next_inbound(cx)).unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<C: futures::AsyncRead + futures::AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = ConnectionError;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let polled = self.poll_next(cx);
        if polled.is_pending() {
            self.waker = Some(cx.waker().clone());
        }
        polled
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        self.connection.poll_new_outbound(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        self.connection.poll_close(cx)
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        let stream = ready!(self.poll_next(cx))?;
        self.arrived.push_back(stream);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        // There may be more: again, after whoever waits for this one.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
