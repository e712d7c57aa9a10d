//! Scenarios played in virtual time.

use std::time::Duration;

use crate::checker::{Verdict, is_kept, judge};
use crate::scenario::stage::lacks;
use crate::scenario::{End, Kind, Played, SHIPPED, Scenario, StageKind, Story, Theatre, play};

const KILLED: &str = r#"
about = "Many things befall a network."
nodes = 24
deadline_s = 120
promises = { published = "100%", fetched = "100%" }
[[step]]
do = "publish"
files = 2
bytes = 300_000
[[step]]
do = "pause"
fraction = "25%"
seed = 1
[[step]]
do = "fetch"
[[step]]
do = "heal"
[[step]]
do = "rot"
fraction = "10%"
seed = 2
[[step]]
do = "wait"
seconds = 900
[[step]]
do = "kill"
fraction = "50%"
seed = 1
[[step]]
do = "fetch"
by = "publisher"
"#;

async fn told(text: &str, seed: u64) -> (Vec<Verdict>, Story) {
    let scenario: Scenario = text.parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let theatre = Theatre { dir: dir.path().to_owned(), bin_dir: None, seed };
    match play(&scenario, StageKind::Sim, &theatre, |_, _| {}).await.unwrap() {
        Played::Story(story, _) => (judge(&scenario.promises, &story), *story),
        Played::Skipped(why) => panic!("{why}"),
    }
}

#[tokio::test]
async fn the_same_seed_tells_the_same_story_and_another_another() {
    let (verdicts, story) = told(KILLED, 1).await;
    assert!(is_kept(&verdicts), "{verdicts:?}");
    assert_eq!(told(KILLED, 1).await.1, story);
    assert_ne!(told(KILLED, 2).await.1, story);
    // Time is virtual, and something takes it.
    let took: Vec<Duration> = story.deeds.iter().map(|deed| deed.took).collect();
    assert!(took.iter().all(|took| (Duration::from_millis(500)..Duration::from_secs(120)).contains(took)), "{took:?}");
    assert_eq!((story.accounts.len(), story.disks.len()), (12, 24));
}

/// All of the shipped ones that can be played, but one, which takes long and is like another.
#[tokio::test]
async fn shipped_scenarios_are_kept() {
    let mut played = Vec::new();
    for (name, text) in SHIPPED.into_iter().filter(|(name, _)| *name != "half-dies-100") {
        if lacks(StageKind::Sim, &text.parse().unwrap()).is_none() {
            let (verdicts, _) = told(text, 1).await;
            assert!(is_kept(&verdicts), "{name}: {verdicts:?}");
            played.push(name);
        }
    }
    assert!(
        ["half-of-100-dies", "halves-publish", "made-up-nodes"].iter().all(|name| played.contains(name)),
        "{played:?}"
    );
}

/// What was there before somebody ground ids is found; what is published later may go to those ids, and then it is placed anew.
#[tokio::test]
async fn ground_ids_hide_nothing_that_was_there() {
    let (_, text) = SHIPPED.into_iter().find(|(name, _)| *name == "eclipse").unwrap();
    let (_, story) = told(text, 1).await;
    let fetches = || story.deeds.iter().filter(|deed| deed.kind == Kind::Fetch);
    let taken = story.eclipses.values().next().unwrap();
    // Of 24 honest nodes one is nearer to an address than the farthest of its 20 Sybils.
    assert!(taken.record.iter().all(|count| *count > 15) && taken.record_taken > 0, "{}", taken.told());
    assert!(taken.sybils == 60 && taken.honest == 24, "{}", taken.told());
    assert!(fetches().count() > 1 && fetches().all(|deed| deed.end == End::Good), "{:?}", story.deeds);
    let mut publishes = story.deeds.iter().filter(|deed| deed.kind == Kind::Publish);
    assert!(publishes.all(|deed| deed.end == End::Good), "{:?}", story.deeds);
}

/// Whoever holds all nodes knows who asked for what; whoever holds a few of them, only of those whose guard is one of these.
#[tokio::test]
async fn a_coalition_links_whose_guard_it_has() {
    let (_, text) = SHIPPED.into_iter().find(|(name, _)| *name == "colluding-relays").unwrap();
    let (verdicts, story) = told(text, 1).await;
    assert!(is_kept(&verdicts), "{verdicts:?}");
    let seen = story.watched.unwrap();
    let pooled = seen.coalition.unwrap();
    assert!((seen.clients, seen.users) == (28, 25) && seen.requests > 500 && seen.complaints.is_empty(), "{seen:?}");
    assert!(pooled.nodes == 4 && pooled.linked <= pooled.guarded && pooled.guarded < seen.clients, "{pooled:?}");
    let (_, story) = told(&text.replacen("\"20%\"", "\"100%\"", 1), 1).await;
    assert_eq!(story.watched.unwrap().coalition.unwrap().linked, seen.clients);
}

/// A third of the nodes lies about the table, three of five of whom newcomers are told among them. Nobody honest is missing anywhere,
/// and honest nodes are told of nodes that nobody is again and again, and forget them as soon as they were dialled: a quarter of an hour
/// later, when they take one back once in ten minutes at most, few are in any table.
#[tokio::test]
async fn liars_about_the_table_are_found_out() {
    let (_, text) = SHIPPED.into_iter().find(|(name, _)| *name == "table-liars").unwrap();
    let (verdicts, story) = told(text, 1).await;
    assert!(is_kept(&verdicts), "{verdicts:?}");
    let tables = story.tables.unwrap();
    assert_eq!((tables.tables, tables.missing, tables.unknown), (16, 0, 0));
    assert!(tables.newcomers == 9 && tables.told > 0, "{tables:?}");
    assert_eq!(told(text, 1).await.1, story);
    let later = format!("{text}\n[[step]]\ndo = \"wait\"\nseconds = 900\n");
    let (looks, mut made_up) = (4, 0);
    for seed in 1..=looks {
        let tables = told(&later, seed).await.1.tables.unwrap();
        assert_eq!((tables.tables, tables.missing, tables.unknown), (16, 0, 0));
        made_up += tables.made_up;
    }
    // Eight that were made up in each of sixteen tables would be all.
    assert!(made_up * 20 < looks as usize * 16 * 8, "{made_up}");
}

/// Slow peers have all the exchanges that strangers may have with a node; whoever comes takes the oldest one's place.
#[tokio::test]
async fn slow_peers_keep_nobody_out() {
    let (_, text) = SHIPPED.into_iter().find(|(name, _)| *name == "slow-loris").unwrap();
    let (verdicts, story) = told(text, 1).await;
    assert!(is_kept(&verdicts), "{verdicts:?}");
    // 32 peers with two exchanges each are more than the 48 that strangers may have: some lose their places, and try again.
    assert!(story.ended_slow.unwrap() > 16 * 48, "{:?}", story.ended_slow);
    assert_eq!(told(text, 1).await.1, story);
}

/// Of twenty-four nodes one is left: the oracle says what is broken, and nothing else is.
#[tokio::test]
async fn a_network_that_is_gone_keeps_nothing() {
    let (verdicts, story) = told(&KILLED.replacen("50%", "95%", 1), 1).await;
    let broken: Vec<&str> = verdicts.iter().filter(|one| one.kept == Some(false)).map(|one| one.oracle).collect();
    assert!(broken.contains(&"survival") && !broken.contains(&"blindness"), "{verdicts:?}");
    let last = story.deeds.last().unwrap();
    assert!(last.kind == Kind::Fetch && !matches!(last.end, End::Good | End::WrongBytes), "{last:?}");
}

/// Holders that keep nothing cannot give anything back: the publisher, who tries a sample, finds out.
#[tokio::test]
async fn a_network_of_liars_is_found_out() {
    let nodes: Vec<String> = (0..24).map(|index| index.to_string()).collect();
    let lying = format!("lying = [{{ how = \"absent\", nodes = [{}] }}]\n[[step]]", nodes.join(","));
    let (_, story) = told(&KILLED.replacen("[[step]]", &lying, 1), 1).await;
    assert!(!story.deeds.is_empty());
    let unproven = |end: &End| matches!(end, End::Failed(why) if why.contains("0 came back"));
    assert!(story.deeds.iter().all(|deed| unproven(&deed.end)), "{:?}", story.deeds);
}

/// Two of three nodes keep nothing: what they were given is placed anew until a proof ends well.
#[tokio::test]
async fn a_publish_gets_round_liars() {
    let nodes: Vec<String> = (8..24).map(|index| index.to_string()).collect();
    let lying = format!("lying = [{{ how = \"absent\", nodes = [{}] }}]\n[[step]]", nodes.join(","));
    let text = KILLED.replacen("bytes = 300_000", "bytes = 100_000", 1).replacen("[[step]]", &lying, 1);
    let (_, story) = told(&text, 1).await;
    let published: Vec<&End> =
        story.deeds.iter().filter(|deed| deed.kind == Kind::Publish).map(|deed| &deed.end).collect();
    assert_eq!(published, [&End::Good; 2]);
}

#[tokio::test]
async fn who_was_never_there_needs_somebody_to_be_told_of() {
    let text = KILLED.replacen("do = \"pause\"\nfraction = \"25%\"\nseed = 1", "do = \"kill-first\"\nnodes = 5", 1);
    let (_, story) = told(&text, 1).await;
    let strangers = story.deeds.iter().filter(|deed| deed.step == 2);
    assert!(strangers.clone().count() == 2 && strangers.clone().all(|deed| matches!(deed.end, End::Failed(_))));
}

/// The nodes that newcomers are told of are gone: who was there before knows others.
#[tokio::test]
async fn who_was_there_before_needs_nobody_to_be_told_of() {
    let gone = "do = \"kill-first\"\nnodes = 5";
    let text = KILLED.replacen("do = \"kill\"\nfraction = \"50%\"\nseed = 1", gone, 1);
    let (_, story) = told(&text.replacen("\"publisher\"", "\"returning\"", 1), 1).await;
    let last: Vec<&End> = story.deeds.iter().filter(|deed| deed.step == 7).map(|deed| &deed.end).collect();
    assert_eq!(last, [&End::Good; 2]);
}

/// A third of the holders keeps nothing. That they say so late takes longer than if they said it at once.
#[tokio::test]
async fn who_answers_late_costs_time() {
    let took = async |how: &str| {
        let lying = format!("lying = [{{ how = \"{how}\", nodes = [0, 3, 6, 9, 12, 15, 18, 21] }}]\n[[step]]");
        let (_, story) = told(&KILLED.replacen("[[step]]", &lying, 1), 1).await;
        let first = story.deeds.iter().filter(|deed| deed.step == 0);
        first.map(|deed| (deed.end == End::Good).then_some(deed.took)).sum::<Option<Duration>>().unwrap()
    };
    let (soon, late) = (took("absent").await, took("late").await);
    assert!(late > soon + Duration::from_secs(2), "{soon:?} {late:?}");
}

/// Rubbish that is published all the while makes nodes ask for stamps, and displaces nothing.
#[tokio::test]
async fn a_flood_is_priced() {
    let (_, text) = SHIPPED.into_iter().find(|(name, _)| *name == "flood").unwrap();
    let (verdicts, story) = told(text, 1).await;
    assert!(is_kept(&verdicts), "{verdicts:?}");
    let flood = verdicts.iter().find(|one| one.oracle == "flood").unwrap();
    assert_eq!(flood.kept, Some(true));
    let rubbish = story.flood.unwrap().rubbish;
    assert!(rubbish.placed > 20, "{rubbish:?}");
    assert!(story.accounts.iter().map(|one| one.paid).sum::<u64>() > 100, "{:?}", story.accounts);
    assert_eq!(told(text, 1).await.1, story);
    // Where there is room enough nobody asks, and that is said.
    let (verdicts, _) = told(&text.replacen("quota_mib = 24", "quota_mib = 240", 1), 1).await;
    assert_eq!(verdicts.iter().find(|one| one.oracle == "flood").unwrap().kept, Some(false));
}

#[test]
fn what_does_not_fit_into_memory_is_not_played() {
    let text = KILLED.replacen("bytes = 300_000", "bytes = 268_435_456", 1).replacen("files = 2", "files = 3", 1);
    assert!(lacks(StageKind::Sim, &text.parse().unwrap()).is_some());
    assert!(lacks(StageKind::Sim, &KILLED.parse().unwrap()).is_none());
}
