//! Many nodes at once, on one machine.
//!
//! - [`censor`]: what who has a link can do with it.
//! - [`anonymity`]: what a coalition of nodes learns of readers and publishers, measured.
//! - [`checker`]: oracles that judge what happened by what was promised.
//! - [`docker`]: a network of containers, each node with an address of its own, with links, NAT and partitions.
//! - [`healing`]: what of the stripes is left in such a network, and what an all-knowing repairer would have moved.
//! - [`hostile`]: relays that do not pass on what they should.
//! - [`liars`]: nodes that lie about the node table.
//! - [`memory`]: a whole network in one process, for tests.
//! - [`model`]: how long a stripe lives while nodes come and go, computed and simulated.
//! - [`process`]: a network of `pald` processes on loopback: up, kill, start, down; `pal` run against it and measured.
//! - [`rank`]: percentiles, the same way everywhere.
//! - [`results`]: the page of results and its pictures.
//! - [`rot`]: bits that flip on nodes' disks.
//! - [`scenario`]: what befalls a network, as data, and the stages on which it is played.
//! - [`search`]: canaries: bytes that must stand nowhere on a node's disk or in its memory.
//! - [`slow`]: peers that let bytes trickle.
//! - [`survival`]: what is left of files when nodes die, predicted and measured.
//! - [`sybils`]: ids ground next to places.
//! - [`sim`]: networks that no machine has, in virtual time: look-ups, movement, load, durability, adversaries.
//! - [`sample`]: files of any size, the same bytes for the same seed, and their comparison.
//!
//! The command line `pal-testnet` (`src/bin/pal-testnet/`) is a thin skin over these, with the demo and the benchmarks.

pub mod anonymity;
pub mod censor;
pub mod checker;
pub mod docker;
pub mod healing;
pub mod hostile;
pub mod liars;
pub mod memory;
pub mod model;
pub mod process;
pub mod rank;
pub mod results;
pub mod rot;
pub mod sample;
pub mod scenario;
pub mod search;
pub mod sim;
pub mod slow;
pub mod survival;
pub mod sybils;
