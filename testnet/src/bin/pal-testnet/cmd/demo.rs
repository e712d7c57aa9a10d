//! `pal-testnet demo`: the main job, told in six lines.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use palimpsest_testnet::hostile::Cast;
use palimpsest_testnet::process::{Blow, Fraction, Home, Pal, Run, Testnet, Transport, UpOptions, find_program};
use palimpsest_testnet::sample;
use serde_json::Value;

use super::{Failure, at, discard, say, unless_interrupted, workplace};

/// Bytes of the file that is made when none is given.
const SAMPLE_BYTES: u64 = 32 << 20;
/// Time until the nodes know each other, at most.
const UP_DEADLINE: Duration = Duration::from_secs(60);
/// Time for one call of `pal`, at most; a large file on a slow machine takes its time.
const PAL_DEADLINE: Duration = Duration::from_secs(3600);

/// Publish a file on forty nodes, kill half of them, fetch it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; by default 32 MiB of random bytes.
    file: Option<PathBuf>,
    /// Nodes to start.
    #[arg(long, default_value_t = 40)]
    nodes: u32,
    /// Share of the nodes to kill.
    #[arg(long, default_value_t = Fraction::HALF)]
    fraction: Fraction,
    /// Chooses which are killed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How nodes talk: tcp, quic, all.
    #[arg(long, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// Folder of `pal` and `pald`; by default they are looked for beside this program, then in PATH.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let place = workplace(&std::env::temp_dir(), "palimpsest-demo-")?;
    let dir = place.path().join("net");
    let outcome = unless_interrupted(&dir, tell(&args, place.path(), &dir)).await;
    let cleaned = discard(&dir).await;
    let removed = place.close().map_err(at("remove", &dir));
    outcome.and(cleaned).and(removed)
}

async fn tell(args: &Args, place: &Path, dir: &Path) -> Result<(), Failure> {
    let pald = find_program("pald", args.bin_dir.as_deref())?;
    let program = find_program("pal", args.bin_dir.as_deref())?;
    let (file, what) = match &args.file {
        // Absolute, so that no name of a file passes for an option of `pal`.
        Some(file) => (std::path::absolute(file).map_err(at("find", file))?, file.display().to_string()),
        None => {
            let file = place.join("sample");
            sample::write(&file, SAMPLE_BYTES, args.seed).map_err(at("write", &file))?;
            (file, "random bytes".to_owned())
        }
    };
    let bytes = std::fs::metadata(&file).and_then(only_files).map_err(at("read", &file))?.len();

    let since = Instant::now();
    let Args { nodes, transport, .. } = *args;
    let options = UpOptions {
        dir: dir.to_owned(),
        nodes,
        transport,
        quota: None,
        pald,
        cast: Cast::default(),
        deadline: UP_DEADLINE,
    };
    let net = Testnet::up(options).await?;
    line("up", &format!("{nodes} nodes know each other after {:.1} s", since.elapsed().as_secs_f64()));

    let pal = Pal { program, bootstrap: net.bootstrap_file() };
    let publisher = Home::fresh(place.join("publisher"))?;
    let published =
        pal.run(&publisher, &["publish".as_ref(), "--json".as_ref(), file.as_os_str()], PAL_DEADLINE).await?;
    let link = link_of(&published)?;
    line("publish", &format!("{what}, {}{}", rate(bytes, &published), placed(&published)));
    line("link", &link);

    let killed = net.hit(args.fraction, args.seed, Blow::Kill).await?;
    let left = net.running().len();
    line("kill", &format!("{} of {nodes} nodes, by SIGKILL; {left} are left", killed.len()));

    // Somebody else, who never saw the network before.
    let reader = Home::fresh(place.join("reader"))?;
    let copy = place.join("copy");
    let wanted = ["fetch".as_ref(), link.as_ref(), "--json".as_ref(), "-o".as_ref(), copy.as_os_str()];
    let fetched = pal.run(&reader, &wanted, PAL_DEADLINE).await?;
    if !fetched.done() {
        return Err(Failure::Pal { doing: "fetch", complaint: fetched.complaint() });
    }
    line("fetch", &format!("{}{}", rate(bytes, &fetched), gathered(&fetched)));
    if !sample::same(&file, &copy).map_err(at("compare with", &copy))? {
        return Err(Failure::Differs);
    }
    line("compare", "identical, byte for byte");
    Ok(())
}

fn only_files(metadata: std::fs::Metadata) -> io::Result<std::fs::Metadata> {
    if metadata.is_file() { Ok(metadata) } else { Err(io::Error::other("it is no file")) }
}

/// One line of the account.
fn line(what: &str, text: &str) {
    say(&format!("{what:>8}  {text}"));
}

fn link_of(run: &Run) -> Result<String, Failure> {
    let failed = || Failure::Pal { doing: "publish", complaint: run.complaint() };
    if run.done() { run.link().ok_or_else(failed) } else { Err(failed()) }
}

/// `32.0 MiB in 2.9 s (11.5 MB/s)`.
fn rate(bytes: u64, run: &Run) -> String {
    let seconds = run.wall.as_secs_f64();
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    format!("{mebibytes:.1} MiB in {seconds:.1} s ({:.1} MB/s)", bytes as f64 / seconds / 1e6)
}

/// What `pal publish` says of the shards, as far as it does.
fn placed(run: &Run) -> String {
    let Some(result) = run.result() else { return String::new() };
    let mut text = String::new();
    if let (Some(shards), Some(holders)) = (result["shards_placed"].as_u64(), result["holders"].as_u64()) {
        text += &format!(": {shards} shards on {holders} nodes");
    }
    for (fraction, loss) in result["survival"].as_array().iter().flat_map(|list| list.iter().filter_map(survival)) {
        if (fraction - 0.5).abs() < 1e-9 {
            // Smaller figures would say more of the model than of the world.
            let chance = if loss < 1e-9 { "below 1e-9".to_owned() } else { format!("{loss:.0e}") };
            text += &format!("; chance of loss when half of all nodes die: {chance}");
        }
    }
    text
}

/// What `pal fetch` says of the shards, as far as it does.
fn gathered(run: &Run) -> String {
    let Some(result) = run.result() else { return String::new() };
    match (result["shards_asked"].as_u64(), result["shards_got"].as_u64()) {
        (Some(asked), Some(got)) => format!(": asked for {asked} shards, got {got}"),
        _ => String::new(),
    }
}

/// A share of dead nodes and the probability of loss: as a pair, or by name.
fn survival(one: &Value) -> Option<(f64, f64)> {
    let of = |place: usize, name: &str| one.get(place).or_else(|| one.get(name))?.as_f64();
    Some((of(0, "fraction")?, of(1, "loss")?))
}
