//! The whole system in one process, over the memory transport. One test binary, since each costs a link.
//! A failed expectation is a failed test.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test ends where it fails")]

mod anonymity;
mod canary;
mod censor;
mod clocks;
mod common;
mod contents;
mod flood;
mod forgeries;
mod guard;
mod healing;
mod liars;
mod metadata;
mod prices;
mod publish_fetch;
mod relays;
mod resume;
mod start;
mod strangers;
mod survival;
