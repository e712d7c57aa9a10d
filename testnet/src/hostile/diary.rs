//! What a node in a process of its own saw, written down in its own folder: a JSON object a line. All nodes of a network have the
//! machine's clock.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use palimpsest_node::config::Onlooker;
use palimpsest_node::hostile::Mark;
use palimpsest_proto::ids::{Locator, NodeId, RecordAddress};
use palimpsest_proto::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::hex::Hex;
use crate::anonymity::sights::{SIGHTS_MAX, Seen, Wanted, What};

/// Its name in the node's folder.
pub const DIARY_FILE: &str = "diary";
/// Bytes of one that is read at most: as many lines as are written.
const DIARY_BYTES_MAX: u64 = 300 * SIGHTS_MAX as u64;

/// A node's diary.
pub struct Diary;

/// Why a diary cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DiaryError {
    /// The file.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A line of it.
    #[error("line {line} of {}: {source}", path.display())]
    Line {
        /// Of which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// One line.
#[derive(Serialize, Deserialize)]
struct Line {
    /// Since 1970.
    at_ns: u64,
    saw: Saw,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Saw {
    Passed { from: Hex, next: Hex, came: u64, left: u64 },
    Stored { from: Hex, came: u64, locator: Hex, until_s: u64 },
    Fetched { from: Hex, came: u64, locator: Hex },
    PutRecord { from: Hex, came: u64, address: Hex },
    GotRecord { from: Hex, came: u64, address: Hex },
    Asked { from: Hex, came: u64 },
    Answered { to: Hex, came: u64, left: u64 },
}

impl Diary {
    /// Begins one in this folder, or goes on with it; who writes it is to look on at the node.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn begin(dir: &Path) -> io::Result<Onlooker> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(dir.join(DIARY_FILE))?;
        let pages = Mutex::new((file, 0_usize));
        Ok(Onlooker(Arc::new(move |sight| {
            let at_ns = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
            let line = Line { at_ns: u64::try_from(at_ns).unwrap_or(u64::MAX), saw: What::from(sight).into() };
            let Ok(mut text) = serde_json::to_vec(&line) else { return };
            text.push(b'\n');
            let (file, lines) = &mut *pages.lock().unwrap_or_else(PoisonError::into_inner);
            // At once and in one piece: the node may be killed at any moment. A full disk ends the diary, not the node.
            if *lines < SIGHTS_MAX && file.write_all(&text).is_ok() {
                *lines += 1;
            }
        })))
    }

    /// What the node with this number saw, whose folder this is; nothing, if it wrote nothing. A last line that was not finished
    /// is left out: the node was killed. Times are since 1970.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is none of ours.
    pub fn read(dir: &Path, node: usize) -> Result<Vec<Seen>, DiaryError> {
        let path = dir.join(DIARY_FILE);
        let failed = |source| DiaryError::File { path: path.clone(), source };
        let mut file = match File::open(&path) {
            Ok(file) => BufReader::new(file.take(DIARY_BYTES_MAX)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let (mut seen, mut text) = (Vec::new(), Vec::new());
        while file.read_until(b'\n', &mut text).map_err(failed)? > 0 && text.ends_with(b"\n") {
            let line: Line = serde_json::from_slice(&text).map_err(|source| DiaryError::Line {
                path: path.clone(),
                line: seen.len() + 1,
                source,
            })?;
            seen.push(Seen { node, at: Duration::from_nanos(line.at_ns), what: line.saw.into() });
            text.clear();
        }
        Ok(seen)
    }

    /// What the nodes with these folders saw, in order; they are numbered from 0.
    ///
    /// # Errors
    /// As of [`Diary::read`].
    pub fn read_all(folders: impl Iterator<Item = PathBuf>) -> Result<Vec<Seen>, DiaryError> {
        let mut seen = Vec::new();
        for (node, folder) in folders.enumerate() {
            seen.extend(Self::read(&folder, node)?);
        }
        seen.sort_by_key(|one| one.at);
        Ok(seen)
    }
}

impl From<What> for Saw {
    fn from(what: What) -> Saw {
        match what {
            What::Passed { from, next, came, left } => {
                Saw::Passed { from: Hex(from.0), next: Hex(next.0), came: came.0, left: left.0 }
            }
            What::Asked { from, came, wanted } => {
                let (from, came) = (Hex(from.0), came.0);
                match wanted {
                    Wanted::Store(locator, until) => {
                        Saw::Stored { from, came, locator: Hex(locator.0), until_s: until.0 }
                    }
                    Wanted::Fetch(locator) => Saw::Fetched { from, came, locator: Hex(locator.0) },
                    Wanted::PutRecord(address) => Saw::PutRecord { from, came, address: Hex(address.0) },
                    Wanted::GetRecord(address) => Saw::GotRecord { from, came, address: Hex(address.0) },
                    Wanted::Other => Saw::Asked { from, came },
                }
            }
            What::Answered { to, came, left } => Saw::Answered { to: Hex(to.0), came: came.0, left: left.0 },
        }
    }
}

impl From<Saw> for What {
    fn from(saw: Saw) -> What {
        let asked = |from: Hex, came, wanted| What::Asked { from: NodeId(from.0), came: Mark(came), wanted };
        match saw {
            Saw::Passed { from, next, came, left } => {
                What::Passed { from: NodeId(from.0), next: NodeId(next.0), came: Mark(came), left: Mark(left) }
            }
            Saw::Stored { from, came, locator, until_s } => {
                asked(from, came, Wanted::Store(Locator(locator.0), Timestamp(until_s)))
            }
            Saw::Fetched { from, came, locator } => asked(from, came, Wanted::Fetch(Locator(locator.0))),
            Saw::PutRecord { from, came, address } => asked(from, came, Wanted::PutRecord(RecordAddress(address.0))),
            Saw::GotRecord { from, came, address } => asked(from, came, Wanted::GetRecord(RecordAddress(address.0))),
            Saw::Asked { from, came } => asked(from, came, Wanted::Other),
            Saw::Answered { to, came, left } => What::Answered { to: NodeId(to.0), came: Mark(came), left: Mark(left) },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use palimpsest_node::hostile::{Mark, Sight, Way};
    use palimpsest_proto::ids::{Locator, NodeId, RecordAddress};
    use palimpsest_proto::message::Ask;
    use palimpsest_proto::onion::Size;

    use super::{DIARY_FILE, Diary, DiaryError, Wanted, What};

    #[test]
    fn what_was_seen_is_read_again_but_for_half_a_line() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Diary::read(dir.path(), 3).unwrap().is_empty());
        let [one, other] = [1, 2].map(|byte| NodeId([byte; 32]));
        let (onlooker, locator) = (Diary::begin(dir.path()).unwrap(), Locator([3; 32]));
        let way = Way { from: one, next: other };
        onlooker.0(Sight::Passed { way, size: Size::Small, came: Mark(u64::MAX), left: Mark(2) });
        onlooker.0(Sight::Asked { from: one, came: Mark(3), ask: Ask::Fetch { locator } });
        // Started again, it goes on.
        let onlooker = Diary::begin(dir.path()).unwrap();
        onlooker.0(Sight::Answered { came: Mark(3), to: other, size: Size::Large, left: Mark(4) });
        let address = RecordAddress([4; 32]);
        onlooker.0(Sight::Asked { from: one, came: Mark(5), ask: Ask::GetRecord { address } });
        let path = dir.path().join(DIARY_FILE);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"at_ns\":").unwrap();
        let seen = Diary::read(dir.path(), 3).unwrap();
        assert!(seen.iter().all(|one| one.node == 3) && seen.is_sorted_by_key(|one| one.at));
        let what: Vec<What> = seen.into_iter().map(|one| one.what).collect();
        assert_eq!(
            what,
            [
                What::Passed { from: one, next: other, came: Mark(u64::MAX), left: Mark(2) },
                What::Asked { from: one, came: Mark(3), wanted: Wanted::Fetch(locator) },
                What::Answered { to: other, came: Mark(3), left: Mark(4) },
                What::Asked { from: one, came: Mark(5), wanted: Wanted::GetRecord(address) },
            ]
        );
        file.write_all(b"\n").unwrap();
        assert!(matches!(Diary::read(dir.path(), 3), Err(DiaryError::Line { line: 5, .. })));
    }
}
