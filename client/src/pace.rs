//! When requests leave that are to be spread over time. They leave at random moments that do not depend on each other (a Poisson
//! process), so that nothing but their number tells those of one file from what others send meanwhile.

use palimpsest_proto::time::Moment;
use std::time::Duration;

/// Of requests that leave one by one.
#[derive(Debug)]
pub(crate) struct Pace {
    mean: Duration,
    next: Moment,
}

impl Pace {
    /// About `requests` of them over the time of `over`, from `now` on.
    pub(crate) fn new(over: Duration, requests: u64, now: Moment) -> Pace {
        let mean = over.div_f64(requests.max(1) as f64);
        Pace { mean, next: now + interval(mean, rand::random()) }
    }

    /// When the next one may leave.
    pub(crate) fn next(&self) -> Moment {
        self.next
    }

    /// One left.
    pub(crate) fn left(&mut self, now: Moment) {
        self.next = now.max(self.next) + interval(self.mean, rand::random());
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
        let mut pace = Pace::new(MINUTE, 10_000, begin);
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
        let mut pace = Pace::new(MINUTE, 60, Moment::default());
        let late = Moment::default() + 10 * MINUTE;
        pace.left(late);
        assert!(pace.next() >= late);
    }

    #[test]
    fn any_chance_gives_a_time() {
        assert_eq!(interval(MINUTE, 0.0), Duration::ZERO);
        assert!(interval(MINUTE, 1.0 - f64::EPSILON) < 40 * MINUTE);
        let nothing = Pace::new(MINUTE, 0, Moment::default());
        assert!(nothing.next().since(Moment::default()) < 40 * MINUTE);
    }
}
