//! What nodes account for themselves, over their admin sockets: processor time by kind of work, and bytes moved.

use std::ops::Sub;
use std::time::Duration;

use serde_json::Value;

use super::{Testnet, admin};

/// Time that one node gets to answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Sums over nodes since their start; the difference of two is what the time between cost. The nodes must be the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NodesCpu {
    /// Peeling packets for others.
    pub relay: Duration,
    /// Peeling and opening requests, building and sealing answers.
    pub holder: Duration,
    /// Writing, syncing, reading, hashing.
    pub store: Duration,
    /// Bytes of packets passed on for others.
    pub forwarded_bytes: u64,
    /// Bytes of all packets, in and out.
    pub link_bytes: u64,
}

impl NodesCpu {
    /// The share of the links' bytes that was moved for others: each packet passed on came in and went out.
    #[must_use]
    pub fn forwarded_share(&self) -> f64 {
        if self.link_bytes == 0 { 0.0 } else { (2 * self.forwarded_bytes) as f64 / self.link_bytes as f64 }
    }

    /// Adds what a node says of itself; what it does not tell counts as nothing.
    fn add(&mut self, status: &Value) {
        let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        self.relay += Duration::from_nanos(number("/cpu/relay_ns"));
        self.holder += Duration::from_nanos(number("/cpu/holder_ns"));
        self.store += Duration::from_nanos(number("/cpu/store_ns"));
        self.forwarded_bytes += number("/packets/forwarded_bytes");
        self.link_bytes += number("/links/bytes_in") + number("/links/bytes_out");
    }
}

impl Sub for NodesCpu {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            relay: self.relay.saturating_sub(before.relay),
            holder: self.holder.saturating_sub(before.holder),
            store: self.store.saturating_sub(before.store),
            forwarded_bytes: self.forwarded_bytes.saturating_sub(before.forwarded_bytes),
            link_bytes: self.link_bytes.saturating_sub(before.link_bytes),
        }
    }
}

impl Testnet {
    /// The sums over all nodes that answer.
    pub async fn cpu(&self) -> NodesCpu {
        let mut sums = NodesCpu::default();
        for node in self.nodes() {
            if let Ok(status) = admin::status(&node.data_dir, ANSWER_DEADLINE).await {
                sums.add(&status);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::NodesCpu;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn sums_and_differences() {
        let status = json!({
            "cpu": {"relay_ns": 5, "holder_ns": 7, "store_ns": 11},
            "packets": {"forwarded_bytes": 100},
            "links": {"bytes_in": 300, "bytes_out": 200},
        });
        let mut before = NodesCpu::default();
        before.add(&status);
        let mut after = before;
        after.add(&status);
        after.add(&json!({"id": "of another version"}));
        let spent = after - before;
        assert_eq!(spent, before);
        assert_eq!((spent.relay, spent.store), (Duration::from_nanos(5), Duration::from_nanos(11)));
        assert!((spent.forwarded_share() - 0.4).abs() < 1e-9);
        assert!(NodesCpu::default().forwarded_share().abs() < 1e-9);
    }
}
