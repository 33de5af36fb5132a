//! How much room the blocks of a network take up, and how much they may.
//!
//! A block takes up its canonical bytes and [`limits::BLOCK_BESIDE_BYTES`] for what is kept beside them in memory and in the
//! store: of small blocks that is the greater part. Counted is what is in the store: a block that leaves the chain, by a
//! reset or because its branch is too light, leaves the store too and is counted back. Whatever the store held at the start
//! is kept and counted, also above a bound that was lowered; then nothing new is taken.

use std::collections::BTreeMap;

use shared::hash::Hash;

use super::Refusal;
use crate::limits;

/// How much room blocks may take up, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Those of one network.
    pub network_bytes_max: u64,
    /// Those of all networks together.
    pub total_bytes_max: u64,
}

impl Default for Capacity {
    fn default() -> Self {
        Self {
            network_bytes_max: mib(limits::NETWORK_MIB_MAX),
            total_bytes_max: mib(limits::TOTAL_MIB_MAX),
        }
    }
}

impl Capacity {
    /// From whole MiB; 0 for no bound.
    #[must_use]
    pub fn of_mib(network: u32, total: u32) -> Self {
        let bytes = |count: u32| if count == 0 { u64::MAX } else { mib(count) };
        Self {
            network_bytes_max: bytes(network),
            total_bytes_max: bytes(total),
        }
    }

    /// What one network may take while the others hold so much.
    pub(super) const fn beside(self, others_bytes: u64) -> Space {
        Space {
            capacity: self,
            others_bytes,
        }
    }
}

/// What one network may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    capacity: Capacity,
    others_bytes: u64,
}

impl Space {
    /// What the others hold, and this one's.
    pub(super) const fn total_with(self, own_bytes: u64) -> u64 {
        self.others_bytes.saturating_add(own_bytes)
    }

    /// Whether a network that has so much may take a block of this length.
    pub(super) fn admit(self, kept: u64, block_length: usize) -> Result<(), Refusal> {
        let kept_then = kept.saturating_add(taken_by(block_length));
        let allowed = self.capacity.network_bytes_max;
        if kept_then > allowed {
            let (found_mib, allowed_mib) = (kept / MIB, allowed / MIB);
            return Err(Refusal::NetworkFull {
                found_mib,
                allowed_mib,
            });
        }
        let allowed = self.capacity.total_bytes_max;
        if self.total_with(kept_then) > allowed {
            let (found_mib, allowed_mib) = (self.total_with(kept) / MIB, allowed / MIB);
            return Err(Refusal::StoreFull {
                found_mib,
                allowed_mib,
            });
        }
        Ok(())
    }
}

/// The blocks of one network that are in the store.
#[derive(Debug, Default)]
pub(super) struct Kept {
    blocks: BTreeMap<Hash, u64>,
    bytes: u64,
}

impl Kept {
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn add(&mut self, hash: Hash, block_length: usize) {
        let bytes = taken_by(block_length);
        let before = self.blocks.insert(hash, bytes).unwrap_or(0);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(bytes);
    }

    /// Counts a block of the store that is in no chain and stays where it is.
    pub(super) fn add_idle(&mut self, block_length: usize) {
        self.bytes = self.bytes.saturating_add(taken_by(block_length));
    }

    /// Counts a block back that left the chain; whether it was counted.
    pub(super) fn remove(&mut self, hash: &Hash) -> bool {
        let before = self.blocks.remove(hash);
        self.bytes = self.bytes.saturating_sub(before.unwrap_or(0));
        before.is_some()
    }
}

fn taken_by(block_length: usize) -> u64 {
    let length = u64::try_from(block_length).unwrap_or(u64::MAX);
    length.saturating_add(limits::BLOCK_BESIDE_BYTES)
}

const fn mib(count: u32) -> u64 {
    // A u32 fits any u64; `From` is not const.
    (count as u64).saturating_mul(MIB)
}

const MIB: u64 = 1024 * 1024;
