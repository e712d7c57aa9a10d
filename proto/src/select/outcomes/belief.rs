//! What is thought of one node, as one that answers and as one that passes on what is for others.
//!
//! Apart, since whoever drops what is for others may answer all that is asked of itself: if its own answers spoke for it as a relay,
//! it would be drawn again and again, and what it drops would look like congestion.

use super::{HALF_LIFE, INNOCENT_MIN};
use crate::time::Moment;
use std::time::Duration;

/// What is thought of a node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Belief {
    /// The chance that it answers.
    pub(super) chance: f64,
    pub(super) at: Moment,
    /// Whether it has answered since it was last blamed for more than half.
    pub(super) answered: bool,
    /// The chance that it passes on what is for others, if that is less: nothing that it answers itself makes it greater.
    relays: f64,
    relayed_at: Moment,
    /// Whether it has passed something on since it was last blamed as a relay for more than half.
    pub(super) relayed: bool,
}

impl Belief {
    /// Places in a way ([`crate::select::Path::nodes`]): the holder's, and one of those who pass on what is not for them.
    pub(super) const HOLDER: usize = 1;
    /// See [`Belief::HOLDER`].
    pub(super) const MIDDLE: usize = 0;

    /// That of a node that was not tried, of which `chance` is assumed.
    pub(super) fn untried(chance: f64, now: Moment) -> Belief {
        Belief { chance, at: now, answered: false, relays: chance, relayed_at: now, relayed: false }
    }

    /// The chance that it does its part at this place of a way; `untried` is what would be assumed of it now.
    pub(super) fn chance_at(&self, place: usize, untried: f64, now: Moment) -> f64 {
        let chance = faded(self.chance, untried, now.since(self.at));
        if place == Belief::HOLDER {
            chance
        } else {
            faded(self.relays, untried, now.since(self.relayed_at)).min(chance)
        }
    }

    /// It did its part at this place: the `least` chances that it answers and that it passes things on.
    pub(super) fn came(&mut self, place: usize, least: (f64, f64), now: Moment) {
        (self.chance, self.at, self.answered) = (self.chance.max(least.0), now, true);
        if place != Belief::HOLDER {
            (self.relays, self.relayed_at, self.relayed) = (self.relays.max(least.1), now, true);
        }
    }

    /// It is blamed at this place: the chances that are `left` to it, that it answers and that it passes things on.
    pub(super) fn blamed(&mut self, place: usize, left: (f64, f64), at: Moment) {
        (self.chance, self.at, self.answered) = (left.0, at, self.answered && left.0 >= 0.5);
        if place != Belief::HOLDER {
            (self.relays, self.relayed_at, self.relayed) = (left.1, at, self.relayed && left.1 >= 0.5);
        }
    }

    /// It was not to blame: its chances are `least` at least.
    pub(super) fn forgive(&mut self, least: f64) {
        (self.chance, self.relays) = (self.chance.max(least), self.relays.max(least));
    }

    /// Whether it has done of late what it has to do at this place.
    pub(super) fn is_innocent(&self, place: usize) -> bool {
        let passes_on = place == Belief::HOLDER || (self.relayed && self.relays >= INNOCENT_MIN);
        passes_on && self.answered && self.chance >= INNOCENT_MIN
    }
}

/// What is left of a chance after so long: it falls back to that of an untried node.
fn faded(chance: f64, untried: f64, after: Duration) -> f64 {
    let kept = (-after.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
    untried + (chance - untried) * kept
}
