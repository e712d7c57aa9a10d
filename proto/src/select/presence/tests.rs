use super::*;
use crate::select::testing::{filled, network};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A server or a client, its table, and chance.
struct Own {
    presence: Presence,
    table: NodeTable,
    rng: StdRng,
}

impl Own {
    fn new(dials: bool) -> Own {
        let presence = Presence::new(NodeId([0; 32]), dials);
        Own { presence, table: NodeTable::new(), rng: StdRng::seed_from_u64(1) }
    }

    /// Is told of a node; the fuller, the newer the descriptor. What became of it if it was wanted.
    fn told(&mut self, number: u16, fill: u8, now: Moment) -> Option<Taken> {
        let signed = filled(number, fill);
        let wanted = self.presence.is_wanted(&self.table, (signed.id, signed.seq), now);
        wanted.then(|| self.presence.take(&mut self.rng, &mut self.table, signed, now))
    }

    fn seen(&mut self, number: u16, now: Moment) {
        self.presence.seen(&mut self.table, &id(number), now);
    }

    fn unreachable(&mut self, number: u16, now: Moment) -> bool {
        self.presence.unreachable(&mut self.table, &id(number), now)
    }

    fn hear(&mut self, lost: &[(NodePrefix, Duration)], heed: Heed, now: Moment) -> u64 {
        Presence::hear(&self.table, &NodeId([0; 32]), lost, heed, |_| false, now).apply(&mut self.table)
    }

    fn is_lost(&self, number: u16) -> bool {
        self.table.get(&id(number)).is_some_and(|entry| entry.health().lost.is_some())
    }

    fn names(&self, number: u16, now: Moment) -> bool {
        self.presence.named_lost(&self.table, now).iter().any(|(prefix, _)| *prefix == id(number).prefix())
    }
}

fn id(number: u16) -> NodeId {
    filled(number, 0).id
}

const fn at(seconds: u64) -> Moment {
    Moment(Duration::from_secs(2_000_000 + seconds))
}

#[test]
fn whom_nobody_is_is_forgotten_named_and_for_a_while_not_taken_back() {
    let mut own = Own::new(true);
    own.told(1, 0, at(0));
    own.seen(1, at(0));
    assert_eq!(own.told(2, 0, at(0)).unwrap().inserted, Inserted::New);
    let none = BTreeSet::new();
    assert_eq!(own.presence.to_meet(&mut own.rng, &own.table, (&none, 8), at(0)), [id(2)]);
    assert!(own.unreachable(2, at(1)) && own.table.get(&id(2)).is_none() && own.names(2, at(1)));
    assert_eq!(own.told(2, 5, at(2)), None, "it is not even tried");
    // After the pause it is, and if it is not there again, that is no news.
    assert!(own.told(2, 5, at(20)).is_some() && !own.unreachable(2, at(21)));
    assert_eq!(own.told(2, 9, at(40)), None);
    // Who is found is a node like others.
    assert!(own.told(2, 9, at(45)).is_some());
    own.seen(2, at(45));
    assert!(!own.names(2, at(45)) && own.table.strangers().is_empty());
}

/// After a start without a line nobody is found. That says nothing of those who were in the table.
#[test]
fn who_met_nobody_of_late_forgets_nobody() {
    let mut own = Own::new(true);
    own.told(1, 0, at(0));
    assert!(own.unreachable(1, at(1)) && own.is_lost(1));
    own.told(2, 0, at(0));
    own.seen(2, at(1));
    own.told(3, 0, at(1));
    own.unreachable(3, at(61));
    assert!(own.is_lost(3), "it was met a minute ago");
}

#[test]
fn a_signature_brings_back_nobody_and_a_connection_does() {
    let mut own = Own::new(true);
    own.told(1, 0, at(0));
    own.seen(1, at(0));
    assert!(own.presence.lost(&mut own.table, &id(1), at(1)));
    let taken = own.told(1, 5, at(2)).unwrap();
    assert_eq!(taken, Taken { inserted: Inserted::Newer, may_be_back: true });
    assert!(own.is_lost(1));
    // A dial was in vain: for a while it is not tried again, whatever is signed.
    own.unreachable(1, at(3));
    assert!(!own.told(1, 9, at(4)).unwrap().may_be_back);
    own.seen(1, at(5));
    assert!(!own.is_lost(1));
    // A client takes the signature: it dials nobody.
    let mut client = Own::new(false);
    client.told(1, 0, at(0));
    client.hear(&[(id(1).prefix(), Duration::ZERO)], Heed::Believed, at(1));
    assert!(client.is_lost(1) && !client.told(1, 5, at(2)).unwrap().may_be_back);
}

/// Who was met and is lost is dialled ever more rarely, and all at once when one of them is back. Strangers take half of the turns.
#[test]
fn the_lost_are_dialled_now_and_then_and_when_one_of_them_is_back() {
    let mut own = Own::new(true);
    for number in 1..5 {
        own.told(number, 0, at(0));
        own.seen(number, at(0));
    }
    let to_meet = |own: &mut Own, now| {
        let mut whom = own.presence.to_meet(&mut own.rng, &own.table, (&BTreeSet::new(), 8), now);
        whom.sort_unstable();
        whom
    };
    let ids = |numbers: &[u16]| {
        let mut all: Vec<NodeId> = numbers.iter().map(|number| id(*number)).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(to_meet(&mut own, at(1)), []);
    for number in 1..4 {
        own.presence.suspect(&mut own.table, &id(number), at(1));
        assert_eq!(to_meet(&mut own, at(1)), [], "its dial is under way");
    }
    assert_eq!(to_meet(&mut own, at(11)), ids(&[1, 2, 3]), "nothing came of it");
    (1..4).for_each(|number| _ = own.unreachable(number, at(2)));
    own.presence.suspect(&mut own.table, &id(4), at(1_000));
    own.presence.lost(&mut own.table, &id(4), at(1_000));
    assert_eq!(to_meet(&mut own, at(5)), ids(&[4]), "nobody has tried");
    own.unreachable(4, at(5));
    assert_eq!(to_meet(&mut own, at(12)), ids(&[1, 2, 3]));
    (1..4).for_each(|number| _ = own.unreachable(number, at(12)));
    assert_eq!(to_meet(&mut own, at(14)), []);
    own.seen(1, at(14));
    assert_eq!(to_meet(&mut own, at(14)), ids(&[2, 3, 4]));
    own.told(9, 0, at(14));
    // Whoever calls a stranger lost does not make it one of the lost.
    own.hear(&[(id(9).prefix(), Duration::ZERO)], Heed::Weighed, at(15));
    assert!(own.is_lost(9));
    let turns: Vec<_> = (0..100).map(|_| to_meet(&mut own, at(15))).collect();
    let strangers = turns.iter().filter(|turn| **turn == ids(&[9])).count();
    assert!((30..=70).contains(&strangers), "{strangers} of 100");
    assert_eq!(turns.iter().filter(|turn| **turn == ids(&[2, 3, 4])).count(), 100 - strangers);
}

#[test]
fn a_suspect_is_named_only_when_a_dial_was_in_vain() {
    let mut own = Own::new(true);
    own.told(1, 0, at(0));
    own.seen(1, at(0));
    assert!(own.presence.suspect(&mut own.table, &id(1), at(1)) && own.is_lost(1) && !own.names(1, at(1)));
    assert!(!own.presence.suspect(&mut own.table, &id(7), at(1)), "nobody knows it");
    assert!(own.presence.lost(&mut own.table, &id(1), at(2)) && own.names(1, at(2)));
    assert!(!own.presence.lost(&mut own.table, &id(1), at(3)), "that is known");
}

#[test]
fn nodes_weigh_a_word_and_clients_believe_their_guards() {
    let ago = |number: u16, seconds| (id(number).prefix(), Duration::from_secs(seconds));
    let mut own = Own::new(true);
    (1..4).for_each(|number| _ = own.told(number, 0, at(0)));
    own.seen(1, at(50));
    // The first was seen after that; of itself and of those who are connected nobody is believed.
    assert_eq!(own.hear(&[ago(1, 20), ago(2, 20), ago(9, 20)], Heed::Weighed, at(60)), 1);
    assert!(!own.is_lost(1) && own.is_lost(2) && !own.is_lost(3));
    let hearsay = Presence::hear(&own.table, &id(9), &[ago(3, 0)], Heed::Weighed, |_| true, at(60));
    assert_eq!(hearsay.apply(&mut own.table), 0);
    // Not being named brings nobody back.
    own.hear(&[], Heed::Weighed, at(61));
    assert!(own.is_lost(2));

    let mut client = Own::new(false);
    (1..4).for_each(|number| _ = client.told(number, 0, at(0)));
    assert_eq!(client.hear(&[ago(1, 20)], Heed::Ignored, at(60)), 0);
    assert_eq!(client.hear(&[ago(1, 900), ago(2, 0)], Heed::Believed, at(60)), 2);
    assert!(client.is_lost(1) && client.is_lost(2) && !client.is_lost(3));
    assert_eq!(client.hear(&[ago(2, 0)], Heed::Believed, at(61)), 0);
    assert!(!client.is_lost(1) && client.is_lost(2));
    // A list that is full has no room for all: who is not on it may be lost.
    let full: Vec<_> = (0..LOST_MAX as u64).map(|number| (number.to_be_bytes(), Duration::ZERO)).collect();
    client.hear(&full, Heed::Believed, at(62));
    assert!(client.is_lost(2));
}

#[test]
fn partners_mostly_live_and_are_never_oneself() {
    let mut own = Own::new(true);
    own.presence = Presence::new(id(0), true);
    for number in 0..4 {
        let signed = filled(number, 0);
        own.presence.take(&mut own.rng, &mut own.table, signed, at(0));
    }
    own.presence.lost(&mut own.table, &id(3), at(1));
    let partners: Vec<NodeId> = (0..800).filter_map(|_| own.presence.partner(&mut own.rng, &own.table)).collect();
    let lost = partners.iter().filter(|partner| **partner == id(3)).count();
    assert!(partners.len() == 800 && !partners.contains(&id(0)) && (50..150).contains(&lost), "{lost}");
    assert_eq!(own.presence.partner(&mut own.rng, &NodeTable::new()), None);
}

/// Nodes that nobody is never have more than half of a table, and those who were met stay.
#[test]
fn strangers_push_out_only_strangers() {
    let mut own = Own::new(true);
    let many = u16::try_from(STRANGERS_MAX).unwrap() + 100;
    for (number, signed) in (0..).zip(network(many)) {
        let met = number < 50;
        let id = signed.id;
        own.presence.take(&mut own.rng, &mut own.table, signed, at(0));
        if met {
            own.presence.seen(&mut own.table, &id, at(0));
        }
    }
    assert_eq!((own.table.strangers().len(), own.table.len()), (STRANGERS_MAX, STRANGERS_MAX + 50));
    assert!((0..50).all(|number| own.table.get(&id(number)).is_some()));
}
