//! What a censor who has a link can do with it.
//!
//! - [`holders`]: who has the shards. That cannot be hidden from who may fetch: they are asked.
//! - [`users`]: who published and who read. What is answered has no field that names anybody, so that this takes nodes that look on.
//! - [`cost`]: what hiding it would cost, reckoned; nothing is touched.
//! - [`eclipse`]: what nodes took whose ids were ground next to its places, counted.

pub mod cost;
pub mod eclipse;
pub mod holders;
pub mod users;
