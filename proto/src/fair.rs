//! Fair use without money: who wants a filling node to keep something does work first, and the node sees at a glance
//! that it was done.
//!
//! ```text
//! key     = derive["palimpsest 1 stamp"](holder 32 ‖ lease end u64 ‖ the names 32 each)
//! stamp   = a nonce u64 such that BLAKE3-keyed(key, nonce) begins with as many zero bits as the price says
//! price   0 while at most half of the holder is taken; 2^20 hashes for a shard at 95 %
//! ```
//!
//! A stamp is bound to the holder, the names and the end of the lease: for anything else it is worth no more than a
//! random number. Used a second time it renews the same lease of the same thing at the same holder, which changes
//! nothing, so nobody has to remember stamps.

use crate::crypto;
use crate::ids::{Locator, NodeId, RecordAddress};
use crate::labels;
use crate::params::PROBE_LOCATORS_MAX;
use crate::time::Timestamp;
use thiserror::Error;

/// Up to this fill, in per cent, everything is free: an empty network needs no protection.
pub const FREE_FILL: u8 = 50;
/// From this fill on, in per cent, the price rises no more.
pub const FULL_FILL: u8 = 95;
/// Prices change at multiples of so many per cent. A node says its fill in the same steps, so that a price is mostly known
/// before it is asked for.
pub const FILL_STEP: u8 = 5;
/// The price at [`FULL_FILL`], in bits, of one shard or record for one [`LEASE_UNIT_SECONDS`]: 2^20 hashes, about 0.08 s
/// of one core. At 64 KiB a shard, a core then fills less than a slow line.
pub const FULL_BITS: u8 = 20;
/// Leases are priced by the quarter of a year, begun ones in full; the default lease, rounded up to a day, is one.
pub const LEASE_UNIT_SECONDS: u64 = 92 * 86_400;
/// No price is higher, in bits: a full node, as many shards as one request names, and the longest lease.
pub const PRICE_BITS_MAX: u8 = FULL_BITS + PROBE_LOCATORS_MAX.ilog2() as u8 + 2;
/// Tries for one stamp, as bits on top of its price: that none of them is one happens to nobody (e^-32).
const SPARE_BITS: u8 = 5;

/// The stamp does not pay the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a stamp that does not pay {bits} bits")]
pub struct Unpaid {
    /// The price.
    pub bits: u8,
}

/// What a stamp is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Puzzle([u8; 32]);

impl Puzzle {
    /// For shards kept by `holder` until `lease_until`, in this order.
    pub fn of_shards(holder: &NodeId, locators: &[Locator], lease_until: Timestamp) -> Puzzle {
        Puzzle::of(holder, lease_until, locators.iter().map(|locator| &locator.0))
    }

    /// For records, in this order.
    pub fn of_records<'a>(
        holder: &NodeId,
        addresses: impl IntoIterator<Item = &'a RecordAddress>,
        lease_until: Timestamp,
    ) -> Puzzle {
        Puzzle::of(holder, lease_until, addresses.into_iter().map(|address| &address.0))
    }

    fn of<'a>(holder: &NodeId, lease_until: Timestamp, names: impl Iterator<Item = &'a [u8; 32]>) -> Puzzle {
        let mut material = [&holder.0[..], &lease_until.0.to_le_bytes()].concat();
        names.for_each(|name| material.extend_from_slice(name));
        Puzzle(crypto::derive(labels::STAMP, &material))
    }

    fn zeros(&self, nonce: u64) -> u32 {
        let hash = blake3::keyed_hash(&self.0, &nonce.to_le_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        u64::from_be_bytes(first).leading_zeros()
    }
}

/// A proof of work, bound to what it is for ([`Puzzle`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stamp(pub u64);

impl Stamp {
    /// What goes with an ask that costs nothing.
    pub const NONE: Stamp = Stamp(0);

    /// Searches a stamp of `bits` from the nonce `start` on: 2^bits tries on average, each of some 75 ns, and a bounded
    /// number of them. `None` if the bound is reached, or if `bits` is more than [`PRICE_BITS_MAX`].
    ///
    /// A random `start` keeps two stamps from telling that one person worked them.
    pub fn work(puzzle: &Puzzle, bits: u8, start: u64) -> Option<Stamp> {
        if bits == 0 {
            return Some(Stamp::NONE);
        }
        if bits > PRICE_BITS_MAX {
            return None;
        }
        let tries = 1_u64 << (bits + SPARE_BITS);
        (0..tries).map(|i| start.wrapping_add(i)).find(|&nonce| puzzle.zeros(nonce) >= u32::from(bits)).map(Stamp)
    }

    /// Whether it pays `bits`: one hash.
    pub fn verify(self, puzzle: &Puzzle, bits: u8) -> Result<(), Unpaid> {
        if bits == 0 || puzzle.zeros(self.0) >= u32::from(bits) { Ok(()) } else { Err(Unpaid { bits }) }
    }
}

/// The price, in bits, that a holder of which `fill` per cent are taken asks at `now` for keeping so many `shards` (or
/// records) until `lease_until`. Never more than [`PRICE_BITS_MAX`].
pub fn price(fill: u8, shards: usize, now: Timestamp, lease_until: Timestamp) -> u8 {
    let fill = fill.min(FULL_FILL) / FILL_STEP * FILL_STEP;
    if fill <= FREE_FILL {
        return 0;
    }
    let ramp = u16::from(fill - FREE_FILL) * u16::from(FULL_BITS) / u16::from(FULL_FILL - FREE_FILL);
    let units = lease_until.0.saturating_sub(now.0).div_ceil(LEASE_UNIT_SECONDS);
    let bits = u32::from(ramp) + doublings(shards as u64) + doublings(units);
    u8::try_from(bits).map_or(PRICE_BITS_MAX, |bits| bits.min(PRICE_BITS_MAX))
}

/// The least fill, in per cent, at which an honest holder asks for at least `bits`; `None` if none does.
pub fn fill_of_price(bits: u8, shards: usize, now: Timestamp, lease_until: Timestamp) -> Option<u8> {
    (FREE_FILL..=FULL_FILL).step_by(usize::from(FILL_STEP)).find(|&fill| price(fill, shards, now, lease_until) >= bits)
}

/// log2, rounded up; 0 of 0 and 1.
fn doublings(n: u64) -> u32 {
    u64::BITS - n.saturating_sub(1).leading_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::LEASE_SECONDS_MAX;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn puzzle(seed: u8) -> Puzzle {
        Puzzle::of_shards(&NodeId([1; 32]), &[Locator([seed; 32])], NOW)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn work_pays_its_price_and_anything_below(seed: u8, bits in 0..=12u8, start: u64) {
            let stamp = Stamp::work(&puzzle(seed), bits, start).unwrap();
            for less in 0..=bits {
                prop_assert_eq!(stamp.verify(&puzzle(seed), less), Ok(()));
            }
            prop_assert_eq!(stamp.verify(&puzzle(seed), 64), Err(Unpaid { bits: 64 }));
        }

        #[test]
        fn the_price_rises_with_fill_number_and_lease(fill in 0..=200u8, more in 0..=50u8, shards in 1..=32usize,
                                                      lease in 0..2 * LEASE_SECONDS_MAX, longer in 0..LEASE_SECONDS_MAX) {
            let price = |fill: u8, shards, lease| price(fill, shards, NOW, NOW.plus(lease));
            let base = price(fill, shards, lease);
            prop_assert!(base <= PRICE_BITS_MAX);
            prop_assert!(base <= price(fill.saturating_add(more), shards, lease));
            prop_assert!(base <= price(fill, shards + 1, lease));
            prop_assert!(base <= price(fill, shards, lease + longer));
            prop_assert!(fill > 54 || base == 0);
        }

        #[test]
        fn a_holder_that_asks_what_its_fill_allows_is_understood(fill in 0..=100u8, shards in 1..=32usize,
                                                                 lease in 1..LEASE_SECONDS_MAX) {
            let until = NOW.plus(lease);
            let bits = price(fill, shards, NOW, until);
            let implied = fill_of_price(bits, shards, NOW, until).unwrap();
            prop_assert_eq!(price(implied, shards, NOW, until), bits);
            let most = price(100, shards, NOW, until);
            prop_assert_eq!(fill_of_price(most + 1, shards, NOW, until), None);
        }
    }

    #[test]
    fn the_price_rises_in_small_steps_to_the_named_bound() {
        let day = NOW.plus(86_400);
        let prices: Vec<u8> = (50..=100).step_by(5).map(|fill| price(fill, 1, NOW, day)).collect();
        assert_eq!(prices, [0, 2, 4, 6, 8, 11, 13, 15, 17, 20, 20]);
        assert_eq!(price(100, PROBE_LOCATORS_MAX, NOW, NOW.plus(LEASE_SECONDS_MAX)), PRICE_BITS_MAX);
        assert_eq!(price(100, usize::MAX, NOW, Timestamp(u64::MAX)), PRICE_BITS_MAX);
        assert_eq!(price(100, 1, NOW, NOW.minus(1)), FULL_BITS);
        assert_eq!(price(100, 1, NOW, NOW.plus(91 * 86_400)), FULL_BITS);
    }

    /// What pays for one holder, name or lease pays for no other, but by chance (2^-16 each).
    #[test]
    fn a_stamp_is_bound_to_holder_name_and_lease() {
        let (holder, locator) = (NodeId([1; 32]), Locator([2; 32]));
        let paid = Puzzle::of_shards(&holder, &[locator], NOW);
        let stamp = Stamp::work(&paid, 16, 0).unwrap();
        assert_eq!(stamp.verify(&paid, 16), Ok(()));
        for other in [
            Puzzle::of_shards(&NodeId([3; 32]), &[locator], NOW),
            Puzzle::of_shards(&holder, &[Locator([3; 32])], NOW),
            Puzzle::of_shards(&holder, &[locator], NOW.plus(1)),
            Puzzle::of_shards(&holder, &[locator, locator], NOW),
            Puzzle::of_shards(&holder, &[], NOW),
            Puzzle::of_records(&holder, &[RecordAddress([3; 32])], NOW),
        ] {
            assert_eq!(stamp.verify(&other, 16), Err(Unpaid { bits: 16 }));
        }
    }

    #[test]
    fn known_stamps() {
        let stamps = [1, 8, 16].map(|bits| Stamp::work(&puzzle(2), bits, 0).unwrap().0);
        assert_eq!(stamps, [4, 326, 75_386]);
    }

    #[test]
    fn work_is_bounded() {
        assert_eq!(Stamp::work(&puzzle(0), PRICE_BITS_MAX + 1, 0), None);
        assert_eq!(Stamp::work(&puzzle(0), 255, 0), None);
    }
}
