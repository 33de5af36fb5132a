//! Block headers: 116 bytes, hashed whole, ground in their last four and in the second.
//!
//! Layout, big-endian: version u16 (0x0200 to 0x02ff; its high byte is at least 2, so that no header is a Merkle node, its low
//! one the miner's, as in BIP 320) | height u32
//! | previous 32 | body root 32 | state root 32 | timestamp u48 | target u32 | nonce u32. The hash is SHA-256 of these
//! bytes. The nonce is word 12 of the second compression, so a miner pays one compression a nonce.

use alloc::vec::Vec;

use crate::{
    encoding::{DecodeError, Reader, Writer, in_range},
    hash::{Hash, sha256},
    ids::{Height, TimestampMs, Work},
    pow::CompactTarget,
};

/// Length of an encoded header.
pub const HEADER_BYTES: usize = 116;

/// The version this code writes; it accepts any low byte, which is the miner's to grind.
pub const VERSION: u16 = 0x0200;
/// The last version this code accepts.
pub const LAST_VERSION: u16 = VERSION | 0xff;

/// What a miner found: with these the header meets its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solution {
    /// The version, its low byte ground.
    pub version: u16,
    /// The nonce.
    pub nonce: u32,
}

/// A block header; its target is well-formed, nothing else is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Format and rules; the low byte is the miner's.
    pub version: u16,
    /// Height; the first block has 1.
    pub height: Height,
    /// Hash of the block before; the chain id for the first block.
    pub previous: Hash,
    /// Merkle root over the miner's record and the transactions.
    pub body_root: Hash,
    /// Root of the state after the block.
    pub state_root: Hash,
    /// When it was mined.
    pub timestamp: TimestampMs,
    /// The target its hash meets.
    pub target: CompactTarget,
    /// The value ground.
    pub nonce: u32,
}

impl Header {
    /// The block hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&[&self.encode()])
    }

    /// This header with what a miner found.
    #[must_use]
    pub fn solved(&self, Solution { version, nonce }: Solution) -> Self {
        Self {
            version,
            nonce,
            ..self.clone()
        }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut writer = Writer::with_capacity(HEADER_BYTES);
        writer
            .u16(self.version)
            .u32(self.height.0)
            .bytes(&self.previous.0)
            .bytes(&self.body_root.0)
            .bytes(&self.state_root.0)
            .timestamp(self.timestamp)
            .u32(self.target.bits())
            .u32(self.nonce);
        let mut bytes = [0; HEADER_BYTES];
        bytes.copy_from_slice(&writer.finish());
        bytes
    }

    /// Parses canonical bytes.
    ///
    /// # Errors
    /// A wrong length, an unknown version or a malformed target.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let header = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(header)
    }

    /// Reads a header from the front.
    ///
    /// # Errors
    /// As for [`Header::decode`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let version = reader.u16()?;
        in_range(
            "header version",
            version.into(),
            VERSION.into(),
            LAST_VERSION.into(),
        )?;
        Ok(Self {
            version,
            height: Height(reader.u32()?),
            previous: reader.hash()?,
            body_root: reader.hash()?,
            state_root: reader.hash()?,
            timestamp: reader.timestamp()?,
            target: CompactTarget::from_bits(reader.u32()?)?,
            nonce: reader.u32()?,
        })
    }

    /// Decodes a concatenation of headers.
    ///
    /// # Errors
    /// One of them is malformed, or the last is cut off.
    pub fn decode_many(bytes: &[u8]) -> Result<Vec<Self>, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut headers = Vec::with_capacity(bytes.len() / HEADER_BYTES);
        while reader.remaining() > 0 {
            headers.push(Self::read(&mut reader)?);
        }
        Ok(headers)
    }

    /// The expected number of hashes behind this header.
    #[must_use]
    pub fn work(&self) -> Work {
        self.target.work()
    }
}
