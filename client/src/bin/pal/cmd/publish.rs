//! `pal publish PATH|-`

use crate::advice::Verb;
use crate::args::Publish;
use crate::report::{Failure, Report};
use crate::units::{bytes, count, survival, time};
use crate::watch::{watched, with_client};
use palimpsest_client::config::Config;
use palimpsest_client::cpu::ClientCpu;
use palimpsest_client::{Error, Plan, PublishOptions, Published, Source, plan};
use serde::Serialize;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

#[derive(Serialize)]
struct Body<'a> {
    command: &'static str,
    link: &'a str,
    bytes: u64,
    bytes_deduplicated: u64,
    stripes: u64,
    shards_placed: u64,
    shards_resumed: u64,
    holders: usize,
    networks: usize,
    /// Pairs: the part of the nodes that vanishes, the chance that the file is lost by it.
    survival: [(f64, f64); 3],
    /// Shards fetched back over other paths.
    proven: usize,
    sampled: usize,
    cpu: ClientCpu,
    elapsed_s: f64,
}

#[derive(Serialize)]
struct PlanBody {
    command: &'static str,
    dry_run: bool,
    bytes: u64,
    bytes_deduplicated: u64,
    stripes: u64,
    shards: u64,
    bytes_to_place: u64,
    k: usize,
    n: usize,
}

/// Publishes; standard output is the link.
pub(crate) fn run(args: &Publish, report: &Report) -> Result<(), Failure> {
    let locally = |error| Failure { error, verb: Verb::Publish };
    let source = source(&args.path).map_err(locally)?;
    let config = args.config().map_err(locally)?;
    if args.dry_run {
        let plan = watched(Verb::Publish, report, &config, async |watch| {
            let progress = watch.progress.clone();
            watch.over(plan(&config.data_dir.value, source, config.survive.value, &progress)).await
        })?;
        return say_plan(&plan, &config, report).map_err(locally);
    }
    let (survive, lease_seconds) = (config.survive.value, config.lease.value.as_secs());
    let options = PublishOptions { survive, lease_seconds, wardens: !args.no_wardens, spread: args.spread };
    let (published, cpu) = with_client(Verb::Publish, report, &config, async |client, watch| {
        let progress = watch.progress.clone();
        let published = watch.over(client.publish(source, options, &progress)).await?;
        Ok((published, client.cpu()))
    })?;
    say(&published, cpu, &args.path, report).map_err(locally)
}

/// What to publish; a slip in its name is told before the network is troubled.
fn source(path: &Path) -> Result<Source, Error> {
    if path == Path::new("-") {
        return Ok(Source::Stdin);
    }
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => {
            Err(Error::Usage(format!("{} is a folder; publish a file, such as an archive of it", path.display())))
        }
        Ok(_) => Ok(Source::Path(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::Usage(format!("there is no file {}", path.display())))
        }
        Err(error) => Err(Error::disk(path, "read")(error)),
    }
}

fn say(published: &Published, cpu: ClientCpu, path: &Path, report: &Report) -> Result<(), Error> {
    let body = Body {
        command: "publish",
        link: &published.link,
        bytes: published.bytes,
        bytes_deduplicated: published.bytes_deduplicated,
        stripes: published.stripes,
        shards_placed: published.shards_placed,
        shards_resumed: published.shards_resumed,
        holders: published.holders,
        networks: published.networks,
        survival: published.survival,
        proven: published.proven,
        sampled: published.sampled,
        cpu,
        elapsed_s: published.elapsed.as_secs_f64(),
    };
    report.summary(&summary(published, path));
    report.answer(&format!("{}\n", published.link), body)
}

fn summary(published: &Published, path: &Path) -> String {
    let size = bytes(published.bytes);
    let mut text = if published.stripes == 0 {
        format!("{size}, so little that the link itself carries it: no node can lose it.\n")
    } else {
        let shards = count(published.shards_placed, "shard");
        let stripes = count(published.stripes, "stripe");
        let holders = count(published.holders as u64, "holder");
        let networks = count(published.networks as u64, "network");
        let elapsed = time(published.elapsed);
        format!("{size} in {stripes}: {shards} placed with {holders} in {networks}, in {elapsed}.\n")
    };
    if published.shards_resumed > 0 {
        let resumed = count(published.shards_resumed, "shard");
        text.push_str(&format!("Not sent again, since an earlier run had placed them: {resumed}.\n"));
    }
    if published.bytes_deduplicated > 0 {
        let saved = bytes(published.bytes_deduplicated);
        text.push_str(&format!("{saved} stood in it more than once and were placed once.\n"));
    }
    if published.stripes > 0 {
        let sampled = count(published.sampled as u64, "shard");
        let came = if published.proven == published.sampled { "all".to_owned() } else { published.proven.to_string() };
        text.push_str(&format!("Proof: {sampled} asked for over other paths, {came} came back.\n"));
        text.push_str(&format!("{}.\n", survival(&published.survival)));
    }
    let name = match path.file_name() {
        Some(name) if path != Path::new("-") => quoted(&name.to_string_lossy()),
        _ => "FILE".to_owned(),
    };
    text.push_str(&format!("Fetch it with:\n  pal fetch {} -o {name}\n", published.link));
    text
}

/// A file name as a shell takes it, in one piece and not as an option.
fn quoted(name: &str) -> String {
    let name = if name.starts_with('-') { format!("./{name}") } else { name.to_owned() };
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-/+@%=:,".contains(letter);
    if name.chars().all(plain) { name } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

fn say_plan(plan: &Plan, config: &Config, report: &Report) -> Result<(), Error> {
    let body = PlanBody {
        command: "publish",
        dry_run: true,
        bytes: plan.bytes,
        bytes_deduplicated: plan.bytes_deduplicated,
        stripes: plan.stripes,
        shards: plan.shards,
        bytes_to_place: plan.bytes_to_place,
        k: plan.k,
        n: plan.n,
    };
    let size = bytes(plan.bytes);
    let text = if plan.stripes == 0 {
        format!("{size}: the link itself would carry it, nothing would be sent\n")
    } else {
        format!(
            "{size} in {}; of the widest, any {} of {} shards are enough\n\
             {} to place, {} in all, to survive the loss of {} of the nodes\n",
            count(plan.stripes, "stripe"),
            plan.k,
            plan.n,
            count(plan.shards, "shard"),
            bytes(plan.bytes_to_place),
            config.survive.value,
        )
    };
    report.answer(&text, body)
}

#[cfg(test)]
mod tests {
    use super::{quoted, summary};
    use palimpsest_client::Published;
    use std::path::Path;
    use std::time::Duration;

    #[test]
    fn names_survive_a_shell() {
        assert_eq!(quoted("report-2.pdf"), "report-2.pdf");
        assert_eq!(quoted("my file"), "'my file'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("-rf"), "./-rf");
        assert_eq!(quoted("$(x)"), "'$(x)'");
    }

    #[test]
    fn the_summary_tells_what_was_placed_and_how_to_get_it() {
        let published = Published {
            link: "pal:abc".to_owned(),
            bytes: 32 << 20,
            bytes_deduplicated: 2048,
            stripes: 17,
            shards_placed: 1900,
            shards_resumed: 1,
            holders: 40,
            networks: 1,
            survival: [(0.1, 0.0), (0.3, 1e-13), (0.5, 4e-7)],
            proven: 32,
            sampled: 32,
            elapsed: Duration::from_secs(12),
        };
        let said = summary(&published, Path::new("dir/a b"));
        let expected = "32.0 MiB in 17 stripes: 1900 shards placed with 40 holders in 1 network, in 12 s.\n\
             Not sent again, since an earlier run had placed them: 1 shard.\n\
             2.0 KiB stood in it more than once and were placed once.\n\
             Proof: 32 shards asked for over other paths, all came back.\n\
             Chance of loss if that part of the nodes vanishes at once: 10 %: none, 30 %: less than 1e-12, 50 %: 4e-7.\n\
             Fetch it with:\n  pal fetch pal:abc -o 'a b'\n";
        assert_eq!(said, expected);
    }
}
