//! When requests leave that are to be spread over time. They leave at random moments that do not depend on each other (a Poisson
//! process), so that nothing but their number tells those of one file from what others send meanwhile.

use crate::session::lock;
use palimpsest_proto::time::Moment;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The longest time over which a publish or a fetch is spread: 7 days.
pub(crate) const SPREAD_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Of requests that leave one by one. Clones keep one pace together.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    mean: Duration,
    next: Arc<Mutex<Moment>>,
}

impl Pace {
    /// About `requests` of them over the time of `over`, from `now` on.
    pub(crate) fn new(over: Duration, requests: u64, now: Moment) -> Pace {
        let mean = over.div_f64(requests.max(1) as f64);
        Pace { mean, next: Arc::new(Mutex::new(now + interval(mean, rand::random()))) }
    }

    /// When the next one may leave.
    pub(crate) fn next(&self) -> Moment {
        *lock(&self.next)
    }

    /// One left.
    pub(crate) fn left(&self, now: Moment) {
        let mut next = lock(&self.next);
        *next = now.max(*next) + interval(self.mean, rand::random());
    }
}

/// An exponentially distributed time of this mean; `chance` is from 0 to below 1.
fn interval(mean: Duration, chance: f64) -> Duration {
    mean.mul_f64(-(-chance).ln_1p())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn so_many_leave_in_about_that_time_and_no_two_gaps_are_alike() {
        let begin = Moment::default();
        let pace = Pace::new(MINUTE, 10_000, begin);
        let mut gaps = Vec::new();
        for _ in 1..10_000 {
            let now = pace.next();
            pace.left(now);
            gaps.push(pace.next().since(now));
        }
        // The sum of as many strays by 1 %; six times that is never seen.
        let took = pace.next().since(begin);
        assert!(took > MINUTE.mul_f64(0.94) && took < MINUTE.mul_f64(1.06), "{took:?}");
        // Of an exponential distribution 1 − 1/e are shorter than the mean.
        let short = gaps.iter().filter(|gap| **gap < MINUTE / 10_000).count();
        assert!((6_000..6_650).contains(&short), "{short}");
    }

    #[test]
    fn who_was_kept_from_it_does_not_catch_up_at_once() {
        let pace = Pace::new(MINUTE, 60, Moment::default());
        let late = Moment::default() + 10 * MINUTE;
        pace.left(late);
        assert!(pace.next() >= late);
    }

    #[test]
    fn clones_keep_one_pace() {
        let pace = Pace::new(MINUTE, 60, Moment::default());
        let other = pace.clone();
        other.left(Moment::default() + MINUTE);
        assert!(pace.next() >= Moment::default() + MINUTE);
        assert_eq!(pace.next(), other.next());
    }

    #[test]
    fn any_chance_gives_a_time() {
        assert_eq!(interval(MINUTE, 0.0), Duration::ZERO);
        assert!(interval(MINUTE, 1.0 - f64::EPSILON) < 40 * MINUTE);
        let nothing = Pace::new(MINUTE, 0, Moment::default());
        assert!(nothing.next().since(Moment::default()) < 40 * MINUTE);
    }
}
