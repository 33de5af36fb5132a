//! The enterprise block: a header and the entries it commits to.
//!
//! Encoded: header (248), number of entries (4), then per entry its length (4) and its bytes.

use alloc::vec::Vec;

use super::certificate::Certificate;
use super::entry::Entry;
use super::error::EnterpriseError;
use super::genesis::BlockLimits;
use super::header::EnterpriseHeader;
use crate::encoding::{Reader, Writer};
use crate::hash::Hash;
use crate::merkle;

/// A block whose entries match its data root. Not yet linked to a parent, not yet executed, not yet decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnterpriseBlock {
    header: EnterpriseHeader,
    entries: Vec<Entry>,
}

impl EnterpriseBlock {
    /// Puts entries under a header.
    ///
    /// # Errors
    /// [`EnterpriseError::Mismatch`] when the header's data root is not theirs.
    pub fn new(header: EnterpriseHeader, entries: Vec<Entry>) -> Result<Self, EnterpriseError> {
        let computed = Self::data_root(&entries);
        if header.data_root != computed {
            return Err(EnterpriseError::Mismatch {
                field: "the data root",
                found: header.data_root,
                computed,
            });
        }
        Ok(Self { header, entries })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &EnterpriseHeader {
        &self.header
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The block hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.header.hash()
    }

    /// The RFC 6962 root over entries.
    #[must_use]
    pub fn data_root(entries: &[Entry]) -> Hash {
        let leaves: Vec<Hash> = entries.iter().map(Entry::leaf).collect();
        merkle::root(&leaves)
    }

    /// The bytes described above.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer
            .bytes(&self.header.encode())
            .u32(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
        for entry in &self.entries {
            writer.counted_bytes(&entry.encode());
        }
        writer.finish()
    }

    /// Whether a block that was not read from bytes is within the limits.
    ///
    /// # Errors
    /// [`EnterpriseError::TooLarge`] naming what is not.
    pub fn check_size(&self, limits: BlockLimits) -> Result<(), EnterpriseError> {
        let sizes = [
            (
                "bytes of a block",
                self.encode().len(),
                limits.block_bytes_max,
            ),
            (
                "entries of a block",
                self.entries.len(),
                limits.block_entries_max,
            ),
        ];
        for (what, found, allowed) in sizes {
            let allowed = usize::try_from(allowed).unwrap_or(usize::MAX);
            if found > allowed {
                return Err(EnterpriseError::TooLarge {
                    what,
                    found,
                    allowed,
                });
            }
        }
        Ok(())
    }

    /// Reads a block within `limits` and checks its data root.
    ///
    /// # Errors
    /// [`EnterpriseError`] naming what does not hold; sizes are checked before anything is allocated.
    pub fn decode(bytes: &[u8], limits: BlockLimits) -> Result<Self, EnterpriseError> {
        let allowed = usize::try_from(limits.block_bytes_max).unwrap_or(usize::MAX);
        if bytes.len() > allowed {
            return Err(EnterpriseError::TooLarge {
                what: "bytes of a block",
                found: bytes.len(),
                allowed,
            });
        }
        let mut reader = Reader::new(bytes);
        let header = EnterpriseHeader::decode(reader.bytes(EnterpriseHeader::BYTES)?)?;
        let count = reader.u32()?;
        if count > limits.block_entries_max {
            let found = usize::try_from(count).unwrap_or(usize::MAX);
            let allowed = usize::try_from(limits.block_entries_max).unwrap_or(usize::MAX);
            return Err(EnterpriseError::TooLarge {
                what: "entries of a block",
                found,
                allowed,
            });
        }
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(Entry::decode(
                reader.counted_bytes("the length of an entry", limits.block_bytes_max)?,
            )?);
        }
        reader.finish()?;
        Self::new(header, entries)
    }
}

/// A block with its certificate, both verified by a [`Verifier`](super::Verifier) against the chain before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBlock {
    block: EnterpriseBlock,
    certificate: Certificate,
}

impl DecidedBlock {
    pub(super) const fn verified(block: EnterpriseBlock, certificate: Certificate) -> Self {
        Self { block, certificate }
    }

    /// The block.
    #[must_use]
    pub const fn block(&self) -> &EnterpriseBlock {
        &self.block
    }

    /// The quorum's signatures.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}
