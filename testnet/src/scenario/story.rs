//! What happened, as plain data: for the oracles, which know nothing else.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::censor::eclipse::Taken;

/// All that is known at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Story {
    /// What was published and fetched, in order.
    pub deeds: Vec<Deed>,
    /// What nodes say of their space, of those that answer at the end.
    pub accounts: Vec<Account>,
    /// Nodes that run at the end and say nothing.
    pub silent: usize,
    /// Bytes that each node was given.
    pub quota: u64,
    /// What was found on disks.
    pub disks: Vec<Disk>,
    /// What nodes saw of clients; none where nobody can look over their shoulders.
    pub watched: Option<Watched>,
    /// What is in node tables; none where nobody lies about them.
    pub tables: Option<Tables>,
    /// Streams of slow peers that nodes have ended; none where there are no such peers.
    pub ended_slow: Option<usize>,
    /// What Sybils took, by the step in which they came, from 0.
    pub eclipses: BTreeMap<usize, Taken>,
    /// What a flood of rubbish did; none where there was none.
    pub flood: Option<Flooded>,
}

impl Story {
    /// The first fetch after a step: of the first file, which is the one that is eclipsed.
    #[must_use]
    pub fn fetch_after(&self, step: usize) -> Option<&Deed> {
        self.deeds.iter().find(|deed| deed.step > step && deed.kind == Kind::Fetch)
    }
}

/// What a flood of rubbish did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flooded {
    /// What became of the rubbish.
    pub rubbish: Rubbish,
    /// Shards of all that was published before it began which nodes had then.
    pub before: Held,
    /// The same at its end.
    pub after: Held,
}

/// How many shards of what was published nodes have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Held {
    /// Nobody counts: nodes of this stage give up nothing that they have.
    #[default]
    Uncounted,
    /// They were to be counted, and could not be.
    Unknown,
    /// So many.
    Shards(usize),
}

/// What became of files that nobody wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rubbish {
    /// Those that were published.
    pub placed: usize,
    /// Those whose publish failed. What was under way when the flood ended is not counted.
    pub failed: usize,
}

/// What is in the tables of honest nodes and of newcomers, where others lie about them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tables {
    /// Tables of nodes that were looked at.
    pub tables: usize,
    /// Honest nodes that live and are missing in some table, over all of them.
    pub missing: usize,
    /// Of these such as are missing in tables of newcomers.
    pub untold: usize,
    /// Honest nodes that live and are believed lost, over all tables that say so.
    pub forsaken: usize,
    /// Nodes that were made up, over all tables of nodes.
    pub made_up: usize,
    /// Of these such as are not believed lost; none, where tables were looked at that do not say so.
    pub believed: Option<usize>,
    /// Tables of newcomers that were looked at.
    pub newcomers: usize,
    /// Nodes that were made up, over all tables of newcomers.
    pub told: usize,
    /// Nodes that nobody made up and that never were members: their ids cost no work.
    pub unknown: usize,
}

/// What the nodes saw of those who used them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watched {
    /// Clients that asked for something.
    pub clients: usize,
    /// The users that these are: one who comes again is another client, with the guard that it had.
    pub users: usize,
    /// Requests that were seen from end to end.
    pub requests: usize,
    /// Sights of a client that only its guard may have, and that another node had.
    pub complaints: Vec<String>,
    /// What a coalition made of its sights, if the scenario has one.
    pub coalition: Option<Pooled>,
}

/// What a coalition made of all that its nodes saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooled {
    /// Its nodes.
    pub nodes: usize,
    /// All nodes.
    pub of: usize,
    /// Clients with a guard among them.
    pub guarded: usize,
    /// Clients that it linked to something that they asked for.
    pub linked: usize,
    /// The users that these are.
    pub users_linked: usize,
    /// Of these such as have no guard among them.
    pub beyond: usize,
}

/// A publish or a fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deed {
    /// Which step it belongs to, from 0.
    pub step: usize,
    /// What.
    pub kind: Kind,
    /// From its beginning to its end, by the stage's clock: in a simulation time is virtual.
    pub took: Duration,
    /// How it ended.
    pub end: End,
    /// Shards that a fetch asked for, asked for twice ones among them; none where it does not say.
    pub asked: Option<u64>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file was published.
    Publish,
    /// A file was fetched.
    Fetch,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 2] = [Self::Publish, Self::Fetch];

    /// In a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Fetch => "fetch",
        }
    }
}

/// How a deed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As it should: what was fetched is what was published.
    Good,
    /// Something was handed out, and it is something else.
    WrongBytes,
    /// It said that it failed, and why.
    Failed(String),
    /// Nothing came before the deadline.
    TimedOut,
}

/// What a node says of its space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The node.
    pub node: u32,
    /// Bytes that it uses.
    pub used: u64,
    /// Bytes that it may use.
    pub quota: u64,
    /// Requests for space for which it asked for a stamp, and got one that paid.
    pub paid: u64,
    /// The same, refused since the stamp did not pay.
    pub unpaid: u64,
}

/// What a search of one node's disk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The node.
    pub node: u32,
    /// Files that should tell nothing and do, or why they could not be searched.
    pub found: Result<Vec<String>, String>,
    /// Bytes that its store takes on it, counted from outside; none if that could not be done.
    pub bytes: Option<u64>,
}
