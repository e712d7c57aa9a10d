//! `pal-testnet run`: plays a scenario, and says which promises were kept.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use palimpsest_testnet::checker::{Verdict, is_kept, judge};
use palimpsest_testnet::docker::{Docker, remove};
use palimpsest_testnet::scenario::{
    Deed, End, Played, SCENARIO_BYTES_MAX, SHIPPED, Scenario, StageKind, Story, Theatre, Times, container_name, play,
};
use serde_json::json;

use super::{EXIT_UNAVAILABLE, Failure, apart, at, broken, discard, say, workplace};

/// Play a scenario, and judge which promises were kept. Exit code 1: not all of them; 69: it was skipped.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// One of those that are shipped, or a file. `list` names them.
    scenario: String,
    #[command(flatten)]
    stage: Stage,
    /// Chooses whom it hits, and in virtual time the whole story: 1, as the scenario has it written down.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object a line, instead of a table.
    #[arg(long)]
    json: bool,
    /// Folder of the programs (for containers: static ones); by default they are looked for beside this one.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
struct Stage {
    /// On programs on loopback. This is the default.
    #[arg(long)]
    processes: bool,
    /// On nodes in one process.
    #[arg(long)]
    memory: bool,
    /// On containers.
    #[arg(long)]
    docker: bool,
    /// On made-up nodes in virtual time: the same seed tells the same story.
    #[arg(long)]
    sim: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    if args.scenario == "list" {
        for (name, text) in SHIPPED {
            say(&format!("{name:<20} {}", scenario(name, text)?.about));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let scenario = find(&args.scenario)?.drawn_anew(args.seed);
    let kind = match args.stage {
        Stage { docker: true, .. } => StageKind::Docker,
        Stage { memory: true, .. } => StageKind::Memory,
        Stage { sim: true, .. } => StageKind::Sim,
        Stage { .. } => StageKind::Processes,
    };
    let place = workplace(&std::env::temp_dir(), "palimpsest-run-")?;
    let theatre = Theatre { dir: place.path().to_owned(), bin_dir: args.bin_dir.clone(), seed: args.seed };
    let (steps, json) = (scenario.clone(), args.json);
    let outcome = apart(move || async move {
        let tell = |step: usize, what: &_| {
            if !json {
                eprintln!("{:>3}  {what}", step + 1);
            }
        };
        play(&steps, kind, &theatre, tell).await.map_err(broken)
    })
    .await;
    if outcome.is_err()
        && let Err(left) = clean(place.path(), kind).await
    {
        eprintln!("pal-testnet: what was started is still there: {left}");
    }
    let name =
        Path::new(&args.scenario).file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    match outcome? {
        Played::Skipped(why) => {
            say(&if json {
                json!({"type": "result", "scenario": name, "stage": kind.name(), "outcome": "skipped", "why": why})
                    .to_string()
            } else {
                format!("skipped: {why}")
            });
            Ok(ExitCode::from(EXIT_UNAVAILABLE))
        }
        Played::Story(story, left) => {
            if let Some(left) = &left {
                eprintln!("pal-testnet: what was started is still there: {left}");
            }
            let verdicts = judge(&scenario.promises, &story);
            let run = Run { name: &name, kind, seed: args.seed, scenario: &scenario, left: left.as_deref() };
            if json {
                run.report_json(&story, &verdicts)
            } else {
                run.report(&story, &verdicts)
            }
            Ok(if is_kept(&verdicts) && left.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// Ends what an interrupted or broken play left running.
pub(super) async fn clean(place: &Path, kind: StageKind) -> Result<(), Failure> {
    match kind {
        StageKind::Memory | StageKind::Sim => Ok(()),
        StageKind::Processes => discard(&place.join("net")).await,
        StageKind::Docker => {
            let name = container_name().map_err(broken)?;
            Ok(remove(&Docker::find().await?, &name).await.map(|_| ())?)
        }
    }
}

fn find(name: &str) -> Result<Scenario, Failure> {
    if let Some((_, text)) = SHIPPED.iter().find(|(shipped, _)| *shipped == name) {
        return scenario(name, text);
    }
    let path = Path::new(name);
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(SCENARIO_BYTES_MAX).read_to_string(&mut text));
    read.map_err(at("read the scenario", path))?;
    scenario(name, &text)
}

fn scenario(name: &str, text: &str) -> Result<Scenario, Failure> {
    text.parse().map_err(|source| Failure::Scenario { name: name.to_owned(), source })
}

/// What was played.
struct Run<'a> {
    name: &'a str,
    kind: StageKind,
    seed: u64,
    scenario: &'a Scenario,
    /// Why what was started is still there, if it is.
    left: Option<&'a str>,
}

impl Run<'_> {
    fn report_json(&self, story: &Story, verdicts: &[Verdict]) {
        for (step, Times { kind, count, p50_s, p95_s, .. }) in story.times_by_step() {
            let what = kind.name();
            say(&json!({"type": "times", "step": step + 1, "what": what, "count": count, "p50_s": p50_s, "p95_s": p95_s})
                .to_string());
        }
        for (step, taken) in &story.eclipses {
            let fetch = story.fetch_after(*step).map(|deed| {
                json!({"done": deed.end == End::Good, "took_s": deed.took.as_secs_f64(), "shards_asked": deed.asked})
            });
            say(&json!({"type": "eclipse", "step": step + 1, "taken": taken, "hides": taken.hides(), "fetch": fetch})
                .to_string());
        }
        for Verdict { oracle, promise, seen, kept } in verdicts {
            say(&json!({"type": "verdict", "oracle": oracle, "promise": promise, "seen": seen, "kept": kept})
                .to_string());
        }
        let outcome = if is_kept(verdicts) { "kept" } else { "broken" };
        say(&json!({
            "type": "result", "scenario": self.name, "stage": self.kind.name(), "nodes": self.scenario.nodes,
            "outcome": outcome, "seed": self.seed, "left": self.left,
        })
        .to_string());
    }

    fn report(&self, story: &Story, verdicts: &[Verdict]) {
        let (name, kind) = (self.name, self.kind.name());
        say(&format!("{name} on {} nodes ({kind}): {}", self.scenario.nodes, self.scenario.about));
        for (step, Times { kind, count, p50_s, p95_s, .. }) in story.times_by_step() {
            let what = kind.name();
            say(&format!("  step {:<2} {what:<8} {count:>4}  p50 {p50_s:>6.2} s  p95 {p95_s:>6.2} s", step + 1));
        }
        for (step, taken) in &story.eclipses {
            let fetch = story.fetch_after(*step).map_or_else(|| "nothing was fetched then".to_owned(), fetched);
            say(&format!("  step {:<2} eclipse  {}; {fetch}", step + 1, taken.told()));
        }
        for Verdict { oracle, promise, seen, kept } in verdicts {
            let word = match kept {
                Some(true) => "kept",
                Some(false) => "BROKEN",
                None => "not judged",
            };
            say(&format!("  {oracle:<13} {promise:<46} {word:<10} {seen}"));
        }
        if !is_kept(verdicts) {
            // Elsewhere it is the same nodes, and another story.
            let what = if self.kind == StageKind::Sim { "story" } else { "choice" };
            say(&format!("  the same {what} again: pal-testnet run {name} --{kind} --seed {}", self.seed));
        }
    }
}

/// How a fetch went, in words.
fn fetched(deed: &Deed) -> String {
    let how = match &deed.end {
        End::Good => "brought the file".to_owned(),
        End::WrongBytes => "brought wrong bytes".to_owned(),
        End::Failed(why) => format!("failed ({why})"),
        End::TimedOut => "did not end".to_owned(),
    };
    let asked = deed.asked.map(|asked| format!(", {asked} shards asked for")).unwrap_or_default();
    format!("the fetch after that {how} in {:.2} s{asked}", deed.took.as_secs_f64())
}
