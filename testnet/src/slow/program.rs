//! Slow peers in a program of their own: `pald-hostile slow`.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Time that it gets for one answer, and for its end.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// The program at work; dropping it ends it. To each line it answers with one: the number of streams that nodes have ended.
pub struct SlowProgram {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl SlowProgram {
    /// So many peers, each with a connection to the nodes at each of these addresses.
    ///
    /// # Errors
    /// The program does not start.
    pub fn start(program: &Path, peers: u32, addresses: &[String]) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("slow").args(["--peers", &peers.to_string()]).args(addresses).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let (Some(questions), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        Ok(Self { child, questions, answers: BufReader::new(answers) })
    }

    /// Streams that nodes have ended so far: with each a slow peer lost its place.
    ///
    /// # Errors
    /// It has ended, or does not answer.
    pub async fn ended(&mut self) -> io::Result<usize> {
        let asked = async {
            self.questions.write_all(b"\n").await?;
            let mut line = String::new();
            self.answers.read_line(&mut line).await?;
            line.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        };
        tokio::time::timeout(ANSWER_DEADLINE, asked).await?
    }

    /// Ends it, and waits until it is gone: with nobody left to ask it has nothing to do.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub async fn stop(mut self) -> io::Result<()> {
        drop(self.questions);
        if tokio::time::timeout(ANSWER_DEADLINE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}
