//! The compose file: the template of the repository, filled in.

use super::plan::{Plan, Side, lan_name, multiaddr, node_name, user_name};
use crate::hostile::HOSTILE;
use crate::process::Transport;

/// The template, see there.
const TEMPLATE: &str = include_str!("../../docker/compose.yaml");
/// What stands before the lines of each node, each LAN and each user, and after them.
const EACH_NODE: &str = "# each node";
const EACH_LAN: &str = "# each lan";
const EACH_USER: &str = "# each user";
const END: &str = "# end";
/// Threads of each node: many share this machine's processors.
const THREADS: &str = "1";

/// The compose file of a network.
pub(super) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    let mut lines = TEMPLATE.lines();
    // The comment at the top is the template's.
    let mut begun = false;
    while let Some(line) = lines.next() {
        begun |= !line.starts_with('#');
        let repeat = [EACH_NODE, EACH_LAN, EACH_USER].contains(&line);
        if !repeat {
            if begun {
                text += &filled(line, &general(plan));
                text.push('\n');
            }
            continue;
        }
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != END).collect();
        let values = match line {
            EACH_NODE => nodes(plan),
            EACH_LAN => lans(plan),
            _ => users(plan),
        };
        for mut values in values {
            values.extend(general(plan));
            for line in &block {
                text += &filled(line, &values);
                text.push('\n');
            }
        }
    }
    text
}

type Values = Vec<(&'static str, String)>;

fn general(plan: &Plan) -> Values {
    vec![
        ("image", plan.image()),
        ("project", plan.project()),
        ("name", plan.name.to_string()),
        ("label", super::LABEL.to_owned()),
        ("wan", plan.subnet.wan()),
        ("disk", disk(plan)),
    ]
}

/// What the volumes of nodes are, as JSON.
fn disk(plan: &Plan) -> String {
    let options = |mib| serde_json::json!({"type": "tmpfs", "device": "tmpfs", "o": format!("size={mib}m")});
    plan.disk_mib.map_or_else(|| "{}".to_owned(), |mib| options(mib).to_string())
}

fn nodes(plan: &Plan) -> Vec<Values> {
    let of = |(index, place): (u32, &super::plan::Place)| {
        vec![
            ("node", node_name(index)),
            ("index", index.to_string()),
            ("network", place.lan.map_or_else(|| "wan".to_owned(), lan_name)),
            ("address", place.address.to_string()),
            ("program", if plan.cast.parts.contains_key(&index) { HOSTILE } else { "pald" }.to_owned()),
            ("command", serde_json::Value::from(command(plan, index)).to_string()),
        ]
    };
    plan.indices().zip(&plan.nodes).map(of).collect()
}

fn lans(plan: &Plan) -> Vec<Values> {
    let of = |(index, lan): (usize, &super::plan::Lan)| {
        vec![
            ("lan", lan_name(index)),
            ("index", index.to_string()),
            ("subnet", lan.subnet.clone()),
            ("inside", lan.inside.to_string()),
            ("outside", lan.outside.to_string()),
        ]
    };
    plan.lans.iter().enumerate().map(of).collect()
}

fn users(plan: &Plan) -> Vec<Values> {
    let of = |(side, address): (Side, &std::net::Ipv4Addr)| {
        vec![("user", user_name(side).to_owned()), ("address", address.to_string())]
    };
    Side::ALL.into_iter().zip(&plan.users).map(of).collect()
}

/// The arguments of a node's `pald`.
fn command(plan: &Plan, index: u32) -> Vec<String> {
    let mut words: Vec<String> = ["run", "--data-dir", "/data", "--threads", THREADS].map(str::to_owned).to_vec();
    words.extend(["--transport".to_owned(), plan.transport.to_string()]);
    if let Some(part) = plan.cast.parts.get(&index) {
        words.extend(["--part".to_owned(), part.text()]);
    }
    let Some(place) = plan.nodes.get(index as usize) else { return words };
    let own = multiaddr(plan.transport, place.address);
    words.extend(["--listen".to_owned(), own.clone()]);
    if plan.transport == Transport::All {
        words.extend(["--listen".to_owned(), multiaddr(Transport::Quic, place.address)]);
    }
    for address in plan.bootstrap().into_iter().filter(|address| *address != own) {
        words.extend(["--bootstrap".to_owned(), address]);
    }
    if let Some(quota) = &plan.quota {
        words.extend(["--quota".to_owned(), quota.clone()]);
    }
    if plan.next_version.contains(&index) {
        words.push("--next-version".to_owned());
    }
    words
}

/// A line with its names between at-signs replaced.
fn filled(line: &str, values: &Values) -> String {
    values.iter().fold(line.to_owned(), |line, (name, value)| line.replace(&format!("@{name}@"), value))
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::docker::plan::Plan;
    use crate::hostile::Lie;
    use crate::process::{Fraction, Transport};

    fn plan(nodes: u32, nat: f64) -> Plan {
        let (name, subnet) = ("t".parse().unwrap(), "10.77.0.0/16".parse().unwrap());
        Plan::new(name, subnet, nodes, Fraction::new(nat).unwrap()).unwrap()
    }

    #[test]
    fn nothing_is_left_to_fill_in() {
        let text = render(&plan(24, 0.25));
        assert!(!text.contains('@') && !text.contains("# each") && !text.contains("# end"), "{text}");
        assert_eq!(
            text.matches("\"org.palimpsest.testnet\": \"t\"").count(),
            24 + 2 + 2 + 1 + 2 + 24,
            "all is labelled"
        );
        assert_eq!(text.matches("ipv4_address").count(), 24 + 2 + 2 * 2);
        assert_eq!(text.lines().filter(|line| line.starts_with("volumes:")).count(), 1);
        assert!(!render(&plan(3, 0.0)).contains("lan-"));
    }

    #[test]
    fn nodes_are_told_where_they_are_and_whom_to_ask() {
        let (mut plan, nine) = (plan(4, 0.0), plan(9, 0.0));
        plan.quota = Some("1G".to_owned());
        let told = |plan: &Plan| {
            let lines: Vec<String> = render(plan).lines().map(str::to_owned).collect();
            lines.iter().filter(|line| line.contains("command:")).cloned().collect::<Vec<_>>()
        };
        let commands = told(&plan);
        assert_eq!(
            commands[1].trim(),
            "command: [\"run\",\"--data-dir\",\"/data\",\"--threads\",\"1\",\"--transport\",\"tcp\",\
             \"--listen\",\"/ip4/10.77.0.3/tcp/4646\",\"--bootstrap\",\"/ip4/10.77.0.2/tcp/4646\",\
             \"--bootstrap\",\"/ip4/10.77.0.4/tcp/4646\",\"--bootstrap\",\"/ip4/10.77.0.5/tcp/4646\",\"--quota\",\"1G\"]"
        );
        assert_eq!(commands[3].matches("--bootstrap").count(), 3);
        assert_eq!(told(&nine)[8].matches("--bootstrap").count(), 5);
        assert!(render(&plan).contains("driver_opts: {}\n"));
        plan.disk_mib = Some(16);
        assert_eq!(render(&plan).matches(r#""o":"size=16m""#).count(), 4);
        plan.next_version = vec![2];
        assert!(told(&plan)[2].contains("--next-version") && !told(&plan)[1].contains("--next-version"));
        plan.cast.part(1).lie = Some(Lie::Garbage);
        assert!(told(&plan)[1].contains(r#""--part","{\"lie\":\"garbage\"}""#), "{}", told(&plan)[1]);
        assert_eq!(render(&plan).matches(r#"entrypoint: ["/pald-hostile"]"#).count(), 1);
        assert_eq!(render(&plan).matches(r#"entrypoint: ["/pald"]"#).count(), 3);
        plan.transport = Transport::All;
        assert_eq!(told(&plan)[3].matches("--listen").count(), 2);
    }
}
