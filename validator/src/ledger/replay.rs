//! The same decisions again, from the store: every header, certificate, root and body is verified anew.
//!
//! Signatures of transactions are not: the records are checksummed and were verified before they were written.

use std::sync::Arc;

use shared::block::{BlockError, UncheckedBlock};
use shared::chain::ChainError;
use shared::enterprise::{
    Anchor, Certificate, DecidedBlock, EnterpriseBlock, EnterpriseError, Entry,
};
use shared::hash::Hash;
use shared::ids::{ChainId, TimestampMs};

use super::{Ledger, TenantLedger};

/// Whether the signatures of transactions are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// They were, before this validator wrote the record.
    Verified,
    /// They are now: the bytes come from a file.
    Verify,
}

/// Why a stored block does not verify.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The block, its certificate or its link.
    #[error(transparent)]
    Enterprise(#[from] EnterpriseError),
    /// There are fewer bodies than anchored blocks.
    #[error("tenant block {hash} of chain {chain_id} is missing")]
    BodyMissing {
        /// The tenant.
        chain_id: ChainId,
        /// The tenant block.
        hash: Hash,
    },
    /// A body is another block's.
    #[error("tenant block {found} is in the place of {hash}")]
    OtherBody {
        /// The tenant block.
        hash: Hash,
        /// The block in its place.
        found: Hash,
    },
    /// A tenant block breaks a rule.
    #[error("tenant block {hash}: {error}")]
    BodyInvalid {
        /// The tenant block.
        hash: Hash,
        /// The rule.
        error: BlockError,
    },
    /// A tenant block does not connect.
    #[error("tenant block {hash}: {error}")]
    Chain {
        /// The tenant block.
        hash: Hash,
        /// Why.
        error: ChainError,
    },
}

impl Ledger {
    /// Takes over a decided block after verifying everything in it; `bodies` are those of its anchored blocks, in order.
    ///
    /// # Errors
    /// [`ReplayError`] naming what does not verify. The ledger is then of no further use.
    pub fn replay(
        &mut self,
        block: EnterpriseBlock,
        certificate: Certificate,
        bodies: Vec<UncheckedBlock>,
        signatures: Signatures,
    ) -> Result<DecidedBlock, ReplayError> {
        let effects = self.state.execute(block.header().time, block.entries())?;
        let (found, computed) = (block.header().state_root, effects.state_root());
        if found != computed {
            return Err(EnterpriseError::Mismatch {
                field: "the state root",
                found,
                computed,
            }
            .into());
        }
        let decided = self.verifier.advance(block, certificate)?;
        let block = decided.block();
        let mut bodies = bodies.into_iter();
        for entry in block.entries() {
            match entry {
                Entry::TenantRegistered(genesis) => {
                    let chain_id = genesis.chain_id();
                    let genesis = Arc::new((**genesis).clone());
                    let tenant = TenantLedger::new(genesis, chain_id, &self.names);
                    self.names.insert(tenant.name().clone(), chain_id);
                    self.tenants.insert(chain_id, tenant);
                }
                Entry::BlockAnchored(anchor) => {
                    self.insert_anchored(block.header().time, anchor, bodies.next(), signatures)?;
                }
            }
        }
        self.take_over(block, effects);
        Ok(decided)
    }

    /// Puts back a block that was held beside its tenant's heaviest chain; one that no longer fits is forgotten.
    pub fn replay_held(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        arrival: u64,
        body: UncheckedBlock,
    ) {
        let (hash, bytes) = (body.header.hash(), body.encode().len());
        self.arrivals = self.arrivals.max(arrival);
        let Some(tenant) = self.tenants.get_mut(&chain_id) else {
            return;
        };
        let checked = body.check_archived(tenant.genesis());
        let inserted = checked.is_ok_and(|block| tenant.chain.insert(block, now).is_ok());
        if inserted {
            tenant.hold(hash, bytes);
        } else {
            self.batch.forget.push((chain_id, hash));
        }
    }

    fn insert_anchored(
        &mut self,
        time: TimestampMs,
        anchor: &Anchor,
        body: Option<UncheckedBlock>,
        signatures: Signatures,
    ) -> Result<(), ReplayError> {
        let Anchor { chain_id, header } = anchor;
        let hash = header.hash();
        let body = body.ok_or(ReplayError::BodyMissing {
            chain_id: *chain_id,
            hash,
        })?;
        if body.header != *header {
            return Err(ReplayError::OtherBody {
                hash,
                found: body.header.hash(),
            });
        }
        let unknown = EnterpriseError::TenantUnknown(*chain_id);
        let tenant = self.tenants.get_mut(chain_id).ok_or(unknown)?;
        let checked = match signatures {
            Signatures::Verified => body.check_archived(tenant.genesis()),
            Signatures::Verify => body.check(tenant.genesis()),
        };
        let block = checked.map_err(|error| ReplayError::BodyInvalid { hash, error })?;
        tenant
            .chain
            .insert(block, time)
            .map_err(|error| ReplayError::Chain { hash, error })?;
        Ok(())
    }
}
