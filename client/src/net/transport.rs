//! How bytes get to a peer: TCP (Noise, Yamux), QUIC, or, in tests, memory.

use super::NetError;
use super::muxer::{STREAMS_MAX, Yamux};
use crate::policy::SETUP_DEADLINE;
use libp2p::core::Transport as _;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, MemoryTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, noise, quic, tcp};
use std::io;
use std::net::{IpAddr, TcpListener};
use std::time::Duration;

/// QUIC gives a silent connection up after this long: more than a ping's interval and its timeout together.
const QUIC_IDLE_MS: u32 = 40_000;
/// QUIC's own keep-alive, which our pings make superfluous while they flow.
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(18);
/// What a peer may send us on one QUIC stream ahead of our reading: some twenty large packets.
const QUIC_STREAM_BYTES: u32 = 1_500_000;
/// The same over all streams of a connection.
const QUIC_CONNECTION_BYTES: u32 = 3_000_000;

type Connections = Boxed<(PeerId, StreamMuxerBox)>;

/// The transports that a node dials and listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP with Noise and Yamux: the cheapest.
    Tcp,
    /// QUIC: gets through more NATs.
    Quic,
    /// Both.
    All,
    /// Inside of one process, for tests.
    Memory,
}

impl Transport {
    /// Whether an address is one we can dial with it.
    pub(super) fn dials(self, address: &Multiaddr) -> bool {
        let mut quic = false;
        let mut tcp = false;
        let mut memory = false;
        for part in address {
            match part {
                Protocol::QuicV1 => quic = true,
                Protocol::Tcp(port) => tcp = port != 0,
                Protocol::Memory(_) => memory = true,
                Protocol::Ip4(ip) if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() => return false,
                Protocol::Ip6(ip) if ip.is_unspecified() || ip.is_multicast() => return false,
                Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Udp(_) | Protocol::P2p(_) => {}
                // Anything else (a relay, a websocket) is a way that we do not go.
                _ => return false,
            }
        }
        match self {
            Transport::Tcp => tcp,
            Transport::Quic => quic,
            Transport::All => tcp || quic,
            Transport::Memory => memory,
        }
    }

    pub(super) fn build(self, key: &Keypair) -> Result<Connections, NetError> {
        Ok(match self {
            Transport::Tcp => tcp(key)?,
            Transport::Quic => quic(key),
            Transport::All => {
                let either = tcp(key)?.or_transport(quic(key));
                either.map(|either, _| either.into_inner()).boxed()
            }
            Transport::Memory => secure(MemoryTransport::default(), key)?,
        })
    }
}

/// Whether a TCP port is free. libp2p listens with `SO_REUSEPORT`, so that two nodes of one user would share a port without
/// a word, each getting some of the other's connections. Other transports see for themselves.
pub(super) fn check_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip: IpAddr = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) => TcpListener::bind((ip, port)).map(drop),
        _ => Ok(()),
    }
}

fn tcp(key: &Keypair) -> Result<Connections, NetError> {
    secure(tcp::tokio::Transport::new(tcp::Config::new().nodelay(true)), key)
}

fn secure<T>(transport: T, key: &Keypair) -> Result<Connections, NetError>
where
    T: libp2p::core::Transport + Send + Unpin + 'static,
    T::Output: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
    T::Error: Send + Sync,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
{
    let noise = noise::Config::new(key).map_err(|_| NetError::Key)?;
    Ok(transport.upgrade(Version::V1Lazy).authenticate(noise).multiplex(Yamux).timeout(SETUP_DEADLINE).boxed())
}

fn quic(key: &Keypair) -> Connections {
    let mut config = quic::Config::new(key);
    config.handshake_timeout = SETUP_DEADLINE;
    config.max_idle_timeout = QUIC_IDLE_MS;
    config.keep_alive_interval = QUIC_KEEP_ALIVE;
    config.max_concurrent_stream_limit = STREAMS_MAX as u32;
    config.max_stream_data = QUIC_STREAM_BYTES;
    config.max_connection_data = QUIC_CONNECTION_BYTES;
    let transport = quic::tokio::Transport::new(config);
    transport.map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection))).boxed()
}

#[cfg(test)]
mod tests {
    use super::Transport;

    #[test]
    fn only_plain_ways_of_our_own_are_dialled() {
        let dials = |transport: Transport, address: &str| transport.dials(&address.parse().unwrap());
        assert!(dials(Transport::Tcp, "/ip4/127.0.0.1/tcp/4001"));
        assert!(!dials(Transport::Tcp, "/ip4/127.0.0.1/udp/4001/quic-v1"));
        assert!(dials(Transport::All, "/ip6/::1/udp/4001/quic-v1"));
        assert!(dials(Transport::All, "/ip6/::1/tcp/4001"));
        assert!(!dials(Transport::All, "/ip4/127.0.0.1/tcp/0"));
        assert!(!dials(Transport::All, "/ip4/0.0.0.0/tcp/4001"));
        assert!(!dials(Transport::All, "/ip4/127.0.0.1/tcp/4001/ws"));
        assert!(!dials(Transport::All, "/dns/example.org/tcp/4001"));
        assert!(!dials(Transport::All, "/memory/7"));
        assert!(dials(Transport::Memory, "/memory/7"));
    }
}
