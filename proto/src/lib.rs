//! What Palimpsest's machines say and decide, without touching the world: no sockets, no files, no clock, no dice.
//! Time and randomness are arguments. Each row below may import only the rows above it, except where
//! `docs/architecture.md` says more.

// Row 0: the small vocabulary
pub mod ids;
pub mod labels;
pub mod params;
pub mod secret;
pub mod time;

// Row 1 and 2: bytes, and the primitives over them
pub mod crypto;
pub mod wire;

// Row 3: the sciences; they do not know each other
pub mod coding;
pub mod content;
pub mod fair;
pub mod onion;
pub mod record;

// Row 4: whom to ask, and what is said
pub mod message;
pub mod select;

// Row 5: the machines that decide
pub mod flow;
