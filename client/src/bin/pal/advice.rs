//! From errors to human guidance: what to try next. Only here; the library states facts.

use palimpsest_client::{Error, Kind};
use std::io::ErrorKind;

/// What was being done when it failed.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Publish,
    Fetch,
    Status,
    Keep,
    /// Whatever stays on this machine.
    Local,
}

impl Verb {
    /// What the user can do about `error`, if there is something to do.
    pub(crate) fn advice(self, error: &Error) -> Option<String> {
        let again = match self {
            Verb::Publish => "run the same command again: it resumes, and sends nothing that is already placed",
            Verb::Fetch => "run the same command again; nothing stands under the final name yet",
            Verb::Status | Verb::Keep | Verb::Local => "run the same command again",
        };
        let advice = match error.kind() {
            Kind::Absent => {
                "if the link is right, its lease has run out, or it belongs to another network: see the bootstrap list \
                 with `pal config show --origin`"
            }
            Kind::NotRetrievable if matches!(self, Verb::Status | Verb::Keep) => {
                "holders may come back: try again later"
            }
            Kind::NotRetrievable => "holders may come back: try again later; `pal status` says how much of it is there",
            Kind::Integrity => "it was published by a faulty or hostile program; no other holder has it any better",
            Kind::NoNetwork if matches!(error, Error::TooFewNodes { .. }) => {
                "start more nodes, or name one of a larger network with --bootstrap MULTIADDR or FILE, or PAL_BOOTSTRAP"
            }
            Kind::NoNetwork => {
                "name a node that is up with --bootstrap MULTIADDR or FILE, or PAL_BOOTSTRAP; see what is used now with \
                 `pal config show --origin`"
            }
            Kind::Placement if matches!(error, Error::GuardFoundOut) => {
                "publish it again: what was placed counts for nothing"
            }
            Kind::Placement => {
                return Some(format!("the network needs more nodes or space, or a lower --survive; then {again}"));
            }
            Kind::Deadline => return Some(format!("{again}, or allow more with --timeout")),
            Kind::Disk => return disk(error).map(str::to_owned),
            Kind::BadLink => "a link begins with pal: and must be copied whole; ask its sender again if it was cut",
            Kind::Interrupted => again,
            _ => match error {
                Error::SourceChanged { .. } => "publish it again when nothing writes to it any more",
                _ => return None,
            },
        };
        Some(advice.to_owned())
    }
}

fn disk(error: &Error) -> Option<&'static str> {
    let (Error::Disk { source, .. } | Error::Output { source }) = error else { return None };
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            Some("make room, or choose another place")
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            Some("choose another place with --data-dir or -o, or mend the permissions")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Verb;
    use palimpsest_client::Error;

    #[test]
    fn an_interrupted_publish_is_told_that_it_resumes() {
        assert!(Verb::Publish.advice(&Error::Interrupted).unwrap().contains("run the same command again: it resumes"));
        assert!(!Verb::Fetch.advice(&Error::Interrupted).unwrap().contains("resumes"));
    }

    #[test]
    fn who_reached_too_few_nodes_is_not_told_that_none_is_up() {
        let few = Error::TooFewNodes { known: 3, needed: 5, tried: Vec::new() };
        assert!(Verb::Fetch.advice(&few).unwrap().contains("more nodes"));
    }

    #[test]
    fn who_had_a_bad_guard_is_not_told_that_it_resumes() {
        let advice = Verb::Publish.advice(&Error::GuardFoundOut).unwrap();
        assert!(advice.contains("again") && !advice.contains("resumes") && !advice.contains("space"), "{advice}");
    }

    #[test]
    fn a_full_disk_is_not_a_lack_of_rights() {
        let advice = |kind| Verb::Fetch.advice(&Error::disk("/x", "write")(std::io::Error::from(kind)));
        assert!(advice(std::io::ErrorKind::StorageFull).unwrap().contains("room"));
        assert!(advice(std::io::ErrorKind::PermissionDenied).unwrap().contains("permissions"));
        assert_eq!(advice(std::io::ErrorKind::Other), None);
    }
}
