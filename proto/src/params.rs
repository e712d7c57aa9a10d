//! Every size and limit of the formats, each derived from the ones above it, with its reason.

/// Bytes of a shard: the only bulk thing that nodes store. Large, since the public-key work of an onion packet costs the
/// same for any size (docs/decisions/0002-onion-body.md).
pub const SHARD_BYTES: usize = 64 * 1024;
/// Bytes of an authentication tag of ChaCha20-Poly1305 (RFC 8439).
pub const TAG_BYTES: usize = 16;
/// Bytes of plaintext in one data shard: the shard less its tag.
pub const SEGMENT_BYTES: usize = SHARD_BYTES - TAG_BYTES;
/// The numbers of data shards that a stripe may have, ascending. Few, so that they tell little of a file's length.
pub const DATA_SHARDS: [u8; 6] = [2, 4, 8, 16, 32, 64];
/// Data shards of a full stripe.
pub const DATA_SHARDS_MAX: usize = 64;
/// All shards of a stripe at most: what Reed-Solomon over GF(2⁸) can tell apart, less one.
pub const STRIPE_SHARDS_MAX: usize = 255;
/// Bytes of plaintext in a full stripe, and so of a full pack.
pub const PACK_BYTES_MAX: usize = DATA_SHARDS_MAX * SEGMENT_BYTES;

/// FastCDC's bounds on a chunk, in bytes.
pub const CHUNK_BYTES_MIN: usize = 64 * 1024;
/// The chunk size that FastCDC aims at, in bytes.
pub const CHUNK_BYTES_AVG: usize = 256 * 1024;
/// The chunk size at which FastCDC cuts in any case, in bytes.
pub const CHUNK_BYTES_MAX: usize = 1024 * 1024;
/// Chunks that a publish remembers for deduplication (64 GiB of content at the average size, 16 MiB of memory); what
/// follows is published without looking back further.
pub const DEDUP_CHUNKS_MAX: usize = 1 << 18;
/// Extents that a manifest may hold; a publish that reaches the limit stops deduplicating.
pub const EXTENTS_MAX: usize = 1 << 14;
/// Levels of reference streams under a manifest: each level holds some 600 times what the one above it holds.
pub const LEVELS_MAX: usize = 6;
/// Content up to this many bytes lies in the link itself.
pub const LINK_CONTENT_BYTES_MAX: usize = 64;
/// Content up to this many bytes lies in the root pack, so that a small file costs one stripe and not two.
pub const INLINE_CONTENT_BYTES_MAX: usize = 128 * 1024;
/// Bytes of a file at most: far beyond any disk, far below an overflow.
pub const FILE_BYTES_MAX: u64 = 1 << 50;

/// Bytes of a Sphinx header of `sphinx-packet` 0.8.0, version 260, five hops at most.
pub const HEADER_BYTES: usize = 348;
/// Bytes of a reply block: header, first hop, one payload key seed.
pub const REPLY_BLOCK_BYTES: usize = HEADER_BYTES + 32 + 16;
/// Bytes of a small packet: requests, receipts, refusals.
pub const SMALL_PACKET_BYTES: usize = 2048;
/// Bytes that a large packet has for all but the shard: tag, frame, reply block, lease.
pub const LARGE_FRAME_BYTES: usize = 512;
/// Bytes of a large packet: one shard or record, and its frame.
pub const LARGE_PACKET_BYTES: usize = HEADER_BYTES + SHARD_BYTES + LARGE_FRAME_BYTES;
/// Bytes of a packet's body behind its header, small.
pub const SMALL_BODY_BYTES: usize = SMALL_PACKET_BYTES - HEADER_BYTES;
/// Bytes of a packet's body behind its header, large.
pub const LARGE_BODY_BYTES: usize = LARGE_PACKET_BYTES - HEADER_BYTES;
/// Bytes in front of the message inside an opened body: its length.
pub const FRAME_BYTES: usize = 4;
/// Bytes of a message that fit a small packet.
pub const SMALL_MESSAGE_BYTES_MAX: usize = SMALL_BODY_BYTES - TAG_BYTES - FRAME_BYTES;
/// Bytes of a message that fit a large packet.
pub const LARGE_MESSAGE_BYTES_MAX: usize = LARGE_BODY_BYTES - TAG_BYTES - FRAME_BYTES;
/// Hops of a route at most: what the header has room for.
pub const HOPS_MAX: usize = 5;
/// The longest delay, in milliseconds, that a relay grants a packet: a sender's wish beyond it drops the packet, since
/// a held packet is held memory.
pub const DELAY_MS_MAX: u64 = 10_000;
/// Replay tags that a relay remembers for one onion key; the key is rotated early at 7/8 of it.
pub const REPLAY_TAGS_MAX: usize = 1 << 20;

/// Names (locators, record addresses) in one probe or renewal: what fits a small packet beside the reply block.
pub const PROBE_LOCATORS_MAX: usize = 32;
/// Bytes of a shard that one audit proves: a chunk of BLAKE3, the least that its tree tells apart.
pub const AUDIT_LEAF_BYTES: usize = 1024;
/// Leaves of a shard.
pub const AUDIT_LEAVES: usize = SHARD_BYTES / AUDIT_LEAF_BYTES;
/// Levels of the tree over a shard's leaves.
pub const PROOF_LEVELS: usize = AUDIT_LEAVES.ilog2() as usize;
/// Bytes of an audit's proof: the leaf, and one hash of each level.
pub const PROOF_BYTES: usize = AUDIT_LEAF_BYTES + PROOF_LEVELS * 32;
/// Bytes of a record at most.
pub const RECORD_BYTES_MAX: usize = 8 * 1024 + 512;
/// Records in one put of several.
pub const RECORDS_PUT_MAX: usize = 32;
/// Bytes that the records of one put may have, each with its address and length: what a large packet leaves them.
pub const RECORDS_PUT_BYTES_MAX: usize = LARGE_MESSAGE_BYTES_MAX - (1 + REPLY_BLOCK_BYTES + 8 + 8 + 2);
/// Bytes that a record in such a put has in front of it: address and length.
pub const RECORD_HEAD_BYTES: usize = 32 + 4;
/// Nodes nearest to an address that may hold what belongs there (Kademlia's k).
pub const CANDIDATES: usize = 20;
/// Nodes beside those that may hold a shard when all of those are full. Where one node in seven has room, 1 in 180 shards finds
/// none among so many.
pub const DIVERSIONS: usize = 32;
/// Nodes beside the candidates that are asked where ids were ground next to a place: who wants to hide all of the honest ones
/// needs more ids than that, at every place.
pub const REGION_NODES_MAX: usize = 256;
/// Addresses under which a descriptor record is kept.
pub const RECORD_ADDRESSES: usize = 3;
/// The longest lease that a node grants, in seconds: a year and a day.
pub const LEASE_SECONDS_MAX: u64 = 366 * 86_400;
/// The lease of a publish, in seconds, unless the publisher says otherwise.
pub const LEASE_SECONDS_DEFAULT: u64 = 90 * 86_400;

/// Nodes in a node table at most (about 40 MiB); larger networks are sampled.
pub const TABLE_NODES_MAX: usize = 1 << 16;
/// Node descriptors in one message of an exchange of tables at most. More come with the next exchange.
pub const EXCHANGE_DESCRIPTORS_MAX: usize = 1_024;
/// Zero bits with which the hash of a node's id begins: some 1,000 keys are made before one serves, 15 ms of one core. Who
/// wants ids at places of his choice pays that for each try.
pub const NODE_PUZZLE_BITS: u32 = 10;
/// Addresses in a node descriptor.
pub const NODE_ADDRESSES_MAX: usize = 8;
/// Bytes of one address in a node descriptor (a binary multiaddr).
pub const NODE_ADDRESS_BYTES_MAX: usize = 128;
/// Bytes of an encoded, signed node descriptor at most.
pub const NODE_DESCRIPTOR_BYTES_MAX: usize = 256 + NODE_ADDRESSES_MAX * (NODE_ADDRESS_BYTES_MAX + 2);
/// Seconds for which a node's descriptor is valid at most: a node gone for that long is forgotten.
pub const NODE_VALID_SECONDS_MAX: u64 = 7 * 86_400;
/// Seconds by which clocks may differ.
pub const CLOCK_SKEW_SECONDS: u64 = 3_600;

const _: () = assert!(DATA_SHARDS[DATA_SHARDS.len() - 1] as usize == DATA_SHARDS_MAX);
// A stored shard travels with its lease, its stamp and the reply block.
const _: () = assert!(1 + REPLY_BLOCK_BYTES + 8 + 8 + SHARD_BYTES <= LARGE_MESSAGE_BYTES_MAX);
// A renewal, and so a probe, travels in a small packet.
const _: () = assert!(1 + REPLY_BLOCK_BYTES + 8 + 8 + 2 + PROBE_LOCATORS_MAX * 32 <= SMALL_MESSAGE_BYTES_MAX);
// A proof comes in a small packet, and its tree is a full one.
const _: () = assert!(PROOF_BYTES < SMALL_MESSAGE_BYTES_MAX);
const _: () = assert!(AUDIT_LEAVES.is_power_of_two() && AUDIT_LEAVES * AUDIT_LEAF_BYTES == SHARD_BYTES);
// The widest stripe's descriptor is a record.
const _: () = assert!(2 + STRIPE_SHARDS_MAX * 32 <= RECORD_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX + REPLY_BLOCK_BYTES + 64 <= LARGE_MESSAGE_BYTES_MAX);
const _: () = assert!(RECORD_HEAD_BYTES + RECORD_BYTES_MAX <= RECORDS_PUT_BYTES_MAX);
