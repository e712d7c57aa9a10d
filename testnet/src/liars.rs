//! Liars about the node table: they name each other, nodes that they made up and nodes as they once were, and call all
//! others lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use libp2p::multiaddr::{Multiaddr, Protocol};
use palimpsest_client::clock::Wall;
use palimpsest_client::net::{NetError, TableLiar, Told, take_and_say_nothing};
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::params::NODE_VALID_SECONDS_MAX;
use palimpsest_proto::record::{NodeDescriptor, RecordError, Roles};
use palimpsest_proto::secret::Secret;
use palimpsest_proto::select::NodeTable;
use palimpsest_proto::time::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the liars agree on.
pub struct Plot {
    made_up: Vec<(NodeKey, Multiaddr)>,
    /// Those whose ids cost no work.
    unworked: Vec<NodeKey>,
    known: Mutex<Known>,
    _silence: Option<DropGuard>,
}

/// What they have learnt.
#[derive(Default)]
struct Known {
    liars: BTreeSet<NodeId>,
    /// What each honest node said first.
    first: BTreeMap<NodeId, Bytes>,
    /// What those say whose ids cost no work, signed once.
    unworked: Vec<Bytes>,
}

impl Plot {
    /// Makes up so many nodes, for liars in one process. Of those whose ids cost their work (15 ms of one core each) nobody is at
    /// the address of every other one; at the remaining addresses somebody takes connections and says nothing, until this is
    /// dropped.
    ///
    /// # Errors
    /// An address cannot be listened on: our own mistake.
    pub fn new(made_up: usize, unworked: usize, seed: u64) -> Result<Arc<Plot>, NetError> {
        let mut rng = StdRng::seed_from_u64(seed);
        let addresses: Vec<_> = (0..made_up).map(|_| Multiaddr::from(Protocol::Memory(rng.random()))).collect();
        let mut plot = Plot::between([], addresses, unworked, seed);
        let silent: Vec<Multiaddr> =
            plot.made_up.iter().map(|(_, address)| address.clone()).skip(1).step_by(2).collect();
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(take_and_say_nothing(&silent)?));
        plot._silence = Some(stop.drop_guard());
        Ok(Arc::new(plot))
    }

    /// What these liars agree on wherever they are: a made up node for each address, the same ones for the same number. Who is
    /// at the addresses is not decided here.
    pub fn between(
        liars: impl IntoIterator<Item = NodeId>,
        addresses: Vec<Multiaddr>,
        unworked: usize,
        seed: u64,
    ) -> Plot {
        let mut rng = StdRng::seed_from_u64(seed);
        let nodes = addresses.into_iter().map(|address| (NodeKey::search(&mut rng).1, address)).collect();
        let unworked = std::iter::repeat_with(|| NodeKey::from_seed(&Secret::random(&mut rng)))
            .filter(|key| !key.id().is_worked())
            .take(unworked)
            .collect();
        let known =
            Mutex::new(Known { liars: liars.into_iter().collect(), first: BTreeMap::new(), unworked: Vec::new() });
        Plot { made_up: nodes, unworked, known, _silence: None }
    }

    /// One of the liars.
    pub fn liar(self: &Arc<Plot>) -> TableLiar {
        let plot = self.clone();
        TableLiar(Arc::new(move |own, table: &NodeTable| plot.tell(own, table, Wall::default().unix_ms())))
    }

    /// Those who exist in tables only.
    pub fn made_up(&self) -> impl Iterator<Item = NodeId> {
        self.made_up.iter().map(|(key, _)| key.id())
    }

    /// What one of them tells, at that time (ms since 1970). The made up sign anew each time, as a node does that came back: who was found dead is
    /// believed to live again.
    pub(crate) fn tell(&self, own: NodeId, table: &NodeTable, unix_ms: u64) -> Told {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.liars.insert(own);
        let mut told = Told::default();
        for (id, entry) in table.iter() {
            let says = entry.signed().encoded();
            if known.liars.contains(id) {
                told.descriptors.push(says.clone());
            } else if self.made_up().all(|made_up| made_up != *id) {
                let first = known.first.entry(*id).or_insert_with(|| says.clone());
                told.descriptors.extend((first != says).then(|| first.clone()));
                told.lost.extend(id.0.first_chunk().map(|prefix| (*prefix, Duration::ZERO)));
            }
        }
        told.descriptors.extend(self.made_up.iter().filter_map(|(key, address)| describe(key, address, unix_ms).ok()));
        if known.unworked.is_empty() {
            let somewhere = Multiaddr::from(Protocol::Memory(1));
            known.unworked = self.unworked.iter().filter_map(|key| describe(key, &somewhere, unix_ms).ok()).collect();
        }
        told.descriptors.extend(known.unworked.iter().cloned());
        told
    }
}

/// A node's descriptor, signed at that time (ms since 1970).
fn describe(key: &NodeKey, address: &Multiaddr, unix_ms: u64) -> Result<Bytes, RecordError> {
    let descriptor = NodeDescriptor {
        id: key.id(),
        seq: unix_ms,
        onion: key.id().0,
        addresses: vec![address.to_vec().into()],
        valid_until: Timestamp(unix_ms / 1_000).plus(NODE_VALID_SECONDS_MAX),
        roles: Roles::ALL,
        fill: 0,
    };
    Ok(descriptor.sign(key)?.encoded().clone())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use palimpsest_client::clock::{moment, timestamp};
    use palimpsest_proto::record::{RecordError, SignedNodeDescriptor};
    use palimpsest_proto::select::NodeTable;

    use super::{NodeKey, Plot, SeedableRng, StdRng, Wall, describe};

    #[test]
    fn liars_that_are_told_the_same_make_up_the_same() {
        let addresses = vec!["/ip4/127.0.0.1/tcp/9".parse().unwrap(); 3];
        let plots = [1, 1, 2].map(|seed| Plot::between([], addresses.clone(), 2, seed));
        let [one, same, other] = plots.map(|plot| plot.made_up().collect::<Vec<_>>());
        assert_eq!(one, same);
        assert!(one.len() == 3 && one.iter().all(|id| id.is_worked() && !other.contains(id)));
    }

    #[tokio::test]
    async fn a_liar_hides_the_honest_and_names_its_friends() {
        let plot = Plot::new(4, 3, 1).unwrap();
        let mut rng = StdRng::seed_from_u64(2);
        let keys: [NodeKey; 3] = std::array::from_fn(|_| NodeKey::search(&mut rng).1);
        let [liar, friend, honest] = &keys;
        let mut table = NodeTable::new();
        let learn = |table: &mut NodeTable, key: &NodeKey| {
            let bytes = describe(key, &"/memory/9".parse().unwrap(), Wall::default().unix_ms()).unwrap();
            table.insert(SignedNodeDescriptor::decode(bytes).unwrap().verify(timestamp()).unwrap(), moment());
        };
        keys.iter().for_each(|key| learn(&mut table, key));
        plot.tell(friend.id(), &table, Wall::default().unix_ms());
        let told = plot.tell(liar.id(), &table, Wall::default().unix_ms());
        let open = |bytes: &bytes::Bytes| SignedNodeDescriptor::decode(bytes.clone()).unwrap().verify(timestamp());
        let (good, refused): (Vec<_>, Vec<_>) = told.descriptors.iter().map(open).partition(Result::is_ok);
        let named: Vec<_> = good.into_iter().map(|one| one.unwrap().id).collect();
        assert!(named.contains(&liar.id()) && named.contains(&friend.id()) && !named.contains(&honest.id()));
        assert!(plot.made_up().all(|id| named.contains(&id)) && named.len() == 6);
        assert!(refused.len() == 3 && refused.into_iter().all(|one| one == Err(RecordError::Unworked)));
        assert_eq!(told.lost, [(*honest.id().0.first_chunk().unwrap(), Duration::ZERO)]);

        // What the honest node said first is told again once it says something else.
        let first = table.get(&honest.id()).unwrap().signed().encoded().clone();
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        while table.get(&honest.id()).unwrap().signed().encoded() == &first {
            assert!(tokio::time::Instant::now() < until, "the clock stands still");
            learn(&mut table, honest);
        }
        assert!(plot.tell(liar.id(), &table, Wall::default().unix_ms()).descriptors.contains(&first));
    }
}
