//! The way from a file to stripes, on a thread of its own: read, cut (FastCDC), pack, seal, code. At most
//! [`STRIPES_WAITING_MAX`] finished stripes wait for the network; then the thread waits too, so memory stays bounded
//! whatever the file's size.

use crate::cpu;
use crate::error::Error;
use bytes::Bytes;
use fastcdc::v2020::{Normalization, StreamCDC};
use palimpsest_proto::coding::{Stripe, Survive};
use palimpsest_proto::content::{ConvergenceSecret, Encoder, EncoderStats, Finished};
use palimpsest_proto::params::{CHUNK_BYTES_AVG, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;

/// Stripes (13 MiB each at `--survive 50%`) that wait for the network.
const STRIPES_WAITING_MAX: usize = 1;

/// What is published.
#[derive(Clone, Debug)]
pub enum Source {
    /// A regular file.
    Path(PathBuf),
    /// Standard input, to its end.
    Stdin,
    /// Bytes in memory.
    Bytes(Bytes),
}

/// What comes out of the cutting, in order.
pub(crate) enum Cut {
    /// A stripe to place.
    Stripe(Box<Stripe>),
    /// The end: what the link will say, and the processor time that the cutting took.
    Finished(Box<Finished>, EncoderStats, Duration),
    /// The source failed.
    Failed(Error),
}

impl Source {
    /// How many bytes there are, where that can be known beforehand.
    pub(crate) fn size(&self) -> Result<Option<u64>, Error> {
        match self {
            Source::Stdin => Ok(None),
            Source::Bytes(bytes) => Ok(Some(bytes.len() as u64)),
            Source::Path(path) => {
                let data = std::fs::metadata(path).map_err(disk(path))?;
                if data.is_dir() {
                    let message = format!("{} is a folder; publish an archive of it", path.display());
                    return Err(Error::Usage(message));
                }
                Ok(data.is_file().then_some(data.len()))
            }
        }
    }

    /// The content of a source that is known to have at most `most` bytes.
    pub(crate) fn read_whole(&self, most: usize) -> Result<Bytes, Error> {
        let mut content = Vec::new();
        let read = self.open()?.take(most as u64 + 1).read_to_end(&mut content);
        read.map_err(disk(&self.path()))?;
        if content.len() > most {
            return Err(Error::SourceChanged { path: self.path() });
        }
        Ok(content.into())
    }

    fn open(&self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(match self {
            Source::Stdin => Box::new(io::stdin()),
            Source::Bytes(bytes) => Box::new(Cursor::new(bytes.clone())),
            Source::Path(path) => Box::new(File::open(path).map_err(disk(path))?),
        })
    }

    /// The name that errors give the source, and that tells its journal from others.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Source::Path(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()),
            Source::Stdin | Source::Bytes(_) => PathBuf::from("the input"),
        }
    }
}

fn disk(path: &std::path::Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Disk { path, doing: "read", source }
}

/// Starts the cutting. The thread ends when the source does, or when the receiver is dropped.
pub(crate) fn start(source: Source, secret: ConvergenceSecret, survive: Survive) -> Result<mpsc::Receiver<Cut>, Error> {
    let size = source.size()?;
    let reader = source.open()?;
    let (sender, receiver) = mpsc::channel(STRIPES_WAITING_MAX);
    tokio::task::spawn_blocking(move || {
        // The thread's waiting for the network does not count.
        let (cut, took) = cpu::timed(|| cut(&source, reader, secret, survive, size, &sender));
        let last = match cut {
            Ok(Some((finished, stats))) => Cut::Finished(Box::new(finished), stats, took),
            Ok(None) => return,
            Err(error) => Cut::Failed(error),
        };
        let _ = sender.blocking_send(last);
    });
    Ok(receiver)
}

/// `None` when nobody wants the rest.
fn cut(
    source: &Source,
    reader: Box<dyn Read + Send>,
    secret: ConvergenceSecret,
    survive: Survive,
    size: Option<u64>,
    sender: &mpsc::Sender<Cut>,
) -> Result<Option<(Finished, EncoderStats)>, Error> {
    let seed = secret.gear_seed();
    let mut encoder = Encoder::new(secret, survive, size);
    let chunks = StreamCDC::with_level_and_seed(
        reader,
        CHUNK_BYTES_MIN,
        CHUNK_BYTES_AVG,
        CHUNK_BYTES_MAX,
        Normalization::Level1,
        seed,
    );
    let content = |e| Error::Usage(format!("cannot publish: {e}"));
    let mut read = 0;
    for chunk in chunks {
        let chunk = chunk.map_err(|e| disk(&source.path())(e.into()))?;
        read += chunk.length as u64;
        if size.is_some_and(|size| read > size) {
            return Err(Error::SourceChanged { path: source.path() });
        }
        encoder.push(&chunk.data).map_err(content)?;
        if !hand_over(&mut encoder, sender) {
            return Ok(None);
        }
    }
    if size.is_some_and(|size| read != size) {
        return Err(Error::SourceChanged { path: source.path() });
    }
    let finished = encoder.finish().map_err(content)?;
    Ok(hand_over(&mut encoder, sender).then(|| (finished, encoder.stats())))
}

fn hand_over(encoder: &mut Encoder, sender: &mpsc::Sender<Cut>) -> bool {
    while let Some(stripe) = encoder.take_stripe() {
        if sender.blocking_send(Cut::Stripe(Box::new(stripe))).is_err() {
            return false;
        }
    }
    true
}
