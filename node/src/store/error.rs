//! What can go wrong with a store. No error names a shard or a record.

use rustix::io::Errno;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why the store did not do what was asked. What was acknowledged before stays, and reads go on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Another process has the folder open.
    #[error("{} is in use by another process", dir.display())]
    Locked {
        /// The store's folder.
        dir: PathBuf,
    },
    /// The folder, or the disk under it, may only be read.
    #[error("the store may not be written: its disk is mounted read-only, or the permissions forbid it")]
    ReadOnly,
    /// The quota has no room for an index, one file of shards and one of records.
    #[error("a quota of {quota_bytes} bytes is too small: give at least {least_bytes}")]
    QuotaTooSmall {
        /// What was given, in bytes.
        quota_bytes: u64,
        /// What is needed, in bytes.
        least_bytes: u64,
    },
    /// All that the quota allows is in use, and nothing stored has expired.
    #[error("the quota is reached")]
    QuotaReached,
    /// The disk is full, though the quota is not.
    #[error("the disk is full")]
    DiskFull,
    /// The disk did not keep up before the deadline. What was to be stored may yet become so.
    #[error("the disk is busy; try again later")]
    Busy,
    /// The disk failed.
    #[error("the disk failed at {doing}: {kind}")]
    Disk {
        /// What was done at the time.
        doing: &'static str,
        /// How it failed.
        kind: io::ErrorKind,
    },
    /// A slot file was written by a newer version of the program, or by one too old. Nothing was changed.
    #[error("the store has files of format {0}, which this version does not know: use a newer one")]
    Version(u8),
    /// A record is over [`RECORD_BYTES_MAX`](palimpsest_proto::params::RECORD_BYTES_MAX).
    #[error("a record of {0} bytes is too long")]
    RecordTooLong(usize),
    /// The index broke just now, and is being made anew from the slot files.
    #[error("the index is being rebuilt; try again")]
    Index,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// What `error` while `doing` something means to the store.
    pub(super) fn from_io(doing: &'static str, error: &io::Error) -> StoreError {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => StoreError::DiskFull,
            Some(Errno::ROFS | Errno::ACCESS | Errno::PERM) => StoreError::ReadOnly,
            _ => StoreError::Disk { doing, kind: error.kind() },
        }
    }
}

/// Turns an I/O error into ours, with what was being done.
pub(super) trait Doing<T> {
    /// `self`, where an error says that it happened while `doing` something.
    fn doing(self, doing: &'static str) -> Result<T, StoreError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::from_io(doing, &error))
    }
}
