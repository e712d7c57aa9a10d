use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{Condition, Memory, Process, Stat, cpu, memory, parse_machine, parse_memory, parse_stat};

/// Waits, and fails when it never comes.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

/// A process that is ended with the test, however that ends.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap();
        let line = format!("/proc/{}/cmdline", child.id());
        let sleeper = Self(child);
        until("it is what it shall be", || std::fs::read(&line).is_ok_and(|line| !line.is_empty()));
        sleeper
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn stat_of_a_process_with_a_nasty_name() {
    let text =
        b"42 (a) R (b c) S 1 42 42 0 -1 4194560 1 2 3 4 100 20 7 8 20 0 9 0 123456 1000 200 18446744073709551615";
    let expected = Stat { state: b'S', own_ticks: 120, children_ticks: 15, started_ticks: 123_456 };
    assert_eq!(parse_stat(text), Some(expected));
    assert_eq!(parse_stat(b"42 (x) S 1"), None);
    assert_eq!(parse_stat(b""), None);
    assert_eq!(parse_stat(b"42 (x"), None);
}

#[test]
fn memory_and_machine_lines() {
    let text = "Name:\tx\nVmPeak:\t  9000 kB\nVmHWM:\t  2048 kB\nVmRSS:\t    1024 kB\n";
    assert_eq!(parse_memory(text), Some(Memory { resident: 1 << 20, peak: 2 << 20 }));
    assert_eq!(parse_memory("Name:\tzombie\n"), None);
    assert_eq!(parse_machine("cpu  1 2 4 1000 500 8 16 99 0 0\ncpu0 1 2 3\n"), Some(31));
    assert_eq!(parse_machine("cpu  1 2\n"), None);
}

#[test]
fn this_very_process_has_memory_and_time() {
    let seen = memory(std::process::id()).unwrap();
    assert!(seen.resident > 0 && seen.peak >= seen.resident);
    assert!(cpu(std::process::id()).is_some());
}

#[test]
fn a_process_is_stopped_continued_and_killed() {
    let sleeper = Sleeper::new();
    let process = Process::of(sleeper.0.id()).unwrap();
    let argument = Path::new("1000");
    assert_eq!(process.condition(argument), Condition::Running);
    assert!(process.signal(argument, Signal::STOP).unwrap());
    until("it stops", || process.condition(argument) == Condition::Stopped);
    assert!(process.signal(argument, Signal::CONT).unwrap());
    until("it goes on", || process.condition(argument) == Condition::Running);
    assert!(process.signal(argument, Signal::KILL).unwrap());
    until("it ends", || process.condition(argument) == Condition::Gone);
    assert!(!process.signal(argument, Signal::KILL).unwrap());
}

#[test]
fn a_stranger_with_the_same_number_is_left_alone() {
    let sleeper = Sleeper::new();
    let process = Process::of(sleeper.0.id()).unwrap();
    let later = Process { started_ticks: process.started_ticks + 1, ..process };
    assert!(!later.signal(Path::new("1000"), Signal::KILL).unwrap(), "started at another time");
    assert!(!process.signal(Path::new("/another/folder"), Signal::KILL).unwrap(), "started for another folder");
    assert_eq!(process.condition(Path::new("1000")), Condition::Running);
}
