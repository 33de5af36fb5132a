//! Bodies that are not here: pruned ones, and those below a snapshot (PROTOCOL §1 state root, §2 snapshots).
//!
//! The lowest `base` blocks of the main chain may lack their bodies. Their headers are all here, so work, active time and
//! the state root at `base` are proved; the state there was executed here, or came in a snapshot with that root. `base`
//! never exceeds the floor, so no reorganisation needs what is missing.
//!
//! Missing bodies may be given later, in any order. They are executed from the genesis upwards, as far as they go without
//! a gap; when they reach `base` the chain is complete and no block was taken on trust.

use alloc::vec::Vec;

use super::{Body, Chain, ChainError, Inserted, connect::execute, height_of, index_of};
use crate::{
    block::Block,
    hash::Hash,
    ids::{Height, PublicKey, Sequence},
    snapshot::{Snapshot, SnapshotError},
    state::SparseMap,
};

/// What lies below the first body that is needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Below {
    /// So many blocks of the main chain may lack their bodies.
    pub(super) base: usize,
    /// The state after those.
    state: SparseMap,
    /// So many blocks of the main chain have no undo data.
    no_undo: usize,
    /// So many bodies from the genesis on were executed.
    executed: usize,
    /// The state after those.
    executed_state: SparseMap,
    /// Bodies that are here below `base`.
    held: usize,
    /// Blocks executed since they were asked for.
    filled: Vec<Hash>,
}

impl Below {
    /// So many blocks of the main chain can't be undone.
    pub(super) const fn no_undo(&self) -> usize {
        self.no_undo
    }

    /// All bodies are needed again.
    pub(super) fn clear(&mut self) {
        let filled = core::mem::take(&mut self.filled);
        *self = Self {
            filled,
            ..Self::default()
        };
    }
}

impl Chain {
    /// The lowest height from which on all bodies of the main chain are here.
    #[must_use]
    pub fn bodies_from(&self) -> Height {
        height_of(self.below.base)
    }

    /// True if bodies are here below [`Chain::bodies_from`].
    #[must_use]
    pub const fn has_bodies_below(&self) -> bool {
        self.below.held > 0
    }

    /// The state after a block of the main chain, if undo data reaches so far down.
    #[must_use]
    pub fn snapshot_at(&self, height: Height) -> Option<Snapshot> {
        let index = index_of(height)?;
        let hash = self.main.get(index)?;
        if index.saturating_add(1) < self.below.no_undo {
            return None;
        }
        let mut state = self.state.clone();
        for above in self.main.iter().skip(index.saturating_add(1)).rev() {
            let body = self.nodes.get(above)?.body.as_ref()?;
            for (sender, previous) in body.undo.iter().rev() {
                state.set(sender, *previous);
            }
        }
        let node = self.nodes.get(hash)?;
        Some(Snapshot::new(
            node.header.clone(),
            node.active_ms,
            node.work,
            state,
        ))
    }

    /// Continues from a snapshot instead of executing all bodies below it; answers the blocks that joined the main chain.
    ///
    /// # Errors
    /// Its block is not on the way to the newest final block, its sums are not those of the headers, or it is not needed;
    /// the chain is as before.
    pub fn adopt(&mut self, snapshot: &Snapshot) -> Result<Vec<Hash>, SnapshotError> {
        let (height, found) = (snapshot.header().height, snapshot.header().hash());
        let index = index_of(height).ok_or(SnapshotError::NotFinal { found })?;
        if height > self.floor || self.best.get(index) != Some(&found) {
            return Err(SnapshotError::NotFinal { found });
        }
        let node = self
            .nodes
            .get(&found)
            .ok_or(SnapshotError::NotFinal { found })?;
        if node.active_ms != snapshot.active_ms() || node.work != snapshot.work() {
            return Err(SnapshotError::Sums);
        }
        let before = self.main.len();
        if before > index {
            return Err(SnapshotError::NotNeeded);
        }
        let base = index.saturating_add(1);
        if self.below.base == 0 {
            self.below.executed = before;
            self.below.executed_state = self.state.clone();
        }
        let joined: Vec<Hash> = self.best.iter().take(base).skip(before).copied().collect();
        self.main.extend(&joined);
        self.state = snapshot.state().clone();
        (self.below.base, self.below.no_undo) = (base, base);
        self.below.state = self.state.clone();
        self.below.held = self.bodies_on_main(base);
        // Bodies below may have come before; one that does not execute is asked for again and blamed then.
        let _verdict = self.execute_below();
        let mut connected = joined;
        if let Some(next) = self.best.get(base).copied()
            && let Ok(Inserted::Connected {
                connected: above, ..
            }) = self.follow_heaviest(&next)
        {
            connected.extend(above);
        }
        Ok(connected)
    }

    /// Continues from the state after the newest final block, whose header is here.
    ///
    /// # Errors
    /// No block is known to be final, the state is not the one that its header names, or it is not needed; the chain is as before.
    pub fn adopt_at_floor(&mut self, state: SparseMap) -> Result<Vec<Hash>, SnapshotError> {
        let found = self.floor().map_or(self.id.0, |(_, hash)| hash);
        let node = self
            .nodes
            .get(&found)
            .ok_or(SnapshotError::NotFinal { found })?;
        let (root, allowed) = (state.root(), node.header.state_root);
        if root != allowed {
            let found = root;
            return Err(SnapshotError::StateRoot { found, allowed });
        }
        let snapshot = Snapshot::new(node.header.clone(), node.active_ms, node.work, state);
        self.adopt(&snapshot)
    }

    /// Forgets the bodies of the main chain up to `height`, which must not be above the floor; answers their hashes.
    ///
    /// Nothing is forgotten where undo data would be missing afterwards.
    pub fn prune_to(&mut self, height: Height) -> Vec<Hash> {
        let Some(state) = self
            .snapshot_at(height.min(self.floor))
            .map(|snapshot| snapshot.state().clone())
        else {
            return Vec::new();
        };
        let base = usize::try_from(height.min(self.floor).0).unwrap_or(usize::MAX);
        let mut pruned = Vec::new();
        for hash in self.main.iter().take(base) {
            let body = self.nodes.get_mut(hash).and_then(|node| node.body.take());
            let Some(Body { block, .. }) = body else {
                continue;
            };
            for transaction in block.transactions() {
                self.confirmed.remove(&transaction.id());
            }
            pruned.push(*hash);
        }
        let filled = core::mem::take(&mut self.below.filled);
        self.below = Below {
            base,
            state,
            no_undo: base,
            filled,
            ..Below::default()
        };
        pruned
    }

    /// Up to `max` blocks below [`Chain::bodies_from`] whose bodies are missing, lowest first.
    #[must_use]
    pub fn missing_below(&self, max: usize) -> Vec<(Height, Hash)> {
        let below = self.main.iter().enumerate().take(self.below.base);
        below
            .skip(self.below.executed)
            .filter(|(_, hash)| self.block(hash).is_none())
            .map(|(index, hash)| (height_of(index), *hash))
            .take(max)
            .collect()
    }

    /// Blocks below that were executed since this was asked last, lowest first.
    pub fn take_filled(&mut self) -> Vec<Hash> {
        core::mem::take(&mut self.below.filled)
    }

    /// True if a sequence was used by a block whose body is not here, so that nobody here can tell by which transaction.
    #[must_use]
    pub fn is_undecided(&self, sender: &PublicKey, sequence: Sequence) -> bool {
        self.below.base > 0
            && sequence < self.below.state.get(sender)
            && sequence >= self.below.executed_state.get(sender)
    }

    /// True if the block is on the main chain where bodies may be missing.
    pub(super) fn is_below_base(&self, hash: &Hash, height: Height) -> bool {
        index_of(height)
            .is_some_and(|index| index < self.below.base && self.main.get(index) == Some(hash))
    }

    /// Takes the body of a block below the base.
    pub(super) fn fill(&mut self, block: Block) -> Result<Inserted, ChainError> {
        let hash = block.hash();
        if let Some(node) = self.nodes.get_mut(&hash) {
            let undo = Vec::new();
            node.body = Some(Body { block, undo });
            self.below.held = self.below.held.saturating_add(1);
        }
        self.execute_below()?;
        Ok(Inserted::Stored)
    }

    /// Executes bodies from the genesis upwards until one is missing or the base is reached.
    fn execute_below(&mut self) -> Result<(), ChainError> {
        while self.below.executed < self.below.base {
            let height = height_of(self.below.executed);
            let Some(hash) = self.main.get(self.below.executed).copied() else {
                break;
            };
            let Some(body) = self.nodes.get(&hash).and_then(|node| node.body.as_ref()) else {
                return Ok(());
            };
            let ids: Vec<Hash> = body.block.transactions().iter().map(|t| t.id()).collect();
            match execute(&self.below.executed_state, &body.block) {
                Ok((state, _)) => self.below.executed_state = state,
                Err(error) => {
                    if let Some(node) = self.nodes.get_mut(&hash) {
                        node.body = None;
                        self.below.held = self.below.held.saturating_sub(1);
                    }
                    return Err(error.into());
                }
            }
            self.confirmed
                .extend(ids.into_iter().map(|id| (id, height)));
            self.below.executed = self.below.executed.saturating_add(1);
            self.below.filled.push(hash);
        }
        if self.below.base > 0 {
            let (no_undo, filled) = (self.below.no_undo, core::mem::take(&mut self.below.filled));
            self.below = Below {
                no_undo,
                filled,
                ..Below::default()
            };
        }
        Ok(())
    }

    fn bodies_on_main(&self, len: usize) -> usize {
        let hashes = self.main.iter().take(len);
        hashes.filter(|hash| self.block(hash).is_some()).count()
    }
}
