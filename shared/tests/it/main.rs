//! The core's rules from outside: foreign vectors, own pinned bytes, fork choice, mempool, difficulty.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail by panicking, and what is skipped is printed"
)]

mod chain;
mod difficulty;
mod encoding;
mod foreign_vectors;
mod fork_choice;
mod mempool;
mod own_vectors;
mod support;
mod transaction;
