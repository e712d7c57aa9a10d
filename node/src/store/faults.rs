//! Where tests let the disk fail: every access to a slot file asks here first. A node has none of it.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

/// What is about to be done to a slot file.
#[derive(Debug)]
pub enum Access<'a> {
    /// It is made.
    Create,
    /// Its space is reserved.
    Reserve,
    /// Bytes are written to it.
    Write {
        /// Its handle.
        file: &'a File,
        /// Where.
        offset: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// What was written to it is to last.
    Sync,
    /// The names of all files in its folder are to last. The path is the folder's.
    SyncDir,
    /// It is removed.
    Remove,
    /// Something is read from it.
    Read,
}

/// Decides which accesses fail, and may do to the file what failing disks do.
pub trait Faults: fmt::Debug + Send + Sync {
    /// Whether to go on with `access` to the file at `path`; an error takes the place of the access.
    fn check(&self, path: &Path, access: Access<'_>) -> io::Result<()>;
}
