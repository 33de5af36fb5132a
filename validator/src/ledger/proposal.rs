//! Building a block of what is pending, and taking it over once it is decided and durable.

use std::collections::BTreeSet;

use shared::enterprise::{
    Anchor, Certificate, DecidedBlock, Effects, EnterpriseBlock, EnterpriseError, EnterpriseHeader,
    Entry, Verifier,
};
use shared::hash::Hash;
use shared::ids::{ChainId, PublicKey, TimestampMs};

use super::Ledger;
use crate::store::Head;

/// A block built of the front of the pending entries, with what it does.
#[derive(Debug)]
pub(super) struct Proposal {
    block: EnterpriseBlock,
    effects: Effects,
    after: Option<Verifier>,
}

/// Why a proposal cannot be built or decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// There is no proposal to decide.
    #[error("there is no proposal to decide")]
    None,
    /// The block or its certificate does not verify.
    #[error(transparent)]
    Invalid(#[from] EnterpriseError),
}

impl Ledger {
    /// Builds the next block of pending entries, as many as its limits hold; answers its hash.
    ///
    /// # Errors
    /// [`ProposalError`] when an entry breaks a rule, which would be a fault of [`Ledger::accept`].
    pub fn propose(
        &mut self,
        now: TimestampMs,
        proposer: PublicKey,
    ) -> Result<Hash, ProposalError> {
        let entries = self.next_entries();
        let effects = self.state.execute(self.verifier.next_time(now), &entries)?;
        let data_root = EnterpriseBlock::data_root(&entries);
        let header = self
            .verifier
            .next_header(now, data_root, effects.state_root(), proposer);
        let block = EnterpriseBlock::new(header, entries)?;
        let hash = block.hash();
        self.proposal = Some(Proposal {
            block,
            effects,
            after: None,
        });
        Ok(hash)
    }

    /// Verifies the certificate over the proposal; the ledger itself moves with [`Self::finish`].
    ///
    /// # Errors
    /// [`ProposalError`] when there is no proposal or the certificate does not decide it.
    pub fn decide(&mut self, certificate: Certificate) -> Result<DecidedBlock, ProposalError> {
        let proposal = self.proposal.as_mut().ok_or(ProposalError::None)?;
        let mut verifier = self.verifier.clone();
        let decided = verifier.advance(proposal.block.clone(), certificate)?;
        proposal.after = Some(verifier);
        Ok(decided)
    }

    /// Takes over the decided block, which is durable now.
    ///
    /// # Errors
    /// [`ProposalError::None`] when nothing was decided.
    pub fn finish(&mut self) -> Result<Head, ProposalError> {
        let Proposal {
            block,
            effects,
            after,
        } = self.proposal.take().ok_or(ProposalError::None)?;
        self.verifier = after.ok_or(ProposalError::None)?;
        self.pending
            .drain(..block.entries().len().min(self.pending.len()));
        Ok(self.take_over(&block, effects))
    }

    /// Applies a decided block to the tenants.
    pub(super) fn take_over(&mut self, block: &EnterpriseBlock, effects: Effects) -> Head {
        let head = Head {
            height: self.verifier.height(),
            hash: self.verifier.hash(),
        };
        self.state.apply(effects);
        let mut touched: BTreeSet<ChainId> = BTreeSet::new();
        for entry in block.entries() {
            match entry {
                Entry::TenantRegistered(genesis) => touched.insert(genesis.chain_id()),
                Entry::BlockAnchored(anchor) => {
                    self.count(anchor);
                    touched.insert(anchor.chain_id)
                }
            };
        }
        for chain_id in touched {
            self.stand(chain_id, head, block.header().time);
            self.changed.insert(chain_id);
        }
        head
    }

    fn stand(&mut self, chain_id: ChainId, head: Head, time: TimestampMs) {
        let Some(tenant) = self.tenants.get_mut(&chain_id) else {
            return;
        };
        let Some(state) = self.state.state(&chain_id) else {
            return;
        };
        let before = tenant.transaction_count();
        tenant.stand(*state, head, time);
        let others = self.transactions.saturating_sub(before);
        self.transactions = others.saturating_add(tenant.transaction_count());
    }

    fn count(&mut self, anchor: &Anchor) {
        let Anchor { chain_id, header } = anchor;
        let hash = header.hash();
        self.queued.remove(&(*chain_id, hash));
        if let Some(tenant) = self.tenants.get_mut(chain_id) {
            let block = tenant.chain.block(&hash);
            let transactions = block.map_or(0, |block| block.transactions().len());
            tenant.count(hash, &header.previous, transactions);
        }
    }

    /// The front of the pending entries that fits into one block.
    fn next_entries(&self) -> Vec<Entry> {
        let limits = self.genesis.blocks();
        let mut left = usize::try_from(limits.block_bytes_max)
            .unwrap_or(usize::MAX)
            .saturating_sub(BLOCK_OVERHEAD_BYTES);
        let fits = |entry: &&Entry| {
            let needed = entry.encode().len().saturating_add(ENTRY_OVERHEAD_BYTES);
            let fits = needed <= left;
            left = left.saturating_sub(needed);
            fits
        };
        let most = usize::try_from(limits.block_entries_max).unwrap_or(usize::MAX);
        self.pending
            .iter()
            .take(most)
            .take_while(fits)
            .cloned()
            .collect()
    }
}

/// Header and number of entries.
const BLOCK_OVERHEAD_BYTES: usize = EnterpriseHeader::BYTES + 4;
/// The length before each entry.
const ENTRY_OVERHEAD_BYTES: usize = 4;
