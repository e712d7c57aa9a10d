//! Scenarios played to their end: what is kept is called kept, and what is broken broken.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use palimpsest_testnet::checker::{is_kept, judge};
use palimpsest_testnet::scenario::{Deed, End, Held, Kind, Played, SHIPPED, Scenario, StageKind, Story, Theatre, play};

const KILLED: &str = r#"
about = "A quarter of the nodes dies."
nodes = 12
deadline_s = 120
promises = { published = "100%", fetched = "100%" }
[[step]]
do = "publish"
files = 1
bytes = 300_000
[[step]]
do = "kill"
fraction = "25%"
seed = 1
[[step]]
do = "fetch"
[[step]]
do = "fetch"
by = "publisher"
"#;

/// Plays it in memory; the scenario and what happened.
async fn played(text: &str) -> (Scenario, Story) {
    played_on(StageKind::Memory, text).await
}

async fn played_on(stage: StageKind, text: &str) -> (Scenario, Story) {
    let scenario: Scenario = text.parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let theatre = Theatre { dir: dir.path().to_owned(), bin_dir: None, seed: 1 };
    match play(&scenario, stage, &theatre, |_, _| {}).await.unwrap() {
        Played::Story(story, left) => {
            assert_eq!(left, None, "what was started is still there");
            (scenario, *story)
        }
        Played::Skipped(why) => panic!("{why}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_keeps_its_promises_is_said_to() {
    let (scenario, story) = played(KILLED).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| verdict.kept == Some(true)), "all was there to be judged: {verdicts:?}");
    assert_eq!(story.deeds.iter().filter(|deed| deed.kind == Kind::Fetch).count(), 2);
    assert_eq!((story.accounts.len(), story.disks.len()), (9, 12));
}

/// A scenario that is shipped, smaller by these words.
fn shipped(name: &str, smaller: &[(&str, &str)]) -> String {
    let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name).unwrap();
    smaller.iter().fold((*text).to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    })
}

/// Plays it in memory and on processes: everything is kept on both.
async fn is_kept_on_both(text: &str, also: impl Fn(&Story)) {
    for stage in [StageKind::Memory, StageKind::Processes] {
        let (scenario, story) = played_on(stage, text).await;
        let verdicts = judge(&scenario.promises, &story);
        assert!(is_kept(&verdicts), "{}: {verdicts:?}", stage.name());
        also(&story);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_come_and_go() {
    let small = shipped("churn", &[("nodes = 24", "nodes = 12"), ("files = 3", "files = 1")]);
    // Who died last stays dead.
    is_kept_on_both(&small, |story| assert_eq!((story.accounts.len(), story.deeds.len()), (9, 7))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_rot() {
    let small = shipped("rot", &[("nodes = 12", "nodes = 6"), ("files = 4", "files = 1")]);
    is_kept_on_both(&small, |story| assert_eq!(story.deeds.len(), 2)).await;
}

/// Nodes are filled until they refuse: what was there before is fetched, and nobody takes more than it was given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_are_full() {
    let smaller = [("nodes = 12", "nodes = 6"), ("disk_mib = 16", "disk_mib = 12"), ("files = 40", "files = 8")];
    let small = shipped("disk-full", &[&smaller[..], &[("files = 3", "files = 1")]].concat());
    is_kept_on_both(&small, |story| {
        let fills: Vec<f64> = story.accounts.iter().map(|one| one.used as f64 / one.quota as f64).collect();
        assert!(fills.len() == 6 && fills.iter().all(|fill| *fill > 0.5), "{fills:?}");
    })
    .await;
}

/// Holders that keep nothing cannot give anything back: the publisher, who tries a sample, finds out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_of_liars_is_found_out() {
    let nodes: Vec<String> = (0..12).map(|index| index.to_string()).collect();
    let lying = format!("lying = [{{ how = \"absent\", nodes = [{}] }}]\n[[step]]", nodes.join(","));
    let (scenario, story) = played(&KILLED.replacen("[[step]]", &lying, 1)).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(!is_kept(&verdicts), "{verdicts:?}");
    assert!(story.deeds.iter().all(|deed| deed.end != End::Good && deed.end != End::WrongBytes), "{:?}", story.deeds);
}

/// Half of the nodes offer a next version first, and talk to all others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_versions_work_side_by_side() {
    let upgraded = KILLED.replacen("nodes = 12", "nodes = 6", 1).replacen("do = \"kill\"", "do = \"upgrade\"", 1);
    let (scenario, story) = played(&upgraded.replacen("25%", "50%", 1)).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    assert_eq!(story.accounts.len(), 6, "all run again");
}

const PUBLISHED: &str = r#"
about = "Somebody means no good."
nodes = 12
deadline_s = 120
promises = { published = "100%", fetched = "100%" }
[[step]]
do = "publish"
files = 1
bytes = 30_000
[[step]]
do = "fetch"
"#;

/// Three of five bootstrap nodes, and a third of all, name each other and nodes that nobody is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_about_the_table_hide_nobody() {
    let liars = "[table_liars]\nnodes = [0, 2, 4, 8]\nmade_up = 3\nunworked = 5\nseed = 1\n[[step]]";
    let (scenario, story) = played(&PUBLISHED.replacen("[[step]]", liars, 1)).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    let tables = story.tables.unwrap();
    assert_eq!((tables.tables, tables.newcomers, tables.missing, tables.unknown), (8, 1, 0, 0));
    assert!(tables.made_up <= 8 * 3 && tables.told <= 3, "{tables:?}");
}

/// More of them than there are places for the exchanges of strangers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_peers_keep_nobody_out() {
    let slow = PUBLISHED.replacen("nodes = 12", "nodes = 6\nslow_peers = 30", 1);
    // Two seconds are enough, but for a machine that stands still.
    for seconds in [2, 8, 32] {
        let wait = format!("[[step]]\ndo = \"wait\"\nseconds = {seconds}\n[[step]]");
        let (scenario, story) = played(&slow.replacen("[[step]]", &wait, 1)).await;
        let verdicts = judge(&scenario.promises, &story);
        assert!(is_kept(&verdicts), "{verdicts:?}");
        if story.ended_slow.unwrap() > 0 {
            return;
        }
    }
    panic!("nodes hang up on nobody");
}

/// Next to each shard of a root nodes that deny it: more than there were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stripe_that_is_eclipsed_is_fetched() {
    let step = "[[step]]\ndo = \"eclipse\"\nof = \"stripe\"\nnodes = 2\ndrawn = 60\nseed = 1\n[[step]]\ndo = \"fetch\"";
    let (scenario, story) = played(&PUBLISHED.replacen("[[step]]\ndo = \"fetch\"", step, 1)).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    assert!(story.accounts.len() > 24, "{} nodes", story.accounts.len());
    // What was taken is told, and what the fetch after that took.
    let taken = &story.eclipses[&1];
    assert!((taken.drawn, taken.honest) == (60, 12) && taken.sybils + 12 == story.accounts.len(), "{taken:?}");
    assert!(
        taken.record.len() == 3 && taken.shards.len() > 12 && taken.shards.iter().all(|count| *count >= 2),
        "{taken:?}"
    );
    assert!(story.fetch_after(1).unwrap().asked.unwrap() > 0 && story.fetch_after(2).is_none());
}

/// The nodes that newcomers are told of are dead: a stranger cannot enter, and one who was there before does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_there_before_needs_nobody_to_be_told_of() {
    let steps = "do = \"fetch\"\n[[step]]\ndo = \"kill-first\"\nnodes = 5\n[[step]]\ndo = \"fetch\"\n[[step]]\ndo = \"fetch\"\nby = \"returning\"";
    for stage in [StageKind::Memory, StageKind::Processes] {
        let (_, story) = played_on(stage, &PUBLISHED.replacen("do = \"fetch\"", steps, 1)).await;
        let ends: Vec<_> = story.deeds.iter().map(|deed| &deed.end).collect();
        assert!(matches!(ends[..], [End::Good, End::Good, End::Failed(_), End::Good]), "{}: {ends:?}", stage.name());
    }
}

/// Four clients publish rubbish while something is published and fetched.
const FLOODED: &str = r#"
about = "Rubbish is published all the while."
nodes = 6
quota_mib = 12
deadline_s = 120
promises = { published = "100%", fetched = "100%" }
[[step]]
do = "publish"
files = 1
bytes = 30_000
[[step]]
do = "flood"
clients = 4
files = 2
bytes = 250_000
seconds = 300
[[step]]
do = "publish"
files = 1
bytes = 30_000
[[step]]
do = "wait"
seconds = 15
[[step]]
do = "fetch"
"#;

async fn floods(stage: StageKind) {
    // After a quarter of a minute the nodes are so full that they ask for stamps, but for a machine that stands still.
    let (mut scenario, mut story) = played_on(stage, FLOODED).await;
    if story.accounts.iter().all(|account| account.paid + account.unpaid == 0) {
        let verdicts = judge(&scenario.promises, &story);
        assert!(verdicts.iter().all(|one| one.oracle == "flood" || one.kept != Some(false)), "{verdicts:?}");
        (scenario, story) = played_on(stage, &FLOODED.replacen("seconds = 15", "seconds = 60", 1)).await;
    }
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    assert_eq!(verdicts.iter().find(|one| one.oracle == "flood").unwrap().kept, Some(true), "{verdicts:?}");
    let flood = story.flood.unwrap();
    let (Held::Shards(before), Held::Shards(after)) = (flood.before, flood.after) else { panic!("{flood:?}") };
    assert!(flood.rubbish.placed > 0 && before > 20 && after >= before, "{flood:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_is_published_all_the_while() {
    floods(StageKind::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_publish_rubbish_all_the_while() {
    floods(StageKind::Processes).await;
}

/// Six programs, of which all or one play a part.
fn with_parts(deadline_s: u32, parts: &str) -> String {
    let few = PUBLISHED.replacen("nodes = 12", "nodes = 6", 1);
    let soon = few.replacen("deadline_s = 120", &format!("deadline_s = {deadline_s}"), 1);
    soon.replacen("[[step]]", &format!("{parts}\n[[step]]"), 1)
}

/// Where all holders keep nothing, the publisher finds out; where one of them hands out garbage and one keeps others waiting, all is
/// well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holders_lie_in_processes_of_their_own() {
    let all = with_parts(60, "[[lying]]\nhow = \"absent\"\nnodes = [0, 1, 2, 3, 4, 5]");
    let (scenario, story) = played_on(StageKind::Processes, &all).await;
    assert!(!is_kept(&judge(&scenario.promises, &story)), "{story:?}");
    assert!(matches!(story.deeds[..], [Deed { kind: Kind::Publish, end: End::Failed(_), .. }]), "{:?}", story.deeds);
    assert_eq!(story.accounts.len(), 6, "hostile nodes answer as others do");

    let one = with_parts(120, "[[lying]]\nhow = \"garbage\"\nnodes = [4]\n[[lying]]\nhow = \"late\"\nnodes = [2]");
    let (scenario, story) = played_on(StageKind::Processes, &one).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
}

/// Where all relays garble what they pass on, nothing is published; where all send everything three times, that is all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relays_meddle_in_processes_of_their_own() {
    let garbled = with_parts(5, "[[meddling]]\nhow = \"tag-body\"\nnodes = [0, 1, 2, 3, 4, 5]");
    let (_, story) = played_on(StageKind::Processes, &garbled).await;
    let ends: Vec<_> = story.deeds.iter().map(|deed| &deed.end).collect();
    assert!(matches!(ends[..], [End::Failed(_) | End::TimedOut]), "{ends:?}");

    let replayed = with_parts(120, "[[meddling]]\nhow = \"replay\"\nnodes = [0, 1, 2, 3, 4, 5]");
    let (scenario, story) = played_on(StageKind::Processes, &replayed).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
}

/// Two of five bootstrap nodes lie about the table, each in a process of its own, and hide nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_about_the_table_agree_between_processes() {
    let liars = with_parts(120, "[table_liars]\nnodes = [0, 2]\nmade_up = 2\nunworked = 2\nseed = 1");
    let (scenario, story) = played_on(StageKind::Processes, &liars).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    let tables = story.tables.unwrap();
    assert_eq!((tables.tables, tables.newcomers, tables.missing, tables.unknown), (4, 1, 0, 0));
    // Nodes forget them as soon as nobody is found who is one; a newcomer dials nobody, and does not.
    assert!(tables.told > 0, "they are heard of: {tables:?}");
}

/// A third of the nodes pools the diaries that all write: what was seen is read, and only guards saw clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn diaries_of_processes_tell_what_nodes_in_memory_tell() {
    let coalition = with_parts(120, "[coalition]\nfraction = \"34%\"\nseed = 1");
    let (scenario, story) = played_on(StageKind::Processes, &coalition).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    let watched = story.watched.unwrap();
    assert_eq!((watched.clients, watched.coalition.map(|one| one.nodes)), (2, Some(2)), "{watched:?}");
    assert!(watched.requests > 10, "{watched:?}");
}

/// A root is eclipsed by programs, and fetched; the slow peers of a program keep nobody out meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sybils_and_slow_peers_are_programs_too() {
    let step = "[[step]]\ndo = \"eclipse\"\nnodes = 2\ndrawn = 20\nseed = 1\n[[step]]\ndo = \"fetch\"";
    let both = with_parts(120, "").replacen("nodes = 6", "nodes = 6\nslow_peers = 4", 1);
    let (scenario, story) = played_on(StageKind::Processes, &both.replacen("[[step]]\ndo = \"fetch\"", step, 1)).await;
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts), "{verdicts:?}");
    assert!(story.accounts.len() >= 8, "{} nodes", story.accounts.len());
    let taken = &story.eclipses[&1];
    // So few that all nodes are among the nearest: each address has all Sybils, and none is taken.
    assert_eq!((taken.honest, taken.record.clone(), taken.record_taken), (6, vec![taken.sybils; 3], 0), "{taken:?}");
    assert!(story.fetch_after(1).unwrap().asked.unwrap() > 0, "{:?}", story.deeds);
    assert!(story.ended_slow.is_some());
}

#[tokio::test]
async fn what_a_stage_cannot_play_is_skipped() {
    let scenario: Scenario = KILLED.replacen("do = \"kill\"", "do = \"partition\"", 1).parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let theatre = Theatre { dir: dir.path().to_owned(), bin_dir: None, seed: 1 };
    let outcome = play(&scenario, StageKind::Memory, &theatre, |_, _| {}).await.unwrap();
    assert!(matches!(outcome, Played::Skipped(why) if why.contains("containers")));
}
