//! All stripes of what a capability names, one after the other: of a file, or of a list of stripes and all that it lists.

use crate::error::Error;
use crate::fetch::{FetchOptions, fetch, find_manifest, find_root};
use crate::gathering::Totals;
use crate::progress::Progress;
use crate::refs::Refs;
use crate::session::Session;
use crate::stripe_name::StripeName;
use palimpsest_proto::coding::Descriptor;
use palimpsest_proto::content::{Body, Capability, StreamShape, StripeKey, StripeList};
use palimpsest_proto::ids::RootAddress;
use std::sync::Arc;

/// A stripe on the way.
pub(crate) struct Step {
    pub(crate) name: StripeName,
    /// 0: content; 1 and up: references; the highest: the root.
    pub(crate) level: usize,
    pub(crate) descriptor: Descriptor,
}

/// See the module's description.
pub(crate) struct Walk {
    session: Arc<Session>,
    root: Option<Descriptor>,
    refs: Option<Refs>,
    levels: Vec<StreamShape>,
    /// The level and number of the next stripe below the root.
    at: (usize, u64),
    listed: Vec<RootAddress>,
    next_listed: usize,
    /// Bytes of the file; a list of stripes does not tell.
    pub(crate) size: Option<u64>,
}

impl Walk {
    /// Begins with what is under `root`; all that it lists comes behind, if it is a list.
    pub(crate) async fn begin(
        session: &Arc<Session>,
        root: RootAddress,
        key: &StripeKey,
        is_list: bool,
        progress: &Progress,
    ) -> Result<Walk, Error> {
        let (descriptor, manifest, _) = find_manifest(session, root, key, None, progress).await?;
        let listed = if is_list { read_list(session, root, key, progress).await? } else { Vec::new() };
        let (refs, levels) = match manifest.body() {
            Body::Inline(_) => (None, Vec::new()),
            Body::Streams(streams) => (Some(Refs::new(session.clone(), streams)), streams.levels().to_vec()),
        };
        Ok(Walk {
            session: session.clone(),
            root: Some(descriptor),
            refs,
            at: (levels.len(), 0),
            levels,
            listed,
            next_listed: 0,
            size: (!is_list).then(|| manifest.size()),
        })
    }

    /// The next stripe; `None` behind the last. A listed stripe of which no descriptor can be found is an error that says so;
    /// the walk goes on behind it.
    pub(crate) async fn next(&mut self) -> Result<Option<Step>, Error> {
        if let Some(descriptor) = self.root.take() {
            return Ok(Some(Step { name: StripeName::Root, level: self.levels.len(), descriptor }));
        }
        if let Some(refs) = &mut self.refs {
            let (mut level, mut number) = self.at;
            // Downwards, so that the references that name a level's stripes were looked at before these.
            while level > 0 && self.levels.get(level).is_none_or(|shape| number >= shape.stripe_count()) {
                (level, number) = (level - 1, 0);
            }
            if self.levels.get(level).is_some_and(|shape| number < shape.stripe_count()) {
                self.at = (level, number + 1);
                let descriptor = refs.stripe(level, number).await?.descriptor;
                return Ok(Some(Step { name: StripeName::of(level, number), level, descriptor }));
            }
            self.refs = None;
        }
        let Some(address) = self.listed.get(self.next_listed) else { return Ok(None) };
        let name = StripeName::Listed(self.next_listed as u64);
        self.next_listed += 1;
        let descriptor = find_root(&self.session, *address, &mut Totals::default()).await?;
        Ok(Some(Step { name, level: 0, descriptor }))
    }
}

async fn read_list(
    session: &Arc<Session>,
    root: RootAddress,
    key: &StripeKey,
    progress: &Progress,
) -> Result<Vec<RootAddress>, Error> {
    let mut bytes = Vec::new();
    // One byte more than the longest list, so that a longer one is refused and not cut.
    let range = Some(0..StripeList::BYTES_MAX as u64 + 1);
    fetch(session, root, key, &FetchOptions { range, heal: false, spread: None }, &mut bytes, progress).await?;
    let list = StripeList::decode(bytes.into());
    let list = list.map_err(|e| Error::Integrity { what: format!("the list of stripes ({e})") })?;
    Ok(list.stripes().to_vec())
}

/// The addresses of all of a file's stripes, as a repair capability lists them.
pub(crate) async fn list(
    session: &Arc<Session>,
    root: RootAddress,
    key: &StripeKey,
    progress: &Progress,
) -> Result<StripeList, Error> {
    let mut walk = Walk::begin(session, root, key, false, progress).await?;
    let mut stripes = Vec::new();
    while let Some(step) = walk.next().await? {
        stripes.push(step.descriptor.root_address());
    }
    StripeList::new(stripes).map_err(|_| Error::Usage("the file is too large for one repair capability".to_owned()))
}

/// What a capability's root is: where, opened by what, and whether it is a list. `None` for content in the link itself.
pub(crate) fn rooted(capability: &Capability) -> Option<(RootAddress, &StripeKey, bool)> {
    match capability {
        Capability::Read { root, key } => Some((*root, key, false)),
        Capability::Repair { root, key } => Some((*root, key, true)),
        Capability::Inline(_) => None,
    }
}
