//! Where a stream's stripes are: read out of the manifest, or out of the reference streams above it. A reference stream's
//! packs are fetched one by one and the last one of each level is kept: one holds the references of some 500 stripes.

use crate::error::Error;
use crate::gathering::Gathering;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::session::Session;
use crate::stripe_name::StripeName;
use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use palimpsest_proto::content::{StreamShape, Streams, StripeRef};
use std::ops::Range;
use std::sync::Arc;

/// See the module's description.
pub(crate) struct Refs {
    session: Arc<Session>,
    levels: Vec<StreamShape>,
    top: Bytes,
    last_pack: Vec<Option<(u64, Bytes)>>,
    /// When requests may leave, if they are spread over time.
    pub(crate) pace: Option<Pace>,
}

impl Refs {
    pub(crate) fn new(session: Arc<Session>, streams: &Streams) -> Refs {
        let levels = streams.levels().to_vec();
        Refs { session, last_pack: vec![None; levels.len()], levels, top: streams.top_refs().clone(), pace: None }
    }

    /// The reference of stripe `number` of the stream at `level`; level 0 is the content.
    pub(crate) fn stripe(&mut self, level: usize, number: u64) -> BoxFuture<'_, Result<StripeRef, Error>> {
        Box::pin(async move {
            let shape = self.levels[level];
            let bytes = self.read(level + 1, shape.ref_range(number)).await?;
            shape.parse_ref(number, bytes).map_err(|e| Error::Integrity { what: format!("a stripe's reference ({e})") })
        })
    }

    async fn read(&mut self, level: usize, range: Range<u64>) -> Result<Bytes, Error> {
        if level == self.levels.len() {
            // Manifest::decode has checked that the references are exactly as long as the shape says.
            return Ok(self.top.slice(range.start as usize..range.end as usize));
        }
        let mut out = BytesMut::new();
        let pieces: Vec<_> = self.levels[level].pieces(range).collect();
        for piece in pieces {
            out.extend_from_slice(&self.pack(level, piece.stripe).await?[piece.within]);
        }
        Ok(out.freeze())
    }

    async fn pack(&mut self, level: usize, number: u64) -> Result<Bytes, Error> {
        if let Some((kept, pack)) = &self.last_pack[level]
            && *kept == number
        {
            return Ok(pack.clone());
        }
        let stripe = self.stripe(level, number).await?;
        let mut gathering = Gathering::new(self.session.clone(), Progress::new());
        gathering.pace = self.pace.clone();
        gathering.push(StripeName::of(level, number), stripe);
        let pack =
            gathering.next_pack().await?.ok_or_else(|| Error::Integrity { what: "a reference stream".to_owned() })?;
        self.last_pack[level] = Some((number, pack.clone()));
        Ok(pack)
    }
}
