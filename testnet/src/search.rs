//! Canaries: bytes that a node must never have, searched for in its files and its memory.
//!
//! It does not cover what is encoded otherwise than as it is or in hexadecimal, nor what a process had and has
//! overwritten.

use memchr::memmem::Finder;
use palimpsest_proto::content::Capability;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

/// Bytes looked at at a time.
const BLOCK_BYTES: usize = 1 << 20;
/// Bytes of a block as stat(2) counts them, whatever the file system.
const BLOCK_OF_DISK: u64 = 512;
/// Folders in each other at most.
const DEPTH_MAX: usize = 16;
/// Characters of a link's end that are looked for: most of its key, and the checksum. Its beginning, the root's address,
/// follows from the record that holders keep.
const LINK_TAIL: usize = 48;

/// What is looked for.
pub struct Canary {
    what: String,
    finders: Vec<Finder<'static>>,
    longest: usize,
}

/// What was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The canary's name.
    pub what: String,
    /// The file or the piece of memory.
    pub place: String,
}

impl Canary {
    fn new(what: &str, needles: &[&[u8]]) -> Canary {
        let finders = needles.iter().map(|needle| Finder::new(needle).into_owned()).collect();
        let longest = needles.iter().map(|needle| needle.len()).max().unwrap_or(0);
        Canary { what: what.to_owned(), finders, longest }
    }

    /// A text, as it is.
    pub fn text(what: &str, text: &str) -> Canary {
        Canary::new(what, &[text.as_bytes()])
    }

    /// Bytes, as they are and in hexadecimal.
    pub fn bytes(what: &str, bytes: &[u8]) -> Canary {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Canary::new(what, &[bytes, hex.as_bytes()])
    }

    /// A link's text, and the key or the content in it. Empty for what is no link.
    pub fn link(link: &str) -> Vec<Canary> {
        let tail = &link[link.len().saturating_sub(LINK_TAIL)..];
        match link.parse() {
            Ok(Capability::Read { key, .. } | Capability::Repair { key, .. }) => {
                vec![Canary::text("link", tail), Canary::bytes("key", key.secret().expose())]
            }
            Ok(Capability::Inline(content)) => {
                vec![Canary::text("link", tail), Canary::bytes("content in a link", &content)]
            }
            Err(_) => Vec::new(),
        }
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.finders.iter().any(|finder| finder.find(bytes).is_some())
    }
}

/// Looks through blocks that follow each other; what lies across the border of two is found.
struct Search<'a> {
    canaries: &'a [Canary],
    found: Vec<bool>,
    block: Vec<u8>,
    overlap: usize,
}

impl<'a> Search<'a> {
    fn new(canaries: &'a [Canary]) -> Search<'a> {
        let overlap = canaries.iter().map(|canary| canary.longest.saturating_sub(1)).max().unwrap_or(0);
        Search {
            canaries,
            found: vec![false; canaries.len()],
            block: Vec::with_capacity(BLOCK_BYTES + overlap),
            overlap,
        }
    }

    /// Reads on behind what was kept, and looks.
    fn next(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        let kept = self.block.len().min(self.overlap);
        self.block.drain(..self.block.len() - kept);
        self.block.resize(kept + BLOCK_BYTES, 0);
        let got = read(&mut self.block[kept..])?;
        self.block.truncate(kept + got);
        for (canary, found) in self.canaries.iter().zip(&mut self.found) {
            *found = *found || canary.is_in(&self.block);
        }
        Ok(got)
    }

    fn hits(self, place: &str) -> impl Iterator<Item = Hit> {
        let found = self.canaries.iter().zip(self.found).filter(|(_, found)| *found);
        found.map(move |(canary, _)| Hit { what: canary.what.clone(), place: place.to_owned() })
    }
}

/// The canaries in bytes that lie at `place`.
pub(crate) fn search_bytes(place: &str, bytes: &[u8], canaries: &[Canary]) -> Vec<Hit> {
    let found = canaries.iter().filter(|canary| canary.is_in(bytes));
    found.map(|canary| Hit { what: canary.what.clone(), place: place.to_owned() }).collect()
}

/// The canaries in one file.
///
/// # Errors
/// Those of opening and reading it.
pub fn search_file(path: &Path, canaries: &[Canary]) -> io::Result<Vec<Hit>> {
    let mut file = File::open(path)?;
    let mut search = Search::new(canaries);
    while search.next(|block| file.read(block))? > 0 {}
    Ok(search.hits(&path.to_string_lossy()).collect())
}

/// The canaries in the files of a folder, and in their names.
///
/// # Errors
/// Those of reading it, but for files that vanish meanwhile.
pub fn search_folder(dir: &Path, canaries: &[Canary]) -> io::Result<Vec<Hit>> {
    search_folders(dir, canaries, DEPTH_MAX)
}

fn search_folders(dir: &Path, canaries: &[Canary], depth: usize) -> io::Result<Vec<Hit>> {
    let mut hits = Vec::new();
    for entry in fs::read_dir(dir)? {
        let (path, kind) = entry.and_then(|entry| Ok((entry.path(), entry.file_type()?)))?;
        let place = path.to_string_lossy();
        let named = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        let in_name = canaries.iter().filter(|canary| canary.is_in(&named));
        hits.extend(in_name.map(|canary| Hit { what: canary.what.clone(), place: place.clone().into_owned() }));
        if kind.is_dir() && depth > 0 {
            hits.extend(search_folders(&path, canaries, depth - 1)?);
        } else if kind.is_file() {
            match search_file(&path, canaries) {
                Ok(found) => hits.extend(found),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(hits)
}

/// Bytes that the files of a folder take: what they hold, or what the disk has given them if that is less (where a file has holes).
///
/// # Errors
/// Those of reading it, but for files that vanish meanwhile.
pub fn folder_bytes(dir: &Path) -> io::Result<u64> {
    folders_bytes(dir, DEPTH_MAX)
}

fn folders_bytes(dir: &Path, depth: usize) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            bytes += folders_bytes(&entry.path(), depth - 1)?;
        } else if kind.is_file() {
            match entry.metadata() {
                Ok(file) => bytes += file.len().min(file.blocks() * BLOCK_OF_DISK),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(bytes)
}

/// The canaries in the memory of a process, as far as it can be read.
///
/// # Errors
/// There is no such process, or the system does not let us (`PermissionDenied`).
pub fn search_memory(pid: u32, canaries: &[Canary]) -> io::Result<Vec<Hit>> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let memory = File::open(format!("/proc/{pid}/mem"))?;
    let mut hits = Vec::new();
    // proc_pid_maps(5): `start-end permissions …`, the name at the end.
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let bounds = words.next().and_then(|range| range.split_once('-'));
        let Some((Ok(mut at), Ok(end))) =
            bounds.map(|(start, end)| (u64::from_str_radix(start, 16), u64::from_str_radix(end, 16)))
        else {
            continue;
        };
        if !words.next().is_some_and(|permissions| permissions.starts_with('r')) {
            continue;
        }
        let mut search = Search::new(canaries);
        while at < end {
            let most = usize::try_from(end - at).unwrap_or(BLOCK_BYTES).min(BLOCK_BYTES);
            // Pages of devices cannot be read; what was unmapped meanwhile is gone.
            match search.next(|block| memory.read_at(&mut block[..most], at)) {
                Ok(read @ 1..) => at += read as u64,
                Ok(0) | Err(_) => break,
            }
        }
        hits.extend(search.hits(&format!("memory of {pid}: {line}")));
    }
    Ok(hits)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, Canary, Hit, search_file, search_folder, search_memory};

    #[test]
    fn found_wherever_it_lies() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep");
        std::fs::create_dir(&path).unwrap();
        let path = path.join("file");
        let canaries = [Canary::text("song", "tweet tweet"), Canary::bytes("egg", &[0, 1, 254, 255])];
        let hits = |what: &str| vec![Hit { what: what.to_owned(), place: path.to_string_lossy().into_owned() }];
        for at in [0, 7, BLOCK_BYTES - 11, BLOCK_BYTES - 5, BLOCK_BYTES, 2 * BLOCK_BYTES - 1] {
            let mut bytes = vec![b't'; 3 * BLOCK_BYTES];
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(search_file(&path, &canaries).unwrap(), []);
            bytes[at..at + 11].copy_from_slice(b"tweet tweet");
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(search_folder(dir.path(), &canaries).unwrap(), hits("song"), "at {at}");
            bytes[at..at + 11].copy_from_slice(b"..0001feff.");
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(search_folder(dir.path(), &canaries).unwrap(), hits("egg"), "at {at}");
        }
        std::fs::rename(&path, dir.path().join("a tweet tweet")).unwrap();
        assert_eq!(search_folder(dir.path(), &canaries[..1]).unwrap().len(), 1, "in its name");
    }

    #[test]
    fn a_link_is_known_by_its_text_and_by_its_key() {
        let link = "pal:aeanaatrsdjnvk4qfi5jhn2p2g5gsnsdbnkx";
        assert!(Canary::link(link).is_empty(), "not a whole one");
        let inline = palimpsest_proto::content::Capability::Inline(bytes::Bytes::from_static(b"little")).to_string();
        let names: Vec<String> = Canary::link(&inline).into_iter().map(|canary| canary.what).collect();
        assert_eq!(names, ["link", "content in a link"]);
    }

    #[test]
    fn our_own_memory_has_what_we_keep_in_it() {
        // Made at run time, so that the one and only copy lies on the heap.
        let secret: Vec<u8> = (0..40).map(|i| (i * 37 % 251) as u8 ^ 0x5a).collect();
        match search_memory(std::process::id(), &[Canary::bytes("secret", &secret)]) {
            Ok(hits) => assert!(!hits.is_empty()),
            Err(error) => eprintln!("skipped: memory cannot be read here ({error})"),
        }
    }
}
