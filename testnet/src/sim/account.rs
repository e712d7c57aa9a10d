//! A report as lines to read.

use super::Report;
use super::adversaries::{Adversaries, Fetches, Stage};
use super::durability::Durable;
use super::load::Load;
use super::lookups::Lookups;
use super::movement::Movement;
use super::sync::Sync;

/// Columns of figures.
fn row<const N: usize>(columns: [String; N]) -> String {
    columns.iter().map(|column| format!("{column:>11}")).collect()
}

fn head<const N: usize>(columns: [&str; N]) -> String {
    row(columns.map(str::to_owned))
}

fn percent(part: f64) -> String {
    // Two digits behind the point, so that 99.9 % and 100 % are told apart.
    format!("{:.2} %", 100.0 * part)
}

fn whole(part: f64) -> String {
    format!("{:.0} %", 100.0 * part)
}

fn short(number: f64) -> String {
    format!("{number:.2}")
}

impl Report {
    /// Everything, to be read.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![format!("{} nodes, seed {}", self.options.nodes, self.options.seed)];
        self.lookups.iter().for_each(|part| lookups(&mut lines, part));
        self.movement.iter().for_each(|part| movement(&mut lines, part));
        self.load.iter().for_each(|part| load(&mut lines, part));
        self.durability.iter().for_each(|part| durability(&mut lines, part));
        self.sync.iter().for_each(|part| sync(&mut lines, part));
        self.adversaries.iter().for_each(|part| adversaries(&mut lines, part));
        lines.push(String::new());
        lines.extend(self.bounds.iter().map(ToString::to_string));
        lines.push(format!("replay: {}", self.replay));
        lines
    }
}

fn lookups(lines: &mut Vec<String>, part: &Lookups) {
    lines.extend([String::new(), "look-ups by the node table (what clients and nodes do)".to_owned()]);
    lines.push(head(["dead", "liars", "bootstrap", "found", "of the 20", "hops", "asked"]));
    lines.extend(part.table.iter().map(|cell| {
        row([
            whole(cell.dead),
            whole(cell.liars),
            cell.bootstrap.to_string(),
            percent(cell.success),
            percent(cell.found),
            short(cell.hops),
            short(cell.asked),
        ])
    }));
    lines.extend([String::new(), "look-ups by Kademlia (a model)".to_owned()]);
    lines.push(head(["dead", "liars", "found", "of the 20", "hops", "most hops", "asked", "silent"]));
    lines.extend(part.kademlia.iter().map(|cell| {
        row([
            whole(cell.dead),
            whole(cell.liars),
            percent(cell.success),
            percent(cell.found),
            short(cell.hops),
            cell.hops_max.to_string(),
            short(cell.asked),
            short(cell.unanswered),
        ])
    }));
    lines.extend([String::new(), "tables that are not whole: nodes in multiples of a table's limit".to_owned()]);
    lines.push(head(["nodes", "shards", "stripes"]));
    lines.extend(
        part.sampled
            .iter()
            .map(|cell| row([format!("× {:.1}", cell.ratio), percent(cell.shards), percent(cell.success)])),
    );
}

fn movement(lines: &mut Vec<String>, part: &Movement) {
    let Movement { nodes, shards, stripe, events, join, leave, .. } = part;
    lines.extend([
        String::new(),
        format!("movement: {nodes} nodes, {shards} shards in stripes of {stripe}, {events} joins and leaves"),
        format!("    a join moves {join:.3} × 1/n of all shards, {} of these elsewhere", percent(part.join_astray)),
        format!(
            "    a leave moves {leave:.3} × 1/n; after the first {}: {} of that to where readers look first, and {} shards of others",
            part.looked_after,
            percent(part.leave_sought),
            part.leave_astray
        ),
    ]);
}

fn load(lines: &mut Vec<String>, part: &Load) {
    lines.extend([String::new(), format!("load: {} nodes, room for {} shards in each", part.nodes, part.room)]);
    lines.push(head(["full", "max/mean", "min/mean", "placed", "sent each"]));
    lines.extend(part.fills.iter().map(|fill| {
        let [max, min, sent] = [fill.max_by_mean, fill.min_by_mean, fill.sent].map(short);
        row([format!("{} %", fill.percent), max, min, percent(fill.placed), sent])
    }));
    lines.push(format!(
        "    {} fetches of {} stripes: the busiest holder serves {:.1} × the mean if all are wanted alike, {:.1} × by Zipf's law, of \
         which the most wanted has {}",
        part.fetches,
        part.stripes,
        part.served_uniform,
        part.served_zipf,
        percent(part.hottest),
    ));
}

fn durability(lines: &mut Vec<String>, part: &Durable) {
    let Durable { nodes, stripes, k, n, .. } = part;
    lines.extend([
        String::new(),
        format!("durability: {stripes} stripes, {k} of {n}, among {nodes} nodes; in brackets the Markov chain"),
    ]);
    lines.push(head([
        "life",
        "sessions",
        "years",
        "lost",
        "out",
        "left",
        "repairs/y",
        "surveys/y",
        "moved/y",
        "later",
        "handed/y",
        "copies",
    ]));
    for churn in &part.churns {
        lines.push(row([
            format!("{} d", churn.life_days),
            if churn.sessions { "as IPFS" } else { "none" }.to_owned(),
            short(churn.stripe_years),
            churn.lost.to_string(),
            percent(churn.unavailable),
            percent(churn.left),
            short(churn.repairs),
            short(churn.surveys),
            short(churn.moved),
            short(churn.moved_late),
            short(churn.handed_over),
            format!("{:.2}", churn.copies),
        ]));
        if let Some(model) = &churn.model {
            let bracketed = |text: String| format!("({text})");
            let [left, repairs, moved] = [percent(model.left), short(model.repairs), short(model.moved)].map(bracketed);
            let bare = [(); 5].map(|()| format!("{:>11}", "")).concat();
            lines.push(bare + &row([left, repairs, String::new(), moved]));
        }
    }
}

fn sync(lines: &mut Vec<String>, part: &Sync) {
    lines.extend([
        String::new(),
        format!("table exchanges (a model): descriptors of {} bytes, one a day from each", part.descriptor_bytes),
    ]);
    lines.push(head(["nodes", "to join", "begun/min", "sent B/s", "sent MB/d", "sent/news", "spread s", "untold"]));
    lines.extend(part.sizes.iter().map(|size| {
        row([
            size.nodes.to_string(),
            format!("{:.2} MB", size.join_bytes as f64 / 1e6),
            short(size.exchanges),
            format!("{:.0}", size.bytes_a_second),
            format!("{:.1}", size.bytes_a_second * 0.0864),
            format!("{:.0}", size.sent_for_news),
            size.spread_seconds.map_or("-".to_owned(), short),
            size.untold.to_string(),
        ])
    }));
}

fn adversaries(lines: &mut Vec<String>, part: &Adversaries) {
    let fetched = |fetches: &Fetches| {
        let Fetches { k, n, fetches, complete, asked, p50_seconds, p99_seconds } = fetches;
        let [asked, p50, p99] = [asked, p50_seconds, p99_seconds].map(|number| short(*number));
        row([format!("{k}/{n}"), fetches.to_string(), format!("{:.3} %", 100.0 * complete), asked, p50, p99])
    };
    let fetched_head = head(["stripe", "fetches", "complete", "asked", "p50 s", "p99 s"]);
    lines.extend([
        String::new(),
        format!("fetches among lying holders, {} nodes", part.nodes),
        head(["liars"]) + &fetched_head,
    ]);
    lines.extend(part.lying.iter().map(|cell| row([whole(cell.liars)]) + &fetched(&cell.fetches)));
    lines.extend([
        String::new(),
        format!(
            "fetches of stripes with ground ids next to every locator ({} ids made, {:.1} core hours)",
            part.ids_made, part.core_hours
        ),
        head(["ids each", "came", "density", "noticed", "kept"]) + &fetched_head,
    ]);
    lines.extend(part.eclipsed.iter().map(|cell| {
        let came = match cell.stage {
            Stage::Published => "after",
            Stage::HandedOver => "given all",
            Stage::BeforePublishing => "before",
        };
        let density = if cell.density { "looked at" } else { "ignored" };
        let [came, density] = [came, density].map(str::to_owned);
        row([cell.ids.to_string(), came, density, percent(cell.noticed), percent(cell.kept)]) + &fetched(&cell.fetches)
    }));
    lines.push(format!("    neighbourhoods that look made though nobody meddled: {:.3} %", 100.0 * part.false_alarms));
}
