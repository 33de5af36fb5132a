//! Seeded simulation of the real machines under virtual time.
//!
//! A [`Scenario`] is drawn from a seed: 3 to 50 nodes, the latencies between them, lost, repeated and overtaken relay frames,
//! breaking channels, pairs that never get one, clocks that are off, partitions that heal, crashes (also in the middle of a
//! write, of which a part stays) and restarts, late joiners, a tracker that comes and goes, hostile peers ([`Kind`]). [`run`] plays
//! it against [`shared::mesh::Mesh`] and [`shared::node::Node`], composed as in the browser, and judges the end: every
//! honest node on one chain, no transaction lost, no honest peer refused, the tracker holding what was reported. The same
//! seed gives the same [`Outcome::state_hash`].
//!
//! What is real: the machines, their messages, signalling, proof of work (ground at a low difficulty), signatures, records. What
//! is virtual: time, the tracker, data channels (ordered, reliable until they break), the disk (a write takes some ms and a
//! crash loses what was not written) and how long a miner takes, which is drawn from its virtual hash power.
//!
//! Deliberately not simulated: ICE and DTLS (a channel opens or it does not), JSON between wasm and JavaScript.

mod actors;
pub mod flood;
mod host;
mod random;
pub mod scale;
mod scenario;
pub mod shrink;
mod stack;
mod tracker;
mod verdict;
mod wire;
mod world;

pub use self::{
    actors::Kind,
    random::Random,
    scenario::{Scenario, Size},
    verdict::{Failure, Outcome},
    world::run,
};
