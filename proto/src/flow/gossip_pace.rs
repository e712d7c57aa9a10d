//! How often to gossip: half a second after news, then ever more rarely. Quick rounds are a budget, so that a large
//! network, in which there is always some news, stays cheap.

use crate::time::Moment;
use std::time::Duration;

/// The pause after news.
const QUICK: Duration = Duration::from_millis(500);
/// The longest pause.
const SLOW: Duration = Duration::from_secs(60);
/// Times that news may quicken the pace in a row.
const QUICKENED_MAX: u32 = 32;
/// One more such time is granted after this long.
const GRANTED_EVERY: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Clone, Debug)]
pub struct GossipPace {
    next: Duration,
    budget: u32,
    granted: Moment,
}

impl GossipPace {
    /// Quick at first.
    pub fn new(now: Moment) -> GossipPace {
        GossipPace { next: QUICK, budget: QUICKENED_MAX, granted: now }
    }

    /// The pause before the next exchange; the one after it is twice as long.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(SLOW);
        pause
    }

    /// There is news. Returns the pause before the next exchange, if the budget allows one that is shorter.
    pub fn quicken(&mut self, now: Moment) -> Option<Duration> {
        let grants = now.since(self.granted).as_secs() / GRANTED_EVERY.as_secs();
        if grants > 0 {
            self.granted = now;
            self.budget = self.budget.saturating_add(u32::try_from(grants).unwrap_or(u32::MAX)).min(QUICKENED_MAX);
        }
        // News that comes while we are quick already costs nothing.
        if self.next <= QUICK * 2 {
            self.next = QUICK;
            return Some(QUICK);
        }
        self.budget = self.budget.checked_sub(1)?;
        self.next = QUICK;
        Some(self.pause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_slows_down_to_its_slowest() {
        let mut pace = GossipPace::new(Moment::default());
        let pauses: Vec<u64> = (0..9).map(|_| pace.pause().as_millis() as u64).collect();
        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
    }

    #[test]
    fn news_quickens_it_as_long_as_the_budget_lasts() {
        let mut pace = GossipPace::new(Moment::default());
        let mut quickened = 0;
        loop {
            // Quiet in between.
            (0..5).for_each(|_| assert!(pace.pause() >= QUICK));
            if pace.quicken(Moment::default()) != Some(QUICK) {
                break;
            }
            quickened += 1;
        }
        assert_eq!(quickened, QUICKENED_MAX);
        let later = Moment::default() + 2 * GRANTED_EVERY;
        assert_eq!(pace.quicken(later), Some(QUICK));
    }
}
