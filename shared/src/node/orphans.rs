//! Blocks that can't go into the chain yet: orphans wait for their parent, held blocks for the clock.
//!
//! Both share one bound: [`limits::ORPHANS_MAX`] blocks, [`limits::ORPHAN_BYTES_MAX`] bytes, and
//! [`limits::ORPHANS_PER_PEER_MAX`] of one peer. A peer over its share loses its own oldest, a full pool its oldest of
//! all; whatever is lost comes again by sync. Proof of work was checked before a block comes here.
//!
//! Blocks from the node's own store that miss a parent (a damaged record) are kept without bound: they were in the
//! chain before, and nobody else may have them.

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec::Vec,
};

use super::limits;
use crate::{
    block::Block,
    hash::Hash,
    ids::{Height, PeerId, TimestampMs},
};

/// Where a block came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    Peer(PeerId),
    Offered,
    Mined,
    Restored,
}

/// What a block waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    ForParent,
    Until(TimestampMs),
}

/// A waiting block.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) block: Block,
    pub(super) source: Source,
    waits: Waits,
    bytes: usize,
}

/// All waiting blocks.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    blocks: BTreeMap<Hash, Waiting>,
    by_parent: BTreeMap<Hash, Vec<Hash>>,
    /// Bounded ones, oldest first.
    order: VecDeque<Hash>,
    bytes: usize,
}

impl Orphans {
    pub(super) fn contains(&self, hash: &Hash) -> bool {
        self.blocks.contains_key(hash)
    }

    pub(super) fn insert(&mut self, block: Block, bytes: usize, source: Source, waits: Waits) {
        let hash = block.hash();
        if self.blocks.contains_key(&hash) {
            return;
        }
        if source != Source::Restored {
            self.make_room(bytes, source);
            self.order.push_back(hash);
            self.bytes = self.bytes.saturating_add(bytes);
        }
        self.by_parent
            .entry(block.header().previous)
            .or_default()
            .push(hash);
        self.blocks.insert(
            hash,
            Waiting {
                block,
                source,
                waits,
                bytes,
            },
        );
    }

    pub(super) fn take(&mut self, hash: &Hash) -> Option<Waiting> {
        let waiting = self.blocks.remove(hash)?;
        let parent = waiting.block.header().previous;
        if let Some(siblings) = self.by_parent.get_mut(&parent) {
            siblings.retain(|sibling| sibling != hash);
            if siblings.is_empty() {
                self.by_parent.remove(&parent);
            }
        }
        if waiting.source != Source::Restored {
            self.order.retain(|other| other != hash);
            self.bytes = self.bytes.saturating_sub(waiting.bytes);
        }
        Some(waiting)
    }

    /// Number of waiting blocks.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Takes every block that waits for this parent.
    pub(super) fn take_children(&mut self, parent: &Hash) -> Vec<Waiting> {
        let children = self.by_parent.get(parent).cloned().unwrap_or_default();
        children
            .iter()
            .filter_map(|child| self.take(child))
            .collect()
    }

    /// Takes the held blocks whose time has come.
    pub(super) fn take_due(&mut self, now: TimestampMs) -> Vec<Waiting> {
        let due = |waiting: &Waiting| matches!(waiting.waits, Waits::Until(at) if at <= now);
        let hashes: Vec<Hash> = self
            .blocks
            .iter()
            .filter(|(_, w)| due(w))
            .map(|(hash, _)| *hash)
            .collect();
        hashes.iter().filter_map(|hash| self.take(hash)).collect()
    }

    /// When the next held block's time comes.
    pub(super) fn due_at(&self) -> Option<TimestampMs> {
        let times = self
            .blocks
            .values()
            .filter_map(|waiting| match waiting.waits {
                Waits::Until(at) => Some(at),
                Waits::ForParent => None,
            });
        times.min()
    }

    /// If stored blocks wait for a parent: the lowest missing height, and how many wait.
    pub(super) fn restored_gap(&self) -> Option<(Height, usize)> {
        let restored = || {
            self.blocks
                .values()
                .filter(|waiting| waiting.source == Source::Restored)
        };
        let lowest = restored()
            .map(|waiting| waiting.block.header().height)
            .min()?;
        Some((Height(lowest.0.saturating_sub(1)), restored().count()))
    }

    /// Forgets what a refused peer sent.
    pub(super) fn forget_peer(&mut self, peer: PeerId) {
        let of_peer = self.order_of(Source::Peer(peer));
        for hash in of_peer {
            self.take(&hash);
        }
    }

    fn make_room(&mut self, bytes: usize, source: Source) {
        let of_source = self.order_of(source);
        if of_source.len() >= limits::ORPHANS_PER_PEER_MAX
            && source != Source::Offered
            && let Some(oldest) = of_source.first()
        {
            self.take(oldest);
        }
        while self.order.len() >= limits::ORPHANS_MAX
            || self.bytes.saturating_add(bytes) > limits::ORPHAN_BYTES_MAX
        {
            let Some(oldest) = self.order.front().copied() else {
                return;
            };
            self.take(&oldest);
        }
    }

    fn order_of(&self, source: Source) -> Vec<Hash> {
        let is_of_source = |hash: &&Hash| {
            self.blocks
                .get(hash)
                .is_some_and(|waiting| waiting.source == source)
        };
        self.order.iter().filter(is_of_source).copied().collect()
    }
}
