//! The floor: the newest final block, which every chain that counts contains (PROTOCOL §1, fork choice; §4).
//!
//! Its header may come later than the word of it. Until then a header at its height is refused unless it is that very
//! block, and the main chain ends below. As soon as the header is here, all branches that leave it out are dropped
//! and the main chain follows the path to it as far as bodies are here. Finality never goes backwards, but by a reset.

use alloc::{collections::BTreeSet, vec::Vec};

use super::{Chain, ChainError, Inserted, index_of};
use crate::{
    block::Block,
    enterprise::FinalBlock,
    hash::Hash,
    ids::{ChainId, Height},
};

/// What finality did to the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FloorChange {
    /// Blocks that left the main chain for good, tip first.
    pub abandoned: Vec<Block>,
    /// Blocks that left it for a heavier branch, now that their descendants are gone; tip first.
    pub disconnected: Vec<Block>,
    /// Blocks beside the main chain that were dropped.
    pub dropped: Vec<Hash>,
    /// Blocks that joined the main chain, lowest first.
    pub connected: Vec<Hash>,
}

/// A final block is not taken; the chain is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FinalityError {
    /// It is another chain's.
    #[error("a final block of chain {found}, this is {allowed}")]
    OtherChain {
        /// The chain met.
        found: ChainId,
        /// This chain.
        allowed: ChainId,
    },
    /// Two final blocks are not on one chain: whoever says what is final contradicts itself.
    #[error("final block {found} at height {height} contradicts the newest final block {known}")]
    Contradicts {
        /// Height of the new one.
        height: Height,
        /// The new one.
        found: Hash,
        /// The newest so far.
        known: Hash,
    },
    /// The block is here, with another height or work than is said.
    #[error("final block {found} is not at height {height} with the work that is said")]
    OtherBlock {
        /// The block.
        found: Hash,
        /// The height that is said.
        height: Height,
    },
}

impl Chain {
    /// Takes the word that a block is final. True if it is news; [`Chain::take_floor_change`] then says what it did.
    ///
    /// A lower one than the newest is no news.
    ///
    /// # Errors
    /// It is another chain's, contradicts the newest final block, or the block that is here.
    pub fn set_final(&mut self, block: FinalBlock) -> Result<bool, FinalityError> {
        let (found, allowed) = (block.chain_id(), self.id);
        if found != allowed {
            return Err(FinalityError::OtherChain { found, allowed });
        }
        let (height, hash) = (block.height(), block.hash());
        if let Some(node) = self.nodes.get(&hash)
            && (node.header.height != height || node.work != block.work())
        {
            return Err(FinalityError::OtherBlock {
                found: hash,
                height,
            });
        }
        if let Some(newest) = self.newest_final {
            self.check_with_newest(&block, &newest)?;
            if height <= newest.height() {
                return Ok(false);
            }
        }
        self.newest_final = Some(block);
        self.raise_floor();
        Ok(true)
    }

    /// The newest final block, if any is known.
    #[must_use]
    pub const fn newest_final(&self) -> Option<&FinalBlock> {
        self.newest_final.as_ref()
    }

    /// The newest final block whose header is here.
    #[must_use]
    pub fn floor(&self) -> Option<(Height, Hash)> {
        self.best_at(self.floor).map(|hash| (self.floor, hash))
    }

    /// True if the main chain contains the newest final block, or none is known.
    #[must_use]
    pub fn has_final(&self) -> bool {
        self.newest_final
            .is_none_or(|block| self.hash_at(block.height()) == Some(block.hash()))
    }

    /// Takes what finality did since it was asked last; to be asked after every header and block that went in.
    pub fn take_floor_change(&mut self) -> Option<FloorChange> {
        self.floor_change.take()
    }

    /// Refuses a header beside the path to the final block.
    pub(super) fn check_floor(&self, height: Height, hash: &Hash) -> Result<(), ChainError> {
        if self.void.contains(hash) {
            return Err(ChainError::LeavesFinal {
                hash: *hash,
                height,
                final_height: self.floor,
            });
        }
        let Some(newest) = &self.newest_final else {
            return Ok(());
        };
        let is_beside_floor = height <= self.floor && self.best_at(height) != Some(*hash);
        let is_beside_newest = height == newest.height() && *hash != newest.hash();
        if is_beside_floor || is_beside_newest {
            return Err(ChainError::LeavesFinal {
                hash: *hash,
                height,
                final_height: newest.height(),
            });
        }
        Ok(())
    }

    /// The best branch up to the floor is the path to the final block.
    fn best_at(&self, height: Height) -> Option<Hash> {
        index_of(height).and_then(|index| self.best.get(index).copied())
    }

    fn check_with_newest(
        &self,
        block: &FinalBlock,
        newest: &FinalBlock,
    ) -> Result<(), FinalityError> {
        let (height, found, known) = (block.height(), block.hash(), newest.hash());
        let contradicts = if height <= newest.height() {
            let is_other = |known: Option<Hash>| known.is_some_and(|known| known != found);
            (height == newest.height() && found != known)
                || (height <= self.floor && is_other(self.best_at(height)))
        } else {
            // A block that is here must have the older one below it.
            self.nodes.contains_key(&found)
                && self.path_down(&found, newest.height()).1 != newest.hash()
        };
        if contradicts {
            return Err(FinalityError::Contradicts {
                height,
                found,
                known,
            });
        }
        Ok(())
    }

    /// The hashes above `height` up to `tip`, lowest first, and the hash at `height`.
    fn path_down(&self, tip: &Hash, height: Height) -> (Vec<Hash>, Hash) {
        let (mut path, mut at) = (Vec::new(), *tip);
        while let Some(node) = self
            .nodes
            .get(&at)
            .filter(|node| node.header.height > height)
        {
            path.push(at);
            at = node.header.previous;
        }
        path.reverse();
        (path, at)
    }

    /// Makes the newest final block the floor if its header is here; cuts what leaves it out in either case.
    pub(super) fn raise_floor(&mut self) {
        let Some(newest) = self.newest_final else {
            return;
        };
        let known = self.nodes.get(&newest.hash());
        let mut change = self.floor_change.take().unwrap_or_default();
        if known.is_some_and(|node| node.header.height == newest.height()) {
            self.cut_to_path(&newest, &mut change);
            self.floor = newest.height();
        } else {
            self.cut_below(&newest, &mut change);
        }
        self.floor_change = (change != FloorChange::default()).then_some(change);
    }

    /// The final block's header is here: only what is above it, or on the way to it, stays.
    fn cut_to_path(&mut self, newest: &FinalBlock, change: &mut FloorChange) {
        let (path, below) = self.path_down(&newest.hash(), self.floor);
        let from = usize::try_from(self.floor.0).unwrap_or(usize::MAX);
        let on_main = path
            .iter()
            .zip(self.main.iter().skip(from))
            .take_while(|(wanted, found)| wanted == found)
            .count();
        let shared = self.main.len().min(from).saturating_add(on_main);
        let left = if on_main == path.len() {
            Vec::new()
        } else {
            self.disconnect_to(shared)
        };
        let left: BTreeSet<Hash> = left.into_iter().collect();
        let before = self.nodes.len();
        let mut parent = below;
        for hash in &path {
            let siblings = match self.nodes.get(&parent) {
                Some(node) => node.children.clone(),
                None => self.roots.clone(),
            };
            for sibling in siblings.iter().filter(|sibling| *sibling != hash) {
                self.drop_branch(sibling, &left, change);
            }
            parent = *hash;
        }
        if self.nodes.len() < before {
            self.find_best();
        }
        if !left.is_empty()
            && let Some(next) = path.get(on_main)
        {
            self.follow_from(next, change);
        }
    }

    /// Follows the heaviest complete branch through a block, after the main chain was cut.
    fn follow_from(&mut self, hash: &Hash, change: &mut FloorChange) {
        if let Ok(Inserted::Connected {
            disconnected,
            connected,
        }) = self.follow_heaviest(hash)
        {
            let left = disconnected.iter().filter_map(|hash| self.block(hash));
            change.disconnected.extend(left.cloned());
            change.connected.extend(connected);
        }
    }

    /// The final block's header is not here: nothing at its height or above can be on its chain.
    fn cut_below(&mut self, newest: &FinalBlock, change: &mut FloorChange) {
        let height = newest.height();
        let stay = index_of(height).unwrap_or(0);
        let left: BTreeSet<Hash> = self.disconnect_to(stay).into_iter().collect();
        let beside = self
            .nodes
            .iter()
            .filter(|(_, node)| node.header.height == height)
            .map(|(hash, _)| *hash);
        for hash in beside.collect::<Vec<_>>() {
            self.drop_branch(&hash, &left, change);
        }
        self.find_best();
        if !left.is_empty() {
            for root in self.roots.clone() {
                self.follow_from(&root, change);
            }
        }
    }

    pub(super) fn drop_branch(
        &mut self,
        hash: &Hash,
        left: &BTreeSet<Hash>,
        change: &mut FloorChange,
    ) {
        let mut removed = self.remove_branch(hash);
        removed.sort_by_key(|(_, block)| {
            core::cmp::Reverse(block.as_ref().map(|block| block.header().height))
        });
        for (hash, block) in removed {
            match block {
                Some(block) if left.contains(&hash) => change.abandoned.push(block),
                Some(_) => change.dropped.push(hash),
                None => {}
            }
        }
    }
}
