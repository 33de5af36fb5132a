//! Bodies: connecting, undoing, reorganising.

use alloc::vec::Vec;

use super::{Body, Chain, ChainError, Inserted, height_of, index_of};
use crate::{
    block::{Block, BlockError},
    hash::Hash,
    ids::{PublicKey, Sequence, TimestampMs},
    limits,
    state::SparseMap,
};

/// A block of a branch does not connect.
struct Broken {
    hash: Hash,
    error: BlockError,
}

impl Chain {
    /// Takes a whole block, and follows the heaviest chain that it completes.
    ///
    /// # Errors
    /// The block breaks a rule, its parent is unknown or its time is too far ahead; the main chain is as before.
    pub fn insert(&mut self, block: Block, now: TimestampMs) -> Result<Inserted, ChainError> {
        let (found, allowed) = (block.chain_id(), self.id);
        if found != allowed {
            return Err(BlockError::OtherChain { found, allowed }.into());
        }
        let hash = block.hash();
        if self.block(&hash).is_some() {
            return Ok(Inserted::AlreadyKnown);
        }
        self.insert_header(block.header().clone(), now)?;
        if self.is_below_base(&hash, block.header().height) {
            return self.fill(block);
        }
        let arrival = self.next_arrival();
        let Some(node) = self.nodes.get_mut(&hash) else {
            // A full tree dropped it at once: it is lighter than all it holds.
            return Ok(Inserted::Stored);
        };
        node.arrival = arrival;
        node.body = Some(Body {
            block,
            undo: Vec::new(),
        });
        self.follow_heaviest(&hash)
    }

    /// Remembers a block as invalid and drops it with all above it, unless it is on the main chain.
    ///
    /// For a block whose header is here and whose body was refused with an error that
    /// [is of the header](BlockError::is_of_header).
    pub fn invalidate(&mut self, hash: &Hash) {
        let index = self
            .nodes
            .get(hash)
            .and_then(|node| index_of(node.header.height));
        if index.is_some_and(|index| self.main.get(index) == Some(hash)) {
            return;
        }
        self.remember_invalid(*hash);
        for (removed, _) in self.remove_branch(hash) {
            self.remember_invalid(removed);
        }
        self.find_best();
    }

    /// Tries the heaviest complete branches above `new` until one connects or none is heavier.
    pub(super) fn follow_heaviest(&mut self, new: &Hash) -> Result<Inserted, ChainError> {
        let mut verdict = Ok(Inserted::Stored);
        while let Some((tip, fork)) = self.heaviest_complete(new) {
            match self.reorganise(&tip, fork) {
                Ok(inserted) => return Ok(inserted),
                Err(broken) => {
                    if broken.hash == *new || self.is_above(&broken.hash, new) {
                        verdict = Err(broken.error.into());
                    }
                    self.invalidate(&broken.hash);
                }
            }
        }
        verdict
    }

    /// True if `hash` lies on the way from `above` down to the genesis.
    fn is_above(&self, hash: &Hash, above: &Hash) -> bool {
        let mut at = *above;
        while let Some(node) = self.nodes.get(&at) {
            if at == *hash {
                return true;
            }
            at = node.header.previous;
        }
        false
    }

    /// The heaviest chain through `new` that is heavier than the main chain and has all bodies, and the number of main
    /// chain blocks it shares.
    fn heaviest_complete(&self, new: &Hash) -> Option<(Hash, usize)> {
        let mut best: Option<(Hash, _, u64)> = None;
        let mut pending = alloc::vec![*new];
        while let Some(hash) = pending.pop() {
            let Some(node) = self.nodes.get(&hash).filter(|node| node.body.is_some()) else {
                continue;
            };
            let better = best.is_none_or(|(_, work, arrival)| {
                node.work > work || (node.work == work && node.arrival < arrival)
            });
            if better {
                best = Some((hash, node.work, node.arrival));
            }
            pending.extend(&node.children);
        }
        // Only a branch that would win is followed down to its fork, which may be deep.
        let (tip, _, _) = best.filter(|(_, work, _)| *work > self.tip().work)?;
        self.fork_below(new).map(|fork| (tip, fork))
    }

    /// How many main chain blocks are below `hash`, if all bodies between are here.
    fn fork_below(&self, hash: &Hash) -> Option<usize> {
        let mut at = *hash;
        while at != self.id.0 {
            let node = self.nodes.get(&at)?;
            let index = index_of(node.header.height)?;
            if self.main.get(index) == Some(&at) {
                return Some(index.saturating_add(1));
            }
            node.body.as_ref()?;
            at = node.header.previous;
        }
        Some(0)
    }

    /// Makes `tip` the main chain's end, or changes nothing.
    fn reorganise(&mut self, tip: &Hash, fork: usize) -> Result<Inserted, Broken> {
        let branch = self.branch_above(tip, fork);
        let before = self.state.clone();
        let disconnected = self.disconnect_to(fork);
        for (done, hash) in branch.iter().enumerate() {
            if let Err(error) = self.connect(hash) {
                self.disconnect_to(fork);
                self.reconnect(disconnected.iter().rev(), before);
                debug_assert_eq!(
                    self.main.len(),
                    fork + disconnected.len(),
                    "after {done} blocks"
                );
                return Err(Broken { hash: *hash, error });
            }
        }
        let work = self.tip().work;
        if work > self.best_header().work {
            self.set_best(*tip);
        }
        Ok(Inserted::Connected {
            disconnected,
            connected: branch,
        })
    }

    /// The blocks from above main chain index `fork` up to `tip`, lowest first.
    fn branch_above(&self, tip: &Hash, fork: usize) -> Vec<Hash> {
        let mut branch = Vec::new();
        let mut at = *tip;
        while let Some(node) = self.nodes.get(&at) {
            if node.header.height <= height_of(fork.saturating_sub(1)) && fork > 0 {
                break;
            }
            branch.push(at);
            at = node.header.previous;
        }
        branch.reverse();
        branch
    }

    /// Applies a block to the state and puts it on the main chain, or changes nothing.
    fn connect(&mut self, hash: &Hash) -> Result<(), BlockError> {
        let height = height_of(self.main.len());
        let Some(body) = self.nodes.get_mut(hash).and_then(|node| node.body.as_mut()) else {
            // Callers connect complete branches only.
            return Err(BlockError::KnownInvalid { found: *hash });
        };
        let (state, undo) = execute(&self.state, &body.block)?;
        body.undo = undo;
        self.confirmed.extend(
            body.block
                .transactions()
                .iter()
                .map(|transaction| (transaction.id(), height)),
        );
        self.state = state;
        self.main.push(*hash);
        Ok(())
    }

    /// Takes blocks off the main chain until `len` are left; answers them, tip first.
    pub(super) fn disconnect_to(&mut self, len: usize) -> Vec<Hash> {
        let mut disconnected = Vec::new();
        while self.main.len() > len
            && let Some(hash) = self.main.pop()
        {
            if let Some(body) = self
                .nodes
                .get_mut(&hash)
                .and_then(|node| node.body.as_mut())
            {
                for (sender, previous) in body.undo.drain(..).rev() {
                    self.state.set(&sender, previous);
                }
                for transaction in body.block.transactions() {
                    self.confirmed.remove(&transaction.id());
                }
            }
            disconnected.push(hash);
        }
        disconnected
    }

    /// Puts blocks back that were on the main chain a moment ago.
    fn reconnect<'a>(&mut self, blocks: impl Iterator<Item = &'a Hash>, state: SparseMap) {
        for hash in blocks {
            let connected = self.connect(hash);
            debug_assert_eq!(
                connected,
                Ok(()),
                "a block that was connected connects again"
            );
        }
        debug_assert_eq!(self.state, state, "the state is as before");
        self.state = state;
    }

    fn remember_invalid(&mut self, hash: Hash) {
        if !self.invalid.insert(hash) {
            return;
        }
        self.invalid_order.push_back(hash);
        if self.invalid_order.len() > limits::INVALID_REMEMBERED_MAX
            && let Some(oldest) = self.invalid_order.pop_front()
        {
            self.invalid.remove(&oldest);
        }
    }
}

/// The state after a block and how to undo it, if its sequences and its state root are right.
pub(super) fn execute(
    before: &SparseMap,
    block: &Block,
) -> Result<(SparseMap, Vec<(PublicKey, Sequence)>), BlockError> {
    let mut state = before.clone();
    let mut undo = Vec::with_capacity(block.transactions().len());
    for (index, transaction) in block.transactions().iter().enumerate() {
        let (sender, found) = (transaction.sender(), transaction.sequence());
        let allowed = state.get(&sender);
        if found != allowed || found.next() == found {
            return Err(BlockError::Sequence {
                index,
                found,
                allowed,
            });
        }
        undo.push((sender, state.set(&sender, found.next())));
    }
    let (found, allowed) = (state.root(), block.header().state_root);
    if found != allowed {
        return Err(BlockError::StateRoot { found, allowed });
    }
    Ok((state, undo))
}
