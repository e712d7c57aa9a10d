//! A node's onion keys, and the peeling of packets with them.
//!
//! ```text
//! day 1   current A
//! day 2   current B, previous A (for an hour: packets under way, senders with yesterday's descriptor)
//!         current B
//! ```
//!
//! Keys are made at the start and live in memory only: with the key goes the replay filter, so a crash forgets no replay
//! that could still be opened.

use super::Dropped;
use super::body::{self, Layer, Seed};
use super::curve::{self, Factors};
use super::header::{Authentic, Header, Order};
use super::packet::Packet;
use super::replay::ReplayFilter;
use super::reply::Identifier;
use crate::ids::NodeId;
use crate::params::HEADER_BYTES;
use crate::time::Moment;
use bytes::Bytes;
use rand_core::CryptoRng;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long an onion key is the current one: what a thief of the key can open of recorded packets.
pub const KEY_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// How long a key is still used after it was replaced: as long as a new descriptor may take to reach all senders.
pub const KEY_OVERLAP: Duration = Duration::from_secs(3600);

/// The public half of an onion key (X25519, RFC 7748).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OnionPublic(pub [u8; 32]);

/// An onion key; zeroised when dropped.
pub struct OnionKey {
    secret: Factors,
    public: OnionPublic,
}

impl OnionKey {
    /// A fresh one.
    pub fn random(rng: &mut impl CryptoRng) -> OnionKey {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        OnionKey { public: OnionPublic(curve::public(&secret)), secret: Factors::new(&secret, 0) }
    }

    /// The public half.
    pub fn public(&self) -> OnionPublic {
        self.public
    }
}

/// One key and the packets that it has opened.
struct Epoch {
    key: OnionKey,
    born: Moment,
    filter: Mutex<ReplayFilter>,
}

impl Epoch {
    fn new(rng: &mut impl CryptoRng, now: Moment) -> Arc<Epoch> {
        Arc::new(Epoch { key: OnionKey::random(rng), born: now, filter: Mutex::default() })
    }

    fn filter(&self) -> MutexGuard<'_, ReplayFilter> {
        // A set of numbers is whole after a panic elsewhere, too.
        self.filter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The current key and, for [`KEY_OVERLAP`], the one before it. Shared by all tasks that peel.
pub struct Ring {
    keys: RwLock<Keys>,
}

#[derive(Clone)]
struct Keys {
    current: Arc<Epoch>,
    previous: Option<Arc<Epoch>>,
}

impl Ring {
    /// A ring with a fresh key.
    pub fn new(rng: &mut impl CryptoRng, now: Moment) -> Ring {
        Ring { keys: RwLock::new(Keys { current: Epoch::new(rng, now), previous: None }) }
    }

    /// The current public key, to be announced.
    pub fn public(&self) -> OnionPublic {
        self.read().current.key.public()
    }

    /// Whether the current key has had its day, or its replay filter is nearly full.
    pub fn needs_rotation(&self, now: Moment) -> bool {
        let current = self.read().current.clone();
        now.since(current.born) >= KEY_LIFETIME || current.filter().nearly_full()
    }

    /// Makes a new key the current one. The key before the one that it replaces is gone.
    pub fn rotate(&self, rng: &mut impl CryptoRng, now: Moment) {
        let fresh = Epoch::new(rng, now);
        let mut keys = self.write();
        keys.previous = Some(std::mem::replace(&mut keys.current, fresh));
    }

    /// Drops the previous key when its overlap is over, and rotates when it is time to. To be called every minute or so.
    /// True if there is a new public key to announce.
    pub fn tend(&self, rng: &mut impl CryptoRng, now: Moment) -> bool {
        {
            let mut keys = self.write();
            if now.since(keys.current.born) >= KEY_OVERLAP {
                keys.previous = None;
            }
        }
        let due = self.needs_rotation(now);
        if due {
            self.rotate(rng, now);
        }
        due
    }

    /// Removes our layer, in the packet's own buffer. Costs two multiplications of a point and a pass of the body's cipher; a packet
    /// that is not authentic costs one, or two while there is a previous key.
    pub fn peel(&self, mut packet: Packet) -> Result<Peeled, Dropped> {
        let header = Header::parse(packet.header())?;
        let authentic = self.admit(&header)?;
        let seed = authentic.seed();
        match authentic.order()? {
            Order::Forward { next, delay, header } => {
                packet.header_mut().copy_from_slice(&header);
                Layer::of(&seed).decrypt(packet.body_mut());
                Ok(Peeled::Forward { next, delay, packet })
            }
            Order::Keep { identifier } => Ok(Peeled::Arrived(Arrived { identifier, packet, seed })),
        }
    }

    /// Authenticates the header under one of the keys and has it remembered; only authentic headers get into a filter.
    fn admit<'a>(&self, header: &'a Header<'_>) -> Result<Authentic<'a>, Dropped> {
        let Keys { current, previous } = self.read().clone();
        let (epoch, authentic) = match (header.authenticate(&current.key.secret), previous) {
            (Ok(authentic), _) => (current, authentic),
            (Err(Dropped::Integrity), Some(previous)) => {
                let authentic = header.authenticate(&previous.key.secret)?;
                (previous, authentic)
            }
            (Err(why), _) => return Err(why),
        };
        epoch.filter().admit(authentic.replay_tag())?;
        Ok(authentic)
    }

    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        // Two pointers, always replaced as a whole.
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What peeling a packet told.
#[derive(Debug)]
pub enum Peeled {
    /// To be passed on after the delay. `next` is to be looked for among known nodes only.
    Forward {
        /// Whom to.
        next: NodeId,
        /// After how long; at most [`crate::params::DELAY_MS_MAX`].
        delay: Duration,
        /// What.
        packet: Packet,
    },
    /// For us: a request, or a reply to one of ours.
    Arrived(Arrived),
}

/// A packet that has reached its last hop. A reply is known by its identifier and opened with its
/// [`ReplyKey`](super::ReplyKey); everything else is a request and opens itself.
///
/// The last hop's layer is still on the body. Whoever opens a request removes it; whoever opens a reply would have to put
/// it back at once, and is spared both.
pub struct Arrived {
    identifier: Identifier,
    packet: Packet,
    seed: Seed,
}

impl Arrived {
    /// What it was sent with: a reply key's identifier, or something random.
    pub fn identifier(&self) -> Identifier {
        self.identifier
    }

    /// Opens a request. The message lies in the packet's own memory.
    pub fn open(self) -> Result<Bytes, Dropped> {
        let seed = self.seed.clone();
        self.open_with(|body| {
            Layer::of(&seed).decrypt(body);
            body::open(&seed, body)
        })
    }

    /// Has the body opened by `open`, which says where in it the message lies.
    pub(super) fn open_with(
        mut self,
        open: impl FnOnce(&mut [u8]) -> Result<Range<usize>, Dropped>,
    ) -> Result<Bytes, Dropped> {
        let message = open(self.packet.body_mut())?;
        let bytes = Bytes::from(self.packet.into_bytes());
        Ok(bytes.slice(HEADER_BYTES + message.start..HEADER_BYTES + message.end))
    }
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arrived({:?})", self.packet)
    }
}

impl fmt::Debug for OnionPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OnionPublic({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

impl fmt::Debug for OnionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({:?})", self.public())
    }
}
