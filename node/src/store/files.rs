//! The slot files: where bytes lie on the disk. Nothing here decides; it reads and writes where it is told.
//!
//! ```text
//! shards/00000000.pal    header page of 64 cells: the file's own, then one per slot │ slot 1 │ slot 2 │ … │ slot 63
//! records/00000000.pal   the same, with smaller slots
//! ```

use super::cell::{CELL_BYTES, Cell};
use super::error::{Doing, StoreError};
use super::faults::{Access, Faults};
use super::format::{self, Format};
use palimpsest_proto::params::{RECORD_BYTES_MAX, SHARD_BYTES};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the header page: a page of the disk.
const HEADER_BYTES: usize = 4096;
/// Slots in a file: what one header page has cells for, less the file's own.
pub(super) const SLOTS_PER_FILE: u32 = CELLS_PER_FILE - 1;
pub(super) const CELLS_PER_FILE: u32 = (HEADER_BYTES / CELL_BYTES) as u32;
/// File numbers end here, so that a slot's number fits 32 bits: 256 TiB of shards.
const FILES_MAX: u32 = u32::MAX / CELLS_PER_FILE;
/// Files kept open for each kind: enough for the hot ones, far below a process's descriptors.
const OPEN_FILES_MAX: usize = 32;

/// What a slot file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Shards,
    Records,
}

impl Kind {
    /// Both.
    pub(super) const ALL: [Kind; 2] = [Kind::Shards, Kind::Records];

    /// Bytes of content in a slot at most.
    pub(super) const fn content_bytes_max(self) -> usize {
        match self {
            Kind::Shards => SHARD_BYTES,
            Kind::Records => RECORD_BYTES_MAX,
        }
    }

    /// Bytes of a slot: whole pages, so that writing one slot never rewrites another's bytes.
    const fn slot_bytes(self) -> u64 {
        self.content_bytes_max().next_multiple_of(4096) as u64
    }

    /// Bytes of a file.
    pub(super) const fn file_bytes(self) -> u64 {
        HEADER_BYTES as u64 + SLOTS_PER_FILE as u64 * self.slot_bytes()
    }

    /// The name of the folder.
    const fn dir_name(self) -> &'static str {
        match self {
            Kind::Shards => "shards",
            Kind::Records => "records",
        }
    }
}

/// A slot's place: the file's number and the cell's in it, 1 to [`SLOTS_PER_FILE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(pub(super) u32);

impl Slot {
    /// The slot of cell `cell` in file `file`.
    pub(super) fn at(file: u32, cell: u32) -> Slot {
        debug_assert!(file < FILES_MAX && (1..=SLOTS_PER_FILE).contains(&cell));
        Slot(file * CELLS_PER_FILE + cell)
    }
    /// The file's number.
    pub(super) fn file(self) -> u32 {
        self.0 / CELLS_PER_FILE
    }
    /// The cell's number in the file.
    pub(super) fn cell(self) -> u32 {
        self.0 % CELLS_PER_FILE
    }
}

/// The slot files of one kind. Shared by the writer and the readers.
#[derive(Debug)]
pub(super) struct SlotFiles {
    kind: Kind,
    dir: PathBuf,
    /// The files used last, the latest at the end.
    open: Mutex<Vec<(u32, Arc<File>)>>,
    /// What fails, in tests.
    faults: Option<Arc<dyn Faults>>,
}

impl SlotFiles {
    /// The files of `kind` in the store's folder, which is made if need be.
    pub(super) fn new(store_dir: &Path, kind: Kind, faults: Option<Arc<dyn Faults>>) -> Result<SlotFiles, StoreError> {
        let dir = store_dir.join(kind.dir_name());
        DirBuilder::new().recursive(true).mode(0o700).create(&dir).doing("making a folder")?;
        Ok(SlotFiles { kind, dir, open: Mutex::default(), faults })
    }

    fn check(&self, number: u32, access: Access<'_>) -> io::Result<()> {
        self.faults.as_ref().map_or(Ok(()), |faults| faults.check(&self.path(number), access))
    }

    /// What the files hold.
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    fn path(&self, number: u32) -> PathBuf {
        self.dir.join(format!("{number:08}.pal"))
    }

    /// The numbers of the files there are, ascending.
    pub(super) fn list(&self) -> Result<Vec<u32>, StoreError> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.dir).doing("listing slot files")? {
            let name = entry.doing("listing slot files")?.file_name();
            let number = name.to_str().and_then(|n| n.strip_suffix(".pal")).and_then(|n| n.parse().ok());
            match number {
                Some(number) if number < FILES_MAX && self.path(number).ends_with(&name) => numbers.push(number),
                _ if format::is_unfinished(&name) => {
                    let _ = std::fs::remove_file(self.dir.join(name));
                }
                _ => tracing::warn!(folder = self.kind.dir_name(), "a file that is no slot file lies in the store"),
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The file, opened if it is not.
    pub(super) fn file(&self, number: u32) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = open.iter().rposition(|(n, _)| *n == number) {
            let entry = open.remove(at);
            let file = entry.1.clone();
            open.push(entry);
            return Ok(file);
        }
        let path = self.path(number);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            // A disk that turned read-only is still read.
            Err(error) if StoreError::from_io("", &error) == StoreError::ReadOnly => File::open(&path)?,
            other => other?,
        };
        let file = Arc::new(file);
        remember(&mut open, number, file.clone());
        Ok(file)
    }

    /// Makes the file with all its slots free and all its bytes reserved. It lasts after [`SlotFiles::sync`] of it and
    /// [`SlotFiles::sync_dir`].
    pub(super) fn create(&self, number: u32) -> Result<(), StoreError> {
        if number >= FILES_MAX {
            return Err(StoreError::QuotaReached);
        }
        let path = self.path(number);
        self.check(number, Access::Create).doing("making a slot file")?;
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(&path).doing("making a slot file")?;
        let made = self
            .reserve(number, &file)
            .and_then(|()| self.write_at(number, &file, &format::own_cell(self.kind, number), 0))
            .doing("reserving a slot file");
        if made.is_err() {
            // A part of the space may be reserved already: give it back.
            let _ = std::fs::remove_file(&path);
            return made;
        }
        remember(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner), number, Arc::new(file));
        Ok(())
    }

    /// Reserves the file's space; where the file system cannot, only its length is set.
    fn reserve(&self, number: u32, file: &File) -> io::Result<()> {
        self.check(number, Access::Reserve)?;
        match fallocate(file, FallocateFlags::empty(), 0, self.kind.file_bytes()) {
            Err(Errno::OPNOTSUPP) => file.set_len(self.kind.file_bytes()),
            other => Ok(other?),
        }
    }

    /// Refuses files of formats that this version cannot carry over. Nothing is changed.
    pub(super) fn check_formats(&self) -> Result<(), StoreError> {
        for number in self.list()? {
            match self.format(number)? {
                Format::Unknown(version) => return Err(StoreError::Version(version)),
                Format::Current | Format::Old(_) | Format::Damaged => {}
            }
        }
        Ok(())
    }

    fn format(&self, number: u32) -> Result<Format, StoreError> {
        let mut cell = [0; CELL_BYTES];
        match self.file(number).doing("opening a slot file")?.read_exact_at(&mut cell, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Format::Damaged),
            Err(error) => Err(StoreError::from_io("reading a slot file", &error)),
            Ok(()) => Ok(Format::of(&cell, self.kind, number)),
        }
    }

    /// Carries a file of an older format over; makes one that a crash left too short as long as it must be, and its own
    /// cell right.
    pub(super) fn mend(&self, number: u32) -> Result<(), StoreError> {
        let format = self.format(number)?;
        if let Format::Old(version) = format {
            format::carry_over(&self.path(number), self.kind, number, version).doing("carrying over a slot file")?;
            self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _)| *n != number);
            return self.sync_dir().doing("carrying over a slot file");
        }
        let file = self.file(number).doing("opening a slot file")?;
        if file.metadata().doing("opening a slot file")?.len() < self.kind.file_bytes() {
            // On a full disk the length alone must do: what was acknowledged is to be read.
            self.reserve(number, &file)
                .or_else(|_| file.set_len(self.kind.file_bytes()))
                .doing("reserving a slot file")?;
        }
        if format == Format::Damaged {
            let cell = format::own_cell(self.kind, number);
            self.write_at(number, &file, &cell, 0).doing("mending a slot file")?;
        }
        Ok(())
    }

    fn write_at(&self, number: u32, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check(number, Access::Write { file, offset, bytes })?;
        file.write_all_at(bytes, offset)
    }

    /// Removes a file in which nothing lies.
    pub(super) fn remove(&self, number: u32) -> Result<(), StoreError> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).retain(|(n, _)| *n != number);
        self.check(number, Access::Remove).doing("removing a slot file")?;
        std::fs::remove_file(self.path(number)).doing("removing a slot file")
    }

    /// All cells of the file, with their slots.
    pub(super) fn cells(&self, number: u32) -> io::Result<Vec<(Slot, Cell)>> {
        self.check(number, Access::Read)?;
        let mut header = vec![0; HEADER_BYTES];
        self.file(number)?.read_exact_at(&mut header, 0)?;
        let cells = header.as_chunks::<CELL_BYTES>().0.iter().zip(0..).skip(1);
        Ok(cells
            .map(|(bytes, cell)| {
                let slot = Slot::at(number, cell);
                (slot, Cell::decode(bytes, slot.0, self.kind.content_bytes_max()))
            })
            .collect())
    }

    /// The slot's cell.
    pub(super) fn cell(&self, slot: Slot) -> io::Result<Cell> {
        self.check(slot.file(), Access::Read)?;
        let mut bytes = [0; CELL_BYTES];
        self.file(slot.file())?.read_exact_at(&mut bytes, cell_offset(slot))?;
        Ok(Cell::decode(&bytes, slot.0, self.kind.content_bytes_max()))
    }

    /// Writes the slot's cell.
    pub(super) fn write_cell(&self, slot: Slot, cell: &Cell) -> io::Result<()> {
        self.write_at(slot.file(), &*self.file(slot.file())?, &cell.encode(slot.0), cell_offset(slot))
    }

    /// Writes the slot's content, from its beginning.
    pub(super) fn write(&self, slot: Slot, content: &[u8]) -> io::Result<()> {
        debug_assert!(content.len() <= self.kind.content_bytes_max());
        self.write_at(slot.file(), &*self.file(slot.file())?, content, self.content_offset(slot))
    }

    /// The first `len` bytes of the slot; waits for the disk.
    pub(super) fn read(&self, slot: Slot, len: usize) -> io::Result<Vec<u8>> {
        self.check(slot.file(), Access::Read)?;
        let mut content = vec![0; len];
        self.file(slot.file())?.read_exact_at(&mut content, self.content_offset(slot))?;
        Ok(content)
    }

    /// The first `len` bytes of the slot, if they lie in memory; `None` if the disk would have to be waited for.
    pub(super) fn read_at_once(&self, slot: Slot, len: usize) -> io::Result<Option<Vec<u8>>> {
        self.check(slot.file(), Access::Read)?;
        let file = self.file(slot.file())?;
        let mut content = vec![0; len];
        let mut parts = [IoSliceMut::new(&mut content)];
        match rustix::io::preadv2(&*file, &mut parts, self.content_offset(slot), ReadWriteFlags::NOWAIT) {
            Ok(count) if count == len => Ok(Some(content)),
            // A part of it only, or a file system that cannot tell.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn content_offset(&self, slot: Slot) -> u64 {
        HEADER_BYTES as u64 + u64::from(slot.cell() - 1) * self.kind.slot_bytes()
    }

    /// Returns when all that was written to the file is on the disk. The handle must be the one that wrote: it is the
    /// one that hears of a failure.
    pub(super) fn sync(&self, number: u32, file: &File) -> io::Result<()> {
        self.check(number, Access::Sync)?;
        file.sync_data()
    }

    /// Returns when the names of the files are on the disk.
    pub(super) fn sync_dir(&self) -> io::Result<()> {
        if let Some(faults) = &self.faults {
            faults.check(&self.dir, Access::SyncDir)?;
        }
        File::open(&self.dir)?.sync_all()
    }
}

fn cell_offset(slot: Slot) -> u64 {
    u64::from(slot.cell()) * CELL_BYTES as u64
}

fn remember(open: &mut Vec<(u32, Arc<File>)>, number: u32, file: Arc<File>) {
    if open.len() >= OPEN_FILES_MAX {
        open.remove(0);
    }
    open.push((number, file));
}
