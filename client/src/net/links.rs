//! Links: for each node that we send packets to, one bounded queue and one task that writes it to one long-lived stream.
//!
//! ```text
//! send / send_wait / forward ─room (per link, and over all links)─► queue ─► writer task ─► stream
//!                             └─ no room: dropped and counted, or waited for
//! ```
//!
//! A queued packet carries its places with it; they return when it was written. So a queue's bound is in bytes, and
//! memory is bounded for a link and for all together: peers who do not read cost their own packets, not those of others.
//! What is passed on for neighbours shares the same room fairly among them ([`Room`]).

mod writer;

pub(super) use writer::{CLASS_LARGE, CLASS_SMALL};

use super::room::{NoPlace, Place, Room};
use super::{SendError, Shared};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::{Packet, Size};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// Packets of the large size that wait on one link at most (some 4 MB), of the node's own: a tenth of a second on a fast
/// link, and what a window of requests in flight needs.
pub const LINK_QUEUE_PACKETS_MAX: usize = 64;
/// The same of what neighbours sent: so much for one of them alone, since the rest is kept free for others.
pub const LINK_FORWARD_PACKETS_MAX: usize = 2 * LINK_QUEUE_PACKETS_MAX;
/// Large packets that wait on all links together at most (some 64 MB).
pub const QUEUED_PACKETS_MAX: usize = 1_024;
/// Room is counted in units of this many bytes.
const UNIT_BYTES: usize = 1_024;
/// The first pause after a failed dial or a stall; doubled by each further failure.
pub(super) const BACK_OFF_MIN: Duration = Duration::from_secs(2);
/// The longest pause.
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// Nodes for which there are pauses at most.
const BACK_OFFS_MAX: usize = 4_096;

impl From<NoPlace> for SendError {
    fn from(none: NoPlace) -> SendError {
        match none {
            NoPlace::Full => SendError::QueueFull,
            NoPlace::OverShare => SendError::OverShare,
        }
    }
}

const fn units(size: Size) -> u32 {
    size.packet_bytes().div_ceil(UNIT_BYTES) as u32
}

/// Units of room on one link for the node's own packets.
const OWN_UNITS: usize = LINK_QUEUE_PACKETS_MAX * units(Size::Large) as usize;
/// Units of room on one link for those of neighbours.
const FORWARD_UNITS: usize = LINK_FORWARD_PACKETS_MAX * units(Size::Large) as usize;
/// Units of room on all links.
const ALL_UNITS: usize = QUEUED_PACKETS_MAX * units(Size::Large) as usize;
/// As many small packets as the room of a link allows: a packet that has its permits always finds a place in the channel.
const LINK_CHANNEL: usize = (OWN_UNITS + FORWARD_UNITS) / units(Size::Small) as usize;

/// A packet waiting to be written, with the room it takes.
struct Queued {
    packet: Packet,
    _link_place: Place,
    _all_place: Place,
}

struct Link {
    own: Arc<Room>,
    forwarded: Room,
    queue: mpsc::Sender<Queued>,
}

struct BackOff {
    until: Instant,
    pause: Duration,
}

/// See the module.
pub(super) struct Links {
    open: RwLock<HashMap<NodeId, Arc<Link>>>,
    connected: RwLock<HashSet<NodeId>>,
    back_offs: Mutex<HashMap<NodeId, BackOff>>,
    all_room: Room,
    links_max: usize,
}

impl Links {
    pub(super) fn new(links_max: usize) -> Links {
        Links {
            open: RwLock::default(),
            connected: RwLock::default(),
            back_offs: Mutex::default(),
            all_room: Room::new(ALL_UNITS),
            links_max,
        }
    }

    /// Queues a packet or drops it.
    pub(super) fn send(shared: &Arc<Shared>, to: NodeId, packet: Packet) -> Result<(), SendError> {
        let sent = Links::link(shared, to).and_then(|link| {
            let place = link.own.take(units(packet.size()))?;
            shared.links.enqueue(&link, packet, place, None).map_err(|(e, _)| e)
        });
        Links::counted(shared, sent)
    }

    /// Queues a packet that a neighbour sent, or drops it: also if the neighbour has its share of what waits already.
    pub(super) fn forward(shared: &Arc<Shared>, from: NodeId, to: NodeId, packet: Packet) -> Result<(), SendError> {
        let sent = Links::link(shared, to).and_then(|link| {
            let place = link.forwarded.admit(from, units(packet.size()))?;
            shared.links.enqueue(&link, packet, place, Some(from)).map_err(|(e, _)| e)
        });
        Links::counted(shared, sent)
    }

    fn counted(shared: &Shared, sent: Result<(), SendError>) -> Result<(), SendError> {
        match sent {
            Ok(()) => {}
            Err(SendError::QueueFull | SendError::OverShare) => shared.counters.dropped_full.add_one(),
            Err(_) => shared.counters.dropped_unreachable.add_one(),
        }
        sent
    }

    /// Queues a packet as soon as its link has room. Cancel-safe: a packet is queued or not, never half.
    pub(super) async fn send_wait(shared: &Arc<Shared>, to: NodeId, mut packet: Packet) -> Result<(), SendError> {
        loop {
            let link = Links::link(shared, to)?;
            // Fails if the link ended while we waited: its node cannot be reached.
            let place = link.own.wait(units(packet.size())).await.map_err(|_| SendError::Unreachable)?;
            match shared.links.enqueue(&link, packet, place, None) {
                Ok(()) => return Ok(()),
                Err((SendError::Unreachable, back)) => packet = back,
                Err((other, _)) => return Err(other),
            }
        }
    }

    fn enqueue(
        &self,
        link: &Link,
        packet: Packet,
        place: Place,
        from: Option<NodeId>,
    ) -> Result<(), (SendError, Packet)> {
        let units = units(packet.size());
        let all_place = match from.map_or_else(|| self.all_room.take(units), |from| self.all_room.admit(from, units)) {
            Ok(all_place) => all_place,
            Err(none) => return Err((none.into(), packet)),
        };
        let queued = Queued { packet, _link_place: place, _all_place: all_place };
        link.queue.try_send(queued).map_err(|error| match error {
            mpsc::error::TrySendError::Full(queued) => (SendError::QueueFull, queued.packet),
            mpsc::error::TrySendError::Closed(queued) => (SendError::Unreachable, queued.packet),
        })
    }

    /// The link to a node; started if there is none and the node is connected or in the table.
    fn link(shared: &Arc<Shared>, to: NodeId) -> Result<Arc<Link>, SendError> {
        if let Some(link) = shared.links.open.read().unwrap_or_else(PoisonError::into_inner).get(&to) {
            return Ok(link.clone());
        }
        if shared.cancel.is_cancelled() {
            return Err(SendError::Closed);
        }
        if to == shared.local {
            return Err(SendError::Unknown);
        }
        if !shared.links.is_connected(&to) && !shared.directory.knows(&to) {
            return Err(SendError::Unknown);
        }
        if shared.links.backs_off(&to) {
            return Err(SendError::Unreachable);
        }
        let mut open = shared.links.open.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = open.get(&to) {
            return Ok(link.clone());
        }
        if open.len() >= shared.links.links_max {
            return Err(SendError::QueueFull);
        }
        let (queue, packets) = mpsc::channel(LINK_CHANNEL);
        let (own, forwarded) = (Arc::new(Room::new(OWN_UNITS)), Room::new(FORWARD_UNITS));
        let link = Arc::new(Link { own, forwarded, queue });
        open.insert(to, link.clone());
        shared.spawn(writer::run(shared.clone(), to, link.own.clone(), packets));
        Ok(link)
    }

    /// Ends an idle link, unless a packet came meanwhile.
    fn retire(&self, to: &NodeId, packets: &mpsc::Receiver<Queued>) -> bool {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let idle = packets.is_empty();
        if idle {
            open.remove(to);
        }
        idle
    }

    /// Takes a link out that ended, if it is still that one: another may have been opened since.
    fn remove(&self, to: &NodeId, own: &Arc<Room>) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.get(to).is_some_and(|link| Arc::ptr_eq(&link.own, own)) {
            open.remove(to);
        }
    }

    /// Returns when every queued packet was written or dropped.
    pub(super) async fn drained(&self) {
        // Cannot fail: this room is never closed.
        let _ = self.all_room.wait(ALL_UNITS as u32).await;
    }

    pub(super) fn is_connected(&self, id: &NodeId) -> bool {
        self.connected.read().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    pub(super) fn connected(&self) -> Vec<NodeId> {
        self.connected.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    /// Whether so many connections are open that those which nobody needs now should be few: a quarter of all that may be.
    pub(super) fn are_many(&self) -> bool {
        self.connected.read().unwrap_or_else(PoisonError::into_inner).len() >= self.links_max / 4
    }

    pub(super) fn on_connected(&self, id: NodeId) {
        self.connected.write().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.back_offs.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub(super) fn on_disconnected(&self, id: &NodeId) {
        self.connected.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// A dial failed, or the node does not read: packets to it are dropped without another try for a while.
    pub(super) fn back_off(&self, id: NodeId) {
        let now = Instant::now();
        let mut back_offs = self.back_offs.lock().unwrap_or_else(PoisonError::into_inner);
        if back_offs.len() >= BACK_OFFS_MAX {
            back_offs.retain(|_, one| one.until > now);
        }
        if back_offs.len() < BACK_OFFS_MAX || back_offs.contains_key(&id) {
            let pause = back_offs.get(&id).map_or(BACK_OFF_MIN, |last| (last.pause * 2).min(BACK_OFF_MAX));
            back_offs.insert(id, BackOff { until: now + pause, pause });
        }
    }

    fn backs_off(&self, id: &NodeId) -> bool {
        let back_offs = self.back_offs.lock().unwrap_or_else(PoisonError::into_inner);
        back_offs.get(id).is_some_and(|one| one.until > Instant::now())
    }
}
