//! Nodes that do not what they should, for tests and scenarios: in one process by what takes the place of their honest parts, in
//! processes of their own by a [`Part`], which the program `pald-hostile` plays.

mod cast;
mod diary;
mod hex;
mod lie;
mod part;
mod silence;

use std::sync::Arc;
use std::time::Duration;

use palimpsest_node::hostile::{Meddler, Way};
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::onion::Packet;
use palimpsest_proto::params::HEADER_BYTES;
use serde::{Deserialize, Serialize};

pub use cast::{Cast, HOSTILE};
pub use diary::{DIARY_FILE, Diary, DiaryError};
pub use hex::{Hex, NotHex};
pub use lie::Lie;
pub use part::{Conspiracy, Part, PartError, Playing};
pub use silence::{Silence, Void};

/// How long a delaying relay keeps each packet: longer than a client waits for an answer from nodes near by.
const DELAY: Duration = Duration::from_millis(1_500);
/// When a replayed packet comes for the last time.
const REPLAY_AFTER: Duration = Duration::from_millis(500);
/// A byte of the header's part that is no key, and one of the payload.
const HEADER_BYTE: usize = 100;
const BODY_BYTE: usize = HEADER_BYTES + 700;

/// What a relay does to all that it passes on for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meddle {
    /// It drops everything.
    Drop,
    /// It drops what is for one half of its neighbours.
    DropSome,
    /// It keeps everything for a while.
    Delay,
    /// It flips a bit of the header.
    TagHeader,
    /// It flips a bit of the payload.
    TagBody,
    /// It sends everything three times, the last one later.
    Replay,
    /// It sends the first half, and zeros. (A packet of another length never reaches a relay: the link's frame says how long it is.)
    Truncate,
}

impl Meddle {
    /// What becomes of a packet for that node, as far as whoever waits for an answer can tell: it comes so much later, or
    /// never. What was changed opens for nobody, so that here dropping, tagging and cutting are one; of copies the first one counts.
    #[must_use]
    pub fn holds_up(self, next: &NodeId) -> Option<Duration> {
        match self {
            Self::Drop | Self::TagHeader | Self::TagBody | Self::Truncate => None,
            Self::DropSome => (!is_dropped(next)).then_some(Duration::ZERO),
            Self::Delay => Some(DELAY),
            Self::Replay => Some(Duration::ZERO),
        }
    }

    /// One relay that does so.
    #[must_use]
    pub fn meddler(self) -> Meddler {
        Meddler(Arc::new(move |way: Way, packet: Packet| match self {
            Self::Drop => Vec::new(),
            Self::DropSome if is_dropped(&way.next) => Vec::new(),
            Self::DropSome => vec![(Duration::ZERO, packet)],
            Self::Delay => vec![(DELAY, packet)],
            Self::TagHeader => changed(packet, |bytes| bytes[HEADER_BYTE] ^= 1),
            Self::TagBody => changed(packet, |bytes| bytes[BODY_BYTE] ^= 0x10),
            Self::Replay => {
                vec![(Duration::ZERO, packet.clone()), (Duration::ZERO, packet.clone()), (REPLAY_AFTER, packet)]
            }
            Self::Truncate => changed(packet, |bytes| {
                let half = bytes.len() / 2;
                bytes[half..].fill(0);
            }),
        }))
    }
}

/// Whether a neighbour is of the half for whom everything is dropped.
fn is_dropped(next: &NodeId) -> bool {
    next.0[0] & 1 == 0
}

/// The packet with its bytes changed, and its length as it was.
fn changed(packet: Packet, change: impl FnOnce(&mut [u8])) -> Vec<(Duration, Packet)> {
    let mut bytes = packet.into_bytes();
    change(&mut bytes);
    Packet::parse(bytes).into_iter().map(|packet| (Duration::ZERO, packet)).collect()
}

#[cfg(test)]
mod tests {
    use super::{DELAY, Duration, Meddle, NodeId};

    #[test]
    fn what_a_meddler_does_to_a_packet_is_told_by_whether_and_when_it_comes() {
        let [even, odd] = [0, 1].map(|byte| NodeId([byte; 32]));
        assert_eq!(Meddle::DropSome.holds_up(&even), None);
        assert_eq!(Meddle::DropSome.holds_up(&odd), Some(Duration::ZERO));
        assert_eq!(
            (Meddle::Delay.holds_up(&even), Meddle::Replay.holds_up(&even)),
            (Some(DELAY), Some(Duration::ZERO))
        );
        for lost in [Meddle::Drop, Meddle::TagHeader, Meddle::TagBody, Meddle::Truncate] {
            assert_eq!(lost.holds_up(&odd), None);
        }
    }
}
