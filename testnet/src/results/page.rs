//! The page's text.

use std::fmt::{self, Write};

use super::Results;
use super::glance::{Word, by_coalition, coalition, lines};
use super::plays::Play;
use super::table::Table;
use crate::anonymity::affinity::Clue;
use crate::anonymity::crowd::{AUC_MOST, Batch};
use crate::anonymity::model::DRAWN_MOST;
use crate::anonymity::{About, Verdict};
use crate::scenario::Kind;
use crate::sim::kept_by_few;

/// Said beside what is below what was asked for.
const NOT_KEPT: &str = "**not kept**";

/// The page as Markdown.
pub(super) fn page(results: &Results) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _written = write(&mut out, results);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

fn write(out: &mut String, results: &Results) -> fmt::Result {
    let (version, seed) = (results.version, results.seed);
    let commit = results.commit.as_ref().map(|commit| format!(" ({commit} checked out)")).unwrap_or_default();
    writeln!(
        out,
        "# Results\n\nMade by `pal-testnet results` from version {version}{commit}, seed {seed}; do not edit. What each figure means, and \
         what is a model and no network: [simulation](simulation.md), [anonymity](anonymity.md), [testnet](testnet.md), \
         [performance](performance.md).\n"
    )?;
    at_a_glance(out, results)?;
    plays(out, results)?;
    survival(out, results)?;
    simulated(out, results)?;
    anonymity(out, results)?;
    handed_in(out, results)
}

fn at_a_glance(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "## At a glance\n\n| what | this version | asked for | elsewhere | |\n|---|---|---|---|---|")?;
    for line in lines(results) {
        let word = match line.word {
            Word::Judged(true) => "kept".to_owned(),
            Word::Judged(false) => NOT_KEPT.to_owned(),
            Word::Few { n, shows } => kept_by_few(n, shows),
            Word::Known => format!("{NOT_KEPT}, as known"),
            Word::Told => String::new(),
            Word::Missing(command) => format!("`{command}`"),
        };
        writeln!(out, "| {} | {} | {} | {} | {word} |", line.what, line.ours, line.asked, line.elsewhere)?;
    }
    writeln!(
        out,
        "\nOthers' figures are of their networks and days; Tahoe-LAFS, Tor 0.4.9 and GNUnet were measured on a machine of the kind that \
         ours were. A share that chance decides is not kept only where chance would bring it above its bound less than once in a thousand \
         times; one that is kept in few trials shows no more than is said beside. c is the coalition's part of the nodes. Files that are published one after the other, with nobody else there, are told by time: no order of \
         what one sends hides that.\n"
    )
}

fn plays(out: &mut String, results: &Results) -> fmt::Result {
    if results.plays.is_empty() && results.speed.is_none() {
        return Ok(());
    }
    writeln!(
        out,
        "## Scenarios\n\nOf publishes and fetches: how many succeeded; p50, p95 of all steps together. [What they are](testnet.md).\n\n\
         | scenario | on | publishes | fetches | judged beside | |\n|---|---|---|---|---|---|"
    )?;
    for play in &results.plays {
        self::play(out, play)?;
    }
    if let Some(speed) = &results.speed {
        let times = |all: &[f64]| all.iter().map(|one| format!("{one:.2}")).collect::<Vec<_>>().join(", ");
        match speed.measured() {
            Ok(report) => writeln!(
                out,
                "\n{:.0} MB to a user inside of a network of containers, links {}: straight over TCP {} s, by onion {} s, each from the start \
                 of a program to its end.",
                report.bytes as f64 / 1e6,
                report.links,
                times(&report.direct_s),
                times(&report.onion_s)
            )?,
            Err(excuse) => writeln!(out, "\nThe onion against a straight transfer: {excuse}.")?,
        }
    }
    writeln!(out)
}

fn play(out: &mut String, play: &Play) -> fmt::Result {
    let told = match play.outcome.measured() {
        Ok(told) => told,
        Err(excuse) => {
            return writeln!(out, "| `{}`, seed {} | {} | {excuse} | – | – | |", play.scenario, play.seed, play.stage);
        }
    };
    let [publishes, fetches] = Kind::ALL.map(|kind| {
        let times = told.times(kind);
        times.map_or("–".to_owned(), |one| {
            format!("{} of {}; {:.2} s, {:.2} s", one.good, one.count, one.p50_s, one.p95_s)
        })
    });
    let mut others: Vec<String> = Vec::new();
    for verdict in told.verdicts.iter().filter(|verdict| verdict.oracle != "survival") {
        others.push(match verdict.kept {
            Some(true) => verdict.oracle.to_owned(),
            Some(false) => format!("{} {NOT_KEPT}", verdict.oracle),
            None => continue,
        });
    }
    let (Play { scenario, stage, seed, .. }, nodes, others) = (play, told.nodes, others.join(", "));
    let word = kept_or_not(told.is_kept());
    writeln!(
        out,
        "| `{scenario}`, seed {seed} | {nodes} nodes, {stage} | {publishes} | {fetches} | {others} | {word} |"
    )
}

fn survival(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(
        out,
        "## Survival, predicted and measured\n\n![survival](results/survival.svg)\n\nFiles of 100 kB in a network in one process, each fetched by \
         somebody who was never there: how many were, and how many by prediction in 95 of 100 cases. Predicted by the code that chooses \
         geometry, for where the shards lie.\n"
    )?;
    let mut table = Table::default();
    for report in &results.survival {
        let (k, n) = report.geometry;
        let row = format!("{:.0} %, {k} of {n} shards, {} files", report.survive_percent, report.files);
        for point in &report.fetched {
            let column = format!("{} % of {} nodes killed", point.killed_percent, report.nodes);
            let mut cell = format!("{} ({} to {})", point.fetched, point.predicted.low, point.predicted.high);
            if point.again > 0 {
                cell += &format!(", {} of them not by the first reader", point.again);
            }
            table.put(&row, &column, &marked(cell, point.agrees()));
        }
    }
    table.write(out, "published for")
}

fn simulated(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "## Simulated networks\n\n![hops](results/hops.svg)\n")?;
    for report in &results.simulations {
        writeln!(out, "- {} nodes: `{}`", report.options.nodes, report.replay)?;
    }
    writeln!(out, "\n| what | measured | asked for | |\n|---|---|---|---|")?;
    for bound in results.simulations.iter().flat_map(|report| &report.bounds) {
        let side = if bound.is_least { "≥" } else { "≤" };
        let (measured, asked) = (short(bound.measured), short(bound.bound));
        writeln!(out, "| {} | {measured} | {side} {asked} | {} |", bound.what, bold(bound.kept, bound.verdict()))?;
    }
    writeln!(out)
}

fn anonymity(out: &mut String, results: &Results) -> fmt::Result {
    let (model, crowd) = (&results.anonymity, &results.crowd);
    writeln!(
        out,
        "## Anonymity\n\n![linked](results/linked.svg)\n\n{} clients of a network of {} nodes, and a coalition that holds a part c of them and \
         pools all that it sees: a model that chooses by the programs' own code. Then real nodes in one process that look on: {} of them, \
         {} clients, {} requests. In each cell what was measured{}.\n",
        model.clients,
        model.nodes,
        crowd.nodes,
        crowd.clients,
        crowd.requests,
        if results.verdicts.iter().all(|one| one.kept) { "" } else { "; marked where it is not kept" }
    )?;
    let [mut linked, mut drawn, mut one_file] = [Table::default(), Table::default(), Table::default()];
    for one in &results.verdicts {
        let column = coalition(one);
        match one.about {
            About::Linked { requests } => {
                let row = format!("{requests} {}, model", if requests == 1 { "request" } else { "requests" });
                linked.put(&row, &column, &marked(percent(one.seen), one.kept));
            }
            About::LinkedAmong { nodes } => {
                let row = format!("any request, {nodes} real nodes");
                linked.put(&row, &column, &marked(percent(one.seen), one.kept));
            }
            About::Guards(seating) | About::Relays(seating) => {
                drawn.put(&seating.to_string(), &column, &marked(format!("{:.2}", by_coalition(one)), one.kept));
            }
            About::Sights => {
                let (seen, word) = (short(one.seen), kept_or_not(one.kept));
                writeln!(out, "Sights of a client that only its guard may have, by others: {seen}, {word}.\n")?;
            }
            // The worst of all coalitions: below.
            About::OneFile { .. } => {}
        }
    }
    linked.write(out, "clients linked to one of (asked for: ≤ c)")?;
    drawn
        .write(out, &format!("bad among guards, relays drawn, by c (asked for: ≤ {DRAWN_MOST}); the coalition sits"))?;
    for clue in Clue::ALL {
        for batch in Batch::ALL {
            let about = About::OneFile { clue, batch };
            let all: Vec<&Verdict> = results.verdicts.iter().filter(|one| one.about == about).collect();
            if let Some(worst) = all.iter().map(|one| one.seen).reduce(f64::max) {
                let kept = all.iter().all(|one| one.kept);
                one_file.put(clue.name(), &format!("files {}", batch.name()), &marked(short(worst), kept));
            }
        }
    }
    one_file.write(out, &format!("same file? AUC by the clue, worst c (asked for: ≤ {AUC_MOST})"))
}

fn handed_in(out: &mut String, results: &Results) -> fmt::Result {
    if results.figures.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Measured by other commands\n\n| what | measured | asked for | |\n|---|---|---|---|")?;
    for figure in &results.figures {
        if let Some(kept) = figure.kept {
            writeln!(out, "| {} | {} | {} | {} |", figure.what, figure.value, figure.bound, kept_or_not(kept))?;
        }
    }
    writeln!(out)
}

fn kept_or_not(kept: bool) -> &'static str {
    if kept { "kept" } else { NOT_KEPT }
}

/// A cell, and that it is not kept where it is not.
fn marked(cell: String, kept: bool) -> String {
    if kept { cell } else { format!("{cell} {NOT_KEPT}") }
}

/// A share in percent, four digits at most.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", short((share * 1e6).round() / 1e4))
}

/// What is not kept stands out.
fn bold(kept: bool, words: String) -> String {
    if kept { words } else { format!("**{words}**") }
}

/// Four digits that count.
pub(super) fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { 3 - (value.abs().log10().floor() as i32).clamp(-3, 3) };
    let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::{percent, short};

    #[test]
    fn numbers_are_written_with_four_digits() {
        let numbers = [0.0, 0.5, 0.000_25, 1.0, 12.345_6, 99.99, 1_234.5, 65_536.0];
        assert_eq!(numbers.map(short), ["0", "0.5", "0.00025", "1", "12.35", "99.99", "1234", "65536"]);
        assert_eq!([0.1, 0.300_000_000_000_000_04, 1.0].map(percent), ["10 %", "30 %", "100 %"]);
    }
}
