//! What a client does how often, how many at once, and for how long it waits, and at the end what nodes do to know each other: constants
//! that the simulator shares, so that its clients and nodes behave as the real ones do. What others rely on stands in
//! `palimpsest_proto::params`.

use std::ops::Range;
use std::time::Duration;

/// Stripes being placed at once (13 MiB each at `--survive 50%`), their shards in random order: enough that the last shards of
/// one overlap the first of the next, and that holders cannot tell small files' stripes by the order in which shards come.
pub const ACTIVE: usize = 3;
/// Stripes gathered, decoded or waiting to be given out at once: 4 MiB each, twice while being rebuilt.
pub const AHEAD: usize = 6;
/// The oldest of these, asked for in an order that chance decides: holders cannot tell small files' stripes by the order in which they are
/// asked. The others come when these want nothing more, so that there is always something on its way.
pub const MIXED: usize = 4;
/// Nodes near each address of a stripe's descriptor that are given it as a record; they become its wardens, and spread it to
/// the others. Two, so that with the six in all a stripe has a warden though half of the nodes die before it is spread.
pub const SEED_COPIES: usize = 2;
/// Shards fetched back as a proof: enough that holders who drop one in ten show with 95 %.
pub const PROOF_SAMPLE: usize = 32;
/// Tries for one sampled shard, over different paths.
pub const PROOF_TRIES: usize = 4;
/// Proofs of one publish: after one that failed, what holders turned out not to have is placed anew. Four, so that it ends well
/// where two of three nodes acknowledge and keep nothing: each round finds a third of them.
pub const PROOF_ROUNDS: u32 = 4;
/// Whether a proof of which so many shards of the `sampled` came is one. Holders may die between receipt and proof: up to a half of
/// them is what the code is for.
#[must_use]
pub const fn is_proof(came: usize, sampled: usize) -> bool {
    came * 2 >= sampled
}
/// Rounds for the root record, and the pause after the first of them; later ones are longer.
pub const RECORD_TRIES: u32 = 4;
/// See [`RECORD_TRIES`].
pub const RECORD_PAUSE: Duration = Duration::from_secs(2);
/// Guards tried before the bootstrap nodes are asked.
pub const GUARDS_TRIED_MAX: usize = 12;
/// After this long without a connection the next guard is tried beside the first one.
pub const GUARD_STAGGER: Duration = Duration::from_millis(700);
/// The guard knows who asks: it is asked for nothing itself while there is another. The factor on its chance to answer.
pub const GUARD_AS_HOLDER: f64 = 0.001;
/// Requests in a row of which it is said that nobody but the guard is to blame: a dozen guards that pass nothing on, each
/// found out after 32 silences (more, if hopeless ones are among them) and what had left meanwhile. Those that follow count as silences of whoever was asked, so
/// that a run without a network ends.
pub const UNSENT_MAX: u32 = 1024;
/// How often a question that a guard is thought to have swallowed is asked again without counting as a try: where all who
/// are left to be asked are silent, it is their guard that seems deaf, whichever it is.
pub const UNSENT_FREE: usize = 4;
/// How long a first run compares tables, once it has one.
pub const CROSS_CHECK: Duration = Duration::from_millis(800);
/// How long it waits for all of its bootstrap nodes, once one has answered: who lies is quick, and the only honest one may be slow.
pub const BOOTSTRAP_WAIT: Duration = Duration::from_millis(2_500);
/// Nodes beside the bootstrap nodes with whom a first run compares tables, all at once.
pub const CROSS_CHECKED: usize = 3;
/// Exchanges with one node in a row: enough for a full table at 1,024 descriptors each.
pub const SYNC_ROUNDS_MAX: usize = 64;

// What nodes do to know each other, which the simulator's nodes do as well.

/// The pause between two dials of nodes that were never met or are lost, and the longer one where many connections are open: those of the
/// former stay for a while.
pub const MEETING_PAUSES: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(2)];
/// Such dials under way: those of nodes that nobody is may take until their deadline.
pub const MEETINGS_MAX: usize = 8;
/// A connection must be up, handshakes included, after this long. Long enough for a handshake on a starved machine,
/// short enough that a host which swallows packets is found out soon.
pub const SETUP_DEADLINE: Duration = Duration::from_secs(8);
/// A node whose connection broke is dialled after a pause out of this range (ms), to tell a lost node from a lost
/// connection. Spread, since all who knew it do the same.
pub const VERIFY_MS: Range<u64> = 50..400;
/// An exchange of tables that a peer began must be over after this long, and so must the end of ours that is not waited for.
pub const INBOUND_EXCHANGE_DEADLINE: Duration = Duration::from_secs(15);
