//! Resets of a private network, as its members' chains follow them (PROTOCOL §4).
//!
//! An executed reset voids what had become final from a height on. A chain lets go of the branch that it knew as final, and refuses
//! its lowest block from then on; what stays is the newest final block. Of a branch that was never known to be final here nobody
//! can tell whether it is void: there the next final block decides, as it does anywhere.
//!
//! Limits: one remembered hash a reset, of which there are [`RESETS_MAX`](crate::enterprise::RESETS_MAX) at most.

use alloc::collections::BTreeSet;

use super::{Chain, FinalityError, index_of};
use crate::{enterprise::Executed, hash::Hash, ids::Height, state::SparseMap};

impl Chain {
    /// Follows an executed reset; [`Chain::take_floor_change`] then says what it did. Answers the lowest void block, if one is
    /// known here.
    ///
    /// # Errors
    /// It is another chain's, or what stays is not on the way to the newest final block; the chain is as before.
    pub fn reset(&mut self, reset: &Executed) -> Result<Option<Hash>, FinalityError> {
        let of = reset.reset();
        let (found, allowed) = (of.chain_id, self.id);
        if found != allowed {
            return Err(FinalityError::OtherChain { found, allowed });
        }
        let newest = self.newest_final;
        if !newest.is_some_and(|newest| reset.voids(&newest)) {
            return Ok(None);
        }
        let below = Height(of.from.0.saturating_sub(1));
        let lowest = if self.floor > below {
            let known = self.final_at(below).unwrap_or(self.id.0);
            if known != of.stays {
                return Err(FinalityError::Contradicts {
                    height: below,
                    found: of.stays,
                    known,
                });
            }
            self.final_at(of.from)
        } else {
            None
        };
        self.floor = self.floor.min(below);
        if let Some(lowest) = lowest {
            self.void.insert(lowest);
            self.let_go(&lowest, below);
        }
        // Below the header of what stays the floor is what was final before.
        let stays = self.work_of(&of.stays).map(|work| (below, of.stays, work));
        let floor = self.final_at(self.floor);
        let floor = floor.and_then(|hash| Some((self.floor, hash, self.work_of(&hash)?)));
        let stays = stays.or(floor);
        self.newest_final =
            stays.and_then(|(height, hash, work)| reset.stays_final(height, hash, work));
        self.raise_floor();
        Ok(lowest)
    }

    /// Refuses a block that a reset voided before, and so whatever follows it.
    pub fn mark_void(&mut self, hash: Hash) {
        self.void.insert(hash);
    }

    /// The block at a height up to the floor.
    fn final_at(&self, height: Height) -> Option<Hash> {
        index_of(height).and_then(|index| self.best.get(index).copied())
    }

    /// Drops a branch of the path to the final block, down to the block at `below`.
    fn let_go(&mut self, lowest: &Hash, below: Height) {
        let stay = usize::try_from(below.0).unwrap_or(usize::MAX);
        let left: BTreeSet<Hash> = if stay < self.below.no_undo() {
            self.start_anew(stay)
        } else {
            self.disconnect_to(stay).into_iter().collect()
        };
        let mut change = self.floor_change.take().unwrap_or_default();
        self.drop_branch(lowest, &left, &mut change);
        self.floor_change = Some(change);
        self.find_best();
        for root in self.roots.clone() {
            // What is executed anew was valid before.
            let _followed = self.follow_heaviest(&root);
        }
    }

    /// Empties the main chain, where no undo data leads down to `stay`; answers what was above.
    fn start_anew(&mut self, stay: usize) -> BTreeSet<Hash> {
        let main = core::mem::take(&mut self.main);
        for hash in &main {
            let body = self.nodes.get_mut(hash).and_then(|node| node.body.as_mut());
            if let Some(body) = body {
                body.undo.clear();
            }
        }
        self.confirmed.clear();
        self.state = SparseMap::new();
        self.below.clear();
        main.into_iter().skip(stay).collect()
    }
}

#[cfg(test)]
mod tests;
