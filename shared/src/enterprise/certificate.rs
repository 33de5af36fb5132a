//! Votes and the certificate: a quorum's signatures over one block.
//!
//! A vote's bytes are its kind (1 prevote, 2 precommit), height (8), round (4) and block hash (32; zeros for a vote for
//! no block): 45 bytes, signed under the domain `distli/enterprise/vote/1` and the enterprise chain id. A certificate
//! holds precommits only.
//!
//! Encoded certificate: height (8), round (4), block hash (32), number of signatures (2), then per signature the
//! signer's index in the validator set (2) and the signature (64), ascending by index.

use alloc::vec::Vec;

use super::error::EnterpriseError;
use super::header::{EnterpriseHeader, EnterpriseHeight, Round};
use super::validators::ValidatorSet;
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::identity::{Identity, Verifier, Verify};
use crate::ids::{ChainId, PublicKey, Signature};

/// What a vote says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoteKind {
    /// PBFT's prepare.
    Prevote,
    /// PBFT's commit.
    Precommit,
}

/// A vote for one block in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// What the vote says.
    pub kind: VoteKind,
    /// The height.
    pub height: EnterpriseHeight,
    /// The round.
    pub round: Round,
    /// The block voted for.
    pub block_hash: Hash,
}

impl Vote {
    /// The domain that votes are signed under.
    pub const DOMAIN: &'static str = "distli/enterprise/vote/1";

    /// The precommit for a block.
    #[must_use]
    pub const fn precommit(height: EnterpriseHeight, round: Round, block_hash: Hash) -> Self {
        Self {
            kind: VoteKind::Precommit,
            height,
            round,
            block_hash,
        }
    }

    /// The 45 bytes that are signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind = match self.kind {
            VoteKind::Prevote => 1_u8,
            VoteKind::Precommit => 2,
        };
        let mut writer = Writer::with_capacity(45);
        writer
            .u8(kind)
            .u64(self.height.0)
            .u32(self.round.0)
            .bytes(&self.block_hash.0);
        writer.finish()
    }

    /// Signs the vote.
    #[must_use]
    pub fn sign(&self, identity: &Identity, chain: ChainId) -> Signature {
        identity.sign(Self::DOMAIN, chain, &self.encode())
    }

    /// Whether `signature` is `key`'s over this vote.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey, chain: ChainId, signature: &Signature) -> bool {
        self.is_signed_by_with(&mut Verifier::default(), key, chain, signature)
    }

    /// The same, by what the verifier knows of keys.
    #[must_use]
    pub fn is_signed_by_with(
        &self,
        verifier: &mut impl Verify,
        key: &PublicKey,
        chain: ChainId,
        signature: &Signature,
    ) -> bool {
        let verdict = verifier.verify(Self::DOMAIN, chain, key, &self.encode(), signature);
        verdict.is_ok()
    }
}

/// The proof that a quorum decided a block. Two validators may hold different ones for the same block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The decided height.
    pub height: EnterpriseHeight,
    /// The round it was decided in.
    pub round: Round,
    /// The decided block.
    pub block_hash: Hash,
    /// Precommit signatures with the signer's index, ascending.
    pub signatures: Vec<(u16, Signature)>,
}

impl Certificate {
    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .u64(self.height.0)
            .u32(self.round.0)
            .bytes(&self.block_hash.0);
        writer.u16(u16::try_from(self.signatures.len()).unwrap_or(u16::MAX));
        for (index, signature) in &self.signatures {
            writer.u16(*index).bytes(&signature.0);
        }
        writer.finish()
    }

    /// Reads a certificate; it proves nothing before [`Self::verify`].
    ///
    /// # Errors
    /// [`EnterpriseError::Encoding`] when the bytes are not in the one layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let height = EnterpriseHeight(reader.u64()?);
        let round = Round(reader.u32()?);
        let block_hash = reader.hash()?;
        let count = reader.u16()?;
        let mut signatures = Vec::new();
        for _ in 0..count {
            signatures.push((reader.u16()?, reader.signature()?));
        }
        reader.finish()?;
        Ok(Self {
            height,
            round,
            block_hash,
            signatures,
        })
    }

    /// Checks that a quorum of `set`, the set in force at the height, signed `header` on `chain`.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold; cheap checks come before signatures.
    pub fn verify(
        &self,
        header: &EnterpriseHeader,
        set: &ValidatorSet,
        chain: ChainId,
    ) -> Result<(), EnterpriseError> {
        self.verify_with(header, set, chain, |_, _| false)
    }

    /// As [`Self::verify`], without verifying again the `known` signatures: those that the caller found to be of this key
    /// over the precommit for this block in this round.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_with(
        &self,
        header: &EnterpriseHeader,
        set: &ValidatorSet,
        chain: ChainId,
        known: impl Fn(&PublicKey, &Signature) -> bool,
    ) -> Result<(), EnterpriseError> {
        if self.height != header.height || self.block_hash != header.hash() {
            let Self {
                height,
                round,
                block_hash,
                ..
            } = *self;
            return Err(EnterpriseError::OtherBlock {
                height,
                round,
                block_hash,
            });
        }
        if header.validators != set.hash() {
            let (found, computed) = (header.validators, set.hash());
            return Err(EnterpriseError::Mismatch {
                field: "the validator set",
                found,
                computed,
            });
        }
        let (found, needed) = (self.signatures.len(), set.quorum());
        if found < needed {
            return Err(EnterpriseError::NoQuorum { found, needed });
        }
        let vote = Vote::precommit(self.height, self.round, self.block_hash);
        let mut previous = None;
        for (index, signature) in &self.signatures {
            let signer = set.get(*index).ok_or(EnterpriseError::Signer(*index))?;
            if previous.is_some_and(|before| before >= *index) {
                return Err(EnterpriseError::Signer(*index));
            }
            previous = Some(*index);
            let is_signed =
                known(&signer.key, signature) || vote.is_signed_by(&signer.key, chain, signature);
            if !is_signed {
                return Err(EnterpriseError::Signature(*index));
            }
        }
        Ok(())
    }
}
