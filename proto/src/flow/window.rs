//! How many requests may be on the way, and how long to wait for one.
//!
//! Additive increase, multiplicative decrease, as TCP has it (RFC 5681), with RFC 6298's estimate of round trips. It
//! grows no further while delay shows that queues are filling. Losses that are a dead node's fault are not reported
//! here: see [`crate::select::Blame`].

use crate::time::Moment;
use std::time::Duration;

/// Requests on the way at first: a full stripe's.
const START: f64 = 32.0;
/// Requests on the way at least.
const MIN: f64 = 8.0;
/// Requests on the way at most: 32 MiB of shards in memory.
const MAX: f64 = 512.0;
/// What a loss leaves of the window (RFC 9438's β): half would be too little where a few losses are nobody's queue.
const CUT_FACTOR: f64 = 0.7;
/// How long to wait before any round trip was seen.
const TIMEOUT_START: Duration = Duration::from_secs(1);
/// Waits are never shorter: below this, a pause of the operating system looks like a loss.
const TIMEOUT_MIN: Duration = Duration::from_millis(100);
/// Waits are never longer.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// Delay over the least smoothed delay at which queues count as filling: this factor and this constant.
const QUEUE_FACTOR: f64 = 2.0;
const QUEUE_SLACK: f64 = 0.05;
/// How fast the least smoothed delay is forgotten, per answer, as routes change.
const LEAST_GROWTH: f64 = 1.0 + 1.0 / 1024.0;

/// The congestion window of one client, towards its guard.
#[derive(Clone, Debug)]
pub struct Window {
    size: f64,
    /// Below it the window doubles per round trip.
    threshold: f64,
    /// Smoothed round trip and its variation, in seconds.
    rtt: Option<(f64, f64)>,
    least: f64,
    cut_at: Option<Moment>,
}

impl Default for Window {
    fn default() -> Window {
        Window::new()
    }
}

impl Window {
    /// A window of which nothing is known yet.
    pub fn new() -> Window {
        Window { size: START, threshold: MAX, rtt: None, least: f64::MAX, cut_at: None }
    }

    /// How many requests may be on the way.
    pub fn size(&self) -> usize {
        self.size as usize
    }

    /// Whether one more request may leave while `outstanding` are on the way.
    pub fn can_send(&self, outstanding: usize) -> bool {
        outstanding < self.size()
    }

    /// The smoothed round trip, once there was one.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt.map(|(mean, _)| Duration::from_secs_f64(mean))
    }

    /// How long to wait for an answer before something else is tried.
    pub fn timeout(&self) -> Duration {
        let Some((mean, variation)) = self.rtt else {
            return TIMEOUT_START;
        };
        let wait = (mean + 4.0 * variation).max(2.0 * mean);
        Duration::from_secs_f64(wait).clamp(TIMEOUT_MIN, TIMEOUT_MAX)
    }

    /// An answer came after `rtt`, in time or late.
    pub fn on_answer(&mut self, rtt: Duration) {
        // A round trip beyond an hour is a machine that slept.
        let sample = rtt.as_secs_f64().min(3600.0);
        let (mean, variation) = match self.rtt {
            None => (sample, sample / 2.0),
            Some((mean, variation)) => {
                (mean + (sample - mean) / 8.0, variation + ((sample - mean).abs() - variation) / 4.0)
            }
        };
        self.rtt = Some((mean, variation));
        self.least = (self.least * LEAST_GROWTH).min(mean);
        if mean <= QUEUE_FACTOR * self.least + QUEUE_SLACK {
            self.size += if self.size < self.threshold { 1.0 } else { 1.0 / self.size };
            self.size = self.size.min(MAX);
        }
    }

    /// A request was lost on the way. Shrinks the window, at most once per round trip: one full queue drops many.
    pub fn on_loss(&mut self, now: Moment) {
        let pause = self.rtt().unwrap_or(TIMEOUT_START);
        if self.cut_at.is_some_and(|at| now.since(at) < pause) {
            return;
        }
        self.cut_at = Some(now);
        self.size = (self.size * CUT_FACTOR).max(MIN);
        self.threshold = self.size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_doubles_per_round_trip_until_a_loss_and_then_adds_one() {
        let mut w = Window::new();
        (0..32).for_each(|_| w.on_answer(ms(20)));
        assert_eq!(w.size(), 64);
        w.on_loss(Moment(ms(1000)));
        w.on_loss(Moment(ms(1010)));
        assert_eq!(w.size(), 44, "once per round trip");
        (0..46).for_each(|_| w.on_answer(ms(20)));
        assert_eq!(w.size(), 45);
        w.on_loss(Moment(ms(1030)));
        assert_eq!(w.size(), 32);
    }

    #[test]
    fn it_waits_for_the_slow_but_not_forever() {
        let mut w = Window::new();
        assert_eq!(w.timeout(), TIMEOUT_START);
        (0..50).for_each(|_| w.on_answer(ms(20)));
        assert_eq!(w.timeout(), TIMEOUT_MIN);
        (0..50).for_each(|i| w.on_answer(ms(if i % 2 == 0 { 300 } else { 700 })));
        assert!((ms(1000)..ms(2000)).contains(&w.timeout()), "{:?}", w.timeout());
        (0..50).for_each(|_| w.on_answer(Duration::MAX));
        assert_eq!(w.timeout(), TIMEOUT_MAX);
    }

    #[test]
    fn filling_queues_stop_its_growth() {
        let mut w = Window::new();
        (0..100).for_each(|_| w.on_answer(ms(40)));
        let size = w.size();
        (0..100).for_each(|_| w.on_answer(ms(400)));
        assert!(w.size() < size + 20);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds(steps in prop::collection::vec((any::<bool>(), 0..10_000u64), 0..500)) {
            let mut w = Window::new();
            let mut now = Moment::default();
            for (loss, t) in steps {
                now = now + ms(t);
                if loss { w.on_loss(now) } else { w.on_answer(ms(t)) }
                prop_assert!((MIN as usize..=MAX as usize).contains(&w.size()));
                prop_assert!(w.timeout() >= TIMEOUT_MIN && w.timeout() <= TIMEOUT_MAX);
            }
        }
    }
}
