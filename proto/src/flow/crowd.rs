//! A network that fills up, for tests: each node has room for so many shards and refuses more; a publisher knows that only
//! from the refusals. What nodes say of their fill comes in steps of five per cent, as from real ones.

use crate::flow::sim::locators;
use crate::flow::{Scatter, ScatterOutcome, Send};
use crate::ids::{Locator, NodeId};
use crate::select::testing::filled;
use crate::select::{NodeTable, candidates, diversions, place};
use crate::time::Moment;
use std::collections::BTreeMap;

/// Shards of a stripe, and how many rebuild it.
pub(super) const SHARDS: usize = 60;
pub(super) const K: usize = 20;

/// What happened between two levels of fill.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stage {
    pub(super) wanted: usize,
    pub(super) placed: usize,
    /// Of these, at none of their candidates.
    pub(super) diverted: usize,
    pub(super) sent: usize,
}

impl Stage {
    pub(super) fn share(&self) -> f64 {
        self.placed as f64 / self.wanted as f64
    }
    pub(super) fn add(&mut self, other: Stage) {
        self.wanted += other.wanted;
        self.placed += other.placed;
        self.diverted += other.diverted;
        self.sent += other.sent;
    }
}

struct Disk {
    number: u16,
    held: u32,
    said: u8,
}

/// See the module's description.
pub(super) struct Crowd {
    pub(super) table: NodeTable,
    disks: BTreeMap<NodeId, Disk>,
    room: u32,
    held: u64,
    next: u64,
}

impl Crowd {
    /// `count` nodes with room for `room` shards each; others for each `seed`.
    pub(super) fn new(count: u16, room: u32, seed: u16) -> Crowd {
        let mut table = NodeTable::new();
        let mut disks = BTreeMap::new();
        for number in count * seed..count * (seed + 1) {
            let node = filled(number, 0);
            disks.insert(node.id, Disk { number, held: 0, said: 0 });
            table.insert(node, Moment::default());
        }
        Crowd { table, disks, room, held: 0, next: u64::from(seed) << 32 }
    }

    /// How much of the whole is taken, from 0 to 1.
    pub(super) fn fill(&self) -> f64 {
        self.held as f64 / (self.disks.len() as f64 * f64::from(self.room))
    }

    /// The load of the fullest node, relative to the mean.
    pub(super) fn unevenness(&self) -> f64 {
        let most = self.disks.values().map(|disk| disk.held).max().unwrap_or(0);
        f64::from(most) * self.disks.len() as f64 / self.held as f64
    }

    /// Publishes a stripe, by somebody who has not published before: its locators, who has each shard, and what it took.
    pub(super) fn publish(&mut self) -> (Vec<Locator>, Vec<Option<NodeId>>, Stage) {
        let locators = locators(self.next, SHARDS);
        self.next += 1;
        let mut scatter = Scatter::new(&place(&self.table, &locators, K), &[]);
        let mut stage = Stage { wanted: SHARDS, ..Stage::default() };
        let far = |shard: usize| diversions(&self.table, &locators[shard]);
        while let Some(Send { shard, node, .. }) = scatter.poll(Moment::default(), |_| 1.0, far) {
            stage.sent += 1;
            let disk = self.disks.get_mut(&node).unwrap();
            let outcome = if disk.held < self.room { ScatterOutcome::Stored } else { ScatterOutcome::Full };
            disk.held += u32::from(outcome == ScatterOutcome::Stored);
            scatter.handle(Moment::default(), shard, &node, outcome);
        }
        assert!(scatter.verdict().is_some());
        let stored = scatter.stored().to_vec();
        for (locator, holder) in locators.iter().zip(&stored) {
            let Some(holder) = holder else { continue };
            self.held += 1;
            stage.placed += 1;
            stage.diverted += usize::from(!candidates(&self.table, &locator.position()).contains(holder));
        }
        self.announce(&stored);
        (locators, stored, stage)
    }

    /// Publishes until so much of the whole is taken.
    pub(super) fn publish_until(&mut self, fill: f64) -> Stage {
        let mut stage = Stage::default();
        while self.fill() < fill {
            stage.add(self.publish().2);
        }
        stage
    }

    fn announce(&mut self, changed: &[Option<NodeId>]) {
        for id in changed.iter().flatten() {
            let disk = self.disks.get_mut(id).unwrap();
            let fill = (100 * disk.held / self.room / 5 * 5) as u8;
            if fill != std::mem::replace(&mut disk.said, fill) {
                self.table.insert(filled(disk.number, fill), Moment::default());
            }
        }
    }
}
