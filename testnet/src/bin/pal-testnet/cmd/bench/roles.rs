//! Where the processor time goes: for each shard at the client, in relays and at holders, and of each the share of Sphinx,
//! transport, store and coding.
//!
//! Client and nodes time their own synchronous work; what a process used beyond that is its *transport*: sockets, Noise,
//! Yamux or QUIC, the runtime, choosing paths, gossip. The nodes' transport is divided between the roles by the bytes that
//! each moved.

use std::time::Duration;

use palimpsest_testnet::process::NodesCpu;

use super::report::Figure;
use super::{Measured, round};

/// What one shard cost in one role, or all, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Cost {
    sphinx: f64,
    transport: f64,
    store: f64,
    coding: f64,
}

impl Cost {
    fn total(self) -> f64 {
        self.sphinx + self.transport + self.store + self.coding
    }

    fn and(self, other: Self) -> Self {
        Self {
            sphinx: self.sphinx + other.sphinx,
            transport: self.transport + other.transport,
            store: self.store + other.store,
            coding: self.coding + other.coding,
        }
    }

    fn figure(self, name: String) -> Figure {
        let total = self.total();
        let parts =
            [("sphinx", self.sphinx), ("transport", self.transport), ("store", self.store), ("coding", self.coding)];
        parts.into_iter().filter(|&(_, cost)| cost > 0.0).fold(
            Figure::new(name, total, "ms"),
            |figure, (part, cost)| {
                figure.with(&format!("{part}_ms"), round(cost)).with(&format!("{part}_share"), round(cost / total))
            },
        )
    }
}

/// The figures of these runs, in which the nodes accounted for `nodes`. None if nothing was counted.
pub(super) fn figures(what: &str, all: &[Measured], nodes: &NodesCpu) -> Vec<Figure> {
    let results: Vec<_> = all.iter().filter_map(|one| one.run.result()).collect();
    let count = |result: &serde_json::Value| {
        result["shards_placed"].as_f64().or_else(|| result["shards_got"].as_f64()).unwrap_or(0.0)
    };
    let shards: f64 = results.iter().map(count).sum();
    if shards < 1.0 {
        return Vec::new();
    }
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e3 / shards;
    let said = |name: &str| {
        let nanos = results.iter().filter_map(|result| result["cpu"][name].as_u64()).sum();
        each(Duration::from_nanos(nanos))
    };
    // Clock ticks are coarser than the accounts: no part is taken for less than nothing.
    let rest = |whole: f64, known: f64| (whole - known).max(0.0);

    let (sphinx, coding) = (said("onion_ns"), said("coding_ns"));
    let whole = each(all.iter().map(|one| one.run.cpu).sum());
    let client = Cost { sphinx, coding, transport: rest(whole, sphinx + coding), store: 0.0 };
    let whole = each(all.iter().map(|one| one.used.nodes).sum());
    let (relaying, holding, store) = (each(nodes.relay), each(nodes.holder), each(nodes.store));
    let transport = rest(whole, relaying + holding + store);
    let share = nodes.forwarded_share();
    let relay = Cost { sphinx: relaying, transport: transport * share, ..Cost::default() };
    let holder = Cost { sphinx: holding, transport: transport * (1.0 - share), store, ..Cost::default() };
    vec![
        client.figure(format!("{what}, each shard: processor time of the client")),
        relay.figure(format!("{what}, each shard: of relays")),
        holder.figure(format!("{what}, each shard: of holders")),
        client.and(relay).and(holder).figure(format!("{what}, each shard: of all")),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Cost, figures};
    use crate::cmd::bench::Measured;
    use palimpsest_testnet::process::{NodesCpu, Run, Used};
    use std::time::Duration;

    fn measured(stdout: &str) -> Measured {
        let run = Run {
            wall: Duration::from_secs(1),
            first_byte: None,
            cpu: Duration::from_millis(30),
            rss_peak: 0,
            code: Some(0),
            timed_out: false,
            stdout: stdout.into(),
            stderr: Vec::new(),
        };
        let used = Used { wall: Duration::from_secs(1), nodes: Duration::from_millis(100), foreign: Duration::ZERO };
        Measured { run, used, wrong: None }
    }

    #[test]
    fn every_part_is_a_share_of_a_role() {
        let said = r#"{"type":"result","shards_placed":10,"cpu":{"onion_ns":10000000,"coding_ns":5000000}}"#;
        let ms = Duration::from_millis;
        let nodes = NodesCpu { relay: ms(20), holder: ms(10), store: ms(10), forwarded_bytes: 30, link_bytes: 80 };
        let figures = figures("publish", &[measured(said)], &nodes);
        let lines: Vec<String> = figures.iter().map(super::Figure::lines).collect();
        // 3 ms in all, 1.5 of them not counted.
        assert!(lines[0].contains(" 3.00 ms") && lines[0].contains("transport_share 0.500"), "{lines:?}");
        // 10 - 4 = 6 ms of transport, three quarters of them for others.
        assert!(lines[1].contains(" 6.50 ms") && lines[1].contains("transport_ms 4.50"), "{lines:?}");
        assert!(lines[2].contains(" 3.50 ms") && lines[2].contains("store_ms 1.00"), "{lines:?}");
        assert!(lines[3].contains(" 13.0 ms"), "{lines:?}");
    }

    #[test]
    fn nothing_counted_is_no_figure() {
        assert!(figures("publish", &[], &NodesCpu::default()).is_empty());
        assert!(figures("publish", &[measured("no result")], &NodesCpu::default()).is_empty());
        assert!(Cost::default().total().abs() < 1e-9);
    }
}
