//! One verification path along the enterprise chain, for validators at start and for light clients.
//!
//! A verifier stands on a block and accepts only the next: linked to it, later than it, under the set in force, decided by a
//! quorum of that set. It follows every change of the set ([`SetChange`]): decided at h, named by h + 1, in force at h + 2. What entries do to tenants is not its business; the state root is compared by who
//! executes them.

use super::block::{DecidedBlock, EnterpriseBlock};
use super::certificate::Certificate;
use super::effects::Effects;
use super::entry::Entry;
use super::error::EnterpriseError;
use super::genesis::EnterpriseGenesis;
use super::header::{EnterpriseHeader, EnterpriseHeight};
use super::set_change::SetChange;
use super::validators::ValidatorSet;
use crate::hash::Hash;
use crate::ids::{ChainId, PublicKey, Signature, TimestampMs};
use crate::merkle;

/// Where a verification of the enterprise chain stands.
#[derive(Clone, Debug)]
pub struct Verifier {
    chain: ChainId,
    set: ValidatorSet,
    set_hash: Hash,
    /// The set of the height after the next, if it is another.
    coming: Option<(ValidatorSet, Hash)>,
    /// The changes so far.
    changes: u32,
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
            coming: None,
            changes: 0,
            height,
            hash,
            time,
            version: EnterpriseHeader::FIRST_VERSION,
            log: (0, merkle::root(&[])),
        }
    }

    /// A verifier that stands on a header that was verified, with the set of the next height and what is known of the one after it.
    ///
    /// # Errors
    /// [`EnterpriseError::Mismatch`] when the header names another next set.
    pub fn standing_on(
        genesis: &EnterpriseGenesis,
        header: &EnterpriseHeader,
        set: ValidatorSet,
        coming: Option<ValidatorSet>,
        changes: u32,
    ) -> Result<Self, EnterpriseError> {
        let (found, computed) = (header.next_validators, set.hash());
        if found != computed {
            return Err(EnterpriseError::Mismatch {
                field: "the next validator set",
                found,
                computed,
            });
        }
        Ok(Self {
            set,
            set_hash: computed,
            coming: coming.map(|set| {
                let hash = set.hash();
                (set, hash)
            }),
            changes,
            height: header.height,
            hash: header.hash(),
            time: header.time,
            version: header.version,
            log: (header.log_size, header.log_root),
            ..Self::new(genesis)
        })
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

    /// The validator set of the height after the next: the one that a change replaces.
    #[must_use]
    pub fn next_validators(&self) -> &ValidatorSet {
        self.coming.as_ref().map_or(&self.set, |(set, _)| set)
    }

    /// How often the set has changed, a change that is decided and not in force included.
    #[must_use]
    pub const fn changes(&self) -> u32 {
        self.changes
    }

    /// Whether the next block may hold this change.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold.
    pub fn check_change(&self, change: &SetChange) -> Result<(), EnterpriseError> {
        let number = self.changes.saturating_add(1);
        change.verify(self.next_validators(), number, self.chain)
    }

    fn next_hash(&self) -> Hash {
        self.coming
            .as_ref()
            .map_or(self.set_hash, |(_, hash)| *hash)
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
            next_validators: self.next_hash(),
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
        self.advance_with(block, certificate, |_, _| false)
    }

    /// As [`Self::advance`], without verifying again the `known` signatures of the certificate (see
    /// [`Certificate::verify_with`]).
    ///
    /// # Errors
    /// As [`Self::advance`].
    pub fn advance_with(
        &mut self,
        block: EnterpriseBlock,
        certificate: Certificate,
        known: impl Fn(&PublicKey, &Signature) -> bool,
    ) -> Result<DecidedBlock, EnterpriseError> {
        let header = block.header();
        self.check_next(header)?;
        let change = self.check_entries(&block)?;
        certificate.verify_with(header, &self.set, self.chain, known)?;
        if let Some((set, hash)) = self.coming.take() {
            (self.set, self.set_hash) = (set, hash);
        }
        if let Some(change) = change {
            self.coming = Some((change.next().clone(), change.next().hash()));
            self.changes = self.changes.saturating_add(1);
        }
        self.height = header.height;
        self.hash = certificate.block_hash;
        self.time = header.time;
        self.version = header.version;
        self.log = (header.log_size, header.log_root);
        Ok(DecidedBlock::verified(block, certificate))
    }

    /// Whether a block's entries may follow: at most one change of the set, and that a valid one.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold.
    pub fn check_entries<'a>(
        &self,
        block: &'a EnterpriseBlock,
    ) -> Result<Option<&'a SetChange>, EnterpriseError> {
        let mut changes = block.entries().iter().filter_map(|entry| match entry {
            Entry::SetChanged(change) => Some(&**change),
            Entry::TenantRegistered(_)
            | Entry::BlockAnchored(_)
            | Entry::ForkRefused(_)
            | Entry::ReportAnchored(_)
            | Entry::TenantReset(_) => None,
        });
        let Some(change) = changes.next() else {
            return Ok(None);
        };
        let found = changes.count().saturating_add(1);
        let allowed = usize::from(block.header().version >= EnterpriseHeader::FINALITY_VERSION);
        if found > allowed {
            let what = "set changes in a block";
            return Err(EnterpriseError::TooLarge {
                what,
                found,
                allowed,
            });
        }
        self.check_change(change)?;
        Ok(Some(change))
    }

    /// Whether a header may follow: all that [`Self::advance`] checks but the entries and the certificate.
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
                self.next_hash(),
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
