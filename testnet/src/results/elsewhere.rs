//! What the literature and other systems report of the same things: a figure, and where it is from. Those of Tahoe-LAFS 1.20,
//! Tor 0.4.9 and GNUnet 0.19.3 were measured on a machine of the kind that ours were: two shared cores.

/// Half of the nodes fail at once, files are fetched.
pub(super) const HALF_DIES: &str = "CFS: “as many as half the servers fail” (SOSP 2001)";
/// Survival as predicted.
pub(super) const SURVIVAL: &str = "Glacier: six nines with 60 % gone, 11 × the storage (NSDI 2005)";
/// Look-ups among adversaries.
pub(super) const FOUND: &str = "S/Kademlia: 99 % at 20 %, disjoint paths (ICPADS 2007)";
/// Hops of a look-up.
pub(super) const HOPS: &str = "Chord: ½ log₂ N (ToN 2003)";
/// Movement at a join or a leave.
pub(super) const MOVED: &str = "consistent hashing: 1/n on average (STOC 1997)";
/// The fullest node.
pub(super) const LOAD: &str = "PAST: over 98 % used, fewer than 5 % of inserts fail (SOSP 2001)";
/// Ground ids.
pub(super) const SYBILS: &str = "IPFS: objects censored for a few dollars; 99.6 % found by density (NDSS 2024)";
/// Fetch of 0.5 MB.
pub(super) const FETCH: &str = "IPFS, no onion: 2.90 s, 4.74 s (SIGCOMM 2022)";
/// Publish of 0.5 MB.
pub(super) const PUBLISH: &str = "IPFS: 33.8 s (SIGCOMM 2022); 6 to 7 s lately";
/// The onion against a straight transfer.
pub(super) const ONION: &str = "Tor: 70 %, four relays on one machine (USENIX Security 2004)";
/// Readers that are found.
pub(super) const LINKED: &str =
    "Freenet: one passive neighbour names readers, about 2 % wrongly (Levine 2017; disputed by the project)";
/// Stripes over time.
pub(super) const LASTS: &str = "Freenet: about half of the chunks are there after a month (its users); Carbonite: none lost, repair 1.44 × an oracle's (NSDI 2006)";
/// Publish of 100 MiB.
pub(super) const PUBLISH_LARGE: &str = "Tahoe-LAFS 1.20, 3-of-10, no onion: 6.9 to 14.4 s";
/// Fetch of 100 MiB.
pub(super) const FETCH_LARGE: &str =
    "Tahoe-LAFS 1.20: 6.1 to 9.2 s; Tor 0.4.9, no storage: 7.7 to 15.2 s; GNUnet 0.19.3, anonymous: 10 MiB in 32.5 s";
