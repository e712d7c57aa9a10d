//! Bootstrap lists: multiaddrs, or files that hold one a line.

use crate::error::Error;
use libp2p::Multiaddr;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

/// Bytes of a bootstrap file at most.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Addresses that are taken from a list at most.
pub const BOOTSTRAP_MAX: usize = 64;

/// The addresses that `entries` stand for. An entry that begins with `/` and parses as a multiaddr is one; any other is a
/// file with one a line, `#` beginning a comment.
pub fn expand(entries: &[String]) -> Result<Vec<String>, Error> {
    let mut addresses = Vec::new();
    for entry in entries.iter().map(|e| e.trim()).filter(|e| !e.is_empty()) {
        if entry.parse::<Multiaddr>().is_ok() {
            addresses.push(entry.to_owned());
            continue;
        }
        let path = PathBuf::from(entry);
        let mut text = String::new();
        File::open(&path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| Error::Disk { path: path.clone(), doing: "read the bootstrap list", source })?;
        for line in text.lines().map(|line| line.split('#').next().unwrap_or("").trim()).filter(|l| !l.is_empty()) {
            if line.parse::<Multiaddr>().is_err() {
                return Err(Error::Usage(format!("{}: {line:?} is not a multiaddr", path.display())));
            }
            addresses.push(line.to_owned());
        }
    }
    addresses.dedup();
    addresses.truncate(BOOTSTRAP_MAX);
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_files_mix() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("list");
        std::fs::write(&file, "# two\n/ip4/127.0.0.1/tcp/1\n\n/ip4/127.0.0.1/tcp/2 # second\n").unwrap();
        let entries = ["/ip4/127.0.0.1/tcp/3".to_owned(), file.display().to_string()];
        let got = expand(&entries).unwrap();
        assert_eq!(got, ["/ip4/127.0.0.1/tcp/3", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/tcp/2"]);
    }

    #[test]
    fn a_missing_file_and_a_bad_line_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("missing").display().to_string();
        assert!(expand(std::slice::from_ref(&missing)).unwrap_err().to_string().contains(&missing));
        let file = dir.path().join("list");
        std::fs::write(&file, "nonsense\n").unwrap();
        assert!(expand(&[file.display().to_string()]).unwrap_err().to_string().contains("nonsense"));
    }
}
