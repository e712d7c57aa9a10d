//! `pal` as a shell sees it, as far as it needs no network: exit codes, what goes to which stream, and in which words.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on shall stop, in its helpers as well")]

use bytes::Bytes;
use palimpsest_client::Capability;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What `pal` did.
struct Run {
    code: i32,
    out: String,
    err: String,
}

/// A user with a home of their own, and no settings.
struct User(TempDir);

impl User {
    fn new() -> User {
        User(tempfile::tempdir().unwrap())
    }

    fn home(&self) -> &Path {
        self.0.path()
    }

    fn pal(&self, args: &[&str]) -> Run {
        self.pal_with(args, &[], "")
    }

    fn pal_with(&self, args: &[&str], variables: &[(&str, &str)], input: &str) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_pal"))
            .args(args)
            .env_clear()
            .env("HOME", self.home())
            .envs(variables.iter().copied())
            .current_dir(self.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may end without reading.
        let _unread = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Run {
    /// It failed with `code`, said `words` to people, and nothing to programs.
    fn refused(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.contains(words), "{words:?} is not in {:?}", self.err);
        assert_eq!(self.out, "");
    }
}

/// A link that stands for something.
fn link() -> String {
    Capability::Inline(Bytes::from_static(b"a few bytes")).to_string()
}

#[test]
fn usage_errors_exit_with_2() {
    let user = User::new();
    fs::write(user.home().join("there"), "content").unwrap();
    user.pal(&[]).refused(2, "Usage: pal <COMMAND>");
    user.pal(&["republish"]).refused(2, "unrecognized subcommand");
    user.pal(&["publish"]).refused(2, "<PATH|->");
    user.pal(&["publish", "--frobnicate", "there"]).refused(2, "--frobnicate");
    user.pal(&["publish", "nowhere"]).refused(2, "there is no file nowhere");
    user.pal(&["publish", "."]).refused(2, ". is a folder; publish a file");
    user.pal(&["publish", "--survive", "60%", "there"]).refused(2, "--survive: \"60%\" is not offered; choose 10%");
    user.pal(&["publish", "--timeout", "5", "there"]).refused(2, "--timeout: \"5\" is not a length of time");
    user.pal(&["publish", "--lease", "2y", "there"]).refused(2, "--lease: \"2y\" is not a length of time");
    user.pal(&["publish", "--transport", "pigeon", "there"]).refused(2, "choose tcp, quic or all");
    user.pal(&["fetch", &link(), "-o", "there"]).refused(2, "there exists; -f overwrites it");
    user.pal(&["fetch", &link(), "-o", "."]).refused(2, "is a folder");
    user.pal(&["fetch", &link(), "--range", "5-4"]).refused(2, "the range ends before it begins");
    user.pal(&["fetch", "@nowhere"]).refused(2, "there is no file nowhere");
    user.pal(&["fetch"]).refused(2, "<LINK|@FILE|->");
}

#[test]
fn an_output_that_cannot_be_written_exits_with_10() {
    let user = User::new();
    let run = user.pal(&["fetch", &link(), "-o", "nowhere/out"]);
    run.refused(10, "error: cannot create nowhere/.out.");
}

#[test]
fn a_bad_link_exits_with_11_and_says_which_part_is_wrong() {
    let user = User::new();
    let good = link();
    let last = good.chars().next_back().unwrap();
    let (kept, other) = (&good[..good.len() - 1], if last == 'a' { 'b' } else { 'a' });
    let bad = [
        ("https://example.org/".to_owned(), "begins with \"pal:\""),
        (String::new(), "begins with \"pal:\""),
        ("pal:".to_owned(), "cut short"),
        (good.to_uppercase().replace("PAL:", "pal:"), "character 5 is none that a link contains"),
        (format!("{kept}{other}"), "mistyped"),
        (format!("{good}aa"), "mistyped"),
    ];
    for (text, words) in bad {
        for command in ["fetch", "status"] {
            let run = user.pal(&[command, &text]);
            run.refused(11, words);
            assert!(run.err.starts_with("error: not a usable link: "), "{}", run.err);
            assert!(run.err.contains("\nhelp: a link begins with pal: "), "{}", run.err);
        }
    }
}

#[test]
fn a_link_is_taken_from_a_file_or_from_standard_input() {
    let user = User::new();
    fs::write(user.home().join("bad"), "  pal:aeaq\n").unwrap();
    fs::write(user.home().join("there"), "content").unwrap();
    user.pal(&["fetch", "@bad"]).refused(11, "cut short");
    user.pal_with(&["fetch", "-"], &[], "\npal:aeaq\n").refused(11, "cut short");
    // A good one is understood: what is refused is the next thing.
    fs::write(user.home().join("good"), format!("\n {} \r\n", link())).unwrap();
    user.pal(&["fetch", "@good", "-o", "there"]).refused(2, "there exists");
    user.pal_with(&["fetch", "-", "-o", "there"], &[], &link()).refused(2, "there exists");
    // A file that is not text is no link either.
    fs::write(user.home().join("binary"), [0xff; 9000]).unwrap();
    user.pal(&["fetch", "@binary"]).refused(11, "begins with \"pal:\"");
}

#[test]
fn errors_are_objects_for_programs() {
    let user = User::new();
    // With the bytes on standard output, the objects keep off it.
    let run = user.pal(&["fetch", "--json", "pal:"]);
    assert_eq!((run.code, run.out.as_str()), (11, ""));
    let said: Value = serde_json::from_str(&run.err).unwrap();
    assert_eq!(said["type"], "error");
    assert_eq!(said["version"], 1);
    assert_eq!(said["kind"], "bad-link");
    assert_eq!(said["exit_code"], 11);
    assert!(said["message"].as_str().unwrap().contains("cut short"));
    assert!(said["advice"].as_str().unwrap().contains("pal:"));
    for args in [&["fetch", "--json", "pal:", "-o", "file"][..], &["status", "--json", "pal:"]] {
        let run = user.pal(args);
        assert_eq!((run.code, run.err.as_str()), (11, ""));
        assert_eq!(serde_json::from_str::<Value>(&run.out).unwrap()["type"], "error");
    }
}

#[test]
fn config_show_tells_where_each_setting_comes_from() {
    let user = User::new();
    let folder = user.home().join(".config/palimpsest");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("pal.toml"), "lease = \"7d\"\nbootstrap = [\"/ip4/192.0.2.1/tcp/4001\"]\n").unwrap();
    let variables = [("PAL_SURVIVE", "10%"), ("PAL_TIMEOUT", "90s")];
    let run = user.pal_with(&["config", "show", "--origin", "--transport", "quic"], &variables, "");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let home = user.home().display();
    let lines: Vec<String> =
        run.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        format!("bootstrap = [\"/ip4/192.0.2.1/tcp/4001\"] # bootstrap in {home}/.config/palimpsest/pal.toml"),
        "transport = \"quic\" # --transport".to_owned(),
        format!("data_dir = \"{home}/.local/share/palimpsest\" # default"),
        "survive = \"10%\" # PAL_SURVIVE".to_owned(),
        format!("lease = \"7d\" # lease in {home}/.config/palimpsest/pal.toml"),
        "timeout = \"1m30s\" # PAL_TIMEOUT".to_owned(),
        "connect_timeout = \"20s\" # default".to_owned(),
    ];
    assert_eq!(lines, expected);

    // What is shown is a configuration file, which says the same.
    fs::write(user.home().join("shown.toml"), &run.out).unwrap();
    let again = user.pal(&["config", "show", "--config", "shown.toml"]);
    let bare: Vec<&str> = run.out.lines().map(|line| line.split("  # ").next().unwrap().trim_end()).collect();
    assert_eq!(again.out.lines().collect::<Vec<_>>(), bare);

    let json = user.pal_with(&["config", "show", "--json"], &variables, "");
    let said: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(said["type"], "result");
    assert_eq!(said["settings"]["survive"]["value"], "10%");
    assert_eq!(said["settings"]["survive"]["origin"], "PAL_SURVIVE");
}

#[test]
fn a_wrong_configuration_is_refused_by_name() {
    let user = User::new();
    fs::write(user.home().join("pal.toml"), "survives = \"10%\"\n").unwrap();
    let run = user.pal(&["config", "show", "--config", "pal.toml"]);
    run.refused(2, "unknown field `survives`");
    assert!(run.err.contains("pal.toml") && run.err.contains("line 1"), "{}", run.err);
    user.pal_with(&["config", "show"], &[("PAL_CONFIG", "pal.toml")], "").refused(2, "survives");
    user.pal(&["config", "show", "--config", "nowhere.toml"]).refused(10, "cannot read nowhere.toml");
    user.pal_with(&["config", "show"], &[("PAL_LEASE", "never")], "").refused(2, "PAL_LEASE: \"never\"");
}

#[test]
fn the_example_is_a_configuration() {
    let user = User::new();
    let example = user.pal(&["config", "example"]);
    assert_eq!(example.code, 0);
    fs::write(user.home().join("example.toml"), &example.out).unwrap();
    let with = user.pal(&["config", "show", "--config", "example.toml"]);
    assert_eq!((with.code, with.out), (0, user.pal(&["config", "show"]).out));
}

#[test]
fn a_dry_run_tells_what_would_be_sent() {
    let user = User::new();
    fs::write(user.home().join("file"), vec![7; 300_000]).unwrap();
    let run = user.pal(&["publish", "--dry-run", "--json", "file"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let said: Value = serde_json::from_str(run.out.lines().next_back().unwrap()).unwrap();
    assert_eq!((said["type"].as_str(), said["dry_run"].as_bool()), (Some("result"), Some(true)));
    assert_eq!(said["bytes"], 300_000);
    assert_eq!(said["bytes_to_place"].as_u64().unwrap(), said["shards"].as_u64().unwrap() * 65_536);
    assert!(said["n"].as_u64().unwrap() > said["k"].as_u64().unwrap());
    let run = user.pal(&["publish", "--dry-run", "file"]);
    assert!(run.code == 0 && run.out.contains("to survive the loss of 50% of the nodes"), "{}", run.out);
}

#[test]
fn completions_help_and_version_go_to_standard_output() {
    let user = User::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = user.pal(&["completions", shell]);
        assert!(run.code == 0 && run.out.contains("publish") && run.err.is_empty(), "{shell}");
    }
    let version = user.pal(&["--version"]);
    assert_eq!(version.out, format!("pal {}\n", env!("CARGO_PKG_VERSION")));
    let help = user.pal(&["fetch", "--help"]);
    assert!(help.code == 0 && help.out.contains("Other users of this machine can see the arguments"));
    assert!(user.pal(&["--help"]).out.contains("130 interrupted"));
}
