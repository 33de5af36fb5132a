//! One verification path along the enterprise chain, for validators at start and for light clients.
//!
//! A verifier stands on a block and accepts only the next: linked to it, later than it, under the set that it names,
//! decided by a quorum of that set. What entries do to tenants is not its business; the state root is compared by who
//! executes them.

use super::block::{DecidedBlock, EnterpriseBlock};
use super::certificate::Certificate;
use super::effects::Effects;
use super::error::EnterpriseError;
use super::genesis::EnterpriseGenesis;
use super::header::{EnterpriseHeader, EnterpriseHeight};
use super::validators::ValidatorSet;
use crate::hash::Hash;
use crate::ids::{ChainId, PublicKey, TimestampMs};
use crate::merkle;

/// Where a verification of the enterprise chain stands.
#[derive(Clone, Debug)]
pub struct Verifier {
    chain: ChainId,
    set: ValidatorSet,
    set_hash: Hash,
    height: EnterpriseHeight,
    hash: Hash,
    time: TimestampMs,
    version: u16,
    log: (u64, Hash),
}

impl Verifier {
    /// A verifier that stands on the genesis.
    #[must_use]
    pub fn new(genesis: &EnterpriseGenesis) -> Self {
        let hash = genesis.hash();
        let set = genesis.validators().clone();
        let set_hash = set.hash();
        let (height, time) = (EnterpriseHeight(0), genesis.created_at());
        Self {
            chain: ChainId(hash),
            set,
            set_hash,
            height,
            hash,
            time,
            version: EnterpriseHeader::FIRST_VERSION,
            log: (0, merkle::root(&[])),
        }
    }

    /// The enterprise chain's id.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain
    }

    /// The height of the last verified block, 0 for the genesis.
    #[must_use]
    pub const fn height(&self) -> EnterpriseHeight {
        self.height
    }

    /// The hash of the last verified block, or of the genesis.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The enterprise time of the last verified block.
    #[must_use]
    pub const fn time(&self) -> TimestampMs {
        self.time
    }

    /// The validator set of the next height.
    #[must_use]
    pub const fn validators(&self) -> &ValidatorSet {
        &self.set
    }

    /// The header of the next block over content with this root and effect; `now` gives the time unless it has not advanced.
    #[must_use]
    pub fn next_header(
        &self,
        now: TimestampMs,
        data_root: Hash,
        effects: &Effects,
        proposer: PublicKey,
    ) -> EnterpriseHeader {
        EnterpriseHeader {
            version: EnterpriseHeader::VERSION,
            height: self.height.next(),
            previous: self.hash,
            time: self.next_time(now),
            data_root,
            state_root: effects.state_root(),
            log_size: effects.log().size(),
            log_root: effects.log().root(),
            validators: self.set_hash,
            next_validators: self.set_hash,
            proposer,
        }
    }

    /// The enterprise time of a block proposed at `now`.
    #[must_use]
    pub fn next_time(&self, now: TimestampMs) -> TimestampMs {
        now.max(TimestampMs(self.time.0.saturating_add(1)))
    }

    /// Verifies the next block and moves onto it.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold; the verifier then stays where it is.
    pub fn advance(
        &mut self,
        block: EnterpriseBlock,
        certificate: Certificate,
    ) -> Result<DecidedBlock, EnterpriseError> {
        let header = block.header();
        self.check_next(header)?;
        certificate.verify(header, &self.set, self.chain)?;
        self.height = header.height;
        self.hash = certificate.block_hash;
        self.time = header.time;
        self.version = header.version;
        self.log = (header.log_size, header.log_root);
        Ok(DecidedBlock::verified(block, certificate))
    }

    /// Whether a header may follow: all that [`Self::advance`] checks but the certificate.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold.
    pub fn check_next(&self, header: &EnterpriseHeader) -> Result<(), EnterpriseError> {
        let expected = self.height.next();
        if header.height != expected {
            return Err(EnterpriseError::Height {
                found: header.height,
                expected,
            });
        }
        if header.version < self.version {
            return Err(EnterpriseError::Version {
                found: header.version,
                allowed: self.version,
            });
        }
        if header.time <= self.time {
            return Err(EnterpriseError::Time {
                found: header.time,
                parent: self.time,
            });
        }
        for (field, found, computed) in [
            ("the previous hash", header.previous, self.hash),
            ("the validator set", header.validators, self.set_hash),
            (
                "the next validator set",
                header.next_validators,
                self.set_hash,
            ),
        ] {
            if found != computed {
                return Err(EnterpriseError::Mismatch {
                    field,
                    found,
                    computed,
                });
            }
        }
        self.check_log(header)?;
        if self.set.index_of(&header.proposer).is_none() {
            return Err(EnterpriseError::Proposer);
        }
        Ok(())
    }

    /// The log only grows, and under version 0x0200 it is empty.
    fn check_log(&self, header: &EnterpriseHeader) -> Result<(), EnterpriseError> {
        let (size, root) = self.log;
        let fixed = header.version < EnterpriseHeader::FINALITY_VERSION;
        if header.log_size < size || (fixed && header.log_size != 0) {
            let allowed = if fixed { "0" } else { "the parent's and more" };
            return Err(EnterpriseError::Range {
                field: "the log size",
                found: header.log_size,
                allowed,
            });
        }
        if header.log_size == size && header.log_root != root {
            return Err(EnterpriseError::Mismatch {
                field: "the log root",
                found: header.log_root,
                computed: root,
            });
        }
        Ok(())
    }
}
