//! `pal fetch LINK|@FILE|-`

use crate::advice::Verb;
use crate::args::Fetch;
use crate::link;
use crate::report::{Failure, Report};
use crate::sink::Target;
use crate::units::{bytes, count, time};
use crate::watch::with_client;
use palimpsest_client::cpu::ClientCpu;
use palimpsest_client::{Error, FetchOptions, Fetched, Phase};
use serde::Serialize;
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct Body {
    command: &'static str,
    bytes: u64,
    file_size: u64,
    shards_asked: u64,
    shards_got: u64,
    bad_answers: u64,
    culprits: usize,
    healed: u64,
    cpu: ClientCpu,
    elapsed_s: f64,
}

/// Fetches; standard output is the bytes, unless they go to a file.
pub(crate) fn run(args: &Fetch, report: &Report) -> Result<(), Failure> {
    let locally = |error| Failure { error, verb: Verb::Fetch };
    let capability = link::read(&args.link).map_err(locally)?;
    let target = Target::choose(args.output.as_deref(), args.force).map_err(locally)?;
    let config = args.config().map_err(locally)?;
    if let (Some(spread), Some(timeout)) = (args.spread, config.timeout.value)
        && timeout <= spread
    {
        let said = "the fetch is to be given up before the time is over that it is to be spread over: see --timeout";
        return Err(locally(Error::Usage(said.to_owned())));
    }
    // Before the network is troubled: a folder that cannot be written to is told at once.
    let mut sink = target.open().map_err(locally)?;
    let begun = Instant::now();
    let (fetched, cpu) = with_client(Verb::Fetch, report, &config, async |client, watch| {
        let progress = watch.progress.clone();
        let options = FetchOptions { range: args.range.clone(), heal: !args.no_heal, spread: args.spread };
        let fetched = watch.over(client.fetch(&capability, options, &mut sink.writer, &progress)).await;
        let fetched = fetched.map_err(|error| sink.blame(error))?;
        progress.set_phase(Phase::Finishing);
        watch.over(sink.finish()).await?;
        Ok((fetched, client.cpu()))
    })?;
    let elapsed = begun.elapsed();
    report.summary(&summary(&fetched, elapsed));
    let body = Body {
        command: "fetch",
        bytes: fetched.bytes,
        file_size: fetched.file_size,
        shards_asked: fetched.shards_asked,
        shards_got: fetched.shards_got,
        bad_answers: fetched.bad_answers,
        culprits: fetched.culprits,
        healed: fetched.healed,
        cpu,
        elapsed_s: elapsed.as_secs_f64(),
    };
    report.result(body).map_err(locally)
}

fn summary(fetched: &Fetched, elapsed: Duration) -> String {
    let size = bytes(fetched.bytes);
    let part =
        if fetched.bytes < fetched.file_size { format!(" of {}", bytes(fetched.file_size)) } else { String::new() };
    let shards = count(fetched.shards_got, "shard");
    let mut text = format!("{size}{part} fetched and verified: {shards}, in {}.\n", time(elapsed));
    if fetched.bad_answers > 0 {
        let bad = count(fetched.bad_answers, "answer");
        let culprits = count(fetched.culprits as u64, "node");
        text.push_str(&format!("{bad} failed the check, from {culprits} not asked again.\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::summary;
    use palimpsest_client::Fetched;
    use std::time::Duration;

    #[test]
    fn the_summary_tells_of_parts_and_of_liars() {
        let whole = Fetched {
            bytes: 2048,
            file_size: 2048,
            shards_asked: 3,
            shards_got: 2,
            bad_answers: 0,
            culprits: 0,
            healed: 0,
        };
        let said = summary(&whole, Duration::from_millis(400));
        assert_eq!(said, "2.0 KiB fetched and verified: 2 shards, in 0.4 s.\n");
        let said = summary(&Fetched { bytes: 10, bad_answers: 2, culprits: 1, ..whole }, Duration::from_millis(400));
        let expected = "10 B of 2.0 KiB fetched and verified: 2 shards, in 0.4 s.\n\
             2 answers failed the check, from 1 node not asked again.\n";
        assert_eq!(said, expected);
    }
}
