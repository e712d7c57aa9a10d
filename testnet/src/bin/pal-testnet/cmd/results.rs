//! `pal-testnet results`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use palimpsest_testnet::anonymity::Outcome;
use palimpsest_testnet::results::figures::Figure;
use palimpsest_testnet::results::plays::{Container, Place};
use palimpsest_testnet::results::{self, Options, Results, figures};
use palimpsest_testnet::scenario::StageKind;

use serde_json::json;
use tokio::process::Command;

use super::run::clean;
use super::{Failure, apart, at, broken, say, workplace};

/// Time for an answer about the commit.
const GIT_DEADLINE: Duration = Duration::from_secs(10);

/// Measure what this program can by itself, and write the page of results with its pictures. Exit code 1: something that was asked for
/// is not reached, of which that was not known.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Folder of the page; its pictures go into `results` there.
    #[arg(long, default_value = "docs")]
    dir: PathBuf,
    /// What `bench`, `heal` and `run` printed with `--json`, to be put on the page.
    #[arg(long = "with", value_name = "FILE")]
    with: Vec<PathBuf>,
    /// Play what takes containers, too, one after the other (half an hour): half-dies-100, slow-links, halves-publish, speed; or only
    /// some of them: --docker=slow-links,speed.
    #[arg(
        long,
        value_name = "WHICH",
        num_args = 0..,
        require_equals = true,
        value_delimiter = ',',
        default_missing_values = Container::ALL.map(Container::name)
    )]
    docker: Vec<Container>,
    /// Folder of the programs for containers, static ones; by default they are looked for where a static build puts them.
    #[arg(long, requires = "docker")]
    bin_dir: Option<PathBuf>,
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
    let room = workplace(&std::env::temp_dir(), "palimpsest-results-")?;
    let place = Place { dir: room.path().to_owned(), bin_dir: args.bin_dir };
    let uses_docker = !args.docker.is_empty();
    let commit = source_commit(&args.dir).await;
    let options = Options { seed: args.seed, is_quick: args.quick, containers: args.docker, place, commit };
    let note = |what: &str| eprintln!("  {what}");
    let measured: Result<Results, Failure> =
        apart(move || async move { results::measure(&options, figures, note).await.map_err(broken) }).await;
    // Interrupted, or broken off: containers may be left.
    if uses_docker
        && measured.as_ref().map_or(true, Results::broke_off)
        && let Err(left) = clean(room.path(), StageKind::Docker).await
    {
        eprintln!("pal-testnet: what was started is still there: {left}");
    }
    let measured = measured?;
    measured.write(&args.dir).map_err(broken)?;
    if args.json {
        say(&json!({"measured": measured, "outcome": measured.outcome()}).to_string());
    } else {
        say(&format!("written: {}", args.dir.join("results.md").display()));
        say(measured.outcome().words());
    }
    Ok(if measured.outcome() == Outcome::NewMisses { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The commit that is checked out where the page lies, and whether anything was changed since; none where there is no repository.
async fn source_commit(dir: &Path) -> Option<String> {
    let words = ["describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"];
    let asked = Command::new("git").arg("-C").arg(dir).args(words).kill_on_drop(true).output();
    let said = tokio::time::timeout(GIT_DEADLINE, asked).await.ok()?.ok()?;
    let name = String::from_utf8(said.stdout).ok()?.trim().to_owned();
    let is_name = |name: &str| name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    (said.status.success() && !name.is_empty() && is_name(&name)).then_some(name)
}

fn handed_in(files: &[PathBuf]) -> Result<Vec<Figure>, Failure> {
    let mut all = Vec::new();
    for file in files {
        all.extend(figures::read(&std::fs::read_to_string(file).map_err(at("read", file))?));
    }
    Ok(all)
}
