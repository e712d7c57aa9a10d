//! A node that asks others: what it does unasked (audits, repairs, handing over) goes out by onions as anybody's requests,
//! over the node's own network, node table and onion keys.

use crate::clock::{Wall, moment};
use crate::net::{Net, SharedTable};
use crate::progress::Progress;
use crate::records::{self, RecordPut, RecordsSeen};
use crate::repair::{self, RepairError, Repaired};
use crate::rounds::{Heard, Reply, ask_all};
use crate::service::Service;
use crate::session::{Replies, Session};
use crate::survey::{self, Claim, Found, Proof};
use palimpsest_proto::coding::{Descriptor, Shard};
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::flow::Giver;
use palimpsest_proto::ids::{Locator, NodeId, Position, RecordAddress};
use palimpsest_proto::message::{Answer, Ask, Refusal};
use palimpsest_proto::onion::Ring;
use palimpsest_proto::params::CANDIDATES;
use palimpsest_proto::select::{NodeTable, PASSED_OVER, place, with_region};
use palimpsest_proto::time::Timestamp;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, RwLockReadGuard};

/// What a steward works with.
pub struct StewardOptions {
    /// The node's network.
    pub net: Net,
    /// The node's table.
    pub table: SharedTable,
    /// The node's onion keys.
    pub ring: Arc<Ring>,
    /// Where the node's relay delivers replies.
    pub replies: Arc<Replies>,
    /// What the node itself keeps: asked by a call and not over the network.
    pub own: Arc<dyn Service>,
    /// Where the guards are kept.
    pub folder: PathBuf,
}

/// A shard to be handed over.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The shard.
    pub shard: Shard,
    /// Until when it is wanted.
    pub lease_until: Timestamp,
    /// Who may take it, the best first.
    pub to: Vec<NodeId>,
}

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub struct Steward {
    session: Arc<Session>,
}

impl Steward {
    /// A steward that has not spoken to anybody yet.
    pub fn new(options: StewardOptions) -> Steward {
        let StewardOptions { net, table, ring, replies, own, folder } = options;
        Steward { session: Session::embedded(net, table, ring, replies, own, folder) }
    }

    /// Whether there is a network to ask; looks for a guard if there is none. Asked before anything else.
    pub async fn is_ready(&self) -> bool {
        self.session.find_own_guard().await
    }

    /// The node's clock.
    pub fn wall(&self) -> Wall {
        self.session.net.wall()
    }

    /// The node's table.
    pub fn table(&self) -> RwLockReadGuard<'_, NodeTable> {
        self.session.table()
    }

    /// Those of the [`CANDIDATES`] nodes nearest to `position` that likely live, nearest first, this one aside; and how many of
    /// them are nearer than this one, if it is one of them. Where ids were ground, of the whole region ([`with_region`]).
    pub fn neighbours(&self, position: &Position) -> (Vec<NodeId>, Option<usize>) {
        let table = self.session.table();
        let mut near = with_region(&table, position);
        let own = self.session.net.local_id();
        let (now, experience) = (moment(), self.session.experience());
        near.retain(|id| *id == own || self.session.chance(&table, &experience, id, now) >= PASSED_OVER);
        let rank = near.iter().position(|id| *id == own);
        near.retain(|id| *id != own);
        (near, rank)
    }

    /// Who should have a shard in this node's place, the best first; nobody if it may stay. `drains` if this node leaves,
    /// `newcomers` are the holders that came since it looked last.
    pub fn receivers(&self, locator: &Locator, drains: bool, newcomers: &BTreeSet<NodeId>) -> Vec<NodeId> {
        let table = self.session.table();
        let (now, experience) = (moment(), self.session.experience());
        let giver = Giver { own: self.session.net.local_id(), drains, newcomers };
        giver.receivers(&table, locator, |id| {
            let full = experience.outcomes.is_full(id, now);
            !full && self.session.chance(&table, &experience, id, now) >= PASSED_OVER
        })
    }

    /// All nodes that say that they hold shards.
    pub fn holders(&self) -> BTreeSet<NodeId> {
        self.session.table().iter().filter(|(_, node)| node.signed().roles.holds).map(|(id, _)| *id).collect()
    }

    /// Who has which shards of the stripes.
    pub async fn survey(&self, descriptors: &[Descriptor]) -> Vec<Found> {
        survey::survey(&self.session, descriptors, None, &Progress::new()).await
    }

    /// Where the stripe's shards likely are, by the table alone: each with the first candidate that likely lives.
    pub fn likely(&self, descriptor: &Descriptor) -> Found {
        let (table, now) = (self.session.table(), moment());
        let experience = self.session.experience();
        let placement = place(&table, descriptor.locators(), descriptor.geometry().k());
        let lives = |id: &&NodeId| self.session.chance(&table, &experience, id, now) >= PASSED_OVER;
        let holders = (0..placement.shards()).map(|shard| placement.candidates(shard).iter().find(lives).copied());
        Found::of(holders.collect())
    }

    /// Who has these shards of the stripe; nothing is said of the others.
    pub async fn survey_some(&self, descriptor: &Descriptor, shards: &[u8]) -> Found {
        let some =
            survey::survey(&self.session, std::slice::from_ref(descriptor), Some(shards), &Progress::new()).await;
        some.into_iter().next().unwrap_or_else(|| Found::nothing(descriptor.geometry().n()))
    }

    /// Lets holders prove that they have shards.
    pub async fn prove(&self, claims: &[Claim]) -> Vec<Proof> {
        survey::prove(&self.session, claims).await
    }

    /// Puts the shards `missing` of a stripe back.
    ///
    /// # Errors
    /// See [`RepairError`].
    pub async fn repair(
        &self,
        descriptor: &Descriptor,
        found: &Found,
        missing: &[u8],
        lease_until: Timestamp,
    ) -> Result<Repaired, RepairError> {
        repair::repair(&self.session, descriptor, found, missing, lease_until).await
    }

    /// Asks the nodes whether they have the records, until `lease_until` at least.
    pub async fn probe_records(&self, lease_until: Timestamp, wanted: &[(NodeId, RecordAddress)]) -> RecordsSeen {
        records::probe(&self.session, lease_until, wanted).await
    }

    /// Sends records; says which were stored.
    pub async fn put_records(&self, puts: &[RecordPut]) -> Vec<bool> {
        records::put(&self.session, puts).await
    }

    /// Hands shards over, each to the first of its nodes that takes it; says which were taken. Who said that it is full is
    /// not asked again for a while.
    pub async fn hand_over(&self, parcels: &[Parcel]) -> Vec<bool> {
        let mut taken = vec![false; parcels.len()];
        for rank in 0..CANDIDATES {
            let left = |which: &usize| !taken[*which] && parcels[*which].to.len() > rank;
            if !(0..parcels.len()).any(|which| left(&which)) {
                break;
            }
            let open: Vec<usize> = {
                let (now, experience) = (moment(), self.session.experience());
                let has_room = |which: &usize| !experience.outcomes.is_full(&parcels[*which].to[rank], now);
                (0..parcels.len()).filter(left).filter(has_room).collect()
            };
            let asks: Vec<(NodeId, Ask)> = open
                .iter()
                .map(|&which| {
                    let Parcel { shard, lease_until, to } = &parcels[which];
                    (to[rank], Ask::Store { lease_until: *lease_until, stamp: Stamp::NONE, shard: shard.clone() })
                })
                .collect();
            let locators: Arc<[Locator]> = open.iter().map(|&which| parcels[which].shard.locator()).collect();
            let replies = ask_all(&self.session, &asks, move |which, answer| match answer {
                Answer::Stored { locator } if locator == locators[which] => Some(Heard::Said(None)),
                Answer::Refused(refusal @ Refusal::Busy { .. }) => Some(Heard::refused(refusal)),
                Answer::Refused(refusal) => Some(Heard::Said(Some(refusal))),
                _ => None,
            })
            .await;
            for (which, reply) in open.into_iter().zip(replies) {
                taken[which] = reply == Reply::Said(None);
                if reply == Reply::Said(Some(Refusal::Full)) {
                    self.session.experience().outcomes.full(parcels[which].to[rank], moment());
                }
            }
        }
        taken
    }
}
