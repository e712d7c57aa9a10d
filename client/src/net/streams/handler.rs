//! One connection's half of the behaviour: negotiates streams, keeps none.

use super::{Open, Opened, Protocol, Versions};
use futures::future::{Ready, ready};
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol};
use libp2p::{Stream, StreamProtocol};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::task::{Context, Poll, Waker};

/// Streams on their way between the connection and the behaviour. Bounded by the endpoint, which asks for a link and a
/// few table exchanges at most, and by the muxer's number of streams on the way in.
pub(in crate::net) struct Handler {
    accepted: &'static [Protocol],
    versions: Versions,
    events: VecDeque<ConnectionHandlerEvent<Names, Opened, (Protocol, Stream)>>,
    waker: Option<Waker>,
}

impl Handler {
    pub(super) fn new(accepted: &'static [Protocol], versions: Versions) -> Handler {
        Handler { accepted, versions, events: VecDeque::new(), waker: None }
    }

    fn push(&mut self, event: ConnectionHandlerEvent<Names, Opened, (Protocol, Stream)>) {
        self.events.push_back(event);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = (Protocol, Stream);
    type InboundProtocol = Names;
    type OutboundProtocol = Names;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<Names> {
        SubstreamProtocol::new(Names::Several(self.accepted, self.versions), ())
    }

    fn on_behaviour_event(&mut self, open: Open) {
        let protocol = SubstreamProtocol::new(Names::One(open.protocol, self.versions), open.opened);
        self.push(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Names, Names, (), Opened>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, .. }) => {
                self.push(ConnectionHandlerEvent::NotifyBehaviour(protocol));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: (_, stream), info }) => {
                // Who asked may have given up meanwhile; the stream is then closed by being dropped.
                let _ = info.send(stream);
            }
            // A failed opening drops its `Opened`, which tells who asked.
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<Names, Opened, (Protocol, Stream)>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The protocols to be negotiated on a stream.
#[derive(Debug)]
pub(in crate::net) enum Names {
    /// The one that we want.
    One(Protocol, Versions),
    /// Those that we answer.
    Several(&'static [Protocol], Versions),
}

/// A protocol that can be negotiated by its name.
#[derive(Clone, Debug)]
pub(in crate::net) struct Name(Protocol, StreamProtocol);

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        self.1.as_ref()
    }
}

impl UpgradeInfo for Names {
    type Info = Name;
    type InfoIter = Vec<Name>;

    fn protocol_info(&self) -> Vec<Name> {
        let (all, versions) = match self {
            Names::One(protocol, versions) => (std::slice::from_ref(protocol), versions),
            Names::Several(all, versions) => (*all, versions),
        };
        let named = |protocol: &Protocol| {
            let protocol = *protocol;
            versions.names(protocol).iter().map(move |name| Name(protocol, name.clone()))
        };
        all.iter().flat_map(named).collect()
    }
}

impl InboundUpgrade<Stream> for Names {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}

impl OutboundUpgrade<Stream> for Names {
    type Output = (Protocol, Stream);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, name: Name) -> Self::Future {
        ready(Ok((name.0, stream)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Names, Protocol, UpgradeInfo, Versions};

    #[test]
    fn the_next_version_is_offered_first_and_todays_with_it() {
        let told = |names: Names| names.protocol_info().iter().map(|name| name.as_ref().to_owned()).collect::<Vec<_>>();
        let packet = ["/palimpsest/2/packet", "/palimpsest/1/packet"];
        assert_eq!(told(Names::One(Protocol::Packet, Versions::Today)), packet[1..]);
        assert_eq!(told(Names::One(Protocol::Packet, Versions::TodayAndNext)), packet);
        let both: &[Protocol] = &[Protocol::Packet, Protocol::Table];
        assert_eq!(told(Names::Several(both, Versions::Today)), ["/palimpsest/1/packet", "/palimpsest/1/table"]);
        assert_eq!(told(Names::Several(both, Versions::TodayAndNext)).len(), 4);
    }
}
