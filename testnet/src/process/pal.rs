//! `pal` as a user runs it, and measured: as a child process with folders of its own.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::error::TestnetError;
use super::procfs;

/// Time between two looks at the memory of a running `pal`. The system keeps the peak; only what is allocated after
/// the last look is missed.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Bytes kept of what `pal` says on one stream; beyond it is read and dropped.
const SAID_BYTES_MAX: usize = 1 << 20;
/// Time that the end of the streams may lag behind the end of the process.
const STREAMS_DEADLINE: Duration = Duration::from_secs(30);
/// Folders in each other in a copied home at most: `pal` keeps flat ones.
const DEPTH_MAX: usize = 8;

/// One user's folders: configuration and data of `pal`, and nothing of who runs this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// A user who has never run `pal`, in a folder that is made for it.
    ///
    /// # Errors
    /// The folder cannot be made, or something is there.
    pub fn fresh(dir: PathBuf) -> Result<Self, TestnetError> {
        match fs::create_dir_all(dir.join("config")).and_then(|()| fs::create_dir(dir.join("data"))) {
            Ok(()) => Ok(Self(dir)),
            Err(source) => Err(TestnetError::File { doing: "make", path: dir, source }),
        }
    }

    /// Where `pal` keeps what it knows.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.0.join("data").join("palimpsest")
    }

    /// The same user at this moment in another folder: what that one learns later, this one does not know.
    ///
    /// # Errors
    /// Those of reading here and writing there.
    pub fn copy(&self, dir: PathBuf) -> Result<Self, TestnetError> {
        match copy_tree(&self.0, &dir, DEPTH_MAX) {
            Ok(()) => Ok(Self(dir)),
            Err(source) => Err(TestnetError::File { doing: "copy to", path: dir, source }),
        }
    }
}

/// The client program and where it begins.
#[derive(Debug, Clone)]
pub struct Pal {
    /// See [`super::find_program`].
    pub program: PathBuf,
    /// See [`super::Testnet::bootstrap_file`].
    pub bootstrap: PathBuf,
}

/// How programs are run: as they are, or through another one that becomes them in another place.
#[derive(Debug, Clone, Default)]
pub struct Way(Option<(PathBuf, String)>);

impl Way {
    /// Through a program that takes one word of its own, and then the command.
    #[must_use]
    pub fn through(program: PathBuf, word: String) -> Self {
        Self(Some((program, word)))
    }

    /// A program that is to be run so.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        match &self.0 {
            None => Command::new(program),
            Some((through, word)) => {
                let mut command = Command::new(through);
                command.arg(word).arg(program);
                command
            }
        }
    }
}

/// What one call of `pal` did and cost.
#[derive(Debug, Clone)]
pub struct Run {
    /// From its start to its end.
    pub wall: Duration,
    /// From its start to the first byte on its standard output.
    pub first_byte: Option<Duration>,
    /// Its processor time, exact to a clock tick (10 ms).
    pub cpu: Duration,
    /// Its resident memory at most, in bytes.
    pub rss_peak: u64,
    /// Its exit code; none if it was killed.
    pub code: Option<i32>,
    /// Whether it was killed at the deadline.
    pub timed_out: bool,
    /// Its standard output, the first mebibyte.
    pub stdout: Vec<u8>,
    /// Its standard error, likewise.
    pub stderr: Vec<u8>,
}

impl Pal {
    /// Runs `pal` with these arguments, and kills it at the deadline or when this is dropped.
    ///
    /// # Errors
    /// It cannot be started or awaited. What it says of its own fate is in the [`Run`].
    pub async fn run<S: AsRef<OsStr>>(&self, home: &Home, args: &[S], deadline: Duration) -> Result<Run, TestnetError> {
        self.run_by(&Way::default(), home, args, deadline).await
    }

    /// The same in another place.
    ///
    /// # Errors
    /// As of [`Pal::run`].
    pub async fn run_by<S: AsRef<OsStr>>(
        &self,
        way: &Way,
        home: &Home,
        args: &[S],
        deadline: Duration,
    ) -> Result<Run, TestnetError> {
        let failed = |source| TestnetError::Spawn { program: self.program.clone(), source };
        let mut command = way.command(&self.program);
        // Whoever runs this may have settings of their own.
        for (name, _) in std::env::vars_os() {
            if [b"PAL_", b"XDG_"].iter().any(|&ours| name.as_encoded_bytes().starts_with(ours)) {
                command.env_remove(name);
            }
        }
        command
            .args(args)
            .env("HOME", &home.0)
            .env("XDG_CONFIG_HOME", home.0.join("config"))
            .env("XDG_DATA_HOME", home.0.join("data"))
            .env("PAL_BOOTSTRAP", &self.bootstrap)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let (_, children_before) = procfs::cpu_of_self_and_children();
        let since = Instant::now();
        let mut child = command.spawn().map_err(failed)?;
        let stdout = tokio::spawn(hear(child.stdout.take(), since));
        let stderr = tokio::spawn(hear(child.stderr.take(), since));
        let (code, rss_peak, timed_out) = watch(&mut child, deadline).await.map_err(failed)?;
        let wall = since.elapsed();
        // Its time is counted with the collected children now, to the last tick.
        let (_, children_after) = procfs::cpu_of_self_and_children();
        let heard = tokio::time::timeout(STREAMS_DEADLINE, async { (stdout.await, stderr.await) }).await;
        let (stdout, stderr) = match heard {
            Ok((Ok(stdout), Ok(stderr))) => (stdout, stderr),
            _ => return Err(failed(io::Error::from(io::ErrorKind::TimedOut))),
        };
        Ok(Run {
            wall,
            // Noticed after the end, if it came right before.
            first_byte: stdout.first.map(|first| first.min(wall)),
            cpu: children_after.saturating_sub(children_before),
            rss_peak,
            code,
            timed_out,
            stdout: stdout.bytes,
            stderr: stderr.bytes,
        })
    }
}

impl Run {
    /// Whether it did what it was asked for.
    #[must_use]
    pub fn done(&self) -> bool {
        self.code == Some(0)
    }

    /// The last object of type `result` that it printed, on either stream.
    #[must_use]
    pub fn result(&self) -> Option<Value> {
        let lines = [&self.stdout, &self.stderr].into_iter().flat_map(|said| said.split(|&byte| byte == b'\n'));
        let mut objects = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        objects.rfind(|object| object["type"] == "result")
    }

    /// The link that it printed: bare, or in its result.
    #[must_use]
    pub fn link(&self) -> Option<String> {
        let bare = || {
            let text = String::from_utf8_lossy(&self.stdout);
            text.lines().find(|line| line.starts_with("pal:")).map(|line| line.trim_end().to_owned())
        };
        bare().or_else(|| Some(self.result()?["link"].as_str()?.to_owned()))
    }

    /// How it failed, in one line.
    #[must_use]
    pub fn complaint(&self) -> String {
        let fate = match self.code {
            _ if self.timed_out => "killed at the deadline".to_owned(),
            Some(code) => format!("exit code {code}"),
            None => "killed by a signal".to_owned(),
        };
        let said =
            String::from_utf8_lossy(if self.stderr.is_empty() { &self.stdout } else { &self.stderr }).into_owned();
        match said.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(last) => {
                // In words also where it spoke JSON.
                let object: Option<Value> = serde_json::from_str(last).ok();
                let message = object.as_ref().and_then(|object| object["message"].as_str());
                format!("{fate}: {}", message.unwrap_or(last).trim())
            }
            None => fate,
        }
    }
}

/// What came over a stream.
struct Heard {
    bytes: Vec<u8>,
    first: Option<Duration>,
}

/// Reads a stream to its end, keeping the beginning.
async fn hear(stream: Option<impl AsyncRead + Unpin>, since: Instant) -> Heard {
    let mut heard = Heard { bytes: Vec::new(), first: None };
    let Some(mut stream) = stream else { return heard };
    let mut block = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut block).await {
        heard.first.get_or_insert_with(|| since.elapsed());
        let kept = read.min(SAID_BYTES_MAX - heard.bytes.len());
        heard.bytes.extend_from_slice(&block[..kept]);
    }
    heard
}

/// Awaits the end of a child, looking at its memory: exit code, peak, whether the deadline passed.
async fn watch(child: &mut Child, deadline: Duration) -> io::Result<(Option<i32>, u64, bool)> {
    let pid = child.id();
    let mut peak = 0;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let end = tokio::time::sleep(deadline);
    tokio::pin!(end);
    loop {
        tokio::select! {
            status = child.wait() => return Ok((status?.code(), peak, false)),
            _ = look.tick() => {
                peak = pid.and_then(procfs::memory).map_or(peak, |memory| memory.peak.max(peak));
            }
            () = &mut end => {
                child.start_kill()?;
                return Ok((child.wait().await?.code(), peak, true));
            }
        }
    }
}

fn copy_tree(from: &Path, to: &Path, depth: usize) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other("folders too deep"));
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, there) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy_tree(&entry.path(), &there, depth - 1)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), there)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Home, Pal, Run};

    /// The shell in the place of `pal`.
    async fn say(script: &str, deadline: Duration) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::fresh(dir.path().join("home")).unwrap();
        let pal = Pal { program: "/bin/sh".into(), bootstrap: dir.path().join("bootstrap") };
        pal.run(&home, &["-c", script], deadline).await.unwrap()
    }

    const LONG: Duration = Duration::from_secs(120);

    #[tokio::test]
    async fn link_and_result_are_found_in_what_was_said() {
        let run =
            say("echo pal:abc; echo '{\"type\":\"status\"}'; echo '{\"type\":\"result\",\"shards\":7}' >&2", LONG)
                .await;
        assert!(run.done());
        assert_eq!(run.link().unwrap(), "pal:abc");
        assert_eq!(run.result().unwrap()["shards"], 7);
        assert!(run.first_byte.unwrap() <= run.wall);
        let run = say("echo '{\"type\":\"result\",\"link\":\"pal:xyz\"}'", LONG).await;
        assert_eq!(run.link().unwrap(), "pal:xyz");
    }

    #[tokio::test]
    async fn failure_is_told_with_its_last_words() {
        let run = say("echo one >&2; echo two >&2; exit 5", LONG).await;
        assert_eq!(run.complaint(), "exit code 5: two");
        assert!(run.link().is_none() && run.result().is_none() && run.first_byte.is_none());
        let run = say("echo '{\"type\":\"error\",\"message\":\"no root\"}' >&2; exit 4", LONG).await;
        assert_eq!(run.complaint(), "exit code 4: no root");
    }

    #[tokio::test]
    async fn a_hanging_one_is_killed_at_the_deadline() {
        let run = say("exec sleep 1000", Duration::from_millis(100)).await;
        assert!(run.timed_out && run.code.is_none() && run.wall < LONG);
    }

    #[tokio::test]
    async fn memory_and_time_are_measured() {
        // Looked at while it runs, and counted in ticks: the longer it takes the surer both are seen.
        let mut run = say("true", LONG).await;
        for turns in (0..6).map(|tenfold| 10_u32.pow(tenfold) * 100) {
            run = say(&format!("i=0; while [ $i -lt {turns} ]; do i=$((i+1)); done"), LONG).await;
            if run.rss_peak > 0 && run.cpu > Duration::ZERO {
                break;
            }
        }
        assert!(run.rss_peak > 0 && run.cpu > Duration::ZERO && run.done());
    }

    #[tokio::test]
    async fn it_sees_its_own_home_and_no_settings_of_ours() {
        let run = say("echo $XDG_CONFIG_HOME $XDG_DATA_HOME $PAL_BOOTSTRAP", LONG).await;
        let said = String::from_utf8(run.stdout).unwrap();
        assert!(said.contains("/home/config ") && said.contains("/home/data ") && said.trim().ends_with("/bootstrap"));
    }

    #[test]
    fn a_copied_home_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let first = Home::fresh(dir.path().join("first")).unwrap();
        let table = |home: &Home| home.0.join("data").join("table");
        std::fs::write(table(&first), "old").unwrap();
        let second = first.copy(dir.path().join("second")).unwrap();
        std::fs::write(table(&first), "new").unwrap();
        assert_eq!(std::fs::read_to_string(table(&second)).unwrap(), "old");
        assert!(Home::fresh(dir.path().join("first")).is_err());
    }
}
