//! Checkpoints: an enterprise header with its certificate, what may follow one, and the proof of a split.
//!
//! Encoded checkpoint: enterprise header (248), then the certificate to the end. Encoded proof of a split: the length of
//! the first checkpoint (4), the first, the second.

use alloc::vec::Vec;

use super::certificate::Certificate;
use super::error::EnterpriseError;
use super::genesis::EnterpriseGenesis;
use super::header::EnterpriseHeader;
use super::receipt::CERTIFICATE_BYTES_MAX;
use super::set_change::SetLink;
use super::validators::ValidatorSet;
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::ids::{ChainId, PublicKey};
use crate::merkle::{self, ProofError};

/// What a light client trusts: the enterprise chain that the tenant's genesis pins, and its validators at some height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    chain: ChainId,
    set: ValidatorSet,
}

impl Trust {
    /// The trust root of an enterprise genesis, if it is the one that is pinned.
    ///
    /// # Errors
    /// [`EnterpriseError::OtherEnterprise`] when it is another.
    pub fn new(genesis: &EnterpriseGenesis, pinned: Hash) -> Result<Self, EnterpriseError> {
        let found = genesis.hash();
        if found != pinned {
            return Err(EnterpriseError::OtherEnterprise {
                found,
                allowed: pinned,
            });
        }
        Ok(Self {
            chain: genesis.chain_id(),
            set: genesis.validators().clone(),
        })
    }

    /// Trusts the set that takes the place of this one: a quorum of this one signed a header that names it.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold; the trust is as before then.
    pub fn follow(&mut self, link: &SetLink) -> Result<(), EnterpriseError> {
        let header = &link.checkpoint.header;
        let computed = link.next.hash();
        if header.next_validators != computed {
            return Err(EnterpriseError::Mismatch {
                field: "the next validator set",
                found: header.next_validators,
                computed,
            });
        }
        if header.validators == computed {
            return Err(EnterpriseError::NoChange);
        }
        link.checkpoint.verify(self)?;
        self.set = link.next.clone();
        Ok(())
    }

    /// The enterprise chain.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain
    }

    /// The validators.
    #[must_use]
    pub const fn validators(&self) -> &ValidatorSet {
        &self.set
    }
}

/// A header of the enterprise chain with its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The header.
    pub header: EnterpriseHeader,
    /// A quorum's signatures over it.
    pub certificate: Certificate,
}

/// A checkpoint does not follow another one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The newer one is lower.
    #[error("the newer checkpoint is at height {found}, the older one at {known}")]
    Older {
        /// The height of the newer one.
        found: u64,
        /// The height of the older one.
        known: u64,
    },
    /// Two headers at one height: [`SplitProof`] shows it to anybody.
    #[error("two decided blocks at height {height}: the validators have split")]
    Split {
        /// The height.
        height: u64,
    },
    /// The newer log is not the older one with more entries.
    #[error("the log of final heights does not contain what it held before: {0}")]
    Inconsistent(#[from] ProofError),
    /// A certificate does not verify.
    #[error(transparent)]
    Enterprise(#[from] EnterpriseError),
}

impl Checkpoint {
    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        [self.header.encode(), self.certificate.encode()].concat()
    }

    /// Reads a checkpoint; it proves nothing before [`Self::verify`].
    ///
    /// # Errors
    /// [`EnterpriseError`] when the bytes are not in the one layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let header = EnterpriseHeader::decode(reader.bytes(EnterpriseHeader::BYTES)?)?;
        let allowed = usize::try_from(CERTIFICATE_BYTES_MAX).unwrap_or(usize::MAX);
        let found = reader.remaining();
        if found > allowed {
            return Err(EnterpriseError::TooLarge {
                what: "bytes of a certificate",
                found,
                allowed,
            });
        }
        let certificate = Certificate::decode(reader.bytes(found)?)?;
        Ok(Self {
            header,
            certificate,
        })
    }

    /// Verifies that a quorum decided the header; answers who signed.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold.
    pub fn verify(&self, trust: &Trust) -> Result<Vec<PublicKey>, EnterpriseError> {
        self.certificate
            .verify(&self.header, &trust.set, trust.chain)?;
        let signers = self.certificate.signatures.iter();
        Ok(signers
            .filter_map(|(index, _)| trust.set.get(*index))
            .map(|validator| validator.key)
            .collect())
    }

    /// Verifies this checkpoint and that its log holds all that an older, verified one held, in the same places.
    ///
    /// # Errors
    /// [`CheckpointError`] naming what does not hold.
    pub fn verify_after(
        &self,
        older: &Self,
        proof: &[Hash],
        trust: &Trust,
    ) -> Result<(), CheckpointError> {
        self.verify(trust)?;
        let (known, found) = (&older.header, &self.header);
        if found.height < known.height {
            return Err(CheckpointError::Older {
                found: found.height.0,
                known: known.height.0,
            });
        }
        if found.height == known.height && found.hash() != known.hash() {
            return Err(CheckpointError::Split {
                height: found.height.0,
            });
        }
        let (sizes, roots) = (
            (known.log_size, found.log_size),
            (&known.log_root, &found.log_root),
        );
        merkle::verify_consistency(sizes.0, sizes.1, roots.0, roots.1, proof)?;
        Ok(())
    }
}

/// Two decided headers at one height: more than a third of the validators signed both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitProof {
    first: Checkpoint,
    second: Checkpoint,
}

impl SplitProof {
    /// Verifies that two checkpoints contradict each other.
    ///
    /// # Errors
    /// [`EnterpriseError`] when one does not verify, or both are of one block or of two heights.
    pub fn new(
        first: Checkpoint,
        second: Checkpoint,
        trust: &Trust,
    ) -> Result<Self, EnterpriseError> {
        let (found, expected) = (second.header.height, first.header.height);
        if found != expected {
            return Err(EnterpriseError::Height { found, expected });
        }
        let hash = first.header.hash();
        if second.header.hash() == hash {
            return Err(EnterpriseError::NoSplit(hash));
        }
        first.verify(trust)?;
        second.verify(trust)?;
        Ok(Self { first, second })
    }

    /// The two checkpoints.
    #[must_use]
    pub const fn checkpoints(&self) -> (&Checkpoint, &Checkpoint) {
        (&self.first, &self.second)
    }

    /// Who signed both: no honest validator does.
    #[must_use]
    pub fn culprits(&self, trust: &Trust) -> Vec<PublicKey> {
        let signed = |index: &u16| {
            let second = &self.second.certificate.signatures;
            second.iter().any(|(other, _)| other == index)
        };
        let both = self.first.certificate.signatures.iter();
        both.filter(|(index, _)| signed(index))
            .filter_map(|(index, _)| trust.set.get(*index))
            .map(|validator| validator.key)
            .collect()
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .counted_bytes(&self.first.encode())
            .bytes(&self.second.encode());
        writer.finish()
    }

    /// Reads and verifies a proof.
    ///
    /// # Errors
    /// [`EnterpriseError`] when it is not in the one layout or proves nothing.
    pub fn decode(bytes: &[u8], trust: &Trust) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let most = CERTIFICATE_BYTES_MAX.saturating_add(248);
        let first = reader.counted_bytes("the length of a checkpoint", most)?;
        let first = Checkpoint::decode(first)?;
        let second = Checkpoint::decode(reader.bytes(reader.remaining())?)?;
        Self::new(first, second, trust)
    }
}
