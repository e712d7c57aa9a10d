//! `pal-testnet results`.

use std::path::PathBuf;
use std::process::ExitCode;

use palimpsest_testnet::results::figures::Figure;
use palimpsest_testnet::results::{self, Options, Results, figures};

use super::{Failure, apart, at, broken, say};

/// Measure what this program can by itself, and write the page of results with its pictures.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the page; its pictures go into `results` there.
    #[arg(long, default_value = "docs")]
    dir: PathBuf,
    /// What `bench`, `heal` and `run` printed with `--json`, to be put on the page.
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Less of everything, in minutes.
    #[arg(long)]
    quick: bool,
    /// Chooses all dice.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print all that was measured as one JSON object, too.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(args: Args) -> Result<ExitCode, Failure> {
    let figures = handed_in(&args.with)?;
    let options = Options { seed: args.seed, is_quick: args.quick };
    let note = |what: &str| eprintln!("  {what}");
    let measured: Results =
        apart(move || async move { results::measure(options, figures, note).await.map_err(broken) }).await?;
    measured.write(&args.dir).map_err(broken)?;
    if args.json {
        say(&serde_json::to_string(&measured).map_err(broken)?);
    } else {
        say(&format!("written: {}", args.dir.join("results.md").display()));
    }
    Ok(if measured.is_kept() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn handed_in(files: &[PathBuf]) -> Result<Vec<Figure>, Failure> {
    let mut all = Vec::new();
    for file in files {
        all.extend(figures::read(&std::fs::read_to_string(file).map_err(at("read", file))?));
    }
    Ok(all)
}
