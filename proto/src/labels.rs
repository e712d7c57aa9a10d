//! Every domain-separation string, in the order of derivation. BLAKE3's `derive_key` contexts and signature prefixes.

/// Convergence secret and pack → stripe key.
pub const STRIPE_KEY: &str = "palimpsest 1 stripe key";
/// Convergence secret → gear table seed.
pub const GEAR_SEED: &str = "palimpsest 1 gear seed";
/// Convergence secret → key of the in-memory chunk ids.
pub const CHUNK_ID: &str = "palimpsest 1 chunk id";
/// Convergence secret → key of the publish journal's entries.
pub const JOURNAL: &str = "palimpsest 1 journal";
/// Descriptor → root address.
pub const ROOT_ADDRESS: &str = "palimpsest 1 root address";
/// Root address and number → record address.
pub const RECORD_ADDRESS: &str = "palimpsest 1 record address";
/// Link body → checksum.
pub const LINK_CHECKSUM: &str = "palimpsest 1 link checksum";
/// Sphinx payload key seed → keys of a body's layer.
pub const BODY_LAYER: &str = "palimpsest 1 body layer";
/// Sphinx payload key seed of the last hop → key of the body's AEAD.
pub const BODY_SEAL: &str = "palimpsest 1 body seal";
/// What a stamp is for → key of its puzzle.
pub const STAMP: &str = "palimpsest 1 stamp";
/// Locator → what ranks the nodes that take a shard when those near it are full.
pub const DIVERSION: &str = "palimpsest 1 diversion";
/// Name, turn and node → rank for whose turn it is.
pub const DUTY: &str = "palimpsest 1 duty";
/// Node id → what must begin with zeros.
pub const NODE_PUZZLE: &str = "palimpsest 1 node puzzle";
/// Signed node descriptors.
pub const NODE_DESCRIPTOR: &str = "palimpsest 1 node descriptor";

/// All of the above, for the test that none is a prefix of another.
pub const ALL: [&str; 14] = [
    STRIPE_KEY,
    GEAR_SEED,
    CHUNK_ID,
    JOURNAL,
    ROOT_ADDRESS,
    RECORD_ADDRESS,
    LINK_CHECKSUM,
    BODY_LAYER,
    BODY_SEAL,
    STAMP,
    DIVERSION,
    DUTY,
    NODE_PUZZLE,
    NODE_DESCRIPTOR,
];

#[cfg(test)]
mod tests {
    #[test]
    fn no_label_is_a_prefix_of_another() {
        for (i, a) in super::ALL.iter().enumerate() {
            for (j, b) in super::ALL.iter().enumerate() {
                assert!(i == j || !b.starts_with(a), "{a:?} is a prefix of {b:?}");
            }
        }
    }
}
