//! The block tree of one chain: most cumulative work wins, first seen wins a tie.
//!
//! A pure value: headers and checked blocks go in, the main chain changes. Headers may come before bodies
//! ([`Chain::insert_header`]); the main chain only ever consists of blocks whose bodies are here and connect. Every
//! connected block keeps its undo data, so a reorganisation may be of any depth. It is all or nothing: when a block of
//! the heavier branch turns out invalid, the chain is exactly as before, and the block is remembered as invalid.
//!
//! Finality ([`Chain::set_final`]): only chains that contain the newest final block count; a header that leaves it out is
//! refused, and what left it out before is dropped. Only a reset of a private network's owner ([`Chain::reset`]) takes finality back.
//!
//! Bodies up to the floor may be missing ([`Chain::adopt`], [`Chain::prune_to`]); headers never are.
//!
//! Invariants: `main` is a path of connected blocks from the genesis; `state` is the state after its last block;
//! `best` is the path of the heaviest header; no invalid block is in `nodes`; every node's parent is in `nodes` or is
//! the genesis.
//!
//! Limits: [`INVALID_REMEMBERED_MAX`](crate::limits::INVALID_REMEMBERED_MAX) remembered hashes (the oldest is forgotten and would be checked again);
//! [`SIDE_HEADERS_MAX`](crate::limits::SIDE_HEADERS_MAX) headers beside main chain and best branch (the lightest leaf goes first). Proof of work
//! is checked before anything is stored. Blocks stay in memory.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

use crate::{
    block::{Block, BlockError},
    enterprise::FinalBlock,
    genesis::Genesis,
    hash::Hash,
    header::Header,
    ids::{ChainId, Height, PublicKey, Sequence, TimestampMs, Work},
    state::SparseMap,
};

mod connect;
mod finality;
mod headers;
mod point;
mod query;
mod reported;
mod reset;
mod snapshot;
mod template;

pub use finality::{FinalityError, FloorChange};
pub use point::{HeaderPoint, Point};
pub use reported::{ReportedChain, Voided};
pub use template::Template;

/// The end of a branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its height; 0 for the genesis.
    pub height: Height,
    /// Its hash; the chain id for the genesis.
    pub hash: Hash,
    /// Work of all blocks up to it.
    pub work: Work,
    /// Its timestamp; the creation time for the genesis.
    pub timestamp: TimestampMs,
}

/// A block tree with its main chain.
#[derive(Debug, Clone)]
pub struct Chain {
    genesis: Genesis,
    id: ChainId,
    nodes: BTreeMap<Hash, Node>,
    /// Children of the genesis.
    roots: Vec<Hash>,
    /// Nodes without children, the lightest first.
    leaves: BTreeSet<(Work, Hash)>,
    /// What left the tree since the last insertion began.
    removed: Vec<(Height, Hash)>,
    /// Whether every branch stays, however many there are.
    is_in_batch: bool,
    /// Main chain, height 1 first.
    main: Vec<Hash>,
    /// Path of the heaviest header, height 1 first.
    best: Vec<Hash>,
    state: SparseMap,
    /// Height of each transaction of the main chain.
    confirmed: BTreeMap<Hash, Height>,
    invalid: BTreeSet<Hash>,
    invalid_order: VecDeque<Hash>,
    arrivals: u64,
    /// The newest final block, its header here or not.
    newest_final: Option<FinalBlock>,
    /// Height of the newest final block whose header is here; every header above it is above that block.
    floor: Height,
    /// What finality did and nobody took yet.
    floor_change: Option<FloorChange>,
    /// Blocks that resets voided, the lowest of each.
    void: BTreeSet<Hash>,
    below: snapshot::Below,
}

#[derive(Debug, Clone)]
struct Node {
    header: Header,
    work: Work,
    /// A(h): active time up to this block, ms.
    active_ms: u64,
    /// When it became complete (or, without a body, known): the lower was seen first.
    arrival: u64,
    children: Vec<Hash>,
    body: Option<Body>,
}

#[derive(Debug, Clone)]
struct Body {
    block: Block,
    /// Senders' sequence numbers before the block, while it is connected.
    undo: Vec<(PublicKey, Sequence)>,
}

/// What became of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderInserted {
    /// It was here.
    AlreadyKnown,
    /// It is new; its body is missing.
    Added,
}

/// What became of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// It was here.
    AlreadyKnown,
    /// It is kept: on a lighter branch, or bodies below it are missing.
    Stored,
    /// The main chain changed.
    Connected {
        /// Blocks that left it, tip first.
        disconnected: Vec<Hash>,
        /// Blocks that joined it, lowest first.
        connected: Vec<Hash>,
    },
}

/// A header or block is not taken; the chain is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Its parent is not here; ask for what is between.
    #[error("parent {previous} is unknown")]
    UnknownParent {
        /// The parent's hash.
        previous: Hash,
    },
    /// Its time is too far ahead of the clock; it may be offered again then, and nobody is to blame.
    #[error("timestamp {found} is too far ahead, allowed now is {allowed}")]
    TooFarAhead {
        /// The header's timestamp.
        found: TimestampMs,
        /// The latest allowed now.
        allowed: TimestampMs,
    },
    /// It is on a branch that leaves the newest final block out. No rule of the chain is broken: who follows that branch
    /// may only not know of the finality yet.
    #[error("block {hash} at height {height} leaves out the final block at height {final_height}")]
    LeavesFinal {
        /// The block's hash.
        hash: Hash,
        /// Its height.
        height: Height,
        /// Height of the newest final block.
        final_height: Height,
    },
    /// It breaks a rule.
    #[error(transparent)]
    Invalid(#[from] BlockError),
}

impl Chain {
    /// The chain of a genesis, without blocks.
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        Self {
            id: genesis.chain_id(),
            genesis,
            nodes: BTreeMap::new(),
            roots: Vec::new(),
            leaves: BTreeSet::new(),
            removed: Vec::new(),
            is_in_batch: false,
            main: Vec::new(),
            best: Vec::new(),
            state: SparseMap::new(),
            confirmed: BTreeMap::new(),
            invalid: BTreeSet::new(),
            invalid_order: VecDeque::new(),
            arrivals: 0,
            newest_final: None,
            floor: Height::GENESIS,
            floor_change: None,
            void: BTreeSet::new(),
            below: snapshot::Below::default(),
        }
    }
}

/// Index of a height in `main` and `best`; none for the genesis.
fn index_of(height: Height) -> Option<usize> {
    usize::try_from(height.0).ok()?.checked_sub(1)
}

/// The height at an index of `main` and `best`.
fn height_of(index: usize) -> Height {
    Height(u32::try_from(index.saturating_add(1)).unwrap_or(u32::MAX))
}
