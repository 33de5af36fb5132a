//! The validator as users meet it: a real server on a free port, its data directory, and the real program killed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what failed by panicking"
)]

mod backup;
mod damage;
mod document;
mod export;
mod finality;
mod measures;
mod pages;
mod private;
mod program;
mod reads;
mod server;
mod streams;
mod tenant;
mod updates;
