//! Who has the shards of what a link names: asked of those who should, as any reader may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use palimpsest_client::{Capability, Client, Error, Held, Progress};
use palimpsest_proto::ids::{NodeId, Position};
use serde::Serialize;

use super::cost::{Cost, cost};
use super::eclipse::Places;
use super::users::Names;
use crate::hostile::Hex;

/// Stripes looked at, at most: what holds for the first few holds for all.
const STRIPES_MAX: usize = 64;

/// What was found up to now.
#[derive(Debug)]
pub struct Search {
    held: Vec<Held>,
    /// Where holders are that were found.
    addresses: BTreeMap<NodeId, Vec<String>>,
    /// All nodes that hold shards.
    nodes: BTreeSet<NodeId>,
    /// Those whom none of the clients asked: guards of all of them, who know who asks.
    unasked: BTreeSet<NodeId>,
    clients: usize,
    took: Duration,
}

/// Who has what.
#[derive(Debug, Clone, Serialize)]
pub struct Holders {
    /// Nodes of the network that hold shards.
    pub nodes: usize,
    /// Those that have some of this, those with most first.
    pub holders: Vec<Holder>,
    /// Stripe by stripe, the root's own first; the first 64.
    pub stripes: Vec<Stripe>,
    /// Shards of these stripes: so many were asked for.
    pub shards: usize,
    /// Those whose holder was found.
    pub found: usize,
    /// Clients that asked, each with a guard that it asks for nothing.
    pub clients: usize,
    /// Seconds that it took.
    pub took_s: f64,
    /// Holders that were found, for each second of that.
    pub holders_per_s: f64,
}

/// One who has shards.
#[derive(Debug, Clone, Serialize)]
pub struct Holder {
    /// The node.
    pub id: Hex,
    /// Where it is.
    pub addresses: Vec<String>,
    /// Of each stripe: how many shards it has.
    pub shards: Vec<usize>,
}

/// What became of the shards of a stripe: each is in one of the last four.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Stripe {
    /// Shards that are enough to read it.
    pub needed: usize,
    /// All of them.
    pub shards: usize,
    /// Those whose holder was found.
    pub found: usize,
    /// Nobody who was asked has them; the guard may, whom the client asks for nothing.
    pub unasked: usize,
    /// Nobody who answered has them; somebody who may did not.
    pub unanswered: usize,
    /// All who may have them say that they do not.
    pub missing: usize,
}

impl Search {
    /// Asks for all shards of a link's first stripes.
    ///
    /// # Errors
    /// Those of finding what the link names.
    pub async fn begin(client: &Client, link: &Capability) -> Result<Self, Error> {
        let (since, mut unasked) = (Instant::now(), BTreeSet::from_iter(client.guard()));
        let held = client.holders(link, STRIPES_MAX, &Progress::new()).await?;
        let nodes = client.known_holders().await?.into_iter().collect();
        let mut addresses = BTreeMap::new();
        for id in held.iter().flat_map(|stripe| stripe.found.holders.iter().flatten()) {
            if !addresses.contains_key(id) {
                addresses.insert(*id, client.addresses(id).await?.iter().map(ToString::to_string).collect());
            }
        }
        // It may have got another one meanwhile.
        unasked.extend(client.guard());
        Ok(Self { held, addresses, nodes, unasked, clients: 1, took: since.elapsed() })
    }

    /// Asks again, as another client: what one's guard has, another asks for that has another guard.
    ///
    /// # Errors
    /// As of [`Search::begin`].
    pub async fn again(&mut self, client: &Client, link: &Capability) -> Result<(), Error> {
        self.join(Self::begin(client, link).await?);
        Ok(())
    }

    fn join(&mut self, other: Self) {
        let both = |a: &BTreeSet<u8>, b: &BTreeSet<u8>| a.intersection(b).copied().collect::<BTreeSet<u8>>();
        // Each client asked the other's guard, unless that is its own too.
        let unasked: BTreeSet<NodeId> = self.unasked.intersection(&other.unasked).copied().collect();
        for (stripe, more) in self.held.iter_mut().zip(other.held) {
            let (found, more) = (&mut stripe.found, more.found);
            found.holders.iter_mut().zip(more.holders).for_each(|(one, other)| *one = one.or(other));
            found.with_guard = both(&found.with_guard, &more.with_guard);
            if unasked.is_empty() {
                found.with_guard.clear();
            }
            found.unanswered = both(&found.unanswered, &more.unanswered);
        }
        self.addresses.extend(other.addresses);
        self.nodes.extend(other.nodes);
        self.unasked = unasked;
        self.clients += other.clients;
        self.took += other.took;
    }

    /// Whether everybody was asked who may have what was not found.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.held.iter().all(|stripe| stripe.found.with_guard.is_empty())
    }

    /// All by which requests for the file are known.
    #[must_use]
    pub fn names(&self) -> Names {
        Names::of(self.held.iter().map(|stripe| &stripe.descriptor))
    }

    /// Where the root is looked for; none, if the link carries its content itself.
    #[must_use]
    pub fn places(&self) -> Option<Places> {
        self.held.first().map(|root| Places::of(&root.descriptor))
    }

    /// What it would cost to hide the root's record (all of its places), and the content: of the stripe for which that is cheapest,
    /// so many places that too few shards are left.
    #[must_use]
    pub fn costs(&self) -> (Cost, Cost) {
        let nodes: Vec<Position> = self.nodes.iter().map(NodeId::position).collect();
        let record = self.places().map_or(Cost::NONE, |root| cost(&nodes, &root.record, root.record.len()));
        let of_stripe = |stripe: &Held| {
            let Places { shards, needed, .. } = Places::of(&stripe.descriptor);
            cost(&nodes, &shards, shards.len() + 1 - needed)
        };
        let stripe = self.held.iter().map(of_stripe).min_by(|a, b| a.ids.total_cmp(&b.ids));
        (record, stripe.unwrap_or(Cost::NONE))
    }

    /// The nodes that were found.
    pub fn holders(&self) -> impl Iterator<Item = &NodeId> {
        self.addresses.keys()
    }

    /// Who has what.
    #[must_use]
    pub fn report(&self) -> Holders {
        let shards_of =
            |stripe: &Held, id: &NodeId| stripe.found.holders.iter().filter(|one| **one == Some(*id)).count();
        let holder = |(id, addresses): (&NodeId, &Vec<String>)| Holder {
            id: Hex(id.0),
            addresses: addresses.clone(),
            shards: self.held.iter().map(|stripe| shards_of(stripe, id)).collect(),
        };
        let mut holders: Vec<Holder> = self.addresses.iter().map(holder).collect();
        holders.retain(|holder| holder.shards.iter().any(|count| *count > 0));
        holders.sort_by_key(|holder| std::cmp::Reverse(holder.shards.iter().sum::<usize>()));
        let stripes: Vec<Stripe> = self.held.iter().map(Stripe::of).collect();
        let took_s = self.took.as_secs_f64();
        Holders {
            nodes: self.nodes.len(),
            shards: stripes.iter().map(|stripe| stripe.shards).sum(),
            found: stripes.iter().map(|stripe| stripe.found).sum(),
            clients: self.clients,
            took_s,
            holders_per_s: holders.len() as f64 / took_s.max(f64::MIN_POSITIVE),
            holders,
            stripes,
        }
    }
}

impl Stripe {
    fn of(held: &Held) -> Self {
        let found = &held.found;
        let (shards, unasked) = (found.holders.len(), found.with_guard.len());
        let unanswered = found.unanswered.difference(&found.with_guard).count();
        let missing = shards - found.present() - unasked - unanswered;
        Self { needed: held.descriptor.geometry().k(), shards, found: found.present(), unasked, unanswered, missing }
    }
}
