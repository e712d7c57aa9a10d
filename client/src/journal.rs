//! The publish journal: which shards of an unfinished publish have found a holder, so that running it again re-sends
//! nothing. One file per publish in the user's own data folder, removed when the publish is done. Locators are written as
//! keyed tags: the file alone does not tell what was published.

use crate::keyring::private_folder;
use palimpsest_proto::content::ConvergenceSecret;
use palimpsest_proto::ids::{Locator, NodeId};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of an entry: 16 of the tag, 32 of the holder.
const ENTRY_BYTES: usize = 48;
/// Entries read back at most (some 100 GiB of content); more are placed anew.
const ENTRIES_MAX: usize = 1 << 23;
/// A receipt is believed for so long after the journal's last entry: later its holder may be gone, and its lease shorter
/// than what is asked now.
const TRUSTED_FOR: Duration = Duration::from_secs(86_400);
/// Entries gathered before they are written.
const BATCH: usize = 64;

/// See the module's description.
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    known: HashMap<[u8; 16], NodeId>,
    batch: Vec<u8>,
}

impl Journal {
    /// The journal of the publish that `what` names (path, size, target: whatever tells two publishes apart).
    pub(crate) fn open(folder: &Path, secret: &ConvergenceSecret, what: &[u8]) -> io::Result<Journal> {
        private_folder(folder)?;
        let name: String = secret.journal_tag(what)[..16].iter().map(|b| format!("{b:02x}")).collect();
        let path = folder.join(name);
        let mut known = HashMap::new();
        let fresh = |file: &File| Some(file.metadata().ok()?.modified().ok()?.elapsed().ok()? < TRUSTED_FOR);
        if let Ok(file) = File::open(&path)
            && fresh(&file) != Some(true)
        {
            fs::remove_file(&path)?;
        } else if let Ok(file) = File::open(&path) {
            let mut reader = BufReader::new(file);
            let mut entry = [0; ENTRY_BYTES];
            // A torn last entry ends the reading; what it stood for is placed again.
            while known.len() < ENTRIES_MAX && reader.read_exact(&mut entry).is_ok() {
                let (tag, holder) = entry.split_at(16);
                if let (Ok(tag), Ok(holder)) = (tag.try_into(), holder.try_into()) {
                    known.insert(tag, NodeId(holder));
                }
            }
        }
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&path)?;
        let len = file.metadata()?.len();
        file.set_len(len - len % ENTRY_BYTES as u64)?;
        Ok(Journal { path, file, known, batch: Vec::with_capacity(BATCH * ENTRY_BYTES) })
    }

    /// Who acknowledged the shard in an earlier run.
    pub(crate) fn holder(&self, secret: &ConvergenceSecret, locator: &Locator) -> Option<NodeId> {
        if self.known.is_empty() {
            return None;
        }
        self.known.get(&tag(secret, locator)).copied()
    }

    /// Notes that `holder` acknowledged the shard.
    pub(crate) fn note(&mut self, secret: &ConvergenceSecret, locator: &Locator, holder: NodeId) -> io::Result<()> {
        self.batch.extend_from_slice(&tag(secret, locator));
        self.batch.extend_from_slice(&holder.0);
        if self.batch.len() >= BATCH * ENTRY_BYTES { self.flush() } else { Ok(()) }
    }

    /// Writes what was gathered. Not synced: a lost tail costs sending those shards again, nothing else.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(&self.batch)?;
        self.batch.clear();
        Ok(())
    }

    /// The publish is done: forgets it.
    pub(crate) fn remove(mut self) -> io::Result<()> {
        self.batch.clear();
        fs::remove_file(&self.path)
    }
}

/// Sixteen bytes are enough to tell a user's shards apart.
fn tag(secret: &ConvergenceSecret, locator: &Locator) -> [u8; 16] {
    let whole = secret.journal_tag(&locator.0);
    std::array::from_fn(|i| whole[i])
}

impl Drop for Journal {
    /// An interrupted publish keeps what it has.
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_known_after_an_interruption_and_gone_after_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let secret = ConvergenceSecret::random(&mut rand::rng());
        let open = || Journal::open(dir.path(), &secret, b"this publish").unwrap();
        let mut journal = open();
        for i in 0..100 {
            journal.note(&secret, &Locator([i; 32]), NodeId([i ^ 0x80; 32])).unwrap();
        }
        drop(journal);
        // A torn entry at the end.
        let path = fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[1; 20]).unwrap();
        let mut journal = open();
        for i in 0..100 {
            assert_eq!(journal.holder(&secret, &Locator([i; 32])), Some(NodeId([i ^ 0x80; 32])));
        }
        assert_eq!(journal.holder(&secret, &Locator([200; 32])), None);
        journal.note(&secret, &Locator([200; 32]), NodeId([1; 32])).unwrap();
        drop(journal);
        let journal = open();
        assert_eq!(journal.holder(&secret, &Locator([200; 32])), Some(NodeId([1; 32])));
        journal.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
