//! A disk that fails as it is told, and that loses what was not synced when its power goes.

use palimpsest_node::store::{Access, Faults};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// What a disk writes in full or not at all.
const SECTOR: u64 = 512;
pub(crate) const EIO: i32 = 5;
pub(crate) const ENOSPC: i32 = 28;
pub(crate) const EROFS: i32 = 30;

/// Dice that fall the same way for the same seed (splitmix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// What goes wrong. Steps are the accesses that change something, counted from 0.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Plan {
    #[default]
    Sound,
    /// Nothing works from step `at` on, not even reading; step `error` fails before that.
    PowerLoss { at: u64, error: u64 },
    /// This step fails, and the following ones too if it lasts. A write does a part of its work before it fails.
    Fail { at: u64, errno: i32, lasts: bool },
    /// There is no space: no file can be made longer, and none written to either if `writes`.
    Full { writes: bool },
}

/// Contents of sectors, by file and number.
type Versions = BTreeMap<PathBuf, BTreeMap<u64, Vec<Vec<u8>>>>;

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    steps: u64,
    dead: bool,
    /// For each sector written to since the last sync, its contents before each write.
    unsynced: Versions,
    /// The same for sectors whose sync failed: the kernel takes them for written, and no later sync writes them.
    dropped: Versions,
    /// Files whose names are not known to be on the disk.
    unnamed: Vec<PathBuf>,
}

#[derive(Debug, Default)]
pub(crate) struct Disk(Mutex<State>);

impl Disk {
    pub(crate) fn new(plan: Plan) -> Disk {
        Disk(Mutex::new(State { plan, ..State::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn set(&self, plan: Plan) {
        self.state().plan = plan;
    }

    /// Changing accesses so far.
    pub(crate) fn steps(&self) -> u64 {
        self.state().steps
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// What power loss leaves: of each sector any of its contents since the last sync, of files whose names were not
    /// synced perhaps nothing, or a part.
    pub(crate) fn lose_power(&self, dice: &mut Dice) {
        let mut state = self.state();
        // All is lost, none, or anything between.
        let mode = dice.below(4);
        let mut lost = std::mem::take(&mut state.dropped);
        for (path, sectors) in std::mem::take(&mut state.unsynced) {
            let file = lost.entry(path).or_default();
            for (sector, versions) in sectors {
                file.entry(sector).or_default().extend(versions);
            }
        }
        for (path, sectors) in lost {
            let Ok(file) = OpenOptions::new().write(true).open(&path) else { continue };
            for (sector, versions) in sectors {
                let version = match mode {
                    0 => 0,
                    1 => versions.len(),
                    _ => dice.below(versions.len() as u64 + 1) as usize,
                };
                if let Some(bytes) = versions.get(version) {
                    file.write_all_at(bytes, sector * SECTOR).unwrap();
                }
            }
        }
        for path in std::mem::take(&mut state.unnamed) {
            match dice.below(3) {
                0 => drop(fs::remove_file(&path)),
                1 => {
                    let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                    if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                        file.set_len(dice.below(length + 1)).unwrap();
                    }
                }
                _ => {}
            }
        }
    }
}

impl State {
    /// Notes what the bytes to be written over are.
    fn remember(&mut self, path: &Path, file: &File, offset: u64, length: u64) {
        let sectors = self.unsynced.entry(path.to_owned()).or_default();
        for sector in offset / SECTOR..(offset + length).div_ceil(SECTOR) {
            let mut before = vec![0; SECTOR as usize];
            file.read_exact_at(&mut before, sector * SECTOR).unwrap();
            sectors.entry(sector).or_default().push(before);
        }
    }
}

impl Faults for Disk {
    fn check(&self, path: &Path, access: Access<'_>) -> io::Result<()> {
        let mut state = self.state();
        let fail = |errno| Err(io::Error::from_raw_os_error(errno));
        if state.dead {
            return fail(EIO);
        }
        if matches!(access, Access::Read) {
            return Ok(());
        }
        let step = state.steps;
        state.steps += 1;
        let errno = match state.plan {
            Plan::Sound => None,
            Plan::PowerLoss { at, .. } if step >= at => {
                state.dead = true;
                Some(EIO)
            }
            Plan::PowerLoss { error, .. } if step == error => Some(EIO),
            Plan::Fail { at, errno, lasts } if step == at || (step > at && lasts) => Some(errno),
            Plan::Full { writes } => match access {
                Access::Create | Access::Reserve => Some(ENOSPC),
                Access::Write { .. } if writes => Some(ENOSPC),
                _ => None,
            },
            Plan::PowerLoss { .. } | Plan::Fail { .. } => None,
        };
        if let Some(errno) = errno {
            if let Access::Write { file, offset, bytes } = access
                && errno == EIO
            {
                // The first half of the sectors, and before the power goes any of them.
                state.remember(path, file, offset, bytes.len() as u64);
                let half = (bytes.len() as u64 / 2).next_multiple_of(SECTOR).min(bytes.len() as u64) as usize;
                file.write_all_at(&bytes[..half], offset).unwrap();
            }
            if matches!(access, Access::Sync) && !state.dead {
                let sectors = state.unsynced.remove(path).unwrap_or_default();
                state.dropped.entry(path.to_owned()).or_default().extend(sectors);
            }
            return fail(errno);
        }
        match access {
            Access::Write { file, offset, bytes } => state.remember(path, file, offset, bytes.len() as u64),
            Access::Sync => {
                let written = state.unsynced.remove(path).unwrap_or_default();
                if let Some(dropped) = state.dropped.get_mut(path) {
                    dropped.retain(|sector, _| !written.contains_key(sector));
                }
            }
            Access::Create => state.unnamed.push(path.to_owned()),
            Access::SyncDir => state.unnamed.clear(),
            Access::Remove => {
                state.unsynced.remove(path);
                state.dropped.remove(path);
                state.unnamed.retain(|unnamed| unnamed != path);
            }
            Access::Reserve | Access::Read => {}
        }
        Ok(())
    }
}
