//! The users of a network of programs: each runs `pal` in a home of its own.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use palimpsest_client::clock::{moment, timestamp};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::{GuardList, NodeTable};

use super::flood::{Flood, Publishes, Wanted};
use super::stage::{PUBLISHER, StageError, Theatre, broken};
use super::{End, Held, Rubbish, Who};
use crate::process::{Home, Pal, Run, Way, find_program};
use crate::sample;

/// Bytes of a file with a table or guards at most.
const KNOWN_BYTES_MAX: u64 = 16 << 20;

pub(super) struct Users {
    pal: Pal,
    dir: PathBuf,
    publisher: Home,
    strangers: Vec<Home>,
    /// How many of the strangers returned so far, one after the other.
    returned: usize,
    calls: Vec<Call>,
    flood: Option<Flood>,
}

/// When `pal` ran, by the machine's clock, since 1970, and which guards it might have had.
pub(super) struct Call {
    pub(super) since: Duration,
    pub(super) until: Duration,
    pub(super) guards: GuardList,
    /// Whose home it was.
    pub(super) user: String,
}

impl Users {
    pub(super) fn new(theatre: &Theatre, bootstrap: PathBuf) -> Result<Self, StageError> {
        let program = find_program("pal", theatre.bin_dir.as_deref()).map_err(broken)?;
        let publisher = Home::fresh(theatre.dir.join(PUBLISHER)).map_err(broken)?;
        let (pal, dir) = (Pal { program, bootstrap }, theatre.dir.clone());
        Ok(Self { pal, dir, publisher, strangers: Vec::new(), returned: 0, calls: Vec::new(), flood: None })
    }

    pub(super) async fn publish(
        &mut self,
        file: &Path,
        way: &Way,
        deadline: Duration,
    ) -> Result<(Option<String>, End), StageError> {
        let words = ["publish".as_ref(), "--quiet".as_ref(), file.as_os_str()];
        let run = self.call(&self.publisher.clone(), way, &words, deadline).await?;
        Ok(match (run.done(), run.link()) {
            (true, Some(link)) => (Some(link), End::Good),
            _ => (None, failure(&run)),
        })
    }

    pub(super) async fn fetch(
        &mut self,
        link: &str,
        file: &Path,
        by: Who,
        way: &Way,
        deadline: Duration,
    ) -> Result<(End, Option<u64>), StageError> {
        let home = match by {
            Who::Publisher => self.publisher.clone(),
            Who::Stranger => {
                let number = self.strangers.len() + 1;
                let home = Home::fresh(self.dir.join(format!("stranger-{number}"))).map_err(broken)?;
                self.strangers.push(home.clone());
                home
            }
            Who::Returning => {
                let home = self.strangers.get(self.returned % self.strangers.len().max(1)).cloned();
                self.returned += 1;
                home.ok_or_else(|| broken("nobody was there before"))?
            }
        };
        let copy = self.dir.join("copy");
        let words = ["fetch", "--json", link, "--force", "-o"].map(AsRef::as_ref);
        let words = [&words[..], &[copy.as_os_str()]].concat();
        let run = self.call(&home, way, &words, deadline).await?;
        if !run.done() {
            return Ok((failure(&run), None));
        }
        let asked = run.result().and_then(|result| result["shards_asked"].as_u64());
        Ok((if sample::same(file, &copy).map_err(broken)? { End::Good } else { End::WrongBytes }, asked))
    }

    /// Clients begin to publish rubbish, each with a home of its own.
    pub(super) fn flood(&mut self, wanted: Wanted) -> Result<(), StageError> {
        let mut publishes = Vec::new();
        for client in 0..wanted.clients {
            let home = Home::fresh(self.dir.join(format!("flooder-{client}"))).map_err(broken)?;
            let (pal, file) = (self.pal.clone(), self.dir.join(format!("rubbish-{client}")));
            let publish: Publishes = Box::new(move |seed| {
                let (pal, home, file) = (pal.clone(), home.clone(), file.clone());
                Box::pin(async move {
                    let words = ["publish".as_ref(), "--quiet".as_ref(), file.as_os_str()];
                    sample::write(&file, wanted.bytes, seed).is_ok()
                        && pal.run(&home, &words, wanted.length).await.is_ok_and(|run| run.done())
                })
            });
            publishes.push(publish);
        }
        self.flood = Some(Flood::begin(wanted, publishes));
        Ok(())
    }

    /// They end: what became of the rubbish.
    pub(super) async fn end_flood(&mut self) -> Rubbish {
        match self.flood.take() {
            Some(flood) => flood.end().await,
            None => Rubbish::default(),
        }
    }

    /// See [`super::stage::Stage::held`].
    pub(super) async fn held(&mut self, links: &[String], by: &str, deadline: Duration) -> Result<Held, StageError> {
        let home = match by {
            PUBLISHER => self.publisher.clone(),
            other => Home::fresh(self.dir.join(other)).map_err(broken)?,
        };
        let mut held = 0;
        for link in links {
            let words = ["status", "--json", link].map(OsStr::new);
            let run = self.call(&home, &Way::default(), &words, deadline).await?;
            let Some(result) = run.result() else { return Ok(Held::Unknown) };
            let stripes = result["stripes"].as_array().map(Vec::as_slice).unwrap_or_default();
            let shards = |of: &str| stripes.iter().filter_map(|stripe| stripe[of].as_u64()).sum::<u64>();
            held += shards("present") + shards("unasked");
        }
        Ok(usize::try_from(held).map_or(Held::Unknown, Held::Shards))
    }

    async fn call(&mut self, home: &Home, way: &Way, words: &[&OsStr], deadline: Duration) -> Result<Run, StageError> {
        let since = now();
        let run = self.pal.run_by(way, home, words, deadline).await.map_err(broken)?;
        let kept = read(&home.data_dir().join("guards"));
        let guards = kept.and_then(|bytes| GuardList::decode(bytes.into()).ok()).unwrap_or_default();
        let user = home.data_dir().to_string_lossy().into_owned();
        self.calls.push(Call { since, until: now(), guards, user });
        Ok(run)
    }

    /// All calls of `pal`, one after the other.
    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Whom each stranger knew at the end: nobody, if no table was kept.
    pub(super) fn known_to_strangers(&self) -> Vec<Vec<NodeId>> {
        let known = |home: &Home| table(&home.data_dir()).map(|table| table.iter().map(|(id, _)| *id).collect());
        self.strangers.iter().map(|home| known(home).unwrap_or_default()).collect()
    }
}

/// The node table that a program left in its folder when it ended; none, if there is none or it is damaged.
pub(super) fn table(dir: &Path) -> Option<NodeTable> {
    NodeTable::decode(read(&dir.join("table"))?.into(), timestamp(), moment()).ok()
}

fn read(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(KNOWN_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn failure(run: &Run) -> End {
    if run.timed_out { End::TimedOut } else { End::Failed(run.complaint()) }
}
