//! Headers: their rules against the parent, and the path of the heaviest one.

use alloc::{vec, vec::Vec};

use super::{Chain, ChainError, HeaderInserted, Node, Tip, index_of};
use crate::{
    block::{Block, BlockError, check_header},
    difficulty,
    genesis::Rules,
    hash::Hash,
    header::Header,
    ids::{Height, TimestampMs, Work},
    limits,
    pow::CompactTarget,
};

/// What a header's rules need to know of its parent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent {
    pub(super) height: Height,
    pub(super) work: Work,
    pub(super) active_ms: u64,
    pub(super) timestamp: TimestampMs,
}

impl Parent {
    /// The target of a child with this timestamp.
    pub(super) fn child_target(&self, rules: &Rules, timestamp: TimestampMs) -> CompactTarget {
        let since = timestamp.since(self.timestamp);
        difficulty::next_target(rules, self.active_ms, self.height, since)
    }

    /// The rules of a child's header against this parent; answers its cumulative work and active time.
    pub(super) fn check_child(
        &self,
        rules: &Rules,
        header: &Header,
    ) -> Result<(Work, u64), BlockError> {
        if header.height != self.height.next() || header.height == self.height {
            return Err(BlockError::Height {
                found: header.height,
                allowed: self.height.next(),
            });
        }
        if header.timestamp <= self.timestamp {
            return Err(BlockError::Timestamp {
                found: header.timestamp,
                allowed: self.timestamp.plus_ms(1),
            });
        }
        let target = self.child_target(rules, header.timestamp);
        if header.target != target {
            return Err(BlockError::Target {
                found: header.target,
                allowed: target,
            });
        }
        let active = difficulty::active_ms(rules, header.timestamp.since(self.timestamp));
        Ok((
            self.work.plus(header.work()),
            self.active_ms.saturating_add(active),
        ))
    }
}

impl Chain {
    /// Takes a header of a known or new branch; its body may follow later.
    ///
    /// # Errors
    /// It breaks a rule, its parent is unknown or its time is too far ahead; nothing is stored then.
    pub fn insert_header(
        &mut self,
        header: Header,
        now: TimestampMs,
    ) -> Result<HeaderInserted, ChainError> {
        self.removed.clear();
        let hash = header.hash();
        if self.nodes.contains_key(&hash) {
            return Ok(HeaderInserted::AlreadyKnown);
        }
        let (work, active_ms) = self.check_linkage(&header, &hash, now)?;
        let previous = header.previous;
        let arrival = self.next_arrival();
        self.nodes.insert(
            hash,
            Node {
                header,
                work,
                active_ms,
                arrival,
                children: Vec::new(),
                body: None,
            },
        );
        match self.nodes.get_mut(&previous) {
            Some(parent) => {
                parent.children.push(hash);
                self.leaves.remove(&(parent.work, previous));
            }
            None => self.roots.push(hash),
        }
        self.leaves.insert((work, hash));
        self.extend_best(hash, work);
        if self.newest_final.is_some_and(|block| block.hash() == hash) {
            self.raise_floor();
        }
        self.prune_side_headers();
        Ok(HeaderInserted::Added)
    }

    /// Keeps every branch, however many there are, until [`Self::end_batch`]: of blocks that are put back the order says nothing
    /// of which were kept, and of those that come together the first may be light and the last heavy.
    pub const fn begin_batch(&mut self) {
        self.is_in_batch = true;
    }

    /// Keeps the heaviest branches only, from here on.
    pub fn end_batch(&mut self) {
        self.is_in_batch = false;
        self.removed.clear();
        self.prune_side_headers();
    }

    /// What left the tree since the last insertion, or the end of a batch, began: it was too light, or above a block that
    /// breaks a rule.
    #[must_use]
    pub fn removed(&self) -> &[(Height, Hash)] {
        &self.removed
    }

    /// The end of the heaviest branch of headers, bodies here or not.
    #[must_use]
    pub fn best_header(&self) -> Tip {
        self.tip_of(self.best.last())
    }

    pub(super) fn parent(&self, hash: &Hash) -> Option<Parent> {
        if *hash == self.id.0 {
            let timestamp = self.genesis.created_at;
            return Some(Parent {
                height: Height::GENESIS,
                work: Work::ZERO,
                active_ms: 0,
                timestamp,
            });
        }
        self.nodes.get(hash).map(|node| Parent {
            height: node.header.height,
            work: node.work,
            active_ms: node.active_ms,
            timestamp: node.header.timestamp,
        })
    }

    /// All rules of a header; answers its cumulative work and active time.
    fn check_linkage(
        &self,
        header: &Header,
        hash: &Hash,
        now: TimestampMs,
    ) -> Result<(Work, u64), ChainError> {
        for found in [*hash, header.previous] {
            if self.invalid.contains(&found) {
                return Err(BlockError::KnownInvalid { found }.into());
            }
        }
        let rules = &self.genesis.rules;
        check_header(header, rules)?;
        let previous = header.previous;
        let parent = self
            .parent(&previous)
            .ok_or(ChainError::UnknownParent { previous })?;
        let checked = parent.check_child(rules, header)?;
        let allowed = now.plus_ms(
            rules
                .interval()
                .saturating_mul(limits::FUTURE_INTERVALS_MAX),
        );
        if header.timestamp > allowed {
            return Err(ChainError::TooFarAhead {
                found: header.timestamp,
                allowed,
            });
        }
        self.check_floor(header.height, hash)?;
        Ok(checked)
    }

    /// Whether a header whose parent is here would be the best one.
    pub(super) fn would_lead(&self, header: &Header) -> bool {
        let parent = self.parent(&header.previous);
        parent.is_some_and(|parent| parent.work.plus(header.work()) > self.best_header().work)
    }

    /// Makes `hash` the best header if it is heavier than the one so far.
    fn extend_best(&mut self, hash: Hash, work: Work) {
        if work > self.best_header().work {
            self.set_best(hash);
        }
    }

    /// Writes the path of `tip` into `best`, from the top down until it meets what is there.
    pub(super) fn set_best(&mut self, tip: Hash) {
        let mut path = vec![];
        let mut hash = tip;
        let kept = loop {
            let Some(node) = self.nodes.get(&hash) else {
                break 0;
            };
            let Some(index) = index_of(node.header.height) else {
                break 0;
            };
            if self.best.get(index) == Some(&hash) {
                break index.saturating_add(1);
            }
            path.push(hash);
            hash = node.header.previous;
        };
        self.best.truncate(kept);
        self.best.extend(path.into_iter().rev());
    }

    /// Finds the best header anew, after some were removed.
    pub(super) fn find_best(&mut self) {
        // The path so far may lead into nothing: keep what is left of it.
        let kept = self
            .best
            .iter()
            .take_while(|hash| self.nodes.contains_key(*hash))
            .count();
        self.best.truncate(kept);
        let heaviest = self
            .nodes
            .iter()
            .max_by_key(|(_, node)| (node.work, core::cmp::Reverse(node.arrival)));
        if let Some((hash, node)) = heaviest
            && node.work > self.best_header().work
        {
            let hash = *hash;
            self.set_best(hash);
        }
    }

    /// Drops the lightest leaves beside main chain and best branch while there are too many.
    fn prune_side_headers(&mut self) {
        let spine = self.main.len().max(self.best.len());
        let nodes_max = spine.saturating_add(limits::SIDE_HEADERS_MAX);
        while self.nodes.len() > nodes_max && !self.is_in_batch {
            debug_assert_eq!(
                self.leaves.len(),
                self.nodes
                    .values()
                    .filter(|node| node.children.is_empty())
                    .count()
            );
            // At most the ends of main chain and best branch are passed over.
            let mut leaves = self.leaves.iter().map(|(_, hash)| *hash);
            let Some(lightest) = leaves.find(|hash| !self.is_on_spine(hash)) else {
                return;
            };
            self.remove_branch(&lightest);
        }
    }

    fn is_on_spine(&self, hash: &Hash) -> bool {
        let node = self.nodes.get(hash);
        let index = node.and_then(|node| index_of(node.header.height));
        index.is_some_and(|index| {
            self.main.get(index) == Some(hash) || self.best.get(index) == Some(hash)
        })
    }

    /// Removes a header and all above it; answers them, and the blocks of those whose body was here. Never called for main
    /// chain blocks.
    pub(super) fn remove_branch(&mut self, hash: &Hash) -> Vec<(Hash, Option<Block>)> {
        let Some(previous) = self.nodes.get(hash).map(|node| node.header.previous) else {
            return Vec::new();
        };
        match self.nodes.get_mut(&previous) {
            Some(parent) => {
                parent.children.retain(|child| child != hash);
                if parent.children.is_empty() {
                    self.leaves.insert((parent.work, previous));
                }
            }
            None => self.roots.retain(|child| child != hash),
        }
        let mut removed = Vec::new();
        let mut pending = vec![*hash];
        while let Some(hash) = pending.pop() {
            if let Some(node) = self.nodes.remove(&hash) {
                self.leaves.remove(&(node.work, hash));
                self.removed.push((node.header.height, hash));
                pending.extend(node.children);
                removed.push((hash, node.body.map(|body| body.block)));
            }
        }
        removed
    }

    pub(super) const fn next_arrival(&mut self) -> u64 {
        self.arrivals = self.arrivals.saturating_add(1);
        self.arrivals
    }
}
