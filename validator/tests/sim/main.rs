//! Several validators in one process and one virtual time: the real machines, with faults and hostile members.
//!
//! Each run is a function of its seed. What is checked at every step: all honest validators decide the same; none signs two
//! votes or proposals that exclude each other, also not across a crash; what was acknowledged is in the chain in the end,
//! once; every decided block is valid, as the observer finds who executes all of them; and after the faults end, the set goes on
//! deciding.
//!
//! `DISTLI_SIM_SEEDS` and `DISTLI_SIM_SECONDS` say how many further seeds are played; too little time for the seeds that were
//! asked for is a failure.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test says what failed by panicking; an actor changes some messages and lets all others pass"
)]

mod actors;
mod checks;
mod runs;
mod snapshots;
mod store;
#[path = "../it/tenant.rs"]
#[expect(dead_code, reason = "the integration tests use what these do not")]
mod tenant;
mod world;
