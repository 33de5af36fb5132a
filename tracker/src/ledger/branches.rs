//! The blocks of one network as the tracker has them: whole ones of an open network, reported ones of a private.

use std::sync::Arc;

use api::ReportedBlock;
use api::TenantBlock;
use shared::block::{Block, UncheckedBlock};
use shared::chain::{Chain, ChainError, Inserted, ReportedChain, Tip};
use shared::enterprise::FinalBlock;
use shared::genesis::{Access, Genesis};
use shared::hash::Hash;
use shared::header::Header;
use shared::ids::{ChainId, Height, TimestampMs};
use shared::private::RoomId;
use shared::report::{SealedBlock, UncheckedSealed};
use shared::transaction::Transaction;

use crate::limits;

/// See the module's text.
#[derive(Debug)]
pub(crate) enum Branches {
    /// Whole blocks, executed here.
    Open(Box<Chain>),
    /// Headers that reporters vouch for, with bodies that nobody here can open.
    Private(Box<ReportedChain>),
}

/// What one update to the validator carries.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) blocks: Vec<TenantBlock>,
    pub(crate) reports: Vec<ReportedBlock>,
}

impl Batch {
    /// Height of the last block; none if there is none.
    pub(crate) fn last(&self) -> Option<Height> {
        let blocks = self.blocks.iter().map(|block| block.block_id);
        let reports = self.reports.iter().map(|block| block.block_id);
        blocks.chain(reports).last().map(Height)
    }
}

impl Branches {
    pub(crate) fn new(genesis: Genesis) -> Self {
        match genesis.access {
            Access::Open => Self::Open(Box::new(Chain::new(genesis))),
            Access::Private { .. } => Self::Private(Box::new(ReportedChain::new(genesis))),
        }
    }

    pub(crate) fn genesis(&self) -> &Genesis {
        match self {
            Self::Open(chain) => chain.genesis(),
            Self::Private(chain) => chain.genesis(),
        }
    }

    pub(crate) fn chain_id(&self) -> ChainId {
        match self {
            Self::Open(chain) => chain.chain_id(),
            Self::Private(chain) => chain.chain_id(),
        }
    }

    /// The room of a private network.
    pub(crate) fn room(&self) -> Option<RoomId> {
        match &self.genesis().access {
            Access::Open => None,
            Access::Private { join_key, .. } => Some(RoomId::of(join_key)),
        }
    }

    pub(crate) fn tip(&self) -> Tip {
        match self {
            Self::Open(chain) => chain.tip(),
            Self::Private(chain) => chain.tip(),
        }
    }

    pub(crate) fn header(&self, hash: &Hash) -> Option<&Header> {
        match self {
            Self::Open(chain) => chain.header(hash),
            Self::Private(chain) => chain.header(hash),
        }
    }

    /// Keeps every branch, however many there are, until the batch ends.
    pub(crate) fn begin_batch(&mut self) {
        match self {
            Self::Open(chain) => chain.begin_batch(),
            Self::Private(chain) => chain.begin_batch(),
        }
    }

    /// Keeps the heaviest branches only.
    pub(crate) fn end_batch(&mut self) {
        match self {
            Self::Open(chain) => chain.end_batch(),
            Self::Private(chain) => chain.end_batch(),
        }
    }

    /// What left since the last insertion, or the end of a batch, began.
    pub(crate) fn removed(&self) -> &[(Height, Hash)] {
        match self {
            Self::Open(chain) => chain.removed(),
            Self::Private(chain) => chain.removed(),
        }
    }

    /// The hash at a height of the main chain; the chain id at 0.
    pub(crate) fn hash_at(&self, height: Height) -> Option<Hash> {
        match self {
            Self::Open(chain) => chain.hash_at(height),
            Self::Private(chain) => chain.hash_at(height),
        }
    }

    /// A whole block of an open network.
    pub(crate) fn block(&self, hash: &Hash) -> Option<&Block> {
        match self {
            Self::Open(chain) => chain.block(hash),
            Self::Private(_) => None,
        }
    }

    /// A block of a private network.
    pub(crate) fn reported(&self, hash: &Hash) -> Option<&SealedBlock> {
        match self {
            Self::Open(_) => None,
            Self::Private(chain) => chain.block(hash),
        }
    }

    /// Puts a stored block back, whose signatures were verified before it was stored.
    pub(crate) fn restore(&mut self, bytes: &[u8]) -> Result<Stored, String> {
        match self {
            Self::Open(chain) => {
                let unchecked = UncheckedBlock::decode(bytes).map_err(|error| error.to_string())?;
                let block = unchecked.check_archived(chain.genesis());
                block
                    .map(|block| Stored::Whole(Box::new(block)))
                    .map_err(|error| error.to_string())
            }
            Self::Private(chain) => {
                let unchecked =
                    UncheckedSealed::decode(bytes).map_err(|error| error.to_string())?;
                let block = unchecked.check_archived(chain.genesis());
                block
                    .map(|block| Stored::Reported(Box::new(block)))
                    .map_err(|error| error.to_string())
            }
        }
    }

    /// Takes a reported block.
    pub(crate) fn insert_reported(
        &mut self,
        block: SealedBlock,
        now: TimestampMs,
    ) -> Result<Inserted, ChainError> {
        match self {
            // No caller has a report of an open network: its check refuses that.
            Self::Open(_) => Ok(Inserted::AlreadyKnown),
            Self::Private(chain) => chain.insert(block, now),
        }
    }

    /// The blocks of one update from `first` on, by count and size; one block always fits.
    pub(crate) fn batch(&self, first: Height) -> Batch {
        let (mut batch, mut bytes, mut count, mut at) = (Batch::default(), 0_usize, 0, first);
        while let Some(hash) = self.hash_at(at).filter(|_| at > Height::GENESIS) {
            let more = match self {
                Self::Open(chain) => chain.block(&hash).map(json_bytes),
                Self::Private(chain) => chain.block(&hash).map(reported_json_bytes),
            };
            let Some(more) = more else { break };
            bytes = bytes.saturating_add(more);
            let is_full = bytes > limits::FORWARD_BYTES_MAX || count >= limits::UPDATE_BLOCKS_MAX;
            if is_full && count > 0 {
                break;
            }
            if let Some(block) = self.block(&hash) {
                batch.blocks.push(TenantBlock::without_texts(block));
            } else if let Some(block) = self.reported(&hash) {
                batch.reports.push(ReportedBlock::from(block));
            }
            count = count.saturating_add(1);
            at = at.next();
        }
        batch
    }

    /// Drops what leaves a final block out, whose header is here.
    pub(crate) fn set_final(&mut self, block: FinalBlock) -> Result<(), String> {
        let set = match self {
            Self::Open(chain) => {
                let set = chain.set_final(block).map(drop);
                // The caller looks at the chain itself.
                chain.take_floor_change();
                set
            }
            Self::Private(chain) => chain.set_final(block).map(drop),
        };
        set.map_err(|error| error.to_string())
    }

    /// Drops what a reset voids: all blocks from this height on.
    pub(crate) fn reset(&mut self, from: Height) {
        if let Self::Private(chain) = self {
            // Nothing is known to be final here, so nothing can contradict.
            let _voided = chain.reset(from, None);
        }
    }
}

/// A block of the store, checked.
#[derive(Debug)]
pub(crate) enum Stored {
    /// Of an open network.
    Whole(Box<Block>),
    /// Of a private one.
    Reported(Box<SealedBlock>),
}

impl Stored {
    /// Its hash and its parent's.
    pub(crate) fn place(&self) -> (Hash, Hash) {
        match self {
            Self::Whole(block) => (block.hash(), block.header().previous),
            Self::Reported(block) => (block.hash(), block.header().previous),
        }
    }
}

/// A genesis' bytes in hex, shared by all that tell them.
pub(crate) fn genesis_hex(genesis: &Genesis) -> Arc<str> {
    hex::encode(genesis.encode()).into()
}

/// About how long a block is as JSON without texts: its bytes in hex and the names around them.
fn json_bytes(block: &Block) -> usize {
    let transactions = block.transactions().iter();
    transactions.fold(BLOCK_JSON_BYTES, |sum, transaction| {
        sum.saturating_add(json_bytes_of(transaction))
    })
}

/// The same of a transaction.
pub(super) fn json_bytes_of(transaction: &Transaction) -> usize {
    let bytes = transaction.encoded_len().saturating_mul(2);
    bytes.saturating_add(TRANSACTION_JSON_BYTES)
}

fn reported_json_bytes(block: &SealedBlock) -> usize {
    let bytes = block.encoded_len().saturating_mul(2);
    bytes.saturating_add(REPORTED_JSON_BYTES)
}

/// The names and what has always the same length.
pub(super) const BLOCK_JSON_BYTES: usize = 700;
const TRANSACTION_JSON_BYTES: usize = 320;
const REPORTED_JSON_BYTES: usize = 140;
