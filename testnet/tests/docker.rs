//! The docker testnet on a real engine, where there is one and it is asked for: otherwise this says that it was skipped.
//!
//! `cargo static`, then `PALIMPSEST_DOCKER=1 cargo test --release -p palimpsest-testnet --test docker` (docs/testnet.md).
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use palimpsest_testnet::checker::{is_kept, judge};
use palimpsest_testnet::docker::{
    Condition, Docker, DockerError, DockerNet, LABEL, Links, Name, Side, Subnet, UpOptions, remove,
};
use palimpsest_testnet::hostile::Cast;
use palimpsest_testnet::process::{Fraction, Home, Pal, Run, Transport, Way, find_program};
use palimpsest_testnet::sample;
use palimpsest_testnet::scenario::{Played, Scenario, StageKind, Theatre, container_name, play};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio::task::{LocalSet, spawn_local};

/// Who wants these tests says so: they take a minute or two, and the engine of a machine is not ours.
const ASKED_FOR: &str = "PALIMPSEST_DOCKER";
/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(300);
/// Between two questions to all nodes.
const ASK_EVERY: Duration = Duration::from_millis(500);
const NODES: u32 = 12;
/// The last two are behind a router.
const NAT: f64 = 0.15;
const BYTES: u64 = 300_000;

/// What is done with one network, one after the other.
const CHECKS: [&str; 5] = [
    "containers of two kinds of place know each other",
    "half of the containers killed, the file fetched, all started again",
    "frozen containers cost time and no file, and wake up",
    "each half of a cut network fetches what was there, and what is whole again takes a new file",
    "a scenario of liars, a meddler, a coalition, rot, a cut and deaths is played and kept",
];
/// Played on a network of its own when the other is gone, in small: what the shipped scenarios have, each by itself.
const SCENARIO: &str = r#"
about = "Some lie, one meddles, some pool what they see; rot, a cut, deaths, and all start again."
nodes = 16
deadline_s = 120
promises = { published = "100%", fetched = "100%" }
lying = [{ how = "garbage", nodes = [4] }, { how = "absent", nodes = [9] }]
meddling = [{ how = "drop-some", nodes = [7] }]
coalition = { fraction = "25%", seed = 1 }
[[step]]
do = "publish"
files = 2
bytes = 300_000
[[step]]
do = "fetch"
[[step]]
do = "rot"
fraction = "10%"
seed = 1
[[step]]
do = "partition"
fraction = "25%"
seed = 5
[[step]]
do = "fetch"
from = "inside"
[[step]]
do = "heal"
[[step]]
do = "kill"
fraction = "25%"
seed = 2
[[step]]
do = "fetch"
by = "publisher"
[[step]]
do = "restart"
[[step]]
do = "fetch"
"#;

/// No test harness: that one knows only passed and failed, and what did not run has not passed.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    if std::env::var_os(ASKED_FOR).is_none() {
        return skipped(&format!("{ASKED_FOR} is not set"));
    }
    let docker = match Docker::find().await {
        Ok(docker) => docker,
        Err(error) => {
            assert!(error.is_no_docker(), "{error}");
            return skipped(&format!("no docker engine ({error})"));
        }
    };
    let name: Name = format!("test-{}", std::process::id()).parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = UpOptions {
        dir: dir.path().join("net"),
        name: name.clone(),
        subnet: Subnet::free(std::process::id(), &docker.subnets().await.unwrap()).unwrap(),
        nodes: NODES,
        nat: Fraction::new(NAT).unwrap(),
        links: Links { latency: Some("2ms±1".parse().unwrap()), loss: None, bandwidth: None },
        transport: Transport::Tcp,
        quota: Some("1G".to_owned()),
        disk_mib: None,
        bin_dir: None,
        cast: Cast::default(),
        deadline: LONG,
    };
    let net = match DockerNet::up(options).await {
        Ok(net) => net,
        // What the machine lacks is not ours to bring; programs that are not static are.
        Err(error @ DockerError::Missing { .. }) => return skipped(&error.to_string()),
        Err(error) => panic!("{error}"),
    };
    // A failed test leaves no containers behind.
    let outcome = tokio::spawn(all(net, dir.path().to_owned())).await;
    remove(&docker, &name).await.unwrap();
    outcome.unwrap();
    nothing_is_left(&docker, &name).await;
    // What a stage holds does not change threads.
    let (place, played) = (dir.path().join("played"), container_name().unwrap());
    let outcome = LocalSet::new().run_until(async { spawn_local(a_scenario_is_kept(place)).await }).await;
    remove(&docker, &played).await.unwrap();
    outcome.unwrap();
    nothing_is_left(&docker, &played).await;
    passed(4);
    println!("{} passed, 0 failed, 0 skipped", CHECKS.len());
    ExitCode::SUCCESS
}

async fn nothing_is_left(docker: &Docker, name: &Name) {
    for kind in ["ps --all", "network ls", "volume ls", "images"] {
        let filter = format!("label={LABEL}={name}");
        let words: Vec<&str> = kind.split(' ').chain(["--quiet", "--filter", &filter]).collect();
        assert_eq!(docker.ask(&words).await.unwrap(), "", "{kind}: something is left");
    }
}

async fn a_scenario_is_kept(dir: PathBuf) {
    std::fs::create_dir_all(&dir).unwrap();
    let scenario: Scenario = SCENARIO.parse().unwrap();
    let theatre = Theatre { dir, bin_dir: None, seed: 1 };
    let tell = |step: usize, what: &_| println!("  step {}: {what}", step + 1);
    let played = play(&scenario, StageKind::Docker, &theatre, tell).await.unwrap();
    let Played::Story(story, left) = played else { panic!("{played:?}") };
    let verdicts = judge(&scenario.promises, &story);
    assert!(is_kept(&verdicts) && left.is_none(), "{verdicts:?}; {left:?}");
    // All four oracles had something to judge, and so had they who look over nodes' shoulders.
    assert!(verdicts.iter().all(|verdict| verdict.kept == Some(true)), "{verdicts:?}");
    let watched = story.watched.unwrap();
    assert!(watched.requests > 10 && watched.coalition.unwrap().nodes == 4, "{:?}", watched.complaints);
    assert_eq!((story.accounts.len(), story.deeds.len()), (16, 10));
}

fn skipped(why: &str) -> ExitCode {
    println!("skipped: {why}");
    println!("0 passed, 0 failed, {} skipped", CHECKS.len());
    ExitCode::SUCCESS
}

/// A network, and users of it.
struct Ground {
    net: DockerNet,
    pal: Pal,
    place: PathBuf,
    users: u32,
}

async fn all(net: DockerNet, place: PathBuf) {
    let pal = Pal { program: find_program("pal", None).unwrap(), bootstrap: net.bootstrap_file() };
    let mut ground = Ground { net, pal, place, users: 0 };
    let outside = Way::default();
    let file = ground.publish(1, &outside).await;
    acquainted(&ground).await;
    passed(0);
    half_dies_and_comes_back(&mut ground, &file).await;
    passed(1);
    some_hang_and_wake_up(&mut ground, &file).await;
    passed(2);
    halves_go_on(&mut ground, &file).await;
    passed(3);
}

fn passed(check: usize) {
    println!("passed: {}", CHECKS[check]);
}

async fn acquainted(ground: &Ground) {
    let plan = ground.net.plan();
    assert_eq!((plan.lans.len(), plan.nodes.len()), (1, NODES as usize));
    // Whom a node dialled in vain it forgets for some seconds: not all know all at one moment.
    tokio::time::timeout(LONG, found_again(ground)).await.expect("all know each other");
    // What a node logs it says without naming anybody's file.
    let log = ground.net.tail(0).await.unwrap();
    assert!(log.contains("the node is up") && !log.contains("pal:"), "{log}");
}

async fn half_dies_and_comes_back(ground: &mut Ground, file: &Published) {
    let chosen = ground.net.plan().chosen(Fraction::HALF, 1);
    assert_eq!(ground.net.kill(&chosen).await.unwrap(), chosen);
    let conditions = ground.net.conditions().await.unwrap();
    for (index, condition) in ground.net.plan().indices().zip(conditions) {
        assert_eq!(condition == Condition::Gone, chosen.contains(&index), "{index}");
    }
    ground.fetch(file, &Way::default()).await;
    assert_eq!(ground.net.restart(LONG).await.unwrap(), chosen);
}

async fn some_hang_and_wake_up(ground: &mut Ground, file: &Published) {
    let chosen = ground.net.plan().chosen(Fraction::new(0.25).unwrap(), 2);
    assert_eq!(ground.net.pause(&chosen).await.unwrap(), chosen);
    ground.fetch(file, &Way::default()).await;
    assert_eq!(ground.net.heal().await.unwrap(), chosen);
    let conditions = ground.net.conditions().await.unwrap();
    assert!(conditions.iter().all(|one| *one == Condition::Running), "{conditions:?}");
}

/// Nodes on each side hear nothing of the other side, users included.
async fn halves_go_on(ground: &mut Ground, file: &Published) {
    let chosen = ground.net.plan().chosen(Fraction::HALF, 3);
    let island = match ground.net.partition(&chosen).await {
        Ok(island) => island,
        Err(error) => panic!("{error}"),
    };
    assert!(!island.is_empty() && island.len() < NODES as usize, "{island:?}");
    for side in [Side::Mainland, Side::Island] {
        let way = ground.net.inside(side).await.unwrap();
        ground.fetch(file, &way).await;
    }
    assert_eq!(ground.net.heal().await.unwrap(), [] as [u32; 0]);
    let [here, there] = [Side::Mainland, Side::Island].map(|side| ground.net.inside(side));
    let (here, there) = (here.await.unwrap(), there.await.unwrap());
    let late = ground.publish(2, &here).await;
    ground.fetch(&late, &there).await;
    let took = tokio::time::timeout(LONG, found_again(ground)).await.expect("nobody who lives is believed lost");
    println!("healed: all believe each other alive after {} s more", took.as_secs());
}

/// Waits until each node believes of each other one that it lives. How long that took.
async fn found_again(ground: &Ground) -> Duration {
    let (all, begun) = (ground.net.plan().indices().collect::<Vec<_>>(), Instant::now());
    loop {
        let living = ground.net.statuses(&all).await;
        let knows_all = |status: &Option<Value>| {
            status.as_ref().and_then(|status| status["living_nodes"].as_u64()) == Some(u64::from(NODES))
        };
        if living.iter().all(knows_all) {
            return begun.elapsed();
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// A file that was published.
struct Published {
    file: PathBuf,
    link: String,
}

impl Ground {
    /// Somebody who was never there.
    fn stranger(&mut self) -> (Home, PathBuf) {
        self.users += 1;
        let place = self.place.join(format!("user-{}", self.users));
        (Home::fresh(place.clone()).unwrap(), place.join("copy"))
    }

    async fn publish(&mut self, seed: u64, way: &Way) -> Published {
        let file = self.place.join(format!("file-{seed}"));
        sample::write(&file, BYTES, seed).unwrap();
        let (home, _) = self.stranger();
        let run = self.pal.run_by(way, &home, &["publish".as_ref(), file.as_os_str()], LONG).await.unwrap();
        let link = run.link().unwrap_or_else(|| panic!("{}", run.complaint()));
        Published { file, link }
    }

    async fn fetch(&mut self, published: &Published, way: &Way) {
        let (home, copy) = self.stranger();
        let words = ["fetch".as_ref(), published.link.as_ref(), "-o".as_ref(), copy.as_os_str()];
        let run: Run = self.pal.run_by(way, &home, &words, LONG).await.unwrap();
        assert!(run.done(), "{}", run.complaint());
        assert!(same(&published.file, &copy));
    }
}

fn same(file: &Path, copy: &Path) -> bool {
    sample::same(file, copy).unwrap()
}
