//! Which shards belong together, in small: with few files chance alone makes a coin look better than it is, so how much is measured too.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{AUC_MOST, Batch, Clue, CrowdOptions, CrowdReport, Record, judge, record};
use crate::anonymity::affinity::{Belongs, Known, worth};
use crate::anonymity::sights::journeys;

/// Shards that are compared, and how often their stripes are dealt to files by chance.
const SHARDS: usize = 300;
const DEALS: u64 = 60;
/// Standard deviations above the bound that are left to chance. Most clues are coins, and the bound is two to four more above a coin.
const DEVIATIONS: f64 = 3.0;
/// No more than this: where chance could make more of a clue, stripes come one by one, and that is what shall not be.
const MARGIN_MAX: f64 = 0.1;

/// Stripes that are given to files anew by chance, those of about one size among each other: what has fewer shards, or none that is
/// data, comes at another time.
fn dealt(shards: &[(Known, Belongs)], sizes: &BTreeMap<usize, usize>, dice: &mut StdRng) -> Vec<(Known, Belongs)> {
    let files: BTreeMap<usize, usize> = shards.iter().map(|(_, belongs)| (belongs.stripe, belongs.file)).collect();
    let mut alike: BTreeMap<u32, Vec<(usize, usize)>> = BTreeMap::new();
    for (stripe, file) in files {
        alike.entry(sizes[&stripe].ilog2()).or_default().push((stripe, file));
    }
    let mut file_of = HashMap::new();
    for pairs in alike.into_values() {
        let (stripes, mut files): (Vec<usize>, Vec<usize>) = pairs.into_iter().unzip();
        files.shuffle(dice);
        file_of.extend(stripes.into_iter().zip(files));
    }
    let anew = |belongs: &Belongs| Belongs { file: file_of[&belongs.stripe], stripe: belongs.stripe };
    shards.iter().map(|(known, belongs)| (known.clone(), anew(belongs))).collect()
}

/// How far from a coin a clue comes by chance: its standard deviation where files are made of stripes by chance.
fn deviations(record: &Record, batch: Batch) -> HashMap<&'static str, f64> {
    let seats: BTreeSet<usize> = (0..record.members.len()).collect();
    let mut dice = StdRng::seed_from_u64(1);
    let mut shards = record.shards(&journeys(&record.seen), &seats, &record.seen, batch);
    let mut sizes: BTreeMap<usize, usize> = BTreeMap::new();
    shards.iter().for_each(|(_, belongs)| *sizes.entry(belongs.stripe).or_default() += 1);
    shards.shuffle(&mut dice);
    shards.truncate(SHARDS);
    let mut sums: HashMap<&'static str, f64> = HashMap::new();
    for deal in 0..DEALS {
        for one in worth(&dealt(&shards, &sizes, &mut dice), deal) {
            *sums.entry(one.clue.name()).or_default() += (one.auc - 0.5).powi(2);
        }
    }
    sums.into_iter().map(|(clue, sum)| (clue, (sum / DEALS as f64).sqrt())).collect()
}

/// The clues by which shards of one file are told, of what was published and read at once, and spread; and whether that was above the
/// coin or below.
fn told_by(record: &Record, report: &CrowdReport) -> BTreeSet<(Batch, &'static str, bool)> {
    let mut told = BTreeSet::new();
    for batch in [Batch::AtOnce, Batch::Spread] {
        let by_chance = deviations(record, batch);
        let of_batch: Vec<_> = report.affinity.iter().filter(|one| one.batch == batch).collect();
        assert_eq!(of_batch.len(), Clue::ALL.len(), "{of_batch:?}");
        for one in of_batch {
            let most = AUC_MOST + (DEVIATIONS * by_chance[one.clue.name()]).min(MARGIN_MAX);
            println!("{batch:?} {:?}: {:.3}, at most {most:.3}", one.clue, one.auc);
            if one.worth() > most {
                told.insert((batch, one.clue.name(), one.auc > 0.5));
            }
        }
    }
    told
}

/// Holders that pool all they know do not tell which shards are of one file, if others publish and read at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_of_a_file_are_told_by_no_clue_where_others_are_there() {
    let (bytes, spread, coalition) = (5 << 20, Duration::from_secs(6), vec![0.4]);
    let mut options = CrowdOptions { nodes: 10, files: 8, bytes, readers: 1, spread, coalition, seed: 1 };
    let first = record(&options).await.unwrap();
    let report = judge(&first, &options);
    let mut told = told_by(&first, &report);
    // Of so many clues one is beyond three deviations now and then. What tells, tells again, and the same.
    if !told.is_empty() {
        options.seed += 1;
        let second = record(&options).await.unwrap();
        told = &told & &told_by(&second, &judge(&second, &options));
    }
    assert!(told.is_empty(), "{told:?}");
    // The measure can fail: where nobody else is there, time tells all.
    let alone = report.affinity.iter().find(|one| (one.batch, one.clue) == (Batch::Alone, Clue::StoredTogether));
    assert!(alone.unwrap().auc > 0.9, "{alone:?}");
}
