mod churn;

use super::*;
use crate::time::Moment;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const POLICY: RepairPolicy = RepairPolicy {
    low: 0.7,
    spare: 0.5,
    patience: Duration::from_secs(86_400),
    sample: 8,
    surveys: 24,
    fresh: Duration::from_secs(120),
    retry: Duration::from_secs(300),
};

fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(1_000_000 + seconds))
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

/// `present` of `n` shards, the last ones missing.
fn survey(n: usize, present: usize) -> Vec<bool> {
    (0..n).map(|i| i < present).collect()
}

fn geometry() -> impl Strategy<Value = (usize, usize)> {
    (prop::sample::select(vec![2usize, 4, 8, 16, 32]), 1..200usize).prop_map(|(k, more)| (k, (k + more).min(255)))
}

/// A machine that the table sent to survey, and what it wants after the survey.
fn after_survey(n: usize, k: usize, present: usize) -> (Repair, RepairStep) {
    let mut repair = Repair::new(n, k, POLICY);
    assert!(matches!(repair.poll(at(0), Duty::Watch, 0, &mut rng()), RepairStep::Sample(_)));
    repair.sampled(0, &[Audited::Missing; 8]);
    assert_eq!(repair.poll(at(0), Duty::Watch, 0, &mut rng()), RepairStep::Survey);
    repair.surveyed(at(1), 0, &survey(n, present));
    let step = repair.poll(at(2), Duty::Watch, 0, &mut rng());
    (repair, step)
}

proptest! {
    #[test]
    fn thresholds_leave_spare((k, n) in geometry()) {
        let threshold = POLICY.threshold(n, k);
        prop_assert!(k <= threshold && threshold < n);
        prop_assert!(threshold as f64 >= (0.7 * n as f64).floor().min(n as f64 - 1.0));
    }

    /// Below the threshold, and while there is something to rebuild from, all that is missing is repaired; above it
    /// nothing; and after a repair the stripe rests.
    #[test]
    fn a_survey_decides((k, n) in geometry(), present in 0..255usize) {
        let present = present.min(n);
        let (mut repair, step) = after_survey(n, k, present);
        let missing: Vec<u8> = (present..n).map(|i| i as u8).collect();
        if present < k {
            prop_assert_eq!(step, RepairStep::Rest(Some(at(1) + POLICY.retry)));
            prop_assert_eq!(repair.poll(at(1) + POLICY.retry, Duty::Off, 0, &mut rng()), RepairStep::Survey);
        } else if present <= POLICY.threshold(n, k) {
            prop_assert_eq!(step, RepairStep::Repair(missing.clone()));
            // Said again until it is done, whoever is on duty meanwhile.
            prop_assert_eq!(repair.poll(at(3), Duty::Off, 0, &mut rng()), RepairStep::Repair(missing.clone()));
            repair.repaired(at(60), &missing);
            prop_assert_eq!(repair.estimate(0), n);
            for duty in [Duty::Off, Duty::Watch] {
                prop_assert_eq!(repair.poll(at(61), duty, 0, &mut rng()), RepairStep::Rest(None));
            }
        } else {
            let until = (present < n).then(|| at(1) + POLICY.patience);
            prop_assert_eq!(step, RepairStep::Rest(until));
        }
    }

    /// Above the threshold nothing is repaired until a shard is missing for longer than the patience, and that is looked for again
    /// first: what came back is left alone.
    #[test]
    fn patience_ends(n in 50..200usize, gone in 1..10usize, back in 0..10usize) {
        let back = back.min(gone);
        let (mut repair, _) = after_survey(n, 8, n - gone);
        let end = at(1) + POLICY.patience;
        prop_assert_eq!(repair.poll(end - Duration::from_secs(1), Duty::Watch, 0, &mut rng()), RepairStep::Rest(Some(end)));
        prop_assert_eq!(repair.poll(end, Duty::Off, 0, &mut rng()), RepairStep::Survey);
        // Another one went missing meanwhile: alone it would wait until its time is over.
        let mut proven = survey(n, n - gone + back);
        proven[0] = false;
        repair.surveyed(end, 0, &proven);
        let step = repair.poll(end, Duty::Off, 0, &mut rng());
        let missing: Vec<u8> = std::iter::once(0).chain((n - gone + back..n).map(|i| i as u8)).collect();
        if back == gone {
            prop_assert_eq!(step, RepairStep::Rest(Some(end + POLICY.patience)));
        } else {
            prop_assert_eq!(step, RepairStep::Repair(missing));
        }
    }

    /// Whatever samples and the table say, without a survey nothing is repaired.
    #[test]
    fn liars_bring_about_a_survey_and_no_more((k, n) in geometry(), proven in 0..=8usize, by_table in 0..255usize, seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut repair = Repair::new(n, k, POLICY);
        let by_table = by_table.min(n);
        let outcomes: Vec<Audited> =
            (0..8).map(|i| if i < proven { Audited::Proven } else { Audited::Missing }).collect();
        for second in 0..50 {
            let duty = [Duty::Off, Duty::Watch, Duty::Audit][rng.random_range(0..3)];
            match repair.poll(at(second), duty, by_table, &mut rng) {
                RepairStep::Sample(shards) => {
                    prop_assert_eq!(shards.len(), n.min(8));
                    prop_assert!(shards.iter().all(|&shard| usize::from(shard) < n));
                    repair.sampled(by_table, &outcomes);
                }
                RepairStep::Repair(_) => prop_assert!(false, "a repair without a survey"),
                RepairStep::Survey => {
                    repair.surveyed(at(second), by_table, &survey(n, n));
                    prop_assert_eq!(repair.estimate(by_table), n);
                }
                RepairStep::Rest(_) => {}
            }
        }
    }

    /// The machine never panics, and whatever it is told it does not repair what the last survey has found, nor anything
    /// while more than the threshold is there and nothing is missing for long.
    #[test]
    fn whatever_happens_repairs_have_a_reason((k, n) in geometry(), seed: u64) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut repair = Repair::new(n, k, POLICY);
        let mut last: Option<(Moment, Vec<bool>)> = None;
        let mut now = at(0);
        let mut missed_since = vec![None; n];
        for _ in 0..60 {
            now = now + Duration::from_secs(rng.random_range(0..20_000));
            let by_table = rng.random_range(0..=n);
            match repair.poll(now, [Duty::Off, Duty::Watch, Duty::Audit][rng.random_range(0..3)], by_table, &mut rng) {
                RepairStep::Rest(until) => prop_assert!(until.is_none_or(|until| until > now)),
                RepairStep::Sample(shards) => {
                    let outcomes: Vec<Audited> = shards
                        .iter()
                        .map(|_| [Audited::Proven, Audited::Missing, Audited::Unknown][rng.random_range(0..3)])
                        .collect();
                    repair.sampled(by_table, &outcomes);
                }
                RepairStep::Survey => {
                    let chance = rng.random_range(0.0..1.0);
                    let proven: Vec<bool> = (0..n).map(|_| rng.random_bool(chance)).collect();
                    for (since, proven) in missed_since.iter_mut().zip(&proven) {
                        *since = if *proven { None } else { since.or(Some(now)) };
                    }
                    repair.surveyed(now, by_table, &proven);
                    last = Some((now, proven));
                }
                RepairStep::Repair(shards) => {
                    let (surveyed, proven) = last.as_ref().unwrap();
                    let present = proven.iter().filter(|proven| **proven).count();
                    prop_assert!(now.since(*surveyed) < POLICY.fresh && present >= k && !shards.is_empty());
                    prop_assert!(shards.iter().all(|&shard| !proven[usize::from(shard)]));
                    let for_long = missed_since.iter().flatten().any(|at| surveyed.since(*at) >= POLICY.patience);
                    prop_assert!(for_long || present <= POLICY.threshold(n, k));
                    let placed: Vec<u8> = shards.into_iter().filter(|_| rng.random_bool(0.8)).collect();
                    placed.iter().for_each(|&shard| missed_since[usize::from(shard)] = None);
                    repair.repaired(now, &placed);
                }
            }
        }
    }
}

#[test]
fn the_thresholds_of_our_geometries() {
    let threshold = |k, n| POLICY.threshold(n, k);
    assert_eq!([(32, 113), (32, 73), (32, 49), (2, 25), (2, 8)].map(|(k, n)| threshold(k, n)), [79, 52, 40, 17, 5]);
    assert_eq!(threshold(2, 3), 2);
}

#[test]
fn an_old_survey_is_not_acted_upon() {
    let (mut repair, step) = after_survey(100, 32, 50);
    assert!(matches!(step, RepairStep::Repair(_)));
    let late = at(1) + POLICY.fresh;
    assert_eq!(repair.poll(late, Duty::Off, 0, &mut rng()), RepairStep::Survey);
    // Somebody else was quicker.
    repair.surveyed(late, 0, &survey(100, 100));
    assert_eq!(repair.poll(late, Duty::Watch, 0, &mut rng()), RepairStep::Rest(None));
}

#[test]
fn a_repair_that_falls_short_is_tried_again_later() {
    let (mut repair, _) = after_survey(100, 32, 50);
    repair.repaired(at(10), &[50, 51, 7]);
    let again = at(10) + POLICY.retry;
    assert_eq!(repair.estimate(0), 52);
    assert_eq!(repair.poll(at(11), Duty::Watch, 0, &mut rng()), RepairStep::Rest(Some(again)));
    assert_eq!(repair.poll(again, Duty::Watch, 0, &mut rng()), RepairStep::Survey);
    // A report that nobody waits for changes nothing.
    repair.repaired(at(20), &[60]);
    assert_eq!(repair.estimate(0), 52);
}

/// The table's lost nodes count from the last survey on: what it has called lost all the time, the survey has answered.
#[test]
fn only_news_of_the_table_leads_to_another_survey() {
    let mut repair = Repair::new(100, 32, POLICY);
    // At the first look a sample has the word, and what it says counts as known.
    assert!(matches!(repair.poll(at(0), Duty::Watch, 60, &mut rng()), RepairStep::Sample(_)));
    repair.sampled(60, &[Audited::Proven; 8]);
    assert_eq!(repair.estimate(60), 100);
    assert_eq!(repair.poll(at(0), Duty::Watch, 60, &mut rng()), RepairStep::Rest(None));
    repair.surveyed(at(1), 60, &survey(100, 95));
    assert_eq!(repair.estimate(60), 95);
    assert!(matches!(repair.poll(at(2), Duty::Watch, 60, &mut rng()), RepairStep::Rest(_)));
    assert!(matches!(repair.poll(at(2), Duty::Watch, 36, &mut rng()), RepairStep::Rest(_)));
    assert_eq!(repair.poll(at(2), Duty::Watch, 35, &mut rng()), RepairStep::Survey);
    // It is for whoever is on duty.
    assert!(matches!(repair.poll(at(2), Duty::Off, 35, &mut rng()), RepairStep::Rest(_)));
}

/// Samples find out what the table does not know: 40 of 100 shards gone are found by 30 samples but once in 10^15.
#[test]
fn samples_find_losses_and_audits_are_now_and_then_surveys() {
    let mut rng = rng();
    let mut repair = Repair::new(100, 32, POLICY);
    let (mut samples, mut surveys) = (0, 0);
    for hour in 0..2400 {
        match repair.poll(at(3600 * hour), Duty::Audit, 100, &mut rng) {
            RepairStep::Sample(shards) => {
                assert_eq!(shards.iter().collect::<BTreeSet<_>>().len(), 8);
                samples += 1;
                repair.sampled(100, &[Audited::Proven; 8]);
            }
            RepairStep::Survey => {
                surveys += 1;
                repair.surveyed(at(3600 * hour), 100, &survey(100, 100));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(samples + surveys, 2400);
    assert!((40..200).contains(&surveys), "{surveys}");
    let found = (0..30).any(|_| {
        let RepairStep::Sample(shards) = repair.poll(at(0), Duty::Audit, 100, &mut rng) else { return true };
        let outcomes: Vec<Audited> =
            shards.iter().map(|&shard| if shard < 60 { Audited::Proven } else { Audited::Missing }).collect();
        repair.sampled(100, &outcomes);
        repair.poll(at(0), Duty::Off, 100, &mut rng) == RepairStep::Survey
    });
    assert!(found);
}
