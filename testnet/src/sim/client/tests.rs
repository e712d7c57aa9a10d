//! Guards that are dead or deaf, and the deadline.

use super::*;
use crate::sim::world::{World, dice};

/// All answer at once but the dead; the deaf let everybody in, and pass nothing on.
struct Swallowing {
    deaf: Vec<NodeId>,
    dead: Vec<NodeId>,
}

impl Wire for Swallowing {
    type Ask = ();
    type Answer = ();

    fn admits(&mut self, guard: &NodeId) -> bool {
        !self.dead.contains(guard)
    }

    fn carry(&mut self, _: &mut StdRng, route: &Route, (): (), _: Moment) -> Option<(Duration, ())> {
        let Route { guard, middle, holder, back } = route;
        let silent = |id: &&NodeId| self.deaf.contains(id) || self.dead.contains(id);
        [guard, middle, holder, back].iter().all(|id| !silent(id)).then_some((ROUND_TRIP, ()))
    }

    fn scout(&mut self, dice: &mut StdRng, route: &Route, now: Moment) -> Option<Duration> {
        self.carry(dice, route, (), now).map(|(after, ())| after)
    }
}

/// Asks one after the other until one answers: how many were in vain, of which so many only the guard is to blame for.
fn ask_until_answered(world: &World, wire: &mut Swallowing, guards: &mut GuardList) -> (usize, usize, Duration) {
    let mut dice = dice(1, "guards", 0);
    let limits = (BEGIN, BEGIN + Duration::from_secs(120));
    let mut session = Session::open(&world.table, &mut dice, guards, wire, limits).unwrap();
    let (mut lost, mut unsent) = (0, 0);
    let mut lane = session.lane();
    for holder in world.ids.iter().cycle() {
        lane.start((), *holder, (), &mut Vec::new()).unwrap();
        for done in lane.next(None).unwrap() {
            match done.result {
                Ok(()) => return (lost, unsent, lane.session.now().since(BEGIN)),
                Err(why) => {
                    lost += 1;
                    unsent += usize::from(why == Lost::Unsent);
                }
            }
        }
    }
    (lost, unsent, Duration::MAX)
}

#[test]
fn a_guard_that_is_dead_is_passed_over_and_one_that_is_deaf_is_left() {
    let world = World::new(3, 30).unwrap();
    let first = |guards: &mut GuardList| {
        guards.refill(&mut dice(1, "sample", 0), &world.table, None, WALL);
        guards.choose(&world.table, BEGIN, &[]).unwrap()
    };
    let mut guards = GuardList::new();
    let mut all_well = Swallowing { deaf: Vec::new(), dead: Vec::new() };
    first(&mut guards);
    assert_eq!(ask_until_answered(&world, &mut all_well, &mut guards).0, 0);

    let mut guards = GuardList::new();
    let mut dead = Swallowing { deaf: Vec::new(), dead: vec![first(&mut guards)] };
    let (_, _, took) = ask_until_answered(&world, &mut dead, &mut guards);
    assert!(took >= GUARD_STAGGER && took < 10 * GUARD_STAGGER, "{took:?}");

    let mut guards = GuardList::new();
    let mut deaf = Swallowing { deaf: vec![first(&mut guards)], dead: Vec::new() };
    let (lost, unsent, took) = ask_until_answered(&world, &mut deaf, &mut guards);
    assert!(lost > 0 && lost == unsent && took < Duration::from_secs(60), "{lost} {unsent} {took:?}");
}

/// Asks all of these at once, and waits until something is known of each.
fn ask_all(session: &mut Session<'_, Swallowing>, holders: &[NodeId]) {
    let mut lane = session.lane();
    holders.iter().for_each(|holder| lane.start((), *holder, (), &mut Vec::new()).unwrap());
    while !lane.is_idle() {
        lane.next(None).unwrap();
    }
}

#[test]
fn who_has_answered_clears_a_guard_that_lives_and_not_one_that_is_deaf() {
    let world = World::new(3, 60).unwrap();
    let mut wire = Swallowing { deaf: Vec::new(), dead: world.ids[20..].to_vec() };
    let (mut dice, mut guards) = (dice(1, "witnesses", 0), GuardList::new());
    let limits = (BEGIN, BEGIN + Duration::from_secs(600));
    let mut session = Session::open(&world.table, &mut dice, &mut guards, &mut wire, limits).unwrap();
    while session.outcomes.proven(&world.table, session.now).count() < 10 {
        ask_all(&mut session, &world.ids);
    }
    let (guard, before) = (session.guard, session.mended);
    (0..3).for_each(|_| ask_all(&mut session, &world.ids[20..]));
    assert_eq!((session.guard, session.mended), (guard, before), "it was cleared");
    let found_dead = |id: &&NodeId| session.outcomes.chance(&world.table, id, session.now) < 0.25;
    assert!(world.ids[20..].iter().filter(found_dead).count() > 30, "and nobody was forgiven");
    session.wire.deaf.push(guard);
    (0..4).for_each(|_| ask_all(&mut session, &world.ids));
    assert!(session.guard != guard && session.mended > before);
    assert!(session.outcomes.answered_at().is_some_and(|last| last > session.mended));
}

#[test]
fn nothing_is_done_after_the_deadline() {
    let world = World::new(3, 30).unwrap();
    let mut wire = Swallowing { deaf: world.ids.clone(), dead: Vec::new() };
    let (mut dice, mut guards) = (dice(1, "late", 0), GuardList::new());
    let deadline = BEGIN + Duration::from_secs(5);
    let mut session = Session::open(&world.table, &mut dice, &mut guards, &mut wire, (BEGIN, deadline)).unwrap();
    let mut lane = session.lane::<()>();
    let stopped = loop {
        lane.start((), world.ids[0], (), &mut Vec::new()).unwrap();
        if let Err(stop) = lane.next(None) {
            break stop;
        }
    };
    assert_eq!((stopped, lane.session.now()), (Stop::Late, deadline));
}
