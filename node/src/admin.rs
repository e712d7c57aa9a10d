//! The admin socket: a unix socket in the data folder that only the node's user may open. One line in (`status`,
//! `scrub`), one JSON object out. It tells totals only.

use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The socket's name in the data folder.
const SOCKET: &str = "admin.sock";
/// Bytes of a question at most.
const QUESTION_BYTES_MAX: u64 = 64;
/// Bytes of an answer at most.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Connections served at once.
const CONNECTIONS_MAX: usize = 16;
/// How long one connection may take.
const CONNECTION_DEADLINE: Duration = Duration::from_secs(5);

/// Why a node did not answer.
#[derive(Debug, Error)]
pub enum AdminError {
    /// No node answers on the folder's socket.
    #[error("no node answers at {}: {source} (is `pald run` running on this folder?)", path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The node did not answer in time.
    #[error("the node did not answer within {} s", .0.as_secs_f64())]
    Deadline(Duration),
    /// What it said is no JSON.
    #[error("the node's answer is not readable: {0}")]
    Answer(#[source] serde_json::Error),
}

/// The status of the node that runs on `data_dir`.
pub async fn status(data_dir: &Path, deadline: Duration) -> Result<Value, AdminError> {
    ask(data_dir, "status", deadline).await
}

/// Asks the node that runs on `data_dir` for anything.
pub async fn ask(data_dir: &Path, question: &str, deadline: Duration) -> Result<Value, AdminError> {
    let path = data_dir.join(SOCKET);
    let talk = async {
        let mut stream = UnixStream::connect(&path).await?;
        stream.write_all(question.as_bytes()).await?;
        stream.write_all(b"\n").await?;
        let mut text = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut text).await?;
        Ok(text)
    };
    let text = tokio::time::timeout(deadline, talk)
        .await
        .map_err(|_| AdminError::Deadline(deadline))?
        .map_err(|source| AdminError::NotRunning { path: path.clone(), source })?;
    serde_json::from_slice(&text).map_err(AdminError::Answer)
}

/// Opens the socket. A socket file that a killed node left behind is replaced: the store's lock says that none runs.
pub(crate) fn listen(data_dir: &Path) -> io::Result<UnixListener> {
    let path = data_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    UnixListener::bind(path)
}

/// Answers questions until `stop`, then removes the socket. `know` has no answer to a question that it does not know.
pub(crate) async fn serve(
    listener: UnixListener,
    data_dir: PathBuf,
    know: impl Fn(&str) -> Option<Value> + Send + Sync + 'static,
    stop: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let know = Arc::new(know);
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let Ok((stream, _)) = accepted else { continue };
        // Over the limit: closed at once.
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let know = know.clone();
        tokio::spawn(async move {
            let _ = tokio::time::timeout(CONNECTION_DEADLINE, answer(stream, &*know)).await;
            drop(permit);
        });
    }
    let _ = std::fs::remove_file(data_dir.join(SOCKET));
}

async fn answer(mut stream: UnixStream, know: &(impl Fn(&str) -> Option<Value> + Send + Sync)) -> io::Result<()> {
    let mut question = Vec::new();
    let (reader, mut writer) = stream.split();
    let mut reader = reader.take(QUESTION_BYTES_MAX);
    while !question.ends_with(b"\n") {
        if reader.read_buf(&mut question).await? == 0 {
            break;
        }
    }
    let question = question.strip_suffix(b"\n").and_then(|line| std::str::from_utf8(line).ok());
    let text = match question.and_then(know) {
        Some(answer) => answer.to_string(),
        None => r#"{"error":"unknown question; ask `status`"}"#.to_owned(),
    };
    writer.write_all(text.as_bytes()).await?;
    writer.shutdown().await
}
