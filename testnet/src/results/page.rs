//! The page's text.

use std::fmt::{self, Write};

use super::Results;
use super::elsewhere::ELSEWHERE;

/// The page as Markdown.
pub(super) fn page(results: &Results) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _written = write(&mut out, results);
    out
}

fn write(out: &mut String, results: &Results) -> fmt::Result {
    let (version, seed) = (results.version, results.seed);
    writeln!(
        out,
        "# Results\n\nMade by `pal-testnet results` from version {version}, seed {seed}; do not edit. What each figure means, and what is \
         a model and no network: [simulation](simulation.md), [anonymity](anonymity.md), [testnet](testnet.md), \
         [performance](performance.md).\n"
    )?;
    survival(out, results)?;
    bounds(out, results)?;
    handed_in(out, results)?;
    writeln!(out, "## Elsewhere\n\n| what | reported | source |\n|---|---|---|")?;
    for line in &ELSEWHERE {
        writeln!(out, "| {} | {} | {} |", line.what, line.theirs, line.source)?;
    }
    Ok(())
}

fn survival(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "## Survival, predicted and measured\n\n![survival](results/survival.svg)\n")?;
    writeln!(
        out,
        "Files of 100 kB in a network in one process, each fetched by somebody who was never there. Predicted: by the code that \
         chooses geometry, for where the shards lie; the interval has 95 of 100 cases.\n"
    )?;
    writeln!(
        out,
        "| published for | shards | nodes killed | predicted | k shards left | fetched | |\n|---|---|---|---|---|---|---|"
    )?;
    for report in &results.survival {
        let (k, n) = report.geometry;
        for point in &report.fetched {
            let interval = point.predicted;
            writeln!(
                out,
                "| {:.0} % | {k} of {n} | {} % of {} | {:.1} ({} to {}) of {} | {} | {} | {} |",
                report.survive_percent,
                point.killed_percent,
                report.nodes,
                interval.mean,
                interval.low,
                interval.high,
                report.files,
                point.left,
                point.fetched,
                verdict(Some(point.agrees()))
            )?;
        }
    }
    writeln!(out)
}

fn bounds(out: &mut String, results: &Results) -> fmt::Result {
    writeln!(out, "## Simulated networks\n\n![hops](results/hops.svg)\n")?;
    for report in &results.simulations {
        writeln!(out, "- {} nodes: `{}`", report.options.nodes, report.replay)?;
    }
    writeln!(out, "\n| what | measured | asked for | |\n|---|---|---|---|")?;
    for bound in results.simulations.iter().flat_map(|report| &report.bounds) {
        let side = if bound.is_least { "≥" } else { "≤" };
        let (measured, asked) = (short(bound.measured), short(bound.bound));
        writeln!(out, "| {} | {measured} | {side} {asked} | {} |", bound.what, verdict(Some(bound.kept)))?;
    }
    let (nodes, clients) = (results.anonymity.nodes, results.anonymity.clients);
    writeln!(
        out,
        "\n## Anonymity\n\n![linked](results/linked.svg)\n\n{clients} clients of a network of {nodes} nodes, and a coalition that holds a \
         part c of them and pools all that it sees: a model that chooses by the programs' own code. Then real nodes in one process that \
         look on: {} of them, {} clients, {} requests. A share is kept within its bound if chance would exceed what was measured oftener than \
         once in a thousand times.\n",
        results.crowd.nodes, results.crowd.clients, results.crowd.requests
    )?;
    writeln!(out, "| what | measured | asked for | |\n|---|---|---|---|")?;
    for one in &results.verdicts {
        writeln!(out, "| {} | {} | ≤ {} | {} |", one.what, short(one.seen), short(one.bound), verdict(Some(one.kept)))?;
    }
    writeln!(out)
}

fn handed_in(out: &mut String, results: &Results) -> fmt::Result {
    if results.figures.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Measured by other commands\n\n| what | measured | asked for | |\n|---|---|---|---|")?;
    for figure in results.figures.iter().filter(|figure| figure.kept.is_some()) {
        writeln!(out, "| {} | {} | {} | {} |", figure.what, figure.value, figure.bound, verdict(figure.kept))?;
    }
    writeln!(out)
}

fn verdict(kept: Option<bool>) -> &'static str {
    match kept {
        Some(true) => "kept",
        Some(false) => "**not kept**",
        None => "",
    }
}

/// Four digits that count.
fn short(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { 3 - (value.abs().log10().floor() as i32).clamp(-3, 3) };
    let text = format!("{value:.*}", usize::try_from(digits).unwrap_or(0));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_are_written_with_four_digits() {
        let numbers = [0.0, 0.5, 0.000_25, 1.0, 12.345_6, 99.99, 1_234.5, 65_536.0];
        assert_eq!(numbers.map(short), ["0", "0.5", "0.00025", "1", "12.35", "99.99", "1234", "65536"]);
    }
}
