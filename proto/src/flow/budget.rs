//! A budget in bytes: what upkeep may send and fetch, so that it never crowds out those for whom it is done.

use crate::time::Moment;
use std::time::Duration;

/// A token bucket that may be overdrawn: what costs more than the bucket holds is begun when the bucket is not empty,
/// and paid off before the next thing.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Bytes a second.
    rate: f64,
    /// Bytes that may be saved up.
    burst: f64,
    level: f64,
    at: Moment,
}

impl Budget {
    /// `rate` bytes a second (at least one), of which `burst` may be saved up; full at first.
    pub fn new(rate: u64, burst: u64, now: Moment) -> Budget {
        let burst = burst.max(1) as f64;
        Budget { rate: rate.max(1) as f64, burst, level: burst, at: now }
    }

    fn level_at(&self, now: Moment) -> f64 {
        (self.level + now.since(self.at).as_secs_f64() * self.rate).min(self.burst)
    }

    /// When something may be begun: `now`, if the bucket is not overdrawn.
    pub fn ready_at(&self, now: Moment) -> Moment {
        let short = -self.level_at(now);
        if short <= 0.0 { now } else { now + Duration::from_secs_f64((short / self.rate).min(u32::MAX.into())) }
    }

    /// Takes `bytes` out, and overdraws if need be.
    pub fn spend(&mut self, bytes: u64, now: Moment) {
        self.level = self.level_at(now) - bytes as f64;
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Moment {
        Moment(Duration::from_millis(ms))
    }

    #[test]
    fn what_is_overdrawn_is_paid_off_first() {
        let mut budget = Budget::new(1000, 500, at(0));
        assert_eq!(budget.ready_at(at(0)), at(0));
        budget.spend(2500, at(0));
        assert_eq!(budget.ready_at(at(0)), at(2000));
        assert_eq!(budget.ready_at(at(1500)), at(2000));
        budget.spend(1000, at(2000));
        assert_eq!(budget.ready_at(at(2500)), at(3000));
        // What is saved up is bounded, and a clock that stands still gives nothing.
        budget.spend(501, at(1_000_000));
        assert_eq!(budget.ready_at(at(1_000_000)), at(1_000_001));
    }

    proptest! {
        /// Over any time no more is spent than the rate, the burst, and one overdraft.
        #[test]
        fn the_rate_is_kept(rate in 1..100_000u64, burst in 1..100_000u64, costs in prop::collection::vec(1..100_000u64, 1..50),
                            pauses in prop::collection::vec(0..5_000u64, 50)) {
            let mut budget = Budget::new(rate, burst, at(0));
            let (mut now, mut spent, mut last) = (at(0), 0, 0);
            for (cost, pause) in costs.into_iter().zip(pauses) {
                now = budget.ready_at(now + Duration::from_millis(pause));
                budget.spend(cost, now);
                spent += cost;
                last = cost;
            }
            let allowed = now.0.as_secs_f64() * rate as f64 + burst as f64 + last as f64;
            prop_assert!(spent as f64 <= allowed * 1.000_001 + 1.0, "{} > {}", spent, allowed);
        }
    }
}
