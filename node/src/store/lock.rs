//! One process per folder.

use super::error::{Doing, StoreError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::path::Path;

/// Holds the folder for this process until dropped; the kernel lets go of it when the process dies in any way.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough while a child of this process, forked just now, has the handle too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Lock {
    /// Takes the lock, or says at once that another has it.
    pub(super) fn take(dir: &Path) -> Result<Lock, StoreError> {
        let path = dir.join("lock");
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(path).doing("locking the folder")?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(Errno::WOULDBLOCK) => Err(StoreError::Locked { dir: dir.to_owned() }),
            Err(error) => Err(StoreError::from_io("locking the folder", &error.into())),
        }
    }
}
