//! The habits of the house that no compiler checks: which part may know of which, and what is never used.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The crates in order: each may import those before it.
const CRATES: [&str; 4] = ["proto", "client", "node", "testnet"];
/// Lines of a file at most: who needs more has two ideas in one file.
const LINES_MAX: usize = 600;

/// The modules of `proto` that are at everybody's service.
const PROTO_BASE: [&str; 7] = ["crypto", "ids", "labels", "params", "secret", "time", "wire"];
/// The other modules of `proto`, and which of each other they may import.
const PROTO_LAYERS: [(&str, &[&str]); 8] = [
    ("coding", &[]),
    ("content", &["coding"]),
    ("fair", &[]),
    ("onion", &[]),
    ("record", &[]),
    ("message", &["coding", "fair", "onion"]),
    ("select", &["record"]),
    ("flow", &["select"]),
];
/// What `proto` does without: it has no wires, no clock, no dice, no threads.
const PROTO_NEVER: [&str; 14] = [
    "tokio",
    "libp2p",
    "futures::",
    "Instant",
    "SystemTime",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "rand::rng",
    "println!",
];

/// A source file: where it is, and its lines without comments and without its tests.
struct Source {
    path: PathBuf,
    lines: usize,
    code: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The files of one crate's folder.
fn files(krate: &str, folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    rust_files(&root().join(krate).join(folder), &mut files);
    files.sort();
    files
}

/// The program without comments, and without what only tests see: a `mod` in this file, and the names of modules in
/// files of their own.
fn without_tests(text: &str) -> (String, Vec<String>) {
    let (mut code, mut modules) = (String::new(), Vec::new());
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let item = lines.next().unwrap_or_default();
            let indent = item.len() - item.trim_start().len();
            if let Some((_, name)) = item.trim_end_matches(';').split_once("mod ").filter(|_| item.ends_with(';')) {
                modules.push(name.to_owned());
            } else if !item.ends_with(';') {
                // To the bracket that closes the item.
                let end = format!("{}}}", " ".repeat(indent));
                lines.by_ref().find(|line| *line == end);
            }
        } else if !line.trim_start().starts_with("//") {
            code.push_str(line.split(" // ").next().unwrap_or_default());
            code.push('\n');
        }
    }
    (code, modules)
}

/// The sources of a crate that end up in programs.
fn sources(krate: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut only_tests = BTreeSet::new();
    for path in files(krate, "src") {
        let text = fs::read_to_string(&path).unwrap();
        let (code, modules) = without_tests(&text);
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let within =
            if ["lib", "main"].contains(&stem) { path.parent().unwrap().to_owned() } else { path.with_extension("") };
        only_tests.extend(modules.iter().map(|module| within.join(module)));
        sources.push(Source { lines: text.lines().count(), path, code });
    }
    let is_test = |path: &Path| path.with_extension("").ancestors().any(|part| only_tests.contains(part));
    sources.retain(|source| !is_test(&source.path));
    assert!(sources.len() > 5, "{krate} has been found");
    sources
}

/// The names that follow `before` in a program: `use before::{a::x, b}` names `a` and `b`.
fn named_after(code: &str, before: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(before) {
        let preceded = code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let rest = &code[at + before.len()..];
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            _ if preceded => {}
            None => _ = names.insert(word(rest)),
            Some(list) => {
                let mut depth = 1;
                let mut start = true;
                for (i, c) in list.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                    if start && depth == 1 && c.is_alphabetic() {
                        names.insert(word(&list[i..]));
                        start = false;
                    }
                    start |= depth == 1 && c == ',';
                }
            }
        }
    }
    names.remove("");
    names
}

/// Those of `names` that a module of `proto` may not import.
fn forbidden_in_proto(module: &str, code: &str) -> Vec<String> {
    let allowed = PROTO_LAYERS.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, allowed)| allowed);
    let fine =
        |name: &String| name == module || PROTO_BASE.contains(&name.as_str()) || allowed.contains(&name.as_str());
    named_after(code, "crate::").into_iter().filter(|name| !fine(name)).collect()
}

/// The crates that `code` names though they come after `krate`.
fn imports_to_the_left(krate: &str, code: &str) -> Vec<String> {
    let place = CRATES.iter().position(|name| *name == krate).unwrap();
    let later = CRATES[place + 1..].iter().map(|name| format!("palimpsest_{name}"));
    later.filter(|name| code.contains(name)).collect()
}

#[test]
fn each_part_of_proto_knows_only_those_below_it() {
    let src = root().join("proto").join("src");
    let mut seen = BTreeSet::new();
    for source in sources("proto") {
        let module = source.path.strip_prefix(&src).unwrap().iter().next().unwrap().to_str().unwrap();
        let module = module.trim_end_matches(".rs");
        if module == "lib" {
            continue;
        }
        seen.insert(module.to_owned());
        let forbidden = forbidden_in_proto(module, &source.code);
        assert!(forbidden.is_empty(), "{}: {module} may not know of {forbidden:?}", source.path.display());
    }
    let known: BTreeSet<String> =
        PROTO_LAYERS.iter().map(|(name, _)| *name).chain(PROTO_BASE).map(str::to_owned).collect();
    assert_eq!(seen, known, "a new module of proto has its place in this file");
}

#[test]
fn proto_has_no_wires_no_clock_and_no_dice() {
    for source in sources("proto") {
        for never in PROTO_NEVER {
            assert!(!source.code.contains(never), "{} uses {never}", source.path.display());
        }
    }
}

#[test]
fn crates_import_those_before_them() {
    for krate in CRATES {
        for source in sources(krate) {
            let left = imports_to_the_left(krate, &source.code);
            assert!(left.is_empty(), "{} imports {left:?}", source.path.display());
        }
    }
}

#[test]
fn libp2p_is_spoken_in_one_place() {
    let place = root().join("client").join("src").join("net");
    for source in CRATES.iter().flat_map(|krate| sources(krate)) {
        if source.path.with_extension("").starts_with(&place) {
            continue;
        }
        let names = named_after(&source.code, "libp2p::");
        // Addresses are spoken of everywhere.
        let others: Vec<&String> =
            names.iter().filter(|name| !["Multiaddr", "multiaddr"].contains(&name.as_str())).collect();
        assert!(others.is_empty(), "{} uses {others:?} of libp2p: see client::net", source.path.display());
    }
}

#[test]
fn every_queue_has_a_bound() {
    for source in CRATES.iter().flat_map(|krate| sources(krate)) {
        for never in ["unbounded", "std::sync::mpsc::channel(", "mpsc::channel()"] {
            assert!(!source.code.contains(never), "{}: {never}: give the queue a bound", source.path.display());
        }
    }
    // In two parts, lest this line be found.
    let unbounded = ["unbounded", "_channel"].concat();
    for path in CRATES.iter().flat_map(|krate| ["src", "tests"].map(|folder| files(krate, folder))).flatten() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&unbounded), "{}: give the test's queue a bound", path.display());
    }
}

#[test]
fn files_are_short_and_where_they_belong() {
    for krate in CRATES {
        for source in sources(krate) {
            assert!(source.lines <= LINES_MAX, "{} has {} lines", source.path.display(), source.lines);
        }
        for path in ["src", "tests", "benches"].iter().flat_map(|folder| files(krate, folder)) {
            assert!(path.file_name().is_none_or(|name| name != "mod.rs"), "{}: foo.rs and foo/", path.display());
        }
    }
}

#[test]
fn no_test_is_left_out() {
    // In two parts, lest this line be found.
    let ignored = ["#[", "ignore"].concat();
    for path in CRATES.iter().flat_map(|krate| ["src", "tests"].map(|folder| files(krate, folder))).flatten() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(&ignored), "{}: a test that does not run shows nothing", path.display());
    }
}

/// These checks see what they are for.
#[test]
fn what_is_untidy_is_found() {
    let (code, modules) = without_tests(
        "use crate::ids::A; // crate::content\n// crate::content\n#[cfg(test)]\nmod sim;\n#[cfg(test)]\nmod tests {\n    use crate::content;\n}\nfn f() {}\n",
    );
    assert_eq!(code, "use crate::ids::A;\nfn f() {}\n");
    assert_eq!(modules, ["sim"]);
    let names = |code: &str| named_after(code, "crate::").into_iter().collect::<Vec<_>>();
    assert_eq!(
        names("use crate::ids::A;\nuse crate::{a::{x, y}, b::c, d};\nlet x = crate::e::f();"),
        ["a", "b", "d", "e", "ids"]
    );
    assert_eq!(forbidden_in_proto("coding", "use crate::content::Manifest;"), ["content"]);
    assert_eq!(forbidden_in_proto("flow", "use crate::{ids::X, coding::{Shard, rebuild}};"), ["coding"]);
    assert_eq!(forbidden_in_proto("onion", "pub(crate) use crate::coding::Shard;"), ["coding"]);
    assert!(forbidden_in_proto("content", "use crate::coding::Shard;").is_empty());
    assert_eq!(imports_to_the_left("client", "use palimpsest_node::Node;"), ["palimpsest_node"]);
    assert!(imports_to_the_left("testnet", "use palimpsest_node::Node;").is_empty());
}
