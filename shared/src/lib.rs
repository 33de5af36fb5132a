//! The rules of Distli Mesh, written once for browsers, tracker, validator and simulator.
//!
//! This crate decides and never acts: it has no clock, no randomness, no I/O and no `std`. Time comes in as
//! [`ids::TimestampMs`], randomness as seeds. What a stranger sends is parsed into types that cannot be wrong and is
//! answered with an error, never with a panic.
//!
//! - Values and bytes: [`hash`], [`ids`], [`identity`], [`encoding`], [`genesis`], [`transaction`], [`header`],
//!   [`block`], [`report`], [`merkle`], [`state`]; keys and seals of private networks: [`private`], [`succession`].
//! - Proof of work: [`pow`], [`difficulty`], [`miner`].
//! - Machines: [`chain`] (fork choice), [`mempool`], [`node`] (one peer), [`mesh`] (its links), [`enterprise`] (the
//!   anchoring chain), with [`message`], [`compact`], [`packing`] and [`frame`] between
//!   them.
//! - Every bound has its name in [`limits`].

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod block;
pub mod chain;
pub mod compact;
pub mod difficulty;
pub mod encoding;
pub mod enterprise;
pub mod frame;
pub mod genesis;
pub mod hash;
pub mod header;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod mempool;
pub mod merkle;
pub mod mesh;
pub mod message;
pub mod miner;
pub mod node;
pub mod packing;
pub mod pow;
pub mod private;
pub mod report;
pub mod snapshot;
pub mod state;
pub mod succession;
pub mod transaction;
