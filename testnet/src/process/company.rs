//! Who the nodes of such a network are, and those among them that play a part.

use std::fs;
use std::io;
use std::path::PathBuf;

use palimpsest_proto::ids::NodeId;

use super::{Blow, Testnet, TestnetError, find_program};
use crate::hostile::{HOSTILE, Hex};

impl Testnet {
    /// Kills the nodes from this number on, which were added, and forgets them with their data and logs. Others remember them for a
    /// while, as they do the dead.
    ///
    /// # Errors
    /// As of [`Testnet::hit`], and those of removing files.
    pub async fn dismiss(&mut self, first: u32) -> Result<(), TestnetError> {
        let those: Vec<u32> = self.state.nodes.iter().map(|node| node.index).filter(|&index| index >= first).collect();
        self.hit_these(&those, Blow::Kill).await?;
        for index in those {
            self.state.cast.parts.remove(&index);
        }
        for node in self.state.nodes.split_off((first as usize).min(self.state.nodes.len())) {
            for (path, removed) in
                [(&node.data_dir, fs::remove_dir_all(&node.data_dir)), (&node.log, fs::remove_file(&node.log))]
            {
                if let Err(source) = removed
                    && source.kind() != io::ErrorKind::NotFound
                {
                    return Err(TestnetError::File { doing: "remove", path: path.clone(), source });
                }
            }
        }
        self.save()
    }

    /// All ids by number; nought for a node that never was ready.
    #[must_use]
    pub fn ids(&self) -> Vec<NodeId> {
        let id = |text: &String| Hex::try_from(text.clone()).map_or(NodeId([0; 32]), |Hex(id)| NodeId(id));
        self.state.nodes.iter().map(|node| id(&node.id)).collect()
    }

    /// The nodes that keep no diary, by number.
    #[must_use]
    pub fn without_diary(&self) -> Vec<u32> {
        let keeps = |index: &u32| self.state.cast.parts.get(index).is_some_and(|part| part.diary);
        self.state.nodes.iter().map(|node| node.index).filter(|index| !keeps(index)).collect()
    }

    /// The program that nodes with parts run: it lies where `pald` does.
    ///
    /// # Errors
    /// It is not there.
    pub fn hostile_program(&self) -> Result<PathBuf, TestnetError> {
        find_program(HOSTILE, self.state.pald.parent())
    }
}
