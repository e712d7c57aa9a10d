//! What may happen in a scenario, one step after the other, and in words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use crate::process::Fraction;

/// Who fetches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Somebody who was never there.
    #[default]
    Stranger,
    /// Who published, and knows nodes.
    Publisher,
    /// Somebody who fetched before as a stranger, and comes again with what he learnt of nodes.
    Returning,
}

/// Where a user is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// On the machine that has the network: no link of its own, and it hears both sides of a partition.
    #[default]
    Outside,
    /// Inside, with a link as that of nodes; of a partition with those who were not chosen.
    Inside,
    /// Inside, and of a partition with those who were cut off.
    Island,
}

/// What of a file's root is eclipsed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eclipsed {
    /// The addresses of its record.
    #[default]
    Record,
    /// The locators of its shards.
    Stripe,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// New files are published.
    Publish {
        /// How many.
        files: u32,
        /// Bytes of each.
        bytes: u64,
        /// From where.
        #[serde(default)]
        from: Place,
    },
    /// Rubbish is published; whether it finds a place is all the same.
    Fill {
        /// How many files.
        files: u32,
        /// Bytes of each.
        bytes: u64,
    },
    /// From now on clients publish rubbish, all at the same time and as fast as they can, until they are done, their time is over, or
    /// the flood is ended.
    Flood {
        /// How many clients.
        clients: u32,
        /// Files that each publishes at most.
        files: u32,
        /// Bytes of each file.
        bytes: u64,
        /// How long at most.
        seconds: u64,
    },
    /// The flood ends; without this step it does after the last one.
    EndFlood {},
    /// Each file is fetched, each by a reader of its own.
    Fetch {
        /// By whom.
        #[serde(default)]
        by: Who,
        /// From where.
        #[serde(default)]
        from: Place,
        /// Only those that were published there; none: all.
        of: Option<Place>,
    },
    /// Nodes die without warning.
    Kill {
        /// Which share.
        #[serde(deserialize_with = "parsed")]
        fraction: Fraction,
        /// Chooses which.
        seed: u64,
    },
    /// The first nodes die, which newcomers are told of.
    KillFirst {
        /// How many.
        nodes: u32,
    },
    /// Nodes hang.
    Pause {
        /// Which share.
        #[serde(deserialize_with = "parsed")]
        fraction: Fraction,
        /// Chooses which.
        seed: u64,
    },
    /// Nodes are cut off from the others.
    Partition {
        /// Which share.
        #[serde(deserialize_with = "parsed")]
        fraction: Fraction,
        /// Chooses which.
        seed: u64,
    },
    /// Nothing happens for a while.
    Wait {
        /// So long.
        seconds: u64,
    },
    /// Partition and pauses end.
    Heal {},
    /// The dead start again, on their data.
    Restart {},
    /// Nodes are ended and started again as a next version, which speaks today's protocols and newer ones: one after the
    /// other, each on its data.
    Upgrade {
        /// Which share.
        #[serde(deserialize_with = "parsed")]
        fraction: Fraction,
        /// Chooses which.
        seed: u64,
    },
    /// A censor who has the first file's link makes nodes whose ids lie next to places of its root. They acknowledge
    /// whatever is stored, keep nothing, and say that there is nothing.
    Eclipse {
        /// Which places.
        #[serde(default)]
        of: Eclipsed,
        /// Nodes next to each place.
        nodes: u32,
        /// Ids that are drawn for them, each of which costs its work (15 ms of one core).
        drawn: u32,
        /// Decides which ids are drawn.
        seed: u64,
    },
    /// A bit flips in slots of the stores.
    Rot {
        /// In which share of all slots.
        #[serde(deserialize_with = "parsed")]
        fraction: Fraction,
        /// Chooses which, and the bit.
        seed: u64,
    },
}

impl Step {
    /// What chooses whom it hits, if anything does.
    pub(super) fn seed(&mut self) -> Option<&mut u64> {
        match self {
            Self::Kill { seed, .. }
            | Self::Pause { seed, .. }
            | Self::Partition { seed, .. }
            | Self::Upgrade { seed, .. }
            | Self::Eclipse { seed, .. }
            | Self::Rot { seed, .. } => Some(seed),
            Self::Publish { .. }
            | Self::Fill { .. }
            | Self::Flood { .. }
            | Self::EndFlood {}
            | Self::Fetch { .. }
            | Self::KillFirst { .. }
            | Self::Wait { .. }
            | Self::Heal {}
            | Self::Restart {} => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish { files, bytes, from } => write!(formatter, "publish {files} files of {bytes} bytes{from}"),
            Self::Fill { files, bytes } => write!(formatter, "publish {files} files of {bytes} bytes as rubbish"),
            Self::Flood { clients, files, bytes, .. } => {
                write!(
                    formatter,
                    "{clients} clients begin to publish rubbish, {files} files of {bytes} bytes each at most"
                )
            }
            Self::EndFlood {} => formatter.write_str("end the flood"),
            Self::Fetch { by, from, of } => {
                let those = match of {
                    None => "all",
                    Some(Place::Outside) => "what was published outside",
                    Some(Place::Inside) => "what was published inside",
                    Some(Place::Island) => "what was published on the island",
                };
                let who = match by {
                    Who::Stranger => "strangers",
                    Who::Publisher => "the publisher",
                    Who::Returning => "strangers who return",
                };
                write!(formatter, "fetch {those}, by {who}{from}")
            }
            Self::Kill { fraction, seed } => write!(formatter, "kill {fraction} (seed {seed})"),
            Self::KillFirst { nodes } => write!(formatter, "kill the first {nodes}"),
            Self::Pause { fraction, seed } => write!(formatter, "pause {fraction} (seed {seed})"),
            Self::Partition { fraction, seed } => write!(formatter, "cut off {fraction} (seed {seed})"),
            Self::Wait { seconds } => write!(formatter, "wait for {seconds} s"),
            Self::Heal {} => formatter.write_str("heal"),
            Self::Restart {} => formatter.write_str("restart the dead"),
            Self::Eclipse { of, nodes, drawn, .. } => {
                let places = if *of == Eclipsed::Record { "address" } else { "shard" };
                write!(formatter, "{nodes} nodes next to each {places} of a root, the nearest of {drawn} ids")
            }
            Self::Upgrade { fraction, seed } => {
                write!(formatter, "upgrade {fraction}, one after the other (seed {seed})")
            }
            Self::Rot { fraction, seed } => write!(formatter, "flip a bit in {fraction} of the slots (seed {seed})"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Outside => "",
            Self::Inside => ", from inside",
            Self::Island => ", from the island",
        })
    }
}

/// A value that stands in quotes and is read as on the command line.
pub(super) fn parsed<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}
