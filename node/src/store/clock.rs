//! What time it is, as far as leases go, when the machine's clock may be wrong.
//!
//! A clock that leaps ahead would let everything expire at once, and one that leaps back would keep everything. So the
//! store keeps a time of its own, which goes by the machine's uptime and is drawn towards the wall clock, but by a few
//! seconds for each second only; it is kept on the disk. A lease is over when it is over by both. With a wall clock set
//! years ahead, a lease of 90 days lasts for 90 / 8 = 11 days of uptime at least: time to notice it.
//!
//! A lease that ends later than any lease that may be taken now was taken when the clock was wrong, and is over as well:
//! it must not last for ever.

use super::{Clock, Uptime};
use palimpsest_proto::params::{CLOCK_SKEW_SECONDS, LEASE_SECONDS_MAX};
use palimpsest_proto::time::Timestamp;
use std::ops::RangeInclusive;
use std::time::Duration;

/// Seconds by which the store's time may near the wall clock in one second of uptime. A node that was switched off for a
/// month is back in step after four days and a half, and until then only keeps what expired meanwhile a little longer.
const CATCH_UP: i128 = 7;
/// The uptime that may be used for nearing, of that between two looks: so that a clock that leaps after a long idle time
/// does not find all of that time saved up.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(3600);
/// How far ahead a lease may end. Holders take leases that end a day and the clocks' skew behind the longest; the
/// holder's clock may be ahead by the skew once more.
const LEASE_AHEAD_MAX: u64 = LEASE_SECONDS_MAX + 86_400 + 2 * CLOCK_SKEW_SECONDS;

/// The store's time.
pub(super) struct LeaseClock {
    wall: Clock,
    uptime: Uptime,
    /// The store's time, in milliseconds, when the uptime was `looked`.
    trusted: i128,
    looked: Duration,
}

impl LeaseClock {
    /// Goes on from the time that was kept when the store was closed; begins with the wall clock's.
    pub(super) fn new(wall: Clock, uptime: Uptime, kept: Option<Timestamp>) -> LeaseClock {
        let trusted = i128::from(kept.unwrap_or_else(|| wall()).0) * 1000;
        let looked = uptime();
        LeaseClock { wall, uptime, trusted, looked }
    }

    /// The store's time.
    pub(super) fn look(&mut self) -> Timestamp {
        let now = (self.uptime)();
        let passed = now.saturating_sub(self.looked);
        self.looked = now;
        let millis = |duration: Duration| i128::try_from(duration.as_millis()).unwrap_or(i128::MAX / 16);
        let expected = self.trusted + millis(passed);
        let reach = CATCH_UP * millis(passed.min(CATCH_UP_WITHIN));
        let off = i128::from((self.wall)().0) * 1000 - expected;
        self.trusted = expected + off.clamp(-reach, reach);
        Timestamp(u64::try_from(self.trusted / 1000).unwrap_or(0))
    }

    /// Where the leases end that are neither over nor made up.
    pub(super) fn running(&mut self) -> RangeInclusive<Timestamp> {
        let (wall, trusted) = ((self.wall)(), self.look());
        let over = Timestamp(wall.min(trusted).0.saturating_sub(CLOCK_SKEW_SECONDS));
        over..=wall.max(trusted).plus(LEASE_AHEAD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    const DAY: u64 = 86_400;
    const NOW: u64 = 20_000 * DAY;

    /// A wall clock and an uptime that the test sets, in seconds.
    #[derive(Default)]
    struct Hands(Arc<[AtomicU64; 2]>);

    impl Hands {
        fn clock(&self, kept: Option<u64>) -> LeaseClock {
            let (wall, uptime) = (self.0.clone(), self.0.clone());
            LeaseClock::new(
                Arc::new(move || Timestamp(wall[0].load(Relaxed))),
                Arc::new(move || Duration::from_secs(uptime[1].load(Relaxed))),
                kept.map(Timestamp),
            )
        }
        fn at(wall: u64) -> Hands {
            let hands = Hands::default();
            hands.jump(wall);
            hands
        }
        fn jump(&self, wall: u64) {
            self.0[0].store(wall, Relaxed);
        }
        fn pass(&self, seconds: u64) {
            self.0.iter().for_each(|hand| {
                hand.fetch_add(seconds, Relaxed);
            });
        }
    }

    #[test]
    fn a_right_clock_is_followed_to_the_second() {
        let hands = Hands::at(NOW);
        let mut clock = hands.clock(None);
        for passed in [0, 1, 59, 3600, 40 * DAY, 400 * DAY] {
            hands.pass(passed);
            assert_eq!(clock.look(), (hands.clock(None)).look());
        }
        assert_eq!(*clock.running().start(), Timestamp(NOW + 440 * DAY + 3660 - CLOCK_SKEW_SECONDS));
    }

    #[test]
    fn a_leap_of_years_ends_no_lease_for_days_and_a_repaired_clock_is_believed() {
        let hands = Hands::at(NOW);
        let mut clock = hands.clock(None);
        let lease = Timestamp(NOW + 90 * DAY);
        // Idle for long before.
        hands.pass(10 * DAY);
        hands.jump(NOW + 5000 * DAY);
        assert!(clock.running().contains(&lease));
        for _ in 0..9 * 24 {
            hands.pass(3600);
            assert!(clock.running().contains(&lease));
        }
        hands.jump(NOW + 19 * DAY);
        for _ in 0..10 * 24 {
            hands.pass(3600);
            assert!(clock.running().contains(&lease));
        }
        assert_eq!(clock.look(), Timestamp(NOW + 29 * DAY), "in step again");
        hands.pass(62 * DAY);
        assert!(!clock.running().contains(&lease));
    }

    #[test]
    fn a_leap_back_keeps_what_it_must_and_drops_it_when_the_clock_is_right() {
        let hands = Hands::at(NOW);
        let mut clock = hands.clock(None);
        hands.jump(0);
        hands.pass(3600);
        assert!(clock.running().contains(&Timestamp(NOW + 90 * DAY)), "wanted, and no further ahead than can be");
        assert!(clock.running().contains(&Timestamp(NOW - DAY)));
        hands.jump(NOW + 3600);
        hands.pass(3600);
        assert_eq!(clock.look(), Timestamp(NOW + 7200));
        assert!(!clock.running().contains(&Timestamp(NOW - DAY)));
    }

    #[test]
    fn a_lease_taken_by_a_wrong_clock_does_not_last_for_ever() {
        let hands = Hands::at(NOW);
        let mut clock = hands.clock(None);
        assert!(clock.running().contains(&Timestamp(NOW + LEASE_SECONDS_MAX + DAY + CLOCK_SKEW_SECONDS)));
        assert!(!clock.running().contains(&Timestamp(NOW + 4000 * DAY)));
    }

    #[test]
    fn after_a_long_time_off_the_clock_catches_up() {
        let hands = Hands::at(NOW + 30 * DAY);
        let mut clock = hands.clock(Some(NOW));
        assert_eq!(clock.look(), Timestamp(NOW));
        for _ in 0..103 {
            hands.pass(3600);
            clock.look();
        }
        assert_eq!(clock.look(), Timestamp(NOW + 30 * DAY + 103 * 3600));
    }

    #[test]
    fn an_hour_ahead_or_behind_ends_no_lease() {
        for wall in [NOW - CLOCK_SKEW_SECONDS, NOW + CLOCK_SKEW_SECONDS] {
            assert!(Hands::at(wall).clock(None).running().contains(&Timestamp(NOW)));
        }
    }
}
