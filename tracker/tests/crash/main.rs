//! The tracker as a real process, killed at any time, over damaged files, sent signals, under abuse, and through a long outage of the validator.
//!
//! `DISTLI_CRASH_KILLS` says how often it is killed, `DISTLI_CRASH_SEED` when.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what failed by panicking; it drives real processes"
)]

mod abuse;
#[path = "../it/certificates.rs"]
#[expect(dead_code, reason = "the integration tests use what these do not")]
mod certificates;
mod client;
mod crowd;
mod damage;
mod kill;
mod outage;
mod process;
#[path = "../it/schema.rs"]
mod schema;
mod signals;
mod start;
#[path = "../it/support.rs"]
#[expect(dead_code, reason = "the integration tests use what these do not")]
mod support;

/// Xorshift, so that a seed is a schedule.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % limit
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    let text = std::env::var(name).ok();
    text.map_or(otherwise, |text| text.parse().unwrap())
}
