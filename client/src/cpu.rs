//! Where a process's processor time goes, measured in place: work that does not wait is timed on its thread's own clock and
//! summed up by kind. What no account counts (sockets, Noise, Yamux, the runtime) is the process's total less the sums.
//!
//! A measurement reads the clock twice, which costs some 0.4 µs (`cargo bench -p palimpsest-client --bench net -- cpu`)
//! where the work that is measured takes 10 to 600 µs.

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Processor time spent on one kind of work so far, by all threads together.
#[derive(Debug, Default)]
pub struct Spent(AtomicU64);

impl Spent {
    /// Does the work, and counts what it took. `work` runs on this thread to its end; what the thread sleeps meanwhile does
    /// not count.
    pub fn on<T>(&self, work: impl FnOnce() -> T) -> T {
        let (done, took) = timed(work);
        self.add(took);
        done
    }

    /// Counts what [`timed`] found.
    pub fn add(&self, took: Duration) {
        // 584 years of processor time fit.
        self.0.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    /// The sum.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Does the work, and tells what processor time it took: for work whose kind shows by its result.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let begun = thread_time();
    let done = work();
    (done, thread_time().saturating_sub(begun))
}

/// Processor time of this thread since its start.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The system gives neither below zero.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A client's account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) onion: Spent,
    pub(crate) coding: Spent,
}

/// A reading of a client's account: totals since it entered the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientCpu {
    /// Nanoseconds for reply blocks, wrapping, peeling and opening.
    pub onion_ns: u64,
    /// Nanoseconds for cutting, sealing, coding, hashing, and the same backwards.
    pub coding_ns: u64,
}

impl Account {
    pub(crate) fn read(&self) -> ClientCpu {
        let nanos = |spent: &Spent| spent.total().as_nanos() as u64;
        ClientCpu { onion_ns: nanos(&self.onion), coding_ns: nanos(&self.coding) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Spent, thread_time};
    use std::time::Duration;

    #[test]
    fn work_counts_and_sleep_does_not() {
        let spent = Spent::default();
        let busy = || {
            let until = thread_time() + Duration::from_millis(5);
            while thread_time() < until {}
        };
        spent.on(busy);
        let total = spent.total();
        assert!(total >= Duration::from_millis(5));
        spent.on(|| std::thread::sleep(Duration::from_millis(200)));
        // Falling asleep costs microseconds, on a machine however busy.
        assert!(spent.total() - total < Duration::from_millis(100), "{:?}", spent.total());
        spent.add(Duration::from_secs(1));
        assert!(spent.total() > Duration::from_secs(1));
    }
}
