//! Reading the chain: tips, blocks, locators, what is missing.

use alloc::{collections::VecDeque, vec::Vec};

use super::{Chain, Tip, height_of, index_of};
use crate::{
    block::Block,
    genesis::Genesis,
    hash::Hash,
    header::Header,
    ids::{ChainId, Height, PublicKey, Sequence, Work},
    limits,
};

impl Chain {
    /// The genesis.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The chain id.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.id
    }

    /// The end of the main chain; the genesis if it has no block.
    #[must_use]
    pub fn tip(&self) -> Tip {
        self.tip_of(self.main.last())
    }

    /// The header with this hash, on any branch.
    #[must_use]
    pub fn header(&self, hash: &Hash) -> Option<&Header> {
        self.nodes.get(hash).map(|node| &node.header)
    }

    /// How many headers are here, on all branches.
    #[must_use]
    pub fn header_count(&self) -> usize {
        self.nodes.len()
    }

    /// The block with this hash, on any branch, if its body is here.
    #[must_use]
    pub fn block(&self, hash: &Hash) -> Option<&Block> {
        self.nodes.get(hash)?.body.as_ref().map(|body| &body.block)
    }

    /// The hash at a height of the main chain; the chain id at 0.
    #[must_use]
    pub fn hash_at(&self, height: Height) -> Option<Hash> {
        match index_of(height) {
            None => Some(self.id.0),
            Some(index) => self.main.get(index).copied(),
        }
    }

    /// The block at a height of the main chain; none at 0.
    #[must_use]
    pub fn block_at(&self, height: Height) -> Option<&Block> {
        self.main
            .get(index_of(height)?)
            .and_then(|hash| self.block(hash))
    }

    /// True if the block is on the main chain (the genesis is).
    #[must_use]
    pub fn is_on_main(&self, hash: &Hash) -> bool {
        let height = if *hash == self.id.0 {
            Some(Height::GENESIS)
        } else {
            self.header(hash).map(|h| h.height)
        };
        height.and_then(|height| self.hash_at(height)) == Some(*hash)
    }

    /// Cumulative work up to a known header (zero for the genesis).
    #[must_use]
    pub fn work_of(&self, hash: &Hash) -> Option<Work> {
        self.parent(hash).map(|parent| parent.work)
    }

    /// True if the block was found invalid and is still remembered.
    #[must_use]
    pub fn is_invalid(&self, hash: &Hash) -> bool {
        self.invalid.contains(hash)
    }

    /// Up to `max` blocks of the best header's branch whose bodies are missing, lowest first.
    #[must_use]
    pub fn missing_bodies(&self, max: usize) -> Vec<(Height, Hash)> {
        let mut from = self.main.len().min(self.best.len());
        while from > 0 && self.main.get(from - 1) != self.best.get(from - 1) {
            from -= 1;
        }
        let above = self.best.iter().enumerate().skip(from);
        above
            .filter(|(_, hash)| self.block(hash).is_none())
            .map(|(index, hash)| (height_of(index), *hash))
            .take(max)
            .collect()
    }

    /// Up to `max` blocks on the way to a known header whose bodies are missing, lowest first.
    #[must_use]
    pub fn missing_bodies_to(&self, hash: &Hash, max: usize) -> Vec<(Height, Hash)> {
        let mut missing = VecDeque::new();
        let mut at = *hash;
        while let Some(node) = self.nodes.get(&at).filter(|_| !self.is_on_main(&at)) {
            if node.body.is_none() {
                missing.push_front((node.header.height, at));
                missing.truncate(max);
            }
            at = node.header.previous;
        }
        missing.into()
    }

    /// Hashes of the best header's branch, dense at its end, sparse towards the genesis, which is last.
    #[must_use]
    pub fn locator(&self) -> Vec<Hash> {
        let mut locator = Vec::new();
        let (mut left, mut step) = (self.best.len(), 1);
        while left > 0 && locator.len() + 1 < limits::LOCATOR_MAX {
            locator.extend(self.best.get(left - 1));
            if locator.len() >= LOCATOR_DENSE {
                step *= 2;
            }
            left = left.saturating_sub(step);
        }
        locator.push(self.id.0);
        locator
    }

    /// Up to `max` main chain headers above the first locator hash that is on the main chain.
    ///
    /// With none in common it starts above the genesis.
    #[must_use]
    pub fn headers_after(&self, locator: &[Hash], max: usize) -> Vec<Header> {
        let known = locator
            .iter()
            .take(limits::LOCATOR_MAX)
            .find(|hash| self.is_on_main(hash));
        let height = known
            .and_then(|hash| self.header(hash))
            .map_or(0, |header| header.height.0);
        let above = self
            .main
            .iter()
            .skip(usize::try_from(height).unwrap_or(usize::MAX));
        above
            .take(max)
            .filter_map(|hash| self.header(hash))
            .cloned()
            .collect()
    }

    /// The sender's next sequence number at the tip.
    #[must_use]
    pub fn next_sequence(&self, sender: &PublicKey) -> Sequence {
        self.state.get(sender)
    }

    /// Root of the state at the tip.
    #[must_use]
    pub fn state_root(&self) -> Hash {
        self.state.root()
    }

    /// The height at which a transaction is on the main chain.
    #[must_use]
    pub fn contains_transaction(&self, id: &Hash) -> Option<Height> {
        self.confirmed.get(id).copied()
    }

    /// The ends of all branches of headers.
    #[must_use]
    pub fn branch_tips(&self) -> Vec<Tip> {
        let leaves = self
            .nodes
            .iter()
            .filter(|(_, node)| node.children.is_empty());
        leaves.map(|(hash, _)| self.tip_of(Some(hash))).collect()
    }

    pub(super) fn tip_of(&self, hash: Option<&Hash>) -> Tip {
        hash.and_then(|hash| self.nodes.get_key_value(hash)).map_or(
            Tip {
                height: Height::GENESIS,
                hash: self.id.0,
                work: Work::ZERO,
                timestamp: self.genesis.created_at,
            },
            |(hash, node)| Tip {
                height: node.header.height,
                hash: *hash,
                work: node.work,
                timestamp: node.header.timestamp,
            },
        )
    }
}

/// So many hashes at a locator's start are without gaps.
const LOCATOR_DENSE: usize = 10;
