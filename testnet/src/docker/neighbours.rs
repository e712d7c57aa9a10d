//! Who is at which address of the bridge, where the kernel has no room to find out.
//!
//! Linux has one table of neighbours for all networks of a machine (`net.ipv4.neigh.default.gc_thresh3`, 1,024 entries unless
//! changed), and n containers that all talk to each other need n² of them: from 33 on packets would be dropped, with "neighbour table
//! overflow" in the kernel's log. Entries that are made by hand do not count (since Linux 5.0), so each container is told of all others. That happens inside
//! of the containers' own networks; the machine's is not changed.

use std::fs;
use std::net::Ipv4Addr;

use futures::TryStreamExt;
use futures::stream::{StreamExt, iter};

use super::error::DockerError;
use super::netns::{INTERFACE, Tools};
use super::plan::{Plan, Side};
use super::{ASKED_AT_ONCE, DockerNet};

/// Where the kernel says how many neighbours it remembers, and how many that is where it does not say.
const ROOM: (&str, usize) = ("/proc/sys/net/ipv4/neigh/default/gc_thresh3", 1_024);

/// A container that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    pid: u32,
    address: Ipv4Addr,
    hardware: String,
}

/// Whether so many containers that all talk to each other are more than the kernel has room for.
pub(super) fn is_crowded(plan: &Plan) -> bool {
    let room = fs::read_to_string(ROOM.0).ok().and_then(|said| said.trim().parse().ok()).unwrap_or(ROOM.1);
    exceeds(plan.nodes.len() + plan.users.len(), room)
}

fn exceeds(members: usize, room: usize) -> bool {
    members * members > room
}

impl DockerNet {
    /// Tells all containers that run where the others are. Those behind routers talk to these only.
    pub(super) async fn introduce(&self, tools: &Tools) -> Result<(), DockerError> {
        let nodes = self.plan.indices().filter(|&index| self.plan.nodes[index as usize].lan.is_none());
        let mut names: Vec<String> = nodes.map(|index| self.plan.container(index)).collect();
        names.extend(Side::ALL.into_iter().take(self.plan.users.len()).map(|side| self.plan.user(side)));
        let format = "{{.State.Pid}}{{range .NetworkSettings.Networks}} {{.IPAddress}} {{.MacAddress}}{{end}}";
        let mut words = ["inspect", "--type", "container", "--format", format].map(str::to_owned).to_vec();
        words.extend(names);
        let members = members(&self.docker.ask(&words).await?);
        let told: Vec<_> = members
            .iter()
            .map(|member| async {
                let words = ["-batch", "-"].map(str::to_owned);
                tools.enter(member.pid, "ip", &words, Some(&others(member, &members))).await
            })
            .collect();
        iter(told).buffer_unordered(ASKED_AT_ONCE).try_collect().await
    }
}

/// Those who run, by the engine's own words: a line each.
fn members(said: &str) -> Vec<Member> {
    let member = |line: &str| {
        let mut words = line.split_whitespace();
        let pid = words.next()?.parse().ok().filter(|&pid| pid > 0)?;
        let (address, hardware) = (words.next()?.parse().ok()?, words.next()?);
        let is_hardware = hardware.len() == 17 && hardware.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
        is_hardware.then(|| Member { pid, address, hardware: hardware.to_owned() })
    };
    said.lines().filter_map(member).collect()
}

/// What `ip` is told in the network of one of them.
fn others(own: &Member, members: &[Member]) -> String {
    let others = members.iter().filter(|other| other.address != own.address);
    let line = |Member { address, hardware, .. }: &Member| {
        format!("neigh replace {address} lladdr {hardware} dev {INTERFACE} nud permanent\n")
    };
    others.map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{exceeds, members, others};

    #[test]
    fn from_thirty_three_on_they_are_too_many() {
        assert!(!exceeds(32, 1_024) && exceeds(33, 1_024) && !exceeds(33, 4_096));
    }

    #[test]
    fn each_is_told_of_the_others_that_run() {
        let said = "17 10.77.0.2 02:42:0a:4d:00:02\n0  \n19 10.77.0.4 02:42:0a:4d:00:04\n20 10.77.0.5 ;reboot\nwhat\n";
        let members = members(said);
        assert_eq!(members.iter().map(|member| member.pid).collect::<Vec<_>>(), [17, 19]);
        let told = others(&members[0], &members);
        assert_eq!(told, "neigh replace 10.77.0.4 lladdr 02:42:0a:4d:00:04 dev eth0 nud permanent\n");
    }
}
