//! How many shards a stripe has: k by its length, n by what it shall survive.

use crate::params::{DATA_SHARDS, DATA_SHARDS_MAX, SEGMENT_BYTES, STRIPE_SHARDS_MAX};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// The probability, per file, with which a published file may be lost when the promised part of the nodes dies at once.
pub const LOSS_MAX: f64 = 1e-6;

/// Numbers that no stripe has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no stripe has {k} data shards of {n}")]
pub struct NoSuchGeometry {
    /// The data shards asked for.
    pub k: u8,
    /// All shards asked for.
    pub n: u8,
}

/// A stripe's numbers: any `k` of its `n` shards rebuild it. `k` is one of [`DATA_SHARDS`], and `k < n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Geometry {
    k: u8,
    n: u8,
}

impl Geometry {
    /// Checks the numbers.
    pub fn new(k: u8, n: u8) -> Result<Geometry, NoSuchGeometry> {
        if DATA_SHARDS.contains(&k) && k < n { Ok(Geometry { k, n }) } else { Err(NoSuchGeometry { k, n }) }
    }

    /// The number of data shards, which are the first ones.
    pub fn k(self) -> usize {
        self.k.into()
    }

    /// The number of all shards.
    pub fn n(self) -> usize {
        self.n.into()
    }
}

impl fmt::Display for Geometry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-of-{}", self.k, self.n)
    }
}

/// What part of the nodes may vanish at once before a file is lost with more than [`LOSS_MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Survive {
    /// 10 %: a tenth.
    Tenth,
    /// 30 %: about a third.
    Third,
    /// 50 %: half.
    #[default]
    Half,
}

impl Survive {
    /// The part of the nodes, between 0 and 1.
    pub fn fraction(self) -> f64 {
        match self {
            Survive::Tenth => 0.1,
            Survive::Third => 0.3,
            Survive::Half => 0.5,
        }
    }
}

impl fmt::Display for Survive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Survive::Tenth => "10%",
            Survive::Third => "30%",
            Survive::Half => "50%",
        })
    }
}

/// A text that is none of the parts we offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("choose 10%, 30% or 50%")]
pub struct UnknownSurvive;

impl FromStr for Survive {
    type Err = UnknownSurvive;

    fn from_str(text: &str) -> Result<Survive, UnknownSurvive> {
        match text {
            "10%" => Ok(Survive::Tenth),
            "30%" => Ok(Survive::Third),
            "50%" => Ok(Survive::Half),
            _ => Err(UnknownSurvive),
        }
    }
}

/// The least number of data shards, of those in [`DATA_SHARDS`], whose segments hold `pack_bytes`; the greatest one if
/// none does.
pub fn data_shards(pack_bytes: usize) -> u8 {
    DATA_SHARDS.into_iter().find(|&k| usize::from(k) * SEGMENT_BYTES >= pack_bytes).unwrap_or(DATA_SHARDS_MAX as u8)
}

/// The geometry for a pack of `pack_bytes` that is one of `stripes`, all of which are needed: the least n with which
/// the file as a whole is lost with at most [`LOSS_MAX`]; [`STRIPE_SHARDS_MAX`] if even that is too few.
pub fn geometry(pack_bytes: usize, survive: Survive, stripes: u64) -> Geometry {
    let k = data_shards(pack_bytes);
    let lost = |n: u8| tail(n.into(), k.into(), 1.0 - survive.fraction()) * stripes.max(1) as f64;
    let n = (k + 1..STRIPE_SHARDS_MAX as u8).find(|&n| lost(n) <= LOSS_MAX).unwrap_or(STRIPE_SHARDS_MAX as u8);
    Geometry { k, n }
}

/// `P(Bin(n, p) < k)`. Only products and sums, so that every machine gets the same geometry.
fn tail(n: u32, k: u32, p: f64) -> f64 {
    let mut term = (0..n).fold(1.0, |product, _| product * (1.0 - p));
    let mut sum = 0.0;
    for i in 0..k {
        sum += term;
        term *= f64::from(n - i) / f64::from(i + 1) * p / (1.0 - p);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::{FILE_BYTES_MAX, PACK_BYTES_MAX};
    use proptest::prelude::*;

    fn numbers(geometry: Geometry) -> (usize, usize) {
        (geometry.k(), geometry.n())
    }

    #[test]
    fn the_numbers_of_the_documentation() {
        assert_eq!(numbers(geometry(PACK_BYTES_MAX, Survive::Half, 1)), (64, 193));
        assert_eq!(numbers(geometry(PACK_BYTES_MAX, Survive::Half, 1000)), (64, 214));
        assert_eq!(numbers(geometry(PACK_BYTES_MAX, Survive::Third, 1000)), (64, 140));
    }

    #[test]
    fn k_is_the_least_that_holds_the_pack() {
        for (bytes, k) in [
            (0, 2),
            (1, 2),
            (2 * SEGMENT_BYTES, 2),
            (2 * SEGMENT_BYTES + 1, 4),
            (16 * SEGMENT_BYTES, 16),
            (16 * SEGMENT_BYTES + 1, 32),
            (PACK_BYTES_MAX, 64),
        ] {
            assert_eq!(geometry(bytes, Survive::Half, 1).k(), k, "{bytes} bytes");
        }
    }

    #[test]
    fn the_code_is_wide_enough_for_any_file() {
        let stripes = FILE_BYTES_MAX / PACK_BYTES_MAX as u64 + 1;
        assert!(geometry(PACK_BYTES_MAX, Survive::Half, stripes).n() < STRIPE_SHARDS_MAX);
    }

    #[test]
    fn survive_is_written_as_it_is_read() {
        for survive in [Survive::Tenth, Survive::Third, Survive::Half] {
            assert_eq!(survive.to_string().parse(), Ok(survive));
        }
        assert_eq!("51%".parse::<Survive>(), Err(UnknownSurvive));
    }

    #[test]
    fn only_known_geometries_exist() {
        assert!(Geometry::new(32, 33).is_ok() && Geometry::new(2, 255).is_ok());
        for (k, n) in [(0, 4), (1, 4), (3, 9), (32, 32), (32, 2), (128, 200)] {
            assert_eq!(Geometry::new(k, n), Err(NoSuchGeometry { k, n }));
        }
    }

    proptest! {
        #[test]
        fn n_is_the_least_that_keeps_the_promise(bytes in 0..=PACK_BYTES_MAX, stripes in 1u64..10_000) {
            for survive in [Survive::Tenth, Survive::Third, Survive::Half] {
                let Geometry { k, n } = geometry(bytes, survive, stripes);
                let lost = |n: u8| tail(n.into(), k.into(), 1.0 - survive.fraction()) * stripes as f64;
                prop_assert!(lost(n) <= LOSS_MAX);
                prop_assert!(n == k + 1 || lost(n - 1) > LOSS_MAX);
            }
        }
    }
}
