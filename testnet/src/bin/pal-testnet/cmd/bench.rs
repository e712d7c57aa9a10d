//! `pal-testnet bench`: what the network costs, measured from outside on real processes.
//!
//! Every part stands alone and can be chosen. `pal` has folders of its own, made for the measurement: a *fresh* one has
//! never run, a *cached* one has fetched before and knows the nodes of that time.

mod idle;
mod loss;
mod report;
mod roles;
mod speed;
mod tahoe;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use palimpsest_testnet::hostile::Cast;
use palimpsest_testnet::process::{Home, Pal, Run, Stopwatch, Testnet, Transport, UpOptions, Used, find_program};
use palimpsest_testnet::sample;
use serde_json::{Map, Value, json};

use report::{Figure, Report};
use tahoe::Tahoe;

use super::{Failure, at, discard, size, unless_interrupted, workplace};

/// Time until the nodes know each other, at most, at first and after a part of them was started again.
const UP_DEADLINE: Duration = Duration::from_secs(120);
/// Time for one call of `pal`, at most.
const PAL_DEADLINE: Duration = Duration::from_secs(1800);

/// Measure a network on this machine: memory and processor when idle, speed, survival.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One JSON object a line, instead of a table.
    #[arg(long)]
    json: bool,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    parts: Vec<Part>,
    /// Nodes of the network.
    #[arg(long, default_value_t = 40)]
    nodes: u32,
    /// Size of the large file.
    #[arg(long, default_value = "100MiB", value_parser = size::parse)]
    size: u64,
    /// Runs of each measurement with the large file; of those with small ones a few more.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Choices of the nodes to kill, and to stop.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    seeds: u64,
    /// How nodes talk: tcp, quic, all.
    #[arg(long, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// Survival target of what is published, as `pal publish --survive` takes it.
    #[arg(long, default_value = "50%")]
    survive: String,
    /// Quota of each node, as `pald run --quota` takes it.
    #[arg(long)]
    quota: Option<String>,
    /// Folder of Tahoe-LAFS's figures (*.jsonl) from the same machine, to compare with.
    #[arg(long)]
    tahoe: Option<PathBuf>,
    /// Folder to work in, made and removed; by default a temporary one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Folder of `pal` and `pald`; by default they are looked for beside this program, then in PATH.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
}

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Memory and processor time of nodes that nobody uses.
    Idle,
    /// 1 KiB there and back.
    Small,
    /// 1 MiB there and back.
    Medium,
    /// The large file there and back.
    Large,
    /// A part in the middle of the large file.
    Range,
    /// The large file with half of the nodes killed.
    Kill,
    /// The large file with half of the nodes hung.
    Hang,
}

impl Part {
    const ALL: [Self; 7] = [Self::Idle, Self::Small, Self::Medium, Self::Large, Self::Range, Self::Kill, Self::Hang];
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let parent = args.dir.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&parent).map_err(at("make", &parent))?;
    let place = workplace(&parent, "palimpsest-bench-")?;
    let net = place.path().join("net");
    let outcome = unless_interrupted(&net, measure(args, place.path(), &net)).await;
    let cleaned = discard(&net).await;
    let removed = place.close().map_err(at("remove", &net));
    let whole = outcome?;
    cleaned.and(removed)?;
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All chosen parts, in their order; tells whether everything published came back as it was.
async fn measure(args: Args, place: &Path, dir: &Path) -> Result<bool, Failure> {
    let tahoe = args.tahoe.as_deref().map(Tahoe::read).transpose()?.unwrap_or_default();
    let pald = find_program("pald", args.bin_dir.as_deref())?;
    let program = find_program("pal", args.bin_dir.as_deref())?;
    let mut report = Report::new(args.json);
    let (nodes, transport, quota) = (args.nodes, args.transport, args.quota.clone());
    let options =
        UpOptions { dir: dir.to_owned(), nodes, transport, quota, pald, cast: Cast::default(), deadline: UP_DEADLINE };
    let since = Instant::now();
    let net = Testnet::up(options).await?;
    let figure =
        Figure::new("up, all nodes know each other", since.elapsed().as_secs_f64(), "s").at_most(idle::UP_SECONDS_MAX);
    report.emit(figure.with("nodes", nodes).with("transport", transport.to_string()));

    let pal = Pal { program, bootstrap: net.bootstrap_file() };
    let publisher = Home::fresh(place.join("publisher"))?;
    let parts = args.parts.clone();
    let mut bench = Bench {
        args,
        net,
        pal,
        place: place.to_owned(),
        publisher,
        cached: None,
        published: BTreeMap::new(),
        homes: 0,
        tahoe,
        report,
    };
    for part in Part::ALL.into_iter().filter(|part| parts.contains(part)) {
        match part {
            Part::Idle => bench.idle().await,
            Part::Small => bench.speed(speed::SMALL).await?,
            Part::Medium => bench.speed(speed::MEDIUM).await?,
            Part::Large => bench.speed(speed::large(bench.args.size, bench.args.runs)).await?,
            Part::Range => bench.range().await?,
            Part::Kill => bench.loss(loss::KILL).await?,
            Part::Hang => bench.loss(loss::HANG).await?,
        }
    }
    bench.memory_at_the_end();
    Ok(bench.report.end())
}

/// What the parts work on.
struct Bench {
    args: Args,
    net: Testnet,
    pal: Pal,
    place: PathBuf,
    /// Who publishes.
    publisher: Home,
    /// Who has fetched before; made when first needed.
    cached: Option<Home>,
    /// Links of what was published, by size and number.
    published: BTreeMap<(u64, u32), String>,
    /// Folders given out so far.
    homes: u32,
    tahoe: Tahoe,
    report: Report,
}

/// One call of `pal` and what it cost.
struct Measured {
    run: Run,
    used: Used,
    /// Why it does not count: it failed, or brought something else than was published.
    wrong: Option<String>,
}

impl Bench {
    fn fresh_home(&mut self) -> Result<Home, Failure> {
        Ok(Home::fresh(self.next_home())?)
    }

    fn next_home(&mut self) -> PathBuf {
        self.homes += 1;
        self.place.join(format!("home-{}", self.homes))
    }

    /// The user who has fetched before, from a network that was whole.
    async fn cached_home(&mut self) -> Result<Home, Failure> {
        if let Some(home) = &self.cached {
            return Ok(home.clone());
        }
        let home = self.fresh_home()?;
        let link = self.link(speed::SMALL.bytes, u32::MAX).await?;
        let first = self.fetch(&home, &link, speed::SMALL.bytes, u32::MAX).await?;
        if let Some(complaint) = first.wrong {
            return Err(Failure::Pal { doing: "fetch", complaint });
        }
        self.cached = Some(home.clone());
        Ok(home)
    }

    /// The file of this size and number, written if it is not there.
    fn sample(&self, bytes: u64, number: u32) -> Result<PathBuf, Failure> {
        let path = self.place.join(format!("sample-{bytes}-{number}"));
        if !path.exists() {
            sample::write(&path, bytes, u64::from(number)).map_err(at("write", &path))?;
        }
        Ok(path)
    }

    /// Runs `pal` and measures. What was written before goes to the disk first, so that nobody waits for that.
    async fn call(&self, home: &Home, args: &[&OsStr]) -> Result<(Run, Used), Failure> {
        rustix::fs::sync();
        let watch = Stopwatch::start(&self.net);
        let run = self.pal.run(home, args, PAL_DEADLINE).await?;
        Ok((run, watch.stop()))
    }

    /// Publishes a sample, and remembers its link.
    async fn publish(&mut self, bytes: u64, number: u32) -> Result<Measured, Failure> {
        let file = self.sample(bytes, number)?;
        let args =
            ["publish".as_ref(), "--json".as_ref(), "--survive".as_ref(), self.args.survive.as_ref(), file.as_os_str()];
        let (run, used) = self.call(&self.publisher, &args).await?;
        let link = if run.done() { run.link() } else { None };
        let wrong = if link.is_none() { Some(run.complaint()) } else { None };
        if let Some(link) = link {
            self.published.insert((bytes, number), link);
        }
        Ok(Measured { run, used, wrong })
    }

    /// The link of a sample, published now if it was not yet.
    async fn link(&mut self, bytes: u64, number: u32) -> Result<String, Failure> {
        if !self.published.contains_key(&(bytes, number)) {
            let measured = self.publish(bytes, number).await?;
            if let Some(complaint) = measured.wrong {
                return Err(Failure::Pal { doing: "publish", complaint });
            }
        }
        let complaint = "it gave no link".to_owned();
        self.published.get(&(bytes, number)).cloned().ok_or(Failure::Pal { doing: "publish", complaint })
    }

    /// Fetches a sample and compares it.
    async fn fetch(&self, home: &Home, link: &str, bytes: u64, number: u32) -> Result<Measured, Failure> {
        let copy = self.place.join("copy");
        let args = ["fetch".as_ref(), link.as_ref(), "--json".as_ref(), "-o".as_ref(), copy.as_os_str()];
        let (run, used) = self.call(home, &args).await?;
        let wrong = if !run.done() {
            Some(run.complaint())
        } else if sample::same(&self.sample(bytes, number)?, &copy).map_err(at("compare with", &copy))? {
            None
        } else {
            Some("not what was published".to_owned())
        };
        if copy.exists() {
            std::fs::remove_file(&copy).map_err(at("remove", &copy))?;
        }
        Ok(Measured { run, used, wrong })
    }
}

/// What is told of a number of equal measurements, beside the median of their times.
fn details(all: &[Measured], bytes: u64) -> Map<String, Value> {
    let mut details = Map::new();
    let seconds = |pick: fn(&Measured) -> Duration| median(all.iter().map(|one| pick(one).as_secs_f64()).collect());
    let walls: Vec<f64> = all.iter().map(|one| round(one.run.wall.as_secs_f64())).collect();
    details.insert("walls_s".into(), json!(walls));
    details.insert("mb_per_s".into(), json!(round(bytes as f64 / 1e6 / seconds(|one| one.run.wall))));
    details.insert("client_cpu_s".into(), json!(round(seconds(|one| one.run.cpu))));
    details.insert("nodes_cpu_s".into(), json!(round(seconds(|one| one.used.nodes))));
    details.insert("foreign_cpu_s".into(), json!(round(seconds(|one| one.used.foreign))));
    let peak = all.iter().map(|one| one.run.rss_peak).max().unwrap_or(0);
    details.insert("client_rss_peak_mib".into(), json!(mebibytes(peak)));
    // The last one's own account; what it does not tell is not shown.
    if let Some(last) = all.last()
        && let Some(result) = last.run.result()
    {
        let counted = ["shards_placed", "shards_asked", "shards_got", "bad_answers", "holders"];
        for name in counted.into_iter().filter(|&name| result[name].is_u64()) {
            details.insert(name.into(), result[name].clone());
        }
        let shards = result["shards_placed"].as_f64().or_else(|| result["shards_got"].as_f64());
        if let Some(shards) = shards.filter(|&shards| shards >= 1.0) {
            let each = |cpu: Duration| json!(round(cpu.as_secs_f64() * 1e3 / shards));
            details.insert("client_cpu_ms_per_shard".into(), each(last.run.cpu));
            details.insert("nodes_cpu_ms_per_shard".into(), each(last.used.nodes));
        }
    }
    let wrong: Vec<&str> = all.iter().filter_map(|one| one.wrong.as_deref()).collect();
    if !wrong.is_empty() {
        details.insert("wrong".into(), json!(wrong));
    }
    details
}

/// The middle one, or the mean of the two in the middle; of none, zero.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => 0.0,
        (half, 0) => f64::midpoint(values[half - 1], values[half]),
        (half, _) => values[half],
    }
}

/// Three digits after the point are as many as any of this means.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    round(bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::{mebibytes, median, round};

    #[test]
    fn medians() {
        assert_eq!(median(vec![]).to_bits(), 0.0_f64.to_bits());
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
        assert!((mebibytes(3 << 19) - 1.5).abs() < 1e-9 && (round(1.23456) - 1.235).abs() < 1e-9);
    }
}
