//! The shares of a room, alone and under floods.

use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;

fn neighbour(number: usize) -> NodeId {
    NodeId([number as u8; 32])
}

fn held(room: &Room, of: usize) -> u32 {
    room.held.lock().get(&neighbour(of)).copied().unwrap_or(0)
}

/// Takes all that this neighbour is given, in pieces of `units`.
fn fill(room: &Room, of: usize, units: u32) -> Vec<Place> {
    std::iter::from_fn(|| room.admit(neighbour(of), units).ok()).collect()
}

#[test]
fn a_lone_neighbour_has_half_and_leaves_the_rest_to_others() {
    let room = Room::new(96);
    let places = fill(&room, 1, 1);
    assert_eq!(places.len(), 48);
    assert_eq!(room.admit(neighbour(1), 1).unwrap_err(), NoPlace::OverShare);
    assert_eq!(fill(&room, 2, 1).len(), 24);
}

#[test]
fn a_full_room_says_so_and_places_come_back() {
    let room = Room::new(8);
    let own = room.take(8).unwrap();
    assert_eq!(room.admit(neighbour(1), 1).unwrap_err(), NoPlace::Full);
    drop(own);
    drop(room.admit(neighbour(1), 8).unwrap());
    assert_eq!(room.units.available_permits(), 8);
    assert!(room.held.lock().is_empty());
}

/// A link's room of 128 packets that is served in order, and far too slow for twenty that flood it at different speeds. One more
/// comes with less than a fair part, when they have shared the room out among themselves: nothing of that is lost, and
/// the twenty get the same each.
#[test]
fn who_asks_for_less_than_its_part_loses_nothing_in_a_flood() {
    const FLOODERS: usize = 20;
    let (room, mut queue) = (Room::new(128), VecDeque::new());
    let mut served = [0_u32; FLOODERS + 1];
    for round in 0..21_000 {
        for flooder in 1..=FLOODERS {
            for _ in 0..flooder {
                queue.extend(room.admit(neighbour(flooder), 1).ok().map(|place| (flooder, place)));
            }
        }
        // One of 42 packets served; a fair part would be one of 21.
        if round >= 1_024 && round % 42 == 0 {
            queue.push_back((0, room.admit(neighbour(0), 1).expect("a place for who asks for little")));
        }
        let (of, _) = queue.pop_front().expect("a flooded queue is never empty");
        served[of] += 1;
    }
    let (most, least) = (served[1..].iter().max().unwrap(), served[1..].iter().min().unwrap());
    assert!(f64::from(*most) <= 1.6 * f64::from(*least), "{served:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes and goes: what is held is what was admitted, nobody has more than half (and half of the last piece),
    /// and nothing is remembered of who has nothing.
    #[test]
    fn what_is_held_is_what_was_admitted(steps in prop::collection::vec((0..6_usize, 1..5_u32, any::<bool>()), 0..400)) {
        let room = Room::new(60);
        let mut places: [Vec<(u32, Place)>; 6] = Default::default();
        for (of, units, leaves) in steps {
            if leaves {
                places[of].pop();
            } else if let Ok(place) = room.admit(neighbour(of), units) {
                places[of].push((units, place));
            }
            let mut taken = 0;
            for (of, places) in places.iter().enumerate() {
                let sum: u32 = places.iter().map(|(units, _)| units).sum();
                prop_assert_eq!(held(&room, of), sum);
                prop_assert!(sum <= 32);
                taken += sum as usize;
            }
            prop_assert_eq!(room.units.available_permits(), 60 - taken);
        }
        drop(places);
        prop_assert!(room.held.lock().is_empty());
    }
}
