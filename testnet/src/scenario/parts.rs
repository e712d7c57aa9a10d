//! Who plays which part, where nodes are programs.

use std::net::SocketAddr;
use std::sync::Arc;

use libp2p::Multiaddr;
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::secret::Secret;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Scenario, Step, TableLiars};
use crate::hostile::{Cast, Conspiracy, Hex};
use crate::liars::Plot;

/// A node that was made up, and who takes connections for it.
pub(super) struct Decoy {
    /// Where it is said to be.
    pub(super) address: Multiaddr,
    /// One of the liars, and where that one listens; none: that is not the liars' affair.
    pub(super) silent: Option<(u32, SocketAddr)>,
}

/// Who plays what a scenario wants. Where nobody needs another program, nobody gets one.
pub(super) fn cast(scenario: &Scenario) -> Cast {
    let mut cast = Cast::default();
    for lying in &scenario.lying {
        lying.nodes.iter().for_each(|&node| cast.part(node).lie = Some(lying.how));
    }
    for meddling in &scenario.meddling {
        meddling.nodes.iter().for_each(|&node| cast.part(node).meddle = Some(meddling.how));
    }
    if scenario.coalition.is_some() {
        // All of them: what really happened is known only from all nodes, and guesses are judged by it.
        (0..scenario.nodes).for_each(|node| cast.part(node).diary = true);
    }
    cast.later = scenario.slow_peers > 0 || scenario.steps.iter().any(|step| matches!(step, Step::Eclipse { .. }));
    cast
}

/// Gives those their part who lie about the table.
pub(super) fn conspire(cast: &mut Cast, liars: &TableLiars, decoys: Vec<Decoy>) -> Arc<Plot> {
    let mut rng = StdRng::seed_from_u64(liars.seed ^ u64::MAX);
    let keys: Vec<(u32, Secret, NodeId)> = liars
        .nodes
        .iter()
        .map(|&node| {
            let (secret, key) = NodeKey::search(&mut rng);
            (node, secret, key.id())
        })
        .collect();
    let addresses: Vec<Multiaddr> = decoys.iter().map(|decoy| decoy.address.clone()).collect();
    let ids: Vec<NodeId> = keys.iter().map(|(_, _, id)| *id).collect();
    for (node, secret, _) in &keys {
        let own = |decoy: &Decoy| decoy.silent.filter(|(liar, _)| liar == node).map(|(_, address)| address);
        let part = cast.part(*node);
        part.identity = Some(Hex(*secret.expose()));
        part.table = Some(Conspiracy {
            liars: ids.iter().map(|id| Hex(id.0)).collect(),
            made_up: addresses.clone(),
            unworked: liars.unworked,
            seed: liars.seed,
            silent: decoys.iter().filter_map(own).collect(),
        });
    }
    Arc::new(Plot::between(ids, addresses, 0, liars.seed))
}
