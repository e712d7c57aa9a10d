//! Known answers as data: `vectors/<format>/<name>.txt`, lines of `key=value`, most of them refusals named for the
//! refusal. Another implementation may be tested against the same files. `WRITE_VECTORS=1 cargo test --test vectors`
//! writes them anew; a change of theirs is a change of the format.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod vectors {
    pub(crate) mod check;
    pub(crate) mod write;
}

use std::collections::BTreeMap;
use std::path::PathBuf;

/// A vector: its fields by name.
pub(crate) type Vector = BTreeMap<String, String>;

/// The folder of all vectors.
pub(crate) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits");
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Runs `check` over all vectors of a format; it returns what became of the input, to be compared with `expect`.
fn check_all(format: &str, check: impl Fn(&Vector) -> String) {
    if std::env::var_os("WRITE_VECTORS").is_some() {
        vectors::write::all();
    }
    let mut checked = 0;
    for entry in std::fs::read_dir(folder().join(format)).expect("a folder of vectors") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a readable vector");
        let fields = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{path:?}: {line:?} is no field"));
            (key.to_owned(), value.to_owned())
        });
        let vector: Vector = fields.collect();
        assert_eq!(check(&vector), vector["expect"], "{path:?}");
        checked += 1;
    }
    assert!(checked > 3, "{format} has hardly any vectors");
}

#[test]
fn links() {
    check_all("link", vectors::check::link);
}

#[test]
fn descriptors() {
    check_all("descriptor", vectors::check::descriptor);
}

#[test]
fn manifests() {
    check_all("manifest", vectors::check::manifest);
}

#[test]
fn sealing() {
    check_all("sealing", vectors::check::sealing);
}
