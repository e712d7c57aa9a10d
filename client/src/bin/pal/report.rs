//! What a command says, and to which stream: for people on standard error, or as JSON lines for programs.

use crate::advice::Verb;
use palimpsest_client::{Error, Snapshot};
use serde::Serialize;
use std::io::{self, Write};

/// The version of the JSON lines' schema; additions do not change it.
const SCHEMA: u32 = 1;

/// One of the two streams.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Err,
}

/// How a command speaks.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Report {
    /// The stream of the JSON lines, if they are wanted.
    pub(crate) json: Option<Stream>,
    /// Whether people want to hear of errors only.
    pub(crate) quiet: bool,
}

/// A failure, and what was being done.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) verb: Verb,
}

#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(rename = "type")]
    kind: &'a str,
    version: u32,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct StatusBody {
    phase: &'static str,
    bytes_done: u64,
    bytes_total: Option<u64>,
    shards_done: u64,
    shards_needed: Option<u64>,
    quiet_s: f64,
}

#[derive(Serialize)]
struct ErrorBody {
    kind: &'static str,
    exit_code: u8,
    message: String,
    advice: Option<String>,
}

impl Report {
    /// Gives the answer: `text` to standard output, or `body` as the JSON result.
    pub(crate) fn answer(&self, text: &str, body: impl Serialize) -> Result<(), Error> {
        let said = match self.json {
            Some(stream) => line(stream, "result", body),
            None => write(Stream::Out, text.as_bytes()),
        };
        said.map_err(|source| Error::Output { source })
    }

    /// Tells people how it went. Nobody to listen is no failure.
    pub(crate) fn summary(&self, text: &str) {
        if self.json.is_none() && !self.quiet {
            let _nobody_listens = write(Stream::Err, text.as_bytes());
        }
    }

    /// Tells programs how it went; for commands whose answer is a file's bytes.
    pub(crate) fn result(&self, body: impl Serialize) -> Result<(), Error> {
        match self.json {
            Some(stream) => line(stream, "result", body).map_err(|source| Error::Output { source }),
            None => Ok(()),
        }
    }

    /// Tells programs how far it is.
    pub(crate) fn status(stream: Stream, now: &Snapshot) {
        let body = StatusBody {
            phase: now.phase.name(),
            bytes_done: now.bytes_done,
            bytes_total: now.bytes_total,
            shards_done: now.shards_done,
            shards_needed: now.shards_needed,
            quiet_s: now.quiet_for.as_secs_f64(),
        };
        let _nobody_listens = line(stream, "status", body);
    }

    /// Says what failed, and what can be done about it.
    pub(crate) fn error(&self, failure: &Failure) {
        let kind = failure.error.kind();
        let message = failure.error.to_string();
        let advice = failure.verb.advice(&failure.error);
        let _nobody_listens = match self.json {
            Some(stream) => {
                let body = ErrorBody { kind: kind.name(), exit_code: kind.exit_code(), message, advice };
                line(stream, "error", body)
            }
            None => {
                let advice = advice.map(|advice| format!("help: {advice}\n")).unwrap_or_default();
                write(Stream::Err, format!("error: {}\n{advice}", message.trim_end()).as_bytes())
            }
        };
    }
}

/// One JSON object, its own line, at once.
fn line(stream: Stream, kind: &str, body: impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(&Line { kind, version: SCHEMA, body })?;
    bytes.push(b'\n');
    write(stream, &bytes)
}

/// Writes without the panic that `println!` keeps for a closed pipe.
fn write(stream: Stream, bytes: &[u8]) -> io::Result<()> {
    match stream {
        Stream::Out => {
            let mut out = io::stdout().lock();
            out.write_all(bytes)?;
            out.flush()
        }
        Stream::Err => io::stderr().lock().write_all(bytes),
    }
}
