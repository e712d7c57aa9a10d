//! What this machine's tools do inside a container's own network: links, NAT, partitions. The image has no tools, so those
//! of the machine are run in the container's network namespace. Nothing is ever changed in the machine's own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::engine::run;
use super::error::DockerError;
use super::link::Links;
use super::plan::{Lan, Plan};

/// Time for one call of a tool.
const TOOL_DEADLINE: Duration = Duration::from_secs(20);
/// The interface of a container with one network.
const INTERFACE: &str = "eth0";
/// Where system tools are, besides PATH.
const SYSTEM: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// What is to be done in containers' networks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wanted {
    pub(super) links: Links,
    pub(super) nat: bool,
    pub(super) partition: bool,
}

/// The tools, as far as they are needed.
#[derive(Debug, Clone)]
pub(super) struct Tools {
    nsenter: PathBuf,
}

impl Tools {
    /// Finds what is needed; `None` if nothing is.
    ///
    /// # Errors
    /// [`DockerError::Missing`] names the first thing that is not there.
    pub(super) async fn find(wanted: Wanted) -> Result<Option<Self>, DockerError> {
        let Wanted { links, nat, partition } = wanted;
        if links.are_plain() && !nat && !partition {
            return Ok(None);
        }
        let purpose = match (nat, partition) {
            (true, _) => "--nat",
            (_, true) => "a partition",
            _ => "a link's latency, loss or bandwidth",
        };
        let missing = |what| DockerError::Missing { what, purpose };
        if !rustix::process::geteuid().is_root() {
            return Err(missing("the right of root (to enter the network of a container)"));
        }
        let nsenter = tool("nsenter").ok_or(missing("the program `nsenter`"))?;
        if (nat || partition || links.loss.is_some()) && tool("iptables-restore").is_none() {
            return Err(missing("the program `iptables-restore`"));
        }
        if nat && tool("ip").is_none() {
            return Err(missing("the program `ip`"));
        }
        if let Some(line) = links.tc("lo") {
            let purpose = if links.need_netem() { "--latency" } else { "--bandwidth" };
            if tool("tc").is_none() {
                return Err(DockerError::Missing { what: "the program `tc`", purpose });
            }
            // Tried in an empty network of its own, which ends with the program.
            let unshare = tool("unshare").ok_or(missing("the program `unshare`"))?;
            let mut words = vec!["--net".to_owned(), "tc".to_owned()];
            words.extend(line);
            if run(&unshare, &words, None, TOOL_DEADLINE).await.is_err() {
                let what = if links.need_netem() {
                    "`sch_netem` in this machine's kernel (CONFIG_NET_SCH_NETEM)"
                } else {
                    "`sch_tbf` in this machine's kernel (CONFIG_NET_SCH_TBF)"
                };
                return Err(DockerError::Missing { what, purpose });
            }
        }
        Ok(Some(Self { nsenter }))
    }

    /// Makes a node's network what the plan says; what was before is forgotten.
    pub(super) async fn wire_node(&self, plan: &Plan, index: u32, pid: u32) -> Result<(), DockerError> {
        if let Some(line) = plan.links.tc(INTERFACE) {
            self.enter(pid, "tc", &line, None).await?;
        }
        let lan = plan.nodes.get(index as usize).and_then(|place| plan.lans.get(place.lan?));
        if let Some(lan) = lan {
            let route = ["route", "replace", "default", "via"].map(str::to_owned);
            self.enter(pid, "ip", &[&route[..], &[lan.inside.to_string()]].concat(), None).await?;
        }
        self.enter(pid, "iptables-restore", &[], Some(&node_rules(plan, index))).await
    }

    /// Makes a container the router of a LAN.
    pub(super) async fn wire_router(&self, plan: &Plan, lan: &Lan, pid: u32) -> Result<(), DockerError> {
        self.enter(pid, "iptables-restore", &[], Some(&router_rules(plan, lan))).await
    }

    async fn enter(&self, pid: u32, tool: &str, args: &[String], input: Option<&str>) -> Result<(), DockerError> {
        let network = |process: &str| fs::read_link(Path::new("/proc").join(process).join("ns/net"));
        let (theirs, ours) = (network(&pid.to_string()), network("self"));
        match (theirs, ours) {
            (Ok(theirs), Ok(ours)) if theirs != ours => {}
            _ => {
                let what = "a container that runs on this machine, in a network of its own";
                return Err(DockerError::Missing { what, purpose: "a change of its links" });
            }
        }
        let mut words = vec![format!("--net=/proc/{pid}/ns/net"), tool.to_owned()];
        words.extend_from_slice(args);
        run(&self.nsenter, &words, input, TOOL_DEADLINE).await.map(|_| ())
    }
}

/// All rules of a node: incoming packets of the other side of a partition, and those that are lost, are dropped.
fn node_rules(plan: &Plan, index: u32) -> String {
    let mut rules = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n".to_owned();
    for address in plan.beyond(index) {
        rules += &format!("-A INPUT -s {address} -j DROP\n");
    }
    if let Some(rule) = plan.links.lossy_rule() {
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
    use super::{Tools, Wanted, node_rules, router_rules};
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
        let whole = node_rules(&plan, 0);
        assert!(!whole.contains("DROP"));
        plan.island = vec![0, 1];
        let cut = node_rules(&plan, 0);
        assert_eq!(cut.matches("-j DROP").count(), 6);
        assert!(cut.contains("-A INPUT -s 10.77.0.4 -j DROP\n") && !cut.contains("10.77.0.3"), "{cut}");
        plan.links.loss = Some("1%".parse().unwrap());
        assert_eq!(node_rules(&plan, 0).matches("-j DROP").count(), 7);
        plan.island.clear();
        plan.links.loss = None;
        assert_eq!(node_rules(&plan, 0), whole);
    }

    #[test]
    fn a_router_lets_out_all_and_in_only_answers() {
        let plan = plan(0.5);
        let rules = router_rules(&plan, &plan.lans[0]);
        assert!(rules.contains("-s 10.77.16.0/24 -d 10.77.0.0/20 -j MASQUERADE"), "{rules}");
        assert!(rules.contains(":FORWARD DROP"));
    }
}
