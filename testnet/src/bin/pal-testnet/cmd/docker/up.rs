//! `pal-testnet docker up`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use palimpsest_testnet::docker::{Bandwidth, Docker, DockerNet, Latency, Links, Loss, Subnet, UpOptions, remove};
use palimpsest_testnet::hostile::Cast;
use palimpsest_testnet::process::{Fraction, Transport};

use super::super::{Failure, interrupted, say, seconds};
use super::Which;

/// Start a network of containers; returns when every node knows all. The image holds static programs and nothing else.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// Nodes to start.
    #[arg(long, default_value_t = 24)]
    nodes: u32,
    /// Share of the nodes that is behind NAT, four behind each router.
    #[arg(long, default_value = "0%")]
    nat: Fraction,
    /// How long a packet takes on its way from one node, and how far that strays: 50ms±10. A round trip has it twice.
    #[arg(long)]
    latency: Option<Latency>,
    /// Share of the packets that is lost on the way to a node: 1%.
    #[arg(long)]
    loss: Option<Loss>,
    /// What a node can send: 20mbit.
    #[arg(long)]
    bandwidth: Option<Bandwidth>,
    /// How nodes talk: tcp, quic, all.
    #[arg(long, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// Quota of each node, as `pald run --quota` takes it.
    #[arg(long)]
    quota: Option<String>,
    /// MiB of the disk that each node has, in memory: to see it full. By default they share this machine's.
    #[arg(long, value_parser = clap::value_parser!(u64).range(8..))]
    disk_mib: Option<u64>,
    /// Addresses that no other network of this machine has, a private /16.
    #[arg(long, default_value = "10.77.0.0/16")]
    subnet: Subnet,
    /// Folder of static `pal` and `pald`; by default they are looked for where a static build puts them.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// All nodes write down what they handle, each in its volume: for `censor --docker`. For networks that nobody uses; takes a static
    /// `pald-hostile` beside `pald`.
    #[arg(long)]
    diary: bool,
    /// Seconds until all nodes must know each other.
    #[arg(long, default_value = "120", value_parser = seconds)]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<(), Failure> {
    let since = Instant::now();
    let Args { which, nodes, nat, latency, loss, bandwidth, transport, quota, disk_mib, subnet, bin_dir, .. } = args;
    let deadline = args.timeout;
    let links = Links { latency, loss, bandwidth };
    let mut cast = Cast::default();
    if args.diary {
        (0..nodes).for_each(|node| cast.part(node).diary = true);
    }
    let (dir, name) = (which.folder(), which.name);
    let options = UpOptions {
        dir,
        name: name.clone(),
        subnet,
        nodes,
        nat,
        links,
        transport,
        quota,
        disk_mib,
        bin_dir,
        cast,
        deadline,
    };
    let net = up(options).await?;
    say(&format!("{nodes} nodes know each other after {:.1} s", since.elapsed().as_secs_f64()));
    if net.plan().links.are_slow() {
        let who =
            if net.plan().held { "a program of this machine, for want of `netem`" } else { "the kernel's `netem`" };
        say(&format!("the links' delay is made by {who}"));
    }
    if !net.plan().lans.is_empty() {
        let hidden = net.plan().nodes.iter().filter(|place| place.lan.is_some()).count();
        say(&format!("{hidden} of them are behind {} routers", net.plan().lans.len()));
    }
    say(&format!("export PAL_BOOTSTRAP={}", net.bootstrap_file().display()));
    Ok(())
}

/// Starts a network, and removes what there is of it when interrupted.
pub(super) async fn up(options: UpOptions) -> Result<DockerNet, Failure> {
    let name = options.name.clone();
    let files = ["docker.json", "compose.yaml", "bootstrap"].map(|file| options.dir.join(file));
    // The work is dropped at the end of this statement, and with it its hold on the network.
    let outcome = tokio::select! {
        outcome = DockerNet::up(options) => Some(outcome),
        () = interrupted() => None,
    };
    if let Some(outcome) = outcome {
        return Ok(outcome?);
    }
    remove(&Docker::find().await?, &name).await?;
    for file in files {
        let _gone = std::fs::remove_file(file);
    }
    Err(Failure::Interrupted)
}
