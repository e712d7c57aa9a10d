//! A message as it is handed to a packet: fields, then bulk that is not copied before it gets there.

use crate::onion::Size;
use crate::wire::Writer;
use bytes::Bytes;

/// An encoded message in two parts, to be laid end to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    head: Vec<u8>,
    bulk: Bytes,
}

impl Parts {
    /// Fields alone.
    pub(super) fn head(head: Writer) -> Parts {
        Parts { head: head.into_vec(), bulk: Bytes::new() }
    }

    /// Fields with bulk behind them.
    pub(super) fn with_bulk(head: Writer, bulk: &Bytes) -> Parts {
        Parts { head: head.into_vec(), bulk: bulk.clone() }
    }

    /// The parts, in order.
    pub fn as_slices(&self) -> [&[u8]; 2] {
        [&self.head, &self.bulk]
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.head.len() + self.bulk.len()
    }

    /// Never: a message has a verb or a kind.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The smallest packet that it fits.
    pub fn size(&self) -> Size {
        // `params` asserts that each kind of message fits; one of a wrong length of the caller's making is refused when
        // it is sealed.
        Size::for_message(self.len()).unwrap_or(Size::Large)
    }

    /// The bytes in one piece.
    pub fn concat(&self) -> Bytes {
        self.as_slices().concat().into()
    }
}
