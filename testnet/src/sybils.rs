//! Ids ground next to places: what somebody makes who wants to be all whom a reader asks there.

use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::ids::Position;
use palimpsest_proto::secret::Secret;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::collections::BTreeSet;

/// Draws so many ids, each of which costs its work, and takes for every place those nearest to it: `each` of them, fewer if
/// places share some. The seeds of their keys; the same for the same number.
#[must_use]
pub fn grind(places: &[Position], each: usize, drawn: usize, seed: u64) -> Vec<Secret> {
    let mut rng = StdRng::seed_from_u64(seed);
    let draw = |_| {
        let (secret, key) = NodeKey::search(&mut rng);
        (secret, key.id().position())
    };
    nearest(places, each, (0..drawn).map(draw).collect())
}

/// Of these, each with the place where it lies, those nearest to every place: `each` of them, fewer if places share some.
pub(crate) fn nearest<T>(places: &[Position], each: usize, pool: Vec<(T, Position)>) -> Vec<T> {
    let mut chosen: BTreeSet<usize> = BTreeSet::new();
    for place in places {
        let mut order: Vec<usize> = (0..pool.len()).collect();
        order.sort_by_cached_key(|&index| pool.get(index).map(|(_, position)| position.distance(place)));
        chosen.extend(order.into_iter().take(each));
    }
    pool.into_iter().enumerate().filter(|(index, _)| chosen.contains(index)).map(|(_, (one, _))| one).collect()
}

#[cfg(test)]
mod tests {
    use super::{NodeKey, Position, grind};

    #[test]
    fn the_nearest_of_those_drawn_are_taken() {
        let place = Position([0; 32]);
        let place_of = |secret: &_| NodeKey::from_seed(secret).id().position();
        let all: Vec<_> = grind(&[place], 40, 40, 1).iter().map(place_of).collect();
        let mut nearest = all.clone();
        nearest.sort_by_key(|one| one.distance(&place));
        let mut taken: Vec<_> = grind(&[place], 5, 40, 1).iter().map(place_of).collect();
        taken.sort_by_key(|one| one.distance(&place));
        assert_eq!(taken, nearest[..5]);
        assert!(grind(&[place], 5, 40, 1).iter().all(|secret| NodeKey::from_seed(secret).id().is_worked()));
    }
}
