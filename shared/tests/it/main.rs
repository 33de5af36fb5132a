//! The core's rules from outside: foreign vectors, own pinned bytes, fork choice, mempool, difficulty.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test's helpers fail by panicking, and what is skipped is printed"
)]

#[cfg(target_arch = "wasm32")]
wasm_bindgen_test::wasm_bindgen_test_configure!(run_in_browser);

mod chain;
mod difficulty;
mod encoding;
mod foreign_vectors;
mod fork_choice;
mod mempool;
#[cfg(not(target_arch = "wasm32"))]
mod mempool_reference;
mod own_vectors;
#[cfg(not(target_arch = "wasm32"))]
mod reference;
mod second_opinion;
mod specification;
mod support;
mod transaction;
