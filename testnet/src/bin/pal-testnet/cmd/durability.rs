//! `pal-testnet durability`.

use palimpsest_proto::coding::{Geometry, Survive, geometry};
use palimpsest_proto::params::PACK_BYTES_MAX;
use palimpsest_testnet::model::{Durability, Policy, Seen, World, any_of, durability, simulate};
use serde_json::{Value, json};

use super::{Failure, say, size};

/// The parts of the nodes that vanish at once, in this model.
const BURSTS: [f64; 2] = [0.3, 0.5];
/// Chances below this say more about the model than about the world.
const TINY: f64 = 1e-20;
/// Node counts and years are bounded, so that a slip of the finger does not compute for a day.
const NODES_MAX: u64 = 100_000;
const YEARS_MAX: i64 = 1_000_000;

/// Compute how long files last while nodes leave for good, and what repair costs.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What part of the nodes a published file is made to survive: 10%, 30% or 50%.
    #[arg(long, default_value = "50%")]
    survive: Survive,
    /// Size of the file, of which all stripes are needed.
    #[arg(long, default_value = "100MiB", value_parser = size::parse)]
    size: u64,
    /// Nodes in the network.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(256..=NODES_MAX))]
    nodes: u64,
    /// Mean lives of nodes, in days.
    #[arg(long, value_delimiter = ',', default_value = "30,90,180", value_parser = positive)]
    life_days: Vec<f64>,
    /// Parts of n at which a stripe is repaired at once.
    #[arg(long, value_delimiter = ',', default_value = "0.7,0.8,0.85,0.9", value_parser = part)]
    low: Vec<f64>,
    /// Hours after which a missing shard is a reason to repair, whatever is left; `never`.
    #[arg(long, value_delimiter = ',', default_value = "never,24", value_parser = patience)]
    patience_hours: Vec<Patience>,
    /// Hours from a node's end until wardens know.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=720))]
    detection_hours: u32,
    /// Hours from the decision to the end of a repair.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=720))]
    delay_hours: u32,
    /// Years of stripes to live through with dice, with a burst of half of the nodes once in a year; 0: none.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(0..=YEARS_MAX))]
    years: u32,
    /// Chooses the dice: the same number, the same story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// See [`Policy::patience_hours`].
type Patience = Option<u32>;

/// One line of the answer.
struct Row {
    world: World,
    policy: Policy,
    exact: Durability,
    seen: Option<Seen>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let stripes = args.size.div_ceil(PACK_BYTES_MAX as u64).max(1);
    let geometry = geometry(PACK_BYTES_MAX, args.survive, stripes);
    let mut rows = Vec::new();
    for &life_days in &args.life_days {
        for &low in &args.low {
            for &patience_hours in &args.patience_hours {
                let world = World { life_days, nodes: args.nodes as usize };
                let (detection_hours, delay_hours) = (args.detection_hours, args.delay_hours);
                let policy = Policy { low, patience_hours, detection_hours, delay_hours };
                let exact = durability(geometry, policy, world, &BURSTS);
                let dice = || simulate(geometry, policy, world, Some(BURSTS[1]), args.years, args.seed);
                rows.push(Row { world, policy, exact, seen: (args.years > 0).then(dice) });
            }
        }
    }
    if args.json {
        say(&as_json(args, geometry, stripes, &rows).to_string());
    } else {
        as_table(args, geometry, stripes, &rows).iter().for_each(|line| say(line));
    }
    Ok(())
}

/// Widths of the table's columns.
const WIDTHS: [usize; 12] = [6, 24, 6, 8, 8, 8, 8, 8, 8, 8, 8, 10];
const HEAD: [&str; 12] = [
    "life", "repaired", "left", "a year", "byte·yr", "a year", "at 30 %", "at 50 %", "a year", "at 30 %", "at 50 %",
    "at 50 %",
];

fn line<'a>(columns: impl IntoIterator<Item = &'a str>) -> String {
    let padded: Vec<String> = columns.into_iter().zip(WIDTHS).map(|(text, width)| format!("{text:width$}")).collect();
    padded.join("  ").trim_end().to_owned()
}

fn as_table(args: &Args, geometry: Geometry, stripes: u64, rows: &[Row]) -> Vec<String> {
    let whole = rows.first().map(|row| row.exact.bursts_when_whole.as_slice()).unwrap_or_default();
    let whole: Vec<_> = whole.iter().map(|&(part, p)| format!("{} %: {}", part * 100.0, chance(p))).collect();
    let mut lines = vec![
        format!(
            "{} in {stripes} stripes, {geometry}, {} nodes; known after {} h, repaired within {} h more",
            size::name(args.size),
            args.nodes,
            args.detection_hours,
            args.delay_hours
        ),
        format!("a burst that meets a stripe when it is whole costs it with {}", whole.join(", ")),
        String::new(),
        line(["mean", "", "", "repairs", "moved a", "stripe lost", "", "", "file lost", "", "", "dice:"]),
        line(HEAD),
    ];
    for Row { world, policy, exact, seen } in rows {
        let chances = || std::iter::once(exact.loss_per_year).chain(exact.bursts.iter().map(|burst| burst.1));
        let mut columns = vec![
            format!("{} d", world.life_days),
            policy.to_string(),
            format!("{:.0} %", exact.left * 100.0),
            format!("{:.1}", exact.repairs_per_year),
            format!("{:.1}", exact.traffic_per_year),
        ];
        columns.extend(chances().map(chance));
        columns.extend(chances().map(|p| chance(any_of(stripes, p))));
        columns.extend(seen.map(|seen| format!("{} of {}", seen.lost_in_bursts, seen.bursts)));
        lines.push(line(columns.iter().map(String::as_str)));
    }
    lines
}

fn as_json(args: &Args, geometry: Geometry, stripes: u64, rows: &[Row]) -> Value {
    let bursts = |of: &[(f64, f64)]| -> Vec<Value> {
        of.iter().map(|&(part, p)| json!({ "part": part, "stripe": p, "file": any_of(stripes, p) })).collect()
    };
    let rows: Vec<Value> = rows
        .iter()
        .map(|Row { world, policy, exact, seen }| {
            json!({
                "life_days": world.life_days, "low": policy.low, "patience_hours": policy.patience_hours,
                "left": exact.left,
                "repairs_per_year": exact.repairs_per_year,
                "moved_per_stored_byte_and_year": exact.traffic_per_year,
                "loss_per_year": { "stripe": exact.loss_per_year, "file": any_of(stripes, exact.loss_per_year) },
                "bursts": bursts(&exact.bursts),
                "bursts_when_whole": bursts(&exact.bursts_when_whole),
                "dice": seen.map(|seen| json!({
                    "years": seen.years, "lost": seen.lost, "bursts": seen.bursts,
                    "lost_in_bursts": seen.lost_in_bursts, "repairs": seen.repairs, "moved_shards": seen.moved,
                })),
            })
        })
        .collect();
    json!({
        "size": args.size, "stripes": stripes, "k": geometry.k(), "n": geometry.n(), "nodes": args.nodes,
        "detection_hours": args.detection_hours, "delay_hours": args.delay_hours, "seed": args.seed, "rows": rows,
    })
}

/// A chance in few words.
fn chance(p: f64) -> String {
    match p {
        _ if p < TINY => format!("< {TINY:.0e}"),
        _ if p < 0.01 => format!("{p:.1e}"),
        _ => format!("{:.1} %", p * 100.0),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(days) if days.is_finite() && days >= 0.1 => Ok(days),
        _ => Err("a number of days is wanted, 0.1 or more".to_owned()),
    }
}

fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if (0.0..=1.0).contains(&part) => Ok(part),
        _ => Err("a number from 0 to 1 is wanted".to_owned()),
    }
}

fn patience(text: &str) -> Result<Patience, String> {
    match text.parse::<u32>() {
        _ if text == "never" => Ok(None),
        Ok(hours) if hours <= 24 * 90 => Ok(Some(hours)),
        _ => Err("a number of hours is wanted, 2160 at most, or `never`".to_owned()),
    }
}
