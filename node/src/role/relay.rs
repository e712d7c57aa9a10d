//! The relay: peels one layer and passes the packet on. It keeps no state but the replay filter and how much of what waits
//! came from which neighbour, and logs nothing that it handles.
//!
//! ```text
//! link's reader ─► peel ─┬─ Forward, no delay ─► Net::forward (no room, no share: dropped, counted)
//!                        ├─ Forward, delayed ──► one sleeping task each, at most DELAYED_MAX, shared fairly
//!                        └─ Arrived ─┬─ awaited by this node ─► its steward
//!                                     └─ arrivals (ARRIVALS_MAX, shared fairly) ─► role::holder
//! ```

use super::RoleCpu;
use crate::NodeConfig;
use crate::hostile::{Mark, Meddler, Onlooker, Sight, Way};
use palimpsest_client::Replies;
use palimpsest_client::cpu;
use palimpsest_client::net::{Net, NoPlace, PacketHandler, Place, Room, SendError};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::{Arrived, Dropped, Packet, Peeled, Ring};
use palimpsest_proto::params::DELAY_MS_MAX;
use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;

/// Packets that may sleep at once (68 MB at most), half of them from one neighbour; more are dropped as at a full queue.
const DELAYED_MAX: usize = 1024;
/// No packet sleeps longer: what proto allows a sender to ask for.
const DELAY_MOST: Duration = Duration::from_millis(DELAY_MS_MAX);
/// Requests that may wait for the holder or be worked on by it (34 MB at most); half of them from one neighbour.
pub const ARRIVALS_MAX: usize = 512;

/// A request for the holder. Its neighbour's share of the holder's room returns when it was answered.
#[derive(Debug)]
pub struct Arrival {
    /// The request.
    pub arrived: Arrived,
    /// Who sent it and how it looked, if somebody looks on.
    pub seen: Option<(NodeId, Mark)>,
    /// Its place.
    pub place: Place,
}

/// Totals since the start. Nothing in them names a packet, a peer or an object.
#[derive(Debug, Default)]
pub struct RelayCounters {
    forwarded: AtomicU64,
    forwarded_bytes: AtomicU64,
    arrived: AtomicU64,
    dropped_invalid: AtomicU64,
    dropped_replayed: AtomicU64,
    dropped_full: AtomicU64,
    dropped_unfair: AtomicU64,
}

/// A reading of [`RelayCounters`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RelayTotals {
    /// Packets passed on.
    pub forwarded: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Packets whose last hop was this node.
    pub arrived: u64,
    /// Packets that no honest sender makes: wrong length, version, key or integrity.
    pub dropped_invalid: u64,
    /// Packets seen before.
    pub dropped_replayed: u64,
    /// Packets for which there was no room, or no way.
    pub dropped_full: u64,
    /// Packets whose neighbour had its share of the room already.
    pub dropped_unfair: u64,
}

impl RelayCounters {
    fn no_place(&self, none: NoPlace) {
        count(match none {
            NoPlace::Full => &self.dropped_full,
            NoPlace::OverShare => &self.dropped_unfair,
        });
    }

    /// The totals now.
    pub fn totals(&self) -> RelayTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RelayTotals {
            forwarded: read(&self.forwarded),
            forwarded_bytes: read(&self.forwarded_bytes),
            arrived: read(&self.arrived),
            dropped_invalid: read(&self.dropped_invalid),
            dropped_replayed: read(&self.dropped_replayed),
            dropped_full: read(&self.dropped_full),
            dropped_unfair: read(&self.dropped_unfair),
        }
    }
}

/// See the module's description.
pub struct Relay {
    ring: Arc<Ring>,
    net: OnceLock<Net>,
    arrivals: mpsc::Sender<Arrival>,
    arrivals_room: Room,
    replies: Arc<Replies>,
    delayed: Room,
    counters: Arc<RelayCounters>,
    cpu: Arc<RoleCpu>,
    meddler: Option<Meddler>,
    onlooker: Option<Onlooker>,
}

impl Relay {
    /// A relay that peels with `ring` and hands over to `arrivals`; an honest one if the configuration has no meddler. It drops
    /// what comes until [`Relay::connect`].
    pub fn new(ring: Arc<Ring>, arrivals: mpsc::Sender<Arrival>, cpu: Arc<RoleCpu>, config: &NodeConfig) -> Relay {
        Relay {
            ring,
            net: OnceLock::new(),
            arrivals,
            arrivals_room: Room::new(ARRIVALS_MAX),
            replies: Arc::default(),
            delayed: Room::new(DELAYED_MAX),
            counters: Arc::default(),
            cpu,
            meddler: config.meddler.clone(),
            onlooker: config.onlooker.clone(),
        }
    }

    /// Where it delivers answers to what this node asks for itself.
    pub fn replies(&self) -> Arc<Replies> {
        self.replies.clone()
    }

    /// Gives the relay the network that it answers to: the two need each other, and the network is made second.
    pub fn connect(&self, net: Net) {
        // A second call would be a mistake of ours without effect.
        let _ = self.net.set(net);
    }

    fn arrive(&self, from: NodeId, came: Option<Mark>, arrived: Arrived) {
        let place = match self.arrivals_room.admit(from, 1) {
            Ok(place) => place,
            Err(none) => return self.counters.no_place(none),
        };
        match self.arrivals.try_send(Arrival { arrived, seen: came.map(|came| (from, came)), place }) {
            Ok(()) => count(&self.counters.arrived),
            Err(_) => count(&self.counters.dropped_full),
        }
    }

    /// Passes a packet on, now or later.
    fn pass(&self, net: &Net, way: Way, delay: Duration, packet: Packet) {
        if delay.is_zero() {
            return forward(net, &self.counters, way, packet);
        }
        let place = match self.delayed.admit(way.from, 1) {
            Ok(place) => place,
            Err(none) => return self.counters.no_place(none),
        };
        let (net, counters) = (net.clone(), self.counters.clone());
        let delay = delay.min(DELAY_MOST);
        // Ends by itself.
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            forward(&net, &counters, way, packet);
            drop(place);
        });
    }

    /// The totals.
    pub fn counters(&self) -> Arc<RelayCounters> {
        self.counters.clone()
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl PacketHandler for Relay {
    fn on_packet(&self, from: NodeId, packet: Packet) {
        let Some(net) = self.net.get() else { return };
        let came = self.onlooker.as_ref().map(|_| Mark::of(&packet));
        let (peeled, took) = cpu::timed(|| self.ring.peel(packet));
        let role = if matches!(peeled, Ok(Peeled::Arrived(_))) { &self.cpu.holder } else { &self.cpu.relay };
        role.add(took);
        match peeled {
            Ok(Peeled::Forward { next, delay, packet }) => {
                let way = Way { from, next };
                if let (Some(Onlooker(tell)), Some(came)) = (&self.onlooker, came) {
                    tell(Sight::Passed { way, size: packet.size(), came, left: Mark::of(&packet) });
                }
                match &self.meddler {
                    Some(Meddler(meddle)) => {
                        meddle(way, packet).into_iter().for_each(|(delay, packet)| self.pass(net, way, delay, packet));
                    }
                    None => self.pass(net, way, delay, packet),
                }
            }
            // What is delivered is an answer to what this node asked for itself.
            Ok(Peeled::Arrived(arrived)) => {
                if let Some(arrived) = self.replies.deliver(arrived) {
                    self.arrive(from, came, arrived);
                }
            }
            Err(Dropped::Replayed) => count(&self.counters.dropped_replayed),
            Err(Dropped::FilterFull) => count(&self.counters.dropped_full),
            Err(_) => count(&self.counters.dropped_invalid),
        }
    }
}

fn forward(net: &Net, counters: &RelayCounters, way: Way, packet: Packet) {
    let bytes = packet.as_bytes().len() as u64;
    match net.forward(way.from, way.next, packet) {
        Ok(()) => {
            count(&counters.forwarded);
            counters.forwarded_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Err(SendError::OverShare) => count(&counters.dropped_unfair),
        Err(_) => count(&counters.dropped_full),
    }
}
