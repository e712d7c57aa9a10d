//! The simulated nodes: what they keep, how they answer, and what befalls them. What is `proto`'s to say (whether a shard is what
//! its name says, whether a record belongs to its address) it says.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use palimpsest_proto::coding::{Shard, check_record};
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::fair::FILL_STEP;
use palimpsest_proto::ids::{Locator, NodeId, RecordAddress};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::SHARD_BYTES;

use crate::hostile::Meddle;
use crate::process::Fraction;
use crate::sample::SplitMix64;
use crate::scenario::{Account, Disk, Lie};
use crate::search::{Canary, search_bytes};
use crate::sim::world::WALL;

/// The part of its quota that a node leaves to records, as `pald` does at least.
const RECORDS_PART: u64 = 16;

/// One node.
pub(super) struct Node {
    pub(super) key: NodeKey,
    /// Its network (/16).
    pub(super) network: u16,
    quota: u64,
    /// Whether it runs, whether it hangs, and whether it was cut off from the others.
    pub(super) runs: bool,
    pub(super) hangs: bool,
    pub(super) cut_off: bool,
    pub(super) lie: Option<Lie>,
    pub(super) meddle: Option<Meddle>,
    shards: BTreeMap<Locator, Bytes>,
    records: BTreeMap<RecordAddress, Bytes>,
    record_bytes: u64,
    /// The fill that it announced last.
    said: u8,
    /// Requests for space that cost something: paid for, and refused.
    paid: u64,
    unpaid: u64,
}

impl Node {
    /// A node that runs, and keeps nothing yet.
    pub(super) fn new(key: NodeKey, network: u16, quota: u64) -> Node {
        Node {
            key,
            network,
            quota,
            runs: true,
            hangs: false,
            cut_off: false,
            lie: None,
            meddle: None,
            shards: BTreeMap::new(),
            records: BTreeMap::new(),
            record_bytes: 0,
            said: 0,
            paid: 0,
            unpaid: 0,
        }
    }

    /// Whether it takes part in anything.
    pub(super) fn is_up(&self) -> bool {
        self.runs && !self.hangs
    }

    /// What it answers; none: it stays silent.
    pub(super) fn answer(&mut self, ask: Ask) -> Option<Answer> {
        match self.lie {
            Some(lie) => lie.answer(&ask),
            None => Some(self.serve(ask).unwrap_or_else(Answer::Refused)),
        }
    }

    /// How long it keeps whoever asks waiting.
    pub(super) fn stalls(&self, ask: &Ask) -> Duration {
        self.lie.map_or(Duration::ZERO, |lie| lie.stalls(ask))
    }

    /// Refuses what does not pay what its fill is the price of: the number of a stamp is the bits that it pays.
    fn check_due(&mut self, ask: &Ask) -> Result<(), Refusal> {
        let Some(due) = ask.due(&self.key.id()) else { return Ok(()) };
        let bits = due.price(self.fill(), WALL);
        let is_paid = due.stamp.0 >= bits.into();
        if bits > 0 {
            *(if is_paid { &mut self.paid } else { &mut self.unpaid }) += 1;
        }
        if is_paid { Ok(()) } else { Err(Refusal::Price { bits }) }
    }

    fn serve(&mut self, ask: Ask) -> Result<Answer, Refusal> {
        self.check_due(&ask)?;
        match ask {
            Ask::Store { shard, .. } => {
                let locator = shard.locator();
                if !self.shards.contains_key(&locator) && self.shards.len() as u64 >= self.room() {
                    return Err(Refusal::Full);
                }
                self.shards.insert(locator, shard.bytes().clone());
                Ok(Answer::Stored { locator })
            }
            Ask::Fetch { locator } => {
                let bytes = self.shards.get(&locator).ok_or(Refusal::Absent)?;
                if Shard::new(bytes.clone()).is_ok_and(|shard| shard.locator() == locator) {
                    return Ok(Answer::Shard(bytes.clone()));
                }
                // Damaged, and so it is no longer there.
                self.shards.remove(&locator);
                Err(Refusal::Absent)
            }
            Ask::PutRecord { address, record, .. } => {
                check_record(address, record.clone()).map_err(|_| Refusal::BadRecord)?;
                let before = self.records.get(&address).map_or(0, Bytes::len) as u64;
                let after = self.record_bytes - before + record.len() as u64;
                if after > self.quota / RECORDS_PART {
                    return Err(Refusal::Full);
                }
                self.record_bytes = after;
                self.records.insert(address, record);
                Ok(Answer::RecordStored { address })
            }
            Ask::GetRecord { address } => {
                self.records.get(&address).cloned().map(Answer::Record).ok_or(Refusal::Absent)
            }
            // Upkeep is not simulated: nobody asks for anything else.
            _ => Err(Refusal::Failed),
        }
    }

    /// What it keeps at this address.
    pub(super) fn record(&self, address: &RecordAddress) -> Option<&Bytes> {
        self.records.get(address)
    }

    /// Shards for which it has room in all.
    fn room(&self) -> u64 {
        (self.quota - self.quota / RECORDS_PART) / SHARD_BYTES as u64
    }

    /// The fill that it announced last.
    pub(super) fn said(&self) -> u8 {
        self.said
    }

    /// How much of its room is taken, in per cent.
    fn fill(&self) -> u8 {
        // At most 100.
        (100 * self.shards.len() as u64).checked_div(self.room()).unwrap_or(100) as u8
    }

    /// The fill that it has to announce, if that is news.
    pub(super) fn news(&mut self) -> Option<u8> {
        let fill = self.fill() / FILL_STEP * FILL_STEP;
        (std::mem::replace(&mut self.said, fill) != fill).then_some(fill)
    }

    /// Flips a bit in each of a share of its shards.
    pub(super) fn rot(&mut self, fraction: Fraction, dice: &mut SplitMix64) {
        for bytes in self.shards.values_mut() {
            let bit = dice.next_u64() % (SHARD_BYTES as u64 * 8);
            if (dice.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 >= fraction.share() {
                continue;
            }
            let mut rotten = bytes.to_vec();
            // Fits: it is the number of a shard's byte.
            rotten[(bit / 8) as usize] ^= 1 << (bit % 8);
            *bytes = rotten.into();
        }
    }

    /// What it says of its space.
    pub(super) fn account(&self, node: u32) -> Account {
        let used = (self.shards.len() * SHARD_BYTES) as u64 + self.record_bytes;
        Account { node, used, quota: self.quota, paid: self.paid, unpaid: self.unpaid }
    }

    /// Searches all that it keeps, and the names under which it keeps it.
    pub(super) fn searched(&self, number: u32, canaries: &[Canary]) -> Disk {
        let shards = self.shards.iter().map(|(name, bytes)| (format!("shard {}", hex(&name.0)), bytes));
        let records = self.records.iter().map(|(name, bytes)| (format!("record {}", hex(&name.0)), bytes));
        let hits = shards.chain(records).flat_map(|(place, bytes)| {
            let mut hits = search_bytes(&place, bytes, canaries);
            hits.extend(search_bytes(&place, place.as_bytes(), canaries));
            hits
        });
        let found = Ok(hits.map(|hit| format!("{} in {}", hit.what, hit.place)).collect());
        Disk { node: number, found, bytes: Some(self.account(number).used) }
    }
}

fn hex(name: &[u8; 32]) -> String {
    name.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All nodes, by their numbers and by their names.
#[derive(Default)]
pub(super) struct Nodes {
    all: Vec<Node>,
    numbers: BTreeMap<NodeId, usize>,
}

impl Nodes {
    /// One more.
    pub(super) fn add(&mut self, node: Node) {
        self.numbers.insert(node.key.id(), self.all.len());
        self.all.push(node);
    }

    /// All, in the order of their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Node> {
        self.all.iter()
    }

    /// The same, to change.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.all.iter_mut()
    }

    /// That one's number, if there is such a node.
    pub(super) fn number(&self, id: &NodeId) -> Option<usize> {
        self.numbers.get(id).copied()
    }

    /// That one, if there is such a node.
    pub(super) fn get(&self, id: &NodeId) -> Option<&Node> {
        self.all.get(self.number(id)?)
    }

    /// The same, to change.
    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut Node> {
        let number = self.number(id)?;
        self.all.get_mut(number)
    }

    /// Lets something befall those with these numbers.
    pub(super) fn each(&mut self, numbers: &[u32], befalls: impl Fn(&mut Node)) {
        numbers.iter().for_each(|&number| self.all.get_mut(number as usize).into_iter().for_each(&befalls));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::world::key;
    use palimpsest_proto::fair::{PRICE_BITS_MAX, Stamp};
    use palimpsest_proto::time::Timestamp;

    fn store(node: &mut Node, byte: u8) -> (Locator, Option<Answer>) {
        pay(node, byte, PRICE_BITS_MAX)
    }

    fn pay(node: &mut Node, byte: u8, bits: u8) -> (Locator, Option<Answer>) {
        let shard = Shard::new(vec![byte; SHARD_BYTES].into()).unwrap();
        let locator = shard.locator();
        (locator, node.answer(Ask::Store { lease_until: Timestamp(0), stamp: Stamp(bits.into()), shard }))
    }

    fn node(shards: u64) -> Node {
        Node::new(key(1, 1), 1, shards * SHARD_BYTES as u64 * 16 / 15 + 16)
    }

    #[test]
    fn a_quota_is_a_bound_and_fill_is_news() {
        let mut node = node(2);
        let (first, stored) = store(&mut node, 1);
        assert!(matches!(stored, Some(Answer::Stored { .. })));
        assert_eq!((node.news(), node.news()), (Some(50), None));
        store(&mut node, 2);
        assert_eq!(store(&mut node, 3).1, Some(Answer::Refused(Refusal::Full)));
        assert!(matches!(store(&mut node, 1).1, Some(Answer::Stored { .. })), "it is there already");
        assert_eq!(node.news(), Some(100));
        let Account { used, quota, .. } = node.account(0);
        assert!(used == 2 * SHARD_BYTES as u64 && used <= quota);
        assert!(matches!(node.answer(Ask::Fetch { locator: first }), Some(Answer::Shard(_))));
    }

    #[test]
    fn a_node_that_fills_takes_only_what_is_paid_for() {
        let mut node = node(10);
        for byte in 0..6 {
            assert!(matches!(pay(&mut node, byte, 0).1, Some(Answer::Stored { .. })), "half of it is free");
        }
        let Some(Answer::Refused(Refusal::Price { bits })) = pay(&mut node, 6, 0).1 else { panic!("it has a price") };
        assert!(matches!(pay(&mut node, 6, bits - 1).1, Some(Answer::Refused(Refusal::Price { .. }))));
        assert!(matches!(pay(&mut node, 6, bits).1, Some(Answer::Stored { .. })));
        let Account { paid, unpaid, .. } = node.account(0);
        assert_eq!((paid, unpaid), (1, 2));
    }

    #[test]
    fn what_is_rotten_is_absent() {
        let mut node = node(4);
        let (locator, _) = store(&mut node, 1);
        node.rot(Fraction::new(0.0).unwrap(), &mut SplitMix64::new(1));
        assert!(matches!(node.answer(Ask::Fetch { locator }), Some(Answer::Shard(_))));
        node.rot(Fraction::new(1.0).unwrap(), &mut SplitMix64::new(1));
        assert_eq!(node.answer(Ask::Fetch { locator }), Some(Answer::Refused(Refusal::Absent)));
        assert_eq!(node.account(0).used, 0);
    }

    #[test]
    fn a_liar_keeps_nothing_and_says_that_it_does() {
        let mut node = node(4);
        node.lie = Some(Lie::Garbage);
        let (locator, stored) = store(&mut node, 1);
        assert_eq!((stored, node.account(0).used), (Some(Answer::Stored { locator }), 0));
        assert!(matches!(node.answer(Ask::Fetch { locator }), Some(Answer::Shard(bytes)) if bytes[0] == 7));
    }

    /// What a node should not have is found with it: the oracle has something to judge by.
    #[test]
    fn content_in_a_shard_is_found() {
        let mut node = node(4);
        store(&mut node, 42);
        let found = |node: &Node, byte| node.searched(0, &[Canary::bytes("content", &[byte; 32])]).found.unwrap();
        assert_eq!((found(&node, 42).len(), found(&node, 41).len()), (1, 0));
    }
}
