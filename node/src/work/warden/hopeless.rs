//! Stripes that nobody can repair: their descriptors name what does not belong together. A root is the hash of its descriptor,
//! so that none of them ever becomes whole: once found out, it costs nothing more.

use palimpsest_proto::ids::RootAddress;
use std::collections::{HashSet, VecDeque};

/// See the module's description. Those remembered longest are forgotten first, and cost one more try each.
pub(super) struct Hopeless {
    known: HashSet<RootAddress>,
    order: VecDeque<RootAddress>,
    most: usize,
}

impl Hopeless {
    /// Remembers `most` at most.
    pub(super) fn new(most: usize) -> Hopeless {
        Hopeless { known: HashSet::new(), order: VecDeque::new(), most }
    }

    pub(super) fn contains(&self, root: &RootAddress) -> bool {
        self.known.contains(root)
    }

    pub(super) fn insert(&mut self, root: RootAddress) {
        if !self.known.insert(root) {
            return;
        }
        self.order.push_back(root);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_known_give_way() {
        let root = |byte| RootAddress([byte; 32]);
        let mut hopeless = Hopeless::new(2);
        [1, 1, 2, 1].into_iter().for_each(|byte| hopeless.insert(root(byte)));
        assert!(hopeless.contains(&root(1)) && hopeless.contains(&root(2)));
        hopeless.insert(root(3));
        assert_eq!([1, 2, 3].map(|byte| hopeless.contains(&root(byte))), [false, true, true]);
        assert_eq!((hopeless.known.len(), hopeless.order.len()), (2, 2));
    }
}
