//! A delay on a link where the kernel has no `netem`: packets that come in are handed to this program and held for as long as
//! they would have been on their way.
//!
//! A rule of the container's own network puts them into a queue (`NFQUEUE`); only their numbers come here, the packets stay in
//! the kernel. They leave in the order in which they came: a jitter makes gaps, and never overtakes. Packets are held where
//! they arrive and not where they are sent: a sender's kernel counts what it has not got rid of yet, and would send less.

mod queue;

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::link::{HELD_MAX, Latency};
use crate::sample::SplitMix64;
use queue::Queue;

/// The queue's number, in each container's own network.
const QUEUE: u16 = 7;

/// The lines for `iptables-restore` that hand all packets which come from outside to the queue. Without a program that
/// empties it they are lost.
pub(super) fn rules() -> String {
    format!("*mangle\n-A PREROUTING ! -i lo -j NFQUEUE --queue-num {QUEUE}\nCOMMIT\n")
}

/// How holding packets began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Began {
    /// This program does it from now on.
    Here,
    /// Another one does it already.
    Elsewhere,
}

/// Holds the packets that come into this program's network, until a process ends: that of the container whose network it is.
/// `ready` is told before the first one is held.
///
/// # Errors
/// The process is gone, the kernel has no such queues, or the right to them is missing.
pub fn hold(latency: Latency, process: u32, ready: impl FnOnce(Began)) -> io::Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidInput)?;
    let container = pidfd_open(pid, PidfdFlags::empty())?;
    let Some(queue) = Queue::bind(QUEUE, HELD_MAX)? else {
        ready(Began::Elsewhere);
        return Ok(());
    };
    ready(Began::Here);
    let mut line = Line::new(latency, process.into());
    loop {
        if let Some(last) = line.due(Instant::now()) {
            queue.release(last)?;
        }
        let wait = line.next().map(|due| timespec(due.saturating_duration_since(Instant::now())));
        let mut both = [PollFd::new(&queue, PollFlags::IN), PollFd::new(&container, PollFlags::IN)];
        match poll(&mut both, wait.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        if !both[1].revents().is_empty() {
            return Ok(());
        }
        if !both[0].revents().is_empty() {
            let now = Instant::now();
            queue.receive(|number| line.push(number, now))?;
        }
    }
}

fn timespec(wait: Duration) -> Timespec {
    // Less than any `i64`: waits are seconds.
    Timespec { tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX), tv_nsec: wait.subsec_nanos().into() }
}

/// Packets on their way: numbers, which grow, and when they arrive. As many as the kernel's queue holds.
struct Line {
    latency: Latency,
    dice: SplitMix64,
    held: VecDeque<(Instant, u32)>,
}

impl Line {
    fn new(latency: Latency, seed: u64) -> Self {
        Self { latency, dice: SplitMix64::new(seed), held: VecDeque::new() }
    }

    fn push(&mut self, number: u32, now: Instant) {
        if self.held.len() >= HELD_MAX as usize {
            // Never with a kernel that keeps its bound. It goes with the next one.
            return;
        }
        let Latency { delay, jitter } = self.latency;
        let chance = (self.dice.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let due = now + (delay - jitter) + jitter.mul_f64(2.0 * chance);
        let due = self.held.back().map_or(due, |(before, _)| due.max(*before));
        self.held.push_back((due, number));
    }

    fn next(&self) -> Option<Instant> {
        self.held.front().map(|(due, _)| *due)
    }

    /// Takes all that have arrived by now; the last one's number.
    fn due(&mut self, now: Instant) -> Option<u32> {
        let mut last = None;
        while self.held.front().is_some_and(|(due, _)| *due <= now) {
            last = self.held.pop_front().map(|(_, number)| number);
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{HELD_MAX, Line, hold};

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn packets_are_held_for_the_delay_and_never_overtake() {
        let mut line = Line::new("50ms±10".parse().unwrap(), 1);
        let start = Instant::now();
        for number in 0..100 {
            line.push(number, start + MS * number);
        }
        let mut arrived = 0;
        for ms in 0..200 {
            if let Some(last) = line.due(start + MS * ms) {
                let (least, most) = (ms.saturating_sub(61), ms.saturating_sub(40));
                assert!((least..=most).contains(&last) && last >= arrived, "{last} after {ms} ms");
                arrived = last;
            }
        }
        assert_eq!((arrived, line.next()), (99, None));
    }

    #[test]
    fn more_than_the_kernel_holds_is_not_remembered() {
        let mut line = Line::new("10ms".parse().unwrap(), 1);
        let start = Instant::now();
        (0..=HELD_MAX).for_each(|number| line.push(number, start));
        assert_eq!(line.due(start + 10 * MS), Some(HELD_MAX - 1));
    }

    #[test]
    fn no_process_no_delay() {
        let latency = "10ms".parse().unwrap();
        assert!(hold(latency, 0, |_| panic!("nothing is held")).is_err());
        assert!(hold(latency, u32::MAX, |_| panic!("nothing is held")).is_err());
    }
}
