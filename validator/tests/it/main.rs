//! The validator as users meet it: a real server on a free port, its data directory, and the real program killed.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test says what failed by panicking"
)]

mod damage;
mod finality;
mod program;
mod reads;
mod server;
mod tenant;
mod updates;
