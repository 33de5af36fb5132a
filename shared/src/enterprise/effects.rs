//! What one enterprise block does to the tenants, computed and not yet applied.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::entry::Entry;
use super::finality::FinalBlock;
use super::reset::LogEntry;
use super::tenants::{Anchored, Tenant};
use crate::hash::Hash;
use crate::ids::{ChainId, Height, TimestampMs};
use crate::merkle::Frontier;

/// What the entries of one block do, not yet applied.
#[derive(Clone, Debug)]
pub struct Effects {
    pub(super) version: u16,
    pub(super) tenants: BTreeMap<ChainId, Tenant>,
    pub(super) anchored: BTreeMap<(ChainId, Hash), Anchored>,
    pub(super) main: BTreeMap<(ChainId, Height), Option<Hash>>,
    pub(super) first_reports: BTreeMap<(ChainId, Height), Option<TimestampMs>>,
    pub(super) incidents: BTreeSet<(ChainId, Hash)>,
    /// From which height on each reset voids, by its number.
    pub(super) voided_from: BTreeMap<(ChainId, u32), Height>,
    pub(super) entries: Vec<LogEntry>,
    pub(super) log: Frontier,
    pub(super) state_root: Hash,
}

impl Effects {
    pub(super) const fn none(version: u16, log: Frontier) -> Self {
        Self {
            version,
            tenants: BTreeMap::new(),
            anchored: BTreeMap::new(),
            main: BTreeMap::new(),
            first_reports: BTreeMap::new(),
            incidents: BTreeSet::new(),
            voided_from: BTreeMap::new(),
            entries: Vec::new(),
            log,
            state_root: Hash::ZERO,
        }
    }

    /// The state root after the block.
    #[must_use]
    pub const fn state_root(&self) -> Hash {
        self.state_root
    }

    /// What the log gets, in its order: first the blocks that become final, then each reset and what it leaves final.
    #[must_use]
    pub fn entries(&self) -> &[LogEntry] {
        &self.entries
    }

    /// The blocks that become final or, after a reset, stay so; in the order of the log.
    pub fn finals(&self) -> impl Iterator<Item = &FinalBlock> {
        self.entries.iter().filter_map(|entry| match entry {
            LogEntry::Final(block) => Some(block),
            LogEntry::Reset(_) => None,
        })
    }

    pub(super) fn log_entry(&mut self, entry: LogEntry) {
        self.log.push(entry.leaf());
        self.entries.push(entry);
    }

    /// The log after the block.
    #[must_use]
    pub const fn log(&self) -> &Frontier {
        &self.log
    }
}

/// The entries of a proposal.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Those that are valid, in order.
    pub entries: Vec<Entry>,
    /// What they do.
    pub effects: Effects,
    /// Those that can not become valid. What is in neither is early, or follows what is.
    pub refused: Vec<Entry>,
}
