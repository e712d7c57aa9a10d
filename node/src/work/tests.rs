//! Works that fail, end, panic, wait and are stopped, and the scrubber over a store that rots.

use super::*;
use crate::store::{Clock, Store, StoreConfig};
use palimpsest_proto::coding::Shard;
use palimpsest_proto::params::SHARD_BYTES;
use std::collections::VecDeque;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Ends its steps as it is told, and says each time that it took one.
struct Told {
    ends: VecDeque<Result<Step, WorkError>>,
    steps: u64,
    took: mpsc::Sender<u64>,
    wake: Arc<Notify>,
}

impl Work for Told {
    fn name(&self) -> &'static str {
        "told"
    }

    fn step(&mut self) -> BoxFuture<'_, Result<Step, WorkError>> {
        Box::pin(async move {
            self.steps += 1;
            let _nobody_looks = self.took.send(self.steps).await;
            match self.ends.pop_front() {
                Some(end) => end,
                None => panic!("nothing was said of step {}", self.steps),
            }
        })
    }

    fn wait(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(self.wake.notified())
    }

    fn status(&self) -> WorkStatus {
        WorkStatus { totals: vec![("steps", self.steps)], ..WorkStatus::default() }
    }
}

const HASTE: Pace = Pace { backoff_first: Duration::from_millis(1), backoff_max: Duration::from_millis(2) };
const FOR_EVER: Duration = Duration::from_secs(1 << 40);

struct Place {
    works: Works,
    tasks: TaskTracker,
    stop: CancellationToken,
    wake: Arc<Notify>,
    took: mpsc::Receiver<u64>,
}

fn begin(ends: impl IntoIterator<Item = Result<Step, WorkError>>) -> Place {
    let (tasks, stop, wake) = (TaskTracker::new(), CancellationToken::new(), Arc::new(Notify::new()));
    let works = Works::new(HASTE, tasks.clone(), stop.clone());
    let (sender, took) = mpsc::channel(64);
    works.spawn(Told { ends: ends.into_iter().collect(), steps: 0, took: sender, wake: wake.clone() });
    tasks.close();
    Place { works, tasks, stop, wake, took }
}

impl Place {
    fn report(&self) -> WorkReport {
        self.works.status().remove(0)
    }
}

#[tokio::test]
async fn errors_are_counted_and_followed_by_another_try() {
    let failed = || Err(WorkError::Other("the moon is full"));
    let place = begin([Ok(Step::Busy), failed(), failed(), Ok(Step::Idle(Duration::ZERO)), Ok(Step::Done)]);
    place.tasks.wait().await;
    let report = place.report();
    assert_eq!((report.name, report.state, report.steps, report.errors), ("told", State::Done, 5, 2));
    // It is well again.
    assert_eq!(report.error, None);
    assert_eq!(report.status.totals, [("steps", 5)]);
}

#[tokio::test]
async fn the_last_error_is_shown_and_bounded() {
    const LONG: &str = include_str!("tests.rs");
    let mut place = begin(std::iter::repeat_n(Err(WorkError::Other(LONG)), 1000));
    // The second step begins when the first one's end has been written down; and no step ends otherwise.
    while place.took.recv().await != Some(2) {}
    let error = place.report().error.unwrap();
    assert!(LONG.starts_with(&error) && error.chars().count() == 200, "{error}");
    place.stop.cancel();
    place.tasks.wait().await;
}

#[tokio::test]
async fn a_panic_ends_the_work_and_nothing_else() {
    let place = begin([Ok(Step::Busy)]);
    place.works.spawn(Told {
        ends: [Ok(Step::Busy), Ok(Step::Done)].into(),
        steps: 0,
        took: mpsc::channel(2).0,
        wake: Arc::default(),
    });
    place.tasks.wait().await;
    let states: Vec<_> = place.works.status().iter().map(|report| report.state).collect();
    assert_eq!(states, [State::Failed, State::Done]);
}

#[tokio::test]
async fn an_idle_work_is_woken_and_stopped() {
    let mut place = begin([Ok(Step::Idle(FOR_EVER)), Ok(Step::Idle(FOR_EVER))]);
    assert_eq!(place.took.recv().await, Some(1));
    place.wake.notify_one();
    assert_eq!(place.took.recv().await, Some(2));
    place.stop.cancel();
    place.tasks.wait().await;
    assert_eq!(place.took.recv().await, None);
}

#[tokio::test]
async fn a_step_that_hangs_does_not_hold_up_the_end() {
    struct Hangs(mpsc::Sender<()>);
    impl Work for Hangs {
        fn name(&self) -> &'static str {
            "hangs"
        }
        fn step(&mut self) -> BoxFuture<'_, Result<Step, WorkError>> {
            Box::pin(async {
                let _told = self.0.send(()).await;
                std::future::pending().await
            })
        }
        fn status(&self) -> WorkStatus {
            WorkStatus::default()
        }
    }
    let place = begin([Ok(Step::Done)]);
    let (sender, mut began) = mpsc::channel(1);
    place.works.spawn(Hangs(sender));
    began.recv().await.unwrap();
    assert_eq!(place.works.status()[1].state, State::Busy);
    place.stop.cancel();
    place.tasks.wait().await;
}

#[test]
fn a_report_is_one_flat_object() {
    let status = WorkStatus {
        progress: Some(Progress { at: 3, of: 10 }),
        finished_at: Some(Timestamp(5)),
        totals: vec![("checked", 7)],
    };
    let report = WorkReport { name: "scrub", state: State::BackingOff, status, ..WorkReport::default() };
    assert_eq!(
        serde_json::to_string(&report).unwrap(),
        r#"{"name":"scrub","state":"backing_off","steps":0,"busy_ms":0,"errors":0,"progress":{"at":3,"of":10},"finished_at":5,"totals":{"checked":7}}"#
    );
}

const DAY: u64 = 86_400;
const FORTNIGHT: Option<Duration> = Some(Duration::from_secs(14 * DAY));

/// A store with `shards` shards, and a clock to turn.
async fn store(dir: &Path, shards: u32) -> (Store, Arc<AtomicU64>, Clock) {
    // Slots in their order, so that it is known which of them hold something.
    let config = StoreConfig { dice: Arc::new(|| 0), ..StoreConfig::new(dir.join("store"), 64 << 20) };
    let store = Store::open(config).unwrap();
    for number in 0..shards {
        let mut bytes = vec![0; SHARD_BYTES];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        store.put(Shard::new(bytes.into()).unwrap(), Timestamp(u64::MAX >> 1)).await.unwrap();
    }
    let now = Arc::new(AtomicU64::new(1_000 * DAY));
    let turned = now.clone();
    (store, now, Arc::new(move || Timestamp(turned.load(Ordering::Relaxed))))
}

/// Steps until there is nothing to do; for how long that is.
async fn until_idle(scrubber: &mut Scrubber) -> Duration {
    loop {
        match scrubber.step().await.unwrap() {
            Step::Busy => {}
            Step::Idle(pause) => return pause,
            Step::Done => panic!("a scrubber never ends"),
        }
    }
}

#[tokio::test]
async fn the_whole_store_is_read_within_the_period_and_the_place_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (store, now, clock) = store(dir.path(), 130).await;
    let files = store.scrub_steps().unwrap() as u64;
    assert_eq!(files, 3);
    let path = dir.path().join("scrub");
    let at = |scrubber: &Scrubber| scrubber.status().progress.unwrap();

    let mut scrubber = Scrubber::new(store.clone(), clock.clone(), path.clone(), FORTNIGHT);
    until_idle(&mut scrubber).await;
    assert_eq!(at(&scrubber), Progress { at: 0, of: 3 });
    for read in 1..=2 {
        now.fetch_add(14 * DAY / files, Ordering::Relaxed);
        until_idle(&mut scrubber).await;
        assert_eq!(at(&scrubber), Progress { at: read, of: 3 });
    }
    assert_eq!(scrubber.status().totals, [("checked", 126), ("rotten", 0), ("rounds", 0)]);

    // A restart goes on where it was, however often.
    for _ in 0..3 {
        scrubber = Scrubber::new(store.clone(), clock.clone(), path.clone(), FORTNIGHT);
        assert!(until_idle(&mut scrubber).await <= Duration::from_secs(LOOK));
        assert_eq!(at(&scrubber), Progress { at: 2, of: 3 });
    }
    now.fetch_add(14 * DAY / files, Ordering::Relaxed);
    until_idle(&mut scrubber).await;
    assert_eq!(scrubber.status().totals, [("checked", 4), ("rotten", 0), ("rounds", 1)]);
    let finished = scrubber.status().finished_at;
    assert_eq!(finished, Some(clock()));

    // What is not readable there is a new beginning.
    std::fs::write(&path, b"{\"next\":").unwrap();
    assert_eq!(at(&Scrubber::new(store.clone(), clock.clone(), path, FORTNIGHT)).at, 0);
    store.close().await;
}

const LOOK: u64 = 3_600;

#[tokio::test]
async fn when_asked_all_is_read_at_once_and_rot_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _, clock) = store(dir.path(), 130).await;
    let mut scrubber = Scrubber::new(store.clone(), clock.clone(), dir.path().join("scrub"), None);
    assert_eq!(until_idle(&mut scrubber).await, Duration::from_secs(LOOK));
    assert_eq!(scrubber.status().totals, [("checked", 0), ("rotten", 0), ("rounds", 0)]);

    // One bit of the last byte of each file that holds anything.
    let folder = dir.path().join("store").join("shards");
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = std::fs::File::options().read(true).write(true).open(entry.unwrap().path()).unwrap();
        let at = 4096 * 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }
    scrubber.now().start();
    scrubber.wait().await;
    until_idle(&mut scrubber).await;
    let status = scrubber.status();
    assert_eq!(status.totals, [("checked", 130), ("rotten", 3), ("rounds", 1)]);
    assert_eq!(status.finished_at, Some(clock()));
    store.close().await;
}
