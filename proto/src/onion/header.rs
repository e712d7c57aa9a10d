//! Reading a header: what a hop does (the Sphinx paper, Danezis & Goldberg, 2009, §3.6, in its names).
//!
//! ```text
//! s     = key · α      zero: everybody has it, dropped
//! γ     is the MAC of β, or the header is not authentic under this key
//! β‖0^60 ^ ρ = 01 ‖ 00 01 04 ‖ n 32 ‖ delay 8 ‖ γ' 16 ‖ β' 300      pass on α' ‖ γ' ‖ β' to n, α' = h_b · α
//!            = 02 ‖ 00 01 04 ‖ 0^32 ‖ I 16 ‖ random                 it is for us
//! ```
//!
//! Nothing of β is looked at before its MAC was found right, and the replay filter is asked (`ring`) before α is blinded.

use super::Dropped;
use super::body::Seed;
use super::curve::{Factors, Point};
use super::format::{ALPHA_BYTES, BETA_BYTES, FLAG_LAST, FLAG_RELAY, Keys, MAC_BYTES, STEP_BYTES, VERSION, lay, xor};
use super::reply::Identifier;
use crate::ids::NodeId;
use crate::params::{DELAY_MS_MAX, HEADER_BYTES};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// A header that came in; nothing of it is checked.
pub(super) struct Header<'a> {
    alpha: Point,
    gamma: &'a [u8],
    beta: &'a [u8; BETA_BYTES],
}

/// A header that is authentic under one of our keys, and what the key exchange gave.
pub(super) struct Authentic<'a> {
    alpha: &'a Point,
    keys: Keys,
    /// β without our layer.
    open: [u8; BETA_BYTES + STEP_BYTES],
}

/// What an authentic header tells us to do.
#[expect(clippy::large_enum_variant, reason = "looked at once, where it was made")]
pub(super) enum Order {
    /// Pass the packet on, with this header, after the delay.
    Forward { next: NodeId, delay: Duration, header: [u8; HEADER_BYTES] },
    /// It is for us.
    Keep { identifier: Identifier },
}

impl<'a> Header<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Header<'a>, Dropped> {
        let (alpha, rest) = bytes.split_first_chunk::<ALPHA_BYTES>().ok_or(Dropped::Length)?;
        let (gamma, beta) = rest.split_at_checked(MAC_BYTES).ok_or(Dropped::Length)?;
        let beta = beta.try_into().map_err(|_| Dropped::Length)?;
        Ok(Header { alpha: Point::new(*alpha), gamma, beta })
    }

    /// Does the key exchange and checks the header's MAC.
    pub(super) fn authenticate(&self, key: &Factors) -> Result<Authentic<'_>, Dropped> {
        let secret = key.times(&self.alpha);
        // Public on both sides: the comparison need not be constant in time.
        if *secret == [0; 32] {
            return Err(Dropped::ZeroSecret);
        }
        let keys = Keys::expand(&secret, Keys::HOP);
        if !keys.is_mac(self.gamma, self.beta) {
            return Err(Dropped::Integrity);
        }
        let mut open = [0; BETA_BYTES + STEP_BYTES];
        lay(&mut open, &[self.beta]);
        xor(&mut open, &keys.rho()[..]);
        Ok(Authentic { alpha: &self.alpha, keys, open })
    }
}

impl Authentic<'_> {
    pub(super) fn replay_tag(&self) -> u64 {
        self.keys.replay_tag()
    }

    pub(super) fn seed(&self) -> Seed {
        self.keys.seed()
    }

    /// Reads the order, and blinds α for the next hop.
    pub(super) fn order(&self) -> Result<Order, Dropped> {
        let mut rest = &self.open[..];
        let [flag] = take(&mut rest)?;
        let version = take::<3>(&mut rest)?;
        if ![FLAG_RELAY, FLAG_LAST].contains(&flag) {
            return Err(Dropped::Malformed);
        }
        // Up to 259 whoever answers with a reply block knows all the keys of its route: with the last relay they find the
        // reader. And one version only, since it is visible at each hop.
        if version != VERSION {
            return Err(Dropped::Version);
        }
        let node = NodeId(take(&mut rest)?);
        if flag == FLAG_LAST {
            return Ok(Order::Keep { identifier: Identifier(take(&mut rest)?) });
        }
        let delay = Duration::from_nanos(u64::from_be_bytes(take(&mut rest)?));
        if delay > Duration::from_millis(DELAY_MS_MAX) {
            return Err(Dropped::Delay);
        }
        let alpha = Factors::new(self.keys.blinding(), 0).times(self.alpha);
        let mut header = [0; HEADER_BYTES];
        lay(&mut header, &[&alpha[..], rest]);
        Ok(Order::Forward { next: node, delay, header })
    }
}

/// The first `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Dropped> {
    let (first, tail) = rest.split_first_chunk().ok_or(Dropped::Malformed)?;
    *rest = tail;
    Ok(*first)
}
