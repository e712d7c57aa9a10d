//! One `pald` as an operator sees it: its signals, its files, and what it says when it cannot start.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use rustix::mount::{MountFlags, UnmountFlags, mount_bind, mount_remount, unmount};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const LONG: Duration = Duration::from_secs(180);
/// How often it is looked whether something has happened that nobody announces.
const LOOK_EVERY: Duration = Duration::from_millis(5);

fn pald() -> Command {
    let mut command = Command::new(palimpsest_testnet::process::find_program("pald", None).unwrap());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PALD_")) {
        command.env_remove(name);
    }
    command
}

fn run(data_dir: &Path, listen: &str, more: &[&str]) -> Command {
    let mut command = pald();
    command.arg("run").arg("--data-dir").arg(data_dir).args(["--transport", "tcp", "--listen", listen]).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

const ANY_PORT: &str = "/ip4/127.0.0.1/tcp/0";

/// Any port of a loopback address at which nobody else on the machine listens: a node that ends and starts again finds its
/// port free, whatever ports other tests were given meanwhile.
fn own_port() -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("/ip4/127.200.{high}.{low}/tcp/0")
}

/// A running node; killed when dropped.
struct Node {
    child: Child,
    /// What it wrote when it was ready.
    said: Value,
}

impl Node {
    fn start(data_dir: &Path) -> Node {
        Node::start_at(ANY_PORT, data_dir)
    }

    fn start_at(listen: &str, data_dir: &Path) -> Node {
        Node::await_start(&mut run(data_dir, listen, &["--quota", "100M"]), data_dir)
    }

    fn await_start(command: &mut Command, data_dir: &Path) -> Node {
        let mut child = command.spawn().unwrap();
        let (pid, until) = (child.id(), Instant::now() + LONG);
        let said = loop {
            let text = fs::read(data_dir.join("node.json")).unwrap_or_default();
            if let Some(said) = serde_json::from_slice::<Value>(&text).ok().filter(|said| said["pid"] == pid) {
                break said;
            }
            if child.try_wait().unwrap().is_some() || Instant::now() > until {
                let _dead = child.kill();
                let output = child.wait_with_output().unwrap();
                panic!("not ready: {}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(LOOK_EVERY);
        };
        Node { child, said }
    }

    fn address(&self) -> String {
        self.said["addresses"][0].as_str().unwrap().split("/p2p/").next().unwrap().to_owned()
    }

    /// Ends it with a signal: its exit code, if it had one, and what it said.
    fn end(&mut self, signal: Signal) -> (Option<i32>, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = await_end(&mut self.child);
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (status.code(), said)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _dead = self.child.kill();
        let _collected = self.child.wait();
    }
}

/// Waits until the process has ended; one that does not is killed.
fn await_end(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + LONG;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > until {
            let _dead = child.kill();
            panic!("it does not end");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// It does not start, and says why in words that contain these.
fn refused(command: &mut Command, words: &[&str]) {
    let mut child = command.spawn().unwrap();
    let status = await_end(&mut child);
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "{status}: {said}");
    assert!(words.iter().all(|word| said.contains(word)), "{said}");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn it_ends_in_order_and_is_the_same_one_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("node");
    let start = || Node::start_at(&own_port(), &data_dir);
    let mut node = start();
    let (id, address) = (node.said["id"].clone(), node.address());
    let status = || pald().arg("status").arg("--data-dir").arg(&data_dir).output().unwrap();
    let said = String::from_utf8(status().stdout).unwrap();
    assert!(said.contains(id.as_str().unwrap()) && said.contains("100.0 MiB"), "{said}");

    let (code, log) = node.end(Signal::TERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("the node is up") && log.contains("the node ends"), "{log}");
    for gone in ["node.json", "admin.sock"] {
        assert!(!data_dir.join(gone).exists(), "{gone}");
    }
    let output = status();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && said.contains("no node answers") && said.contains("pald run"), "{said}");

    // Killed, it leaves its files behind; they hinder nobody.
    let mut node = start();
    assert_eq!((&node.said["id"], node.address()), (&id, address.clone()));
    assert_eq!(node.end(Signal::KILL).0, None);
    assert!(data_dir.join("node.json").exists());
    let mut node = start();
    assert_eq!((&node.said["id"], node.address()), (&id, address));
    assert_eq!(node.end(Signal::INT).0, Some(0));
}

/// What `pald status` says, as soon as it is so.
fn status_when(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + LONG;
    loop {
        let output = pald().args(["status", "--json", "--data-dir"]).arg(data_dir).output().unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if is_so(&said) {
            return said;
        }
        assert!(Instant::now() < until, "{said}");
        std::thread::sleep(LOOK_EVERY);
    }
}

#[test]
fn it_scrubs_when_asked_and_shows_metrics_where_told() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("node");
    let config = dir.path().join("pald.toml");
    fs::write(&config, "scrub_days = 0\nmetrics_listen = \"9464\"\n").unwrap();
    // The environment wins over the file.
    let mut command = run(&data_dir, ANY_PORT, &["--quota", "100M", "--config", config.to_str().unwrap()]);
    let mut node = Node::await_start(command.env("PALD_METRICS_LISTEN", "0"), &data_dir);
    let said = status_when(&data_dir, |said| said["work"][0]["state"] == "idle");
    assert_eq!((&said["work"][0]["name"], &said["work"][0]["totals"]["rounds"]), (&"scrub".into(), &0.into()));

    let output = pald().args(["scrub", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    status_when(&data_dir, |said| said["work"][0]["totals"]["rounds"] == 1);
    assert!(data_dir.join("scrub").exists());

    let address = said["metrics"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    };
    let metrics = get("/metrics");
    assert!(metrics.contains("palimpsest_work_done_total{work=\"scrub\",unit=\"rounds\"} 1.0"), "{metrics}");
    assert!(get("/healthz").starts_with("HTTP/1.1 200"));
    // Alone.
    assert!(get("/readyz").starts_with("HTTP/1.1 503"));
    refused(&mut run(&dir.path().join("other"), ANY_PORT, &["--metrics-listen", address]), &["metrics", address]);
    assert_eq!(node.end(Signal::TERM).0, Some(0));
}

#[test]
fn one_folder_and_one_port_are_for_one_node() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("node");
    let mut node = Node::start(&data_dir);
    refused(&mut run(&data_dir, ANY_PORT, &[]), &[data_dir.to_str().unwrap(), "in use"]);
    let other = dir.path().join("other");
    refused(&mut run(&other, &node.address(), &["--quota", "100M"]), &[&node.address()]);
    // Neither has harmed it.
    assert_eq!(node.end(Signal::TERM).0, Some(0));
}

#[test]
fn status_finds_the_folder_where_run_found_it() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("node");
    let mut node = Node::start(&data_dir);
    let config = dir.path().join("pald.toml");
    fs::write(&config, format!("data_dir = {data_dir:?}\nquota = \"100M\"\n")).unwrap();
    let id = node.said["id"].as_str().unwrap();
    let knows = |command: &mut Command| {
        let output = command.output().unwrap();
        String::from_utf8(output.stdout).unwrap().contains(id)
    };
    assert!(knows(pald().arg("status").arg("--config").arg(&config)));
    assert!(knows(pald().arg("status").env("PALD_CONFIG", &config)));
    // The flag goes before the file, as it does for `run`.
    let elsewhere = dir.path().join("elsewhere");
    assert!(!knows(pald().arg("status").arg("--config").arg(&config).arg("--data-dir").arg(&elsewhere)));
    let output = pald().arg("status").arg("--config").arg(&elsewhere).output().unwrap();
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("elsewhere"));
    assert_eq!(node.end(Signal::TERM).0, Some(0));
}

#[test]
fn a_quota_that_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    refused(
        &mut run(&dir.path().join("node"), ANY_PORT, &["--quota", "1000"]),
        &["1000 bytes is too small", "at least"],
    );
    refused(&mut run(&dir.path().join("node"), ANY_PORT, &["--quota", "much"]), &["much", "is not a size"]);
}

/// A folder that may only be read; writable again when dropped.
struct ReadOnly(PathBuf);

impl ReadOnly {
    /// `None` where the test may not mount.
    fn new(path: &Path) -> Option<ReadOnly> {
        let mounted =
            mount_bind(path, path).and_then(|()| mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, ""));
        let made = ReadOnly(path.to_owned());
        match mounted {
            Ok(()) => Some(made),
            Err(error) => {
                eprintln!("skipped: a read-only folder cannot be made here ({error})");
                None
            }
        }
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[test]
fn a_folder_that_may_only_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = dir.path().join("node");
    assert_eq!(Node::start(&data_dir).end(Signal::TERM).0, Some(0));
    let Some(_read_only) = ReadOnly::new(dir.path()) else { return };
    refused(&mut run(&data_dir, ANY_PORT, &["--quota", "100M"]), &[data_dir.to_str().unwrap(), "read-only"]);
    let fresh = dir.path().join("fresh");
    refused(&mut run(&fresh, ANY_PORT, &["--quota", "100M"]), &[fresh.to_str().unwrap(), "Read-only"]);
}
