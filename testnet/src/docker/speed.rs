//! How fast a file comes by onion, against the same bytes from one machine straight over TCP, through the same link.
//!
//! Both are taken by a user inside of the network. The straight bytes come from the other user, whose link is as a node's.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::error::DockerError;
use super::netns::HOLDER;
use super::{DockerNet, Side};
use crate::process::{Home, Pal, TestnetError, find_program};
use crate::rank::nearest_rank;
use crate::sample;

/// Where the straight bytes are handed out.
const PORT: u16 = 4747;
/// Time for one transfer, and for a program to begin.
const DEADLINE: Duration = Duration::from_secs(600);
/// What who hands out says when it listens.
pub const LISTENING: &str = "listening\n";
/// Bytes of one write.
const BLOCK: usize = 64 * 1024;

/// The share of the straight transfer's speed that is promised.
pub const SHARE_LEAST: f64 = 0.7;

/// What to measure.
#[derive(Debug, Clone)]
pub struct SpeedOptions {
    /// Bytes of the file.
    pub bytes: u64,
    /// How often each.
    pub rounds: u32,
    /// An empty folder for all that is written.
    pub dir: std::path::PathBuf,
    /// Folder of `pal`; none: beside this program.
    pub bin_dir: Option<std::path::PathBuf>,
}

/// What was measured. Times are from the start of a program to its end, so entering the network counts.
#[derive(Debug, Clone, Serialize)]
pub struct SpeedReport {
    /// Bytes of the file.
    pub bytes: u64,
    /// What the links are like.
    pub links: String,
    /// Seconds of each straight transfer.
    pub direct_s: Vec<f64>,
    /// Seconds of each fetch by a user who was never there.
    pub onion_s: Vec<f64>,
    /// The middle of the straight ones' times, divided by that of the onions': 1 is as fast.
    pub share: f64,
}

/// Measures on a network that is up.
///
/// # Errors
/// Those of the network, and a transfer that failed.
pub async fn measure(net: &DockerNet, options: &SpeedOptions) -> Result<SpeedReport, DockerError> {
    let pal = Pal { program: find_program("pal", options.bin_dir.as_deref())?, bootstrap: net.bootstrap_file() };
    let (here, there) = (net.inside(Side::Mainland).await?, net.inside(Side::Island).await?);
    let file = options.dir.join("file");
    let failed = |path: &Path, source| TestnetError::File { doing: "write", path: path.to_owned(), source };
    sample::write(&file, options.bytes, 1).map_err(|source| failed(&file, source))?;
    let user = Home::fresh(options.dir.join("publisher"))?;
    let published = pal.run(&user, &["publish".as_ref(), "--quiet".as_ref(), file.as_os_str()], DEADLINE).await?;
    let complaint = |what: &str, said: String| DockerError::Failed { command: what.to_owned(), said };
    let link = published.link().ok_or_else(|| complaint("pal publish", published.complaint()))?;

    let own = find_program(HOLDER, None)?;
    let (mut direct_s, mut onion_s) = (Vec::new(), Vec::new());
    let address = net.plan().users.get(1).map(|ip| SocketAddr::from((*ip, PORT)));
    let address = address.ok_or_else(|| complaint("find a user", "there is none".to_owned()))?.to_string();
    for round in 0..options.rounds {
        let spawn = |source| DockerError::Spawn { command: "pal-testnet docker hand-out".to_owned(), source };
        let mut server = there
            .command(&own)
            .args(["docker", "hand-out", &address, &options.bytes.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(spawn)?;
        let mut said = [0; LISTENING.len()];
        if let Some(out) = &mut server.stdout {
            let heard = tokio::time::timeout(DEADLINE, out.read_exact(&mut said)).await;
            heard.map_err(|_| spawn(io::ErrorKind::TimedOut.into()))?.map_err(spawn)?;
        }
        let since = Instant::now();
        let taker = here.command(&own).args(["docker", "take", &address]).kill_on_drop(true).output();
        let taken = tokio::time::timeout(DEADLINE, taker).await;
        let taken = taken.map_err(|_| spawn(io::ErrorKind::TimedOut.into()))?.map_err(spawn)?;
        direct_s.push(since.elapsed().as_secs_f64());
        let got = String::from_utf8_lossy(&taken.stdout).trim().parse();
        if got != Ok(options.bytes) {
            return Err(complaint("the straight transfer", String::from_utf8_lossy(&taken.stderr).into_owned()));
        }

        let reader = Home::fresh(options.dir.join(format!("reader-{round}")))?;
        let copy = options.dir.join("copy");
        let words = ["fetch".as_ref(), link.as_ref(), "--force".as_ref(), "-o".as_ref(), copy.as_os_str()];
        let fetched = pal.run_by(&here, &reader, &words, DEADLINE).await?;
        if !fetched.done() || !sample::same(&file, &copy).map_err(|source| failed(&copy, source))? {
            return Err(complaint("pal fetch", fetched.complaint()));
        }
        onion_s.push(fetched.wall.as_secs_f64());
    }
    let share = middle(&direct_s) / middle(&onion_s);
    Ok(SpeedReport { bytes: options.bytes, links: net.plan().links.to_string(), direct_s, onion_s, share })
}

fn middle(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    nearest_rank(&sorted, 50).copied().unwrap_or(f64::NAN)
}

/// Hands out so many bytes to the first who asks, and ends.
///
/// # Errors
/// Those of the network; nobody who asks.
pub async fn hand_out(address: SocketAddr, bytes: u64, ready: impl FnOnce()) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    ready();
    let work = async {
        let (mut stream, _) = listener.accept().await?;
        let block = vec![7; BLOCK];
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(BLOCK).min(BLOCK);
            stream.write_all(&block[..part]).await?;
            left -= part as u64;
        }
        stream.shutdown().await
    };
    tokio::time::timeout(DEADLINE, work).await?
}

/// Takes all that somebody hands out; how many bytes that were.
///
/// # Errors
/// Those of the network.
pub async fn take(address: SocketAddr) -> io::Result<u64> {
    let work = async {
        let mut stream = TcpStream::connect(address).await?;
        let (mut block, mut taken) = (vec![0; BLOCK], 0);
        loop {
            match stream.read(&mut block).await? {
                0 => return Ok(taken),
                read => taken += read as u64,
            }
        }
    };
    tokio::time::timeout(DEADLINE, work).await?
}

#[cfg(test)]
mod tests {
    use super::{hand_out, middle, take};

    #[tokio::test]
    async fn what_is_handed_out_is_taken() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (listens, listening) = tokio::sync::oneshot::channel();
        let server = tokio::spawn(hand_out(free, 200_001, move || listens.send(()).unwrap()));
        listening.await.unwrap();
        assert_eq!(take(free).await.unwrap(), 200_001);
        server.await.unwrap().unwrap();
    }

    #[test]
    fn the_middle_is_in_the_middle() {
        assert_eq!(middle(&[3.0, 1.0, 2.0]), 2.0);
        assert!(middle(&[]).is_nan());
    }
}
