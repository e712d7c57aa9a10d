//! Runs `docker`, `docker compose` and the tools of this machine: with deadlines, and with what they said when they fail.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::error::DockerError;

/// Time for a question to the engine.
const ASK_DEADLINE: Duration = Duration::from_secs(60);
/// Bytes kept of what a command says on one stream; beyond it is read and dropped.
const SAID_BYTES_MAX: usize = 4 << 20;
/// Letters of a command, and of its complaint, that an error repeats.
const REPEATED_MAX: usize = 600;

/// How the compose file is brought up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compose {
    /// The plug-in: `docker compose`.
    Plugin,
    /// The program: `docker-compose`, version 1 or 2.
    Program,
}

/// The programs by which the engine is reached.
#[derive(Debug, Clone)]
pub struct Docker {
    docker: PathBuf,
    compose_program: PathBuf,
    compose: Compose,
}

impl Docker {
    /// Finds the engine.
    ///
    /// # Errors
    /// No program, no engine that answers, no compose: [`DockerError::is_no_docker`].
    pub async fn find() -> Result<Self, DockerError> {
        Self::find_as(Path::new("docker"), Path::new("docker-compose")).await
    }

    /// As [`Docker::find`], by programs of these names.
    ///
    /// # Errors
    /// As there.
    pub async fn find_as(docker: &Path, compose_program: &Path) -> Result<Self, DockerError> {
        match run(docker, &["version", "--format", "{{.Server.Version}}"], None, ASK_DEADLINE).await {
            Ok(_) => {}
            Err(DockerError::Spawn { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(DockerError::NoProgram { program: docker.display().to_string() });
            }
            Err(DockerError::Failed { said, .. }) => return Err(DockerError::NoEngine { said }),
            Err(DockerError::TimedOut { after, .. }) => {
                return Err(DockerError::NoEngine { said: format!("nothing in {} s", after.as_secs()) });
            }
            Err(other) => return Err(other),
        }
        let compose = if run(docker, &["compose", "version"], None, ASK_DEADLINE).await.is_ok() {
            Compose::Plugin
        } else if run(compose_program, &["version"], None, ASK_DEADLINE).await.is_ok() {
            Compose::Program
        } else {
            return Err(DockerError::NoCompose);
        };
        Ok(Self { docker: docker.to_owned(), compose_program: compose_program.to_owned(), compose })
    }

    /// Which compose it is.
    #[must_use]
    pub fn compose_kind(&self) -> Compose {
        self.compose
    }

    /// The program, to be run in the foreground.
    #[must_use]
    pub fn program(&self) -> &Path {
        &self.docker
    }

    /// What `docker` with these arguments prints.
    ///
    /// # Errors
    /// It cannot be run, fails, or takes more than a minute.
    pub async fn ask<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String, DockerError> {
        run(&self.docker, args, None, ASK_DEADLINE).await
    }

    /// The same with a time of its own.
    ///
    /// # Errors
    /// As of [`Docker::ask`].
    pub async fn ask_within<S: AsRef<OsStr>>(&self, args: &[S], deadline: Duration) -> Result<String, DockerError> {
        run(&self.docker, args, None, deadline).await
    }

    /// The addresses of all networks that the engine knows, as it writes them: `10.77.0.0/20`.
    ///
    /// # Errors
    /// As of [`Docker::ask`].
    pub async fn subnets(&self) -> Result<Vec<String>, DockerError> {
        let networks = self.ask(&["network", "ls", "--quiet"]).await?;
        let mut words = ["network", "inspect", "--format", "{{range .IPAM.Config}}{{.Subnet}} {{end}}"].to_vec();
        words.extend(networks.split_whitespace());
        Ok(self.ask(&words).await?.split_whitespace().map(str::to_owned).collect())
    }

    /// Runs compose on a file.
    ///
    /// # Errors
    /// As of [`Docker::ask`].
    pub async fn compose(
        &self,
        project: &str,
        file: &Path,
        args: &[&str],
        deadline: Duration,
    ) -> Result<String, DockerError> {
        let mut words: Vec<&OsStr> = Vec::new();
        let program = match self.compose {
            Compose::Plugin => {
                words.push("compose".as_ref());
                &self.docker
            }
            Compose::Program => &self.compose_program,
        };
        words.extend(["-p".as_ref(), project.as_ref(), "-f".as_ref(), file.as_os_str()]);
        words.extend(args.iter().map(OsStr::new));
        run(program, &words, None, deadline).await
    }
}

/// What a program prints; `input` is written to it first.
pub(super) async fn run<S: AsRef<OsStr>>(
    program: &Path,
    args: &[S],
    input: Option<&str>,
    deadline: Duration,
) -> Result<String, DockerError> {
    let command = || {
        let words = args.iter().map(|word| word.as_ref().to_string_lossy().into_owned());
        let all: Vec<String> = std::iter::once(program.display().to_string()).chain(words).collect();
        beginning(&all.join(" "))
    };
    let failed = |source| DockerError::Spawn { command: command(), source };
    let mut child = Command::new(program)
        .args(args)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let write = async {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // Who does not read it will say why.
                let _refused = stdin.write_all(input.as_bytes()).await;
            }
        };
        let ((), out, err) = tokio::join!(write, hear(stdout), hear(stderr));
        (child.wait().await, out, err)
    };
    let Ok((status, out, err)) = tokio::time::timeout(deadline, work).await else {
        return Err(DockerError::TimedOut { command: command(), after: deadline });
    };
    if status.map_err(failed)?.success() {
        Ok(String::from_utf8_lossy(&out).into_owned())
    } else {
        let said = if err.is_empty() { out } else { err };
        Err(DockerError::Failed { command: command(), said: end(&String::from_utf8_lossy(&said)) })
    }
}

/// Reads a stream to its end, keeping the beginning.
async fn hear(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut heard = Vec::new();
    let Some(mut stream) = stream else { return heard };
    let mut block = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut block).await {
        let kept = read.min(SAID_BYTES_MAX - heard.len());
        heard.extend_from_slice(&block[..kept]);
    }
    heard
}

fn beginning(text: &str) -> String {
    match text.char_indices().nth(REPEATED_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn end(text: &str) -> String {
    let text = text.trim();
    match text.char_indices().rev().nth(REPEATED_MAX) {
        Some((at, _)) => format!("…{}", &text[at..]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use super::{Compose, Docker, REPEATED_MAX, beginning, end, run};
    use crate::docker::DockerError;

    const LONG: Duration = Duration::from_secs(60);

    /// A program that is this shell script. Others may just be starting programs, with our file still open for writing.
    pub(in crate::docker) fn script(dir: &Path, name: &str, text: &str) -> PathBuf {
        let path = dir.join(name);
        let new = dir.join(format!("{name}.new"));
        std::fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::process::Command::new("cp").arg("-p").args([&new, &path]).status().unwrap();
        path
    }

    #[tokio::test]
    async fn what_is_missing_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = dir.path().join("nothing");
        let error = Docker::find_as(&nothing, &nothing).await.unwrap_err();
        assert!(matches!(error, DockerError::NoProgram { .. }) && error.is_no_docker());

        let dead = script(dir.path(), "dead", "echo 'is the daemon running?' >&2; exit 1");
        let error = Docker::find_as(&dead, &nothing).await.unwrap_err();
        assert!(error.is_no_docker());
        assert_eq!(error.to_string(), "no docker engine answers: is the daemon running?");

        let bare = script(dir.path(), "bare", "[ \"$1\" = version ]");
        assert!(matches!(Docker::find_as(&bare, &nothing).await, Err(DockerError::NoCompose)));
        let old = Docker::find_as(&bare, Path::new("true")).await.unwrap();
        assert_eq!(old.compose_kind(), Compose::Program);
        let new = Docker::find_as(Path::new("true"), &nothing).await.unwrap();
        assert_eq!(new.compose_kind(), Compose::Plugin);
        assert!(!DockerError::Size.is_no_docker());
    }

    #[tokio::test]
    async fn both_kinds_of_compose_are_called_alike() {
        let dir = tempfile::tempdir().unwrap();
        let echo = script(dir.path(), "echo-all", "echo \"$@\"");
        let fails = script(dir.path(), "old", "[ \"$1\" = version ]");
        let said = |docker: Docker| async move {
            docker.compose("p", Path::new("/f"), &["up", "-d"], LONG).await.unwrap().trim().to_owned()
        };
        let plugin = Docker::find_as(&echo, &fails).await.unwrap();
        assert_eq!(said(plugin).await, "compose -p p -f /f up -d");
        let program = Docker::find_as(&fails, &echo).await.unwrap();
        assert_eq!(said(program).await, "-p p -f /f up -d");
    }

    #[tokio::test]
    async fn failures_say_what_and_why() {
        let sh = Path::new("/bin/sh");
        let error = run(sh, &["-c", "echo no such thing >&2; exit 3"], None, LONG).await.unwrap_err();
        assert!(error.to_string().ends_with("failed: no such thing"), "{error}");
        let error = run(sh, &["-c", "exec sleep 1000"], None, Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, DockerError::TimedOut { .. }));
        assert_eq!(run(sh, &["-c", "cat"], Some("in\n"), LONG).await.unwrap(), "in\n");
    }

    #[test]
    fn long_words_are_cut() {
        let long = "ä".repeat(2 * REPEATED_MAX);
        assert_eq!(beginning(&long).chars().count(), REPEATED_MAX + 1);
        assert_eq!(end(&long).chars().count(), REPEATED_MAX + 2);
        assert_eq!((beginning("a").as_str(), end(" a\n").as_str()), ("a", "a"));
    }
}
