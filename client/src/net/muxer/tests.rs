use super::{GROWTH_BYTES, Muxer};
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::StreamMuxerExt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::io::DuplexStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use yamux::{DEFAULT_CREDIT, Mode};

/// Bytes in the pipe each way.
const PIPE_BYTES: usize = 64 * 1024;
/// How long each answer takes back to the sender: its window grows as on a long line.
const WAY_BACK: Duration = Duration::from_millis(20);
/// Bytes that are read: without a limit, the window would be ten times the limit by then.
const READ_BYTES: usize = 64 << 20;
/// Without progress for so long, the sender is taken to be stuck.
const STUCK: Duration = Duration::from_millis(300);

/// Both ends of a pipe whose way from the first end to the second is slow.
fn pipe() -> (Compat<DuplexStream>, Compat<DuplexStream>) {
    let (here, middle_here) = tokio::io::duplex(PIPE_BYTES);
    let (there, middle_there) = tokio::io::duplex(PIPE_BYTES);
    let (mut from_here, mut to_here) = tokio::io::split(middle_here);
    let (mut from_there, mut to_there) = tokio::io::split(middle_there);
    tokio::spawn(async move { tokio::io::copy(&mut from_there, &mut to_here).await });
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut bytes = vec![0; PIPE_BYTES];
        while let Ok(read @ 1..) = from_here.read(&mut bytes).await {
            tokio::time::sleep(WAY_BACK).await;
            if to_there.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    });
    (here.compat(), there.compat())
}

fn drive(mut muxer: Muxer<Compat<DuplexStream>>) {
    tokio::spawn(async move {
        poll_fn(|cx| match muxer.poll_unpin(cx) {
            Poll::Ready(Err(_)) => Poll::Ready(()),
            _ => Poll::Pending,
        })
        .await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_gets_no_further_ahead_than_the_limit() {
    let (here, there) = pipe();
    let (mut reader, mut writer) = (Muxer::new(here, Mode::Server), Muxer::new(there, Mode::Client));
    let mut out = poll_fn(|cx| writer.poll_outbound_unpin(cx)).await.unwrap();
    drive(writer);
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    tokio::spawn(async move {
        let block = vec![7; 16 * 1024];
        while let Ok(bytes) = out.write(&block).await {
            count.fetch_add(bytes, Ordering::SeqCst);
        }
    });
    let mut stream = poll_fn(|cx| reader.poll_inbound_unpin(cx)).await.unwrap();
    drive(reader);
    let mut read = 0;
    let mut block = vec![0; 256 * 1024];
    while read < READ_BYTES {
        read += stream.read(&mut block).await.unwrap();
    }
    let mut before = usize::MAX;
    while written.load(Ordering::SeqCst) != before {
        before = written.load(Ordering::SeqCst);
        tokio::time::sleep(STUCK).await;
    }
    let ahead = before - read;
    assert!(ahead <= DEFAULT_CREDIT as usize + GROWTH_BYTES, "{ahead}");
}
