//! Which shards belong together: what a coalition of holders can tell of two shards of different stripes, whether they are of the
//! same file, by each thing that it knows of them. Shards of one stripe are not asked about: that is what wardens are told.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use palimpsest_proto::ids::{Locator, NodeId};
use serde::Serialize;

use super::chance::area;
use super::sights::{Seen, Wanted, What};
use crate::sample::SplitMix64;

/// Shards of which all pairs are compared at most; of more, as many are picked by chance.
const SHARDS_MAX: usize = 700;
/// A slot file's header: cells of so many bytes, of which the first is the file's own and the others begin with what the slot
/// holds (`docs/protocol.md`).
const CELL_BYTES: usize = 64;
const CELLS: usize = 64;

/// What a coalition of holders knows of a shard.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// When it came first, and by which middle relay; to which back relay the receipt went.
    pub stored: Option<(Duration, NodeId, Option<NodeId>)>,
    /// When its lease ends, in seconds.
    pub lease: u64,
    /// When it was fetched, as a proof or by readers; in order.
    pub fetched: Vec<Duration>,
    /// Its place among all slots of its disk, from 0 to 1.
    pub place: f64,
}

/// To which file and stripe a shard belongs: the truth that guesses are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Belongs {
    /// The file.
    pub file: usize,
    /// The stripe.
    pub stripe: usize,
}

/// Something by which one may guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clue {
    /// They came at nearly the same time.
    StoredTogether,
    /// They were fetched at nearly the same time, whenever that was.
    FetchedTogether,
    /// Whenever one was fetched, the other was at nearly the same time.
    AlwaysFetchedTogether,
    /// They came by the same relays, or their receipts went by them.
    SameRelays,
    /// Their leases end alike.
    SameLease,
    /// They lie in slots as far from the beginning of their disks.
    SamePlace,
}

impl Clue {
    /// All.
    pub const ALL: [Self; 6] = [
        Self::StoredTogether,
        Self::FetchedTogether,
        Self::AlwaysFetchedTogether,
        Self::SameRelays,
        Self::SameLease,
        Self::SamePlace,
    ];

    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::StoredTogether => "stored at the same time",
            Self::FetchedTogether => "fetched at the same time",
            Self::AlwaysFetchedTogether => "always fetched at the same time",
            Self::SameRelays => "came by the same relays",
            Self::SameLease => "leased until the same day",
            Self::SamePlace => "at the same place of the disk",
        }
    }

    /// Whether it takes a clock: that somebody looked on when it happened.
    #[must_use]
    pub fn needs_clock(self) -> bool {
        matches!(self, Self::StoredTogether | Self::FetchedTogether | Self::AlwaysFetchedTogether)
    }

    /// The likelier, the more: comparable with what other pairs get only.
    fn score(self, a: &Known, b: &Known) -> Option<f64> {
        let apart = |a: Duration, b: Duration| -a.abs_diff(b).as_secs_f64();
        Some(match self {
            Self::StoredTogether => apart(a.stored?.0, b.stored?.0),
            Self::FetchedTogether => -nearest(&a.fetched, &b.fetched)?.as_secs_f64(),
            Self::AlwaysFetchedTogether => {
                let mean = |a: &[Duration], b: &[Duration]| {
                    let each = a.iter().map(|one| nearest(std::slice::from_ref(one), b));
                    let sum = each.sum::<Option<Duration>>()?;
                    (!a.is_empty()).then(|| sum.as_secs_f64() / a.len() as f64)
                };
                -(mean(&a.fetched, &b.fetched)? + mean(&b.fetched, &a.fetched)?)
            }
            Self::SameRelays => {
                let ((_, from_a, to_a), (_, from_b, to_b)) = (a.stored?, b.stored?);
                f64::from(u8::from(from_a == from_b)) + f64::from(u8::from(to_a.is_some() && to_a == to_b))
            }
            Self::SameLease => f64::from(u8::from(a.lease == b.lease)),
            Self::SamePlace => -(a.place - b.place).abs(),
        })
    }
}

/// How near a moment of one comes to one of the other, both in order.
fn nearest(a: &[Duration], b: &[Duration]) -> Option<Duration> {
    let (mut a, mut b, mut least) = (a.iter().peekable(), b.iter().peekable(), None::<Duration>);
    while let (Some(one), Some(other)) = (a.peek(), b.peek()) {
        let apart = one.abs_diff(**other);
        least = Some(least.map_or(apart, |least| least.min(apart)));
        if one < other {
            a.next()
        } else {
            b.next()
        };
    }
    least
}

/// What a guess by one clue is worth.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Worth {
    /// By what.
    pub clue: Clue,
    /// The chance that it ranks a pair of one file before a pair of two; one half is a coin.
    pub auc: f64,
    /// Pairs of one file, and of two, that were compared.
    pub pairs: (usize, usize),
}

/// What each clue is worth for the shards that a coalition holds. Clues without pairs of both kinds are left out.
#[must_use]
pub fn worth(shards: &[(Known, Belongs)], seed: u64) -> Vec<Worth> {
    let mut dice = SplitMix64::new(seed);
    let mut picked: Vec<&(Known, Belongs)> = shards.iter().collect();
    while picked.len() > SHARDS_MAX {
        picked.swap_remove((dice.next_u64() % picked.len() as u64) as usize);
    }
    let worth = |clue: Clue| {
        let (mut alike, mut unlike) = (Vec::new(), Vec::new());
        for (place, (a, a_belongs)) in picked.iter().enumerate() {
            for (b, b_belongs) in &picked[..place] {
                if a_belongs.stripe == b_belongs.stripe {
                    continue;
                }
                if let Some(score) = clue.score(a, b) {
                    (if a_belongs.file == b_belongs.file { &mut alike } else { &mut unlike }).push(score);
                }
            }
        }
        Some(Worth { clue, auc: area(&alike, &unlike)?, pairs: (alike.len(), unlike.len()) })
    };
    Clue::ALL.into_iter().filter_map(worth).collect()
}

/// What these nodes saw of shards: the first store and all fetches of each, beside what their disks say (`places`).
#[must_use]
pub fn known(pooled: &[Seen], places: &HashMap<Locator, f64>) -> HashMap<Locator, Known> {
    let mut known: HashMap<Locator, Known> = HashMap::new();
    let answered: HashMap<_, _> = pooled
        .iter()
        .filter_map(|one| match one.what {
            What::Answered { to, came, .. } => Some((came, to)),
            _ => None,
        })
        .collect();
    for one in pooled {
        let What::Asked { from, came, wanted } = one.what else { continue };
        match wanted {
            Wanted::Store(locator, lease) => {
                let Some(&place) = places.get(&locator) else { continue };
                let stored = Some((one.at, from, answered.get(&came).copied()));
                known.entry(locator).or_insert(Known { stored, lease: lease.0, fetched: Vec::new(), place });
            }
            Wanted::Fetch(locator) => {
                if let Some(known) = known.get_mut(&locator) {
                    known.fetched.push(one.at);
                }
            }
            Wanted::PutRecord(_) | Wanted::GetRecord(_) | Wanted::Other => {}
        }
    }
    known
}

/// Where each shard lies on a node's disk: which of all its slots, from 0 to 1.
///
/// # Errors
/// The disk cannot be read.
pub fn places(node: &Path) -> io::Result<Vec<(Locator, f64)>> {
    let dir = node.join("store").join("shards");
    // A node that never held anything has none.
    let Ok(entries) = std::fs::read_dir(&dir) else { return Ok(Vec::new()) };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    let mut found: Vec<(Locator, usize)> = Vec::new();
    for (number, path) in files.iter().enumerate() {
        let mut header = [0; CELLS * CELL_BYTES];
        File::open(path)?.read_exact_at(&mut header, 0)?;
        for (cell, bytes) in header.chunks_exact(CELL_BYTES).enumerate().skip(1) {
            if let Some(key) = bytes.first_chunk::<32>().filter(|key| **key != [0; 32]) {
                found.push((Locator(*key), number * CELLS + cell));
            }
        }
    }
    let slots = (files.len() * CELLS).max(1) as f64;
    Ok(found.into_iter().map(|(locator, slot)| (locator, slot as f64 / slots)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::sights::tests::{id, ms};
    use super::{Belongs, Clue, Known, nearest, worth};

    /// Four files of two stripes of five shards each. A file comes within ten milliseconds; the next one begins so much later.
    fn files(pause: u64) -> Vec<(Known, Belongs)> {
        let shard = |number: u64| {
            let (file, stripe) = (number / 10, number / 5);
            let at = ms(file * pause + number % 10);
            let known = Known {
                stored: Some((at, id((number * 7 % 5) as u8), None)),
                lease: 86_400,
                fetched: Vec::new(),
                place: (number * 13 % 40) as f64 / 64.0,
            };
            (known, Belongs { file: file as usize, stripe: stripe as usize })
        };
        (0..40).map(shard).collect()
    }

    fn auc(shards: &[(Known, Belongs)], wanted: Clue) -> Option<f64> {
        worth(shards, 1).iter().find(|worth| worth.clue == wanted).map(|worth| worth.auc)
    }

    #[test]
    fn what_comes_one_after_the_other_is_told_apart_by_time_alone() {
        let apart = files(1_000);
        assert_eq!(auc(&apart, Clue::StoredTogether), Some(1.0));
        assert_eq!(auc(&apart, Clue::SameLease), Some(0.5));
        assert_eq!(auc(&apart, Clue::FetchedTogether), None, "nothing was fetched");
        let relays = auc(&apart, Clue::SameRelays).unwrap();
        assert!((0.3..0.6).contains(&relays), "{relays}");
        // All at once: shards of two stripes of one file are five apart, and those of others come within the same time.
        let together = auc(&files(0), Clue::StoredTogether).unwrap();
        assert!(together < 0.55, "{together}");
    }

    #[test]
    fn of_many_fetches_the_nearest_two_tell() {
        let (early, late) = ([ms(10), ms(500)], [ms(100), ms(470), ms(900)]);
        assert_eq!(nearest(&early, &late), Some(ms(30)));
        assert_eq!(nearest(&late, &early), Some(ms(30)));
        assert_eq!(nearest(&early[..1], &late), Some(ms(90)));
        assert_eq!(nearest(&early, &[]), None);
        // Each shard is fetched as a proof at a moment that has nothing to do with its file; then each file twice, by readers who come
        // one after the other.
        let mut fetched = files(0);
        for (number, (known, belongs)) in fetched.iter_mut().enumerate() {
            let reader = |number: u64| ms(100_000 * number + 1_000 * belongs.file as u64 + belongs.stripe as u64);
            known.fetched = vec![ms(number as u64 * 17 % 40 * 50), reader(1), reader(2)];
        }
        for clue in [Clue::FetchedTogether, Clue::AlwaysFetchedTogether] {
            assert!(auc(&fetched, clue).unwrap() > 0.95, "{clue:?}: {:?}", auc(&fetched, clue));
        }
        fetched.iter_mut().for_each(|(known, _)| known.fetched.truncate(1));
        let proofs = auc(&fetched, Clue::AlwaysFetchedTogether).unwrap();
        assert!((0.3..0.7).contains(&proofs), "{proofs}");
    }

    #[test]
    fn leases_and_slots_that_tell_are_found() {
        let mut telling = files(0);
        for (known, belongs) in &mut telling {
            known.lease = belongs.file as u64;
            known.place = belongs.file as f64 / 64.0;
        }
        assert_eq!(auc(&telling, Clue::SameLease), Some(1.0));
        assert_eq!(auc(&telling, Clue::SamePlace), Some(1.0));
    }
}
