//! Blocks that can't go into the chain yet: orphans wait for their parent, held blocks for the clock.
//!
//! Both share one bound: [`limits::ORPHANS_MAX`] blocks, [`limits::ORPHAN_BYTES_MAX`] bytes, and
//! [`limits::ORPHANS_PER_PEER_MAX`] of one peer. A peer over its share loses its own oldest, a full pool its oldest of
//! all; whatever is lost comes again by sync. Proof of work was checked before a block comes here.
//!
//! Blocks from the node's own store that miss a parent (a damaged record) are kept without bound: they were in the
//! chain before, and nobody else may have them.

use alloc::{
    collections::{BTreeMap, BTreeSet},
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
    arrival: u64,
}

/// All waiting blocks.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    blocks: BTreeMap<Hash, Waiting>,
    by_parent: BTreeMap<Hash, Vec<Hash>>,
    /// Bounded ones, oldest first.
    order: BTreeMap<u64, Hash>,
    /// The same of each source: a flood must not make everything be looked at for each block.
    by_source: BTreeSet<(Source, u64)>,
    /// Held ones by their time.
    held: BTreeSet<(TimestampMs, Hash)>,
    arrivals: u64,
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
        self.arrivals = self.arrivals.saturating_add(1);
        let arrival = self.arrivals;
        if source != Source::Restored {
            self.make_room(bytes, source);
            self.order.insert(arrival, hash);
            self.by_source.insert((source, arrival));
            self.bytes = self.bytes.saturating_add(bytes);
        }
        if let Waits::Until(at) = waits {
            self.held.insert((at, hash));
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
                arrival,
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
            self.order.remove(&waiting.arrival);
            self.by_source.remove(&(waiting.source, waiting.arrival));
            self.bytes = self.bytes.saturating_sub(waiting.bytes);
        }
        if let Waits::Until(at) = waiting.waits {
            self.held.remove(&(at, *hash));
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
        let due = self.held.iter().take_while(|(at, _)| *at <= now);
        let mut hashes: Vec<Hash> = due.map(|(_, hash)| *hash).collect();
        hashes.sort_unstable();
        hashes.iter().filter_map(|hash| self.take(hash)).collect()
    }

    /// When the next held block's time comes.
    pub(super) fn due_at(&self) -> Option<TimestampMs> {
        self.held.first().map(|(at, _)| *at)
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
        let source = Source::Peer(peer);
        while let Some(oldest) = self.oldest_of(source) {
            self.take(&oldest);
        }
    }

    fn make_room(&mut self, bytes: usize, source: Source) {
        let held = self.by_source.range((source, 0)..=(source, u64::MAX));
        if held.count() >= limits::ORPHANS_PER_PEER_MAX
            && source != Source::Offered
            && let Some(oldest) = self.oldest_of(source)
        {
            self.take(&oldest);
        }
        while self.order.len() >= limits::ORPHANS_MAX
            || self.bytes.saturating_add(bytes) > limits::ORPHAN_BYTES_MAX
        {
            let Some(oldest) = self.order.first_key_value().map(|(_, hash)| *hash) else {
                return;
            };
            self.take(&oldest);
        }
    }

    fn oldest_of(&self, source: Source) -> Option<Hash> {
        let mut own = self.by_source.range((source, 0)..=(source, u64::MAX));
        let (_, arrival) = own.next()?;
        self.order.get(arrival).copied()
    }
}
