//! The log of final heights with all its leaves, for receipts and proofs.

use std::collections::BTreeMap;

use shared::block::transaction_leaf;
use shared::enterprise::{Checkpoint, FinalBlock, FinalityProof, Receipt as FinalReceipt};
use shared::hash::Hash;
use shared::ids::{ChainId, Height};
use shared::merkle::{self, Tree};

use super::Ledger;

/// The log's entries and their tree.
#[derive(Debug, Default)]
pub(super) struct FinalLog {
    entries: Vec<FinalBlock>,
    indices: BTreeMap<(ChainId, Height), usize>,
    tree: Tree,
}

impl FinalLog {
    pub(super) fn push(&mut self, block: FinalBlock) {
        let key = (block.chain_id(), block.height());
        self.indices.insert(key, self.entries.len());
        self.tree.push(block.leaf());
        self.entries.push(block);
    }
}

impl Ledger {
    /// The log's entries, oldest first.
    #[must_use]
    pub fn log_entries(&self) -> &[FinalBlock] {
        &self.log.entries
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
        let index = *self.log.indices.get(&(chain_id, height))?;
        self.log.entries.get(index)
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
        let index = *self.log.indices.get(&(chain_id, height))?;
        let entry = self.log.entries.get(index)?;
        let chain = &self.tenants.get(&chain_id)?.chain;
        let header = chain.header(&entry.hash())?.clone();
        let transaction = match transaction {
            None => None,
            Some(id) => {
                let block = chain.block(&entry.hash())?;
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

    /// The height of the block that has a transaction on its tenant's heaviest chain here.
    #[must_use]
    pub fn height_of_transaction(&self, chain_id: ChainId, id: &Hash) -> Option<Height> {
        self.tenants.get(&chain_id)?.chain.contains_transaction(id)
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
