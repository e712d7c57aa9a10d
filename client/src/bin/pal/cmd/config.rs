//! `pal config show [--origin]`, `pal config example`

use crate::args::ConfigCommand;
use crate::report::Report;
use palimpsest_client::Error;
use palimpsest_client::config::{EXAMPLE, Values};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
struct Body {
    command: &'static str,
    settings: BTreeMap<&'static str, Entry>,
}

#[derive(Serialize)]
struct Entry {
    value: toml::Value,
    origin: String,
}

/// Prints settings.
pub(crate) fn run(command: &ConfigCommand, report: &Report) -> Result<(), Error> {
    let ConfigCommand::Show { origin, settings, .. } = command else {
        return report.answer(EXAMPLE, ());
    };
    let entries = settings.load(Values::default())?.entries();
    let lines: Vec<String> = entries.iter().map(|(key, value, _)| format!("{key} = {value}")).collect();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for (line, (_, _, place)) in lines.iter().zip(&entries) {
        // A comment, so that what is printed is a configuration file again.
        text.push_str(&if *origin { format!("{line:width$}  # {place}\n") } else { format!("{line}\n") });
    }
    let settings = entries.into_iter().map(|(key, value, origin)| (key, Entry { value, origin })).collect();
    report.answer(&text, Body { command: "config show", settings })
}
