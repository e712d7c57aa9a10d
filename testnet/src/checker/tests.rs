use std::time::Duration;

use super::{is_kept, judge};
use crate::process::Fraction;
use crate::scenario::{
    Account, Deed, Disk, End, Flooded, Held, Kind, Pooled, Promises, Rubbish, Story, Tables, Watched,
};

fn deed(kind: Kind, end: End) -> Deed {
    Deed { step: 0, kind, took: Duration::from_secs(1), end, asked: None }
}

fn promises(fetched: f64) -> Promises {
    let (published, fetched) = (Fraction::new(1.0).unwrap(), Fraction::new(fetched).unwrap());
    Promises { published, fetched, publish_p50_s: Some(1.0), fetch_p50_s: Some(1.0), fetch_p95_s: Some(2.0) }
}

/// Ten fetches, of which so many end otherwise.
fn story(bad: usize, end: &End) -> Story {
    let mut deeds = vec![deed(Kind::Publish, End::Good)];
    deeds.extend((0..10).map(|place| deed(Kind::Fetch, if place < bad { end.clone() } else { End::Good })));
    let disks = vec![Disk { node: 0, found: Ok(Vec::new()), bytes: Some(9) }];
    let pooled = Some(Pooled { nodes: 2, of: 10, guarded: 1, linked: 1, users_linked: 1, beyond: 0 });
    let watched = Some(Watched { clients: 15, users: 9, requests: 100, complaints: Vec::new(), coalition: pooled });
    let accounts = vec![Account { node: 0, used: 10, quota: 10, paid: 1, unpaid: 0 }];
    Story { deeds, accounts, quota: 10, disks, watched, ..Story::default() }
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
    // Whatever a node says of itself.
    let mut heavy = story(0, &End::Good);
    heavy.disks[0].bytes = Some(11);
    assert_eq!(broken(&heavy, 1.0), ["bounds"]);
    let mut generous = story(0, &End::Good);
    (generous.accounts[0].used, generous.accounts[0].quota) = (11, 12);
    assert_eq!(broken(&generous, 1.0), ["bounds"]);
    let slow = |kind: Kind, many| {
        let mut slow = story(0, &End::Good);
        let those = slow.deeds.iter_mut().filter(|deed| deed.kind == kind).take(many);
        those.for_each(|deed| deed.took = Duration::from_secs(3));
        slow
    };
    assert_eq!(broken(&slow(Kind::Publish, 1), 1.0), ["liveness"]);
    assert_eq!(broken(&slow(Kind::Fetch, 1), 1.0), ["liveness"], "one of ten is beyond the 95 %");
    assert_eq!(broken(&slow(Kind::Fetch, 6), 1.0), ["liveness", "liveness"]);
    let mut telling = story(0, &End::Good);
    telling.disks[0].found = Ok(vec!["content in store/shards/0".to_owned()]);
    assert_eq!(broken(&telling, 1.0), ["blindness"]);
    let mut seen = story(0, &End::Good);
    seen.watched.as_mut().unwrap().complaints.push("node 3 sees a client whose guard it is not".to_owned());
    assert_eq!(broken(&seen, 1.0), ["unlinkability"]);
    let mut linked = story(0, &End::Good);
    linked.watched.as_mut().unwrap().coalition =
        Some(Pooled { nodes: 2, of: 10, guarded: 1, linked: 1, users_linked: 1, beyond: 1 });
    assert_eq!(broken(&linked, 1.0), ["unlinkability"]);
    // A fifth of the nodes that are the guards of all clients were not drawn by chance.
    let pooled = |users_linked| Pooled { nodes: 2, of: 10, guarded: 15, linked: 15, users_linked, beyond: 0 };
    linked.watched.as_mut().unwrap().coalition = Some(pooled(9));
    assert_eq!(broken(&linked, 1.0), ["unlinkability"]);
    // Clients of few users share their luck.
    linked.watched.as_mut().unwrap().coalition = Some(pooled(8));
    assert!(broken(&linked, 1.0).is_empty());
}

#[test]
fn tables_are_judged_where_somebody_lies_about_them() {
    let lied = |missing, forsaken, unknown| {
        let (made_up, believed) = (9, Some(1));
        let tables =
            Tables { tables: 3, missing, untold: 0, forsaken, made_up, believed, newcomers: 1, told: 3, unknown };
        Story { tables: Some(tables), ..story(0, &End::Good) }
    };
    // Nodes that are made up may stay until their descriptors expire.
    assert!(broken(&lied(0, 0, 0), 1.0).is_empty());
    assert_eq!(broken(&lied(1, 0, 0), 1.0), ["tables"]);
    assert_eq!(broken(&lied(0, 1, 0), 1.0), ["tables"]);
    assert_eq!(broken(&lied(0, 0, 1), 1.0), ["tables"]);
}

#[test]
fn a_flood_is_judged_by_who_asked_for_stamps_and_by_what_gave_way() {
    let flooded = |asks: u64, (before, after)| {
        let mut story = story(0, &End::Good);
        story.accounts[0].paid = asks;
        story.flood = Some(Flooded { rubbish: Rubbish { placed: 9, failed: 1 }, before, after });
        story
    };
    let of_200 = |after| (Held::Shards(200), Held::Shards(after));
    assert!(broken(&flooded(1, of_200(198)), 1.0).is_empty());
    assert!(broken(&flooded(1, of_200(201)), 1.0).is_empty());
    assert!(broken(&flooded(1, (Held::Uncounted, Held::Uncounted)), 1.0).is_empty());
    assert_eq!(broken(&flooded(1, of_200(197)), 1.0), ["flood"]);
    assert_eq!(broken(&flooded(0, of_200(200)), 1.0), ["flood"]);
    // As when all of it is gone, and its root's record too.
    for unknown in [(Held::Shards(200), Held::Unknown), (Held::Unknown, Held::Shards(200))] {
        assert!(!is_kept(&judge(&promises(1.0), &flooded(1, unknown))));
    }
}

#[test]
fn what_cannot_be_judged_is_not_kept() {
    let verdicts = judge(&promises(1.0), &Story::default());
    assert!(verdicts.iter().all(|verdict| verdict.kept.is_none()) && !is_kept(&verdicts));
    let unseen = Story { watched: None, ..story(0, &End::Good) };
    let verdicts = judge(&promises(1.0), &unseen);
    assert_eq!(verdicts.iter().find(|one| one.oracle == "unlinkability").unwrap().kept, None);
    assert!(is_kept(&verdicts), "that alone is not shown everywhere");
    let unjudged = |story: &Story| {
        let verdicts = judge(&promises(1.0), story);
        assert!(!is_kept(&verdicts));
        verdicts.iter().filter(|one| one.kept.is_none()).map(|one| one.oracle).collect::<Vec<_>>()
    };
    let mut hidden = story(0, &End::Good);
    hidden.disks.push(Disk { node: 1, found: Err("unreadable".to_owned()), bytes: None });
    assert_eq!(unjudged(&hidden), ["blindness"]);
    let mut uncounted = story(0, &End::Good);
    uncounted.disks[0].bytes = None;
    assert_eq!(unjudged(&uncounted), ["bounds"]);
    assert_eq!(unjudged(&Story { silent: 1, ..story(0, &End::Good) }), ["bounds"]);
    let mut blind = story(0, &End::Good);
    blind.watched.as_mut().unwrap().requests = 0;
    assert_eq!(broken(&blind, 1.0), ["unlinkability"], "whoever looks on sees something");
}
