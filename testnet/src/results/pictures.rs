//! The page's pictures.

use super::Results;
use super::chart::{Axis, Chart, Mark, Series};
use crate::sim;

/// All of them, by the names of their files.
pub(super) fn all(results: &Results) -> Vec<(&'static str, Chart)> {
    vec![("survival", survival(results)), ("hops", hops(results)), ("linked", linked(results))]
}

/// Mean hops of look-ups by Kademlia where all live and none lies.
pub(super) fn healthy_hops(report: &sim::Report) -> Option<f64> {
    let cells = &report.lookups.as_ref()?.kademlia;
    cells.iter().find(|cell| cell.dead == 0.0 && cell.liars == 0.0).map(|cell| cell.hops)
}

fn survival(results: &Results) -> Chart {
    let mut series = Vec::new();
    for report in &results.survival {
        let percent = report.survive_percent;
        let values = |of: &dyn Fn(&crate::survival::Drawn) -> f64| {
            report.drawn.iter().map(|point| (f64::from(point.killed_percent), of(point))).collect()
        };
        series.push(Series {
            name: format!("for {percent:.0} %"),
            mark: Mark::Dashed,
            values: values(&|point| point.predicted),
        });
        let fetched = report.fetched.iter();
        let values =
            fetched.map(|at| (f64::from(at.killed_percent), at.fetched as f64 / report.files as f64)).collect();
        series.push(Series { name: "fetched".to_owned(), mark: Mark::Points, values });
    }
    Chart {
        title: "Files that survive: predicted (dashed) and fetched".to_owned(),
        x: Axis::linear("nodes killed at once, %", 100.0),
        y: Axis::linear("part of the files", 1.0),
        series,
    }
}

fn hops(results: &Results) -> Chart {
    let as_f64 = |&(nodes, hops): &(usize, f64)| (nodes as f64, hops);
    let chord = results.hops.iter().map(|&(nodes, _)| (nodes as f64, (nodes as f64).log2() / 2.0)).collect();
    let table = results.hops.iter().map(|&(nodes, _)| (nodes as f64, 1.0)).collect();
    Chart {
        title: "Hops of a look-up".to_owned(),
        x: Axis::logarithmic("nodes", (1_000.0, 100_000.0)),
        y: Axis::linear("hops, mean", 10.0),
        series: vec![
            Series { name: "½ log₂ N (Chord)".to_owned(), mark: Mark::Dashed, values: chord },
            Series {
                name: "by Kademlia".to_owned(),
                mark: Mark::Line,
                values: results.hops.iter().map(as_f64).collect(),
            },
            Series { name: "by the table".to_owned(), mark: Mark::Line, values: table },
        ],
    }
}

fn linked(results: &Results) -> Chart {
    let percent = |part: f64| 100.0 * part;
    let coalitions = &results.anonymity.linking;
    let bound = coalitions.iter().map(|one| (percent(one.coalition), percent(one.coalition))).collect();
    let mut series = vec![Series { name: "bound: c".to_owned(), mark: Mark::Dashed, values: bound }];
    for (place, requests) in crate::anonymity::model::REQUESTS.into_iter().enumerate() {
        let at = |one: &crate::anonymity::model::Linking| {
            one.after.get(place).map(|after| (percent(one.coalition), percent(after.linked.share)))
        };
        let values = coalitions.iter().filter_map(at).collect();
        series.push(Series { name: format!("{requests} requests"), mark: Mark::Line, values });
    }
    let without = coalitions
        .iter()
        .filter_map(|one| one.after.last().map(|after| (percent(one.coalition), percent(after.linked_without.share))));
    series.push(Series { name: "without guards".to_owned(), mark: Mark::Dashed, values: without.collect() });
    Chart {
        title: "Readers linked to something that they fetched".to_owned(),
        x: Axis::linear("nodes of the coalition, %", 50.0),
        y: Axis::linear("readers linked, %", 100.0),
        series,
    }
}
