//! Figures that other commands printed as JSON lines: `bench`, `heal` and `run` with `--json`.

use serde::Serialize;
use serde_json::Value;

/// Lines of a file at most.
const LINES_MAX: usize = 10_000;

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// What came out, with its unit.
    pub value: String,
    /// What was asked for.
    pub bound: String,
    /// Whether that is reached; none where nothing was asked for.
    pub kept: Option<bool>,
}

/// Reads the figures of a command's output. Lines that tell something else are passed over.
pub fn read(text: &str) -> Vec<Figure> {
    text.lines()
        .take(LINES_MAX)
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["type"] == "figure")
        .filter_map(|line| figure(&line))
        .collect()
}

fn figure(line: &Value) -> Option<Figure> {
    let text = |key: &str| line[key].as_str().unwrap_or_default();
    let what = match text("part") {
        "" => text("figure").to_owned(),
        part => format!("{part}: {}", text("figure")),
    };
    let bound = match line["limit"].as_f64() {
        Some(limit) => format!("at most {limit}"),
        None => text("target").to_owned(),
    };
    let kept = line["kept"].as_bool().or(line["reached"].as_bool());
    let value = format!("{} {}", line["value"].as_f64()?, text("unit"));
    Some(Figure { what, value: value.trim_end().to_owned(), bound, kept })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_both_commands_are_read_and_all_else_is_passed_over() {
        let text = r#"{"type":"part","part":"half","how":"…"}
{"type":"figure","part":"half","figure":"seconds until then","value":31.0,"unit":"s","target":"at most 600","reached":true}
not JSON
{"type":"figure","figure":"publish 100MiB","value":10.3,"unit":"s","limit":12.6,"kept":true}
{"type":"figure","figure":"told","value":7,"unit":""}
{"type":"figure","figure":"no value"}"#;
        let figures = read(text);
        let seen: Vec<_> =
            figures.iter().map(|f| (f.what.as_str(), f.value.as_str(), f.bound.as_str(), f.kept)).collect();
        assert_eq!(
            seen,
            [
                ("half: seconds until then", "31 s", "at most 600", Some(true)),
                ("publish 100MiB", "10.3 s", "at most 12.6", Some(true)),
                ("told", "7", "", None),
            ]
        );
    }
}
