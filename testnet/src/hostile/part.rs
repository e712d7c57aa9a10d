//! The part that a node of its own process plays: `pald-hostile`. What scenarios in one process have by reference, such a node
//! is told on its command line, as JSON.

use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use libp2p::Multiaddr;
use palimpsest_client::keyring;
use palimpsest_node::NodeConfig;
use palimpsest_proto::crypto::NodeKey;
use palimpsest_proto::ids::NodeId;
use palimpsest_proto::secret::Secret;
use serde::{Deserialize, Serialize};

use super::diary::Diary;
use super::hex::Hex;
use super::silence::Silence;
use super::{Lie, Meddle};
use crate::liars::Plot;

/// What a node does that an honest one does not; nothing at all is a part too.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Part {
    /// As a holder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lie: Option<Lie>,
    /// As a relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meddle: Option<Meddle>,
    /// In exchanges of tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<Conspiracy>,
    /// It writes down all that it handles, in its own folder.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub diary: bool,
    /// The seed of its key, if that is not left to chance. It is for a network that nobody uses: a command line is no secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<Hex>,
}

/// What nodes agreed on that lie about the table. All are told the same, but for `silent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conspiracy {
    /// The ids of the liars.
    pub liars: Vec<Hex>,
    /// The addresses of nodes that they made up.
    pub made_up: Vec<Multiaddr>,
    /// Nodes that they made up besides whose ids cost no work.
    pub unworked: u32,
    /// Decides who is made up.
    pub seed: u64,
    /// Where this one takes connections for the made up, and says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub silent: Vec<SocketAddr>,
}

/// Why a node cannot play its part.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// A file of its own.
    #[error("the node's folder: {0}")]
    File(#[from] io::Error),
}

/// What a part needs while it is played; to be dropped at its end.
pub struct Playing {
    _silence: Option<Silence>,
}

impl Part {
    /// The same as JSON in one line.
    #[must_use]
    pub fn text(&self) -> String {
        // Names and numbers: no such thing fails to be written.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The id of its key, where that is given.
    #[must_use]
    pub fn id(&self) -> Option<NodeId> {
        self.identity.map(|Hex(seed)| NodeKey::from_seed(&Secret::new(seed)).id())
    }

    /// Makes a node's configuration that of one that plays this part. To be called where tasks can be begun.
    ///
    /// # Errors
    /// Its folder is not writable, or an address is taken.
    pub fn play(&self, config: &mut NodeConfig) -> Result<Playing, PartError> {
        keyring::private_folder(&config.data_dir)?;
        if let Some(Hex(seed)) = self.identity {
            keyring::load_or_make(&config.data_dir.join("identity"), || Secret::new(seed))?;
        }
        config.service = self.lie.map(Lie::stand);
        config.meddler = self.meddle.map(Meddle::meddler);
        if self.diary {
            config.onlooker = Some(Diary::begin(&config.data_dir)?);
        }
        let Some(table) = &self.table else { return Ok(Playing { _silence: None }) };
        let plot = Arc::new(Plot::between(
            table.liars.iter().map(|Hex(id)| NodeId(*id)),
            table.made_up.clone(),
            table.unworked as usize,
            table.seed,
        ));
        config.table_liar = Some(plot.liar());
        Ok(Playing { _silence: Some(Silence::keep(&table.silent)?) })
    }
}

impl FromStr for Part {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{Conspiracy, Hex, Lie, Meddle, Part};

    #[test]
    fn a_part_is_read_as_it_was_written() {
        let table = Conspiracy {
            liars: vec![Hex([0xab; 32])],
            made_up: vec!["/ip4/127.0.0.1/tcp/9".parse().unwrap()],
            unworked: 3,
            seed: 4,
            silent: vec!["127.0.0.1:9".parse().unwrap()],
        };
        let whole = Part {
            lie: Some(Lie::Garbage),
            meddle: Some(Meddle::DropSome),
            table: Some(table),
            diary: true,
            identity: Some(Hex([1; 32])),
        };
        assert_eq!(whole.text().parse::<Part>().unwrap(), whole);
        assert_eq!(Part::default().text(), "{}");
        assert_eq!("{\"lie\":\"absent\"}".parse::<Part>().unwrap().lie, Some(Lie::Absent));
        for bad in ["", "{\"lies\":\"absent\"}", "{\"lie\":\"white\"}", "{\"identity\":\"ab\"}"] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
    }
}
