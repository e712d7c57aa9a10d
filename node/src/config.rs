//! The node's configuration: flag > environment > file > default, parsed into domain types when it is read.

pub use crate::hostile::{Meddler, Onlooker, Stand};
use crate::work::UpkeepConfig;
use libp2p::Multiaddr;
use palimpsest_client::clock::Wall;
use palimpsest_client::net::{TableLiar, Transport, Versions};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Space that a node offers unless told otherwise: 10 GiB.
pub const QUOTA_BYTES_DEFAULT: u64 = 10 << 30;

/// Days in which a node reads its whole store again unless told otherwise: rot is rare, and the others have what is missing.
pub const SCRUB_DAYS_DEFAULT: u16 = 14;

/// The period of `days`; none for 0.
pub fn scrub_period(days: u16) -> Option<Duration> {
    (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
}

/// How a node is to run.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Identity, store, socket: all that the node writes.
    pub data_dir: PathBuf,
    /// Where to listen; port 0 stands for the port of the last run, or any.
    pub listen: Vec<Multiaddr>,
    /// What to speak.
    pub transport: Transport,
    /// Addresses of nodes to meet first.
    pub bootstrap: Vec<String>,
    /// Bytes on disk that the node may use in all, its index included.
    pub quota_bytes: u64,
    /// In which time everything in the store is read again; `None`: only when asked.
    pub scrub_period: Option<Duration>,
    /// Where `/metrics`, `/healthz` and `/readyz` are shown; `None`: nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// When and how much the node works for what others published; `None`: it keeps what it is given, and no more.
    pub upkeep: Option<UpkeepConfig>,
    /// The clock that leases, descriptors and turns go by.
    pub wall: Wall,
    /// The versions of the protocols that it speaks.
    pub versions: Versions,
    /// Part of another process: no admin socket, no `node.json`.
    pub embedded: bool,
    /// Answers in the honest service's place, in tests.
    pub service: Option<Stand>,
    /// Meddles with what the node passes on for others, in tests.
    pub meddler: Option<Meddler>,
    /// Makes up what the node tells in exchanges of tables, in tests.
    pub table_liar: Option<TableLiar>,
    /// Is told of all that the node handles, in tests.
    pub onlooker: Option<Onlooker>,
}

/// Where a node listens unless told otherwise: the same port on every interface, for each transport.
pub fn listen_default(transport: Transport) -> Vec<Multiaddr> {
    let texts: &[&str] = match transport {
        Transport::Tcp => &["/ip4/0.0.0.0/tcp/4646"],
        Transport::Quic => &["/ip4/0.0.0.0/udp/4646/quic-v1"],
        Transport::All => &["/ip4/0.0.0.0/udp/4646/quic-v1", "/ip4/0.0.0.0/tcp/4646"],
        Transport::Memory => &["/memory/0"],
    };
    texts.iter().filter_map(|text| text.parse().ok()).collect()
}

/// A number of bytes: digits, and K, M, G or T for powers of 1024.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, factor) = match text.strip_suffix(['K', 'M', 'G', 'T', 'k', 'm', 'g', 't']) {
        Some(digits) => {
            let power = match text.as_bytes().last()?.to_ascii_uppercase() {
                b'K' => 1,
                b'M' => 2,
                b'G' => 3,
                _ => 4,
            };
            (digits, 1024_u64.pow(power))
        }
        None => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Where to show metrics: an address with its port, or a port on loopback.
pub fn parse_metrics_listen(text: &str) -> Option<SocketAddr> {
    match text.parse() {
        Ok(port) => Some((Ipv4Addr::LOCALHOST, port).into()),
        Err(_) => text.parse().ok(),
    }
}

/// Bytes of a configuration file at most.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Why a configuration file was refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It is no TOML, or a key or value is unknown.
    #[error("{}: {source}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        #[source]
        source: Box<toml::de::Error>,
    },
}

/// What the configuration file says; all of it is optional, and an unknown key is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileConfig {
    /// See [`NodeConfig::data_dir`].
    pub data_dir: Option<PathBuf>,
    /// See [`NodeConfig::listen`].
    #[serde(default)]
    pub listen: Vec<Multiaddr>,
    /// Multiaddrs, or files with one a line.
    #[serde(default)]
    pub bootstrap: Vec<String>,
    /// `tcp`, `quic` or `all`.
    #[serde(default, deserialize_with = "transport")]
    pub transport: Option<Transport>,
    /// A size, as text: `"10G"`.
    #[serde(default, deserialize_with = "size")]
    pub quota: Option<u64>,
    /// See [`NodeConfig::scrub_period`]; 0: only when asked.
    pub scrub_days: Option<u16>,
    /// See [`NodeConfig::metrics_listen`]: `"9464"` or `"127.0.0.1:9464"`.
    #[serde(default, deserialize_with = "metrics_listen")]
    pub metrics_listen: Option<SocketAddr>,
}

impl FileConfig {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<FileConfig, ConfigError> {
        let cannot = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        File::open(path).and_then(|f| f.take(FILE_BYTES_MAX).read_to_string(&mut text)).map_err(cannot)?;
        toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.to_owned(), source: Box::new(source) })
    }
}

fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    parse_size(&text).map(Some).ok_or_else(|| D::Error::custom(format!("{text:?} is not a size like \"10G\"")))
}

fn metrics_listen<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(from)?;
    let bad = || D::Error::custom(format!("{text:?} is neither a port nor an address with one"));
    parse_metrics_listen(&text).map(Some).ok_or_else(bad)
}

fn transport<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Transport>, D::Error> {
    match String::deserialize(from)?.as_str() {
        "tcp" => Ok(Some(Transport::Tcp)),
        "quic" => Ok(Some(Transport::Quic)),
        "all" => Ok(Some(Transport::All)),
        other => Err(D::Error::custom(format!("{other:?} is none of \"tcp\", \"quic\", \"all\""))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("12"), Some(12));
        assert_eq!(parse_size("3k"), Some(3072));
        assert_eq!(parse_size("10G"), Some(10 << 30));
        for bad in ["", "G", "-1", "1X", "99999999999T", "1.5G"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn unknown_keys_and_values_are_errors() {
        let parse = |text: &str| toml::from_str::<FileConfig>(text);
        assert_eq!(parse("quota = \"1G\"\ntransport = \"quic\"").unwrap().quota, Some(1 << 30));
        assert_eq!(parse("scrub_days = 0").unwrap().scrub_days.and_then(scrub_period), None);
        let listen = |text: &str| parse(&format!("metrics_listen = {text:?}")).map(|file| file.metrics_listen.unwrap());
        assert_eq!(listen("9464").unwrap(), listen("127.0.0.1:9464").unwrap());
        assert_eq!(listen("[::1]:9464").unwrap().to_string(), "[::1]:9464");
        assert!(listen("everywhere").is_err() && listen("127.0.0.1").is_err() && listen("65536").is_err());
        for bad in
            ["quotta = \"1G\"", "scrub_days = -1", "quota = \"lots\"", "transport = \"udp\"", "listen = [\"nowhere\"]"]
        {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
