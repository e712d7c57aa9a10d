//! The programs as they are shipped, over TCP: nodes that are killed while a file is published, what a user reads when
//! something is wrong, and what a node must never have in its files, its log or its memory.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use palimpsest_client::Capability;
use palimpsest_testnet::hostile::Cast;
use palimpsest_testnet::process::{Blow, Ended, Fraction, Home, Pal, Run, Testnet, Transport, UpOptions, find_program};
use palimpsest_testnet::sample;
use palimpsest_testnet::search::{Canary, search_file, search_folder, search_memory};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(240);
/// How often something is begun anew that was over before it could be disturbed.
const TRIES: u32 = 8;
const NODES: u32 = 12;
/// Nodes that all keep diaries.
const WATCHED: u32 = 6;

/// A network and its users, in a folder that goes with it.
struct Place {
    net: Option<Testnet>,
    pal: Pal,
    dir: tempfile::TempDir,
}

impl Place {
    async fn up() -> Place {
        Place::with(NODES, Cast::default()).await
    }

    async fn with(nodes: u32, cast: Cast) -> Place {
        let dir = tempfile::tempdir().unwrap();
        let options = UpOptions {
            dir: dir.path().join("net"),
            nodes,
            transport: Transport::Tcp,
            quota: Some("1G".to_owned()),
            pald: find_program("pald", None).unwrap(),
            cast,
            deadline: LONG,
        };
        let net = Testnet::up(options).await.unwrap();
        let pal = Pal { program: find_program("pal", None).unwrap(), bootstrap: net.bootstrap_file() };
        Place { net: Some(net), pal, dir }
    }

    fn net(&mut self) -> &mut Testnet {
        self.net.as_mut().unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn home(&self, name: &str) -> Home {
        Home::fresh(self.path(name)).unwrap()
    }

    async fn run(&self, home: &Home, args: &[&str]) -> Run {
        self.pal.run(home, args, LONG).await.unwrap()
    }

    /// Fetches by a user who was never there.
    async fn fetch(&self, link: &str, name: &str) -> Run {
        let output = self.path(name);
        self.run(&self.home(&format!("home of {name}")), &["fetch", link, "-o", output.to_str().unwrap()]).await
    }

    /// Fetches as users who were never there, until one of them ends with this code: a machine that stands still hides more than what
    /// is gone, but not from everybody.
    async fn fetch_in_vain(&self, link: &str, name: &str, code: i32) -> Run {
        let output = self.path(name);
        let words = ["fetch", link, "-o", output.to_str().unwrap()];
        let mut number = 0;
        loop {
            let run = self.run(&self.home(&format!("home of {name}-{number}")), &words).await;
            number += 1;
            if run.code == Some(code) || run.done() || number == TRIES {
                return run;
            }
        }
    }

    /// Publishes as the user whose home is `user`, and interrupts that when some 300 shards were acknowledged; false if it was
    /// over before.
    async fn interrupt_publish(&self, file: &Path) -> bool {
        let data = self.path("user").join("data");
        let mut child = Command::new(&self.pal.program)
            .args(["publish", file.to_str().unwrap()])
            .env("HOME", self.path("user"))
            .env("XDG_CONFIG_HOME", self.path("user").join("config"))
            .env("XDG_DATA_HOME", &data)
            .env("PAL_BOOTSTRAP", &self.pal.bootstrap)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        // The journal has one file while something is published, and 48 bytes for each acknowledged shard.
        let journals = data.join("palimpsest").join("publishing");
        let noted = || {
            let files = fs::read_dir(&journals).into_iter().flatten().flatten();
            files.filter_map(|file| file.metadata().ok()).map(|file| file.len() / 48).max().unwrap_or(0)
        };
        let until = Instant::now() + LONG;
        while noted() < 300 && child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "{} shards acknowledged", noted());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let pid = Pid::from_raw(child.id().unwrap_or(0).try_into().unwrap());
        // It is a child of ours until it is waited for, so that the number is still its own.
        let Some(pid) = pid else { return false };
        kill_process(pid, Signal::INT).unwrap();
        let ended = tokio::time::timeout(LONG, child.wait()).await.unwrap().unwrap();
        assert!([Some(130), Some(0)].contains(&ended.code()), "{ended}");
        ended.code() == Some(130)
    }

    /// Shards that all nodes together keep.
    async fn shards(&self) -> u64 {
        let mut shards = 0;
        for node in self.net.as_ref().unwrap().nodes() {
            let status = palimpsest_node::admin::status(&node.data_dir, LONG).await;
            shards += status.ok().and_then(|status| status["store"]["shards"].as_u64()).unwrap_or(0);
        }
        shards
    }
}

/// A failed test leaves no processes behind.
impl Drop for Place {
    fn drop(&mut self) {
        let Some(net) = self.net.take() else { return };
        let end = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let _dead = runtime.block_on(net.discard());
        };
        let _ended = std::thread::scope(|scope| scope.spawn(end).join());
    }
}

/// What it answered, if it did what it was asked for.
fn result(run: &Run) -> serde_json::Value {
    assert!(run.done(), "{}\n{}", run.complaint(), String::from_utf8_lossy(&run.stderr));
    run.result().unwrap()
}

/// It failed with this code, and said this.
fn refused(run: &Run, code: i32, words: &[&str]) {
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.code, Some(code), "{said}");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_die_while_a_file_is_published() {
    let mut place = Place::up().await;
    let (file, user) = (place.path("file"), place.home("user"));
    let mut tries = 0..TRIES;
    let (killed, published) = loop {
        // One that is over before anybody looks was not disturbed: then another file.
        let number = tries.next().expect("one is disturbed");
        sample::write(&file, 16 << 20, number.into()).unwrap();
        let before = place.shards().await;
        let publishing = {
            let (pal, user, file) = (place.pal.clone(), user.clone(), file.clone());
            let args = ["publish".to_owned(), "--json".to_owned(), file.to_str().unwrap().to_owned()];
            tokio::spawn(async move { pal.run(&user, &args, LONG).await.unwrap() })
        };
        while place.shards().await < before + 100 && !publishing.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let killed = place.net().hit(Fraction::new(0.25).unwrap(), 1, Blow::Kill).await.unwrap();
        let in_the_middle = !publishing.is_finished();
        let published = publishing.await.unwrap();
        if in_the_middle {
            break (killed, published);
        }
        assert!(published.done(), "{}", published.complaint());
        place.net().start(LONG).await.unwrap();
    };
    let link = published.link().unwrap_or_else(|| panic!("{}", published.complaint()));
    let placed = result(&published)["shards_placed"].as_u64().unwrap();

    // All that was acknowledged is there when the dead are back, also what the killed had acknowledged.
    assert_eq!(place.net().start(LONG).await.unwrap(), killed);
    let (other, until) = (place.home("other"), Instant::now() + LONG);
    loop {
        let status = result(&place.run(&other, &["status", "--json", &link]).await);
        let present = status["stripes"].as_array().unwrap().iter().map(|stripe| stripe["present"].as_u64().unwrap());
        // Whoever asks does not ask its own guard: one of eleven others, whose part of the shards it cannot see.
        if present.sum::<u64>() >= placed - placed / 6 {
            break;
        }
        // Until word of their return is around, some relays do not reach them.
        assert!(Instant::now() < until, "{placed} were acknowledged: {status}");
    }

    let kept = place.shards().await;
    assert!(kept >= placed, "{kept} of {placed} acknowledged shards are on the disks");

    // With half of them gone it is fetched all the same, also by who knew the network before: those that were dead while
    // it was published, and as many others (of twelve nodes no more can be asked for).
    let stale = user.copy(place.path("stale")).unwrap();
    assert_eq!(place.net().hit(Fraction::HALF, 1, Blow::Kill).await.unwrap().len(), 6);
    let run = place.fetch(&link, "fresh").await;
    assert!(run.done(), "{}", run.complaint());
    assert!(sample::same(&file, &place.path("fresh")).unwrap());
    let output = place.path("by the stale one");
    let run = place.run(&stale, &["fetch", &link, "-o", output.to_str().unwrap()]).await;
    assert!(run.done(), "{}", run.complaint());
    assert!(sample::same(&file, &output).unwrap());

    // With too few left it says so, and leaves nothing under the final name.
    place.net().hit(Fraction::new(0.84).unwrap(), 1, Blow::Kill).await.unwrap();
    assert_eq!(place.net().running().len(), 2);
    let run = place.fetch_in_vain(&link, "never", 5).await;
    refused(&run, 5, &[" of ", " needed"]);
    assert!(!place.path("never").exists());

    // Each ends in order when it is asked to.
    assert_eq!(place.net().down(LONG).await.unwrap(), Ended { asked: 2, killed: 0 });
    let log = fs::read_to_string(&place.net().nodes()[0].log).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

const STRING: &str = "a yellow bird in the shaft of the old mine, number 4711; ";
const NAME: &str = "map-of-the-old-mine.txt";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_node_knows_what_it_keeps() {
    let mut place = Place::up().await;
    let (file, user) = (place.path(NAME), place.home("user"));
    fs::write(&file, [STRING.repeat(40_000).as_bytes(), &[7; 1000]].concat()).unwrap();
    let run = place.run(&user, &["publish", file.to_str().unwrap()]).await;
    let link = run.link().unwrap_or_else(|| panic!("{}", run.complaint()));
    let run = place.fetch(&link, "copy").await;
    assert!(run.done() && sample::same(&file, &place.path("copy")).unwrap(), "{}", run.complaint());

    let mut canaries = vec![Canary::text("content", STRING), Canary::text("name", NAME)];
    canaries.extend(Canary::link(&link));
    // The search finds what is there.
    assert!(!search_file(&file, &canaries).unwrap().is_empty());
    let mut read = 0;
    for node in place.net().nodes() {
        let mut found = search_folder(&node.data_dir, &canaries).unwrap();
        found.extend(search_file(&node.log, &canaries).unwrap());
        match search_memory(node.pid, &canaries) {
            Ok(hits) => {
                // A node knows its own folder: its memory has really been looked through.
                let known = [Canary::text("folder", node.data_dir.to_str().unwrap())];
                assert!(!search_memory(node.pid, &known).unwrap().is_empty());
                found.extend(hits);
                read += 1;
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
            Err(error) => panic!("{error}"),
        }
        assert!(found.is_empty(), "{found:?}");
    }
    if read == 0 {
        eprintln!("skipped: the memory of processes cannot be read here");
    }

    // What nobody has published is told to be absent, and by how many.
    let unknown = place.dir.path().join("unknown");
    sample::write(&unknown, 64, 9).unwrap();
    let random = |at: usize| <[u8; 32]>::try_from(&fs::read(&unknown).unwrap()[at..at + 32]).unwrap();
    let absent = Capability::Read {
        root: palimpsest_proto::ids::RootAddress(random(0)),
        key: palimpsest_proto::content::StripeKey::new(palimpsest_proto::secret::Secret::new(random(32))),
    };
    let run = place.fetch_in_vain(&absent.to_string(), "nothing", 4).await;
    refused(&run, 4, &["nothing is published under this link", "nodes asked said so"]);
    assert!(!place.path("nothing").exists());

    // Interrupted, it goes on where it was.
    let large = place.path("large");
    for number in 3.. {
        // One that is over before anybody looks cannot be interrupted: then another file.
        assert!(number < 3 + TRIES, "one is interrupted");
        sample::write(&large, 24 << 20, number.into()).unwrap();
        if place.interrupt_publish(&large).await {
            break;
        }
    }
    let published = result(&place.run(&user, &["publish", "--json", large.to_str().unwrap()]).await);
    let (placed, resumed) =
        (published["shards_placed"].as_u64().unwrap(), published["shards_resumed"].as_u64().unwrap());
    assert!(resumed >= 200 && resumed < placed, "{published}");

    // Client and nodes account for where their time went.
    assert!(["onion_ns", "coding_ns"].iter().all(|kind| published["cpu"][kind].as_u64() > Some(0)), "{published}");
    let nodes = place.net().cpu().await;
    assert!([nodes.relay, nodes.holder, nodes.store].iter().all(|spent| !spent.is_zero()), "{nodes:?}");
    // Of the five links that a shard goes over, four are a relay's.
    assert!((0.5..1.0).contains(&nodes.forwarded_share()), "{nodes:?}");

    // Too little time.
    sample::write(&large, 64 << 20, 100).unwrap();
    let run = place.run(&user, &["publish", "--timeout", "700ms", large.to_str().unwrap()]).await;
    refused(&run, 9, &["not finished after 0.7 s"]);

    // Nobody there.
    let (bootstrap, lonely) = ("/ip4/127.0.0.1/tcp/9", place.home("lonely"));
    // It does not wait for its deadline, which is beyond ours.
    let args = ["fetch", &link, "--bootstrap", bootstrap, "--connect-timeout", "1d", "-o", "x"];
    let run = place.run(&lonely, &args).await;
    refused(&run, 7, &[bootstrap]);
    assert!(!Path::new("x").exists());
}

/// A censor who has a link and some of the nodes, all of which keep diaries: the command names holders and users, tries an eclipse, and
/// leaves nobody behind whom it brought.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_censor_says_what_it_achieved() {
    let mut cast = Cast::default();
    (0..WATCHED).for_each(|node| cast.part(node).diary = true);
    let mut place = Place::with(WATCHED, cast).await;
    let file = place.path("file");
    sample::write(&file, 300_000, 1).unwrap();
    let (path, user) = (file.to_str().unwrap(), place.home("user"));
    let link = result(&place.run(&user, &["publish", "--json", path]).await)["link"].as_str().unwrap().to_owned();
    assert!(place.fetch(&link, "copy").await.done());
    // The command has the network for itself.
    let dir = place.path("net");
    drop(place.net.take());
    let censor = async |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pal-testnet"));
        command.args(["censor", &link, "--json", "--dir"]).arg(&dir).args(words).kill_on_drop(true);
        let done = tokio::time::timeout(LONG, command.output()).await.unwrap().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice::<serde_json::Value>(&done.stdout).unwrap()
    };
    let alone = censor(&[]).await;
    assert!(alone["users"].is_null() && alone["eclipse"].is_null() && alone["cost"]["touched"] == false, "{alone}");
    assert_eq!(alone["holders"]["nodes"], WATCHED);
    let holder = &alone["holders"]["holders"][0];
    assert!(holder["id"].as_str().unwrap().len() == 64, "{holder}");
    assert!(holder["addresses"][0].as_str().unwrap().starts_with("/ip4/127.0.0.1/tcp/"), "{holder}");
    assert!(alone["holders"]["stripes"].as_array().unwrap().iter().all(|stripe| stripe["missing"] == 0), "{alone}");

    let words = ["--coalition", "0,1,2,3,4,5", "--eclipse", "record", "--nodes", "1", "--drawn", "20"];
    let all = censor(&words).await;
    let users = &all["users"];
    // The publisher and the reader; and this command before, which read the root.
    assert!(users["publishers"] == 1 && users["readers"].as_u64() >= Some(2) && users["bound"] == 1.0, "{users}");
    assert!(users["wrong"] == 0 && users["beyond"] == 0 && users["right"].as_u64() >= Some(3), "{users}");
    let eclipse = &all["eclipse"];
    assert!(
        eclipse["honest"] == WATCHED && eclipse["drawn"] == 20 && eclipse["sybils"].as_u64() > Some(0),
        "{eclipse}"
    );
    assert!(eclipse["meanwhile"]["failure"].is_null() && eclipse["before"]["failure"].is_null(), "{eclipse}");
    let known = eclipse["known"].as_u64();
    assert!(known == eclipse["sybils"].as_u64(), "the reader was among them: {eclipse}");

    let net = Testnet::open(&dir).unwrap();
    assert_eq!((net.nodes().len(), net.running().len()), (WATCHED as usize, WATCHED as usize));
    assert!(!dir.join("node-006").exists() && !dir.join("node-006.log").exists());
    place.net = Some(net);
}
