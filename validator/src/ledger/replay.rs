//! The same decisions again, from the store: every header, certificate, root and body is verified anew.
//!
//! Signatures of transactions are not: the records are checksummed and were verified before they were written.

use std::sync::Arc;

use shared::chain::Inserted;
use shared::enterprise::{Certificate, DecidedBlock, EnterpriseBlock, EnterpriseError};
use shared::genesis::Genesis;
use shared::hash::Hash;
use shared::ids::{ChainId, TimestampMs};

use super::execution::NotExecuted;
use super::{Ledger, TenantLedger};
use crate::body::{BodyError, UncheckedBody};
use crate::store::BodyKey;

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
        error: BodyError,
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
        bodies: Vec<UncheckedBody>,
        signatures: Signatures,
    ) -> Result<DecidedBlock, ReplayError> {
        let keys: Vec<BodyKey> = crate::store::anchored(&block).collect();
        let mut bodies = bodies.into_iter();
        for key in &keys {
            let (chain_id, hash) = *key;
            let body = bodies.next();
            let body = body.ok_or(ReplayError::BodyMissing { chain_id, hash })?;
            let found = body.id();
            if found != hash {
                return Err(ReplayError::OtherBody { hash, found });
            }
            self.loose.put(*key, body);
        }
        let proposal = self.prepare(block, signatures)?;
        let decided = self
            .verifier
            .advance(proposal.block().clone(), certificate)?;
        self.stand_on((
            decided.block().header().clone(),
            decided.certificate().clone(),
        ));
        self.take_over(proposal);
        Ok(decided)
    }

    /// Takes a tenant again that was accepted and not decided.
    pub fn replay_registration(&mut self, genesis: Genesis) {
        let chain_id = genesis.chain_id();
        if self.tenants.contains_key(&chain_id) || self.state.may_register(&genesis).is_err() {
            self.batch.settled.push(chain_id);
            return;
        }
        let genesis = Arc::new(genesis);
        let tenant = TenantLedger::new(genesis, chain_id, &self.names);
        self.register(tenant);
        // It is in the store already.
        self.batch.registrations.remove(&chain_id);
    }

    /// Takes a block again that was accepted and not decided, in the order of arrival. One that no longer fits is let go.
    pub fn replay_held(
        &mut self,
        now: TimestampMs,
        chain_id: ChainId,
        arrival: u64,
        body: UncheckedBody,
    ) {
        let (hash, bytes) = (body.header().hash(), body.encode().len());
        let key = (chain_id, body.id());
        self.arrivals = self.arrivals.max(arrival);
        let now = now.max(body.header().timestamp);
        let tenant = self.tenants.get_mut(&chain_id);
        let Some(tenant) = tenant.filter(|_| !self.state.is_void(chain_id, hash)) else {
            self.batch.forget.push(key);
            return;
        };
        let checked = body.check_archived(tenant.genesis());
        match checked.map(|block| tenant.chain.insert(block, now)) {
            Ok(Ok(Inserted::Connected { connected, .. })) => self.queue(chain_id, &connected),
            Ok(Ok(Inserted::Stored)) => tenant.hold(hash, bytes),
            Ok(Ok(Inserted::AlreadyKnown)) if tenant.chain.has(&key.1) => {
                self.batch.release.push(key);
            }
            // The last is another report of a block than the one that counts.
            Ok(Err(_)) | Err(_) | Ok(Ok(Inserted::AlreadyKnown)) => self.batch.forget.push(key),
        }
    }
}

impl From<NotExecuted> for ReplayError {
    fn from(error: NotExecuted) -> Self {
        match error {
            NotExecuted::Entry(error) => error.into(),
            NotExecuted::Block(hash, error) => Self::BodyInvalid { hash, error },
            NotExecuted::Missing(keys) => {
                let (chain_id, hash) = keys
                    .first()
                    .copied()
                    .unwrap_or((ChainId(Hash::ZERO), Hash::ZERO));
                Self::BodyMissing { chain_id, hash }
            }
        }
    }
}
