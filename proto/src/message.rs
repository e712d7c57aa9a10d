//! What is said to a holder, and what a holder says.
//!
//! ```text
//! request   verb u8 ‖ reply block ‖ the verb's fields      in a packet to the holder
//! answer    kind u8 ‖ the kind's fields                    in a packet by the reply block
//! ```
//!
//! A verb and its answer lie in one file. Every encoding is canonical: `decode` accepts what `encode` makes and nothing
//! else. Bulk is never copied here: it is a part of its own on the way out, and points into the packet on the way in.
//!
//! Spec: docs/protocol.md.

mod audit;
mod due;
mod fetch;
mod last_audits;
mod parts;
mod probe;
mod record;
mod records;
mod refusal;
mod renew;
mod store;

#[cfg(test)]
mod tests;

pub use due::Due;
pub use last_audits::AUDIT_AGE_HOURS_MAX;
pub use parts::Parts;
pub use refusal::{RETRY_MS_MAX, Refusal};

use crate::coding::Shard;
use crate::coding::audit::Leaf;
use crate::fair::Stamp;
use crate::ids::{Locator, RecordAddress, RootAddress};
use crate::onion::ReplyBlock;
use crate::params::REPLY_BLOCK_BYTES;
use crate::time::Timestamp;
use crate::wire::{Reader, WireError, Writer};
use bytes::Bytes;

/// What is asked of a holder, and the way back.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// How the holder answers.
    pub reply: ReplyBlock,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked of a holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Keep the shard until then. Answered by [`Answer::Stored`].
    Store {
        /// Until when.
        lease_until: Timestamp,
        /// What pays for it.
        stamp: Stamp,
        /// What.
        shard: Shard,
    },
    /// Give the shard. Answered by [`Answer::Shard`].
    Fetch {
        /// Which.
        locator: Locator,
    },
    /// Say which of these shards are there. Answered by [`Answer::Present`].
    Probe {
        /// One to [`crate::params::PROBE_LOCATORS_MAX`] of them.
        locators: Vec<Locator>,
    },
    /// Keep the record until then. Answered by [`Answer::RecordStored`].
    PutRecord {
        /// Until when.
        lease_until: Timestamp,
        /// What pays for it.
        stamp: Stamp,
        /// Where it is looked for.
        address: RecordAddress,
        /// The record, at most [`crate::params::RECORD_BYTES_MAX`] bytes. Whether it belongs to the address is the
        /// holder's to check.
        record: Bytes,
    },
    /// Keep these records until then. Answered by [`Answer::Present`], of those that are kept.
    PutRecords {
        /// Until when.
        lease_until: Timestamp,
        /// What pays for all of them.
        stamp: Stamp,
        /// One to [`crate::params::RECORDS_PUT_MAX`] of them, [`crate::params::RECORDS_PUT_BYTES_MAX`] bytes in all.
        records: Vec<(RecordAddress, Bytes)>,
    },
    /// Give the record. Answered by [`Answer::Record`].
    GetRecord {
        /// Which.
        address: RecordAddress,
    },
    /// Prove that the shard is there. Answered by [`Answer::Proof`].
    Audit {
        /// Which.
        locator: Locator,
        /// By which part of it.
        leaf: Leaf,
    },
    /// Keep these shards until then, as if they were sent again. Answered by [`Answer::Present`].
    Renew {
        /// Until when.
        lease_until: Timestamp,
        /// What pays for all of them.
        stamp: Stamp,
        /// One to [`crate::params::PROBE_LOCATORS_MAX`] of them.
        locators: Vec<Locator>,
    },
    /// Say which of these records are there, and until then at least. Answered by [`Answer::Present`].
    ProbeRecords {
        /// Until when.
        lease_until: Timestamp,
        /// One to [`crate::params::PROBE_LOCATORS_MAX`] of them.
        addresses: Vec<RecordAddress>,
    },
    /// Say when you audited these stripes last. Answered by [`Answer::Ages`].
    LastAudits {
        /// One to [`crate::params::PROBE_LOCATORS_MAX`] of them.
        roots: Vec<RootAddress>,
    },
}

/// What a holder says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The shard is on disk, synced: a receipt. It is authentic because only the holder could open the request and so has
    /// the reply block.
    Stored {
        /// Which.
        locator: Locator,
    },
    /// A shard's bytes. Whether they are the right ones, their hash tells whoever asked.
    Shard(Bytes),
    /// Bit i is set if the i-th thing asked about is there; after a renewal, with a lease that ends no earlier than asked.
    Present(u32),
    /// The record is on disk, synced.
    RecordStored {
        /// Which.
        address: RecordAddress,
    },
    /// A record's bytes. Whether they belong to the address, whoever asked checks.
    Record(Bytes),
    /// A shard's leaf and what proves it ([`crate::coding::audit::verify`]), [`crate::params::PROOF_BYTES`] in all.
    Proof(Bytes),
    /// How many full hours ago each stripe was audited, at most [`AUDIT_AGE_HOURS_MAX`]; `None`: not that this node knew.
    /// As many as were asked about, in the same order. A warden's word, which nothing proves.
    Ages(Vec<Option<u8>>),
    /// No, and why.
    Refused(Refusal),
}

/// The first byte of a request. Numbers are never used a second time.
mod verb {
    pub(super) const STORE: u8 = 1;
    pub(super) const FETCH: u8 = 2;
    pub(super) const PROBE: u8 = 3;
    pub(super) const PUT_RECORD: u8 = 4;
    pub(super) const GET_RECORD: u8 = 5;
    pub(super) const AUDIT: u8 = 6;
    pub(super) const RENEW: u8 = 7;
    pub(super) const PROBE_RECORDS: u8 = 8;
    pub(super) const PUT_RECORDS: u8 = 9;
    pub(super) const LAST_AUDITS: u8 = 10;
}

/// The first byte of an answer; of another range than a request's, so that neither passes for the other.
mod kind {
    pub(super) const STORED: u8 = 0x81;
    pub(super) const SHARD: u8 = 0x82;
    pub(super) const PRESENT: u8 = 0x83;
    pub(super) const RECORD_STORED: u8 = 0x84;
    pub(super) const RECORD: u8 = 0x85;
    pub(super) const PROOF: u8 = 0x86;
    pub(super) const AGES: u8 = 0x87;
    pub(super) const REFUSED: u8 = 0xff;
}

impl Request {
    /// The request's bytes, bulk apart.
    pub fn encode_parts(&self) -> Parts {
        let mut head = Writer::with_capacity(1 + REPLY_BLOCK_BYTES + 64);
        head.u8(self.ask.verb()).raw(self.reply.as_bytes());
        match &self.ask {
            Ask::Store { lease_until, stamp, shard } => store::encode_ask(head, *lease_until, *stamp, shard),
            Ask::Fetch { locator } => fetch::encode_ask(head, locator),
            Ask::Probe { locators } => probe::encode_ask(head, locators),
            Ask::PutRecord { lease_until, stamp, address, record } => {
                record::encode_put(head, *lease_until, *stamp, address, record)
            }
            Ask::PutRecords { lease_until, stamp, records } => records::encode_ask(head, *lease_until, *stamp, records),
            Ask::GetRecord { address } => record::encode_get(head, address),
            Ask::Audit { locator, leaf } => audit::encode_ask(head, locator, *leaf),
            Ask::Renew { lease_until, stamp, locators } => renew::encode_ask(head, *lease_until, *stamp, locators),
            Ask::ProbeRecords { lease_until, addresses } => probe::encode_records(head, *lease_until, addresses),
            Ask::LastAudits { roots } => last_audits::encode_ask(head, roots),
        }
    }

    /// Reads a request. A shard in it is hashed and so named by what it is.
    pub fn decode(bytes: Bytes) -> Result<Request, WireError> {
        let mut reader = Reader::new(bytes);
        let verb = reader.u8("verb")?;
        let reply = ReplyBlock::from_bytes(reader.array("reply block")?);
        let ask = match verb {
            verb::STORE => store::decode_ask(&mut reader)?,
            verb::FETCH => fetch::decode_ask(&mut reader)?,
            verb::PROBE => probe::decode_ask(&mut reader)?,
            verb::PUT_RECORD => record::decode_put(&mut reader)?,
            verb::GET_RECORD => record::decode_get(&mut reader)?,
            verb::PUT_RECORDS => records::decode_ask(&mut reader)?,
            verb::AUDIT => audit::decode_ask(&mut reader)?,
            verb::RENEW => renew::decode_ask(&mut reader)?,
            verb::PROBE_RECORDS => probe::decode_records(&mut reader)?,
            verb::LAST_AUDITS => last_audits::decode_ask(&mut reader)?,
            _ => return Err(WireError::Invalid("verb")),
        };
        reader.finish()?;
        Ok(Request { reply, ask })
    }
}

impl Ask {
    fn verb(&self) -> u8 {
        match self {
            Ask::Store { .. } => verb::STORE,
            Ask::Fetch { .. } => verb::FETCH,
            Ask::Probe { .. } => verb::PROBE,
            Ask::PutRecord { .. } => verb::PUT_RECORD,
            Ask::GetRecord { .. } => verb::GET_RECORD,
            Ask::PutRecords { .. } => verb::PUT_RECORDS,
            Ask::Audit { .. } => verb::AUDIT,
            Ask::Renew { .. } => verb::RENEW,
            Ask::ProbeRecords { .. } => verb::PROBE_RECORDS,
            Ask::LastAudits { .. } => verb::LAST_AUDITS,
        }
    }
}

impl Answer {
    /// The answer's bytes, bulk apart.
    pub fn encode_parts(&self) -> Parts {
        let mut head = Writer::with_capacity(64);
        head.u8(self.kind());
        match self {
            Answer::Stored { locator } => store::encode_answer(head, locator),
            Answer::Shard(bytes) => fetch::encode_answer(head, bytes),
            Answer::Present(bitmap) => probe::encode_answer(head, *bitmap),
            Answer::RecordStored { address } => record::encode_stored(head, address),
            Answer::Record(record) => record::encode_answer(head, record),
            Answer::Proof(proof) => audit::encode_answer(head, proof),
            Answer::Ages(ages) => last_audits::encode_answer(head, ages),
            Answer::Refused(refusal) => refusal.encode(head),
        }
    }

    /// Reads an answer.
    pub fn decode(bytes: Bytes) -> Result<Answer, WireError> {
        let mut reader = Reader::new(bytes);
        let answer = match reader.u8("kind")? {
            kind::STORED => store::decode_answer(&mut reader)?,
            kind::SHARD => fetch::decode_answer(&mut reader)?,
            kind::PRESENT => probe::decode_answer(&mut reader)?,
            kind::RECORD_STORED => record::decode_stored(&mut reader)?,
            kind::RECORD => record::decode_answer(&mut reader)?,
            kind::PROOF => audit::decode_answer(&mut reader)?,
            kind::AGES => last_audits::decode_answer(&mut reader)?,
            kind::REFUSED => Answer::Refused(Refusal::decode(&mut reader)?),
            _ => return Err(WireError::Invalid("kind")),
        };
        reader.finish()?;
        Ok(answer)
    }

    fn kind(&self) -> u8 {
        match self {
            Answer::Stored { .. } => kind::STORED,
            Answer::Shard(_) => kind::SHARD,
            Answer::Present(_) => kind::PRESENT,
            Answer::RecordStored { .. } => kind::RECORD_STORED,
            Answer::Record(_) => kind::RECORD,
            Answer::Proof(_) => kind::PROOF,
            Answer::Ages(_) => kind::AGES,
            Answer::Refused(_) => kind::REFUSED,
        }
    }
}
