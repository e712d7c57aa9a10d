//! Runs works: one task each, paced, restarted after errors, and with a face.

use super::{Step, Work, WorkError, WorkStatus};
use futures::FutureExt;
use serde::Serialize;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Characters of an error in the status at most.
const ERROR_CHARS_MAX: usize = 200;
/// A rest is no longer than this, however long the step took: a disk that hung is no reason to stop for hours.
const REST_MAX: Duration = Duration::from_secs(120);

/// How long a work backs off after errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After the first error.
    pub backoff_first: Duration,
    /// At most; between the two it doubles with each error in a row.
    pub backoff_max: Duration,
}

impl Default for Pace {
    /// A disk or a network that fails now is asked again soon, and one that fails for good is asked six times an hour.
    fn default() -> Pace {
        Pace { backoff_first: Duration::from_secs(1), backoff_max: Duration::from_secs(600) }
    }
}

impl Pace {
    fn backoff(self, errors_in_a_row: u32) -> Duration {
        let doubled = 1u32.checked_shl(errors_in_a_row.saturating_sub(1)).unwrap_or(u32::MAX);
        self.backoff_first.saturating_mul(doubled).min(self.backoff_max)
    }
}

/// How long to rest after a step that took `took`.
fn rest(took: Duration, tranquility: f64) -> Duration {
    let seconds = took.as_secs_f64() * tranquility.max(0.0);
    Duration::try_from_secs_f64(seconds).map_or(REST_MAX, |rest| rest.min(REST_MAX))
}

/// What a work is at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// In a step.
    #[default]
    Busy,
    /// There is more to do; it rests after a step.
    Resting,
    /// There is nothing to do.
    Idle,
    /// The last step failed; it is tried again.
    BackingOff,
    /// It has ended, as it said.
    Done,
    /// It has ended by a mistake in the program.
    Failed,
}

/// A work as operators see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkReport {
    /// What it is called.
    pub name: &'static str,
    /// What it is at.
    pub state: State,
    /// Steps ended, those with errors too.
    pub steps: u64,
    /// Milliseconds spent in them.
    pub busy_ms: u64,
    /// Steps that failed.
    pub errors: u64,
    /// What the last of these said, until a step succeeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it says of itself.
    #[serde(flatten)]
    pub status: WorkStatus,
}

type Face = Arc<Mutex<WorkReport>>;

/// The works of a node. Cheap to clone.
#[derive(Clone)]
pub struct Works {
    pace: Pace,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// One for each work, in the order in which they were begun: as many as the daemon begins.
    faces: Arc<Mutex<Vec<Face>>>,
}

impl Works {
    /// Works whose tasks belong to `tasks` and end with `stop`.
    pub fn new(pace: Pace, tasks: TaskTracker, stop: CancellationToken) -> Works {
        Works { pace, tasks, stop, faces: Arc::default() }
    }

    /// Begins a work.
    pub fn spawn(&self, work: impl Work) {
        let face = Face::new(Mutex::new(WorkReport { name: work.name(), status: work.status(), ..Default::default() }));
        self.faces.lock().unwrap_or_else(PoisonError::into_inner).push(face.clone());
        let runner = Runner { work: Box::new(work), face, pace: self.pace, stop: self.stop.child_token() };
        self.tasks.spawn(runner.run());
    }

    /// How each of them is.
    pub fn status(&self) -> Vec<WorkReport> {
        let faces = self.faces.lock().unwrap_or_else(PoisonError::into_inner);
        faces.iter().map(|face| face.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

struct Runner {
    work: Box<dyn Work>,
    face: Face,
    pace: Pace,
    stop: CancellationToken,
}

impl Runner {
    async fn run(mut self) {
        let mut errors_in_a_row = 0;
        loop {
            self.show(|face| face.state = State::Busy);
            let begun = Instant::now();
            let step = AssertUnwindSafe(self.work.step()).catch_unwind();
            let Some(outcome) = self.stop.run_until_cancelled(step).await else { return };
            let took = begun.elapsed();
            let Ok(outcome) = outcome else {
                // What it was at is not to be trusted any more; the node lives on without it.
                tracing::error!(work = self.work.name(), "this work ended by a mistake in the program");
                return self.show(|face| face.state = State::Failed);
            };
            errors_in_a_row = self.account(&outcome, took, errors_in_a_row);
            let (state, pause) = match outcome {
                Ok(Step::Done) => return self.show(|face| face.state = State::Done),
                Ok(_) => (State::Resting, rest(took, self.work.tranquility())),
                Err(_) => (State::BackingOff, self.pace.backoff(errors_in_a_row)),
            };
            self.show(|face| face.state = state);
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
            if let Ok(Step::Idle(idle)) = outcome {
                self.show(|face| face.state = State::Idle);
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = tokio::time::sleep(idle) => {}
                    () = self.work.wait() => {}
                }
            }
        }
    }

    /// Writes a step down; the number of errors in a row, this one included.
    fn account(&mut self, outcome: &Result<Step, WorkError>, took: Duration, errors_before: u32) -> u32 {
        let status = self.work.status();
        let error = outcome.as_ref().err().map(|error| error.to_string().chars().take(ERROR_CHARS_MAX).collect());
        let errors = if error.is_some() { errors_before.saturating_add(1) } else { 0 };
        match &error {
            // Once for each row of errors: the next ones mostly say the same.
            Some(error) if errors == 1 => tracing::warn!(work = self.work.name(), %error, "a step of this work failed"),
            None if errors_before > 0 => tracing::info!(work = self.work.name(), "this work goes on"),
            _ => {}
        }
        self.show(|face| {
            face.steps += 1;
            face.busy_ms = face.busy_ms.saturating_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
            face.errors += u64::from(error.is_some());
            face.error = error;
            face.status = status;
        });
        errors
    }

    fn show(&self, change: impl FnOnce(&mut WorkReport)) {
        change(&mut self.face.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_measured_in_what_the_step_took() {
        assert_eq!(rest(Duration::from_millis(10), 4.0), Duration::from_millis(40));
        assert_eq!(rest(Duration::from_secs(5), 0.0), Duration::ZERO);
        for (took, tranquility) in [(3_000, 4.0), (1, f64::INFINITY), (1, 1e300)] {
            assert_eq!(rest(Duration::from_secs(took), tranquility), REST_MAX);
        }
        for nonsense in [-1.0, f64::NAN] {
            assert_eq!(rest(Duration::from_secs(1), nonsense), Duration::ZERO);
        }
    }

    #[test]
    fn back_off_doubles_up_to_its_bound() {
        let pace = Pace { backoff_first: Duration::from_secs(1), backoff_max: Duration::from_secs(10) };
        let seconds = [1, 2, 3, 4, 5, 33, u32::MAX].map(|errors| pace.backoff(errors).as_secs());
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10, 10]);
    }
}
