//! How figures are printed: as they come, each with its target.

use serde_json::{Map, Value, json};

use super::super::say;

const NAME_COLUMNS: usize = 58;
const VALUE_COLUMNS: usize = 12;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It is told, and nothing hangs on it.
    None,
}

impl Target {
    fn is_reached(self, value: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(value <= most),
            Self::AtLeast(least) => Some(value >= least),
            Self::None => None,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtMost(most) => format!("at most {}", short(most)),
            Self::AtLeast(least) => format!("at least {}", short(least)),
            Self::None => String::new(),
        }
    }
}

/// Prints figures, and remembers whether all targets were reached.
pub(super) struct Report {
    json: bool,
    part: &'static str,
    missed: usize,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, part: "", missed: 0 }
    }

    /// Begins a part; `how` says under which circumstances.
    pub(super) fn part(&mut self, part: &'static str, how: &str) {
        self.part = part;
        say(&if self.json {
            json!({"type": "part", "part": part, "how": how}).to_string()
        } else {
            format!("{part}: {how}")
        });
    }

    pub(super) fn figure(&mut self, name: &str, value: f64, unit: &'static str, target: Target) {
        let reached = target.is_reached(value);
        self.missed += usize::from(reached == Some(false));
        say(&if self.json {
            self.json(name, value, unit, target, reached)
        } else {
            line(name, value, unit, target, reached)
        });
    }

    /// Told without a target.
    pub(super) fn told(&mut self, name: &str, value: f64, unit: &'static str) {
        self.figure(name, value, unit, Target::None);
    }

    fn json(&self, name: &str, value: f64, unit: &str, target: Target, reached: Option<bool>) -> String {
        let mut object = Map::new();
        object.insert("type".into(), json!("figure"));
        object.insert("part".into(), json!(self.part));
        object.insert("figure".into(), json!(name));
        object.insert("value".into(), json!((value * 1e3).round() / 1e3));
        object.insert("unit".into(), json!(unit));
        if let Some(reached) = reached {
            object.insert("target".into(), json!(target.words()));
            object.insert("reached".into(), json!(reached));
        }
        Value::Object(object).to_string()
    }

    /// The last line; whether all targets were reached.
    pub(super) fn end(self) -> bool {
        let missed = self.missed;
        say(&if self.json {
            json!({"type": "result", "missed": missed}).to_string()
        } else {
            format!("{missed} targets missed")
        });
        missed == 0
    }
}

fn line(name: &str, value: f64, unit: &str, target: Target, reached: Option<bool>) -> String {
    let verdict = match reached {
        Some(true) => format!("reached ({})", target.words()),
        Some(false) => format!("FALLS SHORT ({})", target.words()),
        None => String::new(),
    };
    format!("  {name:<NAME_COLUMNS$} {:>VALUE_COLUMNS$} {unit:<8} {verdict}", short(value)).trim_end().to_owned()
}

/// Whole numbers as they are, others with about three digits.
fn short(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Report, Target, line};

    #[test]
    fn a_target_is_reached_or_told() {
        assert_eq!(Target::AtMost(1.5).is_reached(1.5), Some(true));
        assert_eq!(Target::AtMost(1.5).is_reached(1.51), Some(false));
        assert_eq!(Target::AtLeast(0.95).is_reached(0.94), Some(false));
        assert_eq!(Target::AtMost(1.0).is_reached(f64::NAN), Some(false), "nothing measured is nothing reached");
        assert_eq!(Target::None.is_reached(7.0), None);
        let text = line("x", 1.51, "×", Target::AtMost(1.5), Some(false));
        assert!(text.contains("FALLS SHORT (at most 1.50)"), "{text}");
    }

    #[test]
    fn one_missed_target_is_remembered() {
        let mut report = Report::new(true);
        report.told("x", 1.0, "s");
        report.figure("y", 1.0, "s", Target::AtMost(1.0));
        assert_eq!(report.missed, 0);
        report.figure("z", 1.0, "s", Target::AtLeast(2.0));
        assert!(!report.end());
    }
}
