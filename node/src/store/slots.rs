//! Which slots are free: one word of bits per file. Only the writer has one.

use super::files::{SLOTS_PER_FILE, Slot};
use palimpsest_proto::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The bits of the slots that a file has; bit 0 is the file's own cell.
const ALL_SLOTS: u64 = !1;
const _: () = assert!(ALL_SLOTS.count_ones() == SLOTS_PER_FILE);

/// The bounds of no leases at all.
pub(super) const NO_LEASES: (Timestamp, Timestamp) = (Timestamp(u64::MAX), Timestamp(0));

#[derive(Clone, Copy, Debug)]
struct FileState {
    /// Slots that hold something.
    held: u64,
    /// Slots that lost what they held.
    bad: u64,
    /// No lease in the file ends before the first, nor after the second.
    leases: (Timestamp, Timestamp),
    /// The file failed to sync: nothing new is written to it before the next start.
    retired: bool,
}

impl FileState {
    /// The bits that must not be given out.
    fn taken(&self) -> u64 {
        if self.retired { u64::MAX } else { self.held | self.bad | !ALL_SLOTS }
    }
}

/// The slots of all files of one kind.
#[derive(Debug, Default)]
pub(super) struct Slots {
    files: BTreeMap<u32, FileState>,
    /// Files that have a free slot.
    roomy: BTreeSet<u32>,
    held: u64,
    bad: u64,
}

impl Slots {
    /// Adds a file with all its slots free.
    pub(super) fn add_file(&mut self, number: u32) {
        let state = FileState { held: 0, bad: 0, leases: NO_LEASES, retired: false };
        self.files.insert(number, state);
        self.roomy.insert(number);
    }

    /// Forgets a file in which nothing is held.
    pub(super) fn remove_file(&mut self, number: u32) {
        if let Some(state) = self.files.remove(&number) {
            debug_assert_eq!(state.held, 0);
            self.bad -= u64::from(state.bad.count_ones());
        }
        self.roomy.remove(&number);
    }

    /// The least number that no file has.
    pub(super) fn next_file(&self) -> u32 {
        self.files.keys().zip(0..).find(|(number, n)| *number != n).map_or(self.files.len() as u32, |(_, n)| n)
    }

    /// How many files there are.
    pub(super) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    /// Slots that hold something.
    pub(super) fn held(&self) -> u64 {
        self.held
    }

    /// Slots out of use.
    pub(super) fn bad(&self) -> u64 {
        self.bad
    }

    /// Numbers of files that hold nothing, the last one first.
    pub(super) fn empty_files(&self) -> Vec<u32> {
        self.files.iter().rev().filter(|(_, state)| state.held == 0).map(|(number, _)| *number).collect()
    }

    /// Numbers of files in which a lease may not be `running`, the one first whose first lease ended first.
    pub(super) fn files_expired(&self, running: &RangeInclusive<Timestamp>) -> Vec<u32> {
        let is_over = |state: &FileState| state.leases.0 < *running.start() || state.leases.1 > *running.end();
        let expired = self.files.iter().filter(|(_, state)| state.held != 0 && is_over(state));
        let mut expired: Vec<_> = expired.map(|(number, state)| (state.leases.0, *number)).collect();
        expired.sort_unstable();
        expired.into_iter().map(|(_, number)| number).collect()
    }

    /// A free slot of the first file that has one; `dice` chooses which, the first if 0. Were it always the first, slots would
    /// follow the order of arrival, and equal places on two nodes' disks would tell that two shards came at about the same time.
    pub(super) fn any_free(&self, dice: u32) -> Option<Slot> {
        let number = *self.roomy.first()?;
        let mut free = !self.files.get(&number)?.taken();
        for _ in 0..dice % free.count_ones().max(1) {
            free &= free - 1;
        }
        Some(Slot::at(number, free.trailing_zeros()))
    }

    /// Marks the slot as holding something until `lease`; a slot that does so already gets a new lease.
    pub(super) fn hold(&mut self, slot: Slot, lease: Timestamp) {
        self.change(slot.file(), |state| {
            state.held |= bit(slot);
            state.leases = (state.leases.0.min(lease), state.leases.1.max(lease));
        });
    }

    /// Marks the slot as free again.
    pub(super) fn free(&mut self, slot: Slot) {
        self.change(slot.file(), |state| state.held &= !bit(slot));
    }

    /// Takes the slot out of use.
    pub(super) fn spoil(&mut self, slot: Slot) {
        self.change(slot.file(), |state| {
            state.held &= !bit(slot);
            state.bad |= bit(slot);
        });
    }

    /// Gives out no more slots of the file.
    pub(super) fn retire(&mut self, number: u32) {
        self.change(number, |state| state.retired = true);
    }

    /// Whether the file failed to sync: what its cells say is not known to be on the disk.
    pub(super) fn is_retired(&self, number: u32) -> bool {
        self.files.get(&number).is_some_and(|state| state.retired)
    }

    /// Changes a file's state, and the sums with it.
    fn change(&mut self, number: u32, change: impl FnOnce(&mut FileState)) {
        let Some(state) = self.files.get_mut(&number) else { return };
        let before = *state;
        change(state);
        self.held = self.held - u64::from(before.held.count_ones()) + u64::from(state.held.count_ones());
        self.bad = self.bad - u64::from(before.bad.count_ones()) + u64::from(state.bad.count_ones());
        if state.taken() == u64::MAX {
            self.roomy.remove(&number);
        } else {
            self.roomy.insert(number);
        }
    }

    /// Sets what [`Slots::files_expired`] goes by, after the cells were looked through.
    pub(super) fn set_leases(&mut self, number: u32, leases: (Timestamp, Timestamp)) {
        if let Some(state) = self.files.get_mut(&number) {
            state.leases = leases;
        }
    }
}

fn bit(slot: Slot) -> u64 {
    1 << slot.cell()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_of_a_file_is_given_out_once_and_again_when_freed() {
        let mut slots = Slots::default();
        assert_eq!(slots.any_free(0), None);
        slots.add_file(0);
        let mut given = BTreeSet::new();
        for dice in 0..SLOTS_PER_FILE {
            let slot = slots.any_free(dice.wrapping_mul(0x9e37_79b9)).unwrap();
            assert!(given.insert(slot.cell()), "given out twice");
            slots.hold(slot, Timestamp(9));
        }
        assert_eq!(given, (1..=SLOTS_PER_FILE).collect());
        assert_eq!((slots.any_free(0), slots.held()), (None, 63));
        slots.free(Slot::at(0, 17));
        assert_eq!((slots.any_free(0), slots.held()), (Some(Slot::at(0, 17)), 62));
        slots.spoil(Slot::at(0, 17));
        assert_eq!((slots.any_free(0), slots.held(), slots.bad()), (None, 62, 1));
    }

    #[test]
    fn dice_choose_among_all_free_slots() {
        let mut slots = Slots::default();
        slots.add_file(0);
        slots.hold(Slot::at(0, 1), Timestamp(9));
        assert_eq!(slots.any_free(0), Some(Slot::at(0, 2)));
        let cells: BTreeSet<u32> = (0..62).filter_map(|dice| slots.any_free(dice)).map(|slot| slot.cell()).collect();
        assert_eq!(cells, (2..=SLOTS_PER_FILE).collect());
    }

    #[test]
    fn a_retired_file_gives_out_nothing_more() {
        let mut slots = Slots::default();
        slots.add_file(0);
        slots.hold(Slot::at(0, 1), Timestamp(9));
        slots.retire(0);
        slots.free(Slot::at(0, 1));
        assert_eq!((slots.any_free(0), slots.held()), (None, 0));
    }

    #[test]
    fn gaps_between_files_are_filled() {
        let mut slots = Slots::default();
        assert_eq!(slots.next_file(), 0);
        slots.add_file(0);
        slots.add_file(2);
        assert_eq!(slots.next_file(), 1);
        slots.add_file(1);
        assert_eq!(slots.next_file(), 3);
    }

    #[test]
    fn only_files_with_an_ended_lease_are_looked_through() {
        let mut slots = Slots::default();
        slots.add_file(0);
        slots.add_file(1);
        slots.hold(Slot::at(0, 1), Timestamp(5));
        slots.hold(Slot::at(1, 1), Timestamp(50));
        let expired = |slots: &Slots, from, to| slots.files_expired(&(Timestamp(from)..=Timestamp(to)));
        assert_eq!(expired(&slots, 5, 50), Vec::<u32>::new());
        assert_eq!(expired(&slots, 6, 50), [0]);
        assert_eq!(expired(&slots, 5, 49), [1]);
        slots.hold(Slot::at(1, 2), Timestamp(4));
        assert_eq!(expired(&slots, 6, 50), [1, 0]);
        slots.set_leases(0, (Timestamp(50), Timestamp(50)));
        slots.set_leases(1, NO_LEASES);
        assert_eq!(expired(&slots, 6, 50), Vec::<u32>::new());
    }
}
