//! Reads packets from one stream that a peer opened, one after the other, and hands each to the handler. Sequential on
//! purpose: while the handler works, the peer's stream waits, and the muxer's window tells the peer so.

use super::Shared;
use super::links::{CLASS_LARGE, CLASS_SMALL};
use futures::io::BufReader;
use futures::{AsyncRead, AsyncReadExt};
use libp2p::Stream;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::{Packet, Size};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A stream without a packet for so long is closed: longer than writers keep an idle link, so that they close first.
const IDLE: Duration = Duration::from_secs(900);
/// A packet whose first byte came must be here after this long.
const PACKET_DEADLINE: Duration = Duration::from_secs(30);
/// What is read ahead: some small packets; large ones are read into their own buffer.
const BUFFER_BYTES: usize = 8 * 1024;
/// Packets handled between two chances for other tasks on this thread: a few milliseconds of onion work.
const PACKETS_AT_ONCE: u64 = 8;

/// Why a stream ended.
enum Ended {
    /// The peer closed or lost it, or it was idle.
    Quietly,
    /// The peer wrote what no one may write.
    Violation,
}

/// Reads until the stream's end.
pub(super) async fn run(shared: Arc<Shared>, from: NodeId, stream: Stream) {
    let read = read(&shared, from, BufReader::with_capacity(BUFFER_BYTES, stream));
    if let Some(Ended::Violation) = shared.cancel.run_until_cancelled(read).await {
        shared.counters.violations.add_one();
    }
}

async fn read(shared: &Shared, from: NodeId, mut stream: impl AsyncRead + Unpin) -> Ended {
    for handled in 1u64.. {
        let mut class = [0];
        match timeout(IDLE, stream.read_exact(&mut class)).await {
            Ok(Ok(())) => {}
            _ => return Ended::Quietly,
        }
        let size = match class[0] {
            CLASS_SMALL => Size::Small,
            CLASS_LARGE => Size::Large,
            _ => return Ended::Violation,
        };
        let packet = match rest(&mut stream, size, PACKET_DEADLINE).await {
            Ok(packet) => packet,
            Err(ended) => return ended,
        };
        shared.counters.packets_in.add_one();
        shared.counters.bytes_in.add(size.packet_bytes() as u64);
        shared.handler.on_packet(from, packet);
        if handled % PACKETS_AT_ONCE == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ended::Quietly
}

/// The packet whose class was read; all of it must come within the deadline, however often a byte does.
async fn rest(stream: &mut (impl AsyncRead + Unpin), size: Size, deadline: Duration) -> Result<Packet, Ended> {
    let mut bytes = vec![0; size.packet_bytes()];
    match timeout(deadline, stream.read_exact(&mut bytes)).await {
        Ok(Ok(())) => Packet::parse(bytes).map_err(|_| Ended::Violation),
        _ => Err(Ended::Quietly),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;
    use futures::stream::{StreamExt, TryStreamExt};

    #[tokio::test]
    async fn a_packet_that_trickles_is_given_up_in_time() {
        const DEADLINE: Duration = Duration::from_millis(100);
        let mut whole = Cursor::new(vec![5; Size::Small.packet_bytes()]);
        assert!(rest(&mut whole, Size::Small, DEADLINE).await.is_ok());
        // A byte a millisecond, for ever: the deadline is the packet's, not the byte's.
        let trickle = futures::stream::repeat(()).then(|()| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok::<_, std::io::Error>([5])
        });
        let mut trickle = Box::pin(trickle).into_async_read();
        let given_up = rest(&mut trickle, Size::Large, DEADLINE);
        let given_up = timeout(Duration::from_secs(30), given_up).await.expect("given up long before");
        assert!(matches!(given_up, Err(Ended::Quietly)));
    }
}
