//! Asks a running node how it is, over the unix socket in its data folder: one line there, one JSON object back.
//!
//! The only place that knows the way; everything else here calls [`status`].

use std::io;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Name of the socket in the data folder.
const SOCKET: &str = "admin.sock";
/// Bytes of an answer at most: a status is about one kilobyte.
const ANSWER_BYTES_MAX: u64 = 256 * 1024;

/// A node's own account of itself.
///
/// # Errors
/// No socket, no answer within the deadline ([`io::ErrorKind::TimedOut`]), or one that is too long or no JSON.
pub(super) async fn status(data_dir: &Path, deadline: Duration) -> io::Result<Value> {
    tokio::time::timeout(deadline, ask(&data_dir.join(SOCKET)))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn ask(socket: &Path) -> io::Result<Value> {
    let mut stream = UnixStream::connect(socket).await?;
    stream.write_all(b"status\n").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX + 1).read_to_end(&mut answer).await?;
    if answer.len() as u64 > ANSWER_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
    }
    serde_json::from_slice(&answer).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::{ANSWER_BYTES_MAX, SOCKET, status};

    const DEADLINE: Duration = Duration::from_secs(5);

    /// A node that answers once with these bytes.
    fn node(answer: Vec<u8>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut line = [0; 7];
            stream.read_exact(&mut line).await.unwrap();
            assert_eq!(&line, b"status\n");
            let _cut_short = stream.write_all(&answer).await;
        });
        dir
    }

    #[tokio::test]
    async fn the_answer_is_read_to_its_end() {
        let dir = node(br#"{"known_nodes": 40}"#.to_vec());
        assert_eq!(status(dir.path(), DEADLINE).await.unwrap()["known_nodes"], 40);
    }

    #[tokio::test]
    async fn refused_are_garbage_flood_and_nothing() {
        let dir = node(b"{oops".to_vec());
        assert!(status(dir.path(), DEADLINE).await.is_err());
        let dir = node(vec![b' '; usize::try_from(ANSWER_BYTES_MAX).unwrap() + 1]);
        assert_eq!(status(dir.path(), DEADLINE).await.unwrap_err().kind(), ErrorKind::InvalidData);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(status(dir.path(), DEADLINE).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn silence_ends_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let _silent = UnixListener::bind(dir.path().join(SOCKET)).unwrap();
        let error = status(dir.path(), Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
