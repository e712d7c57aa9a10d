//! Descriptor records: to the nodes near their addresses, and whether they are there.

use crate::clock::moment;
use crate::lane::{Lane, Way};
use crate::rounds::{Heard, Reply, ask_all, ask_bits};
use crate::said::Put;
use crate::session::{Lost, Session};
use bytes::Bytes;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::{RecordSpread, SpreadOutcome};
use palimpsest_proto::ids::{NodeId, RecordAddress};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::params::{RECORD_ADDRESSES, RECORD_HEAD_BYTES, RECORDS_PUT_BYTES_MAX, RECORDS_PUT_MAX};
use palimpsest_proto::select::{PASSED_OVER, living_candidates};
use palimpsest_proto::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How many nodes took a record, and how many near each address there are to take one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spread {
    pub(crate) stored: [usize; RECORD_ADDRESSES],
    pub(crate) near: [usize; RECORD_ADDRESSES],
}

/// Puts a stripe's descriptor on `copies` of the nodes near each of its addresses: on all of them if there are no more.
pub(crate) async fn spread(
    session: &Arc<Session>,
    descriptor: &Descriptor,
    lease_until: Timestamp,
    copies: usize,
) -> Spread {
    let addresses = descriptor.root_address().record_addresses();
    let record = Bytes::from(descriptor.encode());
    let near: [Vec<NodeId>; RECORD_ADDRESSES] = {
        let (table, now) = (session.table(), moment());
        let experience = session.experience();
        let outcomes = &experience.outcomes;
        let lives = |id: &NodeId| outcomes.chance(&table, id, now) >= PASSED_OVER;
        addresses.map(|address| session.without_guard(living_candidates(&table, &address.position(), lives)))
    };
    let counts = std::array::from_fn(|number| near[number].len());
    let mut spread = RecordSpread::new(near.into(), copies);
    let mut lane: Lane<(usize, NodeId), Put> = Lane::new(session.clone());
    let mut used: HashMap<NodeId, Vec<Way>> = HashMap::new();
    while !spread.is_done() {
        let now = moment();
        while lane.has_room() {
            let send = {
                let table = session.table();
                let experience = session.experience();
                spread.poll(now, |id| session.chance(&table, &experience, id, now))
            };
            let Some(send) = send else { break };
            let address = addresses[send.address];
            let ask = Ask::PutRecord { lease_until, stamp: Stamp::NONE, address, record: record.clone() };
            let ways = used.entry(send.node).or_default();
            lane.start((send.address, send.node), send.node, ask, ways, move |answer| match answer {
                Answer::RecordStored { address: at } if at == address => Some(Put::Stored),
                Answer::Refused(refusal) => Some(Put::Refused(refusal)),
                _ => None,
            });
        }
        let Some(done) = lane.next(spread.poll_timeout(now)).await else { continue };
        let (address, node) = done.tag;
        let outcome = match done.result {
            Ok(Put::Stored) => SpreadOutcome::Stored,
            Ok(Put::Refused(Refusal::Busy { retry_ms })) => SpreadOutcome::Busy(Duration::from_millis(retry_ms.into())),
            Ok(Put::Refused(_)) | Err(Lost::Garbage) => SpreadOutcome::Refused,
            Err(Lost::TimedOut) => SpreadOutcome::TimedOut,
            Err(Lost::Unsent) => SpreadOutcome::Unsent,
        };
        spread.handle(moment(), address, &node, outcome);
    }
    Spread { stored: std::array::from_fn(|number| spread.stored()[number]), near: counts }
}

/// Which records are where they should be. Nothing is said of nodes that do not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordsSeen {
    /// Nodes that say that they have it.
    pub there: Vec<(NodeId, RecordAddress)>,
    /// Nodes that say that they have it not, or with a lease that ends earlier.
    pub lacking: Vec<(NodeId, RecordAddress)>,
}

/// Asks the nodes whether they have the records, until `lease_until` at least.
pub(crate) async fn probe(
    session: &Arc<Session>,
    lease_until: Timestamp,
    wanted: &[(NodeId, RecordAddress)],
) -> RecordsSeen {
    let ask = |some: &[RecordAddress]| Ask::ProbeRecords { lease_until, addresses: some.to_vec() };
    let mut seen = RecordsSeen::default();
    for (node, address, there) in ask_bits(session, wanted.iter().copied(), ask).await {
        match there {
            Some(true) => seen.there.push((node, address)),
            Some(false) => seen.lacking.push((node, address)),
            None => {}
        }
    }
    seen
}

/// A record on its way to a node.
#[derive(Clone, Debug)]
pub struct RecordPut {
    /// To whom.
    pub node: NodeId,
    /// Under which address.
    pub address: RecordAddress,
    /// The record.
    pub record: Bytes,
    /// Until when.
    pub lease_until: Timestamp,
}

/// Sends records, each to one node, several to a packet; says which were stored.
pub(crate) async fn put(session: &Arc<Session>, puts: &[RecordPut]) -> Vec<bool> {
    let batches = batches(puts);
    let asks: Vec<(NodeId, Ask)> = batches
        .iter()
        .map(|batch| {
            let RecordPut { node, lease_until, .. } = puts[batch[0]];
            let records = batch.iter().map(|&which| (puts[which].address, puts[which].record.clone())).collect();
            (node, Ask::PutRecords { lease_until, stamp: Stamp::NONE, records })
        })
        .collect();
    let replies = ask_all(session, &asks, |_, answer| match answer {
        Answer::Present(bits) => Some(Heard::Said(bits)),
        Answer::Refused(refusal @ Refusal::Busy { .. }) => Some(Heard::refused(refusal)),
        Answer::Refused(_) => Some(Heard::Said(0)),
        _ => None,
    })
    .await;
    let mut stored = vec![false; puts.len()];
    for (batch, reply) in batches.into_iter().zip(replies) {
        if let Reply::Said(bits) = reply {
            batch.into_iter().enumerate().for_each(|(place, which)| stored[which] = bits >> place & 1 == 1);
        }
    }
    stored
}

/// Which of the puts travel together: of one node and lease, as many as a packet takes. None is empty.
fn batches(puts: &[RecordPut]) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..puts.len()).collect();
    order.sort_by_key(|&which| (puts[which].node, puts[which].lease_until));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut bytes = 0;
    for which in order {
        let len = RECORD_HEAD_BYTES + puts[which].record.len();
        let together = batches.last_mut().filter(|batch| {
            let first = &puts[batch[0]];
            (first.node, first.lease_until) == (puts[which].node, puts[which].lease_until)
                && batch.len() < RECORDS_PUT_MAX
                && bytes + len <= RECORDS_PUT_BYTES_MAX
        });
        match together {
            Some(batch) => {
                batch.push(which);
                bytes += len;
            }
            None => {
                batches.push(vec![which]);
                bytes = len;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_travels_together_has_one_node_and_lease_and_fits() {
        let put = |node: u8, lease: u64, len: usize| RecordPut {
            node: NodeId([node; 32]),
            address: RecordAddress([0; 32]),
            record: Bytes::from(vec![0; len]),
            lease_until: Timestamp(lease),
        };
        let mut puts: Vec<RecordPut> = (0..40).map(|_| put(1, 5, 8000)).collect();
        puts.extend((0..40).map(|_| put(2, 5, 100)));
        puts.push(put(1, 6, 100));
        let batches = batches(&puts);
        let mut all: Vec<usize> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..81).collect::<Vec<_>>());
        for batch in &batches {
            assert!(batch.len() <= RECORDS_PUT_MAX);
            assert!(
                batch
                    .iter()
                    .all(|&i| (puts[i].node, puts[i].lease_until) == (puts[batch[0]].node, puts[batch[0]].lease_until))
            );
            let bytes: usize = batch.iter().map(|&i| RECORD_HEAD_BYTES + puts[i].record.len()).sum();
            assert!(bytes <= RECORDS_PUT_BYTES_MAX);
        }
        // 8 of 8,000 bytes fit a packet.
        assert_eq!(batches.len(), 5 + 1 + 2);
    }
}
