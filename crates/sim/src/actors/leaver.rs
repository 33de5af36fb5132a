//! The leaver: an honest miner with thirty times the power of all others that leaves for good. What it leaves behind is a
//! difficulty that the others can't meet; the chain must come back within 25 intervals.

use shared::node::MiningWhen;

use crate::{Random, host::Host};

/// How many times the others' power it has.
const POWER: f64 = 30.0;

/// The party; its machines are honest.
pub(crate) fn host(random: &mut Random, others: f64) -> Host {
    let mut host = Host::honest(random, 0, None);
    host.power = others * POWER;
    host.mining = MiningWhen::Always;
    host
}

/// When it leaves.
pub(crate) const fn leaves_at(trouble_ms: u64) -> u64 {
    trouble_ms / 3
}
