//! Keeping a file alive: its leases are prolonged, and what is missing is put back, now.
//!
//! ```text
//! Walk ─► some stripes ─► survey ─► renew at the holders ─► repair what is missing ─► records to some wardens
//! ```

use crate::error::Error;
use crate::progress::{Phase, Progress};
use crate::records;
use crate::repair::repair;
use crate::rounds::ask_bits;
use crate::session::Session;
use crate::survey::{Found, survey};
use crate::walk::{Step, Walk};
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::content::StripeKey;
use palimpsest_proto::fair::Stamp;
use palimpsest_proto::ids::{Locator, RootAddress};
use palimpsest_proto::message::Ask;
use palimpsest_proto::params::LEASE_SECONDS_DEFAULT;
use palimpsest_proto::time::Timestamp;
use std::sync::Arc;

/// Stripes worked on together: their shards share probes and renewals.
const BATCH: usize = 8;
/// Nodes near each address that are given a stripe's descriptor again, with the new lease; they pass it on.
const COPIES: usize = 2;

/// How to keep.
#[derive(Clone, Copy, Debug)]
pub struct KeepOptions {
    /// For how long from now the network is asked to keep it, in seconds.
    pub lease_seconds: u64,
}

impl Default for KeepOptions {
    fn default() -> KeepOptions {
        KeepOptions { lease_seconds: LEASE_SECONDS_DEFAULT }
    }
}

/// What keeping did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Stripes looked at.
    pub stripes: u64,
    /// Shards that they should have.
    pub shards: u64,
    /// Shards whose leases last as long as asked.
    pub renewed: u64,
    /// Shards that were missing and are there again.
    pub repaired: u64,
    /// Shards that are missing still: nobody would take them.
    pub short: u64,
    /// Shards with our own guard, which is not asked for anything.
    pub unasked: u64,
    /// Stripes of which fewer shards are left than are needed, or whose descriptor nobody has: lost, unless holders come back.
    pub lost: u64,
    /// Stripes of whose new lease no warden would hear: wardens let go of them when the old one ends.
    pub unwarded: u64,
    /// Bytes of shards that were moved.
    pub bytes: u64,
}

/// Keeps what is under `root` alive, and all that it lists if it is a list.
pub(crate) async fn keep(
    session: &Arc<Session>,
    root: RootAddress,
    key: &StripeKey,
    is_list: bool,
    options: KeepOptions,
    progress: &Progress,
) -> Result<Kept, Error> {
    let mut walk = Walk::begin(session, root, key, is_list, progress).await?;
    progress.set_phase(Phase::Keeping);
    let lease_until = Session::lease_until(options.lease_seconds);
    let mut kept = Kept::default();
    let mut batch: Vec<Descriptor> = Vec::new();
    loop {
        let end = match walk.next().await {
            Ok(Some(Step { descriptor, .. })) => {
                batch.push(descriptor);
                None
            }
            Ok(None) => Some(Ok(())),
            // A listed stripe that nobody knows.
            Err(Error::Absent { .. } | Error::RootUnreachable { .. }) => {
                kept.stripes += 1;
                kept.lost += 1;
                None
            }
            Err(error) => Some(Err(error)),
        };
        // What was found before an error is kept all the same.
        if batch.len() == BATCH || end.is_some() {
            let batch = std::mem::take(&mut batch);
            keep_some(session, &batch, lease_until, &mut kept, progress).await;
        }
        if let Some(end) = end {
            return end.map(|()| kept);
        }
    }
}

async fn keep_some(
    session: &Arc<Session>,
    stripes: &[Descriptor],
    lease_until: Timestamp,
    kept: &mut Kept,
    progress: &Progress,
) {
    let mut found = survey(session, stripes, None, progress).await;
    kept.renewed += renew(session, stripes, &mut found, lease_until).await;
    for (descriptor, found) in stripes.iter().zip(&found) {
        kept.stripes += 1;
        kept.shards += descriptor.geometry().n() as u64;
        kept.unasked += found.unasked.len() as u64;
        let missing = found.missing();
        match repair(session, descriptor, found, &missing, lease_until).await {
            Ok(repaired) => {
                kept.repaired += repaired.placed.len() as u64;
                kept.short += repaired.short as u64;
                kept.bytes += repaired.bytes;
            }
            Err(_) => {
                kept.lost += 1;
                kept.short += missing.len() as u64;
            }
        }
        // Wardens that do not hear of the new lease now hear of it from the others.
        let spread = records::spread(session, descriptor, lease_until, COPIES).await;
        kept.unwarded += u64::from(spread.stored.iter().all(|&stored| stored == 0));
    }
}

/// Prolongs the leases of what was found; what turns out to be gone is no longer found. Returns how many it prolonged.
async fn renew(session: &Arc<Session>, stripes: &[Descriptor], found: &mut [Found], lease_until: Timestamp) -> u64 {
    let mut held = Vec::new();
    for (stripe, (descriptor, found)) in stripes.iter().zip(found.iter()).enumerate() {
        for (index, (locator, holder)) in descriptor.locators().iter().zip(&found.holders).enumerate() {
            held.extend(holder.map(|holder| (holder, (stripe, index, *locator))));
        }
    }
    let ask = |some: &[(usize, usize, Locator)]| {
        let locators = some.iter().map(|(_, _, locator)| *locator).collect();
        Ask::Renew { lease_until, stamp: Stamp::NONE, locators }
    };
    let mut renewed = 0;
    for (_, (stripe, index, _), there) in ask_bits(session, held, ask).await {
        match there {
            Some(true) => renewed += 1,
            Some(false) => found[stripe].holders[index] = None,
            // Who does not answer now had the shards a moment ago: they count as there, and not as renewed.
            None => {}
        }
    }
    renewed
}
