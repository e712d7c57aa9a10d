//! Users who enter: whom they are told of, and what they know then.

use palimpsest_client::policy::{BOOTSTRAP_WAIT, CROSS_CHECK, CROSS_CHECKED, SYNC_ROUNDS_MAX};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::params::EXCHANGE_DESCRIPTORS_MAX;
use palimpsest_proto::select::{GuardList, Heed, NodeTable};
use palimpsest_proto::time::Moment;
use rand::rngs::StdRng;
use rand::seq::{IteratorRandom, SliceRandom};

use super::Gossip;
use super::peer::Peer;
use crate::memory::BOOTSTRAP;
use crate::scenario::simulated::failure::Failure;
use crate::scenario::simulated::wire::Line;
use crate::sim::client::{Wire, enter};

impl Gossip {
    /// The table of a client that enters, with what it kept, and takes its guard's word on who is there.
    pub(in crate::scenario::simulated) fn tell(
        &mut self,
        kept: Option<NodeTable>,
        dice: &mut StdRng,
        guards: &mut GuardList,
        line: &mut Line<'_>,
        from: &mut Moment,
    ) -> Result<NodeTable, Failure> {
        let user = line.user;
        let table = match kept {
            Some(table) => table,
            None => {
                let some_are_silent = self.peers.iter().take(BOOTSTRAP).any(|peer| !line.admits(&peer.id()));
                *from = *from + if some_are_silent { BOOTSTRAP_WAIT } else { CROSS_CHECK };
                self.tell_newcomer(line)
            }
        };
        let guard = match enter(&table, dice, guards, line, from) {
            Ok(guard) => guard,
            Err(_) if table.is_empty() => return Err(Failure::NobodyKnown),
            Err(error) => return Err(Failure::Sim(error)),
        };
        let mut client = Peer::client(user, table);
        if let Some(number) = self.number(&guard) {
            self.tell_client(&mut client, number, Heed::Believed);
        }
        Ok(client.table)
    }

    /// What a newcomer is told by those nodes of whom it was told, and by a few whom these name. Who is lost is nobody's word so far.
    fn tell_newcomer(&mut self, line: &mut Line<'_>) -> NodeTable {
        let mut client = Peer::client(line.user, NodeTable::new());
        let mut told_of: Vec<usize> = (0..BOOTSTRAP.min(self.peers.len())).collect();
        told_of.retain(|&number| line.admits(&self.peers[number].id()));
        told_of.shuffle(&mut self.dice);
        let Some(&first) = told_of.first() else { return client.table };
        self.tell_client(&mut client, first, Heed::Ignored);
        // The ids are in order, and the same seed draws the same.
        let others =
            client.table.iter().map(|(id, _)| *id).filter(|id| told_of.iter().all(|&n| self.peers[n].id() != *id));
        let named: Vec<NodeId> = others.sample(&mut self.dice, CROSS_CHECKED);
        let named = named.iter().filter(|id| line.admits(id)).filter_map(|id| self.number(id)).collect::<Vec<_>>();
        for number in told_of.into_iter().skip(1).chain(named) {
            self.tell_client(&mut client, number, Heed::Ignored);
        }
        client.table
    }

    fn tell_client(&mut self, client: &mut Peer, number: usize, heed: Heed) {
        for _ in 0..SYNC_ROUNDS_MAX {
            // Nodes know no clients.
            let Some(place) = self.begin(number, client.id(), true) else { return };
            let (descriptors, lost) = self.told(number, client.table.digests());
            self.end(number, &client.id(), place);
            client.merge(&mut self.dice, &descriptors, self.now);
            client.hear(&lost, heed, |_| false, self.now);
            if descriptors.len() < EXCHANGE_DESCRIPTORS_MAX {
                return;
            }
        }
    }

    /// Somebody leaves who was there for the first time: whom he knew is noted.
    pub(in crate::scenario::simulated) fn note_newcomer(&mut self, table: &NodeTable) {
        self.known.push(table.iter().map(|(id, _)| *id).collect());
    }
}
