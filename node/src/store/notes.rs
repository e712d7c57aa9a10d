//! Two small files that a store keeps for its next start: that it ended well, and what time it was.

use super::error::{Doing, StoreError};
use palimpsest_client::keyring::replace_file;
use palimpsest_proto::crypto;
use palimpsest_proto::time::Timestamp;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// There while the store is closed, if its index was written in full.
const CLEAN_FILE: &str = "clean";
/// The store's time when it was last kept.
const TIME_FILE: &str = "time";

/// Whether the store was closed well. The note is gone from then on, also after power loss: it is a file and no entry
/// of the index, since the index's own writes may come late or never.
pub(super) fn take_clean(dir: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(dir.join(CLEAN_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        removed => removed.doing("opening the store")?,
    }
    File::open(dir).and_then(|dir| dir.sync_all()).doing("opening the store")?;
    Ok(true)
}

/// Notes that the store was closed well. If that fails, the next start takes longer.
pub(super) fn leave_clean(dir: &Path) {
    let _ = File::create(dir.join(CLEAN_FILE));
}

/// The time that was kept last.
pub(super) fn kept_time(dir: &Path) -> Option<Timestamp> {
    read(&dir.join(TIME_FILE)).map(Timestamp)
}

/// Keeps the time. If that fails, an older one is kept.
pub(super) fn keep_time(dir: &Path, time: Timestamp) {
    let _ = write(&dir.join(TIME_FILE), time.0);
}

fn write(path: &Path, value: u64) -> io::Result<()> {
    let value = value.to_le_bytes();
    replace_file(path, &[&value[..], &crypto::hash(&value)[..8]].concat())
}

fn read(path: &Path) -> Option<u64> {
    let bytes = fs::read(path).ok()?;
    let (value, check) = bytes.split_first_chunk::<8>()?;
    (check == &crypto::hash(value)[..8]).then(|| u64::from_le_bytes(*value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_taken_once_and_a_damaged_time_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(take_clean(dir.path()), Ok(false));
        leave_clean(dir.path());
        assert_eq!(take_clean(dir.path()), Ok(true));
        assert_eq!(take_clean(dir.path()), Ok(false));
        assert_eq!(kept_time(dir.path()), None);
        keep_time(dir.path(), Timestamp(5));
        assert_eq!(kept_time(dir.path()), Some(Timestamp(5)));
        for damaged in [&b""[..], &[1; 8], &[0; 16], &[9; 17]] {
            fs::write(dir.path().join(TIME_FILE), damaged).unwrap();
            assert_eq!(kept_time(dir.path()), None);
        }
    }
}
