//! The enterprise header: 248 bytes, one layout for every version.
//!
//! | offset | bytes | field |
//! | ---: | ---: | --- |
//! | 0 | 2 | version (0x0200 or 0x0201; the high byte is never below 0x02) |
//! | 2 | 8 | height; the first block is 1 |
//! | 10 | 32 | hash of the previous header; the first block's is the enterprise genesis hash |
//! | 42 | 6 | enterprise time in ms, above the previous block's |
//! | 48 | 32 | data root: RFC 6962 over the entries ([`Entry::leaf`](super::Entry::leaf)) |
//! | 80 | 32 | state root: RFC 6962 over the tenants after this block ([`Tenants`](super::Tenants)) |
//! | 112 | 8 | log size: entries of the RFC 9162 log of final heights after this block |
//! | 120 | 32 | log root: root of that log; of an empty one SHA-256 of nothing |
//! | 152 | 32 | hash of the validator set in force at this height |
//! | 184 | 32 | hash of the validator set of the next height |
//! | 216 | 32 | public key of the proposer |
//!
//! All integers are big-endian. The block hash is SHA-256 of the 248 bytes.

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use super::error::EnterpriseError;
use crate::encoding::{DecodeError, Reader, Writer};
use crate::hash::{Hash, sha256};
use crate::ids::{PublicKey, TimestampMs};

/// The height of an enterprise block; the genesis is 0, the first block 1.
///
/// 64 bits: at 77 blocks a second 32 bits last less than two years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnterpriseHeight(pub u64);

impl EnterpriseHeight {
    /// The next height.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for EnterpriseHeight {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The round of agreement at one height (the view, in PBFT's words); the first is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Round(pub u32);

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The header of an enterprise block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnterpriseHeader {
    /// Which rules fill the header.
    pub version: u16,
    /// The block's height.
    pub height: EnterpriseHeight,
    /// The previous header's hash, or the enterprise genesis hash.
    pub previous: Hash,
    /// Enterprise time, strictly increasing.
    pub time: TimestampMs,
    /// Root over the entries.
    pub data_root: Hash,
    /// Root over the tenants' state after this block.
    pub state_root: Hash,
    /// Entries of the log of final heights after this block.
    pub log_size: u64,
    /// Root of that log.
    pub log_root: Hash,
    /// Hash of the validator set in force.
    pub validators: Hash,
    /// Hash of the validator set of the next height.
    pub next_validators: Hash,
    /// The proposer's public key.
    pub proposer: PublicKey,
}

impl EnterpriseHeader {
    /// The first version: no finality, an empty log.
    pub const FIRST_VERSION: u16 = 0x0200;
    /// The version from which on finality is executed and the log filled.
    pub const FINALITY_VERSION: u16 = 0x0201;
    /// The version this code writes.
    pub const VERSION: u16 = Self::FINALITY_VERSION;
    /// The length of an encoded header.
    pub const BYTES: usize = 248;

    /// The block hash: SHA-256 of the encoded header.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&[&self.encode()])
    }

    /// The 248 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::with_capacity(Self::BYTES);
        writer
            .u16(self.version)
            .u64(self.height.0)
            .bytes(&self.previous.0)
            .timestamp(self.time);
        writer.bytes(&self.data_root.0).bytes(&self.state_root.0);
        writer.u64(self.log_size).bytes(&self.log_root.0);
        writer
            .bytes(&self.validators.0)
            .bytes(&self.next_validators.0)
            .bytes(&self.proposer.0);
        writer.finish()
    }

    /// Reads exactly 248 bytes.
    ///
    /// # Errors
    /// [`EnterpriseError`] when the length or the version is not one this code knows.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnterpriseError> {
        let mut reader = Reader::new(bytes);
        let header = Self::read(&mut reader)?;
        reader.finish()?;
        if !(Self::FIRST_VERSION..=Self::VERSION).contains(&header.version) {
            return Err(EnterpriseError::Version {
                found: header.version,
                allowed: Self::VERSION,
            });
        }
        Ok(header)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u16()?,
            height: EnterpriseHeight(reader.u64()?),
            previous: reader.hash()?,
            time: reader.timestamp()?,
            data_root: reader.hash()?,
            state_root: reader.hash()?,
            log_size: reader.u64()?,
            log_root: reader.hash()?,
            validators: reader.hash()?,
            next_validators: reader.hash()?,
            proposer: reader.public_key()?,
        })
    }
}
