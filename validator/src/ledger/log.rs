//! The log of final heights with all its leaves, for receipts and proofs.

use std::collections::BTreeMap;

use shared::block::transaction_leaf;
use shared::enterprise::{
    Branch, Checkpoint, EnterpriseHeight, FinalBlock, FinalityProof, LogEntry,
    Receipt as FinalReceipt, Reset, ResetReceipt,
};
use shared::hash::Hash;
use shared::ids::{ChainId, Height};
use shared::merkle::{self, Tree};

use super::{ExecutedReset, Ledger};

/// The log's entries and their tree.
#[derive(Debug, Default)]
pub(super) struct FinalLog {
    entries: Vec<LogEntry>,
    /// Of several leaves of a height the newest: the one with the most resets.
    indices: BTreeMap<(ChainId, Height), usize>,
    /// The resets with the heights of their blocks.
    resets: BTreeMap<(ChainId, u32), (usize, EnterpriseHeight)>,
    tree: Tree,
}

impl FinalLog {
    pub(super) fn push(&mut self, block: FinalBlock) {
        let key = (block.chain_id(), block.height());
        self.indices.insert(key, self.entries.len());
        self.tree.push(block.leaf());
        self.entries.push(LogEntry::Final(block));
    }

    /// Logs a reset, after which nothing from its height on is final.
    pub(super) fn push_reset(&mut self, reset: &Reset, executed_in: EnterpriseHeight) {
        let (chain_id, index) = (reset.chain_id, self.entries.len());
        let void = (chain_id, reset.from)..=(chain_id, Height(u32::MAX));
        let void: Vec<_> = self.indices.range(void).map(|(key, _)| *key).collect();
        for key in void {
            self.indices.remove(&key);
        }
        let key = (chain_id, reset.number);
        self.resets.insert(key, (index, executed_in));
        self.tree.push(reset.leaf());
        self.entries.push(LogEntry::Reset(Box::new(reset.clone())));
    }

    /// The final block at a height and its place.
    fn final_at(&self, chain_id: ChainId, height: Height) -> Option<(usize, &FinalBlock)> {
        let index = *self.indices.get(&(chain_id, height))?;
        match self.entries.get(index)? {
            LogEntry::Final(block) => Some((index, block)),
            LogEntry::Reset(_) => None,
        }
    }

    fn reset(&self, chain_id: ChainId, number: u32) -> Option<ExecutedReset> {
        let (index, executed_in) = *self.resets.get(&(chain_id, number))?;
        match self.entries.get(index)? {
            LogEntry::Reset(reset) => Some(ExecutedReset {
                reset: (**reset).clone(),
                index,
                executed_in,
            }),
            LogEntry::Final(_) => None,
        }
    }
}

impl Ledger {
    /// The log's entries, oldest first.
    #[must_use]
    pub fn log_entries(&self) -> &[LogEntry] {
        &self.log.entries
    }

    /// A tenant's reset that was executed.
    #[must_use]
    pub fn executed_reset(&self, chain_id: ChainId, number: u32) -> Option<ExecutedReset> {
        self.log.reset(chain_id, number)
    }

    /// The proof that a reset was executed; none before it was.
    #[must_use]
    pub fn reset_receipt(&self, chain_id: ChainId, number: u32) -> Option<ResetReceipt> {
        let executed = self.log.reset(chain_id, number)?;
        let checkpoint = self.checkpoint()?;
        Some(ResetReceipt {
            reset: executed.reset,
            index: u64::try_from(executed.index).ok()?,
            path: self.inclusion(executed.index, checkpoint.header.log_size)?,
            checkpoint,
        })
    }

    /// The newest header with its certificate.
    #[must_use]
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        let (header, certificate) = self.newest.clone()?;
        Some(Checkpoint {
            header,
            certificate,
        })
    }

    /// The block that is final at a height of a tenant's chain.
    #[must_use]
    pub fn final_at(&self, chain_id: ChainId, height: Height) -> Option<&FinalBlock> {
        self.log.final_at(chain_id, height).map(|(_, block)| block)
    }

    /// The proof that a tenant's block is final, and a transaction in it if one is named; none before it is final, and none
    /// for a transaction whose body is not here.
    #[must_use]
    pub fn receipt(
        &self,
        chain_id: ChainId,
        height: Height,
        transaction: Option<Hash>,
    ) -> Option<FinalReceipt> {
        let (index, entry) = self.log.final_at(chain_id, height)?;
        let chain = &self.tenants.get(&chain_id)?.chain;
        let header = chain.header(&entry.hash())?.clone();
        let transaction = match transaction {
            None => None,
            Some(id) => {
                let block = chain.open()?.block(&entry.hash())?;
                let (leaf, leaves) = (transaction_leaf(&id), block.body_leaves());
                let at = leaves.iter().position(|found| *found == leaf)?;
                Some((id, merkle::path(&leaves, at)?))
            }
        };
        let checkpoint = self.checkpoint()?;
        Some(FinalReceipt {
            transaction,
            chain_id,
            header,
            work: entry.work(),
            resets: entry.resets(),
            index: u64::try_from(index).ok()?,
            path: self.inclusion(index, checkpoint.header.log_size)?,
            checkpoint,
        })
    }

    /// The proof of a tenant's newest final block under the newest header, for an asker that has verified the first
    /// `known_size` entries of the log; none before the first is final. Of a size that the log never had, it starts from none.
    #[must_use]
    pub fn finality_proof(&self, chain_id: ChainId, known_size: u64) -> Option<FinalityProof> {
        let height = self.state.newest_final(&chain_id)?.height();
        let receipt = self.receipt(chain_id, height, None)?;
        let size = receipt.checkpoint.header.log_size;
        let from_size = if known_size <= size { known_size } else { 0 };
        let consistency = match from_size {
            0 => Vec::new(),
            _ => self.consistency(from_size, size)?,
        };
        Some(FinalityProof {
            genesis: self.genesis.clone(),
            links: self.links_below(receipt.checkpoint.header.height),
            receipt,
            from_size,
            consistency,
        })
    }

    /// A decided header of this chain, for who holds another one of its height.
    #[must_use]
    pub fn branch(&self, checkpoint: Checkpoint) -> Branch {
        Branch {
            genesis: self.genesis.clone(),
            links: self.links_below(checkpoint.header.height),
            checkpoint,
        }
    }

    /// The height of the block that has a transaction on its tenant's heaviest chain here.
    #[must_use]
    pub fn height_of_transaction(&self, chain_id: ChainId, id: &Hash) -> Option<Height> {
        let tenant = self.tenants.get(&chain_id)?;
        tenant.chain.open()?.contains_transaction(id)
    }

    /// The path of the log's entry `index` in the tree over its first `size`.
    #[must_use]
    pub fn inclusion(&self, index: usize, size: u64) -> Option<Vec<Hash>> {
        self.log.tree.inclusion(index, usize::try_from(size).ok()?)
    }

    /// The proof that the log's first `old` entries are a prefix of its first `new`.
    #[must_use]
    pub fn consistency(&self, old: u64, new: u64) -> Option<Vec<Hash>> {
        let (old, new) = (usize::try_from(old).ok()?, usize::try_from(new).ok()?);
        self.log.tree.consistency(old, new)
    }
}
