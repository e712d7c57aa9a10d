use std::time::Duration;

use super::{is_kept, judge};
use crate::process::Fraction;
use crate::scenario::{Account, Deed, Disk, End, Kind, Pooled, Promises, Story, Tables, Watched};

fn deed(kind: Kind, end: End) -> Deed {
    Deed { step: 0, kind, took: Duration::from_secs(1), end }
}

fn promises(fetched: f64) -> Promises {
    Promises { published: Fraction::new(1.0).unwrap(), fetched: Fraction::new(fetched).unwrap() }
}

/// Ten fetches, of which so many end otherwise.
fn story(bad: usize, end: &End) -> Story {
    let mut deeds = vec![deed(Kind::Publish, End::Good)];
    deeds.extend((0..10).map(|place| deed(Kind::Fetch, if place < bad { end.clone() } else { End::Good })));
    let disks = vec![Disk { node: 0, found: Ok(Vec::new()) }];
    let pooled = Some(Pooled { nodes: 2, guarded: 1, linked: 1 });
    let watched = Some(Watched { clients: 5, requests: 100, complaints: Vec::new(), coalition: pooled });
    Story { deeds, accounts: vec![Account { used: 10, quota: 10 }], disks, watched, tables: None, ended_slow: None }
}

/// The oracles that see a promise broken.
fn broken(story: &Story, fetched: f64) -> Vec<&'static str> {
    let verdicts = judge(&promises(fetched), story);
    let broken: Vec<_> = verdicts.iter().filter(|one| one.kept == Some(false)).map(|one| one.oracle).collect();
    assert_eq!(is_kept(&verdicts), broken.is_empty());
    broken
}

#[test]
fn what_is_promised_and_done_is_kept() {
    assert!(broken(&story(0, &End::Good), 1.0).is_empty());
    let failed = End::Failed("x".to_owned());
    assert!(broken(&story(1, &failed), 0.9).is_empty());
}

#[test]
fn each_oracle_sees_what_it_is_for() {
    let failed = End::Failed("x".to_owned());
    assert_eq!(broken(&story(1, &failed), 1.0), ["survival"]);
    assert_eq!(broken(&story(2, &failed), 0.9), ["survival"]);
    // Wrong bytes are never promised away.
    assert_eq!(broken(&story(1, &End::WrongBytes), 0.5), ["survival"]);
    assert_eq!(broken(&story(1, &End::TimedOut), 0.5), ["liveness"]);
    let mut full = story(0, &End::Good);
    full.accounts[0].used = 11;
    assert_eq!(broken(&full, 1.0), ["bounds"]);
    let mut telling = story(0, &End::Good);
    telling.disks[0].found = Ok(vec!["content in store/shards/0".to_owned()]);
    assert_eq!(broken(&telling, 1.0), ["blindness"]);
    let mut seen = story(0, &End::Good);
    seen.watched.as_mut().unwrap().complaints.push("node 3 sees a client whose guard it is not".to_owned());
    assert_eq!(broken(&seen, 1.0), ["unlinkability"]);
    let mut linked = story(0, &End::Good);
    linked.watched.as_mut().unwrap().coalition = Some(Pooled { nodes: 2, guarded: 1, linked: 2 });
    assert_eq!(broken(&linked, 1.0), ["unlinkability"]);
}

#[test]
fn tables_are_judged_where_somebody_lies_about_them() {
    let lied = |missing, unknown| {
        let tables = Tables { tables: 3, missing, made_up: 9, believed: Some(1), newcomers: 1, told: 3, unknown };
        Story { tables: Some(tables), ..story(0, &End::Good) }
    };
    // Nodes that are made up may stay until their descriptors expire.
    assert!(broken(&lied(0, 0), 1.0).is_empty());
    assert_eq!(broken(&lied(1, 0), 1.0), ["tables"]);
    assert_eq!(broken(&lied(0, 1), 1.0), ["tables"]);
}

#[test]
fn what_cannot_be_judged_is_not_kept() {
    let verdicts = judge(&promises(1.0), &Story::default());
    assert!(verdicts.iter().all(|verdict| verdict.kept.is_none()) && !is_kept(&verdicts));
    let unseen = Story { watched: None, ..story(0, &End::Good) };
    let verdicts = judge(&promises(1.0), &unseen);
    assert_eq!(verdicts.iter().find(|one| one.oracle == "unlinkability").unwrap().kept, None);
    let mut hidden = story(0, &End::Good);
    hidden.disks.push(Disk { node: 1, found: Err("unreadable".to_owned()) });
    let verdicts = judge(&promises(1.0), &hidden);
    assert_eq!(verdicts.iter().find(|one| one.oracle == "blindness").unwrap().kept, None);
}
