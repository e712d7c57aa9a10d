//! The page of results that were made up.

use std::time::Duration;

use super::figures::Figure;
use super::page::page;
use super::plays::{Container, HALF_OF_100, Outcome, Play, Told};
use super::{Results, glance};
use crate::anonymity::affinity::Clue;
use crate::anonymity::chance::Rate;
use crate::anonymity::crowd::{Affinity, Batch, CrowdReport, Linked};
use crate::anonymity::model::{After, Drawn, Linking, ModelReport, REQUESTS};
use crate::anonymity::{self, About};
use crate::checker::judge;
use crate::docker::speed::SpeedReport;
use crate::scenario::{Account, Deed, Disk, End, Kind, SHIPPED, Scenario, Story};
use crate::sim::{self, Bound, Goal};
use crate::survival::{self, Interval, Point};

/// What the issue asks for: how its line begins.
const LINES: [&str; 24] = [
    "half of 24 containers killed at once",
    "half of 100 nodes in one process killed",
    "survival at 30, 50, 60, 70 % killed",
    "look-ups that succeed, by the table",
    "the same by Kademlia",
    "hops of a look-up",
    "shards moved at a join, at a leave",
    "load of the fullest holder",
    "the same 10 and 50 % full",
    "requests of the busiest holder",
    "fetches with 30 % lying holders",
    "fetches with 20 Sybils",
    "cut into halves for 10 minutes",
    "fetch of 0.5 MB",
    "publish of the same",
    "onion against direct fetch",
    "clients ever linked to a request",
    "same file? AUC",
    "the same where files come one after the other",
    "bad ones among guards and relays drawn",
    "stripes lost or out of reach",
    "table sync",
    "publish of 100 MiB",
    "fetch of 100 MiB",
];

fn bound(goal: Goal, what: &str, measured: f64, bound: f64) -> Bound {
    let is_least =
        matches!(goal, Goal::Found | Goal::FoundByKademlia | Goal::Placed | Goal::AmongLiars | Goal::AmongSybils);
    let kept = if is_least { measured >= bound } else { measured <= bound };
    Bound { goal, what: what.to_owned(), measured, bound, is_least, kept, n: None, shows: None }
}

fn filled(percent: u32) -> sim::load::Fill {
    sim::load::Fill { percent, max_by_mean: 100.0 / f64::from(percent), min_by_mean: 0.5, placed: 1.0, sent: 1.0 }
}

fn simulated() -> sim::Report {
    let options = sim::Options::new(Vec::new(), 10_000, 1, 500);
    let sizes = vec![sim::sync::Size {
        nodes: 1_000,
        join_bytes: 1,
        exchanges: 1.0,
        bytes_a_second: 150.0,
        sent_for_news: 1.0,
        spread_seconds: None,
        untold: 0,
    }];
    sim::Report {
        replay: options.to_string(),
        options,
        lookups: None,
        movement: None,
        load: Some(sim::load::Load {
            nodes: 500,
            room: 100,
            fills: [10, 50, 95].map(filled).into(),
            stripes: 10,
            fetches: 100,
            served_uniform: 5.9,
            served_zipf: 8.1,
            hottest: 0.1,
        }),
        durability: None,
        sync: Some(sim::sync::Sync { descriptor_bytes: 1, sizes }),
        adversaries: None,
        bounds: vec![
            bound(Goal::Found, "found at 20 %", 1.0, 0.99),
            bound(Goal::Found, "found at 40 %", 0.97, 0.95),
            bound(Goal::FoundByKademlia, "found by Kademlia at 20 %", 1.0, 0.99),
            bound(Goal::Hops, "hops by the table", 1.0, 1.0),
            bound(Goal::Hops, "hops by Kademlia", 2.58, 6.644),
            bound(Goal::Moved, "moved at a join", 0.042, 0.1),
            bound(Goal::Moved, "moved at a leave", 0.01, 0.1),
            bound(Goal::Stays, "moved for no reason", 0.0, 0.0),
            bound(Goal::Load, "load", 1.05, 1.5),
            bound(Goal::Placed, "placed", 0.99, 0.95),
            bound(Goal::Lasts, "lost", 0.0, 0.0),
            bound(Goal::Repaired, "out of reach", 0.0, 0.0),
            bound(Goal::AmongLiars, "among liars", 1.0, 0.999),
            bound(Goal::AmongSybils, "among Sybils", 1.0, 0.999),
        ],
    }
}

fn model() -> ModelReport {
    let after = |requests| After {
        requests,
        linked: Rate::of(10, 100),
        linked_with_three: Rate::of(20, 100),
        linked_without: Rate::of(100, 100),
        holder_known: 1.0,
        guard_known: 1.0,
    };
    let linking = [0.1, 0.2].map(|coalition| Linking {
        coalition,
        after: REQUESTS.into_iter().map(after).collect(),
        year: Rate::of(1, 10),
        sample: Rate::of(1, 10),
    });
    let drawn = [0.1, 0.2].map(|coalition| Drawn {
        coalition,
        seats: "scattered",
        prefixes: 125,
        members: 100,
        guards: Rate::of(100, 1_000),
        relays: Rate::of(110, 1_000),
        all_relays: 0.1,
    });
    ModelReport { nodes: 1_000, clients: 100, seed: 1, linking: linking.into(), drawn: drawn.into() }
}

fn crowd() -> CrowdReport {
    let linked = Linked { coalition: 0.1, after: [0.0, 0.1], ever: 0.1, one_each: Rate::of(18, 200), wrong: 0.5 };
    let affinity = Batch::ALL
        .into_iter()
        .flat_map(|batch| Clue::ALL.map(|clue| Affinity { coalition: 0.1, batch, clue, auc: 0.51 }));
    CrowdReport {
        nodes: 30,
        clients: 35,
        requests: 9_000,
        guards_asked: 0,
        complaints: Vec::new(),
        linking: vec![linked],
        affinity: affinity.collect(),
    }
}

fn survived() -> survival::Report {
    let point = |killed_percent| Point {
        killed_percent,
        predicted: Interval { mean: 97.5, drawn: 97.4, tolerance: 0.2, low: 93, high: 100, least: 88, greatest: 100 },
        left: 98,
        fetched: 98,
        again: 0,
    };
    survival::Report {
        nodes: 40,
        files: 100,
        survive_percent: 10.0,
        geometry: (2, 8),
        fetched: [30, 50, 60, 70].map(point).into(),
        drawn: Vec::new(),
        seed: 1,
    }
}

/// All of whose publishes and fetches take so long.
fn played(name: &'static str, stage: &'static str, seconds: f64) -> Play {
    let (_, text) = SHIPPED.into_iter().find(|(shipped, _)| *shipped == name).unwrap();
    let scenario: Scenario = text.parse().unwrap();
    let deed = |kind| Deed { step: 0, kind, took: Duration::from_secs_f64(seconds), end: End::Good, asked: None };
    let accounts = vec![Account { node: 0, used: 1, quota: 2, paid: 0, unpaid: 0 }];
    let disks = vec![Disk { node: 0, found: Ok(Vec::new()), bytes: Some(1) }];
    let story = Story { deeds: Kind::ALL.map(deed).into(), accounts, quota: 2, disks, ..Story::default() };
    let verdicts = judge(&scenario.promises, &story);
    let outcome = Outcome::Measured(Told { nodes: 24, times: story.times(), verdicts });
    Play { scenario: name, stage, seed: 1, outcome }
}

/// Of which nothing is missing, and all is kept.
fn whole() -> Results {
    let (anonymity, crowd) = (model(), crowd());
    let verdicts = anonymity.verdicts().into_iter().chain(crowd.verdicts()).collect();
    let in_memory = played(HALF_OF_100, "memory", 0.5);
    let scenarios = [Container::HalfDies, Container::SlowLinks, Container::Halves].map(Container::name);
    let large = |what: &str| Figure {
        what: what.to_owned(),
        value: "4.5 s".to_owned(),
        bound: "at most 12.6".to_owned(),
        kept: Some(true),
    };
    Results {
        version: "0.0.0",
        commit: Some("0123456789ab".to_owned()),
        seed: 1,
        survival: vec![survived()],
        simulations: vec![simulated()],
        hops: vec![(1_000, 2.0)],
        anonymity,
        crowd,
        verdicts,
        plays: std::iter::once(in_memory).chain(scenarios.map(|name| played(name, "docker", 1.5))).collect(),
        speed: Some(Outcome::Measured(SpeedReport {
            bytes: 16_000_000,
            links: "25ms, 20mbit".to_owned(),
            direct_s: vec![7.0],
            onion_s: vec![9.0],
            share: 7.0 / 9.0,
        })),
        figures: vec![large("publish 100MiB"), large("fetch 100MiB")],
    }
}

fn is_kept(results: &Results) -> bool {
    results.outcome() == anonymity::Outcome::Kept
}

/// The line of the page that begins so.
fn line(page: &str, begin: &str) -> String {
    let found = page.lines().find(|line| line.starts_with(&format!("| {begin}")));
    found.unwrap_or_else(|| panic!("no line begins with {begin}:\n{page}")).to_owned()
}

#[test]
fn the_page_has_each_line_of_what_is_asked_for() {
    let results = whole();
    let page = page(&results);
    for begin in LINES {
        let told = ["table sync", "the same 10 and 50 % full", "requests of the busiest holder"].contains(&begin);
        let line = line(&page, begin);
        assert!(line.ends_with("| kept |") || (told && line.ends_with("|  |")), "{line}");
        assert!(!line.contains("not measured"), "{line}");
    }
    assert_eq!(glance::lines(&results).len(), LINES.len());
    assert!(is_kept(&results) && !page.contains("**not kept**"), "{page}");
    assert!(page.contains("from version 0.0.0 (0123456789ab checked out), seed 1;"), "{page}");
    // References stand beside.
    assert!(line(&page, "fetch of 0.5 MB").contains("| 1.50 s, 1.50 s | ≤ 2 s, ≤ 4.5 s | IPFS"));
    assert!(line(&page, "onion against direct").contains("| 77.78 % | ≥ 70 % | Tor: 70 %"));
    assert!(page.lines().count() <= 120, "{} lines", page.lines().count());
}

/// What only a second reader got does not pass for what everybody gets.
#[test]
fn who_had_to_ask_again_is_told() {
    let told = |results: &Results| page(results).contains("98 (93 to 100), 3 of them not by the first reader");
    let mut results = whole();
    assert!(!told(&results));
    results.survival[0].fetched[0].again = 3;
    assert!(told(&results));
}

/// Whatever is judged and not kept is marked where it stands, and the whole is not kept then.
#[test]
fn what_is_not_kept_is_marked() {
    let marks = |results: &Results| page(results).matches("**not kept**").count();
    let broken = |change: &dyn Fn(&mut Results)| {
        let mut results = whole();
        change(&mut results);
        assert!(!is_kept(&results), "{}", page(&results));
        results
    };
    for number in 0..whole().verdicts.len() {
        let results = broken(&|results| results.verdicts[number].kept = false);
        assert_eq!(marks(&results), 2, "{}: at a glance and below", results.verdicts[number].what);
    }
    for number in 0..simulated().bounds.len() {
        let results = broken(&|results| results.simulations[0].bounds[number].kept = false);
        assert_eq!(marks(&results), 2, "{}", results.simulations[0].bounds[number].what);
    }
    assert_eq!(marks(&broken(&|results| results.survival[0].fetched[2].fetched = 92)), 2);
    assert_eq!(marks(&broken(&|results| results.figures[0].kept = Some(false))), 2);
    for (seconds, expected) in [(2.5, 3), (11.0, 6)] {
        let name = Container::SlowLinks.name();
        let results = broken(&|results| results.plays[2] = played(name, "docker", seconds));
        assert_eq!(marks(&results), expected, "{}", page(&results));
        assert!(line(&page(&results), "fetch of 0.5 MB").ends_with("| **not kept** |"));
    }
    let slow = broken(&|results| {
        let Some(Outcome::Measured(report)) = &mut results.speed else { panic!("it was measured") };
        report.share = 0.69;
    });
    assert!(line(&page(&slow), "onion against direct").ends_with("| **not kept** |"));
}

/// Of any half three stand for all: one that is lost is told, and all three are.
#[test]
fn each_half_is_told() {
    let mut results = whole();
    let half = |seed| Play { seed, ..played(HALF_OF_100, "memory", 0.5) };
    results.plays.splice(..1, [1, 2, 3].map(half));
    let told = line(&page(&results), "half of 100 nodes");
    assert!(told.contains("| 1 of 1, 1 of 1, 1 of 1 |") && told.ends_with("| kept |"), "{told}");
    results.plays[1].outcome = Outcome::Broken("it is gone".to_owned());
    let told = line(&page(&results), "half of 100 nodes");
    assert!(told.contains("not measured: it broke off"), "{told}");
}

/// A share that is kept in few trials is said to be no more than they show, also at a glance.
#[test]
fn what_few_trials_show_is_said() {
    let mut results = whole();
    let [few, fewer] = [(50, 0.9418), (40, 0.927)].map(|(n, shows)| (Some(n), Some(shows)));
    for (bound, (n, shows)) in results.simulations[0].bounds.iter_mut().rev().zip([few, fewer]) {
        (bound.n, bound.shows) = (n, shows);
    }
    let page = page(&results);
    assert!(line(&page, "fetches with 20 Sybils").ends_with("| kept (n = 50: shows ≥ 94.1 %) |"), "{page}");
    assert!(line(&page, "fetches with 30 % lying").ends_with("| kept (n = 40: shows ≥ 92.7 %) |"), "{page}");
    assert!(is_kept(&results));
}

/// What is known not to hold is marked as such, and hides nothing that is new.
#[test]
fn what_is_known_is_told_apart() {
    let mut results = whole();
    for verdict in &mut results.verdicts {
        if let About::OneFile { batch: Batch::Alone, .. } = verdict.about {
            (verdict.kept, verdict.known) = (false, Some("nobody else is there"));
        }
    }
    assert_eq!(results.outcome(), anonymity::Outcome::KnownMisses);
    let known = line(&page(&results), "the same where files come one after the other");
    assert!(known.ends_with("| **not kept**, as known |"), "{known}");
    results.simulations[0].bounds[0].kept = false;
    assert_eq!(results.outcome(), anonymity::Outcome::NewMisses);
}

#[test]
fn what_was_not_measured_is_said_with_the_command_that_does_it() {
    let mut results = whole();
    (results.plays, results.speed, results.figures) = (Vec::new(), None, Vec::new());
    let bare = page(&results);
    for begin in ["half of 24", "half of 100", "cut into", "fetch of 0.5", "publish of the same", "onion against"] {
        let line = line(&bare, begin);
        assert!(line.contains("| not measured here |") && line.contains("`pal-testnet results"), "{line}");
    }
    assert!(line(&bare, "publish of 100 MiB").ends_with("--tahoe DIR --json` |"));
    assert!(is_kept(&results) && !bare.contains("## Scenarios"));

    let skipped = || Outcome::Skipped("no docker engine (no docker engine answers: /run/x.sock)".to_owned());
    let play = |scenario| Play { scenario, stage: "docker", seed: 1, outcome: skipped() };
    results.plays = [Container::HalfDies, Container::SlowLinks].map(|one| play(one.name())).into();
    results.speed = Some(Outcome::Skipped("a program is missing".to_owned()));
    let skipped = page(&results);
    assert!(line(&skipped, "half of 24").contains("| not measured: no docker engine |"));
    assert!(line(&skipped, "`slow-links`").contains("not measured: no docker engine"));
    assert!(line(&skipped, "onion against").contains("| not measured: this machine lacks what it takes |"));
    assert!(is_kept(&results) && !skipped.contains("/run"), "{skipped}");

    results.speed = Some(Outcome::Broken("somebody pulled the plug".to_owned()));
    assert!(!is_kept(&results) && page(&results).contains("not measured: it broke off"));
}
