//! Who plays which part in a network of processes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Part;

/// The program that plays parts; it lies where `pald` lies.
pub const HOSTILE: &str = "pald-hostile";

/// Who plays a part among the nodes of a network; all others are `pald`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cast {
    /// By a node's number.
    pub parts: BTreeMap<u32, Part>,
    /// Whether nodes with parts come later, so that their program must be there.
    pub later: bool,
}

impl Cast {
    /// Whether all nodes are honest, and remain so.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && !self.later
    }

    /// The part of a node, to be changed.
    pub fn part(&mut self, index: u32) -> &mut Part {
        self.parts.entry(index).or_default()
    }
}
