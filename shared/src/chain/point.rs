//! Where a chain stands after one block, on whatever branch: what is needed to judge the next one, without a [`Chain`].
//!
//! Validators execute every block that is to be anchored on its own parent, whatever chain they themselves follow. The
//! state is shared between points ([`SparseMap`]), so that one costs what its block changed.
//!
//! [`Chain`]: super::Chain

use super::{connect::execute, headers::Parent};
use crate::{
    block::{Block, BlockError, check_header},
    genesis::Genesis,
    hash::Hash,
    header::Header,
    ids::{Height, Work},
    snapshot::SnapshotError,
    state::SparseMap,
};

/// A chain right after one of its blocks.
#[derive(Debug, Clone)]
pub struct Point {
    hash: Hash,
    parent: Parent,
    state: SparseMap,
}

impl Point {
    /// Before the first block.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        Self {
            hash: genesis.chain_id().0,
            parent: Parent {
                height: Height::GENESIS,
                work: Work::ZERO,
                active_ms: 0,
                timestamp: genesis.created_at,
            },
            state: SparseMap::new(),
        }
    }

    /// Executes a block whose parent this point is after; whether its time is too far ahead is for the caller to say.
    ///
    /// # Errors
    /// The first rule that the block breaks.
    pub fn next(&self, genesis: &Genesis, block: &Block) -> Result<Self, BlockError> {
        let (found, allowed) = (block.chain_id(), genesis.chain_id());
        if found != allowed {
            return Err(BlockError::OtherChain { found, allowed });
        }
        let header = block.header();
        let (work, active_ms) = self.check_child(genesis, header)?;
        let (state, _) = execute(&self.state, block)?;
        Ok(Self {
            hash: block.hash(),
            parent: Parent {
                height: header.height,
                work,
                active_ms,
                timestamp: header.timestamp,
            },
            state,
        })
    }

    /// Follows a header whose body is not for us to see (a private network's): its own proof of work and the rules against
    /// its parent, in a chain of which only headers are known.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn next_header(&self, genesis: &Genesis, header: &Header) -> Result<Self, BlockError> {
        check_header(header, &genesis.rules)?;
        let (work, active_ms) = self.check_child(genesis, header)?;
        Ok(Self {
            hash: header.hash(),
            parent: Parent {
                height: header.height,
                work,
                active_ms,
                timestamp: header.timestamp,
            },
            state: self.state.clone(),
        })
    }

    /// Whether a header may follow, whatever its body: its own proof of work and the rules against its parent.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn check_header(&self, genesis: &Genesis, header: &Header) -> Result<(), BlockError> {
        check_header(header, &genesis.rules)?;
        self.check_child(genesis, header).map(|_| ())
    }

    fn check_child(&self, genesis: &Genesis, header: &Header) -> Result<(Work, u64), BlockError> {
        check_child(&self.hash, &self.parent, genesis, header)
    }

    /// The state after the block.
    #[must_use]
    pub const fn state(&self) -> &SparseMap {
        &self.state
    }

    /// The height of the block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.parent.height
    }

    /// The work of all blocks up to it.
    #[must_use]
    pub const fn work(&self) -> Work {
        self.parent.work
    }
}

/// A chain right after one of its headers: what [`Point`] is without the state, so that no body can be executed on it.
#[derive(Debug, Clone, Copy)]
pub struct HeaderPoint {
    hash: Hash,
    parent: Parent,
    state_root: Hash,
}

impl HeaderPoint {
    /// Before the first block.
    #[must_use]
    pub fn genesis(genesis: &Genesis) -> Self {
        let Point {
            hash,
            parent,
            state,
        } = Point::genesis(genesis);
        let state_root = state.root();
        Self {
            hash,
            parent,
            state_root,
        }
    }

    /// Right after a header that follows: its proof of work and its rules are checked, its time against a clock is not.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn next(&self, genesis: &Genesis, header: &Header) -> Result<Self, BlockError> {
        let (work, active_ms) = self.check_header(genesis, header)?;
        Ok(Self {
            hash: header.hash(),
            parent: Parent {
                height: header.height,
                work,
                active_ms,
                timestamp: header.timestamp,
            },
            state_root: header.state_root,
        })
    }

    /// Whether a header may follow; answers its work and active time with all before it.
    ///
    /// # Errors
    /// The first rule that the header breaks.
    pub fn check_header(
        &self,
        genesis: &Genesis,
        header: &Header,
    ) -> Result<(Work, u64), BlockError> {
        check_header(header, &genesis.rules)?;
        check_child(&self.hash, &self.parent, genesis, header)
    }

    /// The point of a private network's block, whose state nobody sees here: only headers can follow it.
    #[must_use]
    pub fn of_private(&self) -> Point {
        Point {
            hash: self.hash,
            parent: self.parent,
            state: SparseMap::new(),
        }
    }

    /// The point with the state after it.
    ///
    /// # Errors
    /// [`SnapshotError::StateRoot`] when it is not the one that the header names.
    pub fn with_state(&self, state: SparseMap) -> Result<Point, SnapshotError> {
        let (found, allowed) = (state.root(), self.state_root);
        if found != allowed {
            return Err(SnapshotError::StateRoot { found, allowed });
        }
        Ok(Point {
            hash: self.hash,
            parent: self.parent,
            state,
        })
    }
}

fn check_child(
    hash: &Hash,
    parent: &Parent,
    genesis: &Genesis,
    header: &Header,
) -> Result<(Work, u64), BlockError> {
    if header.previous != *hash {
        return Err(BlockError::KnownInvalid {
            found: header.previous,
        });
    }
    parent.check_child(&genesis.rules, header)
}
