//! Where fetched bytes go. A file gets its name only when it is whole: until then the bytes lie beside it under a
//! temporary one, which vanishes if anything goes wrong.

use palimpsest_client::Error;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, IsTerminal, stdout};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// Where the user wants the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Standard output.
    Out,
    /// What is there already and is no plain file: a pipe, a device.
    Special(PathBuf),
    /// A plain file.
    File {
        /// Its final name.
        path: PathBuf,
        /// Whether it may replace another.
        force: bool,
    },
}

impl Target {
    /// Decides, and refuses early what cannot end well.
    pub(crate) fn choose(output: Option<&Path>, force: bool) -> Result<Target, Error> {
        let path = match output {
            Some(path) if path == Path::new("-") => return Ok(Target::Out),
            Some(path) => path,
            None if stdout().is_terminal() => {
                let advice = "say where to write with -o PATH, or -o - for this terminal";
                return Err(Error::Usage(advice.to_owned()));
            }
            None => return Ok(Target::Out),
        };
        let refuse = |why: &str| Err(Error::Usage(format!("{} {why}", path.display())));
        let names_folder = path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/");
        match fs::metadata(path) {
            Ok(there) if there.is_dir() => refuse("is a folder; say the file's name too"),
            _ if names_folder => refuse("is no name for a file"),
            Ok(there) if !there.is_file() => Ok(Target::Special(path.to_owned())),
            // Also a link that leads nowhere: it exists under this name.
            _ if !force && fs::symlink_metadata(path).is_ok() => refuse("exists; -f overwrites it"),
            _ => Ok(Target::File { path: path.to_owned(), force }),
        }
    }

    /// Opens it.
    pub(crate) fn open(self) -> Result<Sink, Error> {
        let (file, path, pending) = match self {
            Target::Out => {
                let handle = stdout().as_fd().try_clone_to_owned().map_err(Error::disk("standard output", "open"))?;
                (File::from(handle), "standard output".into(), None)
            }
            Target::Special(path) => {
                let file = OpenOptions::new().write(true).open(&path).map_err(Error::disk(&path, "open"))?;
                (file, path, None)
            }
            Target::File { path, force } => {
                let (file, pending) = Pending::create(&path, force)?;
                (file, path, Some(pending))
            }
        };
        Ok(Sink { writer: tokio::fs::File::from_std(file), path, pending })
    }
}

/// An open target.
pub(crate) struct Sink {
    /// Takes the bytes.
    pub(crate) writer: tokio::fs::File,
    path: PathBuf,
    pending: Option<Pending>,
}

impl Sink {
    /// Everything is written and verified: makes it durable, and gives it its name.
    pub(crate) async fn finish(mut self) -> Result<(), Error> {
        let flushed = self.writer.flush().await;
        flushed.map_err(|source| self.blame(Error::Output { source }))?;
        match self.pending.take() {
            Some(pending) => pending.commit(),
            None => Ok(()),
        }
    }

    /// Puts the name of what refused the bytes into the error that says that they were refused.
    pub(crate) fn blame(&self, error: Error) -> Error {
        match error {
            Error::Output { source } if source.kind() != ErrorKind::BrokenPipe => {
                Error::Disk { path: self.path.clone(), doing: "write", source }
            }
            other => other,
        }
    }
}

/// A file under its temporary name, which it loses when this is dropped.
struct Pending {
    temporary: PathBuf,
    path: PathBuf,
    force: bool,
    /// A second handle, to make the bytes durable through.
    file: File,
}

impl Pending {
    fn create(path: &Path, force: bool) -> Result<(File, Pending), Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // Names are bounded, so of a long one the beginning must do.
        let name: String = name.chars().take(50).collect();
        let temporary = path.with_file_name(format!(".{name}.{:016x}.part", rand::random::<u64>()));
        let opened = OpenOptions::new().write(true).create_new(true).open(&temporary);
        let file = opened.map_err(Error::disk(&temporary, "create"))?;
        // From here on a failure must remove the file.
        let second = match file.try_clone() {
            Ok(second) => second,
            Err(source) => {
                let _unused = fs::remove_file(&temporary);
                return Err(Error::disk(temporary, "open")(source));
            }
        };
        Ok((file, Pending { temporary, path: path.to_owned(), force, file: second }))
    }

    fn commit(self) -> Result<(), Error> {
        self.file.sync_all().map_err(Error::disk(&self.temporary, "write"))?;
        self.rename().map_err(Error::disk(&self.path, "write"))?;
        let folder = match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        // The name is durable when the folder is. Some file systems cannot be asked; the file is whole either way.
        let _not_everywhere = File::open(folder).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn rename(&self) -> std::io::Result<()> {
        if self.force {
            return fs::rename(&self.temporary, &self.path);
        }
        // Another program may have taken the name meanwhile.
        match renameat_with(CWD, &self.temporary, CWD, &self.path, RenameFlags::NOREPLACE) {
            // A file system that cannot promise it.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::rename(&self.temporary, &self.path),
            done => Ok(done?),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // After the renaming there is nothing under this name any more.
        let _mostly_gone = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::Target;
    use palimpsest_client::{Error, Kind};
    use std::fs;
    use std::path::Path;
    use tokio::io::AsyncWriteExt;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_file_has_its_name_only_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut sink = Target::choose(Some(&path), false).unwrap().open().unwrap();
        sink.writer.write_all(b"whole").await.unwrap();
        assert_eq!(names(dir.path()).len(), 1);
        assert!(!path.exists());
        sink.finish().await.unwrap();
        assert_eq!(names(dir.path()), ["out"]);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
    }

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Target::choose(Some(&dir.path().join("out")), false).unwrap().open().unwrap();
        sink.writer.write_all(b"half").await.unwrap();
        drop(sink);
        assert!(names(dir.path()).is_empty());
    }

    #[tokio::test]
    async fn an_existing_file_is_replaced_on_demand_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "old").unwrap();
        let refused = Target::choose(Some(&path), false).unwrap_err();
        assert_eq!(refused.kind(), Kind::Usage);
        let mut sink = Target::choose(Some(&path), true).unwrap().open().unwrap();
        sink.writer.write_all(b"new").await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        sink.finish().await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }

    #[tokio::test]
    async fn a_name_that_was_taken_meanwhile_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let sink = Target::choose(Some(&path), false).unwrap().open().unwrap();
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(sink.finish().await.unwrap_err(), Error::Disk { .. }));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn folders_devices_and_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Target::choose(Some(dir.path()), true).unwrap_err().kind(), Kind::Usage);
        assert_eq!(Target::choose(Some(Path::new("..")), false).unwrap_err().kind(), Kind::Usage);
        let null = Path::new("/dev/null");
        assert_eq!(Target::choose(Some(null), false).unwrap(), Target::Special(null.to_owned()));
        assert_eq!(Target::choose(Some(Path::new("none/")), false).unwrap_err().kind(), Kind::Usage);
        let nowhere = dir.path().join("none/out");
        let opened = Target::choose(Some(&nowhere), false).unwrap().open();
        assert_eq!(opened.err().unwrap().kind(), Kind::Disk);
    }
}
