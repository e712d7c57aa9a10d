//! Figures of Tahoe-LAFS, taken on the same machine by its own script: JSON lines with `figure`, `value`, `unit`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::report::Figure;
use super::{Failure, at, round};

/// Bytes read of one file of figures: a full measurement has some hundred lines.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// Values by the name of the figure; of several with one name the last.
#[derive(Debug, Default)]
pub(super) struct Tahoe(BTreeMap<String, f64>);

impl Tahoe {
    /// All `*.jsonl` in a folder, in the order of their names.
    pub(super) fn read(dir: &Path) -> Result<Self, Failure> {
        let mut files: Vec<_> = fs::read_dir(dir)
            .map_err(at("read", dir))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
            .collect();
        files.sort();
        let mut tahoe = Self::default();
        for path in files {
            let mut text = String::new();
            let file = File::open(&path).map_err(at("read", &path))?;
            file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(at("read", &path))?;
            tahoe.learn(&text);
        }
        Ok(tahoe)
    }

    fn learn(&mut self, lines: &str) {
        for object in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            // Other systems' figures may lie beside.
            let theirs = object["peer"].as_str().is_none_or(|peer| peer.starts_with("tahoe"));
            if let (true, Some(figure), Some(value)) = (theirs, object["figure"].as_str(), object["value"].as_f64()) {
                self.0.insert(figure.to_owned(), value);
            }
        }
    }

    /// The value of a figure, in whatever unit it has; of times, seconds.
    pub(super) fn seconds(&self, figure: &str) -> Option<f64> {
        self.0.get(figure).copied()
    }

    /// Notes Tahoe's value beside ours.
    pub(super) fn beside(&self, ours: Figure, theirs: &str) -> Figure {
        match self.0.get(theirs) {
            Some(&value) => ours.with("tahoe", round(value)),
            None => ours,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Tahoe;

    #[test]
    fn the_last_figure_of_a_name_counts_and_noise_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
        write(
            "a.jsonl",
            "{\"peer\":\"tahoe-1.20.0\",\"figure\":\"get 1KiB (tahoe get)\",\"value\":9.5,\"unit\":\"s\"}\nnoise\n",
        );
        write(
            "b.jsonl",
            "{\"peer\":\"tahoe-1.20.0\",\"figure\":\"get 1KiB (tahoe get)\",\"value\":1.8,\"unit\":\"s\"}\n{}\n",
        );
        write("c.jsonl", "{\"peer\":\"other\",\"figure\":\"get 1KiB (tahoe get)\",\"value\":7,\"unit\":\"s\"}\n");
        write("d.txt", "{\"figure\":\"put\",\"value\":1}\n");
        let tahoe = Tahoe::read(dir.path()).unwrap();
        assert_eq!(tahoe.seconds("get 1KiB (tahoe get)"), Some(1.8));
        assert_eq!(tahoe.seconds("put"), None);
        assert!(Tahoe::read(&dir.path().join("none")).is_err());
    }
}
