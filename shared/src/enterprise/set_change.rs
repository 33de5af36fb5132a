//! Changing the validators: a quorum of the set in force signs the set that takes its place.
//!
//! | bytes | field |
//! | ---: | --- |
//! | 4 | number: 1 for the chain's first change, one more for each further |
//! | 32 | hash of the set that is replaced |
//! | 2 + … | the next set ([`ValidatorSet`]) |
//! | 2 | number of signatures |
//! | 66 each | the signer's index in the set that is replaced (2) and its signature (64), ascending by index |
//!
//! The signatures are over the fields before them, under the domain `distli/enterprise/set-change/1` and the enterprise chain
//! id. The number keeps a change from being used twice, should a set come back.
//!
//! A change decided at height h is named as `next_validators` by the header of h + 1 and in force from h + 2 on. A
//! [`SetLink`] is what a light client needs to follow it: that header with its certificate, and the set.
//!
//! Encoded link: length (4) and bytes of the [`Checkpoint`], then the set to the end.

use alloc::vec::Vec;

use super::certificate::Certificate;
use super::checkpoint::Checkpoint;
use super::error::EnterpriseError;
use super::header::EnterpriseHeader;
use super::receipt::CERTIFICATE_BYTES_MAX;
use super::validators::{VALIDATORS_MAX, ValidatorSet};
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::identity::{self, Identity};
use crate::ids::{ChainId, PublicKey, Signature};

/// One validator set takes another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetChange {
    number: u32,
    replaces: Hash,
    next: ValidatorSet,
    signatures: Vec<(u16, Signature)>,
}

impl SetChange {
    /// The domain that changes are signed under.
    pub const DOMAIN: &'static str = "distli/enterprise/set-change/1";

    /// A change that nobody has signed.
    #[must_use]
    pub const fn new(number: u32, replaces: Hash, next: ValidatorSet) -> Self {
        Self {
            number,
            replaces,
            next,
            signatures: Vec::new(),
        }
    }

    /// Which change of the chain this is; the first is 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The hash of the set that is replaced.
    #[must_use]
    pub const fn replaces(&self) -> Hash {
        self.replaces
    }

    /// The set that takes its place.
    #[must_use]
    pub const fn next(&self) -> &ValidatorSet {
        &self.next
    }

    /// Signatures with the signer's index in the set that is replaced, ascending.
    #[must_use]
    pub fn signatures(&self) -> &[(u16, Signature)] {
        &self.signatures
    }

    /// Adds a signature of a member of `set`, the set that is replaced.
    ///
    /// # Errors
    /// [`EnterpriseError::Mismatch`] when another set is replaced, [`EnterpriseError::NotAMember`].
    pub fn sign(
        &mut self,
        set: &ValidatorSet,
        identity: &Identity,
        chain: ChainId,
    ) -> Result<(), EnterpriseError> {
        self.check_replaced(set)?;
        let key = identity.public_key();
        let index = set.index_of(&key).ok_or(EnterpriseError::NotAMember(key))?;
        let signature = identity.sign(Self::DOMAIN, chain, &self.signed_bytes());
        self.add(index, signature);
        Ok(())
    }

    /// Puts another copy's signatures to those of this one.
    pub fn merge(&mut self, other: &Self) {
        for (index, signature) in &other.signatures {
            self.add(*index, *signature);
        }
    }

    fn add(&mut self, index: u16, signature: Signature) {
        match self
            .signatures
            .binary_search_by_key(&index, |(index, _)| *index)
        {
            Ok(_) => {}
            Err(place) => self.signatures.insert(place, (index, signature)),
        }
    }

    fn check_replaced(&self, set: &ValidatorSet) -> Result<(), EnterpriseError> {
        let computed = set.hash();
        if self.replaces == computed {
            return Ok(());
        }
        Err(EnterpriseError::Mismatch {
            field: "the validator set that is replaced",
            found: self.replaces,
            computed,
        })
    }

    /// Checks that this is change `number` of the chain, that it changes `set`, and that a quorum of that set signed it.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold; cheap checks come before signatures.
    pub fn verify(
        &self,
        set: &ValidatorSet,
        number: u32,
        chain: ChainId,
    ) -> Result<(), EnterpriseError> {
        if self.number != number {
            return Err(EnterpriseError::ChangeNumber {
                found: self.number,
                expected: number,
            });
        }
        self.check_replaced(set)?;
        if self.next == *set {
            return Err(EnterpriseError::NoChange);
        }
        let (found, needed) = (self.signatures.len(), set.quorum());
        if found < needed {
            return Err(EnterpriseError::NoQuorum { found, needed });
        }
        let (bytes, mut previous) = (self.signed_bytes(), None);
        for (index, signature) in &self.signatures {
            let signer = set.get(*index).ok_or(EnterpriseError::Signer(*index))?;
            if previous.is_some_and(|before| before >= *index) {
                return Err(EnterpriseError::Signer(*index));
            }
            previous = Some(*index);
            identity::verify(Self::DOMAIN, chain, &signer.key, &bytes, signature)
                .map_err(|_| EnterpriseError::Signature(*index))?;
        }
        Ok(())
    }

    /// Who of `set` has signed, whether or not the signatures hold.
    #[must_use]
    pub fn signers(&self, set: &ValidatorSet) -> Vec<PublicKey> {
        let signers = self.signatures.iter();
        let signers = signers.filter_map(|(index, _)| set.get(*index));
        signers.map(|info| info.key).collect()
    }

    fn write(&self) -> Writer {
        let mut writer = Writer::default();
        writer
            .u32(self.number)
            .bytes(&self.replaces.0)
            .bytes(&self.next.encode());
        writer
    }

    fn signed_bytes(&self) -> Vec<u8> {
        self.write().finish()
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = self.write();
        writer.u16(u16::try_from(self.signatures.len()).unwrap_or(u16::MAX));
        for (index, signature) in &self.signatures {
            writer.u16(*index).bytes(&signature.0);
        }
        writer.finish()
    }

    /// Reads a change; it changes nothing before [`Self::verify`].
    ///
    /// # Errors
    /// [`EnterpriseError`] when the bytes are not in the one layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let number = reader.u32()?;
        let replaces = reader.hash()?;
        let next = ValidatorSet::read(&mut reader)?;
        let found = usize::from(reader.u16()?);
        if found > VALIDATORS_MAX {
            return Err(EnterpriseError::TooLarge {
                what: "signatures of a set change",
                found,
                allowed: VALIDATORS_MAX,
            });
        }
        let mut signatures: Vec<(u16, Signature)> = Vec::with_capacity(found);
        for _ in 0..found {
            let index = reader.u16()?;
            if signatures
                .last()
                .is_some_and(|(before, _)| *before >= index)
            {
                return Err(EnterpriseError::Signer(index));
            }
            signatures.push((index, reader.signature()?));
        }
        reader.finish()?;
        Ok(Self {
            number,
            replaces,
            next,
            signatures,
        })
    }
}

/// A set change as a light client follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetLink {
    /// The first header that names the new set, signed by the old one.
    pub checkpoint: Checkpoint,
    /// The new set, in force from the height after that header's on.
    pub next: ValidatorSet,
}

impl SetLink {
    /// The link that a decided header is, if the set after it is another than its own.
    #[must_use]
    pub fn of(
        header: &EnterpriseHeader,
        certificate: &Certificate,
        next: &ValidatorSet,
    ) -> Option<Self> {
        (header.validators != header.next_validators).then(|| Self {
            checkpoint: Checkpoint {
                header: header.clone(),
                certificate: certificate.clone(),
            },
            next: next.clone(),
        })
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .counted_bytes(&self.checkpoint.encode())
            .bytes(&self.next.encode());
        writer.finish()
    }

    /// Reads a link; it proves nothing before [`Trust::follow`](super::Trust::follow).
    ///
    /// # Errors
    /// [`EnterpriseError`] when the bytes are not in the one layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let most = CERTIFICATE_BYTES_MAX.saturating_add(CHECKPOINT_HEADER_BYTES);
        let checkpoint = reader.counted_bytes("the length of a checkpoint", most)?;
        let checkpoint = Checkpoint::decode(checkpoint)?;
        let next = ValidatorSet::read(&mut reader)?;
        reader.finish()?;
        Ok(Self { checkpoint, next })
    }
}

const CHECKPOINT_HEADER_BYTES: u32 = 248;
