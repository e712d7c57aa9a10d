//! What this machine's tools do inside a container's own network: links, NAT, partitions. The image has no tools, so those
//! of the machine are run in the container's network namespace. Nothing is ever changed in the machine's own.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::delay;
use super::engine::run;
use super::error::DockerError;
use super::link::{Latency, Links};
use super::plan::{Lan, Plan, Side};
use crate::process::find_program;

/// Time for one call of a tool.
const TOOL_DEADLINE: Duration = Duration::from_secs(20);
/// The interface of a container with one network.
pub(super) const INTERFACE: &str = "eth0";
/// Where system tools are, besides PATH.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// What is to be done in containers' networks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) links: Links,
    pub(super) nat: bool,
    pub(super) partition: bool,
    /// Whether all are to be told where the others are.
    pub(super) crowded: bool,
}

/// The program that holds packets, see [`delay`].
pub(super) const HOLDER: &str = "pal-testnet";
/// What it says when it has begun.
pub const HOLDING: &str = "holding\n";

/// The tools, as far as they are needed.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    nsenter: PathBuf,
    /// The program that delays packets, where the kernel does not.
    holder: Option<PathBuf>,
}

impl Tools {
    /// Finds what is needed; `None` if nothing is.
    ///
    /// # Errors
    /// [`DockerError::Missing`] names the first thing that is not there.
    pub(super) async fn find(wanted: Wanted) -> Result<Option<Self>, DockerError> {
        let Wanted { links, nat, partition, crowded } = wanted;
        if links.are_plain() && !nat && !partition && !crowded {
            return Ok(None);
        }
        let purpose = match (nat, partition, links.are_plain()) {
            (true, ..) => "--nat",
            (_, true, _) => "a partition",
            (.., false) => "a link's latency, loss or bandwidth",
            _ => "more containers than this machine's kernel remembers neighbours (net.ipv4.neigh.default.gc_thresh3)",
        };
        let missing = |what| DockerError::Missing { what, purpose };
        let nsenter = enterer(purpose)?;
        if (nat || partition || !links.are_plain()) && tool("iptables-restore").is_none() {
            return Err(missing("the program `iptables-restore`"));
        }
        if (nat || crowded) && tool("ip").is_none() {
            return Err(missing("the program `ip`"));
        }
        let mut holder = None;
        if !links.are_plain() {
            // Tried in an empty network of its own, which ends with the program.
            let unshare = tool("unshare").ok_or(missing("the program `unshare`"))?;
            let may = |held| try_links(&unshare, links, held);
            if let Err(lack) = may(false).await {
                if !links.are_slow() || may(true).await.is_err() {
                    return Err(lack);
                }
                let found = find_program(HOLDER, None);
                holder = Some(found.map_err(|_| missing("the program `pal-testnet`, in the folder of this one"))?);
            }
        }
        Ok(Some(Self { nsenter, holder }))
    }

    /// Whether the delay of links is made by a program of ours.
    pub(super) fn hold(&self) -> bool {
        self.holder.is_some()
    }

    /// Makes a node's network what the plan says; what was before is forgotten.
    pub(super) async fn wire_node(&self, plan: &Plan, index: u32, pid: u32) -> Result<(), DockerError> {
        let lan = plan.nodes.get(index as usize).and_then(|place| plan.lans.get(place.lan?));
        if let Some(lan) = lan {
            let route = ["route", "replace", "default", "via"].map(str::to_owned);
            self.enter(pid, "ip", &[&route[..], &[lan.inside.to_string()]].concat(), None).await?;
        }
        self.wire(plan, &plan.beyond(index), pid).await
    }

    /// Makes a user's network what the plan says.
    pub(super) async fn wire_user(&self, plan: &Plan, side: Side, pid: u32) -> Result<(), DockerError> {
        self.wire(plan, &plan.beyond_side(side), pid).await
    }

    async fn wire(&self, plan: &Plan, beyond: &[Ipv4Addr], pid: u32) -> Result<(), DockerError> {
        if let Some(line) = plan.links.tc(INTERFACE, self.hold()) {
            self.enter(pid, "tc", &line, None).await?;
        }
        let mut rules = end_rules(&plan.links, beyond);
        if let (Some(holder), Some(latency)) = (&self.holder, plan.links.latency) {
            self.begin_holding(holder, latency, pid).await?;
            rules += &delay::rules();
        }
        // Without a rule there is none of before either, where the program is missing: many containers need `ip` only.
        if plan.links.are_plain() && beyond.is_empty() && tool("iptables-restore").is_none() {
            return Ok(());
        }
        self.enter(pid, "iptables-restore", &[], Some(&rules)).await
    }

    /// Starts the program that delays what comes into a container, unless it runs. It outlives this one, and ends with the
    /// container.
    async fn begin_holding(&self, holder: &Path, latency: Latency, pid: u32) -> Result<(), DockerError> {
        let words =
            ["docker", "hold", "--latency", &latency.to_string(), "--process", &pid.to_string()].map(str::to_owned);
        let command = format!("{HOLDER} {}", words.join(" "));
        let failed = |source| DockerError::Spawn { command: command.clone(), source };
        let mut child = Command::new(&self.nsenter)
            .arg(network_of(pid)?)
            .arg(holder)
            .args(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Ctrl-C is for those who clean up.
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let mut said = [0; HOLDING.len()];
        let Some(mut out) = child.stdout.take() else { return Ok(()) };
        match tokio::time::timeout(TOOL_DEADLINE, out.read_exact(&mut said)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(source)) => Err(failed(source)),
            Err(_) => Err(DockerError::TimedOut { command, after: TOOL_DEADLINE }),
        }
    }

    /// Makes a container the router of a LAN.
    pub(super) async fn wire_router(&self, plan: &Plan, lan: &Lan, pid: u32) -> Result<(), DockerError> {
        self.enter(pid, "iptables-restore", &[], Some(&router_rules(plan, lan))).await
    }

    pub(super) async fn enter(
        &self,
        pid: u32,
        tool: &str,
        args: &[String],
        input: Option<&str>,
    ) -> Result<(), DockerError> {
        let mut words = vec![network_of(pid)?, tool.to_owned()];
        words.extend_from_slice(args);
        run(&self.nsenter, &words, input, TOOL_DEADLINE).await.map(|_| ())
    }
}

/// The program that enters a container's network.
///
/// # Errors
/// It is missing, or the right to do so.
pub(super) fn enterer(purpose: &'static str) -> Result<PathBuf, DockerError> {
    let missing = |what| DockerError::Missing { what, purpose };
    if !rustix::process::geteuid().is_root() {
        return Err(missing("the right of root (to enter the network of a container)"));
    }
    tool("nsenter").ok_or(missing("the program `nsenter`"))
}

/// What tells `nsenter` to enter the network of a container's process.
///
/// # Errors
/// It is gone, or its network is that of this machine.
pub(super) fn network_of(pid: u32) -> Result<String, DockerError> {
    let network = |process: &str| fs::read_link(Path::new("/proc").join(process).join("ns/net"));
    match (network(&pid.to_string()), network("self")) {
        (Ok(theirs), Ok(ours)) if theirs != ours => Ok(format!("--net=/proc/{pid}/ns/net")),
        _ => {
            let what = "a container that runs on this machine, in a network of its own";
            Err(DockerError::Missing { what, purpose: "a change of its links" })
        }
    }
}

/// Whether this kernel can make such links, the delay by itself or (`held`) with a program's help.
async fn try_links(unshare: &Path, links: Links, held: bool) -> Result<(), DockerError> {
    if let Some(line) = links.tc("lo", held) {
        let netem = links.are_slow() && !held;
        let purpose = if netem { "--latency" } else { "--bandwidth" };
        if tool("tc").is_none() {
            return Err(DockerError::Missing { what: "the program `tc`", purpose });
        }
        let mut words = vec!["--net".to_owned(), "tc".to_owned()];
        words.extend(line);
        if run(unshare, &words, None, TOOL_DEADLINE).await.is_err() {
            let what = if netem {
                "`sch_netem` or `xt_NFQUEUE` in this machine's kernel (CONFIG_NET_SCH_NETEM, CONFIG_NETFILTER_XT_TARGET_NFQUEUE)"
            } else {
                "`sch_tbf` in this machine's kernel (CONFIG_NET_SCH_TBF)"
            };
            return Err(DockerError::Missing { what, purpose });
        }
    }
    if held {
        run(unshare, &["--net", "iptables-restore"], Some(&delay::rules()), TOOL_DEADLINE).await?;
    }
    Ok(())
}

/// All rules of a node, or of a user: incoming packets from beyond a partition, and those that are lost, are dropped.
fn end_rules(links: &Links, beyond: &[Ipv4Addr]) -> String {
    let mut rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n".to_owned();
    for address in beyond {
        rules += &format!("-A INPUT -s {address} -j DROP\n");
    }
    if let Some(rule) = links.lossy_rule() {
        rules += &format!("{rule}\n");
    }
    rules + "COMMIT\n"
}

/// All rules of a router: what goes out bears its address, and only answers come in.
fn router_rules(plan: &Plan, lan: &Lan) -> String {
    let (inside, wan) = (&lan.subnet, plan.subnet.wan());
    format!(
        "*nat\n-A POSTROUTING -s {inside} -d {wan} -j MASQUERADE\nCOMMIT\n\
         *filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n\
         -A FORWARD -s {inside} -d {wan} -j ACCEPT\n\
         -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT\nCOMMIT\n"
    )
}

/// A program of this machine.
fn tool(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(SYSTEM.iter().map(PathBuf::from));
    places.map(|dir| dir.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::{Tools, Wanted, end_rules, router_rules};
    use crate::docker::plan::Plan;
    use crate::process::Fraction;

    fn plan(nat: f64) -> Plan {
        let (name, subnet) = ("t".parse().unwrap(), "10.77.0.0/16".parse().unwrap());
        Plan::new(name, subnet, 8, Fraction::new(nat).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn plain_links_need_no_tools() {
        assert!(Tools::find(Wanted::default()).await.unwrap().is_none());
    }

    #[test]
    fn a_partition_drops_what_comes_from_beyond_and_ends_without_trace() {
        let mut plan = plan(0.0);
        let rules = |plan: &Plan| end_rules(&plan.links, &plan.beyond(0));
        let whole = rules(&plan);
        assert!(!whole.contains("DROP"));
        plan.island = vec![0, 1];
        let cut = rules(&plan);
        assert_eq!(cut.matches("-j DROP").count(), 6 + 1, "six nodes and a user");
        assert!(cut.contains("-A INPUT -s 10.77.0.4 -j DROP\n") && !cut.contains("10.77.0.3"), "{cut}");
        plan.links.loss = Some("1%".parse().unwrap());
        assert_eq!(rules(&plan).matches("-j DROP").count(), 8);
        plan.island.clear();
        plan.links.loss = None;
        assert_eq!(rules(&plan), whole);
    }

    #[test]
    fn a_router_lets_out_all_and_in_only_answers() {
        let plan = plan(0.5);
        let rules = router_rules(&plan, &plan.lans[0]);
        assert!(rules.contains("-s 10.77.16.0/24 -d 10.77.0.0/20 -j MASQUERADE"), "{rules}");
        assert!(rules.contains(":FORWARD DROP"));
    }
}
