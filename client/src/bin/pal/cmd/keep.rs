//! `pal keep LINK|@FILE|-`

use crate::advice::Verb;
use crate::args::Keep;
use crate::link;
use crate::report::{Failure, Report};
use crate::units::{bytes, count};
use crate::watch::with_client;
use palimpsest_client::{Error, KeepOptions, Kept};
use serde::Serialize;

#[derive(Serialize)]
struct Body {
    command: &'static str,
    stripes: u64,
    shards: u64,
    renewed: u64,
    repaired: u64,
    short: u64,
    unasked: u64,
    lost: u64,
    unwarded: u64,
    bytes: u64,
}

/// Prolongs and repairs. A stripe that is lost makes it a failure.
pub(crate) fn run(args: &Keep, report: &Report) -> Result<(), Failure> {
    let locally = |error| Failure { error, verb: Verb::Keep };
    let capability = link::read(&args.link).map_err(locally)?;
    let config = args.config().map_err(locally)?;
    let options = KeepOptions { lease_seconds: config.lease.value.as_secs() };
    let kept = with_client(Verb::Keep, report, &config, async |client, watch| {
        let progress = watch.progress.clone();
        watch.over(client.keep(&capability, options, &progress)).await
    })?;
    let Kept { stripes, shards, renewed, repaired, short, unasked, lost, unwarded, bytes } = kept;
    let body = Body { command: "keep", stripes, shards, renewed, repaired, short, unasked, lost, unwarded, bytes };
    report.answer(&text(&kept), body).map_err(locally)?;
    match lost {
        0 => Ok(()),
        _ => Err(locally(Error::Lost { stripes: lost, of: stripes })),
    }
}

fn text(kept: &Kept) -> String {
    if kept.stripes == 0 {
        return "carried by the link itself: nothing is to be kept\n".to_owned();
    }
    let mut text = format!(
        "{}: {} of {} renewed, {} put back ({} moved)\n",
        count(kept.stripes, "stripe"),
        kept.renewed,
        count(kept.shards, "shard"),
        kept.repaired,
        bytes(kept.bytes),
    );
    if kept.short > 0 {
        text.push_str(&format!("Missing still: {}.\n", count(kept.short, "shard")));
    }
    if kept.unasked > 0 {
        text.push_str(&format!(
            "Not asked for, since they belong with your guard: {}.\n",
            count(kept.unasked, "shard")
        ));
    }
    if kept.unwarded > 0 {
        text.push_str(&format!(
            "No warden took the new lease of {}: keep it again later.
",
            count(kept.unwarded, "stripe")
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::text;
    use palimpsest_client::Kept;

    #[test]
    fn what_was_done_is_told() {
        let kept =
            Kept { stripes: 2, shards: 226, renewed: 200, repaired: 20, unasked: 6, bytes: 4 << 20, ..Kept::default() };
        let unwarded = Kept { unwarded: 1, ..kept };
        let expected = "2 stripes: 200 of 226 shards renewed, 20 put back (4.0 MiB moved)\n\
             Not asked for, since they belong with your guard: 6 shards.\n";
        assert_eq!(text(&kept), expected);
        assert_eq!(
            text(&unwarded),
            format!("{expected}No warden took the new lease of 1 stripe: keep it again later.\n")
        );
        assert!(text(&Kept::default()).contains("link itself"));
    }
}
