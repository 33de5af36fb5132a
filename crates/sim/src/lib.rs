//! Seeded simulation of the real node machine under virtual time.
//!
//! A [`Scenario`] is drawn from a seed: 3 to 50 nodes, their links, latencies, loss, repetition and reordering of
//! messages, clocks that are off, partitions that heal, crashes and restarts, late joiners, a tracker that comes and
//! goes, hostile peers. [`run`] plays it against [`shared::node::Node`] and judges the end: every honest node on one
//! chain, no transaction lost, no honest peer blamed, the tracker holding what was reported. The same seed gives the
//! same [`Outcome::state_hash`].
//!
//! What is real: the machine, its messages, proof of work (ground at a low difficulty), signatures, records. What is
//! virtual: time, the network, the disk (a write takes some ms and a crash loses what was not written) and how long a
//! miner takes, which is drawn from its virtual hash power.
//!
//! Deliberately not simulated: links and signalling (the mesh), chunks.

mod actors;
mod host;
mod network;
mod random;
mod scenario;
mod tracker;
mod verdict;
mod world;

pub use self::{
    random::Random,
    scenario::{Hostility, Scenario, Size},
    verdict::{Failure, Outcome},
    world::run,
};
