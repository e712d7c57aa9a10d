//! The verbs on a network of stand-ins: shell scripts that behave as `pald` does towards its starter, with this
//! process answering at their admin sockets.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::{Blow, Cast, Ended, Fraction, State, Testnet, TestnetError, Transport, UpOptions, send, state_file};

const LONG: Duration = Duration::from_secs(180);

/// Gets ready as `pald run --data-dir D … --listen A` does, and runs until asked to end.
const OBEDIENT: &str = r#"#!/bin/sh
data_dir=$3
mkdir -p "$data_dir"
while [ "$1" != --listen ]; do shift; done
port=${2##*/}; [ "$port" = 0 ] && port=$$
echo "{\"pid\":$$,\"id\":\"$$\",\"addresses\":[\"/ip4/127.0.0.1/tcp/$port/p2p/x\"]}" > "$data_dir/new"
mv "$data_dir/new" "$data_dir/node.json"
trap 'exit 0' TERM
while :; do sleep 0.02; done
"#;
/// Never gets ready, and does not end when asked to.
const STUBBORN: &str = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.02; done\n";
/// Ends at once, with a reason.
const FAILING: &str = "#!/bin/sh\necho port taken >&2\nexit 1\n";

/// A folder with a stand-in, and for a network.
struct Place(tempfile::TempDir);

impl Place {
    fn new(script: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        // Written by another process, since a program that any process holds open for writing cannot be started, and
        // the children of tests running beside this one inherit what is open here.
        let write = r#"printf '%s' "$1" > "$0" && chmod +x "$0""#;
        assert!(Command::new("sh").args(["-c", write]).arg(place.pald()).arg(script).status().unwrap().success());
        place
    }

    fn pald(&self) -> PathBuf {
        self.0.path().join("pald")
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("net")
    }

    fn options(&self, nodes: u32, deadline: Duration) -> UpOptions {
        let (dir, pald) = (self.dir(), self.pald());
        UpOptions { dir, nodes, transport: Transport::Tcp, quota: None, pald, cast: Cast::default(), deadline }
    }

    /// Answers for these nodes that each knows `known`.
    fn answer(&self, nodes: u32, known: usize) {
        for index in 0..nodes {
            let data_dir = self.dir().join(format!("node-{index:03}"));
            fs::create_dir_all(&data_dir).unwrap();
            let listener = UnixListener::bind(data_dir.join("admin.sock")).unwrap();
            tokio::spawn(async move {
                while let Ok((mut stream, _)) = listener.accept().await {
                    let _asked = stream.read_exact(&mut [0; 7]).await;
                    let _gone = stream.write_all(format!("{{\"living_nodes\":{known}}}").as_bytes()).await;
                }
            });
        }
    }
}

/// A failed test leaves no processes behind.
impl Drop for Place {
    fn drop(&mut self) {
        for node in State::read(&state_file(&self.dir())).into_iter().flatten().flat_map(|state| state.nodes) {
            let _gone = send(&node, Signal::KILL);
        }
    }
}

/// Whether any process that was started for this folder runs on. What a shell was about to start when it was killed still has the
/// shell's command line for a moment.
async fn is_left(dir: &Path) -> bool {
    for _ in 0..100 {
        if !inhabited(dir) {
            return false;
        }
        tokio::time::sleep(super::LOOK_EVERY).await;
    }
    true
}

/// Whether any process was started for this folder and runs.
fn inhabited(dir: &Path) -> bool {
    let path = dir.to_string_lossy().into_owned();
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&path))
    })
}

#[tokio::test]
async fn a_network_lives_through_all_verbs() {
    let place = Place::new(OBEDIENT);
    place.answer(8, 8);
    let net = Testnet::up(place.options(8, LONG)).await.unwrap();
    assert_eq!(net.running().len(), 8);
    let bootstrap = fs::read_to_string(net.bootstrap_file()).unwrap();
    assert_eq!(bootstrap.lines().count(), 5);
    assert!(bootstrap.lines().eq(net.nodes()[..5].iter().map(|node| node.addresses[0].as_str())));
    assert!(matches!(Testnet::open(&place.dir()), Err(TestnetError::Busy { .. })));
    drop(net);
    assert!(matches!(Testnet::up(place.options(8, LONG)).await, Err(TestnetError::Occupied { .. })));

    let mut net = Testnet::open(&place.dir()).unwrap();
    let killed = net.hit(Fraction::HALF, 3, Blow::Kill).await.unwrap();
    assert_eq!((killed.len(), net.running().len()), (4, 4));
    assert!(net.hit(Fraction::HALF, 3, Blow::Kill).await.unwrap().is_empty(), "the same ones, dead already");
    let stopped = net.hit(Fraction::new(1.0).unwrap(), 3, Blow::Stop).await.unwrap();
    assert_eq!((stopped.len(), net.running().len()), (4, 4), "the stopped ones live");
    assert_eq!(net.hit(Fraction::new(1.0).unwrap(), 3, Blow::Continue).await.unwrap(), stopped);

    let addresses: Vec<_> = net.nodes().iter().map(|node| node.addresses.clone()).collect();
    assert_eq!(net.start(LONG).await.unwrap(), killed);
    assert_eq!(net.running().len(), 8);
    assert!(net.nodes().iter().map(|node| node.addresses.clone()).eq(addresses), "on the ports they had");

    net.hit(Fraction::HALF, 1, Blow::Stop).await.unwrap();
    assert_eq!(net.down(LONG).await.unwrap(), Ended { asked: 8, killed: 0 });
    assert!(net.running().is_empty() && !is_left(&place.dir()).await);
    assert_eq!(net.down(LONG).await.unwrap(), Ended::default(), "down twice");
}

#[tokio::test]
async fn the_bootstrap_file_names_somebody_alive() {
    let place = Place::new(OBEDIENT);
    place.answer(12, 12);
    let net = Testnet::up(place.options(12, LONG)).await.unwrap();
    let named = || fs::read_to_string(net.bootstrap_file()).unwrap();
    let before = named();
    let first_five = BTreeSet::from([0, 1, 2, 3, 4]);
    let seed_hitting = |all: bool| {
        (0..).find(|&seed| {
            let chosen: BTreeSet<u32> = super::choose(12, Fraction::HALF, seed).into_iter().collect();
            chosen.is_superset(&first_five) == all
        })
    };
    net.hit(Fraction::HALF, seed_hitting(false).unwrap(), Blow::Stop).await.unwrap();
    assert_eq!(named(), before, "somebody named is left");
    net.hit(Fraction::HALF, seed_hitting(false).unwrap(), Blow::Continue).await.unwrap();
    net.hit(Fraction::HALF, seed_hitting(true).unwrap(), Blow::Kill).await.unwrap();
    assert!(named().lines().all(|line| !before.contains(line)), "all named are dead");
    net.discard().await.unwrap();
}

#[tokio::test]
async fn who_does_not_know_all_is_named_and_nothing_runs_on() {
    let place = Place::new(OBEDIENT);
    place.answer(3, 4);
    fs::create_dir_all(place.dir().join("node-003")).unwrap();
    // A machine that stands still does not get so far within two seconds.
    for deadline in [2, 10, 60] {
        let error = Testnet::up(place.options(4, Duration::from_secs(deadline))).await.unwrap_err();
        assert!(!is_left(&place.dir()).await);
        assert_eq!(State::read(&state_file(&place.dir())).unwrap(), None, "up may be called again");
        match error {
            TestnetError::NotAcquainted { wanted: 4, missing, .. } if missing.len() == 1 => {
                return assert_eq!(missing[0].index, 3);
            }
            TestnetError::NotAcquainted { .. } | TestnetError::NotReady { .. } => {}
            other => panic!("{other}"),
        }
    }
    panic!("others than the ignorant one are named");
}

#[tokio::test]
async fn who_is_not_ready_in_time_is_named_and_killed() {
    let place = Place::new(STUBBORN);
    let error = Testnet::up(place.options(4, Duration::from_millis(200))).await.unwrap_err();
    let TestnetError::NotReady { missing, .. } = error else { panic!("{error}") };
    assert_eq!(missing, [0], "the first is waited for alone");
    assert!(!is_left(&place.dir()).await);
}

#[tokio::test]
async fn who_ends_early_is_named_with_its_last_words() {
    let place = Place::new(FAILING);
    let error = Testnet::up(place.options(2, LONG)).await.unwrap_err();
    assert!(matches!(&error, TestnetError::NodeEnded { index: 0, .. }), "{error}");
    assert!(error.to_string().ends_with("port taken"), "{error}");
}

#[tokio::test]
async fn refused_are_strange_sizes_programs_and_folders() {
    let place = Place::new(OBEDIENT);
    for nodes in [0, 1001] {
        assert!(matches!(Testnet::up(place.options(nodes, LONG)).await, Err(TestnetError::Size)));
    }
    let missing = UpOptions { pald: place.0.path().join("none"), ..place.options(1, LONG) };
    assert!(matches!(Testnet::up(missing).await, Err(TestnetError::Spawn { .. })));
    assert!(matches!(Testnet::open(&place.dir()), Err(TestnetError::NoNetwork { .. })));
    assert!(matches!(Testnet::open(Path::new("/no/such/folder")), Err(TestnetError::NoNetwork { .. })));
}
