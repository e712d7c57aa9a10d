//! Who knows whom after something befell a network, in virtual time.

use palimpsest_proto::crypto::NodeKey;

use super::super::says;
use super::*;
use crate::sim::world::{dice, network_of};

/// A network in which all know each other.
struct Told {
    nodes: Nodes,
    gossip: Gossip,
}

impl Told {
    fn settled(count: u32, seed: u64) -> Told {
        let mut nodes = Nodes::default();
        for number in 0..count {
            let (_, key) = NodeKey::search(&mut dice(seed, "worked key", number.into()));
            nodes.add(Node::new(key, network_of(number.into()), 1 << 20));
        }
        let mut gossip = Gossip::new(None, &nodes, dice(seed, "gossip", 0), BEGIN).unwrap();
        nodes.iter().for_each(|node| gossip.add(says(node, 0, BEGIN).unwrap()));
        gossip.settle().unwrap();
        Told { nodes, gossip }
    }

    /// Something befalls the first half of the nodes.
    fn befall(&mut self, befalls: impl Fn(&mut Node)) {
        let half: Vec<u32> = (0..self.nodes.iter().count() as u32 / 2).collect();
        self.nodes.each(&half, befalls);
        let now = self.gossip.now;
        self.gossip.befell(&self.nodes, |node| says(node, 0, now)).unwrap();
    }

    fn wait(&mut self, seconds: u64) {
        self.gossip.advance(self.gossip.now + Duration::from_secs(seconds));
    }

    /// How often an honest node that lives is believed lost by one.
    fn forsaken(&self) -> usize {
        self.gossip.tables().forsaken
    }

    /// Seconds until that is so of nobody.
    fn until_none_is_forsaken(&mut self) -> u64 {
        (0..7_200)
            .find(|_| {
                let done = self.forsaken() == 0;
                self.wait(1);
                done
            })
            .expect("within two hours")
    }
}

/// However long a cut lasted, it does not take long until no half believes the other lost. (With a dial of one lost node in eight exchanges it
/// took an hour.)
#[test]
fn halves_that_were_cut_find_each_other_soon() {
    for seconds in [30, 600, 3_600] {
        for seed in 1..4 {
            let mut told = Told::settled(24, seed);
            told.befall(|node| node.cut_off = true);
            told.wait(seconds);
            assert!(told.forsaken() > 250, "{}", told.forsaken());
            told.befall(|node| node.cut_off = false);
            let took = told.until_none_is_forsaken();
            println!("cut for {seconds} s, seed {seed}: {took} s");
            assert!(took < 120, "cut for {seconds} s, seed {seed}: {took} s");
        }
    }
}

/// The same for those that hung, and sign nothing new when they go on.
#[test]
fn who_hung_is_found_soon() {
    for seed in 1..4 {
        let mut told = Told::settled(24, seed);
        told.befall(|node| node.hangs = true);
        told.wait(600);
        assert_eq!(told.forsaken(), 0, "who hangs is not missed");
        told.befall(|node| node.hangs = false);
        let took = told.until_none_is_forsaken();
        println!("hung for 600 s, seed {seed}: {took} s");
        assert!(took < 120, "{took} s");
    }
}
