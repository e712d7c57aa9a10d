//! What the node says of itself: the status, the metrics, whether it is ready. Totals only; no object id is in it.

use super::{Shared, files};
use crate::draining::Part;
use crate::metrics::{Face, Reading};
use serde_json::{Value, json};
use std::sync::PoisonError;

impl Shared {
    /// Answers the admin socket.
    pub(super) fn answer(&self, question: &str) -> Option<Value> {
        match question {
            "status" => Some(self.status()),
            "scrub" => {
                self.scrub.start();
                Some(json!({ "started": "scrub" }))
            }
            "drain" => {
                self.draining.start();
                Some(json!({ "started": "drain" }))
            }
            _ => None,
        }
    }

    pub(super) fn known_nodes(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Those of them who are not believed lost.
    fn living_nodes(&self) -> usize {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.len() - table.lost().count()
    }

    /// Those of them to whom this node was ever connected; itself is one.
    fn met_nodes(&self) -> usize {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.len() - table.strangers().iter().filter(|id| **id != self.key.id()).count()
    }

    pub(super) fn status(&self) -> Value {
        let usage = self.store.usage();
        let (links, stamps) = (self.net.counters(), self.stamps.totals());
        json!({
            "id": files::hex(&self.key.id().0),
            "version": env!("CARGO_PKG_VERSION"),
            "uptime_s": self.started.elapsed().as_secs(),
            "wall_clock": self.config.wall.now().0,
            "addresses": self.net.listeners_now().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "metrics": self.metrics_at.get().map(ToString::to_string),
            "known_nodes": self.known_nodes(),
            "living_nodes": self.living_nodes(),
            "met_nodes": self.met_nodes(),
            "connected": self.net.connected_peers().len(),
            "store": {
                "quota": usage.quota_bytes, "used": usage.used_bytes, "shards": usage.shards,
                "records": usage.records, "rotten": usage.rotten,
            },
            "stamps": { "paid": stamps.paid, "unpaid": stamps.unpaid },
            "packets": self.relay.totals(),
            "work": self.works.status(),
            "draining": self.draining.is_on(),
            "drained": self.draining.is_done(),
            "drain_left": { "shards": self.draining.left(Part::Shards), "records": self.draining.left(Part::Records) },
            "cpu": {
                "relay_ns": self.cpu.relay.total().as_nanos() as u64,
                "holder_ns": self.cpu.holder.total().as_nanos() as u64,
                "store_ns": (self.store.cpu() + self.cpu.naming.total()).as_nanos() as u64,
            },
            "links": {
                "packets_in": links.packets_in.get(), "packets_out": links.packets_out.get(),
                "bytes_in": links.bytes_in.get(), "bytes_out": links.bytes_out.get(),
                "dropped_full": links.dropped_full.get(), "dropped_unreachable": links.dropped_unreachable.get(),
                "violations": links.violations.get(), "connections": links.connections.get(),
                "dials": links.dials.get(), "dial_failures": links.dial_failures.get(),
                "syncs": links.syncs.get(), "sync_failures": links.sync_failures.get(),
            },
        })
    }
}

impl Face for Shared {
    fn metrics(&self) -> String {
        let reading = Reading {
            uptime: self.started.elapsed(),
            known_nodes: self.known_nodes(),
            connected: self.net.connected_peers().len(),
            usage: self.store.usage(),
            stamps: self.stamps.totals(),
            relay: self.relay.totals(),
            links: self.net.counters(),
            works: &self.works.status(),
        };
        reading.text()
    }

    fn ready(&self) -> Result<(), &'static str> {
        if self.net.listeners_now().is_empty() {
            Err("it listens nowhere")
        } else if self.known_nodes() < 2 {
            Err("it knows no other node yet")
        } else {
            Ok(())
        }
    }
}
