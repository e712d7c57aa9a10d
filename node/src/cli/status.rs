//! `pald status`.

use super::{ANSWER_DEADLINE, Folder};
use crate::admin;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

#[derive(Args)]
pub(super) struct Status {
    #[command(flatten)]
    folder: Folder,
    /// The whole answer as JSON.
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) async fn show(self) -> Result<(), String> {
        let (dir, _) = self.folder.find().map_err(|e| e.to_string())?;
        let status = admin::status(&dir, ANSWER_DEADLINE).await.map_err(|e| e.to_string())?;
        if self.json {
            println!("{status}");
            return Ok(());
        }
        let number = |path: &str| status.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let mib = |path: &str| number(path) as f64 / f64::from(1 << 20);
        println!("node      {}", status["id"].as_str().unwrap_or("?"));
        println!("version   {}, up {} s", status["version"].as_str().unwrap_or("?"), number("/uptime_s"));
        for address in status["addresses"].as_array().into_iter().flatten() {
            println!("address   {}", address.as_str().unwrap_or("?"));
        }
        println!("network   {} nodes known, {} connected", number("/known_nodes"), number("/connected"));
        println!(
            "store     {} shards, {} records, {} rotten",
            number("/store/shards"),
            number("/store/records"),
            number("/store/rotten")
        );
        println!("space     {:.1} of {:.1} MiB used", mib("/store/used"), mib("/store/quota"));
        println!(
            "packets   {} passed on, {} for this node, dropped: {} invalid, {} replayed, {} without room, {} unfair",
            number("/packets/forwarded"),
            number("/packets/arrived"),
            number("/packets/dropped_invalid"),
            number("/packets/dropped_replayed"),
            number("/packets/dropped_full"),
            number("/packets/dropped_unfair"),
        );
        for work in status["work"].as_array().into_iter().flatten() {
            println!("work      {}", work_line(work));
        }
        let seconds = |path: &str| Duration::from_nanos(number(path)).as_secs_f64();
        println!(
            "cpu       {:.1} s peeling for others, {:.1} s answering, {:.1} s storing",
            seconds("/cpu/relay_ns"),
            seconds("/cpu/holder_ns"),
            seconds("/cpu/store_ns"),
        );
        Ok(())
    }
}

/// One work in words: `scrub: idle, 3 of 10; checked 120, rotten 0; the store is closed`.
fn work_line(work: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or("?").replace('_', " ");
    let mut line = format!("{}: {}", word(&work["name"]), word(&work["state"]));
    if let (Some(at), Some(of)) = (work["progress"]["at"].as_u64(), work["progress"]["of"].as_u64()) {
        line += &format!(", {at} of {of}");
    }
    let totals: Vec<_> = work["totals"].as_object().into_iter().flatten().map(|(k, v)| format!("{k} {v}")).collect();
    line += &format!("; {}", totals.join(", "));
    if let Some(error) = work["error"].as_str() {
        line += &format!("; {error}");
    }
    line
}
