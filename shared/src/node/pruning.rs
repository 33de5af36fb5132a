//! What is kept of a long chain: everything, or headers, the state and the newest bodies (PROTOCOL §2, storage).
//!
//! A node that keeps recent bodies only drops those that are final, are known to the tracker, and lie deeper below the tip
//! than the user's number; so whatever may still be reorganised or reported stays. What continues the chain is durable
//! first, in this order: packed headers, the snapshot of the lowest state that is kept, then the deletions, in batches.
//! A crash anywhere in between leaves a store from which a start comes to the same tip: surplus blocks are deleted later.
//!
//! Records of several tabs do not harm each other: packed headers are named by what they hold, a snapshot by its height, and
//! a start uses the highest that fits.

use alloc::{vec, vec::Vec};

use super::{Change, Keep, Node, limits, records::Key};
use crate::{header::HEADER_BYTES, ids::Height};

/// What the store holds below the bodies.
#[derive(Debug, Default)]
pub(super) struct StoredBase {
    /// Packed headers: first height and number, ascending and without gap from height 1.
    headers: Vec<(u32, u32)>,
    /// Packed headers that others contain.
    surplus: Vec<(u32, u32)>,
    snapshots: Vec<Height>,
}

impl StoredBase {
    /// Notes what a start found, in any order.
    pub(super) fn note(&mut self, headers: &[(u32, u32)], snapshots: &[Height]) {
        let mut found = headers.to_vec();
        found.sort_by_key(|(first, count)| (*first, core::cmp::Reverse(*count)));
        for (first, count) in found {
            if first == self.next() {
                self.headers.push((first, count));
            } else {
                self.surplus.push((first, count));
            }
        }
        self.snapshots.extend(snapshots);
    }

    /// The lowest height whose header is not packed.
    fn next(&self) -> u32 {
        self.headers
            .last()
            .map_or(1, |(first, count)| first.saturating_add(*count))
    }

    /// Deletes everything: all bodies are here.
    pub(super) fn forget(&mut self) -> Vec<Change> {
        let packed = core::mem::take(&mut self.headers);
        let surplus = core::mem::take(&mut self.surplus);
        let snapshots = core::mem::take(&mut self.snapshots);
        let headers = packed.into_iter().chain(surplus);
        headers
            .map(|(first, count)| Key::Headers(first, count).delete())
            .chain(snapshots.into_iter().map(|at| Key::Snapshot(at).delete()))
            .collect()
    }
}

impl Node {
    /// Drops old bodies if the user wants that and enough have become old.
    pub(super) fn prune(&mut self) {
        let Some(target) = self.prune_target() else {
            return;
        };
        let held = self.chain.bodies_from().0.saturating_sub(1);
        let is_due = target.0 >= held.saturating_add(limits::PRUNE_STEP_BLOCKS);
        let has_surplus = self.chain.has_bodies_below() && target.0 >= held;
        if !(is_due || has_surplus) {
            return;
        }
        let snapshot = self.chain.snapshot_at(target);
        let Some(bytes) = snapshot.and_then(|snapshot| snapshot.encode()) else {
            // The state can't be kept apart from its blocks.
            return;
        };
        let pruned = self.chain.prune_to(target);
        self.store_snapshot(target, bytes);
        for some in pruned.chunks(limits::PRUNE_BATCH) {
            let deleted = some.iter().map(|hash| Key::Block(*hash).delete());
            self.persist(deleted.collect());
        }
    }

    /// The highest block whose body may go.
    fn prune_target(&self) -> Option<Height> {
        let Keep::Recent { blocks } = self.keep else {
            return None;
        };
        let (floor, _) = self.chain.floor()?;
        let (height, hash) = self.reporter.confirmed?;
        let is_known = self.chain.hash_at(height) == Some(hash);
        let depth = blocks.max(limits::KEEP_BLOCKS_MIN);
        let old = self.chain.tip().height.0.saturating_sub(depth);
        let target = Height(old).min(floor).min(height);
        (is_known && target > Height::GENESIS && self.timers.first_sync.is_none()).then_some(target)
    }

    /// Makes durable what continues the chain above a height without the bodies below.
    pub(super) fn store_snapshot(&mut self, height: Height, bytes: Vec<u8>) {
        let mut packed = Vec::new();
        let mut partial = None;
        if let Some(last) = self.stored_base.headers.last().copied()
            && last.1 < limits::HEADERS_PACKED
            && self.stored_base.next() <= height.0
        {
            self.stored_base.headers.pop();
            partial = Some(last);
        }
        while self.stored_base.next() <= height.0 {
            let first = self.stored_base.next();
            let left = height.0.saturating_sub(first).saturating_add(1);
            let count = left.min(limits::HEADERS_PACKED);
            packed.push(self.packed_headers(first, count));
            self.stored_base.headers.push((first, count));
        }
        let older = core::mem::replace(&mut self.stored_base.snapshots, vec![height]);
        for some in packed.chunks(limits::PACKED_BATCH) {
            self.persist(some.to_vec());
        }
        self.persist(vec![Key::Snapshot(height).put(bytes)]);
        let mut surplus = core::mem::take(&mut self.stored_base.surplus);
        surplus.extend(partial);
        let surplus = surplus
            .into_iter()
            .filter(|chunk| !self.stored_base.headers.contains(chunk))
            .map(|(first, count)| Key::Headers(first, count).delete());
        let older = older
            .into_iter()
            .filter(|at| *at != height)
            .map(|at| Key::Snapshot(at).delete());
        let deleted = surplus.chain(older).collect();
        self.persist(deleted);
    }

    fn packed_headers(&self, first: u32, count: u32) -> Change {
        let mut bytes = Vec::with_capacity(HEADER_BYTES.saturating_mul(count as usize));
        for height in first..first.saturating_add(count) {
            let hash = self.chain.hash_at(Height(height));
            if let Some(header) = hash.and_then(|hash| self.chain.header(&hash)) {
                bytes.extend(header.encode());
            }
        }
        Key::Headers(first, count).put(bytes)
    }
}
