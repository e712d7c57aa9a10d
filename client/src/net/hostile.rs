//! What takes the place of a node's honest word, and streams on which anything may be said: for tests and measurements. An
//! honest node has none of it.

use super::endpoint::Command;
use super::streams::Protocol;
use super::{Net, NetError};
use bytes::Bytes;
use futures::channel::oneshot;
use libp2p::core::Transport as _;
use libp2p::core::transport::{ListenerId, MemoryTransport, TransportEvent};
use libp2p::{Multiaddr, Stream};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::select::NodeTable;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// Connections that are taken and not answered, at most; with one more the oldest ends.
const UNANSWERED_MAX: usize = 1_024;

/// What a node tells its partner; what is beyond the bounds of a message is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Node descriptors, encoded.
    pub descriptors: Vec<Bytes>,
    /// Who is said to be lost: the first bytes of each id, and for how long.
    pub lost: Vec<([u8; 8], Duration)>,
}

/// From a node's id and what it truly knows to what it tells.
type Tell = dyn Fn(NodeId, &NodeTable) -> Told + Send + Sync;

/// Makes up what a node tells in exchanges of tables. It is given the node's id and what the node truly knows.
#[derive(Clone)]
pub struct TableLiar(pub Arc<Tell>);

impl fmt::Debug for TableLiar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TableLiar")
    }
}

/// What a stream is opened for by somebody who keeps to no rule on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawStream {
    /// Packets.
    Packets,
    /// An exchange of tables.
    Tables,
}

/// Takes connections at addresses in memory, and never says a word on them: what a host looks like that swallows packets. It
/// does so while it is polled.
///
/// # Errors
/// `Listen` if an address is taken, or is not one in memory.
pub fn take_and_say_nothing(addresses: &[Multiaddr]) -> Result<impl Future<Output = ()> + Send + use<>, NetError> {
    let mut listening = MemoryTransport::default();
    for address in addresses {
        listening
            .listen_on(ListenerId::next(), address.clone())
            .map_err(|error| NetError::Listen { address: address.clone(), cause: error.to_string() })?;
    }
    let mut unanswered = VecDeque::new();
    Ok(async move {
        loop {
            let event = poll_fn(|context| Pin::new(&mut listening).poll(context)).await;
            if let TransportEvent::Incoming { upgrade, .. } = event
                && let Ok(connection) = upgrade.await
            {
                unanswered.push_back(connection);
                if unanswered.len() > UNANSWERED_MAX {
                    unanswered.pop_front();
                }
            }
        }
    })
}

impl Net {
    /// Opens a stream to a connected node and leaves to the caller what is said on it.
    ///
    /// # Errors
    /// `Unreachable` if the node is not connected or refuses; `TimedOut`; `Closed`.
    pub async fn open_raw(&self, to: NodeId, what: RawStream, deadline: Duration) -> Result<Stream, NetError> {
        let protocol = match what {
            RawStream::Packets => Protocol::Packet,
            RawStream::Tables => Protocol::Table,
        };
        let (opened, stream) = oneshot::channel();
        let commands = &self.0.shared.commands;
        let opening = async {
            commands.send(Command::Open { to, protocol, opened }).await.map_err(|_| NetError::Closed)?;
            stream.await.map_err(|_| NetError::Unreachable)
        };
        self.in_time(deadline, opening).await
    }
}
