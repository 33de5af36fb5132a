//! The validator set and its quorum.
//!
//! Encoded: count (2 bytes), then per validator its public key (32), the length of its name (1) and the name. The order
//! is strictly ascending by key, so that one set has one encoding and a signer is named by its index. The set's hash is
//! SHA-256 of `distli/enterprise/set/1` and the encoding.

use alloc::string::String;
use alloc::vec::Vec;

use super::error::EnterpriseError;
use crate::encoding::{Reader, Writer};
use crate::hash::{Hash, sha256};
use crate::ids::{NetworkId, PublicKey};

/// The most validators a set can have.
pub const VALIDATORS_MAX: usize = 128;

/// One validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorInfo {
    /// Its public key.
    pub key: PublicKey,
    /// Its name: an identifier like a network's, for people.
    pub name: NetworkId,
}

/// A validator set: 1 to [`VALIDATORS_MAX`] validators with one vote each, ascending by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet(Vec<ValidatorInfo>);

impl ValidatorSet {
    /// Makes a set of validators given in any order.
    ///
    /// # Errors
    /// [`EnterpriseError`] when there are none, too many, or one key twice.
    pub fn new(mut validators: Vec<ValidatorInfo>) -> Result<Self, EnterpriseError> {
        validators.sort_by_key(|validator| validator.key);
        Self::from_sorted(validators)
    }

    fn from_sorted(validators: Vec<ValidatorInfo>) -> Result<Self, EnterpriseError> {
        if validators.is_empty() || validators.len() > VALIDATORS_MAX {
            return Err(EnterpriseError::Range {
                field: "the number of validators",
                found: validators.len() as u64,
                allowed: "1 to 128",
            });
        }
        let ascending = validators.windows(2).all(|pair| match pair {
            [left, right] => left.key < right.key,
            _ => true,
        });
        if ascending {
            Ok(Self(validators))
        } else {
            Err(EnterpriseError::ValidatorOrder)
        }
    }

    /// The validators, ascending by key.
    #[must_use]
    pub fn validators(&self) -> &[ValidatorInfo] {
        &self.0
    }

    /// The validator at an index, if there is one.
    #[must_use]
    pub fn get(&self, index: u16) -> Option<&ValidatorInfo> {
        self.0.get(usize::from(index))
    }

    /// The index of the validator with this key.
    #[must_use]
    pub fn index_of(&self, key: &PublicKey) -> Option<u16> {
        let index = self
            .0
            .binary_search_by_key(key, |validator| validator.key)
            .ok()?;
        u16::try_from(index).ok()
    }

    /// How many votes decide: ⌊2N/3⌋ + 1.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum(self.0.len())
    }

    /// The hash that headers name the set by.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&[b"distli/enterprise/set/1", &self.encode()])
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u16(u16::try_from(self.0.len()).unwrap_or(u16::MAX));
        for validator in &self.0 {
            writer.bytes(&validator.key.0);
            write_identifier(&mut writer, &validator.name);
        }
        writer.finish()
    }

    /// Reads a set.
    ///
    /// # Errors
    /// [`EnterpriseError`] when the bytes are not in the one layout.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let set = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(set)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, EnterpriseError> {
        let count = reader.u16()?;
        let mut validators = Vec::new();
        for _ in 0..count {
            let key = reader.public_key()?;
            let name = read_identifier(reader)?;
            validators.push(ValidatorInfo { key, name });
        }
        Self::from_sorted(validators)
    }
}

/// How many of `validators` votes decide: ⌊2N/3⌋ + 1.
#[must_use]
pub const fn quorum(validators: usize) -> usize {
    validators.saturating_mul(2) / 3 + 1
}

pub(super) fn write_identifier(writer: &mut Writer, identifier: &NetworkId) {
    let text = identifier.as_str().as_bytes();
    writer
        .u8(u8::try_from(text.len()).unwrap_or(u8::MAX))
        .bytes(text);
}

pub(super) fn read_identifier(reader: &mut Reader<'_>) -> Result<NetworkId, EnterpriseError> {
    let length = reader.u8()?;
    let bytes = reader.bytes(usize::from(length))?;
    let text = core::str::from_utf8(bytes)
        .map_err(|_| EnterpriseError::Identifier(String::from_utf8_lossy(bytes).into_owned()))?;
    NetworkId::parse(text).map_err(|_| EnterpriseError::Identifier(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_two_thirds_rounded_down_and_one_more() {
        let quorums: Vec<usize> = (1..=10).map(quorum).collect();
        assert_eq!(quorums, [1, 2, 3, 3, 4, 5, 5, 6, 7, 7]);
    }
}
