//! What was asked for, line by line: the figure of this version beside that of others.

use super::elsewhere;
use super::page::{percent, short};
use super::plays::{Container, HALF_OF_100, Play, Told};
use super::{Results, figures::Figure};
use crate::anonymity::crowd::{AUC_MOST, Batch};
use crate::anonymity::model::DRAWN_MOST;
use crate::anonymity::{About, Verdict};
use crate::docker::speed::SHARE_LEAST;
use crate::scenario::{Kind, Times};
use crate::sim::load::Load;
use crate::sim::{Bound, Goal, sync::Size};
use crate::survival::Point;

/// Seconds that are asked for where a round trip takes 50 ms, of files of 0.5 MB: of half of the fetches, of 19 of 20; of half of the
/// publishes.
const FETCH_P50_MOST: f64 = 2.0;
const FETCH_P95_MOST: f64 = 4.5;
const PUBLISH_P50_MOST: f64 = 10.0;
/// What measures what is not measured by default.
const WHOLE: &str = "pal-testnet results";
const DOCKER: &str = "pal-testnet results --docker";
const BENCH: &str = "pal-testnet bench --parts large --tahoe DIR --json";

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// What.
    pub(super) what: &'static str,
    /// The figure, or why there is none.
    pub(super) ours: String,
    /// What was asked for.
    pub(super) asked: String,
    /// What others report.
    pub(super) elsewhere: &'static str,
    /// What is said of it.
    pub(super) word: Word,
}

/// What is said of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Word {
    /// Whether what was asked for is reached.
    Judged(bool),
    /// It is, in fewer trials than it takes to show it: in so many, which show so much.
    Few {
        /// How many.
        n: usize,
        /// The least true share that they show.
        shows: f64,
    },
    /// It is not, and is known not to be.
    Known,
    /// Nothing was asked for.
    Told,
    /// It was not measured; this command does it.
    Missing(&'static str),
}

/// A figure, and what is said of it.
type Ours = (String, Word);

/// All lines.
pub(super) fn lines(results: &Results) -> Vec<Line> {
    let line = |what, (ours, word): Ours, asked: &str, elsewhere| {
        let asked = asked.to_owned();
        Line { what, ours, asked, elsewhere, word }
    };
    let mut lines = vec![
        line(
            "half of 24 containers killed at once (one half), 100 files fetched",
            played(results, Container::HalfDies.name(), DOCKER, |told| done(told, &[Kind::Fetch])),
            "100 %",
            elsewhere::HALF_DIES,
        ),
        line(
            "half of 100 nodes in one process killed, 100 files fetched, for each of three halves",
            halves(results),
            "100 %",
            elsewhere::HALF_DIES,
        ),
        line(
            "survival at 30, 50, 60, 70 % killed, as predicted",
            survival(results),
            "inside the 95 % interval",
            elsewhere::SURVIVAL,
        ),
        line(
            "look-ups that succeed, by the table and five bootstrap nodes, 20 and 40 % adversarial",
            bounds(results, &[Goal::Found], |all| joined(all, percent)),
            "≥ 99 %, ≥ 95 %",
            "–",
        ),
        line(
            "the same by Kademlia (a model; no program does so today)",
            bounds(results, &[Goal::FoundByKademlia], |all| joined(all, percent)),
            "≥ 99 %, ≥ 95 %",
            elsewhere::FOUND,
        ),
        line(
            "hops of a look-up by the whole table; by Kademlia, worst case",
            bounds(results, &[Goal::Hops], |all| joined(all, short)),
            &format!("≤ {}", joined(&of_goal(results, Goal::Hops, |bound| bound.bound), short)),
            elsewhere::HOPS,
        ),
        line(
            "shards moved at a join, at a leave: off 1/n by",
            bounds(results, &[Goal::Moved, Goal::Stays], |all| joined(all.get(..2).unwrap_or(all), percent)),
            "≤ 10 %",
            elsewhere::MOVED,
        ),
        line(
            "load of the fullest holder by the mean, 95 % full (1.053 at most, since full ones refuse); new shards placed until then",
            bounds(results, &[Goal::Load, Goal::Placed], |all| match all {
                [loads @ .., placed] => format!("{}; {}", joined(loads, short), percent(*placed)),
                [] => String::new(),
            }),
            "≤ 1.5; ≥ 95 %",
            elsewhere::LOAD,
        ),
        line("the same 10 and 50 % full, where nobody refuses", emptier(results), "–", "–"),
        line(
            "requests of the busiest holder by the mean: all stripes wanted alike; by Zipf's law",
            demand(results),
            "–",
            "–",
        ),
        line(
            "fetches with 30 % lying holders, wide and narrow stripes",
            bounds(results, &[Goal::AmongLiars], |all| joined(all, percent)),
            "≥ 99.9 %",
            "–",
        ),
        line(
            "fetches with 20 Sybils ground next to each locator after the publish; after handover to them",
            bounds(results, &[Goal::AmongSybils], |all| joined(all, percent)),
            "≥ 99.9 %",
            elsewhere::SYBILS,
        ),
        line(
            "cut into halves for 10 minutes, both work, then healed: published; fetched",
            played(results, Container::Halves.name(), DOCKER, |told| done(told, &Kind::ALL)),
            "all; nothing lost",
            "–",
        ),
        line(
            "fetch of 0.5 MB, 24 containers, 50 ms a round trip: p50, p95",
            played(results, Container::SlowLinks.name(), DOCKER, |told| {
                let within = |times: &Times| times.p50_s <= FETCH_P50_MOST && times.p95_s <= FETCH_P95_MOST;
                timed(told, Kind::Fetch, within, |times| format!("{:.2} s, {:.2} s", times.p50_s, times.p95_s))
            }),
            &format!("≤ {FETCH_P50_MOST} s, ≤ {FETCH_P95_MOST} s"),
            elsewhere::FETCH,
        ),
        line(
            "publish of the same: p50",
            played(results, Container::SlowLinks.name(), DOCKER, |told| {
                let within = |times: &Times| times.p50_s <= PUBLISH_P50_MOST;
                timed(told, Kind::Publish, within, |times| format!("{:.2} s", times.p50_s))
            }),
            &format!("≤ {PUBLISH_P50_MOST} s"),
            elsewhere::PUBLISH,
        ),
        line(
            "onion against direct fetch, 16 MB over TCP, 20 Mbit/s: share of its speed",
            against_direct(results),
            &format!("≥ {}", percent(SHARE_LEAST)),
            elsewhere::ONION,
        ),
    ];
    lines.extend([
        line(
            "clients ever linked to a request, 1,000 of each",
            verdicts(results, is_linked, |all| {
                let shares = all.iter().filter(|one| one.about == About::Linked { requests: 1_000 });
                let share = |one: &&Verdict| format!("{} at {}", percent(one.seen), coalition(one));
                shares.map(share).collect::<Vec<_>>().join(", ")
            }),
            "≤ c",
            elsewhere::LINKED,
        ),
        line(
            "same file? AUC of the best clue, files of 5 MiB: published and read at once, or spread",
            verdicts(results, |about| is_one_file(about, false), |all| short(worst(all, |one| one.seen))),
            &format!("≤ {AUC_MOST}"),
            "–",
        ),
        line(
            "the same where files come one after the other and nobody else is there",
            verdicts(results, |about| is_one_file(about, true), |all| short(worst(all, |one| one.seen))),
            &format!("≤ {AUC_MOST}"),
            "–",
        ),
        line(
            "bad ones among guards and relays drawn, worst placement, by c",
            verdicts(results, is_drawn, |all| short(worst(all, by_coalition))),
            &format!("≤ {DRAWN_MOST}"),
            "–",
        ),
        line(
            "stripes lost or out of reach in years of repair, nodes that live 30 to 180 days, or come and go as IPFS's",
            lost(results),
            "none",
            elsewhere::LASTS,
        ),
        line("table sync, sent by a node in a day", sync(results), "–", "–"),
        large(
            results,
            "publish",
            "publish of 100 MiB, 40 nodes on one machine",
            "≤ 1.5 × Tahoe's",
            elsewhere::PUBLISH_LARGE,
        ),
        large(results, "fetch", "fetch of 100 MiB, the same", "≤ Tahoe's", elsewhere::FETCH_LARGE),
    ]);
    lines
}

/// Whether this is about linking clients to requests, or about who may see clients at all.
fn is_linked(about: About) -> bool {
    matches!(about, About::Linked { .. } | About::LinkedAmong { .. } | About::Sights)
}

fn is_drawn(about: About) -> bool {
    matches!(about, About::Guards(_) | About::Relays(_))
}

fn is_one_file(about: About, alone: bool) -> bool {
    matches!(about, About::OneFile { batch, .. } if (batch == Batch::Alone) == alone)
}

/// A coalition's part of the nodes.
pub(super) fn coalition(verdict: &Verdict) -> String {
    verdict.coalition.map_or_else(String::new, |part| format!("c = {}", percent(part)))
}

/// How often the coalition was drawn, by its part of the nodes.
pub(super) fn by_coalition(verdict: &Verdict) -> f64 {
    verdict.coalition.map_or(verdict.seen, |part| verdict.seen / part)
}

fn worst(all: &[&Verdict], of: impl Fn(&Verdict) -> f64) -> f64 {
    all.iter().map(|one| of(one)).fold(0.0, f64::max)
}

fn joined(all: &[f64], say: impl Fn(f64) -> String) -> String {
    all.iter().map(|one| say(*one)).collect::<Vec<_>>().join(", ")
}

fn not_here(command: &'static str) -> Ours {
    ("not measured here".to_owned(), Word::Missing(command))
}

fn of_goal(results: &Results, goal: Goal, of: impl Fn(&Bound) -> f64) -> Vec<f64> {
    let all = results.simulations.iter().flat_map(|report| &report.bounds);
    all.filter(|bound| bound.goal == goal).map(of).collect()
}

/// What the simulator measured for these goals.
fn bounds(results: &Results, goals: &[Goal], say: impl Fn(&[f64]) -> String) -> Ours {
    let measured: Vec<f64> = goals.iter().flat_map(|goal| of_goal(results, *goal, |bound| bound.measured)).collect();
    if measured.is_empty() {
        return not_here(WHOLE);
    }
    let all = || results.simulations.iter().flat_map(|report| &report.bounds).filter(|one| goals.contains(&one.goal));
    let weakest = all().filter_map(Bound::few).min_by(|one, other| one.1.total_cmp(&other.1));
    let word = match weakest {
        Some((n, shows)) if all().all(|bound| bound.kept) => Word::Few { n, shows },
        _ => Word::Judged(all().all(|bound| bound.kept)),
    };
    (say(&measured), word)
}

fn loads(results: &Results) -> impl Iterator<Item = &Load> {
    results.simulations.iter().filter_map(|report| report.load.as_ref())
}

/// How uneven loads are while there is room, which is what placement does by itself.
fn emptier(results: &Results) -> Ours {
    let fills = loads(results).flat_map(|load| &load.fills).filter(|fill| [10, 50].contains(&fill.percent));
    let all: Vec<f64> = fills.map(|fill| fill.max_by_mean).collect();
    if all.is_empty() { not_here(WHOLE) } else { (joined(&all, short), Word::Told) }
}

fn demand(results: &Results) -> Ours {
    let each = loads(results).map(|load| format!("{}; {}", short(load.served_uniform), short(load.served_zipf)));
    let all: Vec<String> = each.collect();
    if all.is_empty() { not_here(WHOLE) } else { (all.join(", "), Word::Told) }
}

/// What was measured of anonymity.
fn verdicts(results: &Results, of: impl Fn(About) -> bool, say: impl Fn(&[&Verdict]) -> String) -> Ours {
    let all: Vec<&Verdict> = results.verdicts.iter().filter(|one| of(one.about)).collect();
    if all.is_empty() {
        return not_here(WHOLE);
    }
    let broken: Vec<&&Verdict> = all.iter().filter(|one| !one.kept).collect();
    let is_known = !broken.is_empty() && broken.iter().all(|one| one.known.is_some());
    (say(&all), if is_known { Word::Known } else { Word::Judged(broken.is_empty()) })
}

/// What came of a scenario; `command` plays it.
fn played(results: &Results, name: &str, command: &'static str, say: impl Fn(&Told) -> Ours) -> Ours {
    let Some(play) = results.plays.iter().find(|play| play.scenario == name) else { return not_here(command) };
    play.outcome.measured().map_or_else(|excuse| (excuse.to_owned(), Word::Missing(command)), say)
}

/// What came of half of a hundred nodes, whichever half it was.
fn halves(results: &Results) -> Ours {
    let plays: Vec<&Play> = results.plays.iter().filter(|play| play.scenario == HALF_OF_100).collect();
    let told: Result<Vec<&Told>, &str> = plays.iter().map(|play| play.outcome.measured()).collect();
    match told {
        Ok(told) if told.is_empty() => not_here(WHOLE),
        Ok(told) => {
            let all: Vec<Ours> = told.iter().map(|told| done(told, &[Kind::Fetch])).collect();
            let figures: Vec<&str> = all.iter().map(|(figure, _)| figure.as_str()).collect();
            (figures.join(", "), Word::Judged(told.iter().all(|told| told.is_kept())))
        }
        Err(excuse) => (excuse.to_owned(), Word::Missing(WHOLE)),
    }
}

/// How many of some kinds succeeded. What the scenario promises beside is judged with it.
fn done(told: &Told, kinds: &[Kind]) -> Ours {
    let all = kinds.iter().filter_map(|kind| told.times(*kind));
    let all: Vec<String> = all.map(|times| format!("{} of {}", times.good, times.count)).collect();
    (all.join("; "), Word::Judged(told.is_kept()))
}

/// How long one kind took; what failed is not fast.
fn timed(told: &Told, kind: Kind, within: impl Fn(&Times) -> bool, say: impl Fn(&Times) -> String) -> Ours {
    match told.times(kind) {
        Some(times) => (say(times), Word::Judged(within(times) && times.good == times.count)),
        None => not_here(DOCKER),
    }
}

fn survival(results: &Results) -> Ours {
    let points: Vec<&Point> = results.survival.iter().flat_map(|report| &report.fetched).collect();
    if points.is_empty() {
        return not_here(WHOLE);
    }
    let inside = points.iter().filter(|point| point.agrees()).count();
    (format!("{inside} of {} points", points.len()), Word::Judged(inside == points.len()))
}

fn against_direct(results: &Results) -> Ours {
    let Some(outcome) = &results.speed else { return not_here(DOCKER) };
    match outcome.measured() {
        Ok(report) => (percent(report.share), Word::Judged(report.share >= SHARE_LEAST)),
        Err(excuse) => (excuse.to_owned(), Word::Missing(DOCKER)),
    }
}

fn lost(results: &Results) -> Ours {
    let churns = results.simulations.iter().filter_map(|report| report.durability.as_ref());
    let years: f64 = churns.flat_map(|durable| &durable.churns).map(|churn| churn.stripe_years).sum();
    let lost: f64 = of_goal(results, Goal::Lasts, |bound| bound.measured).iter().sum();
    bounds(results, &[Goal::Lasts, Goal::Repaired], |_| format!("{} in {years:.1} stripe years", short(lost)))
}

fn sync(results: &Results) -> Ours {
    let sizes = results.simulations.iter().filter_map(|report| report.sync.as_ref()).flat_map(|sync| &sync.sizes);
    let day = |size: &Size| format!("{:.0} MB at {} nodes", size.bytes_a_second * 0.0864, size.nodes);
    let days: Vec<String> = sizes.map(day).collect();
    if days.is_empty() { not_here(WHOLE) } else { (days.join(", "), Word::Told) }
}

/// A large file's time, where it was handed in.
fn large(results: &Results, verb: &str, what: &'static str, wanted: &str, elsewhere: &'static str) -> Line {
    let name = format!("{verb} 100MiB");
    let figure: Option<&Figure> = results.figures.iter().rfind(|figure| figure.what == name);
    let (ours, asked, word) = match figure {
        Some(figure) => (figure.value.clone(), figure.bound.clone(), figure.kept.map_or(Word::Told, Word::Judged)),
        None => ("not measured here".to_owned(), wanted.to_owned(), Word::Missing(BENCH)),
    };
    Line { what, ours, asked, elsewhere, word }
}
