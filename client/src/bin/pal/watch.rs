//! Work under watch: it ends when it is done, when its time is over, or when the user interrupts, and shows meanwhile how
//! far it is.

use crate::advice::Verb;
use crate::meter::Meter;
use crate::report::{Failure, Report};
use palimpsest_client::config::Config;
use palimpsest_client::{Client, ClientOptions, Error, Progress, bootstrap};
use std::future::Future;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout};

/// Worker threads at most: a client leaves room for others.
const WORKERS_MAX: usize = 4;
/// How long saying goodbye to the network may take.
const CLOSE_DEADLINE: Duration = Duration::from_secs(3);
/// Far enough away to be never.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Sees to one command's work.
pub(crate) struct Watch {
    pub(crate) progress: Progress,
    meter: Meter,
    /// When to show.
    shows: Interval,
    allowed: Option<Duration>,
    deadline: Instant,
    interrupt: Signal,
    terminate: Signal,
}

impl Watch {
    fn new(report: &Report, allowed: Option<Duration>) -> Result<Watch, Error> {
        let listen = |kind| signal(kind).map_err(Error::disk("signals", "listen for"));
        let meter = Meter::new(report);
        let mut shows = interval(meter.every());
        shows.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Watch {
            progress: Progress::new(),
            meter,
            shows,
            allowed,
            deadline: Instant::now() + allowed.unwrap_or(NEVER).min(NEVER),
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
        })
    }

    /// Awaits `work`. If it is cut short, it is dropped, and what it holds with it.
    pub(crate) async fn over<T>(&mut self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::pin!(work);
        let result = loop {
            tokio::select! {
                biased;
                _ = self.interrupt.recv() => break Err(Error::Interrupted),
                _ = self.terminate.recv() => break Err(Error::Interrupted),
                result = &mut work => break result,
                () = sleep_until(self.deadline) => {
                    let after = self.allowed.unwrap_or(NEVER);
                    break Err(Error::Deadline { after, doing: self.progress.phase().doing() });
                }
                _ = self.shows.tick() => self.meter.show(&self.progress.snapshot()),
            }
        };
        self.meter.clear();
        result
    }
}

/// Runs `work` under watch.
pub(crate) fn watched<T>(
    verb: Verb,
    report: &Report,
    config: &Config,
    work: impl AsyncFnOnce(&mut Watch) -> Result<T, Error>,
) -> Result<T, Failure> {
    let run = || {
        let runtime = runtime()?;
        let result = runtime.block_on(async {
            let mut watch = Watch::new(report, config.timeout.value)?;
            work(&mut watch).await
        });
        // A read from a terminal that nobody types at would hold up the end for ever.
        runtime.shutdown_background();
        result
    };
    run().map_err(|error| Failure { error, verb })
}

/// Runs `work` under watch with a client, and takes leave of the network however it ends.
pub(crate) fn with_client<T>(
    verb: Verb,
    report: &Report,
    config: &Config,
    work: impl AsyncFnOnce(&Client, &mut Watch) -> Result<T, Error>,
) -> Result<T, Failure> {
    watched(verb, report, config, async |watch| {
        let client = Client::new(options(config)?);
        let result = work(&client, watch).await;
        // The work is done or has failed: what goes wrong in leaving changes neither.
        if let Ok(Err(error)) = timeout(CLOSE_DEADLINE, client.close()).await {
            report.summary(&format!("warning: what was learnt of the network is not kept for the next run: {error}\n"));
        }
        result
    })
}

fn options(config: &Config) -> Result<ClientOptions, Error> {
    Ok(ClientOptions {
        data_dir: config.data_dir.value.clone(),
        bootstrap: bootstrap::expand(&config.bootstrap.value)?,
        transport: config.transport.value,
        // Before the whole time is over, so that it is told who was tried.
        connect_deadline: match config.timeout.value {
            Some(whole) => config.connect_timeout.value.min(whole.mul_f64(0.9)),
            None => config.connect_timeout.value,
        },
    })
}

fn runtime() -> Result<Runtime, Error> {
    let workers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(WORKERS_MAX));
    let built = Builder::new_multi_thread().worker_threads(workers).enable_all().build();
    built.map_err(Error::disk("threads", "start"))
}
