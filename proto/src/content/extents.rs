//! Where a file's bytes lie in the level-0 stream.

use crate::params::EXTENTS_MAX;
use std::ops::Range;

/// A part of the level-0 stream that stands in the file `times` times in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where in the stream it begins, in bytes.
    pub offset: u64,
    /// Bytes of it, more than none.
    pub len: u64,
    /// How often it stands in a row, at least once.
    pub times: u32,
}

impl Extent {
    /// Bytes of the file that it makes; `None` if that is beyond all numbers.
    pub(super) fn total(&self) -> Option<u64> {
        self.len.checked_mul(self.times.into())
    }
}

/// The extents of a file whose chunks come one after the other.
#[derive(Debug, Default)]
pub(super) struct ExtentList {
    extents: Vec<Extent>,
}

impl ExtentList {
    /// The next chunk lies at `offset`: joined to the extents before it where possible. The bound is kept by asking
    /// [`ExtentList::is_full`] before each chunk.
    pub(super) fn push(&mut self, offset: u64, len: u64) {
        match self.extents.last_mut() {
            Some(last) if last.times == 1 && last.offset + last.len == offset => last.len += len,
            _ => self.extents.push(Extent { offset, len, times: 1 }),
        }
        // What was just completed may repeat what stands in front of it.
        if let [.., before, last] = &mut self.extents[..]
            && (before.offset, before.len, last.times) == (last.offset, last.len, 1)
            && before.times < u32::MAX
        {
            before.times += 1;
            self.extents.pop();
        }
    }

    /// True if only chunks that continue the stream may follow. Two extents are kept free: such a chunk may need one,
    /// and a chunk that is being joined takes one for a moment.
    pub(super) fn is_full(&self) -> bool {
        self.extents.len() + 2 >= EXTENTS_MAX
    }

    pub(super) fn into_vec(self) -> Vec<Extent> {
        self.extents
    }
}

/// The parts of the stream that make `range` of the file, in order; lazily, since an extent may repeat very often.
/// What of `range` lies behind the file's end is left out.
pub(super) fn map(extents: &[Extent], range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let mut extents = extents.iter().copied();
    let mut current = extents.next();
    // Bytes to skip in the current extent and its repetitions, and bytes to give out.
    let mut at = range.start;
    let mut left = range.end.saturating_sub(range.start);
    std::iter::from_fn(move || {
        while left > 0 {
            let extent = current?;
            let total = extent.len.saturating_mul(extent.times.into());
            if at >= total {
                at -= total;
                current = extents.next();
                continue;
            }
            let within = at % extent.len;
            let start = extent.offset + within;
            let len = (extent.len - within).min(left);
            at += len;
            left -= len;
            return Some(start..start + len);
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn listed(chunks: &[(u64, u64)]) -> Vec<Extent> {
        let mut list = ExtentList::default();
        chunks.iter().for_each(|&(offset, len)| list.push(offset, len));
        list.into_vec()
    }

    #[test]
    fn chunks_without_duplicates_are_one_extent() {
        assert_eq!(listed(&[(0, 5), (5, 3), (8, 9)]), [Extent { offset: 0, len: 17, times: 1 }]);
    }

    #[test]
    fn repeated_chunks_are_one_extent() {
        assert_eq!(listed(&[(0, 5); 1000]), [Extent { offset: 0, len: 5, times: 1000 }]);
        let pairs = [(0, 5), (5, 3), (0, 5), (5, 3), (0, 5), (5, 3)];
        assert_eq!(listed(&pairs), [Extent { offset: 0, len: 8, times: 3 }]);
    }

    #[test]
    fn mapping_skips_repetitions_without_walking_them() {
        let extents = [Extent { offset: 10, len: 5, times: u32::MAX }, Extent { offset: 2, len: 1, times: 1 }];
        let end = 5 * u64::from(u32::MAX);
        assert_eq!(map(&extents, end - 2..end + 9).collect::<Vec<_>>(), [13..15, 2..3]);
        assert_eq!(map(&extents, 3..7).collect::<Vec<_>>(), [13..15, 10..12]);
    }

    proptest! {
        #[test]
        fn any_range_maps_to_its_bytes(chunks in proptest::collection::vec((0u64..4, 1u64..4), 1..60), from in 0u64..200, len in 0u64..200) {
            let naive: Vec<u64> = chunks.iter().flat_map(|&(offset, len)| offset..offset + len).collect();
            let extents = listed(&chunks);
            let mapped: Vec<u64> = map(&extents, from..from + len).flatten().collect();
            let wanted: Vec<u64> = naive.into_iter().skip(from as usize).take(len as usize).collect();
            prop_assert_eq!(mapped, wanted);
        }
    }
}
