//! Progress, shown: a line on a terminal's standard error, JSON lines for programs, or nothing.

use crate::report::{Report, Stream};
use crate::units::{bytes, time};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use palimpsest_client::Snapshot;
use std::collections::VecDeque;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// Between two JSON lines: two a second at most.
const JSON_EVERY: Duration = Duration::from_millis(500);
/// Between two drawings on a terminal.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// From when on a standstill is worth a word.
const QUIET: Duration = Duration::from_secs(3);
/// The stretch of time over which the rate is taken.
const RATE_OVER: Duration = Duration::from_secs(5);

/// Who shows progress.
pub(crate) enum Meter {
    /// Nobody looks.
    Silent,
    /// A program.
    Json(Stream),
    /// A person.
    Bar(Box<Bar>),
}

impl Meter {
    /// The right one for how the command was asked to speak, and for where it runs.
    pub(crate) fn new(report: &Report) -> Meter {
        match report.json {
            Some(stream) => Meter::Json(stream),
            None if report.quiet || !stderr().is_terminal() => Meter::Silent,
            None => Meter::Bar(Box::new(Bar::new())),
        }
    }

    /// How often to show.
    pub(crate) fn every(&self) -> Duration {
        if matches!(self, Meter::Bar(_)) { DRAW_EVERY } else { JSON_EVERY }
    }

    /// Shows.
    pub(crate) fn show(&mut self, now: &Snapshot) {
        match self {
            Meter::Silent => {}
            Meter::Json(stream) => Report::status(*stream, now),
            Meter::Bar(bar) => bar.show(now),
        }
    }

    /// Leaves the terminal as it was.
    pub(crate) fn clear(&mut self) {
        if let Meter::Bar(bar) = self {
            bar.bar.finish_and_clear();
        }
    }
}

/// The line on the terminal.
pub(crate) struct Bar {
    bar: ProgressBar,
    /// The looks from the moment when the total is known.
    filling: Option<ProgressStyle>,
    rate: Rate,
}

impl Bar {
    fn new() -> Bar {
        // https://no-color.org: set and not empty.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let filling = if plain { "{bar:20} {wide_msg}" } else { "{bar:20.cyan/blue} {wide_msg}" };
        let style = |template| ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        bar.set_style(style("{spinner} {wide_msg}"));
        Bar { bar, filling: Some(style(filling)), rate: Rate::default() }
    }

    fn show(&mut self, now: &Snapshot) {
        let rate = self.rate.take(Instant::now(), now.bytes_done);
        if let Some(total) = now.bytes_total {
            if let Some(filling) = self.filling.take() {
                self.bar.set_style(filling);
            }
            self.bar.set_length(total);
            self.bar.set_position(now.bytes_done);
        }
        self.bar.set_message(line(now, rate));
        self.bar.tick();
    }
}

/// Bytes a second over the last few seconds.
#[derive(Default)]
struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Notes `done` bytes at `now`, and says the rate, if there is one.
    fn take(&mut self, now: Instant, done: u64) -> Option<f64> {
        self.0.push_back((now, done));
        // The pair that is just outside is kept, to measure from.
        while self.0.get(1).is_some_and(|(then, _)| now.duration_since(*then) >= RATE_OVER) {
            self.0.pop_front();
        }
        let (then, before) = self.0.front()?;
        let seconds = now.duration_since(*then).as_secs_f64();
        (seconds >= 0.5 && done > *before).then(|| (done - before) as f64 / seconds)
    }
}

/// The words: phase, bytes, shards, rate, time left, standstill.
fn line(now: &Snapshot, rate: Option<f64>) -> String {
    let mut parts = vec![now.phase.name().to_owned()];
    match now.bytes_total {
        Some(total) => parts.push(format!("{} of {}", bytes(now.bytes_done), bytes(total))),
        None if now.bytes_done > 0 => parts.push(bytes(now.bytes_done)),
        None => {}
    }
    match now.shards_needed {
        Some(needed) => parts.push(format!("{} of {needed} shards", now.shards_done)),
        None if now.shards_done > 0 => parts.push(format!("{} shards", now.shards_done)),
        None => {}
    }
    if now.quiet_for > QUIET {
        parts.push(format!("no progress for {} s", now.quiet_for.as_secs()));
    } else if let Some(rate) = rate {
        parts.push(format!("{}/s", bytes(rate as u64)));
        if let Some(total) = now.bytes_total.filter(|total| *total > now.bytes_done) {
            let left = Duration::try_from_secs_f64((total - now.bytes_done) as f64 / rate);
            parts.extend(left.map(|left| format!("{} left", time(left))));
        }
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::{Rate, line};
    use palimpsest_client::{Phase, Snapshot};
    use std::time::{Duration, Instant};

    const START: Snapshot = Snapshot {
        phase: Phase::Connecting,
        bytes_done: 0,
        bytes_total: None,
        shards_done: 0,
        shards_needed: None,
        quiet_for: Duration::ZERO,
    };

    #[test]
    fn says_only_what_is_known() {
        assert_eq!(line(&START, None), "connecting");
        let pipe = Snapshot { phase: Phase::Placing, bytes_done: 2048, shards_done: 3, ..START };
        assert_eq!(line(&pipe, Some(1024.0)), "placing · 2.0 KiB · 3 shards · 1.0 KiB/s");
    }

    #[test]
    fn says_how_long_it_will_take_or_that_it_stands_still() {
        let now = Snapshot {
            phase: Phase::Fetching,
            bytes_done: 8 << 20,
            bytes_total: Some(32 << 20),
            shards_done: 130,
            shards_needed: Some(512),
            ..START
        };
        let moving = line(&now, Some(f64::from(2 << 20)));
        assert_eq!(moving, "fetching · 8.0 MiB of 32.0 MiB · 130 of 512 shards · 2.0 MiB/s · 12 s left");
        let stalled = Snapshot { quiet_for: Duration::from_millis(7900), ..now };
        let words = "fetching · 8.0 MiB of 32.0 MiB · 130 of 512 shards · no progress for 7 s";
        assert_eq!(line(&stalled, Some(1.0)), words);
    }

    #[test]
    fn the_rate_forgets_the_past() {
        let mut rate = Rate::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        assert_eq!(rate.take(at(0), 0), None);
        assert_eq!(rate.take(at(1), 1000), Some(1000.0));
        for second in 2..20 {
            rate.take(at(second), 1000 + second);
        }
        assert_eq!(rate.take(at(20), 1020), Some(1.0));
        assert_eq!(rate.take(at(30), 1020), None);
    }
}
