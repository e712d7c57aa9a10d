//! `pal status LINK|@FILE|-`

use crate::advice::Verb;
use crate::args::Status as Args;
use crate::link;
use crate::report::{Failure, Report};
use crate::units::{bytes, count, survival};
use crate::watch::with_client;
use palimpsest_client::{Error, PublishOptions, Status};
use serde::Serialize;

#[derive(Serialize)]
struct Body {
    command: &'static str,
    /// Null if only the stripes are known.
    size: Option<u64>,
    stripes: Vec<StripeBody>,
    /// Pairs: the part of the nodes that vanishes, the chance that the file is lost by it.
    survival: [(f64, f64); 3],
}

#[derive(Serialize)]
struct RepairBody<'a> {
    command: &'static str,
    repair_link: &'a str,
}

#[derive(Serialize)]
struct StripeBody {
    /// 0: content; 1 and up: references; the highest: the root.
    level: usize,
    /// Among those of its level, from 0.
    number: u64,
    k: usize,
    n: usize,
    present: usize,
    /// Those that belong with our own guard, which is not asked: they may be there.
    unasked: usize,
    spare: usize,
    /// Shards that may still be lost before wardens repair.
    until_repair: usize,
    /// Full hours since a warden audited it, by its word; 254 stands for longer, too.
    last_audit_hours: Option<u8>,
    /// Wardens that remember an audit.
    auditors: usize,
    holders: usize,
    networks: usize,
}

/// Asks, and prints what is there. A stripe that cannot be rebuilt makes it a failure.
pub(crate) fn run(args: &Args, report: &Report) -> Result<(), Failure> {
    let locally = |error| Failure { error, verb: Verb::Status };
    let capability = link::read(&args.link).map_err(locally)?;
    let config = args.config().map_err(locally)?;
    if args.repair_cap {
        let (survive, lease_seconds) = (config.survive.value, config.lease.value.as_secs());
        let options = PublishOptions { survive, lease_seconds, ..PublishOptions::default() };
        let repair = with_client(Verb::Status, report, &config, async |client, watch| {
            let progress = watch.progress.clone();
            watch.over(client.repair_link(&capability, options, &progress)).await
        })?;
        let link = repair.to_string();
        let body = RepairBody { command: "status", repair_link: &link };
        return report.answer(&format!("{link}\n"), body).map_err(locally);
    }
    let status = with_client(Verb::Status, report, &config, async |client, watch| {
        let progress = watch.progress.clone();
        watch.over(client.status(&capability, &progress)).await
    })?;
    report.answer(&table(&status), body(&status)).map_err(locally)?;
    match status.stripes.iter().find(|stripe| stripe.present < stripe.k) {
        Some(lost) => {
            let (stripe, have, need) = (lost.name, lost.present, lost.k);
            Err(locally(Error::NotRetrievable { stripe, have, need }))
        }
        None => Ok(()),
    }
}

fn body(status: &Status) -> Body {
    let stripes = status.stripes.iter().map(|stripe| StripeBody {
        level: stripe.level,
        number: stripe.name.number(),
        k: stripe.k,
        n: stripe.n,
        present: stripe.present,
        unasked: stripe.unasked,
        spare: stripe.spare,
        until_repair: stripe.until_repair,
        last_audit_hours: stripe.last_audit.hours,
        auditors: stripe.last_audit.wardens,
        holders: stripe.holders,
        networks: stripe.networks,
    });
    Body { command: "status", size: status.size, stripes: stripes.collect(), survival: status.survival }
}

fn table(status: &Status) -> String {
    let size = status.size.map(bytes);
    if status.stripes.is_empty() {
        return format!("{}, carried by the link itself: no node can lose it\n", size.unwrap_or_default());
    }
    let stripes = count(status.stripes.len() as u64, "stripe");
    let mut text = size.map_or_else(|| format!("{stripes}\n"), |size| format!("{size} in {stripes}\n"));
    text.push_str("stripe  level  present    needed  spare  holders  networks  last audit  repair\n");
    for stripe in &status.stripes {
        let present = format!("{}/{}", stripe.present, stripe.n);
        let repair = match stripe.until_repair {
            _ if stripe.present < stripe.k => "none: too few are left".to_owned(),
            0 => "due".to_owned(),
            more => format!("{more} more lost"),
        };
        let audit = match stripe.last_audit.hours {
            None => "-".to_owned(),
            Some(0) => format!("<1 h ({})", stripe.last_audit.wardens),
            Some(hours) => format!("{hours} h ({})", stripe.last_audit.wardens),
        };
        text.push_str(&format!(
            "{:>6}  {:>5}  {present:<9}  {:>6}  {:>5}  {:>7}  {:>8}  {audit:<10}  {repair}\n",
            stripe.name.number(),
            stripe.level,
            stripe.k,
            stripe.spare,
            stripe.holders,
            stripe.networks,
        ));
    }
    let unasked: usize = status.stripes.iter().map(|stripe| stripe.unasked).sum();
    if unasked > 0 {
        let shards = count(unasked as u64, "shard");
        text.push_str(&format!("Not asked for, since they belong with your guard: {shards}.\n"));
    }
    text.push_str(&format!("{}\n", survival(&status.survival)));
    text
}

#[cfg(test)]
mod tests {
    use super::table;
    use palimpsest_client::{LastAudit, Status, StripeName, StripeStatus};

    #[test]
    fn the_table_is_straight() {
        let stripe = StripeStatus {
            name: StripeName::Content(0),
            k: 32,
            n: 113,
            present: 101,
            unasked: 0,
            spare: 69,
            until_repair: 11,
            last_audit: LastAudit { hours: Some(0), wardens: 14 },
            holders: 40,
            networks: 1,
            level: 0,
        };
        let survival = [(0.1, 0.0), (0.3, 0.0), (0.5, 0.02)];
        let last_audit = LastAudit { hours: Some(30), wardens: 1 };
        let due = StripeStatus { present: 90, spare: 58, until_repair: 0, last_audit, ..stripe };
        let last_audit = LastAudit::default();
        let lost = StripeStatus { present: 31, spare: 0, until_repair: 0, last_audit, ..stripe };
        let status = Status { size: Some(2 << 20), stripes: vec![stripe, due, lost], survival };
        let rows = "stripe  level  present    needed  spare  holders  networks  last audit  repair\n\
             \u{20}    0      0  101/113        32     69       40         1  <1 h (14)   11 more lost\n\
             \u{20}    0      0  90/113         32     58       40         1  30 h (1)    due\n\
             \u{20}    0      0  31/113         32      0       40         1  -           none: too few are left\n\
             Chance of loss if that part of the nodes vanishes at once: 10 %: none, 30 %: none, 50 %: 2.0 %\n";
        assert_eq!(table(&status), format!("2.0 MiB in 3 stripes\n{rows}"));
        let asked_not = StripeStatus { unasked: 3, ..stripe };
        let told = table(&Status { stripes: vec![asked_not, stripe], ..status.clone() });
        assert!(
            told.contains("11 more lost\nNot asked for, since they belong with your guard: 3 shards.\nChance"),
            "{told}"
        );
        // Whoever has a repair link knows the stripes, and not how much of them is the file.
        assert_eq!(table(&Status { size: None, ..status }), format!("3 stripes\n{rows}"));
    }
}
