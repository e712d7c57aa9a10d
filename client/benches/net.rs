//! What the network costs: packets over one link, a whole network of processes that starts and then idles, and the
//! accounting of processor time.
//!
//! `cargo bench -p palimpsest-client --bench net` prints all; `-- link`, `-- mesh [NODES]` and `-- cpu` print one.
//! Linux only: processor time and memory are read from `/proc`.

use bytes::Bytes;
use palimpsest_client::cpu::Spent;
use palimpsest_client::net::{Multiaddr, Net, NetConfig, PacketHandler, SharedTable, Transport, clock};
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::{Packet, Size};
use palimpsest_proto::record::{NodeDescriptor, Roles};
use palimpsest_proto::secret::Secret;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Set for the processes of a mesh: how many nodes there are.
const NODES: &str = "PAL_BENCH_NODES";
/// Set for the processes of a mesh: where to join.
const JOIN: &str = "PAL_BENCH_JOIN";
/// How long a link is measured.
const LINK_TIME: Duration = Duration::from_secs(3);
/// How long an idle network is watched.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// How often.
const IDLE_TIMES: usize = 4;
/// Measurements of nothing.
const MEASUREMENTS: u32 = 1_000_000;

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    if let Ok(nodes) = std::env::var(NODES) {
        return node(nodes.parse()?);
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let what = arguments.first().map(String::as_str);
    if what.is_none_or(|what| what == "cpu") {
        accounting();
    }
    if what.is_none_or(|what| what == "link") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        for transport in [Transport::Memory, Transport::Tcp, Transport::Quic] {
            for size in [Size::Large, Size::Small] {
                runtime.block_on(link(transport, size))?;
            }
        }
    }
    if what.is_none_or(|what| what == "mesh") {
        mesh(arguments.get(1).map_or(Ok(40), |n| n.parse())?)?;
    }
    Ok(())
}

/// What it costs to measure nothing.
fn accounting() {
    let (spent, begun) = (Spent::default(), Instant::now());
    for _ in 0..MEASUREMENTS {
        spent.on(|| std::hint::black_box(()));
    }
    println!("accounting: {:.0} ns a measurement", begun.elapsed().as_nanos() as f64 / f64::from(MEASUREMENTS));
}

#[derive(Default)]
struct Count(AtomicU64);

impl PacketHandler for Count {
    fn on_packet(&self, _: NodeId, _: Packet) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn listen(transport: Transport) -> &'static str {
    match transport {
        Transport::Memory => "/memory/0",
        Transport::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        Transport::Tcp | Transport::All => "/ip4/127.0.0.1/tcp/0",
    }
}

/// One link in one process, both ends.
async fn link(transport: Transport, size: Size) -> Result<(), Failure> {
    let count = Arc::new(Count::default());
    let server = NetConfig::server(Secret::new([1; 32]), transport, vec![listen(transport).parse()?], Vec::new());
    let server = Net::start(server, SharedTable::default(), count.clone())?;
    let client = NetConfig::client(Secret::new([2; 32]), transport);
    let client = Net::start(client, SharedTable::default(), Arc::new(Count::default()))?;
    let to = client.connect(None, server.listeners().await, Duration::from_secs(5)).await?;
    let packet = Packet::parse(vec![7; size.packet_bytes()]).map_err(|_| "not a packet")?;
    let (begun, cpu) = (Instant::now(), cpu_seconds("self")?);
    while begun.elapsed() < LINK_TIME {
        client.send_wait(to, packet.clone(), Duration::from_secs(5)).await?;
    }
    let arrived = count.0.load(Ordering::Relaxed) as f64;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds("self")? - cpu);
    println!(
        "link {transport:?} {size:?}: {:.0} packets/s, {:.0} MB/s, {:.0} µs of CPU a packet (both ends)",
        arrived / wall,
        arrived * size.packet_bytes() as f64 / wall / 1e6,
        cpu / arrived * 1e6,
    );
    client.shutdown().await;
    server.shutdown().await;
    Ok(())
}

/// A network of processes: how long until all know all, what that costs, what it costs to exist.
fn mesh(nodes: usize) -> Result<(), Failure> {
    let begun = Instant::now();
    let (first, address) = spawn(nodes, "")?;
    let mut all = vec![first];
    for _ in 1..nodes {
        all.push(spawn(nodes, &address)?.0);
    }
    let started = begun.elapsed();
    expect(&mut all, "full")?;
    let full = begun.elapsed();
    let cpu =
        |all: &[Running]| all.iter().map(|node| cpu_seconds(&node.child.id().to_string())).sum::<Result<f64, _>>();
    let before = cpu(&all)?;
    println!(
        "mesh of {nodes}: started in {:.1} s, all tables full after {:.1} s more, {before:.1} s of CPU so far",
        started.as_secs_f64(),
        (full - started).as_secs_f64(),
    );
    for _ in 0..IDLE_TIMES {
        let (watched, before) = (Instant::now(), cpu(&all)?);
        std::thread::sleep(IDLE_TIME);
        let share = (cpu(&all)? - before) / watched.elapsed().as_secs_f64();
        let mut resident = Vec::new();
        for node in &all {
            resident.push(resident_mib(node.child.id())?);
        }
        let most = resident.iter().copied().fold(0.0, f64::max);
        println!(
            "  {:.0} s later: all together {:.1} % of a core, at most {most:.1} MiB resident",
            begun.elapsed().as_secs_f64(),
            share * 100.0
        );
    }
    let killed = Instant::now();
    all.truncate(nodes - nodes / 2);
    let gone = killed.elapsed();
    for node in &mut all {
        drop(node.child.stdin.take());
    }
    expect(&mut all, "half")?;
    println!(
        "  half of them killed: known to all others {:.1} s after the last",
        (killed.elapsed() - gone).as_secs_f64()
    );
    Ok(())
}

/// Waits until every node has said this.
fn expect(all: &mut [Running], what: &str) -> Result<(), Failure> {
    for node in all {
        let mut line = String::new();
        node.output.read_line(&mut line)?;
        if line.trim() != what {
            return Err(format!("a node says {line:?} instead of {what:?}").into());
        }
    }
    Ok(())
}

struct Running {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(nodes: usize, join: &str) -> Result<(Running, String), Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut child =
        command.env(NODES, nodes.to_string()).env(JOIN, join).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let mut address = String::new();
    output.read_line(&mut address)?;
    Ok((Running { child, output }, address.trim().to_owned()))
}

/// A process of the mesh: says where it listens, when it knows all others, when it knows that half of them are gone.
fn node(nodes: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (seed, key) = NodeKey::search(&mut rand::rng());
        let join: Vec<Multiaddr> = std::env::var(JOIN)?.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        let table = SharedTable::default();
        let config = NetConfig::server(seed, Transport::Tcp, vec![listen(Transport::Tcp).parse()?], join);
        let net = Net::start(config, table.clone(), Arc::new(Count::default()))?;
        let addresses = net.listeners().await;
        let descriptor = NodeDescriptor {
            id: key.id(),
            seq: clock::timestamp().0 * 1_000,
            onion: [7; 32],
            addresses: addresses.iter().map(|address| Bytes::from(address.to_vec())).collect(),
            valid_until: clock::timestamp().plus(3_600),
            roles: Roles::ALL,
            fill: 0,
        };
        table.write().map_err(|_| "poisoned")?.insert(descriptor.sign(&key)?, clock::moment());
        net.announce();
        println!("{}", addresses[0]);
        while table.read().map_err(|_| "poisoned")?.len() < nodes {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("full");
        // Polling costs more than the network does: not before the parent says that there is something to see.
        tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
        while table.read().map_err(|_| "poisoned")?.lost().count() < nodes / 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("half");
        std::future::pending().await
    })
}

/// Processor time of a process so far, in seconds.
fn cpu_seconds(process: &str) -> Result<f64, Failure> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is the name in parentheses; user and system time are the 14th and 15th, in hundredths.
    let fields: Vec<&str> = stat.rsplit(')').next().ok_or("no stat")?.split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / 100.0)
}

/// Resident memory of a process, in MiB.
fn resident_mib(process: u32) -> Result<f64, Failure> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).ok_or("no VmRSS")?.parse::<f64>()? / 1024.0)
}
