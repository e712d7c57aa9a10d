//! What Linux tells of processes in `/proc`: whether one lives and is still the one meant, what it used, and signals
//! that cannot hit a stranger.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, pidfd_send_signal, waitpid};

/// A process that was started here, told from every later one that gets the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the machine's start.
    pub(crate) started_ticks: u64,
}

/// How a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It runs or waits for something.
    Running,
    /// Stopped by a signal: alive, and silent.
    Stopped,
    /// It ended, or its number belongs to another process by now.
    Gone,
}

/// The few fields of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    state: u8,
    own_ticks: u64,
    children_ticks: u64,
    started_ticks: u64,
}

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Resident at most so far.
    pub peak: u64,
}

impl Process {
    /// The process that has this number now.
    pub(crate) fn of(pid: u32) -> io::Result<Self> {
        let stat = stat(pid)?;
        Ok(Self { pid, started_ticks: stat.started_ticks })
    }

    /// How this process is. It must have been started with `argument` among its arguments: together with the start
    /// time this holds across a restart of the machine too.
    pub(crate) fn condition(self, argument: &Path) -> Condition {
        let Ok(stat) = stat(self.pid) else { return Condition::Gone };
        if stat.started_ticks != self.started_ticks {
            return Condition::Gone;
        }
        match stat.state {
            // Ended and not yet collected: by us if it is our child; a foreign child is its parent's affair.
            b'Z' | b'X' => {
                if let Some(pid) = self.number() {
                    let _not_our_child = waitpid(Some(pid), WaitOptions::NOHANG);
                }
                Condition::Gone
            }
            _ if !self.has_argument(argument) => Condition::Gone,
            b'T' => Condition::Stopped,
            _ => Condition::Running,
        }
    }

    /// Sends a signal if the process is still the one meant; tells whether it was. The check comes after the process
    /// is held by a descriptor, so that no other can take its number in between.
    pub(crate) fn signal(self, argument: &Path, signal: Signal) -> io::Result<bool> {
        let Some(pid) = self.number() else { return Ok(false) };
        let held = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(held) => held,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if self.condition(argument) == Condition::Gone {
            return Ok(false);
        }
        match pidfd_send_signal(held, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn number(self) -> Option<Pid> {
        i32::try_from(self.pid).ok().and_then(Pid::from_raw)
    }

    /// Whether `argument` is among its arguments. There are none for a moment while a program takes the place of its
    /// starter, after the starter was told that it did: that passes for a yes.
    fn has_argument(self, argument: &Path) -> bool {
        let wanted = argument.as_os_str().as_bytes();
        fs::read(format!("/proc/{}/cmdline", self.pid))
            .is_ok_and(|line| line.is_empty() || line.split(|&byte| byte == 0).any(|one| one == wanted))
    }
}

/// Processor time that a process has used so far, all its threads together; `None` when there is none such.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    stat(pid).ok().map(|stat| ticks(stat.own_ticks))
}

/// Processor time of this process, and of all its ended and collected children.
pub(crate) fn cpu_of_self_and_children() -> (Duration, Duration) {
    stat(std::process::id())
        .map_or_else(|_| (Duration::ZERO, Duration::ZERO), |stat| (ticks(stat.own_ticks), ticks(stat.children_ticks)))
}

/// Processor time that the whole machine has used since its start, idle and stolen time not counted.
pub(crate) fn cpu_of_machine() -> Duration {
    fs::read_to_string("/proc/stat").ok().and_then(|text| parse_machine(&text)).map_or(Duration::ZERO, ticks)
}

/// Memory of a process; `None` when there is none such, or it has ended.
pub(crate) fn memory(pid: u32) -> Option<Memory> {
    parse_memory(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn stat(pid: u32) -> io::Result<Stat> {
    // Bytes, since a process may name itself anything.
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    parse_stat(&text).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// proc_pid_stat(5): the name in parentheses may hold blanks and parentheses, hence all is counted from the last one.
fn parse_stat(text: &[u8]) -> Option<Stat> {
    let end = text.iter().rposition(|&byte| byte == b')')?;
    let fields: Vec<&str> = std::str::from_utf8(&text[end + 1..]).ok()?.split_ascii_whitespace().collect();
    // Field 3 of the manual is the first one here.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        state: *fields.first()?.as_bytes().first()?,
        own_ticks: number(14)? + number(15)?,
        children_ticks: number(16)? + number(17)?,
        started_ticks: number(22)?,
    })
}

fn parse_memory(text: &str) -> Option<Memory> {
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    };
    Some(Memory { resident: value("VmRSS:")?, peak: value("VmHWM:")? })
}

/// proc_stat(5): user, nice, system, idle, iowait, irq, softirq.
fn parse_machine(text: &str) -> Option<u64> {
    let fields: Vec<u64> = text
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    Some(fields.get(..3)?.iter().sum::<u64>() + fields.get(5..7)?.iter().sum::<u64>())
}

fn ticks(count: u64) -> Duration {
    Duration::from_secs_f64(count as f64 / rustix::param::clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests;
