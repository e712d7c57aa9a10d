//! When it turns out that the guard let through only what goes by its friends (see `session::opinion`), the shards of a publish lie with
//! these, and who has another guard may never find them: it begins anew, by way of the guard that took its place.

use super::{Publish, PublishOptions, Published, attempt};
use crate::cutting::Source;
use crate::error::Error;
use crate::progress::Progress;
use crate::session::{OPINIONS_MAX, Session};
use palimpsest_proto::content::ConvergenceSecret;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Publishes `source`; if that is to be `spread` over time, so long, and how many shards there will be. Begins anew when a guard was
/// found out on the way, unless the source is a pipe, of which nothing is left.
pub(crate) async fn publish(
    session: &Arc<Session>,
    secret: &ConvergenceSecret,
    folder: &Path,
    source: Source,
    options: &PublishOptions,
    spread: Option<(Duration, u64)>,
    progress: &Progress,
) -> Result<Published, Error> {
    let mut again = 0..OPINIONS_MAX;
    loop {
        let folder = folder.to_owned();
        match attempt(session, secret, folder, source.clone(), options, spread, progress).await {
            Err(Error::GuardFoundOut) if source.size()?.is_some() && again.next().is_some() => progress.restart(),
            published => return published,
        }
    }
}

impl Publish<'_> {
    /// # Errors
    /// `GuardFoundOut`, if it was since the publish began.
    pub(super) fn check_guard(&self) -> Result<(), Error> {
        if self.session.guards_found_out() > self.guards_found_out { Err(Error::GuardFoundOut) } else { Ok(()) }
    }

    /// Ends the publish, with `GuardFoundOut`: what its journal says is placed must not be taken for placed. With `Disk` if the journal
    /// cannot be removed, since it would be believed.
    pub(super) fn give_up_guard(self) -> Error {
        match self.journal.remove() {
            Ok(()) => Error::GuardFoundOut,
            Err(source) => Error::Disk { path: "the journal".into(), doing: "remove", source },
        }
    }

    /// Whether what was placed went by way of a guard that is found out, at the latest now: where most of the network seems dead, or
    /// there was too little room, it may be the guard's doing.
    pub(super) async fn is_misplaced(&self, failed: Option<&Error>) -> bool {
        let short =
            matches!(failed, Some(Error::PlacementShort { .. } | Error::RootShort { .. } | Error::Unwarded { .. }));
        let guard = self.session.guard();
        if short {
            self.session.doubt_guard(guard).await;
        } else if failed.is_none() && self.session.is_guard_doubtful() {
            self.session.compare_guard(guard).await;
        }
        self.check_guard().is_err()
    }
}
