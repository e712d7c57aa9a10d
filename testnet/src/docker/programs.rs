//! The programs of the image: static ones, since there is nothing else in it.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::DockerError;
use crate::hostile::HOSTILE;
use crate::process::{TestnetError, find_program};

/// What the image holds; the last one only where some nodes are hostile.
const PROGRAMS: [&str; 3] = ["pald", "pal", HOSTILE];
/// Targets whose folders lie beside that of a plain build, when a static one was made.
const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-musl",
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "aarch64-unknown-linux-gnu",
];
/// Length of a 64-bit ELF header, and of an entry of its table of segments.
const ELF_HEADER: usize = 64;
const ELF_SEGMENT: usize = 56;
/// The kind of segment that names the loader of shared libraries.
const INTERPRETER: u32 = 3;
/// Segments looked at, at most; programs have about a dozen.
const SEGMENTS_MAX: u16 = 256;

/// The folder with all programs that are wanted, static: `bin_dir` if one is given; else where the running program is, or where a build
/// for a named target puts them beside it.
///
/// # Errors
/// A program that is missing, or one that is not static.
pub(super) fn find(bin_dir: Option<&Path>, hostile: bool) -> Result<PathBuf, DockerError> {
    if let Some(dir) = bin_dir {
        check(dir, hostile)?;
        return Ok(dir.to_owned());
    }
    let own = env::current_exe().ok();
    let above: Vec<PathBuf> = own.iter().flat_map(|own| own.ancestors().skip(1).take(3)).map(Path::to_owned).collect();
    let mut places = above.clone();
    places.extend(above.iter().flat_map(|dir| TARGETS.iter().map(move |target| dir.join(target).join("release"))));
    if let Some(found) = places.into_iter().find(|dir| check(dir, hostile).is_ok()) {
        return Ok(found);
    }
    // What is wrong with the nearest one is what helps.
    for name in programs(hostile) {
        let path = find_program(name, None)?;
        if !is_static(&path)? {
            return Err(DockerError::NotStatic { path });
        }
    }
    Err(TestnetError::ProgramMissing { name: "pald", looked: "one folder with `pal`".to_owned() }.into())
}

/// The names of those that are wanted.
fn programs(hostile: bool) -> impl Iterator<Item = &'static str> {
    PROGRAMS.into_iter().filter(move |&name| hostile || name != HOSTILE)
}

fn check(dir: &Path, hostile: bool) -> Result<(), DockerError> {
    for name in programs(hostile) {
        let path = find_program(name, Some(dir))?;
        if !is_static(&path)? {
            return Err(DockerError::NotStatic { path });
        }
    }
    Ok(())
}

/// Puts the programs into a folder from which an image is built.
///
/// # Errors
/// Those of copying.
pub(super) fn copy(from: &Path, to: &Path, hostile: bool) -> Result<(), DockerError> {
    for name in programs(hostile) {
        let path = to.join(name);
        fs::copy(from.join(name), &path).map_err(|source| TestnetError::File { doing: "copy to", path, source })?;
    }
    Ok(())
}

fn is_static(path: &Path) -> Result<bool, DockerError> {
    let looked = File::open(path).and_then(|mut file| has_no_interpreter(&mut file));
    Ok(looked.map_err(|source| TestnetError::File { doing: "read", path: path.to_owned(), source })?)
}

/// Whether this is a 64-bit program (little-endian) that asks for no loader.
fn has_no_interpreter(file: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut header = [0; ELF_HEADER];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Ok(false);
    }
    let number = |at: usize, length: usize| header[at..at + length].iter().rev().fold(0, |n, &b| n << 8 | u64::from(b));
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    if size != ELF_SEGMENT as u64 || count > u64::from(SEGMENTS_MAX) {
        return Ok(false);
    }
    file.seek(SeekFrom::Start(table))?;
    for _ in 0..count {
        let mut segment = [0; ELF_SEGMENT];
        match file.read_exact(&mut segment) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        if segment[..4] == INTERPRETER.to_le_bytes() {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::{ELF_HEADER, ELF_SEGMENT, find, has_no_interpreter};
    use crate::docker::DockerError;
    use crate::process::TestnetError;

    /// A program with segments of these kinds.
    fn program(kinds: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; ELF_HEADER + kinds.len() * ELF_SEGMENT];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (bytes[32], bytes[54], bytes[56]) = (64, 56, u8::try_from(kinds.len()).unwrap());
        for (place, &kind) in kinds.iter().enumerate() {
            bytes[ELF_HEADER + place * ELF_SEGMENT] = kind;
        }
        bytes
    }

    #[test]
    fn programs_that_need_a_loader_are_told_from_those_that_do_not() {
        let is_static = |bytes: &[u8]| has_no_interpreter(&mut Cursor::new(bytes.to_vec())).unwrap();
        assert!(is_static(&program(&[6, 1, 1, 2])));
        assert!(!is_static(&program(&[6, 3, 1])));
        let whole = program(&[1, 1]);
        assert!(!is_static(&whole[..whole.len() - 1]));
        assert!(!is_static(b"#!/bin/sh\n") && !is_static(b""));
        let mut strange = program(&[1]);
        strange[57] = 0xff;
        assert!(!is_static(&strange));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let error = find(Some(dir.path()), false).unwrap_err();
        assert!(matches!(error, DockerError::Process(TestnetError::ProgramMissing { name: "pald", .. })));
        for name in ["pald", "pal"] {
            std::fs::write(dir.path().join(name), program(&[1])).unwrap();
        }
        assert_eq!(find(Some(dir.path()), false).unwrap(), dir.path());
        let error = find(Some(dir.path()), true).unwrap_err();
        assert!(matches!(error, DockerError::Process(TestnetError::ProgramMissing { name: "pald-hostile", .. })));
        std::fs::write(dir.path().join("pal"), program(&[1, 3])).unwrap();
        let error = find(Some(dir.path()), false).unwrap_err();
        assert!(matches!(&error, DockerError::NotStatic { path } if path.ends_with("pal")));
        assert!(error.to_string().contains("cargo static"), "{error}");
    }
}
