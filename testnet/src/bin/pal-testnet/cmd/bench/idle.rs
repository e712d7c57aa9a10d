//! Nodes that nobody uses.

use std::time::Duration;

use palimpsest_testnet::process::{Memory, Stopwatch};

use super::report::Figure;
use super::{Bench, mebibytes, median};

/// Seconds until the nodes of a new network know each other.
pub(super) const UP_SECONDS_MAX: f64 = 10.0;
/// Resident memory of an idle node, in MiB.
const RESIDENT_MIB_MAX: f64 = 30.0;
/// Processor time of all idle nodes together, in percent of one processor.
const CPU_PERCENT_MAX: f64 = 10.0;
/// Time that the talk of the beginning gets to die down, as in the measurement of Tahoe-LAFS.
pub(super) const SETTLING: Duration = Duration::from_secs(5);
/// Time that idling is watched.
const WATCHED: Duration = Duration::from_secs(20);

impl Bench {
    pub(super) async fn idle(&mut self) {
        tokio::time::sleep(SETTLING).await;
        let watch = Stopwatch::start(&self.net);
        tokio::time::sleep(WATCHED).await;
        let used = watch.stop();
        let percent = used.nodes.as_secs_f64() / used.wall.as_secs_f64() * 100.0;
        let figure = Figure::new("idle processor time, all nodes", percent, "% of one").at_most(CPU_PERCENT_MAX);
        let figure = figure.with("foreign_cpu_s", super::round(used.foreign.as_secs_f64()));
        self.report.emit(self.tahoe.beside(figure, "idle CPU of the whole grid"));

        let (largest, middle) = spread(&self.net.memory(), |memory| memory.resident);
        let figure = Figure::new("idle memory, largest node", largest, "MiB").at_most(RESIDENT_MIB_MAX);
        self.report.emit(self.tahoe.beside(figure, "idle RSS"));
        self.report.emit(Figure::new("idle memory, median node", middle, "MiB"));
    }

    /// What the nodes came to hold while they were measured.
    pub(super) fn memory_at_the_end(&mut self) {
        let (largest, middle) = spread(&self.net.memory(), |memory| memory.peak);
        self.report.emit(Figure::new("memory of the largest node at its peak", largest, "MiB").with("median", middle));
    }
}

/// The largest and the median, in MiB.
fn spread(all: &[Memory], pick: fn(&Memory) -> u64) -> (f64, f64) {
    let values: Vec<f64> = all.iter().map(|memory| mebibytes(pick(memory))).collect();
    (values.iter().copied().fold(0.0, f64::max), median(values))
}
