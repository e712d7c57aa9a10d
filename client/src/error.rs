//! What can go wrong for a user of the client, in the user's terms: each variant says where and with what figures,
//! [`Error::kind`] says what sort of failure it is. Advice is composed by the command line alone.

use crate::stripe_name::StripeName;
use palimpsest_proto::content::LinkError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error as ThisError;

/// A failure of publishing, fetching or asking for a status.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum Error {
    /// What was asked for cannot be done as it was asked.
    #[error("{0}")]
    Usage(String),
    /// The text is not a link, or not a whole one.
    #[error("not a usable link: {0}")]
    BadLink(#[source] LinkError),
    /// The nodes that would know of it agree that it is not there.
    #[error("nothing is published under this link: {nodes_said} of {asked} nodes asked said so, none had it")]
    Absent {
        /// Nodes that said that they do not have it.
        nodes_said: usize,
        /// Nodes that were asked.
        asked: usize,
    },
    /// The beginning of the file could be neither found nor proved absent: too few nodes answered.
    #[error(
        "the beginning of the file is out of reach: 0 of 1 needed found, only {answered} of {asked} nodes asked answered"
    )]
    RootUnreachable {
        /// Nodes that answered at all.
        answered: usize,
        /// Nodes that were asked.
        asked: usize,
    },
    /// Too few shards of a stripe can be reached now.
    #[error("{stripe} is out of reach: {have} of {need} needed shards found")]
    NotRetrievable {
        /// Which stripe.
        stripe: StripeName,
        /// Shards that were found.
        have: usize,
        /// Shards that are needed.
        need: usize,
    },
    /// Some stripes cannot be put together any more, unless holders come back.
    #[error("{stripes} of {of} stripes are out of reach")]
    Lost {
        /// Stripes of which too few shards are left.
        stripes: u64,
        /// Stripes in all.
        of: u64,
    },
    /// Bytes came back that are not what was published, and not by a holder's doing: shards are checked one by one.
    #[error("{what} is not what was published")]
    Integrity {
        /// What failed its check, as the beginning of a sentence: "the manifest".
        what: String,
    },
    /// No node of the network could be reached.
    #[error("no node could be reached ({})", list(tried))]
    NoNetwork {
        /// The bootstrap addresses and cached nodes that were tried.
        tried: Vec<String>,
    },
    /// Nodes were reached, but too few are known for a path over several of them.
    #[error("only {known} nodes are known, and a path takes {needed} ({})", list(tried))]
    TooFewNodes {
        /// How many are known.
        known: usize,
        /// How many it takes.
        needed: usize,
        /// As above.
        tried: Vec<String>,
    },
    /// Fewer shards found a holder than the survival target asks for.
    #[error("only {placed} of {wanted} shards could be placed")]
    PlacementShort {
        /// Shards that a holder acknowledged.
        placed: u64,
        /// Shards that the survival target asks for.
        wanted: u64,
    },
    /// Fewer nodes than it takes keep the record by which the file's beginning is found.
    #[error("only {placed} of {wanted} copies that are needed of the record of the file's beginning found a node")]
    RootShort {
        /// Copies that were acknowledged, in all or under the address that is worst off.
        placed: u64,
        /// Copies that are needed.
        wanted: u64,
    },
    /// Some stripes found no node that would keep their descriptors, and so have nobody to repair them.
    #[error("only {placed} of {wanted} stripes found wardens")]
    Unwarded {
        /// Stripes that have at least one.
        placed: u64,
        /// All stripes.
        wanted: u64,
    },
    /// Too few of the shards that were placed came back when a sample was asked for.
    #[error("only {came} of {sampled} sampled shards came back from their holders")]
    Unproven {
        /// Shards that came back.
        came: usize,
        /// Shards that were asked for.
        sampled: usize,
    },
    /// The guard let through only what went by its friends, and what was placed is with them.
    #[error("the first relay let through little but what went to its friends; another one has taken its place")]
    GuardFoundOut,
    /// The time allowed is over.
    #[error("not finished after {} s, while {doing}", after.as_secs_f64())]
    Deadline {
        /// The time that was allowed.
        after: Duration,
        /// What was going on, to be read after "while": "fetching shards".
        doing: &'static str,
    },
    /// This machine's disk refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, to be read after "cannot": "write".
        doing: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Whoever was to take the bytes, or the answer, did not.
    #[error("cannot hand over the result: {source}")]
    Output {
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file was changed while it was being published, so that no link could stand for it.
    #[error("{} changed while it was being published", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// The range begins at or behind the end of the file.
    #[error("the range begins at byte {start}, but the file has {size} bytes")]
    RangeOutside {
        /// The first byte that was asked for.
        start: u64,
        /// Bytes of the file.
        size: u64,
    },
    /// The network layer failed in a way that is nobody's absence.
    #[error("the network layer failed: {0}")]
    Net(String),
    /// The user interrupted.
    #[error("interrupted")]
    Interrupted,
}

/// The tried addresses in one line, or that there were none.
fn list(tried: &[String]) -> String {
    if tried.is_empty() { "no address is known".to_owned() } else { format!("tried {}", tried.join(", ")) }
}

/// What sort of failure it is: what a program branches on, and the exit code of `pal`.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// None of the others.
    Other,
    /// The request itself is wrong.
    Usage,
    /// Some of what was asked for was done.
    Partial,
    /// It is not there, and enough nodes say so.
    Absent,
    /// It cannot be put together now, perhaps later.
    NotRetrievable,
    /// What came is not what was published.
    Integrity,
    /// No network.
    NoNetwork,
    /// The survival target was not met.
    Placement,
    /// Out of time.
    Deadline,
    /// This machine's disk: full, read-only, over quota.
    Disk,
    /// The link is mistyped, truncated or foreign.
    BadLink,
    /// Interrupted by the user; running again resumes.
    Interrupted,
}

impl Kind {
    /// Every kind, in the order of the exit codes.
    pub const ALL: [Kind; 12] = [
        Kind::Other,
        Kind::Usage,
        Kind::Partial,
        Kind::Absent,
        Kind::NotRetrievable,
        Kind::Integrity,
        Kind::NoNetwork,
        Kind::Placement,
        Kind::Deadline,
        Kind::Disk,
        Kind::BadLink,
        Kind::Interrupted,
    ];

    /// The exit code of `pal`: a promise to scripts, never renumbered.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Other => 1,
            Kind::Usage => 2,
            Kind::Partial => 3,
            Kind::Absent => 4,
            Kind::NotRetrievable => 5,
            Kind::Integrity => 6,
            Kind::NoNetwork => 7,
            Kind::Placement => 8,
            Kind::Deadline => 9,
            Kind::Disk => 10,
            Kind::BadLink => 11,
            Kind::Interrupted => 130,
        }
    }

    /// The name in machine-readable output: a promise to scripts as well.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Other => "other",
            Kind::Usage => "usage",
            Kind::Partial => "partial",
            Kind::Absent => "absent",
            Kind::NotRetrievable => "not-retrievable",
            Kind::Integrity => "integrity",
            Kind::NoNetwork => "no-network",
            Kind::Placement => "placement",
            Kind::Deadline => "deadline",
            Kind::Disk => "disk",
            Kind::BadLink => "bad-link",
            Kind::Interrupted => "interrupted",
        }
    }
}

impl Error {
    /// What sort of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Usage(_) | Error::RangeOutside { .. } => Kind::Usage,
            Error::BadLink(_) => Kind::BadLink,
            Error::Absent { .. } => Kind::Absent,
            Error::Lost { stripes, of } if stripes < of => Kind::Partial,
            Error::RootUnreachable { .. } | Error::NotRetrievable { .. } | Error::Lost { .. } => Kind::NotRetrievable,
            Error::Integrity { .. } => Kind::Integrity,
            Error::NoNetwork { .. } | Error::TooFewNodes { .. } => Kind::NoNetwork,
            Error::PlacementShort { .. }
            | Error::RootShort { .. }
            | Error::Unwarded { .. }
            | Error::Unproven { .. }
            | Error::GuardFoundOut => Kind::Placement,
            Error::Deadline { .. } => Kind::Deadline,
            Error::Disk { .. } => Kind::Disk,
            // A reader that goes away (`| head`) is no fault of the disk's.
            Error::Output { source } if source.kind() == io::ErrorKind::BrokenPipe => Kind::Other,
            Error::Output { .. } => Kind::Disk,
            Error::SourceChanged { .. } | Error::Net(_) => Kind::Other,
            Error::Interrupted => Kind::Interrupted,
        }
    }

    /// For `map_err`: a disk failure at `path` while trying to `doing` ("read", "write").
    pub fn disk(path: impl Into<PathBuf>, doing: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.into();
        move |source| Error::Disk { path, doing, source }
    }
}

#[cfg(test)]
mod tests {
    use super::{Error, Kind, StripeName};
    use std::collections::HashSet;
    use std::io;
    use std::time::Duration;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 130]);
        let names: HashSet<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }

    #[test]
    fn each_error_reads_as_a_sentence() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let said = [
            (Error::Usage("give a path".to_owned()), "give a path"),
            (
                Error::Absent { nodes_said: 20, asked: 20 },
                "nothing is published under this link: 20 of 20 nodes asked said so, none had it",
            ),
            (
                Error::RootUnreachable { answered: 2, asked: 60 },
                "the beginning of the file is out of reach: 0 of 1 needed found, only 2 of 60 nodes asked answered",
            ),
            (
                Error::NotRetrievable { stripe: StripeName::Content(7), have: 30, need: 32 },
                "stripe 7 is out of reach: 30 of 32 needed shards found",
            ),
            (
                Error::NotRetrievable { stripe: StripeName::Root, have: 0, need: 1 },
                "the root is out of reach: 0 of 1 needed shards found",
            ),
            (Error::Integrity { what: "the manifest".to_owned() }, "the manifest is not what was published"),
            (Error::NoNetwork { tried: vec![] }, "no node could be reached (no address is known)"),
            (
                Error::NoNetwork { tried: vec!["/ip4/127.0.0.1/tcp/1".to_owned(), "/ip4/127.0.0.1/tcp/2".to_owned()] },
                "no node could be reached (tried /ip4/127.0.0.1/tcp/1, /ip4/127.0.0.1/tcp/2)",
            ),
            (
                Error::TooFewNodes { known: 3, needed: 5, tried: vec!["/ip4/127.0.0.1/tcp/1".to_owned()] },
                "only 3 nodes are known, and a path takes 5 (tried /ip4/127.0.0.1/tcp/1)",
            ),
            (Error::PlacementShort { placed: 90, wanted: 113 }, "only 90 of 113 shards could be placed"),
            (
                Error::RootShort { placed: 7, wanted: 8 },
                "only 7 of 8 copies that are needed of the record of the file's beginning found a node",
            ),
            (
                Error::GuardFoundOut,
                "the first relay let through little but what went to its friends; another one has taken its place",
            ),
            (
                Error::Deadline { after: Duration::from_secs(30), doing: "fetching shards" },
                "not finished after 30 s, while fetching shards",
            ),
            (Error::disk("/x", "write")(full), "cannot write /x: no storage space"),
            (Error::Output { source: io::ErrorKind::BrokenPipe.into() }, "cannot hand over the result: broken pipe"),
            (Error::SourceChanged { path: "a".into() }, "a changed while it was being published"),
            (Error::RangeOutside { start: 10, size: 10 }, "the range begins at byte 10, but the file has 10 bytes"),
            (Error::Net("no listener".to_owned()), "the network layer failed: no listener"),
            (Error::Interrupted, "interrupted"),
        ];
        for (error, sentence) in said {
            assert_eq!(error.to_string(), sentence);
        }
    }
}
