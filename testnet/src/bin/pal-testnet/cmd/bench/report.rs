//! How figures are printed: as they come, each with the limit it is held against.

use serde_json::{Map, Value, json};

use super::super::say;
use super::round;

/// Columns of a figure's name in the table.
const NAME_COLUMNS: usize = 56;

/// One measured value.
#[derive(Debug)]
pub(super) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    limit: Option<f64>,
    details: Map<String, Value>,
}

impl Figure {
    pub(super) fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, limit: None, details: Map::new() }
    }

    /// The value should not be above this.
    pub(super) fn at_most(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// As [`Figure::at_most`], where there is something to hold against.
    pub(super) fn at_most_if(mut self, limit: Option<f64>) -> Self {
        self.limit = limit.or(self.limit);
        self
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }

    pub(super) fn with_all(mut self, details: Map<String, Value>) -> Self {
        self.details.extend(details);
        self
    }

    /// Whether the limit is kept; none without a limit.
    fn kept(&self) -> Option<bool> {
        self.limit.map(|limit| self.value <= limit)
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("type".into(), json!("figure"));
        object.insert("figure".into(), json!(self.name));
        object.insert("value".into(), json!(round(self.value)));
        object.insert("unit".into(), json!(self.unit));
        if let (Some(limit), Some(kept)) = (self.limit, self.kept()) {
            object.insert("limit".into(), json!(round(limit)));
            object.insert("kept".into(), json!(kept));
        }
        object.extend(self.details.clone());
        Value::Object(object)
    }

    /// The value with its name and limit on one line, the rest on a second.
    pub(super) fn lines(&self) -> String {
        let (name, value, unit) = (&self.name, self.value, self.unit);
        let verdict = match (self.limit, self.kept()) {
            (Some(limit), Some(true)) => format!("  ok (at most {})", short(limit)),
            (Some(limit), Some(false)) => format!("  MISSED (at most {})", short(limit)),
            _ => String::new(),
        };
        let details: Vec<String> =
            self.details.iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
        let second = if details.is_empty() { String::new() } else { format!("\n    {}", details.join(" · ")) };
        format!("{name:<NAME_COLUMNS$} {:>9} {unit}{verdict}{second}", short(value))
    }
}

/// Prints figures, and remembers what is to be told at the end.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    missed: usize,
    wrong: usize,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, missed: 0, wrong: 0 }
    }

    pub(super) fn emit(&mut self, figure: Figure) {
        self.missed += usize::from(figure.kept() == Some(false));
        self.wrong += usize::from(figure.details.contains_key("wrong"));
        say(&if self.json { figure.json().to_string() } else { figure.lines() });
    }

    /// The last line; tells whether everything came back as it was. A missed limit is told, and is no failure: the
    /// machine may have been busy.
    pub(super) fn end(self) -> bool {
        let Self { json, missed, wrong } = self;
        say(&if json {
            json!({"type": "result", "limits_missed": missed, "figures_with_wrong_runs": wrong}).to_string()
        } else {
            format!("{missed} limits missed, {wrong} figures with failed runs")
        });
        wrong == 0
    }
}

/// About three digits.
fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        1.0.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(" "),
        Value::Number(number) => match number.as_f64() {
            Some(value) if number.is_f64() => short(value),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Figure, Report};

    #[test]
    fn a_figure_is_an_object_and_a_line() {
        let figure = Figure::new("fetch 1KiB", 0.3014, "s").at_most(0.5).with("walls_s", vec![0.25, 0.3, 0.4]);
        let object = figure.json();
        assert_eq!(object["kept"], true);
        assert_eq!(object["value"], 0.301);
        let lines = figure.lines();
        assert!(lines.starts_with("fetch 1KiB ") && lines.contains("0.301 s  ok (at most 0.500)"), "{lines}");
        assert!(lines.ends_with("walls_s 0.250 0.300 0.400"), "{lines}");
        assert!(Figure::new("x", 31.0, "MiB").at_most(30.0).lines().contains("MISSED"));
        assert!(Figure::new("x", 31.0, "MiB").json().get("kept").is_none());
    }

    #[test]
    fn missed_limits_are_no_failure_and_wrong_bytes_are() {
        let mut report = Report::new(true);
        report.emit(Figure::new("slow", 2.0, "s").at_most_if(Some(1.0)));
        assert_eq!((report.missed, report.wrong), (1, 0));
        assert!(report.end());
        let mut report = Report::new(false);
        report.emit(Figure::new("lost", 2.0, "s").at_most_if(None).with("wrong", vec!["exit code 5"]));
        assert!(!report.end());
    }
}
