//! Files there and back, on a network that is whole.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use palimpsest_testnet::process::NodesCpu;
use palimpsest_testnet::sample;

use super::report::Figure;
use super::{Bench, Failure, Measured, at, details, mebibytes, median, roles, round, size};

/// Bytes of `--range` that are asked for.
const RANGE_BYTES: u64 = 64 * 1024;
/// Resident memory of `pal`, in MiB.
const CLIENT_MIB_MAX: f64 = 200.0;
/// How many times as long as Tahoe's a publish may take.
const PUBLISH_OF_TAHOE_MAX: f64 = 1.5;
/// Folders in each other in a node's data folder at most.
const DEPTH_MAX: usize = 16;

/// A size to be measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    pub(super) bytes: u64,
    runs: u32,
    /// Seconds that a fetch may take.
    fetch_seconds_max: Option<f64>,
    /// Whether Tahoe's time is a limit, and not only for comparison.
    rival: bool,
}

/// What costs only the way: one stripe, a few shards.
pub(super) const SMALL: Speed = Speed { bytes: 1 << 10, runs: 7, fetch_seconds_max: Some(0.5), rival: false };
/// A photograph.
pub(super) const MEDIUM: Speed = Speed { bytes: 1 << 20, runs: 5, fetch_seconds_max: None, rival: false };

/// What costs the bytes.
pub(super) fn large(bytes: u64, runs: u32) -> Speed {
    Speed { bytes, runs, fetch_seconds_max: None, rival: true }
}

impl Bench {
    /// Publish and fetch of one size, each time a new `pal` that knows the nodes already and a file never seen.
    pub(super) async fn speed(&mut self, speed: Speed) -> Result<(), Failure> {
        let Speed { bytes, runs, .. } = speed;
        let name = size::name(bytes);
        // Both users know the nodes when the measuring begins: the first run would be another thing than the rest.
        let reader = self.cached_home().await?;

        let (before, cpu) = (self.allocated(), self.net.cpu().await);
        let mut published = Vec::new();
        for number in 0..runs {
            published.push(self.publish(bytes, number).await?);
        }
        let spent = self.net.cpu().await - cpu;
        let stored = (self.allocated() - before) as f64 / (bytes * u64::from(runs)) as f64;
        let rival = self.tahoe.seconds(&format!("put {name} (tahoe put)"));
        let limit = rival.filter(|_| speed.rival).map(|seconds| seconds * PUBLISH_OF_TAHOE_MAX);
        let figure = time(format!("publish {name}"), &published, bytes).at_most_if(limit);
        let figure = if speed.rival { figure.with("allocated_on_nodes_per_byte", round(stored)) } else { figure };
        self.report.emit(self.tahoe.beside(figure, &format!("put {name} (tahoe put)")));
        self.roles(speed, &format!("publish {name}"), &published, &spent);

        let cpu = self.net.cpu().await;
        let mut fetched = Vec::new();
        for number in 0..runs {
            if let Some(link) = self.published.get(&(bytes, number)) {
                fetched.push(self.fetch(&reader, link, bytes, number).await?);
            }
        }
        let spent = self.net.cpu().await - cpu;
        let rival = self.tahoe.seconds(&format!("get {name} (tahoe get)"));
        let limit = speed.fetch_seconds_max.or(rival.filter(|_| speed.rival));
        let figure = time(format!("fetch {name}"), &fetched, bytes).at_most_if(limit);
        self.report.emit(self.tahoe.beside(figure, &format!("get {name} (tahoe get)")));
        self.roles(speed, &format!("fetch {name}"), &fetched, &spent);

        let peak = published.iter().chain(&fetched).map(|one| one.run.rss_peak).max().unwrap_or(0);
        let figure = Figure::new(format!("memory of pal, {name}"), mebibytes(peak), "MiB").at_most(CLIENT_MIB_MAX);
        self.report.emit(figure);
        Ok(())
    }

    /// Where the time went. Of the large file only: with few shards, what is paid once hides it.
    fn roles(&mut self, speed: Speed, what: &str, all: &[Measured], nodes: &NodesCpu) {
        let figures = if speed.rival { roles::figures(what, all, nodes) } else { Vec::new() };
        figures.into_iter().for_each(|figure| self.report.emit(figure));
    }

    /// A few bytes in the middle of the large file: when the first is there, and how little was fetched for it.
    pub(super) async fn range(&mut self) -> Result<(), Failure> {
        let bytes = self.args.size;
        let name = size::name(bytes);
        let link = self.link(bytes, 0).await?;
        let home = self.cached_home().await?;
        // Not at any border of the format.
        let from = (bytes / 2 + 12_345).min(bytes.saturating_sub(1));
        let wanted = RANGE_BYTES.min(bytes - from);
        let range = format!("{from}-{}", from + wanted - 1);
        let file = self.sample(bytes, 0)?;
        let expected = sample::part(&file, from, usize::try_from(wanted).unwrap_or(0)).map_err(at("read", &file))?;

        let args = ["fetch".as_ref(), link.as_ref(), "-o".as_ref(), "-".as_ref(), "--range".as_ref(), range.as_ref()];
        let mut all = Vec::new();
        for _ in 0..self.args.runs {
            let (run, used) = self.call(&home, &args).await?;
            let wrong = match (run.done(), run.stdout == expected) {
                (true, true) => None,
                (true, false) => Some(format!("{} bytes that are not those of the range", run.stdout.len())),
                (false, _) => Some(run.complaint()),
            };
            all.push(Measured { run, used, wrong });
        }
        let first = all.iter().filter_map(|one| Some(one.run.first_byte?.as_secs_f64())).collect();
        let figure = Figure::new(format!("first byte of a range in the middle of {name}"), median(first), "s");
        let rival = format!("range read {} in the middle of {name}", "64 KiB");
        self.report.emit(self.tahoe.beside(figure.with_all(details(&all, wanted)), &rival));

        // Once more into a file, with the account of how much was asked for.
        let copy = self.place.join("range");
        let args = [
            "fetch".as_ref(),
            link.as_ref(),
            "--json".as_ref(),
            "-o".as_ref(),
            copy.as_os_str(),
            "--range".as_ref(),
            range.as_ref(),
        ];
        let (run, used) = self.call(&home, &args).await?;
        let asked = run.result().and_then(|result| result["shards_asked"].as_f64());
        let wrong = if run.done() { None } else { Some(run.complaint()) };
        if let Some(asked) = asked {
            let once = details(&[Measured { run, used, wrong }], wanted);
            self.report
                .emit(Figure::new(format!("shards asked for a range of {name}"), asked, "shards").with_all(once));
        }
        Ok(())
    }

    /// Bytes on disk in all data folders, as far as blocks are taken.
    fn allocated(&self) -> u64 {
        self.net.nodes().iter().map(|node| allocated(&node.data_dir, DEPTH_MAX)).sum()
    }
}

/// The median of the times on the clock.
pub(super) fn time(name: String, all: &[Measured], bytes: u64) -> Figure {
    let median = median(all.iter().map(|one| one.run.wall.as_secs_f64()).collect());
    Figure::new(name, median, "s").with_all(details(all, bytes))
}

/// Bytes on disk below a folder; what vanishes while this looks is not counted.
fn allocated(dir: &Path, depth: usize) -> u64 {
    let Some(depth) = depth.checked_sub(1) else { return 0 };
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let taken = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        // stat(2): blocks of 512 bytes, whatever the file system's own are.
        Some(if metadata.is_dir() { allocated(&entry.path(), depth) } else { metadata.blocks() * 512 })
    });
    taken.sum()
}
