//! Who holds what a link names: what anybody who has the link can find out, and so what a censor can.

use crate::error::Error;
use crate::progress::Progress;
use crate::session::Session;
use crate::stripe_name::StripeName;
use crate::survey::{Found, survey};
use crate::walk::Walk;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::content::StripeKey;
use palimpsest_proto::ids::RootAddress;
use std::sync::Arc;

/// One stripe, and who says to have its shards.
#[derive(Clone, Debug)]
pub struct Held {
    /// Which.
    pub name: StripeName,
    /// Its shards' names.
    pub descriptor: Descriptor,
    /// Who has them.
    pub found: Found,
}

/// The first `stripes_max` stripes under `root`, the root's own first.
pub(crate) async fn holders(
    session: &Arc<Session>,
    (root, key, is_list): (RootAddress, &StripeKey, bool),
    stripes_max: usize,
    progress: &Progress,
) -> Result<Vec<Held>, Error> {
    let mut walk = Walk::begin(session, root, key, is_list, progress).await?;
    let mut all = Vec::new();
    while all.len() < stripes_max {
        let Some(step) = walk.next().await? else { break };
        let found = survey(session, std::slice::from_ref(&step.descriptor), None, progress).await.into_iter().next();
        let found = found.unwrap_or_else(|| Found::nothing(step.descriptor.locators().len()));
        all.push(Held { name: step.name, descriptor: step.descriptor, found });
    }
    Ok(all)
}
