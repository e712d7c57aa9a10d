//! Which relays a request and its reply cross.
//!
//! ```text
//! client ─► guard ─► middle ─► holder        fresh relays for each request; the guard stays
//! client ◄─ guard ◄─ back ◄──────┘
//! ```
//!
//! Relays are drawn from those over which answers came of late, and now and then from all: the better the network fares,
//! the oftener, so that relays are spread widely where nothing speaks against it, and only one of the two is ever a
//! gamble while proven ones are at hand. Drawing takes the same time whatever the table's size.

use crate::ids::NodeId;
use crate::select::{Network, NodeTable, Outcomes, below};
use crate::time::Moment;
use rand_core::CryptoRng;

/// The least share of requests that try a relay not known to be proven.
const EXPLORE_MIN: f64 = 0.1;
/// So many proven relays are needed before they are preferred.
const PROVEN_RELAYS_MIN: usize = 4;
/// Draws before a rule is relaxed, and before all relays are looked through.
const DRAWS_STRICT: usize = 24;
const DRAWS_MAX: usize = 48;
/// How often a path is drawn anew because it was used before.
const PATHS_MAX: usize = 8;
/// Networks are shut out of a draw as long as all of them together have no more than one in so many of the relays: whoever
/// has nodes elsewhere is drawn a fifth oftener at most. Where most relays are in few networks (a laboratory, one data
/// centre), there is no diversity to insist on, however many networks a newcomer adds.
const SHUT_OUT_PART: usize = 6;

/// The two relays of our choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Passes the request from the guard to the holder.
    pub middle: NodeId,
    /// Passes the reply from the holder to the guard.
    pub back: NodeId,
    /// Whether guard, middle, back and holder are in different networks, as far as addresses tell.
    pub diverse: bool,
}

impl Path {
    /// The nodes of whose life an answer by this path is proof.
    pub fn nodes(&self, holder: NodeId) -> [NodeId; 3] {
        [self.middle, holder, self.back]
    }
}

/// What a path has to respect.
#[derive(Clone, Copy, Debug)]
pub struct PathRules<'a> {
    /// This machine, if it is a node itself.
    pub own: Option<NodeId>,
    /// The guard: neither middle nor back.
    pub guard: NodeId,
    /// The last hop: neither middle nor back.
    pub holder: NodeId,
    /// Pairs of middle and back that were used for this shard already: avoided while there are others.
    pub used: &'a [(NodeId, NodeId)],
}

/// Draws a path. None if there is no relay beside guard and holder. In a network of three nodes middle and back are
/// one.
pub fn choose_path(
    rng: &mut impl CryptoRng,
    table: &NodeTable,
    outcomes: &mut Outcomes,
    rules: &PathRules<'_>,
    now: Moment,
) -> Option<Path> {
    let mut draw = Draw { rng, table, outcomes, now };
    let mut path = None;
    for _ in 0..PATHS_MAX {
        let base = draw.outcomes.base();
        let few = draw.outcomes.answered().len() < PROVEN_RELAYS_MIN;
        let explore = few || draw.fraction() < base.powi(8).max(EXPLORE_MIN);
        let middle_explores = draw.fraction() < 0.5;
        let mut avoid: Vec<NodeId> = [rules.guard, rules.holder].into_iter().chain(rules.own).collect();
        let middle = draw.relay(&avoid, explore && (few || middle_explores))?;
        avoid.push(middle);
        // Nobody else left: one relay passes both.
        let back = draw.relay(&avoid, explore && (few || !middle_explores)).unwrap_or(middle);
        let diverse = draw.diverse(&[rules.guard, rules.holder, middle, back]);
        path = Some(Path { middle, back, diverse });
        if !rules.used.contains(&(middle, back)) {
            break;
        }
    }
    path
}

struct Draw<'a, R> {
    rng: &'a mut R,
    table: &'a NodeTable,
    outcomes: &'a mut Outcomes,
    now: Moment,
}

impl<R: CryptoRng> Draw<'_, R> {
    /// A relay that is none of `avoid` and, where there is diversity, in none of their networks.
    fn relay(&mut self, avoid: &[NodeId], explore: bool) -> Option<NodeId> {
        let shut = self.shut_out(avoid);
        let proven = if explore { None } else { self.proven_relay(avoid, &shut) };
        proven.or_else(|| self.any_relay(avoid, &shut)).or_else(|| self.best_relay(avoid))
    }

    /// Those of the nodes' networks that are shut out, the first ones first.
    fn shut_out(&self, avoid: &[NodeId]) -> Vec<Network> {
        let mut left = self.table.relays().len() / SHUT_OUT_PART;
        let mut shut = Vec::with_capacity(avoid.len());
        for network in avoid.iter().filter_map(|id| self.network(id)) {
            let relays = self.table.relays_in(&network);
            if relays <= left && !shut.contains(&network) {
                left -= relays;
                shut.push(network);
            }
        }
        shut
    }

    /// One of those that passed something on, the likelier to do so again by far: there are others.
    fn proven_relay(&mut self, avoid: &[NodeId], shut: &[Network]) -> Option<NodeId> {
        for attempt in 0..DRAWS_MAX {
            let place = self.below(self.outcomes.answered().len())?;
            let id = self.outcomes.answered()[place];
            let relays = self.table.get(&id).is_some_and(|entry| entry.signed().roles.relays);
            if !relays || !self.outcomes.is_proven(self.table, &id, self.now) {
                self.outcomes.retire(place);
            } else if self.outcomes.has_relayed(&id) && self.suits(&id, avoid, shut, attempt) && self.passes(&id, 4) {
                return Some(id);
            }
        }
        None
    }

    /// Any relay, likelier the likelier it passes on what it is given: by the square, as a gamble on bad odds costs a timeout.
    fn any_relay(&mut self, avoid: &[NodeId], shut: &[Network]) -> Option<NodeId> {
        for attempt in 0..DRAWS_MAX {
            let id = self.table.relays()[self.below(self.table.relays().len())?];
            if self.suits(&id, avoid, shut, attempt) && self.passes(&id, 2) {
                return Some(id);
            }
        }
        None
    }

    /// Whether it is drawn that is asked to be a relay: by this power of its chance.
    fn passes(&mut self, id: &NodeId, power: i32) -> bool {
        let chance = self.outcomes.relay_chance(self.table, id, self.now);
        self.fraction() < chance.powi(power)
    }

    /// The likeliest of all, when drawing found none: few are left, or all seem dead.
    fn best_relay(&mut self, avoid: &[NodeId]) -> Option<NodeId> {
        let relays = self.table.relays();
        let start = self.below(relays.len())?;
        let (before, after) = relays.split_at(start);
        let chance = |id: &NodeId| self.outcomes.relay_chance(self.table, id, self.now);
        let suited = after.iter().chain(before).filter(|id| !avoid.contains(id));
        suited.max_by(|a, b| chance(a).total_cmp(&chance(b))).copied()
    }

    fn suits(&self, id: &NodeId, avoid: &[NodeId], shut: &[Network], attempt: usize) -> bool {
        let shut = if attempt < DRAWS_STRICT { shut } else { &[] };
        !avoid.contains(id) && (shut.is_empty() || self.network(id).is_none_or(|own| !shut.contains(&own)))
    }

    fn network(&self, id: &NodeId) -> Option<Network> {
        self.table.get(id).and_then(|entry| entry.network())
    }

    fn diverse(&self, ids: &[NodeId]) -> bool {
        let networks: Vec<Option<Network>> = ids.iter().map(|id| self.network(id)).collect();
        networks.iter().enumerate().all(|(i, n)| n.is_some() && !networks[..i].contains(n))
    }

    fn below(&mut self, count: usize) -> Option<usize> {
        below(self.rng, count)
    }

    /// From 0 to below 1.
    fn fraction(&mut self) -> f64 {
        self.rng.next_u32() as f64 / (u32::MAX as f64 + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Roles;
    use crate::select::testing::{network, node_at, table_of};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::BTreeSet;

    fn draw_many(table: &NodeTable, outcomes: &mut Outcomes, guard: NodeId, holder: NodeId, count: usize) -> Vec<Path> {
        let mut rng = StdRng::seed_from_u64(5);
        let rules = PathRules { own: None, guard, holder, used: &[] };
        (0..count).filter_map(|_| choose_path(&mut rng, table, outcomes, &rules, Moment::default())).collect()
    }

    #[test]
    fn guard_holder_and_self_are_no_relays_of_ours() {
        let nodes = network(6);
        let table = table_of(&nodes);
        let mut rng = StdRng::seed_from_u64(1);
        let rules = PathRules { own: Some(nodes[2].id), guard: nodes[0].id, holder: nodes[1].id, used: &[] };
        let mut middles = BTreeSet::new();
        for _ in 0..500 {
            let path = choose_path(&mut rng, &table, &mut Outcomes::new(), &rules, Moment::default()).unwrap();
            assert_ne!(path.middle, path.back);
            assert!(!path.diverse, "loopback has no networks");
            assert!(nodes[..3].iter().all(|n| n.id != path.middle && n.id != path.back));
            middles.insert(path.middle);
        }
        assert_eq!(middles.len(), 3);
    }

    #[test]
    fn the_smallest_networks() {
        let nodes = network(3);
        let (guard, holder) = (nodes[0].id, nodes[1].id);
        let paths = draw_many(&table_of(&nodes), &mut Outcomes::new(), guard, holder, 1);
        assert_eq!((paths[0].middle, paths[0].back), (nodes[2].id, nodes[2].id));
        assert_eq!(draw_many(&table_of(&nodes[..2]), &mut Outcomes::new(), guard, holder, 1), []);
        assert_eq!(draw_many(&NodeTable::new(), &mut Outcomes::new(), guard, holder, 1), []);
    }

    #[test]
    fn pairs_do_not_repeat_while_there_are_others() {
        let nodes = network(12);
        let table = table_of(&nodes);
        let (mut rng, mut used) = (StdRng::seed_from_u64(2), Vec::new());
        for _ in 0..20 {
            let rules = PathRules { own: None, guard: nodes[0].id, holder: nodes[1].id, used: &used };
            let path = choose_path(&mut rng, &table, &mut Outcomes::new(), &rules, Moment::default()).unwrap();
            assert!(!used.contains(&(path.middle, path.back)));
            used.push((path.middle, path.back));
        }
    }

    #[test]
    fn proven_relays_are_preferred_when_many_are_dead() {
        let nodes = network(40);
        let table = table_of(&nodes);
        let mut outcomes = Outcomes::new();
        let ids: Vec<NodeId> = nodes.iter().map(|n| n.id).collect();
        outcomes.answer(&ids[10..20], Moment::default());
        for dead in &ids[20..] {
            outcomes.silence(&table, false, &[*dead], Moment::default());
        }
        let paths = draw_many(&table, &mut outcomes, ids[0], ids[1], 1000);
        let proven = paths.iter().filter(|p| ids[10..20].contains(&p.middle) && ids[10..20].contains(&p.back)).count();
        assert!((850..990).contains(&proven), "{proven}");
        let gambles = paths.iter().filter(|p| !ids[10..20].contains(&p.middle) && !ids[10..20].contains(&p.back));
        assert_eq!(gambles.count(), 0, "never both");
    }

    #[test]
    fn networks_differ_where_there_is_a_choice() {
        let nodes: Vec<_> = (0..60).map(|i| node_at(i, [10, (i % 20) as u8, 0, 1], Roles::ALL)).collect();
        let paths = draw_many(&table_of(&nodes), &mut Outcomes::new(), nodes[0].id, nodes[1].id, 500);
        assert!(paths.iter().all(|path| path.diverse));
        // Only two networks: nothing to insist on.
        let nodes: Vec<_> = (0..60).map(|i| node_at(i, [10, (i % 2) as u8, 0, 1], Roles::ALL)).collect();
        let paths = draw_many(&table_of(&nodes), &mut Outcomes::new(), nodes[0].id, nodes[1].id, 50);
        assert_eq!(paths.len(), 50);
        assert!(paths.iter().all(|path| !path.diverse));
    }

    /// Ten of a hundred nodes, each in a network of its own, where all others are in two, eight, or twenty.
    #[test]
    fn who_has_networks_of_his_own_is_drawn_a_fifth_oftener_at_most() {
        for networks in [2, 8, 20] {
            let honest = (0..90).map(|i| node_at(i, [10, (i % networks) as u8, 0, 1], Roles::ALL));
            let bad = (90..100).map(|i| node_at(i, [11, i as u8, 0, 1], Roles::ALL));
            let nodes: Vec<_> = honest.chain(bad).collect();
            let table = table_of(&nodes);
            let bad: BTreeSet<NodeId> = nodes[90..].iter().map(|node| node.id).collect();
            let paths = draw_many(&table, &mut Outcomes::new(), nodes[0].id, nodes[1].id, 4000);
            let drawn = paths.iter().flat_map(|path| [path.middle, path.back]).filter(|id| bad.contains(id)).count();
            assert!((600..=1000).contains(&drawn), "{drawn} of 8000, {networks} networks");
        }
    }

    #[test]
    fn all_dead_is_still_tried() {
        let nodes = network(8);
        let table = table_of(&nodes);
        let mut outcomes = Outcomes::new();
        for _ in 0..5 {
            nodes.iter().for_each(|n| _ = outcomes.silence(&table, false, &[n.id], Moment::default()));
        }
        assert_eq!(draw_many(&table, &mut outcomes, nodes[0].id, nodes[1].id, 20).len(), 20);
    }
}
