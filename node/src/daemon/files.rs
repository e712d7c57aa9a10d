//! The small files in the data folder: `node.json` while the node runs, and the ports it had.

use crate::config::NodeConfig;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use palimpsest_client::clock::{Wall, moment};
use palimpsest_client::keyring::replace_file;
use palimpsest_client::net::{Net, NetError, SharedTable};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::NodeTable;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::PoisonError;

/// Tells other programs that the node is up, and where.
const NODE_FILE: &str = "node.json";
/// The ports of the last run, so that a restarted node is found where its descriptor says.
const PORTS_FILE: &str = "ports";
/// The node table.
const TABLE_FILE: &str = "table";
/// Bytes of it at most: a full table has less.
const TABLE_BYTES_MAX: u64 = 128 << 20;

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

pub(super) fn write_node_file(dir: &Path, id: &NodeId, addresses: &[Multiaddr]) -> io::Result<()> {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    replace_file(&dir.join(PORTS_FILE), addresses.join("\n").as_bytes())?;
    let text = json!({ "pid": std::process::id(), "id": hex(&id.0), "addresses": addresses }).to_string();
    replace_file(&dir.join(NODE_FILE), text.as_bytes())
}

/// The nodes known when the node ended: with them it finds the network again though all bootstrap nodes are gone. A
/// damaged file is as good as none.
pub(super) fn read_table(dir: &Path, wall: Wall) -> NodeTable {
    let read = || {
        let mut bytes = Vec::new();
        File::open(dir.join(TABLE_FILE)).ok()?.take(TABLE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        NodeTable::decode(bytes.into(), wall.now(), moment()).ok()
    };
    read().unwrap_or_default()
}

/// The table as it is kept.
pub(super) fn encoded_table(table: &SharedTable) -> Vec<u8> {
    table.read().unwrap_or_else(PoisonError::into_inner).encode()
}

/// See [`read_table`]. A failure costs a slower start, and is only told.
pub(super) fn write_table(dir: &Path, encoded: &[u8]) {
    if let Err(error) = replace_file(&dir.join(TABLE_FILE), encoded) {
        tracing::warn!(%error, "the table of known nodes cannot be kept for the next start");
    }
}

pub(super) fn remove_node_file(dir: &Path) {
    let _ = fs::remove_file(dir.join(NODE_FILE));
}

/// Starts the network where the node listened last time, if the configuration leaves the port open and it is still free.
pub(super) async fn start_net(
    config: &NodeConfig,
    dir: &Path,
    start: impl Fn(Vec<Multiaddr>) -> Result<Net, NetError>,
) -> Result<Net, NetError> {
    let before: Vec<Multiaddr> = fs::read_to_string(dir.join(PORTS_FILE))
        .unwrap_or_default()
        .lines()
        .take(16)
        .filter_map(|line| line.parse().ok())
        .collect();
    let remembered: Vec<Multiaddr> = config.listen.iter().map(|wish| with_port_of(wish, &before)).collect();
    if remembered != config.listen
        && let Ok(net) = start(remembered)
    {
        // A port that was taken meanwhile shows only when listening begins.
        if !net.listeners().await.is_empty() {
            return Ok(net);
        }
        net.shutdown().await;
    }
    start(config.listen.clone())
}

/// `wish`, with the port that the same kind of address had in `before` where it asks for any.
fn with_port_of(wish: &Multiaddr, before: &[Multiaddr]) -> Multiaddr {
    let port = |want_tcp: bool| {
        before.iter().flat_map(Multiaddr::iter).find_map(|part| match part {
            Protocol::Tcp(port) if want_tcp => Some(port),
            Protocol::Udp(port) if !want_tcp => Some(port),
            _ => None,
        })
    };
    wish.iter()
        .map(|part| match part {
            Protocol::Tcp(0) => Protocol::Tcp(port(true).unwrap_or(0)),
            Protocol::Udp(0) => Protocol::Udp(port(false).unwrap_or(0)),
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_port_is_the_one_of_the_last_run() {
        let before: Vec<Multiaddr> =
            vec!["/ip4/127.0.0.1/tcp/4001".parse().unwrap(), "/ip4/127.0.0.1/udp/4002/quic-v1".parse().unwrap()];
        let with = |wish: &str| with_port_of(&wish.parse().unwrap(), &before).to_string();
        assert_eq!(with("/ip4/127.0.0.1/tcp/0"), "/ip4/127.0.0.1/tcp/4001");
        assert_eq!(with("/ip4/0.0.0.0/udp/0/quic-v1"), "/ip4/0.0.0.0/udp/4002/quic-v1");
        assert_eq!(with("/ip4/127.0.0.1/tcp/99"), "/ip4/127.0.0.1/tcp/99");
        assert_eq!(with_port_of(&"/ip4/127.0.0.1/tcp/0".parse().unwrap(), &[]).to_string(), "/ip4/127.0.0.1/tcp/0");
    }
}
