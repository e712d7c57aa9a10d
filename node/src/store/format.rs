//! Versions of the slot files' format, and how a file of one is carried over to the next.
//!
//! The first cell of a file says what it is: `"palimpsest slots" ‖ version u8 ‖ kind u8 ‖ zeros ‖ check 8`, and is 64
//! bytes long in every version. A store with a file of a newer version, or of one too old, is refused before anything
//! is changed. An older file is read as a whole, taken through one step for each version, written beside the old one,
//! synced, and put in its place: a crash leaves the old file or the new one.

use super::cell::{CELL_BYTES, is_sealed, seal};
use super::files::{CELLS_PER_FILE, Kind};
use palimpsest_client::keyring::replace_file;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

/// The version that is written.
pub(super) const VERSION: u8 = 1;
const MAGIC: &[u8; 16] = b"palimpsest slots";

/// Turns the bytes of a file of one version into those of the next, its first cell left aside.
type Step = fn(Kind, u32, Vec<u8>) -> Vec<u8>;
/// The steps: from which version, and how. None may be removed while stores of that version are about.
const STEPS: &[(u8, Step)] = &[
    #[cfg(test)]
    (0, tests::from_zero),
];

/// What a file's first cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// It is as this version writes it.
    Current,
    /// It is of this older version, and can be carried over.
    Old(u8),
    /// It is of this version, which is newer, or too old.
    Unknown(u8),
    /// The cell is damaged. What the file holds is told by the other cells, and whether that is so by the contents.
    Damaged,
}

impl Format {
    /// What `cell`, the first of file `number`, says.
    pub(super) fn of(cell: &[u8; CELL_BYTES], kind: Kind, number: u32) -> Format {
        if *cell == own_cell(kind, number) {
            return Format::Current;
        }
        let version = cell[16];
        if !is_sealed(cell, number * CELLS_PER_FILE) || &cell[..16] != MAGIC || version == VERSION {
            Format::Damaged
        } else if version < VERSION && (version..VERSION).all(|version| step(version).is_some()) {
            Format::Old(version)
        } else {
            Format::Unknown(version)
        }
    }
}

/// The first cell of file `number`: what it is, in which version.
pub(super) fn own_cell(kind: Kind, number: u32) -> [u8; CELL_BYTES] {
    cell_of(VERSION, kind, number)
}

fn cell_of(version: u8, kind: Kind, number: u32) -> [u8; CELL_BYTES] {
    let mut cell = [0; CELL_BYTES];
    cell[..16].copy_from_slice(MAGIC);
    cell[16] = version;
    cell[17] = kind as u8;
    seal(&mut cell, number * CELLS_PER_FILE);
    cell
}

fn step(from: u8) -> Option<Step> {
    STEPS.iter().find(|(version, _)| *version == from).map(|(_, step)| *step)
}

/// Rewrites the file at `path`, which is of version `from`, in the current one. It lasts when the folder is synced.
pub(super) fn carry_over(path: &Path, kind: Kind, number: u32, from: u8) -> io::Result<()> {
    let mut bytes = std::fs::read(path)?;
    for step in (from..VERSION).filter_map(step) {
        bytes = step(kind, number, bytes);
    }
    bytes.resize(kind.file_bytes() as usize, 0);
    bytes[..CELL_BYTES].copy_from_slice(&own_cell(kind, number));
    tracing::info!(?kind, from, to = VERSION, "a slot file is carried over to the current format");
    replace_file(path, &bytes)
}

/// Whether a file of this name was left behind by a crash within [`carry_over`].
pub(super) fn is_unfinished(name: &OsStr) -> bool {
    Path::new(name).extension().and_then(OsStr::to_str).is_some_and(|extension| extension.starts_with("new-"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A version 0 that there never was: its cells, but for the first, lie backwards, each byte flipped.
    pub(super) fn from_zero(_: Kind, _: u32, mut bytes: Vec<u8>) -> Vec<u8> {
        let cells = CELL_BYTES..CELL_BYTES * CELLS_PER_FILE as usize;
        if let Some(cells) = bytes.get_mut(cells) {
            cells.reverse();
            cells.iter_mut().for_each(|byte| *byte ^= 0xff);
        }
        bytes
    }

    /// Makes a file of the current version one of `version`, whose cells are as in version 0.
    pub(in crate::store) fn take_back(path: &Path, kind: Kind, number: u32, version: u8) {
        // The step is its own inverse.
        let mut bytes = from_zero(kind, number, std::fs::read(path).unwrap());
        bytes[..CELL_BYTES].copy_from_slice(&cell_of(version, kind, number));
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn a_version_is_current_old_unknown_or_damaged() {
        let format = |version| Format::of(&cell_of(version, Kind::Records, 7), Kind::Records, 7);
        assert_eq!(format(VERSION), Format::Current);
        assert_eq!(format(0), Format::Old(0));
        assert_eq!(format(VERSION + 1), Format::Unknown(VERSION + 1));
        // One that belongs to another file, or kind.
        assert_eq!(Format::of(&own_cell(Kind::Shards, 7), Kind::Shards, 8), Format::Damaged);
        assert_eq!(Format::of(&own_cell(Kind::Shards, 7), Kind::Records, 7), Format::Damaged);
        assert_eq!(Format::of(&[0; CELL_BYTES], Kind::Shards, 0), Format::Damaged);
    }
}
