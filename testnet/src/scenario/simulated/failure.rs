//! Why a simulated publish or fetch failed.

use palimpsest_proto::coding::CodingError;
use palimpsest_proto::content::{ContentError, RootError};

use crate::scenario::End;
use crate::sim::SimError;
use crate::sim::client::Stop;
use crate::sim::reader::Ungathered;

/// See the module's description.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it was not done before the deadline")]
    Late,
    #[error("no node that newcomers are told of answers")]
    NobodyKnown,
    #[error(transparent)]
    Sim(SimError),
    #[error("no stripes can be made of it")]
    Content(#[from] ContentError),
    #[error("{placed} of {wanted} shards found a holder")]
    Short { placed: usize, wanted: usize },
    #[error("{stripes} stripes found no warden")]
    Unwarded { stripes: usize },
    #[error("{stored} of {wanted} copies of the root's record that are wanted at least found a holder")]
    RootShort { stored: usize, wanted: usize },
    #[error("of a sample of {sampled} shards {came} came back")]
    Unproven { came: usize, sampled: usize },
    #[error("the root is nowhere: {said} of {asked} nodes say so")]
    RootAbsent { said: usize, asked: usize },
    #[error("the root was not found: {said} of {asked} nodes answered")]
    RootUnreachable { said: usize, asked: usize },
    #[error("of a stripe's shards {have} came, and {need} are needed")]
    NotRetrievable { have: usize, need: usize },
    #[error("a stripe's shards do not belong together")]
    Coding(#[from] CodingError),
    #[error("the root does not open")]
    Root(#[from] RootError),
    #[error("what came is not what the link stands for")]
    Spoilt,
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Failure {
        match stop {
            Stop::Late => Failure::Late,
            Stop::Sim(error) => Failure::Sim(error),
        }
    }
}

impl From<Ungathered> for Failure {
    fn from(ungathered: Ungathered) -> Failure {
        match ungathered {
            Ungathered::Short { have, need } => Failure::NotRetrievable { have, need },
            Ungathered::Stop(stop) => stop.into(),
        }
    }
}

impl From<&Failure> for End {
    fn from(failure: &Failure) -> End {
        match failure {
            Failure::Late => End::TimedOut,
            failure => End::Failed(failure.to_string()),
        }
    }
}
