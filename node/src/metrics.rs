//! What a node counts, as text for Prometheus, and whether it is well: totals only. All labels are words that the program
//! was built with (`&'static str`), so that no id of an object or a peer can become one.

mod http;

pub(crate) use http::{Face, serve};

use crate::role::relay::RelayTotals;
use crate::stamps::StampTotals;
use crate::store::Usage;
use crate::work::{State, WorkReport};
use palimpsest_client::net::Counters;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::time::Duration;

/// What all names begin with.
const PREFIX: &str = "palimpsest";

/// Everything that is counted, read at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// How long the node has been up.
    pub(crate) uptime: Duration,
    /// Nodes in its table, itself included.
    pub(crate) known_nodes: usize,
    /// Nodes and clients connected now.
    pub(crate) connected: usize,
    /// Its store.
    pub(crate) usage: Usage,
    /// What it was paid for.
    pub(crate) stamps: StampTotals,
    /// Its relay.
    pub(crate) relay: RelayTotals,
    /// Its links.
    pub(crate) links: &'a Counters,
    /// Its works.
    pub(crate) works: &'a [WorkReport],
}

type Labels = Vec<(&'static str, &'static str)>;

/// One metric under all its labels.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    samples: Vec<(Labels, f64)>,
}

fn gauge(name: &'static str, help: &'static str, value: f64) -> Family {
    Family { name, help, kind: MetricType::Gauge, samples: vec![(Vec::new(), value)] }
}

fn counter(name: &'static str, help: &'static str, value: u64) -> Family {
    Family { name, help, kind: MetricType::Counter, samples: vec![(Vec::new(), value as f64)] }
}

fn counters<const N: usize>(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    values: [(&'static str, u64); N],
) -> Family {
    let samples = values.map(|(of, value)| (vec![(label, of)], value as f64)).into();
    Family { name, help, kind: MetricType::Counter, samples }
}

impl Reading<'_> {
    /// The text of `/metrics`.
    pub(crate) fn text(&self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        let mut families = self.of_node();
        families.extend(self.of_links());
        families.extend(self.of_works());
        registry.register_collector(Box::new(Families(families)));
        let mut text = String::new();
        // Writing into a string fails only if the figures cannot be written at all: half a text would mislead.
        if encode(&mut text, &registry).is_err() {
            text.clear();
        }
        text
    }

    fn of_node(&self) -> Vec<Family> {
        let Reading { usage, stamps, relay, .. } = self;
        let version = Family {
            name: "version",
            help: "Always 1; the label says which version runs",
            kind: MetricType::Gauge,
            samples: vec![(vec![("version", env!("CARGO_PKG_VERSION"))], 1.0)],
        };
        vec![
            version,
            gauge("uptime_seconds", "Seconds since the start", self.uptime.as_secs_f64().round()),
            gauge("known_nodes", "Nodes in the node table, this one included", self.known_nodes as f64),
            gauge("connected", "Nodes and clients connected now", self.connected as f64),
            gauge("store_quota_bytes", "Bytes on disk that the store may take", usage.quota_bytes as f64),
            gauge("store_used_bytes", "Bytes on disk that it takes", usage.used_bytes as f64),
            gauge("store_shards", "Shards held", usage.shards as f64),
            gauge("store_shards_max", "Shards that the quota has room for", usage.shards_max as f64),
            gauge("store_records", "Records held", usage.records as f64),
            gauge("store_rotten_slots", "Slots out of use, since what they held was damaged", usage.rotten as f64),
            gauge(
                "store_index_in_memory",
                "1 if the disk would not take the index",
                f64::from(u8::from(usage.index_in_memory)),
            ),
            counters(
                "stamps",
                "Requests for space that cost something: whose stamp paid the price, and that were refused for it",
                "outcome",
                [("paid", stamps.paid), ("unpaid", stamps.unpaid)],
            ),
            counter("packets_forwarded", "Packets passed on", relay.forwarded),
            counter("packets_arrived", "Packets whose last hop was this node", relay.arrived),
            counters(
                "packets_dropped",
                "Packets not passed on: invalid, seen before, without room or way, or over a neighbour's share",
                "reason",
                [
                    ("invalid", relay.dropped_invalid),
                    ("replayed", relay.dropped_replayed),
                    ("no_room", relay.dropped_full),
                    ("unfair", relay.dropped_unfair),
                ],
            ),
        ]
    }

    fn of_links(&self) -> Vec<Family> {
        let links = self.links;
        vec![
            counters(
                "link_packets",
                "Packets over links",
                "direction",
                [("in", links.packets_in.get()), ("out", links.packets_out.get())],
            ),
            counters(
                "link_bytes",
                "Bytes of packets over links",
                "direction",
                [("in", links.bytes_in.get()), ("out", links.bytes_out.get())],
            ),
            counters(
                "link_packets_dropped",
                "Packets dropped at a full queue, or for a node that cannot be reached",
                "reason",
                [("full", links.dropped_full.get()), ("unreachable", links.dropped_unreachable.get())],
            ),
            counter("link_violations", "Streams closed for what a peer wrote", links.violations.get()),
            counter("link_connections", "Connections established", links.connections.get()),
            counter("link_dials", "Dials started", links.dials.get()),
            counter("link_dials_failed", "Dials that failed", links.dial_failures.get()),
            counter("table_exchanges", "Exchanges of node tables", links.syncs.get()),
            counter("table_exchanges_failed", "Exchanges of node tables that failed", links.sync_failures.get()),
        ]
    }

    fn of_works(&self) -> Vec<Family> {
        let family = |name, help, kind| Family { name, help, kind, samples: Vec::new() };
        let (count, level) = (MetricType::Counter, MetricType::Gauge);
        let mut steps = family("work_steps", "Steps of background work ended", count);
        let mut seconds = family("work_busy_seconds", "Seconds spent in them", count);
        let mut errors = family("work_errors", "Steps that failed", count);
        let mut failed = family("work_failed", "1 if the work ended by a mistake in the program", level);
        let mut progress = family("work_progress_ratio", "How far the present round is, from 0 to 1", level);
        let finished_help = "When the work last went through all that it looks after, in seconds since 1970";
        let mut finished = family("work_finished_timestamp_seconds", finished_help, level);
        let mut done = family("work_done", "What the work has done, in units that its labels name", count);
        for work in self.works {
            let of = || vec![("work", work.name)];
            steps.samples.push((of(), work.steps as f64));
            seconds.samples.push((of(), work.busy_ms as f64 / 1000.0));
            errors.samples.push((of(), work.errors as f64));
            failed.samples.push((of(), f64::from(u8::from(work.state == State::Failed))));
            if let Some(at) = work.status.progress {
                progress.samples.push((of(), if at.of == 0 { 0.0 } else { at.at as f64 / at.of as f64 }));
            }
            if let Some(at) = work.status.finished_at {
                finished.samples.push((of(), at.0 as f64));
            }
            for &(unit, total) in &work.status.totals {
                done.samples.push((vec![("work", work.name), ("unit", unit)], total as f64));
            }
        }
        vec![steps, seconds, errors, failed, progress, finished, done]
    }
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for Family { name, help, kind, samples } in &self.0 {
            // What has no sample yet stays away with its descriptor.
            let [first, ..] = samples.as_slice() else { continue };
            let mut metric = encoder.encode_descriptor(name, help, None, *kind)?;
            if first.0.is_empty() {
                write(*kind, first.1, metric)?;
                continue;
            }
            for (labels, value) in samples {
                write(*kind, *value, metric.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

fn write(kind: MetricType, value: f64, to: MetricEncoder<'_>) -> fmt::Result {
    match kind {
        MetricType::Counter => ConstCounter::new(value).encode(to),
        _ => ConstGauge::new(value).encode(to),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{Progress, WorkStatus};
    use palimpsest_proto::time::Timestamp;

    fn text() -> String {
        let scrub = WorkReport {
            name: "scrub",
            steps: 7,
            busy_ms: 1_500,
            status: WorkStatus {
                progress: Some(Progress { at: 1, of: 4 }),
                finished_at: Some(Timestamp(1_700_000_000)),
                totals: vec![("checked", 441)],
            },
            ..WorkReport::default()
        };
        let reading = Reading {
            uptime: Duration::from_secs(61),
            known_nodes: 40,
            connected: 3,
            usage: Usage { shards: 12, ..Usage::default() },
            stamps: StampTotals { paid: 6, unpaid: 1 },
            relay: RelayTotals {
                forwarded: 5,
                forwarded_bytes: 9,
                arrived: 2,
                dropped_invalid: 1,
                dropped_replayed: 0,
                dropped_full: 0,
                dropped_unfair: 4,
            },
            links: &Counters::default(),
            works: &[scrub],
        };
        reading.text()
    }

    #[test]
    fn the_text_says_what_was_counted() {
        let text = text();
        for line in [
            "palimpsest_known_nodes 40.0",
            "palimpsest_store_shards 12.0",
            "palimpsest_stamps_total{outcome=\"paid\"} 6.0",
            "palimpsest_packets_forwarded_total 5.0",
            "palimpsest_packets_dropped_total{reason=\"invalid\"} 1.0",
            "palimpsest_packets_dropped_total{reason=\"unfair\"} 4.0",
            "palimpsest_work_steps_total{work=\"scrub\"} 7.0",
            "palimpsest_work_busy_seconds_total{work=\"scrub\"} 1.5",
            "palimpsest_work_progress_ratio{work=\"scrub\"} 0.25",
            "palimpsest_work_finished_timestamp_seconds{work=\"scrub\"} 1700000000.0",
            "palimpsest_work_done_total{work=\"scrub\",unit=\"checked\"} 441.0",
            "# TYPE palimpsest_work_done counter",
            "# EOF",
        ] {
            assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn every_metric_is_in_the_documentation() {
        let operations = include_str!("../../docs/operations.md");
        let text = text();
        let names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE palimpsest_"))
            .filter_map(|line| line.split(' ').next())
            .collect();
        assert!(names.len() > 20, "{names:?}");
        for name in names {
            assert!(operations.contains(&format!("`{name}`")), "docs/operations.md does not tell of {name}");
        }
    }
}
