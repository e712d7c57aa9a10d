//! Secrets on disk: thirty-two bytes in a file that only its owner may read, made on first use.

use palimpsest_proto::secret::Secret;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Makes a folder, and those above it, that only its owner may enter.
pub fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// The secret in the file at `path`; a fresh one is written, synced and returned where there is none.
///
/// # Errors
/// The file's own, and `InvalidData` where it is not exactly 32 bytes long: it is never overwritten.
pub fn load_or_create(path: &Path) -> io::Result<Secret> {
    load_or_make(path, || Secret::random(&mut rand::rng()))
}

/// The same for a secret that is not just any number: `make` makes it where there is none.
pub fn load_or_make(path: &Path, make: impl FnOnce() -> Secret) -> io::Result<Secret> {
    match File::open(path) {
        Ok(file) => read(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(path, make()),
        Err(e) => Err(e),
    }
}

fn read(mut file: File) -> io::Result<Secret> {
    let mut bytes = Zeroizing::new([0; 32]);
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a secret's file is not 32 bytes long");
    file.read_exact(bytes.as_mut_slice()).map_err(|_| wrong())?;
    if file.read(&mut [0])? != 0 {
        return Err(wrong());
    }
    Ok(Secret::new(*bytes))
}

fn create(path: &Path, secret: Secret) -> io::Result<Secret> {
    // Written aside and linked into place: another process that starts at the same moment either sees a whole secret or none.
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
        file.write_all(secret.expose())?;
        file.sync_all()?;
        fs::hard_link(&aside, path)
    })();
    let _ = fs::remove_file(&aside);
    match written {
        Ok(()) => {
            if let Some(folder) = path.parent() {
                File::open(folder)?.sync_all()?;
            }
            Ok(secret)
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => read(File::open(path)?),
        Err(e) => Err(e),
    }
}

/// Replaces the file at `path` by `bytes` so that a crash leaves the old or the new one, and readable by its owner only.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&aside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let made = load_or_create(&path).unwrap();
        assert!(load_or_create(&path).unwrap() == made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_secret_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        for bad in [&[1u8; 31][..], &[1; 33], &[]] {
            fs::write(&path, bad).unwrap();
            assert_eq!(load_or_create(&path).err().map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
    }
}
